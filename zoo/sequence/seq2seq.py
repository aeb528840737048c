"""Recurrent networks that read a sentence and write another one, with and without attention.

- *Sequence to Sequence Learning with Neural Networks*, Sutskever, Vinyals & Le 2014,
  https://arxiv.org/abs/1409.3215: the encoder's last state is the decoder's first.
- *Learning Phrase Representations using RNN Encoder–Decoder for Statistical Machine Translation*,
  Cho et al. 2014, https://arxiv.org/abs/1406.1078: and it is seen at every step.
- *Neural Machine Translation by Jointly Learning to Align and Translate*, Bahdanau, Cho & Bengio
  2014, https://arxiv.org/abs/1409.0473: before each step, the decoder looks at the whole source.
- *Effective Approaches to Attention-based Neural Machine Translation*, Luong, Pham & Manning 2015,
  https://arxiv.org/abs/1508.04025: it looks after each step, in one of three ways ("dot",
  "general", "concat").

Deviations: the source is read forwards; of two directions, both last states make the decoder's
first; the output layer of Cho and Bahdanau is one matrix over state, context and token, without
maxout, and Cho's context is the encoder's state itself; Luong's findings are not fed back, and his
"concat" has a bias; a GRU resets after its matrix product.
"""

from functools import partial

import keras
from keras import KerasTensor, layers, ops

from zoo.layers import (
    AdditiveAttention,
    AttentionDecoder,
    Dropout,
    MultiplicativeAttention,
    places_bias,
)
from zoo.sequence.rnn import CELLS, token_logits
from zoo.spaces import Choice, Float, Int, Space
from zoo.special_tokens import PADDING

_LOOK = {
    "dot": partial(MultiplicativeAttention, general=False),
    "general": partial(MultiplicativeAttention, general=True),
}
ATTENTION = ("bahdanau", "dot", "general", "concat")


SPACES: dict[str, Space] = {
    "seq2seq": {
        "embedding_dim": Int(64, 512, "log"),
        "units": Int(64, 1024, "log"),
        "depth": Int(1, 3),
        "cell": Choice(("lstm", "gru")),
        "dropout": Float(0.0, 0.5),
    }
}


def seq2seq(
    source_vocabulary_size: int = 8_000,
    target_vocabulary_size: int = 6_000,
    embedding_dim: int = 256,
    units: int = 512,
    depth: int = 1,
    cell: str = "lstm",
    attention: str | None = None,
    context_every_step: bool = False,
    bidirectional: bool = False,
    dropout: float = 0.0,
    length: int | None = None,
    return_attention: bool = False,
    name: str = "lstm_seq2seq",
) -> keras.Model:
    """Build an encoder and a decoder.

    Args:
        source_vocabulary_size: number of the source's tokens; 0 is padding.
        target_vocabulary_size: number of the target's.
        embedding_dim: width of a token's vector, on both sides.
        units: of each recurrent layer.
        depth: number of layers in the encoder, and in the decoder.
        cell: "lstm" or "gru".
        attention: "bahdanau", "dot", "general", "concat", or `None` for none.
        context_every_step: every step of the decoder sees the encoder's last state.
        bidirectional: the encoder reads from both ends.
        dropout: share of what is dropped behind the embeddings, between layers, and before the
            output layer.
        length: of source and target; default `None`: any. Phones need a fixed one.
        return_attention: whether the model also answers with its weights, as "attention".
        name: name of the model.

    Returns:
        `keras.Model` from int32 "source" `(batch, places)` and "target" `(batch, length)`, which
        begins with the start token, to float32 logits of each next token
        `(batch, length, target_vocabulary_size)`; with `return_attention`, a `dict` of "logits" and
        "attention", float32 `(batch, length, places)`.

    Raises:
        ValueError: there is no such cell or attention, none whose weights could be returned, or
            "dot" between unequal widths, as with `bidirectional`.

    Example:
        >>> import zoo
        >>> model = zoo.build("gru_attention", return_attention=True)
        >>> sorted(model.output)
        ['attention', 'logits']
    """
    _check(cell, attention, context_every_step, return_attention)
    source = keras.Input((length,), dtype="int32", name="source")
    target = keras.Input((length,), dtype="int32", name="target")
    x = layers.Embedding(source_vocabulary_size, embedding_dim, name="source_embedding")(source)
    x = Dropout(dropout, name="source_dropout")(x)  # (batch, places, embedding_dim)
    mask = ops.not_equal(source, PADDING)
    memory, states = _encoder(x, mask, units, depth, cell, bidirectional, dropout)

    x = layers.Embedding(target_vocabulary_size, embedding_dim, name="target_embedding")(target)
    words = x = Dropout(dropout, name="target_dropout")(x)
    context = states[-1][0]  # (batch, units)
    if context_every_step:
        context = ops.expand_dims(context, 1) + ops.zeros_like(x[..., :1])
        x = layers.Concatenate(name="context")([x, context])  # at every step
    weights = None
    for number, state in enumerate(states, start=1):
        if number == 1 and attention == "bahdanau":
            decode = AttentionDecoder(units, cell, name="decoder1")
            x, found, weights = decode(x, memory, state, places_bias(source))
        else:
            x = CELLS[cell](units, return_sequences=True, name=f"decoder{number}")(
                x, initial_state=state
            )
        if number < depth:
            x = Dropout(dropout, name=f"decoder{number}_dropout")(x)
    if attention == "bahdanau":
        x = layers.Concatenate(name="output")([x, found, words])
    elif attention:
        look = _LOOK.get(attention, partial(AdditiveAttention, units))(name="attention")
        found, weights = look(x, memory, places_bias(source))
        x = layers.Concatenate(name="output")([x, found])
        x = layers.Dense(units, activation="tanh", use_bias=False, name="attentional")(x)
    elif context_every_step:
        x = layers.Concatenate(name="output")([x, context, words])
    x = Dropout(dropout, name="output_dropout")(x)
    logits = token_logits(x, target_vocabulary_size)
    outputs = {"logits": logits, "attention": weights} if return_attention else logits
    return keras.Model({"source": source, "target": target}, outputs, name=name)


def _check(
    cell: str, attention: str | None, context_every_step: bool, return_attention: bool
) -> None:
    if cell not in ("lstm", "gru"):
        raise ValueError(f"cell must be 'lstm' or 'gru', not {cell!r}.")
    if attention not in (None, *ATTENTION):
        raise ValueError(f"attention must be one of {', '.join(ATTENTION)}, not {attention!r}.")
    if attention and context_every_step:
        raise ValueError("a decoder with attention chooses its context: leave context_every_step.")
    if return_attention and not attention:
        raise ValueError("without attention there are no weights to return.")


def _encoder(
    x: KerasTensor,
    mask: KerasTensor,
    units: int,
    depth: int,
    cell: str,
    bidirectional: bool,
    dropout: float,
) -> tuple[KerasTensor, list[list[KerasTensor]]]:
    """Return the last layer's outputs `(batch, places, …)`, and each layer's last states."""
    states = []
    for number in range(1, depth + 1):
        name = f"encoder{number}"
        layer = CELLS[cell](units, return_sequences=True, return_state=True, name=name)
        if not bidirectional:
            x, *state = layer(x, mask=mask)
        else:
            x, *both = layers.Bidirectional(layer, name=name)(x, mask=mask)
            half, state = len(both) // 2, []
            for kind in range(half):  # of an LSTM: hidden, cell
                joined = layers.Concatenate(name=f"{name}_ends{kind + 1}")(both[kind::half])
                bridge = layers.Dense(units, activation="tanh", name=f"{name}_bridge{kind + 1}")
                state.append(bridge(joined))
        states.append(state)
        if number < depth:
            x = Dropout(dropout, name=f"{name}_dropout")(x)
    return x, states
