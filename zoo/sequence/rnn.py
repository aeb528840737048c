"""Recurrent networks that read a text: to say what it is, or what comes next.

*Finding Structure in Time*, Elman 1990, https://doi.org/10.1207/s15516709cog1402_1 (simple cell);
*Long Short-Term Memory*, Hochreiter & Schmidhuber 1997,
https://doi.org/10.1162/neco.1997.9.8.1735 (LSTM);
*Learning Phrase Representations using RNN Encoder–Decoder for Statistical Machine Translation*, Cho
et al. 2014, https://arxiv.org/abs/1406.1078 (GRU)

Deviations: an LSTM has a forget gate, which came in 2000, and one bias; a GRU resets after its
matrix product, as fast kernels do.
"""

from collections.abc import Sequence
from functools import partial

import keras
from keras import KerasTensor, layers

from zoo.layers import Dropout, TokenLogits, predictions
from zoo.spaces import Choice, Float, Int, Space, Widths

CELLS = {"simple": layers.SimpleRNN, "lstm": layers.LSTM, "gru": layers.GRU}


_SEARCHED: Space = {
    "embedding_dim": Int(16, 256, "log"),
    "units": Widths(1, 2, Int(32, 512, "log")),
    "cell": Choice(("simple", "lstm", "gru")),
    "dropout": Float(0.0, 0.5),
}
SPACES: dict[str, Space] = {
    "rnn_classifier": {**_SEARCHED, "bidirectional": Choice((False, True))},
    "rnn_language_model": _SEARCHED,
}


def rnn_classifier(
    vocabulary_size: int = 10_000,
    embedding_dim: int = 128,
    units: Sequence[int] = (128,),
    cell: str = "lstm",
    bidirectional: bool = False,
    dropout: float = 0.0,
    length: int | None = None,
    unroll: bool = False,
    classes: int = 2,
    include_top: bool = True,
    classifier_activation: str | None = "softmax",
    name: str = "lstm_classifier",
) -> keras.Model:
    """Build a classifier of texts.

    Args:
        vocabulary_size: number of tokens; 0 is padding, which is passed over.
        embedding_dim: width of a token's vector.
        units: of each recurrent layer, from the input upwards.
        cell: "simple", "lstm" or "gru".
        bidirectional: a second network reads from the end, and both answers are put together.
        dropout: share of what is dropped behind the embedding and behind each layer.
        length: of the texts; default `None`: any. Phones need a fixed one.
        unroll: lay the steps out one after the other in place of a loop; needs `length`.
        classes: number of classes.
        include_top: `False` ends the model with the last layer's state.
        classifier_activation: "softmax", or `None` for logits.
        name: name of the model.

    Returns:
        `keras.Model` from int32 "ids" `(batch, length)` to the probabilities `(batch, classes)`.

    Raises:
        ValueError: there is no such cell.

    Example:
        >>> import zoo
        >>> zoo.build("lstm_classifier").count_params()
        1411842
    """
    recur = partial(_recurrent, cell, bidirectional=bidirectional, unroll=unroll)
    ids = keras.Input((length,), dtype="int32", name="ids")
    x = layers.Embedding(vocabulary_size, embedding_dim, mask_zero=True, name="embedding")(ids)
    x = Dropout(dropout, name="dropout")(x)  # (batch, length, embedding_dim)
    for stage, width in enumerate(units, start=1):
        last = stage == len(units)
        x = recur(width, return_sequences=not last, name=f"stage{stage}")(x)
        x = Dropout(dropout, name=f"dropout{stage}")(x)
    # (batch, units), or twice as many
    if include_top:
        x = predictions(x, classes, classifier_activation)
    return keras.Model(ids, x, name=name)


def rnn_language_model(
    vocabulary_size: int = 100,
    embedding_dim: int = 64,
    units: Sequence[int] = (256, 256),
    cell: str = "lstm",
    dropout: float = 0.0,
    length: int | None = None,
    batch_size: int | None = None,
    stateful: bool = False,
    unroll: bool = False,
    name: str = "lstm_language_model",
) -> keras.Model:
    """Build a language model.

    Args:
        vocabulary_size: number of tokens.
        embedding_dim: width of a token's vector.
        units: of each recurrent layer, from the input upwards.
        cell: "simple", "lstm" or "gru".
        dropout: share of what is dropped behind the embedding and behind each layer.
        length: of the texts; default `None`: any.
        batch_size: number of texts; default `None`: any.
        stateful: a batch goes on where the one before it ended, which is how a network is trained
            on a long text by truncated backpropagation; needs `batch_size`.
        unroll: lay the steps out one after the other in place of a loop; needs `length`.
        name: name of the model.

    Returns:
        `keras.Model` from int32 "ids" `(batch, length)`, of which a text's first is the start
        token, to float32 logits of each next token `(batch, length, vocabulary_size)`.

    Raises:
        ValueError: there is no such cell.

    Example:
        >>> import zoo
        >>> zoo.build("lstm_language_model").count_params()
        886116
    """
    recur = partial(_recurrent, cell, stateful=stateful, unroll=unroll, return_sequences=True)
    ids = keras.Input((length,), batch_size=batch_size, dtype="int32", name="ids")
    x = layers.Embedding(vocabulary_size, embedding_dim, name="embedding")(ids)
    x = Dropout(dropout, name="dropout")(x)  # (batch, length, embedding_dim)
    for stage, width in enumerate(units, start=1):
        x = recur(width, name=f"stage{stage}")(x)
        x = Dropout(dropout, name=f"dropout{stage}")(x)
    # (batch, length, units)
    return keras.Model(ids, token_logits(x, vocabulary_size), name=name)


def token_logits(x: KerasTensor, vocabulary_size: int) -> KerasTensor:
    """Score each next token: a float32 layer named "logits", in any dtype policy."""
    return TokenLogits(vocabulary_size, name="logits")(x)


def _recurrent(
    cell: str, units: int, bidirectional: bool = False, name: str = "", **settings: bool
) -> keras.layers.Layer:
    if cell not in CELLS:
        raise ValueError(f"cell must be one of {', '.join(CELLS)}, not {cell!r}.")
    if not bidirectional:
        return CELLS[cell](units, name=name, **settings)
    return layers.Bidirectional(CELLS[cell](units, **settings), name=name)
