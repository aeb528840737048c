"""Activations rounded as they are where a model runs in int8."""

from typing import Any

import keras
from keras import ops

_LEAST_RANGE = 1e-6


@keras.saving.register_keras_serializable(package="zoo")
class FakeQuantize(keras.layers.Layer):
    """Rounds what goes through it to 256 evenly spaced values, one of which is 0.

    *Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference*,
    Jacob et al. 2018, https://arxiv.org/abs/1712.05877, section 3

    In training their range follows the least and the greatest of each batch, and gradients pass as
    if nothing were rounded, but where a number lies outside; afterwards it stays. LiteRT's
    converter takes the range over.

    - input: float tensor of any shape
    - output: float tensor of that shape

    Args:
        momentum: of the range's moving average. Default 0.99.
        **kwargs: of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> from zoo.layers import FakeQuantize
        >>> layer = FakeQuantize()
        >>> layer.adapt(np.array([0.0, 255.0]))
        >>> np.asarray(layer(np.array([0.4, 17.6, 999.0]))).tolist()
        [0.0, 18.0, 255.0]
    """

    def __init__(self, momentum: float = 0.99, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.momentum = momentum

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the range."""
        self.least = self.add_weight(shape=(), initializer="zeros", trainable=False, name="least")
        self.greatest = self.add_weight(
            shape=(), initializer="ones", trainable=False, name="greatest"
        )

    def adapt(self, examples: Any) -> None:
        """Take the range from an array of any shape."""
        if not self.built:
            self.build(examples.shape)
        self._follow(examples, 0.0)

    def call(self, x: Any, training: bool | None = False) -> Any:
        """Round `x`."""
        if training:
            self._follow(x, self.momentum)
        return keras.quantizers.fake_quant_with_min_max_vars(x, self.least, self.greatest)

    def _follow(self, x: Any, momentum: float) -> None:
        """Move the range towards that of `x`; 0 always lies in it."""
        least = ops.minimum(ops.cast(ops.min(x), self.least.dtype), 0)
        greatest = ops.maximum(ops.cast(ops.max(x), self.greatest.dtype), 0)
        greatest = ops.maximum(greatest, least + _LEAST_RANGE)
        self.least.assign(momentum * self.least + (1 - momentum) * least)
        self.greatest.assign(momentum * self.greatest + (1 - momentum) * greatest)

    def compute_output_spec(self, x: Any, training: bool | None = False) -> Any:
        """Return the input's shape and dtype."""
        return keras.KerasTensor(x.shape, dtype=x.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "momentum": self.momentum}
