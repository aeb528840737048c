"""The VGG networks: 11 to 19 layers of 3×3 convolutions.

*Very Deep Convolutional Networks for Large-Scale Image Recognition*, Simonyan & Zisserman 2014,
https://arxiv.org/abs/1409.1556

Table 1 of the paper, columns A, B, D and E; with batch normalization as in later work, where each
convolution keeps its bias. Deviations: each channel of a picture is standardized, where the paper
subtracts its mean only; weights start as He et al. 2015 proposed for rectifiers, so that no shallow
network has to be trained first.
"""

from collections.abc import Sequence

import keras
from keras import layers

from zoo.layers import IMAGENET, conv, conv_bn, predictions, raw_input
from zoo.spaces import Choice, Float, Space

FILTERS = (64, 128, 256, 512, 512)


SPACES: dict[str, Space] = {
    "vgg": {"batch_norm": Choice((False, True)), "dropout": Float(0.0, 0.7)}
}


def vgg(
    convolutions: Sequence[int] = (1, 1, 2, 2, 2),
    batch_norm: bool = False,
    input_shape: Sequence[int] = (224, 224, 3),
    classes: int = 1000,
    include_top: bool = True,
    classifier_activation: str | None = "softmax",
    dropout: float = 0.5,
    name: str = "vgg11",
) -> keras.Model:
    """Build a VGG network.

    Args:
        convolutions: number of convolutions in each of the five stages.
        batch_norm: normalize after each convolution.
        input_shape: `(height, width, channels)`, uint8, at least 32×32.
        classes: number of classes.
        include_top: `False` leaves out the three dense layers and ends the model with the means of
            the 512 channels.
        classifier_activation: "softmax", or `None` for logits.
        dropout: share of the hidden units that is dropped in training.
        name: name of the model.

    Returns:
        `keras.Model` from images to the probabilities `(batch, classes)`.

    Example:
        >>> import zoo
        >>> zoo.build("vgg16", include_top=False).count_params()
        14714688
    """
    inputs, x = raw_input(input_shape, bounds=IMAGENET)
    for stage, (filters, count) in enumerate(zip(FILTERS, convolutions, strict=True), start=1):
        for number in range(1, count + 1):
            label = f"stage{stage}_{number}"
            if batch_norm:
                x = conv_bn(x, filters, 3, use_bias=True, name=label)
            else:
                x = conv(x, filters, 3, activation="relu", name=label)
        x = layers.MaxPooling2D(2, name=f"stage{stage}")(x)
    # (batch, 7, 7, 512)
    if not include_top:
        x = layers.GlobalAveragePooling2D(name="pooled")(x)
        return keras.Model(inputs, x, name=name)
    x = layers.Flatten(name="flatten")(x)
    for number in (1, 2):
        x = layers.Dense(
            4096, activation="relu", kernel_initializer="he_normal", name=f"fc{number}"
        )(x)
        x = layers.Dropout(dropout, name=f"dropout{number}")(x)
    return keras.Model(inputs, predictions(x, classes, classifier_activation), name=name)
