"""MobileNet-v2, the inverted residual network for phones.

*MobileNetV2: Inverted Residuals and Linear Bottlenecks*, Sandler, Howard, Zhu, Zhmoginov & Chen
2018, https://arxiv.org/abs/1801.04381

Table 2 of the paper. Widths are rounded to multiples of 8, as in the authors' code. Deviation: grey
levels are brought to −1…1, which the paper does not state.
"""

from collections.abc import Sequence
from functools import partial

import keras
from keras import layers

from zoo.layers import conv_bn, inverted_residual, predictions, raw_input
from zoo.spaces import Choice, Float, Space
from zoo.stages import block_name

# Table 2: expansion t, channels c, blocks n, strides s of the first.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_MOMENTUM = 0.99
_conv = partial(conv_bn, activation="relu6", momentum=_MOMENTUM, epsilon=1e-3)


SPACES: dict[str, Space] = {
    "mobilenet_v2": {"alpha": Choice((0.35, 0.5, 0.75, 1.0, 1.4)), "dropout": Float(0.0, 0.5)}
}


def mobilenet_v2(
    alpha: float = 1.0,
    input_shape: Sequence[int] = (224, 224, 3),
    classes: int = 1000,
    include_top: bool = True,
    classifier_activation: str | None = "softmax",
    dropout: float = 0.2,
    name: str = "mobilenet_v2",
) -> keras.Model:
    """Build MobileNet-v2.

    Args:
        alpha: width multiplier; above 1 it widens the last convolution too.
        input_shape: `(height, width, channels)`, uint8, at least 32×32.
        classes: number of classes.
        include_top: `False` ends the model with the pooled features.
        classifier_activation: "softmax", or `None` for logits.
        dropout: share of the pooled features that is dropped in training.
        name: name of the model.

    Returns:
        `keras.Model` from images to the probabilities `(batch, classes)`.

    Example:
        >>> import zoo
        >>> zoo.build("mobilenet_v2").count_params()
        3538984
    """
    inputs, x = raw_input(input_shape, bounds=(-1, 1))
    x = _conv(x, _rounded(32 * alpha), 3, 2, name="stem")  # (batch, 112, 112, 32)
    for stage, (expansion, channels, blocks, strides) in enumerate(STAGES, start=1):
        for block in range(1, blocks + 1):
            x = inverted_residual(
                x,
                expansion,
                _rounded(channels * alpha),
                strides if block == 1 else 1,
                3,
                momentum=_MOMENTUM,
                name=block_name(stage, block, blocks),
            )
    x = _conv(x, _rounded(1280 * max(1.0, alpha)), 1, name="head")  # (batch, 7, 7, …)
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    if include_top:
        x = layers.Dropout(dropout, name="dropout")(x)
        x = predictions(x, classes, classifier_activation)
    return keras.Model(inputs, x, name=name)


def _rounded(channels: float) -> int:
    """Return the nearest multiple of 8, or the next one where that would lose over a tenth."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded
