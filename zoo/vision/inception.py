"""The small Inception network for pictures of 32×32.

*Understanding deep learning requires rethinking generalization*, Zhang, Bengio, Hardt, Recht &
Vinyals 2016, https://arxiv.org/abs/1611.03530, Figure 3

Modules of two branches, 1×1 and 3×3, side by side; the picture is halved by a strided convolution
beside a pooling. Deviations: the paper cuts 28×28 out of the middle of a picture, this takes all of
it; `alpha` makes it thinner than the paper's.
"""

from collections.abc import Sequence
from functools import partial

import keras
from keras import KerasTensor, layers

from zoo.layers import conv_bn, predictions, raw_input
from zoo.spaces import Float, Space
from zoo.stages import block_name

_conv = partial(conv_bn, scale=False)

# Channels of the 1×1 and 3×3 branches of each module; a single number halves the picture.
STAGES = (
    ((32, 32), (32, 48)),
    (80, (112, 48), (96, 64), (80, 80), (48, 96)),
    (96, (176, 160), (176, 160)),
)


SPACES: dict[str, Space] = {"inception": {"alpha": Float(0.25, 1.5)}}


def inception(
    alpha: float = 1.0,
    input_shape: Sequence[int] = (32, 32, 3),
    classes: int = 10,
    include_top: bool = True,
    classifier_activation: str | None = "softmax",
    name: str = "inception",
) -> keras.Model:
    """Build the small Inception network.

    Args:
        alpha: width multiplier of every branch.
        input_shape: `(height, width, channels)`, uint8.
        classes: number of classes.
        include_top: `False` ends the model with the pooled features.
        classifier_activation: "softmax", or `None` for logits.
        name: name of the model.

    Returns:
        `keras.Model` from images to the probabilities `(batch, classes)`.

    Example:
        >>> import zoo
        >>> zoo.build("inception").count_params()
        1652826
    """
    inputs, x = raw_input(input_shape, bounds=(-1, 1))
    x = _conv(x, round(96 * alpha), 3, name="stem")  # (batch, 32, 32, 96)
    for stage, modules in enumerate(STAGES, start=1):
        for number, widths in enumerate(modules, start=1):
            label = block_name(stage, number, len(modules))
            if isinstance(widths, int):
                x = _halved(x, round(widths * alpha), label)
            else:
                x = _module(x, [round(width * alpha) for width in widths], label)
    x = layers.GlobalAveragePooling2D(name="pooled")(x)  # of (batch, 8, 8, 336)
    if include_top:
        x = predictions(x, classes, classifier_activation)
    return keras.Model(inputs, x, name=name)


def _module(x: KerasTensor, widths: Sequence[int], name: str) -> KerasTensor:
    branches = [
        _conv(x, width, kernel_size, name=f"{name}_{kernel_size}x{kernel_size}")
        for width, kernel_size in zip(widths, (1, 3), strict=True)
    ]
    return layers.Concatenate(name=name)(branches)


def _halved(x: KerasTensor, width: int, name: str) -> KerasTensor:
    strided = _conv(x, width, 3, 2, name=f"{name}_3x3")
    pooled = layers.MaxPooling2D(3, 2, padding="same", name=f"{name}_pool")(x)
    return layers.Concatenate(name=name)([strided, pooled])
