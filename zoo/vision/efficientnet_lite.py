"""EfficientNet-Lite0, the EfficientNet for phones and integer arithmetic.

*EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks*, Tan & Le 2019,
https://arxiv.org/abs/1905.11946; the Lite form is described in
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite

Table 1 of the paper without squeeze-and-excitation, with ReLU6 in place of swish, and a stem and a
head whose widths are not scaled. Deviation: no stochastic depth in training.
"""

from collections.abc import Sequence
from functools import partial

import keras
from keras import layers

from zoo.layers import conv_bn, inverted_residual, predictions, raw_input
from zoo.spaces import Float, Space
from zoo.stages import block_name

# Table 1: expansion, channels, blocks, strides of the first, kernel size.
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
_conv = partial(conv_bn, momentum=0.99, epsilon=1e-3)


SPACES: dict[str, Space] = {"efficientnet_lite0": {"dropout": Float(0.0, 0.5)}}


def efficientnet_lite0(
    input_shape: Sequence[int] = (224, 224, 3),
    classes: int = 1000,
    include_top: bool = True,
    classifier_activation: str | None = "softmax",
    dropout: float = 0.2,
    name: str = "efficientnet_lite0",
) -> keras.Model:
    """Build EfficientNet-Lite0.

    Args:
        input_shape: `(height, width, channels)`, uint8, at least 32×32.
        classes: number of classes.
        include_top: `False` ends the model with the 1,280 pooled features.
        classifier_activation: "softmax", or `None` for logits.
        dropout: share of the pooled features that is dropped in training.
        name: name of the model.

    Returns:
        `keras.Model` from images to the probabilities `(batch, classes)`.

    Example:
        >>> import zoo
        >>> zoo.build("efficientnet_lite0").count_params()
        4694024
    """
    inputs, x = raw_input(input_shape, bounds=(-1, 1))
    x = _conv(x, 32, 3, 2, activation="relu6", name="stem")  # (batch, 112, 112, 32)
    for stage, (expansion, filters, blocks, strides, kernel_size) in enumerate(STAGES, start=1):
        for block in range(1, blocks + 1):
            label = block_name(stage, block, blocks)
            first = strides if block == 1 else 1
            x = inverted_residual(x, expansion, filters, first, kernel_size, name=label)
    x = _conv(x, 1280, 1, activation="relu6", name="head")  # (batch, 7, 7, 1280)
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    if include_top:
        x = layers.Dropout(dropout, name="dropout")(x)
        x = predictions(x, classes, classifier_activation)
    return keras.Model(inputs, x, name=name)
