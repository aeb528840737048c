"""Tokens as vectors, and vectors as scores of tokens; where they stand."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from zoo.layers.logits import scores


@keras.saving.register_keras_serializable(package="zoo")
class TokenEmbedding(keras.layers.Layer):
    """A table with a vector for each token, which also gives the scores of the next token.

    *Using the Output Embedding to Improve Language Models*, Press & Wolf 2016,
    https://arxiv.org/abs/1608.05859

    - ids: int `(batch, length)`; output `(batch, length, width)`
    - with `reverse`: `(batch, length, width)`; output: float32 logits
      `(batch, length, vocabulary_size)`, in any dtype policy

    Args:
        vocabulary_size: number of tokens.
        width: of a vector.
        scale: multiply the vectors by the root of the width, as transformers do; the table then
            begins with a deviation that is as much smaller.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(
        self, vocabulary_size: int, width: int, scale: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size, self.width, self.scale = vocabulary_size, width, scale

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the table."""
        deviation = self.width**-0.5 if self.scale else 0.02
        self.table = self.add_weight(
            shape=(self.vocabulary_size, self.width),
            initializer=keras.initializers.RandomNormal(stddev=deviation),
            autocast=False,
            name="table",
        )

    def call(self, inputs: Any, reverse: bool = False, training: bool | None = None) -> Any:
        """Look up ids, or score every token."""
        if reverse:
            return scores(inputs, ops.transpose(self.table), training)
        x = ops.cast(ops.take(self.table, ops.cast(inputs, "int32"), axis=0), self.compute_dtype)
        return x * math.sqrt(self.width) if self.scale else x

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...], reverse: bool = False
    ) -> tuple[int | None, ...]:
        """Return the shape with a vector, or with a score for each token."""
        if reverse:
            return (*input_shape[:-1], self.vocabulary_size)
        return (*input_shape, self.width)

    def compute_output_spec(
        self, inputs: Any, reverse: bool = False, training: bool | None = None
    ) -> keras.KerasTensor:
        """Return the same, with the dtype."""
        shape = self.compute_output_shape(inputs.shape, reverse)
        return keras.KerasTensor(shape, dtype="float32" if reverse else self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        names = ("vocabulary_size", "width", "scale")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable(package="zoo")
class SinusoidalPositions(keras.layers.Layer):
    """Adds waves of many lengths, by which places can be told apart.

    *Attention Is All You Need*, Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.5

    - x, output: `(batch, length, width)`, of any length
    """

    def call(self, x: Any, start: Any = 0) -> Any:
        """Add the waves, where the first vector of `x` stands at place `start`."""
        width = x.shape[-1]
        places = ops.cast(ops.arange(ops.shape(x)[1]) + start, "float32")
        rates = (1e4 ** (-np.arange(0, width, 2) / width)).astype("float32")
        angles = ops.expand_dims(places, 1) * rates  # (length, width / 2)
        waves = ops.stack([ops.sin(angles), ops.cos(angles)], axis=-1)
        waves = ops.reshape(waves, (1, -1, 2 * len(rates)))[..., :width]
        return x + ops.cast(waves, x.dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the input."""
        return input_shape

    def compute_output_spec(self, x: Any, start: Any = 0) -> keras.KerasTensor:
        """Return the input's shape, with the dtype."""
        return keras.KerasTensor(x.shape, dtype=self.compute_dtype)
