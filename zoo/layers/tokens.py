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
    """Adds a learned vector to each place of a sequence.

    - x, output: `(batch, length, width)`

    Args:
        max_length: number of places that have a vector; default the length of the input, which is
            then fixed.
        **kwargs: of `keras.layers.Layer`.

    Raises:
        ValueError: a sequence is longer than `max_length`. Of one whose length is known only when
            the graph runs, TensorFlow tells it on a CPU alone.
    """

    def __init__(self, max_length: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_length = max_length

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create a vector for each place."""
        self.positions = self.add_weight(
            shape=(1, self.max_length or input_shape[1], input_shape[-1]),
            initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            name="positions",
        )

    def call(self, x: Any, start: Any = 0) -> Any:
        """Add the vectors to `x`, whose first one stands at place `start`."""
        self._check(x.shape[1])
        positions = ops.cast(self.positions, x.dtype)
        if self.max_length is not None:
            positions = ops.take(positions, ops.arange(ops.shape(x)[1]) + start, axis=1)
        return x + positions

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the input."""
        return input_shape

    def compute_output_spec(self, x: Any, start: Any = 0) -> keras.KerasTensor:
        """Return the input's shape, with the dtype."""
        self._check(x.shape[1])
        return keras.KerasTensor(x.shape, dtype=self.compute_dtype)

    def _check(self, length: int | None) -> None:
        if length is not None and self.max_length is not None and length > self.max_length:
            raise ValueError(f"{length} places are more than the {self.max_length} positions.")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "max_length": self.max_length}
