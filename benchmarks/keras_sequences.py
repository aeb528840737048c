"""The models of `train_sequence.py` as they are written with Keras' own layers.

They have the layers and weights of the zoo's models, and drop in the same places.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops


def lstm_seq2seq(vocabulary: int, width: int, length: int, dropout: float) -> keras.Model:
    """Return an encoder whose last state is the decoder's first."""
    source, target = (keras.Input((length,), dtype="int32", name=n) for n in ("source", "target"))
    x = layers.Dropout(dropout)(layers.Embedding(vocabulary, width, mask_zero=True)(source))
    _, *state = layers.LSTM(width, return_state=True)(x)
    x = layers.Dropout(dropout)(layers.Embedding(vocabulary, width)(target))
    x = layers.LSTM(width, return_sequences=True)(x, initial_state=state)
    x = layers.Dense(vocabulary, dtype="float32")(layers.Dropout(dropout)(x))
    return keras.Model({"source": source, "target": target}, x)


class Attentive(layers.Layer):
    """A GRU that looks at the whole source before each of its steps, which are laid out."""

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cell = layers.GRUCell(width)
        self.of_query, self.of_memory = layers.Dense(width), layers.Dense(width, use_bias=False)
        self.score = layers.Dense(1, use_bias=False)

    def build(self, x_shape: Any, memory_shape: Any, **shapes: Any) -> None:
        """Create the weights."""
        self.cell.build((None, x_shape[-1] + memory_shape[-1]))
        self.of_query.build((None, self.cell.units))
        self.of_memory.build(memory_shape)
        self.score.build((None, None, self.cell.units))

    def call(self, x: Any, memory: Any, state: Any, source: Any) -> tuple[Any, Any]:
        """Return the states, and what was found."""
        bias = ops.cast(ops.equal(source, 0), "float32") * -3e4
        keys, states, findings = self.of_memory(memory), [], []
        for step in range(x.shape[1]):
            query = ops.expand_dims(self.of_query(state), 1)
            scores = self.score(ops.tanh(query + keys))[..., 0]
            weights = ops.softmax(ops.cast(scores, "float32") + bias)
            weights = ops.expand_dims(ops.cast(weights, memory.dtype), 1)
            found = ops.matmul(weights, memory)[:, 0]
            state, _ = self.cell(ops.concatenate([x[:, step], found], axis=-1), [state])
            states.append(state)
            findings.append(found)
        return ops.stack(states, axis=1), ops.stack(findings, axis=1)


def gru_attention(vocabulary: int, width: int, length: int, dropout: float) -> keras.Model:
    """Return an encoder that reads from both ends, and the decoder above."""
    source, target = (keras.Input((length,), dtype="int32", name=n) for n in ("source", "target"))
    x = layers.Dropout(dropout)(layers.Embedding(vocabulary, width, mask_zero=True)(source))
    gru = layers.GRU(width, return_sequences=True, return_state=True)
    memory, *ends = layers.Bidirectional(gru)(x)
    state = layers.Dense(width, activation="tanh")(layers.Concatenate()(ends))
    words = layers.Dropout(dropout)(layers.Embedding(vocabulary, width)(target))
    x, found = Attentive(width)(words, memory, state, source)
    x = layers.Dropout(dropout)(layers.Concatenate()([x, found, words]))
    return keras.Model(
        {"source": source, "target": target}, layers.Dense(vocabulary, dtype="float32")(x)
    )


def transformer(vocabulary: int, width: int, length: int, dropout: float) -> keras.Model:
    """Return four blocks with eight heads each on both sides, and one table of vectors."""
    heads = 8
    source, target = (keras.Input((length,), dtype="int32", name=n) for n in ("source", "target"))
    table = layers.ReversibleEmbedding(vocabulary, width)
    angles = ops.outer(ops.arange(length, dtype="float32"), 1e4 ** -(ops.arange(0, 1, 2 / width)))
    waves = ops.reshape(ops.stack([ops.sin(angles), ops.cos(angles)], -1), (1, length, width))

    def embed(ids: Any) -> Any:
        x = table(ids) * math.sqrt(width)
        return layers.Dropout(dropout)(x + ops.cast(waves, x.dtype))

    def norm(x: Any) -> Any:
        return layers.LayerNormalization(epsilon=1e-6)(x)

    def attend(x: Any, *memory: Any, **settings: Any) -> Any:
        y = norm(x)
        layer = layers.MultiHeadAttention(heads, width // heads)
        y = layer(y, *(memory or (y,)), **settings)
        return x + layers.Dropout(dropout)(y)

    def perceptron(x: Any) -> Any:
        y = layers.Dense(width)(layers.Dense(4 * width, activation="relu")(norm(x)))
        return x + layers.Dropout(dropout)(y)

    seen = ops.expand_dims(ops.not_equal(source, 0), 1)  # (batch, 1, places)
    x = embed(source)
    for _ in range(4):
        x = perceptron(attend(x, attention_mask=seen))
    memory, x = norm(x), embed(target)
    for _ in range(4):
        x = attend(x, use_causal_mask=True)
        x = perceptron(attend(x, memory, attention_mask=seen))
    x = table(norm(x), reverse=True)
    x = layers.Activation("linear", dtype="float32")(x)
    return keras.Model({"source": source, "target": target}, x)


MODELS: dict[str, Callable[[int, int, int, float], keras.Model]] = {
    "lstm_seq2seq": lstm_seq2seq,
    "gru_attention": gru_attention,
    "transformer": transformer,
}
