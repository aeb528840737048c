"""Codes that are drawn in training, and what it costs to tell them from noise."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="zoo")
class GaussianCode(keras.layers.Layer):
    """A normal number around each mean in training, and the mean itself afterwards.

    *Auto-Encoding Variational Bayes*, Kingma & Welling 2014, https://arxiv.org/abs/1312.6114,
    sections 2.4 and 3

    In training, the mean Kullback-Leibler divergence of the codes from the standard normal
    distribution (nats), times `weight`, is added to the model's losses.

    - input: a pair of float tensors `(batch, …, width)`: means, and logarithms of the variances
    - output: float tensor `(batch, …, width)`

    Args:
        weight: of the divergence. Default 1.
        seed: of the noise; `None` takes Keras' own.
        **kwargs: of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> from zoo.layers import GaussianCode
        >>> layer, mean = GaussianCode(), np.ones((2, 3), "float32")
        >>> np.asarray(layer([mean, 0 * mean])).tolist()
        [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
        >>> layer([mean, 0 * mean], training=True).shape, float(layer.losses[0])
        (TensorShape([2, 3]), 1.5)
    """

    def __init__(self, weight: float = 1.0, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.weight, self.seed = weight, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Draw codes, or return their means."""
        mean, log_variance = inputs
        if not training:
            return mean
        self.add_loss(self.weight * ops.mean(divergence(mean, log_variance)))
        noise = keras.random.normal(ops.shape(mean), dtype=mean.dtype, seed=self.seed_generator)
        return mean + ops.exp(log_variance / 2) * noise

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the means."""
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "weight": self.weight, "seed": self.seed}


def divergence(mean: Any, log_variance: Any) -> Any:
    """Return the divergence (nats) of normal distributions from the standard one `(batch,)`.

    Args:
        mean: `(batch, …)`.
        log_variance: of the same shape.

    Example:
        >>> import numpy as np
        >>> from zoo.layers.gaussian_code import divergence
        >>> float(divergence(np.array([[2.0, 0.0]]), np.zeros((1, 2)))[0])
        2.0
    """
    mean, log_variance = ops.cast(mean, "float32"), ops.cast(log_variance, "float32")
    terms = ops.square(mean) + ops.exp(log_variance) - 1 - log_variance
    return ops.sum(terms, axis=tuple(range(1, len(terms.shape)))) / 2
