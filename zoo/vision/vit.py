"""The vision transformer, from small ones for 28×28 pixels to ViT-B/16.

*An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale*, Dosovitskiy et al.
2020, https://arxiv.org/abs/2010.11929

Patches become tokens by one strided convolution; a class token goes before them, learned positions
are added; encoder blocks normalize first; the class token, normalized, is the picture's features.
GELU is the tanh form, as in the authors' code. The table's `ti` sizes are those of *How to train
your ViT?*, Steiner et al. 2021, https://arxiv.org/abs/2106.10270, Table 2.
"""

from collections.abc import Sequence

import keras
from keras import KerasTensor, layers

from zoo.layers import ClassToken, Gelu, LearnedPositions, predictions, raw_input
from zoo.spaces import Choice, Float, Int, Space

_EPSILON = 1e-6


SPACES: dict[str, Space] = {
    "vit": {
        "width": Choice((64, 96, 128, 192)),
        "depth": Int(2, 12),
        "num_heads": Choice((2, 4, 8)),
        "dropout": Float(0.0, 0.3),
    }
}


def vit(
    patch_size: int = 4,
    width: int = 64,
    depth: int = 6,
    num_heads: int = 4,
    mlp_width: int | None = None,
    dropout: float = 0.0,
    input_shape: Sequence[int] = (28, 28, 1),
    classes: int = 10,
    include_top: bool = True,
    classifier_activation: str | None = "softmax",
    name: str = "vit",
) -> keras.Model:
    """Build a vision transformer.

    Args:
        patch_size: side of a patch; it divides the picture's height and width.
        width: of a token, D in the paper.
        depth: number of encoder blocks.
        num_heads: number of attention heads; it divides `width`.
        mlp_width: hidden units of a block's perceptron; default `4 * width`.
        dropout: share of what is dropped after the positions and in each block.
        input_shape: `(height, width, channels)`, uint8.
        classes: number of classes.
        include_top: `False` ends the model with the class token's features.
        classifier_activation: "softmax", or `None` for logits.
        name: name of the model.

    Returns:
        `keras.Model` from images to the probabilities `(batch, classes)`.

    Raises:
        ValueError: the patches do not tile the picture, or the heads do not divide the width.

    Example:
        >>> import zoo
        >>> zoo.build("vit_ti4").count_params()
        5362762
    """
    height, wide, _ = input_shape
    if height % patch_size or wide % patch_size:
        raise ValueError(f"patches of {patch_size} do not tile a picture of {height}×{wide}.")
    if width % num_heads:
        raise ValueError(f"{num_heads} heads do not divide a width of {width}.")
    inputs, x = raw_input(input_shape, bounds=(-1, 1))
    x = layers.Conv2D(width, patch_size, patch_size, name="patches")(x)
    tokens = (height // patch_size) * (wide // patch_size)
    x = layers.Reshape((tokens, width), name="tokens")(x)  # (batch, tokens, width)
    x = ClassToken(name="class_token")(x)  # (batch, 1 + tokens, width)
    x = LearnedPositions(name="positions")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    for block in range(1, depth + 1):
        x = _block(x, num_heads, mlp_width or 4 * width, dropout, f"stage{block}")
    x = layers.LayerNormalization(epsilon=_EPSILON, name="norm")(x)
    x = layers.Flatten(name="pooled")(x[:, :1])  # (batch, width)
    if include_top:
        x = predictions(x, classes, classifier_activation)
    return keras.Model(inputs, x, name=name)


def _block(
    x: KerasTensor, num_heads: int, mlp_width: int, dropout: float, name: str
) -> KerasTensor:
    width = x.shape[-1]
    y = layers.LayerNormalization(epsilon=_EPSILON, name=f"{name}_norm1")(x)
    y = layers.MultiHeadAttention(num_heads, width // num_heads, name=f"{name}_attention")(y, y)
    y = layers.Dropout(dropout, name=f"{name}_dropout1")(y)
    x = layers.Add(name=f"{name}_add")([x, y])
    y = layers.LayerNormalization(epsilon=_EPSILON, name=f"{name}_norm2")(x)
    y = layers.Dense(mlp_width, name=f"{name}_mlp1")(y)
    y = Gelu(name=f"{name}_gelu")(y)
    y = layers.Dense(width, name=f"{name}_mlp2")(y)
    y = layers.Dropout(dropout, name=f"{name}_dropout2")(y)
    return layers.Add(name=name)([x, y])
