"""Standardization of table columns, with statistics that are ordinary weights."""

from typing import Any

import keras
import numpy as np


@keras.saving.register_keras_serializable(package="zoo")
class Standardize(keras.layers.Layer):
    """Subtracts a mean and divides by a standard deviation, column by column.

    `keras.layers.Normalization` keeps its statistics as constants beside its weights, which go
    stale when weights are copied with `set_weights`; here they are the weights, so that every way
    of copying, saving and exporting a model carries them.

    - input: float tensor `(batch, features)` in physical units
    - output: float tensor `(batch, features)`, mean 0 and deviation 1 over the adapted examples

    Args:
        **kwargs: of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> from zoo.layers import Standardize
        >>> layer = Standardize()
        >>> layer.adapt(np.array([[1.0], [3.0]]))
        >>> np.asarray(layer(np.array([[1.0], [3.0]]))).ravel().tolist()
        [-1.0, 1.0]
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the statistics for the last axis of `input_shape`."""
        shape = (input_shape[-1],)
        self.mean = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="mean")
        self.deviation = self.add_weight(
            shape=shape, initializer="ones", trainable=False, name="deviation"
        )

    def adapt(self, features: np.ndarray) -> None:
        """Take the statistics from an array `(examples, features)`; a constant column stays 0."""
        if not self.built:
            self.build(features.shape)
        constant = np.ptp(features, axis=0) == 0  # its deviation is rounding, not 0
        self.mean.assign(np.mean(features, axis=0, dtype="float64"))
        deviation = np.std(features, axis=0, dtype="float64")
        self.deviation.assign(np.where(constant, 1.0, deviation))

    def call(self, features: Any) -> Any:
        """Standardize `features`."""
        return (features - self.mean) / self.deviation

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the input."""
        return input_shape
