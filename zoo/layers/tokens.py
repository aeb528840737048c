"""What turns a picture's patches into the sequence that a transformer reads."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="zoo")
class ClassToken(keras.layers.Layer):
    """Puts a learned token before a sequence.

    - input: `(batch, length, width)`
    - output: `(batch, 1 + length, width)`
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the token."""
        self.token = self.add_weight(
            shape=(1, 1, input_shape[-1]), initializer="zeros", name="token"
        )

    def call(self, x: Any) -> Any:
        """Put the token before `x`."""
        # A sum with zeros of x's own batch: `broadcast_to` would need the batch as a tensor.
        token = ops.zeros_like(x[:, :1]) + ops.cast(self.token, x.dtype)
        return ops.concatenate([token, x], axis=1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape, one token longer."""
        batch, length, width = input_shape
        return batch, None if length is None else length + 1, width


@keras.saving.register_keras_serializable(package="zoo")
class LearnedPositions(keras.layers.Layer):
    """Adds a learned vector to each place of a sequence of fixed length.

    - input, output: `(batch, length, width)`
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create a vector for each place."""
        self.positions = self.add_weight(
            shape=(1, *input_shape[1:]),
            initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            name="positions",
        )

    def call(self, x: Any) -> Any:
        """Add the vectors to `x`."""
        return x + ops.cast(self.positions, x.dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the input."""
        return input_shape
