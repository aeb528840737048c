"""AlexNet, the network that won the ImageNet challenge of 2012.

*ImageNet Classification with Deep Convolutional Neural Networks*, Krizhevsky, Sutskever & Hinton
2012, https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-networks
and *One weird trick for parallelizing convolutional neural networks*, Krizhevsky 2014,
https://arxiv.org/abs/1404.5997

The two groups, which were two GPUs, are a split and a concatenation, so that every export knows
them. The paper's 224×224 pixels give its 55×55 outputs with two zeros on each side. Deviations:
each channel of a picture is standardized, where the paper subtracts a mean picture; weights start
as He et al. 2015 proposed for rectifiers.
"""

from collections.abc import Sequence

import keras
from keras import KerasTensor, layers, ops

from zoo.layers import IMAGENET, LocalResponseNormalization, conv, predictions, raw_input
from zoo.spaces import Choice, Float, Space

# Kernel sizes of the five convolutions, which of them see one group only, which a pooling follows.
KERNELS = (11, 5, 3, 3, 3)
GROUPED = (2, 4, 5)
POOLED = (1, 2, 5)


SPACES: dict[str, Space] = {
    "alexnet": {
        "groups": Choice((1, 2)),
        "response_norm": Choice((False, True)),
        "dropout": Float(0.0, 0.7),
    }
}


def alexnet(
    filters: Sequence[int] = (96, 256, 384, 384, 256),
    groups: int = 2,
    response_norm: bool = True,
    input_shape: Sequence[int] = (224, 224, 3),
    classes: int = 1000,
    include_top: bool = True,
    classifier_activation: str | None = "softmax",
    dropout: float = 0.5,
    name: str = "alexnet",
) -> keras.Model:
    """Build AlexNet.

    Args:
        filters: number of channels after each of the five convolutions.
        groups: number of groups in the second, fourth and fifth of them.
        response_norm: local response normalization after the first two.
        input_shape: `(height, width, channels)`, uint8, at least 63×63.
        classes: number of classes.
        include_top: `False` leaves out the three dense layers and ends the model with the means of
            the last convolution's channels.
        classifier_activation: "softmax", or `None` for logits.
        dropout: share of the hidden units that is dropped in training.
        name: name of the model.

    Returns:
        `keras.Model` from images to the probabilities `(batch, classes)`.

    Example:
        >>> import zoo
        >>> zoo.build("alexnet").count_params()
        60965224
    """
    inputs, x = raw_input(input_shape, bounds=IMAGENET)
    x = layers.ZeroPadding2D(2, name="pad")(x)
    for number, (width, kernel_size) in enumerate(zip(filters, KERNELS, strict=True), start=1):
        strides, padding = (4, "valid") if number == 1 else (1, "same")
        x = _conv(
            x,
            width,
            kernel_size,
            strides,
            padding,
            groups if number in GROUPED else 1,
            f"conv{number}",
        )
        if response_norm and number <= 2:
            x = LocalResponseNormalization(name=f"norm{number}")(x)
        if number in POOLED:
            stage = POOLED.index(number) + 1
            x = layers.MaxPooling2D(3, 2, name=f"stage{stage}")(x)
    # (batch, 6, 6, 256)
    if not include_top:
        x = layers.GlobalAveragePooling2D(name="pooled")(x)
        return keras.Model(inputs, x, name=name)
    x = layers.Flatten(name="flatten")(x)
    for number in (1, 2):
        x = layers.Dropout(dropout, name=f"dropout{number}")(x)
        x = layers.Dense(
            4096, activation="relu", kernel_initializer="he_normal", name=f"fc{number}"
        )(x)
    return keras.Model(inputs, predictions(x, classes, classifier_activation), name=name)


def _conv(
    x: KerasTensor,
    filters: int,
    kernel_size: int,
    strides: int,
    padding: str,
    groups: int,
    name: str,
) -> KerasTensor:
    """Convolve each group of channels by itself, and activate."""
    if groups == 1:
        return conv(x, filters, kernel_size, strides, activation="relu", padding=padding, name=name)
    parts = [
        conv(
            part,
            filters // groups,
            kernel_size,
            strides,
            activation="relu",
            padding=padding,
            name=f"{name}_group{number}",
        )
        for number, part in enumerate(ops.split(x, groups, axis=-1), start=1)
    ]
    return layers.Concatenate(name=name)(parts)
