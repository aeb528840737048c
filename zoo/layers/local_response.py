"""Local response normalization."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="zoo")
class LocalResponseNormalization(keras.layers.Layer):
    """Divide each activation by a power of the energy of its neighbours among the channels.

    *ImageNet Classification with Deep Convolutional Neural Networks*, Krizhevsky, Sutskever &
    Hinton 2012, section 3.3: `x / (k + alpha * sum of x² over size channels) ** beta`. Made of
    ordinary operations, so that every export knows it. It has no weights, and computes in float32:
    squares leave the range of half precision.

    - input: `(batch, height, width, channels)`
    - output: the same shape

    Args:
        size: number of channels in the sum, odd.
        alpha: factor of the sum.
        beta: exponent.
        k: constant.

    Raises:
        ValueError: the size is even.

    Example:
        >>> import numpy as np
        >>> from zoo.layers import LocalResponseNormalization
        >>> x = np.ones((1, 1, 1, 3), "float32")
        >>> layer = LocalResponseNormalization(size=3, alpha=1.0, beta=1.0, k=0.0)
        >>> np.asarray(layer(x), float).ravel().round(3).tolist()
        [0.5, 0.333, 0.5]
    """

    def __init__(
        self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if size % 2 == 0:
            raise ValueError(f"size must be odd, not {size}.")
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def call(self, inputs: Any) -> Any:
        """Normalize `inputs`."""
        x = ops.cast(inputs, "float32")
        channels, reach = x.shape[-1], self.size // 2
        squares = ops.pad(ops.square(x), ((0, 0), (0, 0), (0, 0), (reach, reach)))
        energy = squares[..., :channels]
        for shift in range(1, self.size):
            energy = energy + squares[..., shift : shift + channels]
        scale = ops.power(self.k + self.alpha * energy, -self.beta)
        return ops.cast(x * scale, self.compute_dtype)

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        """Return the shape of the input in the layer's dtype."""
        return keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Return what the layer was made with."""
        own = {"size": self.size, "alpha": self.alpha, "beta": self.beta, "k": self.k}
        return super().get_config() | own
