"""Inception-v3.

*Rethinking the Inception Architecture for Computer Vision*, Szegedy, Vanhoucke, Ioffe, Shlens &
Wojna 2015, https://arxiv.org/abs/1512.00567

Table 1 of the paper, with the modules' widths of the authors' published weights, in which 5×5
kernels stay in the first three modules. Normalization has no gamma: rectifiers do not care for it.
Deviation: no auxiliary head.
"""

from collections.abc import Sequence

import keras
from keras import KerasTensor, layers

from zoo.layers import conv_bn, predictions, raw_input
from zoo.spaces import Float, Space
from zoo.stages import block_name

# Filters and kernel sizes.
Convolutions = Sequence[tuple[int, int | tuple[int, int]]]

_WIDTHS_B = (128, 160, 160, 192)  # of the 7×7 branches, Figure 6


SPACES: dict[str, Space] = {"inception_v3": {"dropout": Float(0.0, 0.7)}}


def inception_v3(
    input_shape: Sequence[int] = (299, 299, 3),
    classes: int = 1000,
    include_top: bool = True,
    classifier_activation: str | None = "softmax",
    dropout: float = 0.2,
    name: str = "inception_v3",
) -> keras.Model:
    """Build Inception-v3.

    Args:
        input_shape: `(height, width, channels)`, uint8, at least 75×75.
        classes: number of classes.
        include_top: `False` ends the model with the 2,048 pooled features.
        classifier_activation: "softmax", or `None` for logits.
        dropout: share of the pooled features that is dropped in training.
        name: name of the model.

    Returns:
        `keras.Model` from images to the probabilities `(batch, classes)`.

    Example:
        >>> import zoo
        >>> zoo.build("inception_v3").count_params()
        23851784
    """
    inputs, x = raw_input(input_shape, bounds=(-1, 1))
    x = _conv(x, 32, 3, 2, padding="valid", name="stem1")  # (batch, 149, 149, 32)
    x = _conv(x, 32, 3, padding="valid", name="stem2")
    x = _conv(x, 64, 3, name="stem3")
    x = layers.MaxPooling2D(3, 2, name="stage1")(x)  # (batch, 73, 73, 64)
    x = _conv(x, 80, 1, padding="valid", name="stem4")
    x = _conv(x, 192, 3, padding="valid", name="stem5")
    x = layers.MaxPooling2D(3, 2, name="stage2")(x)  # (batch, 35, 35, 192)
    for number, projection in enumerate((32, 64, 64), start=1):
        x = _module_a(x, projection, block_name(3, number, 3))
    x = _halved_a(x, "reduction1")  # (batch, 17, 17, 768)
    for number, width in enumerate(_WIDTHS_B, start=1):
        x = _module_b(x, width, block_name(4, number, 4))
    x = _halved_b(x, "reduction2")  # (batch, 8, 8, 1280)
    for number in (1, 2):
        x = _module_c(x, block_name(5, number, 2))
    x = layers.GlobalAveragePooling2D(name="pooled")(x)  # of (batch, 8, 8, 2048)
    if include_top:
        x = layers.Dropout(dropout, name="dropout")(x)
        x = predictions(x, classes, classifier_activation)
    return keras.Model(inputs, x, name=name)


def _conv(
    x: KerasTensor,
    filters: int,
    kernel_size: int | tuple[int, int],
    strides: int = 1,
    *,
    padding: str = "same",
    name: str,
) -> KerasTensor:
    return conv_bn(
        x, filters, kernel_size, strides, padding=padding, scale=False, epsilon=1e-3, name=name
    )


def _chain(x: KerasTensor, convolutions: Convolutions, name: str) -> KerasTensor:
    """Apply convolutions of so many filters and such kernels, one after the other."""
    for number, (filters, kernel_size) in enumerate(convolutions, start=1):
        x = _conv(x, filters, kernel_size, name=f"{name}_{number}")
    return x


def _pool(x: KerasTensor, filters: int, name: str) -> KerasTensor:
    x = layers.AveragePooling2D(3, 1, padding="same", name=f"{name}_pool")(x)
    return _conv(x, filters, 1, name=f"{name}_projection")


def _module_a(x: KerasTensor, projection: int, name: str) -> KerasTensor:
    """Figure 5: a 5×5 and two 3×3 side by side, as in GoogLeNet."""
    branches = [
        _conv(x, 64, 1, name=f"{name}_1x1"),
        _chain(x, [(48, 1), (64, 5)], f"{name}_5x5"),
        _chain(x, [(64, 1), (96, 3), (96, 3)], f"{name}_3x3"),
        _pool(x, projection, name),
    ]
    return layers.Concatenate(name=name)(branches)


def _module_b(x: KerasTensor, width: int, name: str) -> KerasTensor:
    """Figure 6: 7×7 kernels taken apart into 1×7 and 7×1."""
    once: Convolutions = [(width, 1), (width, (1, 7)), (192, (7, 1))]
    twice: Convolutions = [
        (width, 1),
        (width, (7, 1)),
        (width, (1, 7)),
        (width, (7, 1)),
        (192, (1, 7)),
    ]
    branches = [
        _conv(x, 192, 1, name=f"{name}_1x1"),
        _chain(x, once, f"{name}_7x7"),
        _chain(x, twice, f"{name}_7x7_twice"),
        _pool(x, 192, name),
    ]
    return layers.Concatenate(name=name)(branches)


def _module_c(x: KerasTensor, name: str) -> KerasTensor:
    """Figure 7: 1×3 beside 3×1, for many thin features."""
    single = _conv(x, 320, 1, name=f"{name}_1x1")
    split = _fork(_conv(x, 384, 1, name=f"{name}_3x3"), f"{name}_3x3_fork")
    deep = _fork(_chain(x, [(448, 1), (384, 3)], f"{name}_deep"), f"{name}_deep_fork")
    return layers.Concatenate(name=name)([single, split, deep, _pool(x, 192, name)])


def _fork(x: KerasTensor, name: str) -> KerasTensor:
    wide = _conv(x, 384, (1, 3), name=f"{name}_1x3")
    tall = _conv(x, 384, (3, 1), name=f"{name}_3x1")
    return layers.Concatenate(name=name)([wide, tall])


def _halved_a(x: KerasTensor, name: str) -> KerasTensor:
    """Figure 10: 35×35 to 17×17."""
    branches = [
        _conv(x, 384, 3, 2, padding="valid", name=f"{name}_3x3"),
        _conv(
            _chain(x, [(64, 1), (96, 3)], f"{name}_deep"),
            96,
            3,
            2,
            padding="valid",
            name=f"{name}_deep_3",
        ),
        layers.MaxPooling2D(3, 2, name=f"{name}_pool")(x),
    ]
    return layers.Concatenate(name=name)(branches)


def _halved_b(x: KerasTensor, name: str) -> KerasTensor:
    """Figure 10, with 7×7 kernels before one of the 3×3: 17×17 to 8×8."""
    thin: Convolutions = [(192, 1), (192, (1, 7)), (192, (7, 1))]
    deep = _chain(x, thin, f"{name}_7x7")
    branches = [
        _conv(
            _conv(x, 192, 1, name=f"{name}_3x3_1"), 320, 3, 2, padding="valid", name=f"{name}_3x3"
        ),
        _conv(deep, 192, 3, 2, padding="valid", name=f"{name}_7x7_4"),
        layers.MaxPooling2D(3, 2, name=f"{name}_pool")(x),
    ]
    return layers.Concatenate(name=name)(branches)
