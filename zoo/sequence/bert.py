"""The transformer's encoder alone: reads a text and says what it is.

*BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding*, Devlin et al.
2018, https://arxiv.org/abs/1810.04805

The sizes are section 3's and those of *Well-Read Students Learn Better*, Turc et al. 2019,
https://arxiv.org/abs/1908.08962, Table 1. The features are those of the first token, through a
layer with tanh; it is the start token. GELU is the tanh form. Deviations: the heads for
pre-training are left out; attention's weights are not dropped; kernels begin as Keras' do.
"""

import keras
from keras import layers

from zoo.layers import Dropout, LearnedPositions, TransformerBlock, padding_bias, predictions
from zoo.spaces import Choice, Float, Int, Space

_EPSILON = 1e-12


SPACES: dict[str, Space] = {
    "bert": {
        "width": Choice((64, 128, 256, 512)),
        "depth": Int(1, 6),
        "num_heads": Choice((2, 4, 8)),
        "dropout": Float(0.0, 0.4),
    }
}


def bert(
    vocabulary_size: int = 10_000,
    width: int = 128,
    depth: int = 2,
    num_heads: int = 2,
    hidden: int | None = None,
    max_length: int = 512,
    segments: int = 0,
    dropout: float = 0.1,
    length: int | None = None,
    classes: int = 2,
    include_top: bool = True,
    classifier_activation: str | None = "softmax",
    name: str = "bert",
) -> keras.Model:
    """Build an encoder of texts.

    Args:
        vocabulary_size: number of tokens; 0 is padding.
        width: of a token's vector, H in the paper.
        depth: number of blocks, L in the paper.
        num_heads: number of heads, A in the paper; it divides `width`.
        hidden: units of a block's perceptron; default `4 * width`.
        max_length: number of places that have a position.
        segments: number of kinds of sentences in a text; 0 leaves the input "segments" out.
        dropout: share of what is dropped behind the embeddings and behind each part of a block.
        length: of the texts; default `None`: any. Phones need a fixed one.
        classes: number of classes.
        include_top: `False` ends the model with the features, `(batch, width)`.
        classifier_activation: "softmax", or `None` for logits.
        name: name of the model.

    Returns:
        `keras.Model` from int32 "ids" `(batch, length)`, which begin with the start token, and
        "segments" where there are some, to the probabilities `(batch, classes)`.

    Raises:
        ValueError: `length` is greater than `max_length`.

    Example:
        >>> import zoo
        >>> zoo.build("bert_tiny").count_params()
        4385920
    """
    ids = keras.Input((length,), dtype="int32", name="ids")
    inputs = {"ids": ids}
    x = _table(vocabulary_size, width, "embedding")(ids)
    if segments:
        inputs["segments"] = keras.Input((length,), dtype="int32", name="segments")
        table = _table(segments, width, "segment_embedding")
        x = layers.Add(name="embeddings")([x, table(inputs["segments"])])
    x = LearnedPositions(max_length, name="positions")(x)
    x = layers.LayerNormalization(epsilon=_EPSILON, name="embedding_norm")(x)
    x = Dropout(dropout, name="embedding_dropout")(x)
    hidden_places = padding_bias(ids)  # (batch, 1, 1, length)
    for block in range(1, depth + 1):
        x = TransformerBlock(
            num_heads,
            hidden or 4 * width,
            dropout,
            activation="gelu",
            epsilon=_EPSILON,
            name=f"stage{block}",
        )(x, bias=hidden_places)
    x = layers.Dense(width, activation="tanh", name="pooled")(x[:, 0])  # (batch, width)
    if include_top:
        x = Dropout(dropout, name="dropout")(x)
        x = predictions(x, classes, classifier_activation)
    return keras.Model(inputs if segments else ids, x, name=name)


def _table(tokens: int, width: int, name: str) -> keras.layers.Embedding:
    normal = keras.initializers.TruncatedNormal(stddev=0.02)  # one that is shared repeats itself
    return layers.Embedding(tokens, width, normal, name=name)
