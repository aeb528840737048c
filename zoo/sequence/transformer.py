"""The transformer that reads a sentence and writes another one.

*Attention Is All You Need*, Vaswani et al. 2017, https://arxiv.org/abs/1706.03762

Table 3 of the paper has the sizes "base" and "big". One table of vectors serves source, target and
output. Deviations: the small size is that of common tutorials, for corpora of some ten thousand
sentences; it normalizes before each part, and once more at the end of encoder and decoder, which
trains without a long warm-up (Xiong et al. 2020, https://arxiv.org/abs/2002.04745).
"""

from typing import Any

import keras
from keras import layers

from zoo.layers import Dropout, SinusoidalPositions, TokenEmbedding, TransformerBlock, padding_bias
from zoo.spaces import Choice, Float, Int, Space

_EPSILON = 1e-6


SPACES: dict[str, Space] = {
    "transformer": {
        "width": Choice((64, 128, 256, 512)),
        "depth": Int(1, 6),
        "num_heads": Choice((2, 4, 8)),
        "dropout": Float(0.0, 0.4),
        "pre_norm": Choice((False, True)),
    }
}


def transformer(
    vocabulary_size: int = 10_000,
    width: int = 256,
    depth: int = 3,
    num_heads: int = 8,
    hidden: int | None = None,
    dropout: float = 0.1,
    pre_norm: bool = True,
    shared_embeddings: bool = True,
    length: int | None = None,
    return_attention: bool = False,
    name: str = "transformer",
) -> keras.Model:
    """Build an encoder and a decoder.

    Args:
        vocabulary_size: number of tokens, the four special ones included: 0 is padding.
        width: of a token's vector, d_model in the paper.
        depth: number of blocks in the encoder, and in the decoder.
        num_heads: number of heads of each attention; it divides `width`.
        hidden: units of a block's perceptron; default `4 * width`.
        dropout: share of what is dropped behind the embeddings and behind each part of a block.
        pre_norm: normalize before each part of a block, and not after it, as the paper does.
        shared_embeddings: one table for source, target and output; else source has its own.
        length: of source and target; default `None`: any. Phones need a fixed one.
        return_attention: whether the model also answers with the weights of the last block's
            attention to the source, as "attention".
        name: name of the model.

    Returns:
        `keras.Model` from int32 "source" `(batch, places)` and "target" `(batch, length)`, which
        begins with the start token, to float32 logits of each next token
        `(batch, length, vocabulary_size)`; with `return_attention`, a `dict` of "logits" and
        "attention", float32 `(batch, num_heads, length, places)`.

    Example:
        >>> import zoo
        >>> zoo.build("transformer_base").count_params()
        63082496
    """
    hidden = hidden or 4 * width
    source = keras.Input((length,), dtype="int32", name="source")
    target = keras.Input((length,), dtype="int32", name="target")
    embed = TokenEmbedding(vocabulary_size, width, scale=True, name="embedding")
    embed_source = embed
    if not shared_embeddings:
        embed_source = TokenEmbedding(vocabulary_size, width, scale=True, name="source_embedding")
    settings: dict[str, Any] = {
        "num_heads": num_heads,
        "hidden": hidden,
        "dropout": dropout,
        "pre_norm": pre_norm,
    }
    hidden_places = padding_bias(source)  # (batch, 1, 1, places)
    x = SinusoidalPositions(name="source_positions")(embed_source(source))
    x = Dropout(dropout, name="source_dropout")(x)  # (batch, places, width)
    for block in range(1, depth + 1):
        x = TransformerBlock(**settings, name=f"encoder{block}")(x, bias=hidden_places)
    memory = layers.LayerNormalization(epsilon=_EPSILON, name="encoder_norm")(x) if pre_norm else x

    x = SinusoidalPositions(name="target_positions")(embed(target))
    x = Dropout(dropout, name="target_dropout")(x)  # (batch, length, width)
    for block in range(1, depth + 1):
        x, attention = TransformerBlock(**settings, causal=True, name=f"decoder{block}")(
            x, memory, memory_bias=hidden_places, return_weights=True
        )
    if pre_norm:
        x = layers.LayerNormalization(epsilon=_EPSILON, name="decoder_norm")(x)
    x = embed(x, reverse=True)  # (batch, length, vocabulary_size)
    logits = layers.Activation("linear", dtype="float32", name="logits")(x)
    outputs = {"logits": logits, "attention": attention} if return_attention else logits
    return keras.Model({"source": source, "target": target}, outputs, name=name)
