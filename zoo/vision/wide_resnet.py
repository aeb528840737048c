"""Wide residual networks for small pictures.

*Wide Residual Networks*, Zagoruyko & Komodakis 2016, https://arxiv.org/abs/1605.07146

Table 1 of the paper: three groups of 16k, 32k and 64k channels; normalization and ReLU go before
each convolution, and a shortcut of another width is a 1×1 convolution of the normalized input.
Deviation: grey levels are brought to −1…1 in place of the subtraction of mean and deviation.
"""

from collections.abc import Sequence

import keras
from keras import KerasTensor, layers

from zoo.layers import conv, normalized, predictions, raw_input
from zoo.spaces import Choice, Float, Int, Space
from zoo.stages import block_name

FILTERS = (16, 32, 64)


SPACES: dict[str, Space] = {
    "wide_resnet": {
        "depth": Choice((10, 16, 22, 28)),
        "widen": Int(1, 10),
        "dropout": Float(0.0, 0.5),
    }
}


def wide_resnet(
    depth: int = 28,
    widen: int = 10,
    dropout: float = 0.0,
    input_shape: Sequence[int] = (32, 32, 3),
    classes: int = 10,
    include_top: bool = True,
    classifier_activation: str | None = "softmax",
    name: str = "wide_resnet",
) -> keras.Model:
    """Build a wide residual network.

    Args:
        depth: number of layers with weights, 6n + 4 for n blocks in each group.
        widen: k, the multiple of the channels of a thin network.
        dropout: share of what is dropped between the two convolutions of a block.
        input_shape: `(height, width, channels)`, uint8.
        classes: number of classes.
        include_top: `False` ends the model with the pooled features.
        classifier_activation: "softmax", or `None` for logits.
        name: name of the model.

    Returns:
        `keras.Model` from images to the probabilities `(batch, classes)`.

    Raises:
        ValueError: the depth is not 6n + 4.

    Example:
        >>> import zoo
        >>> zoo.build("wide_resnet_16_4").count_params()
        2752506
    """
    blocks, rest = divmod(depth - 4, 6)
    if rest or blocks < 1:
        raise ValueError(f"depth must be 6n + 4, such as 16, 28 or 40, not {depth}.")
    inputs, x = raw_input(input_shape, bounds=(-1, 1))
    x = conv(x, 16, 3, use_bias=False, name="stem")  # (batch, 32, 32, 16)
    for stage, filters in enumerate(FILTERS, start=1):
        for block in range(1, blocks + 1):
            strides = 2 if stage > 1 and block == 1 else 1
            label = block_name(stage, block, blocks)
            x = _block(x, filters * widen, strides, dropout, label)
    x = normalized(x, name="post")  # (batch, 8, 8, 64k)
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    if include_top:
        x = predictions(x, classes, classifier_activation)
    return keras.Model(inputs, x, name=name)


def _block(x: KerasTensor, filters: int, strides: int, dropout: float, name: str) -> KerasTensor:
    y = normalized(x, name=f"{name}_pre")
    if x.shape[-1] != filters:
        x = conv(y, filters, 1, strides, use_bias=False, name=f"{name}_shortcut")
    y = conv(y, filters, 3, strides, use_bias=False, name=f"{name}_1_conv")
    y = normalized(y, name=f"{name}_1")
    y = layers.Dropout(dropout, name=f"{name}_dropout")(y)
    y = conv(y, filters, 3, use_bias=False, name=f"{name}_2_conv")
    return layers.Add(name=name)([x, y])
