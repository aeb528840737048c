"""The residual networks for photographs: ResNet-18 to ResNet-152, in three versions.

*Deep Residual Learning for Image Recognition*, He, Zhang, Ren & Sun 2015,
https://arxiv.org/abs/1512.03385, Table 1; and *Identity Mappings in Deep Residual Networks*, the
same 2016, https://arxiv.org/abs/1603.05027

- v1: normalization and ReLU follow each convolution; a bottleneck's first convolution has the
  stride.
- v1.5: as v1, but the 3×3 convolution of a bottleneck has the stride and sees every pixel (Goyal et
  al. 2017, https://arxiv.org/abs/1706.02677).
- v2: normalization and ReLU go before each convolution, and the sum is left as it is. As in the
  first public weights of this version, the last block of a stage has the stride, and a shortcut
  with a stride takes every second pixel.

Deviations: no deviation of the pixels is divided out in the papers; here each channel of a picture
is standardized in v1 and v1.5, and brought to −1…1 in v2.
"""

from collections.abc import Sequence
from functools import partial

import keras
from keras import KerasTensor, layers

from zoo.layers import IMAGENET, conv, conv_bn, normalized, predictions, raw_input
from zoo.spaces import Choice, Space
from zoo.stages import block_name

FILTERS = (64, 128, 256, 512)
VERSIONS = ("v1", "v1.5", "v2")
_EPSILON = 1.001e-5  # of the published weights
_conv_bn = partial(conv_bn, epsilon=_EPSILON, padding="symmetric")
_normalized = partial(normalized, epsilon=_EPSILON)


SPACES: dict[str, Space] = {"resnet": {"version": Choice(VERSIONS)}}


def resnet(
    blocks: Sequence[int] = (2, 2, 2, 2),
    bottleneck: bool = False,
    version: str = "v1",
    use_bias: bool = False,
    stem: str = "imagenet",
    input_shape: Sequence[int] = (224, 224, 3),
    classes: int = 1000,
    include_top: bool = True,
    classifier_activation: str | None = "softmax",
    name: str = "resnet18",
) -> keras.Model:
    """Build a residual network for photographs.

    Args:
        blocks: number of blocks in each of the four stages.
        bottleneck: blocks of 1×1, 3×3 and 1×1 convolutions in place of two 3×3.
        version: "v1", "v1.5" or "v2".
        use_bias: give a bias to the convolutions that have one in keras.applications: all of v1,
            and in v2 those that no normalization follows.
        stem: "imagenet" (7×7 with stride 2, then pooling), or "small" (3×3) for pictures of 32×32.
        input_shape: `(height, width, channels)`, uint8, at least 32×32.
        classes: number of classes.
        include_top: `False` ends the model with the pooled features.
        classifier_activation: "softmax", or `None` for logits.
        name: name of the model.

    Returns:
        `keras.Model` from images to the probabilities `(batch, classes)`.

    Raises:
        ValueError: there is no such version or stem.

    Example:
        >>> import zoo
        >>> zoo.build("resnet50").count_params()
        25610152
    """
    if version not in VERSIONS:
        raise ValueError(f"version must be one of {', '.join(VERSIONS)}, not {version!r}.")
    if stem not in {"imagenet", "small"}:
        raise ValueError(f"stem must be 'imagenet' or 'small', not {stem!r}.")
    before = version == "v2"  # normalization goes before the convolution
    inputs, x = raw_input(input_shape, bounds=(-1, 1) if before else IMAGENET)
    kernel_size, strides = (7, 2) if stem == "imagenet" else (3, 1)
    if before:
        x = conv(x, 64, kernel_size, strides, padding="symmetric", use_bias=use_bias, name="stem")
    else:
        x = _conv_bn(x, 64, kernel_size, strides, use_bias=use_bias, name="stem")
    if stem == "imagenet":
        x = layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
        x = layers.MaxPooling2D(3, 2, name="stem_pool")(x)  # (batch, 56, 56, 64)
    for stage, (filters, count) in enumerate(zip(FILTERS, blocks, strict=True), start=1):
        for block in range(1, count + 1):
            label = block_name(stage, block, count)
            if before:
                strides = 2 if stage < 4 and block == count else 1
                x = _block_v2(x, filters, strides, bottleneck, block == 1, use_bias, label)
            else:
                strides = 2 if stage > 1 and block == 1 else 1
                x = _block_v1(x, filters, strides, bottleneck, version, use_bias, label)
    if before:
        x = _normalized(x, name="post")
    x = layers.GlobalAveragePooling2D(name="pooled")(x)  # of (batch, 7, 7, 512 or 2048)
    if include_top:
        x = predictions(x, classes, classifier_activation)
    return keras.Model(inputs, x, name=name)


def _shape(filters: int, bottleneck: bool) -> tuple[tuple[int, int], ...]:
    """Return width and kernel size of each convolution of a block."""
    if bottleneck:
        return (filters, 1), (filters, 3), (4 * filters, 1)
    return (filters, 3), (filters, 3)


def _block_v1(
    x: KerasTensor,
    filters: int,
    strides: int,
    bottleneck: bool,
    version: str,
    use_bias: bool,
    name: str,
) -> KerasTensor:
    convolutions = _shape(filters, bottleneck)
    strided = 1 if bottleneck and version == "v1.5" else 0
    width, last = convolutions[-1][0], len(convolutions) - 1
    y, shortcut = x, x
    if strides > 1 or x.shape[-1] != width:
        shortcut = _conv_bn(
            x, width, 1, strides, activation=None, use_bias=use_bias, name=f"{name}_shortcut"
        )
    for number, (width, kernel_size) in enumerate(convolutions):
        y = _conv_bn(
            y,
            width,
            kernel_size,
            strides if number == strided else 1,
            activation=None if number == last else "relu",
            use_bias=use_bias,
            name=f"{name}_{number + 1}",
        )
    x = layers.Add(name=f"{name}_add")([shortcut, y])
    return layers.Activation("relu", name=name)(x)


def _block_v2(
    x: KerasTensor,
    filters: int,
    strides: int,
    bottleneck: bool,
    first: bool,
    use_bias: bool,
    name: str,
) -> KerasTensor:
    convolutions = _shape(filters, bottleneck)
    strided = 1 if bottleneck else 0
    width, last = convolutions[-1][0], len(convolutions) - 1
    y, shortcut = _normalized(x, name=f"{name}_pre"), x
    if first and x.shape[-1] != width:
        shortcut = conv(y, width, 1, strides, use_bias=use_bias, name=f"{name}_shortcut")
    elif strides > 1:
        shortcut = layers.MaxPooling2D(1, strides, name=f"{name}_shortcut")(x)
    for number, (width, kernel_size) in enumerate(convolutions):
        y = conv(
            y,
            width,
            kernel_size,
            strides if number == strided else 1,
            padding="symmetric",
            use_bias=use_bias and number == last,
            name=f"{name}_{number + 1}_conv",
        )
        if number < last:
            y = _normalized(y, name=f"{name}_{number + 1}")
    return layers.Add(name=name)([shortcut, y])
