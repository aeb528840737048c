"""The residual networks for small pictures: ResNet-20 to ResNet-110.

*Deep Residual Learning for Image Recognition*, He, Zhang, Ren & Sun 2015,
https://arxiv.org/abs/1512.03385, section 4.2

Three stages of 16, 32 and 64 channels, each of n blocks of two 3×3 convolutions, 6n + 2 layers with
weights. A block that halves the picture has a shortcut without weights (option A: every second
pixel, the new channels zero) or a 1×1 convolution (option B). Deviation from the paper: grey levels
are brought to −1…1 in place of the subtraction of a mean picture.
"""

from collections.abc import Sequence

import keras
from keras import KerasTensor, layers, ops

from zoo.layers import conv_bn, predictions, raw_input
from zoo.spaces import Choice, Int, Space
from zoo.stages import block_name

FILTERS = (16, 32, 64)


SPACES: dict[str, Space] = {
    "resnet_cifar": {"blocks": Int(1, 9), "shortcut": Choice(("identity", "projection"))}
}


def resnet_cifar(
    blocks: int = 3,
    shortcut: str = "identity",
    input_shape: Sequence[int] = (32, 32, 3),
    classes: int = 10,
    include_top: bool = True,
    classifier_activation: str | None = "softmax",
    name: str = "resnet20",
) -> keras.Model:
    """Build a residual network for small pictures.

    Args:
        blocks: number n of blocks in each of the three stages; the depth is 6n + 2.
        shortcut: "identity" (option A) or "projection" (option B), where a stage begins.
        input_shape: `(height, width, channels)`, uint8.
        classes: number of classes.
        include_top: `False` ends the model with the 64 pooled features.
        classifier_activation: "softmax", or `None` for logits.
        name: name of the model.

    Returns:
        `keras.Model` from images to the probabilities `(batch, classes)`.

    Example:
        >>> import zoo
        >>> zoo.build("resnet20").count_params()
        271098
    """
    if shortcut not in {"identity", "projection"}:
        raise ValueError(f"shortcut must be 'identity' or 'projection', not {shortcut!r}.")
    inputs, x = raw_input(input_shape, bounds=(-1, 1))
    x = conv_bn(x, FILTERS[0], 3, name="stem")  # (batch, 32, 32, 16)
    for stage, filters in enumerate(FILTERS, start=1):
        for block in range(1, blocks + 1):
            strides = 2 if stage > 1 and block == 1 else 1
            x = _block(x, filters, strides, shortcut, block_name(stage, block, blocks))
    # (batch, 8, 8, 64)
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    if include_top:
        x = predictions(x, classes, classifier_activation)
    return keras.Model(inputs, x, name=name)


def _block(x: KerasTensor, filters: int, strides: int, shortcut: str, name: str) -> KerasTensor:
    y = conv_bn(x, filters, 3, strides, name=f"{name}_1")
    y = conv_bn(y, filters, 3, activation=None, name=f"{name}_2")
    if strides > 1 and shortcut == "projection":
        x = conv_bn(x, filters, 1, strides, activation=None, name=f"{name}_shortcut")
    elif strides > 1:
        added = filters - x.shape[-1]
        x = layers.MaxPooling2D(1, strides, name=f"{name}_shortcut")(x)  # every second pixel
        x = ops.pad(x, ((0, 0), (0, 0), (0, 0), (added // 2, added - added // 2)))
    x = layers.Add(name=f"{name}_add")([x, y])
    return layers.Activation("relu", name=name)(x)
