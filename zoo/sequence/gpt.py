"""The transformer's decoder alone: a language model that says what comes next.

*Language Models are Unsupervised Multitask Learners*, Radford et al. 2019 (GPT-2),
https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf

Table 2 of the paper has the sizes. Blocks normalize before each part, and the whole once more at
the end; one table of vectors serves input and output. GELU is the tanh form, as in the authors'
code. Deviations: attention's weights are not dropped; kernels begin as Keras' do, and those that
end in a residual are not smaller.
"""

import keras
from keras import layers

from zoo.layers import Dropout, LearnedPositions, TokenEmbedding, TransformerBlock
from zoo.spaces import Choice, Float, Int, Space

_EPSILON = 1e-5


SPACES: dict[str, Space] = {
    "gpt": {
        "width": Choice((64, 128, 256, 512)),
        "depth": Int(1, 8),
        "num_heads": Choice((2, 4, 8)),
        "dropout": Float(0.0, 0.4),
    }
}


def gpt(
    vocabulary_size: int = 100,
    width: int = 192,
    depth: int = 6,
    num_heads: int = 6,
    max_length: int = 256,
    dropout: float = 0.1,
    length: int | None = None,
    name: str = "gpt",
) -> keras.Model:
    """Build a language model.

    Args:
        vocabulary_size: number of tokens.
        width: of a token's vector.
        depth: number of blocks.
        num_heads: number of heads; it divides `width`.
        max_length: number of places that have a position.
        dropout: share of what is dropped behind the embeddings and behind each part of a block.
        length: of the texts; default `None`: any. Phones need a fixed one.
        name: name of the model.

    Returns:
        `keras.Model` from int32 "ids" `(batch, length)`, which begin with the start token, to
        float32 logits of each next token `(batch, length, vocabulary_size)`.

    Raises:
        ValueError: `length` is greater than `max_length`.

    Example:
        >>> import zoo
        >>> zoo.build("gpt").count_params()
        2737920
    """
    ids = keras.Input((length,), dtype="int32", name="ids")
    embed = TokenEmbedding(vocabulary_size, width, name="embedding")
    x = LearnedPositions(max_length, name="positions")(embed(ids))
    x = Dropout(dropout, name="dropout")(x)  # (batch, length, width)
    for block in range(1, depth + 1):
        x = TransformerBlock(
            num_heads,
            4 * width,
            dropout,
            causal=True,
            pre_norm=True,
            activation="gelu",
            epsilon=_EPSILON,
            name=f"stage{block}",
        )(x)
    x = layers.LayerNormalization(epsilon=_EPSILON, name="norm")(x)
    x = embed(x, reverse=True)  # (batch, length, vocabulary_size)
    logits = layers.Activation("linear", dtype="float32", name="logits")(x)
    return keras.Model(ids, logits, name=name)
