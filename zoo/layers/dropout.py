"""Dropout that trains fast on TensorFlow."""

from typing import Any

import keras

_LEVELS = 2**16  # values of the 16 bits that decide about a number


@keras.saving.register_keras_serializable(package="zoo")
class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout`, which draws 16 random bits for each number while it trains.

    *Dropout: A Simple Way to Prevent Neural Networks from Overfitting*, Srivastava et al. 2014,
    https://jmlr.org/papers/v15/srivastava14a.html

    On TensorFlow, Keras draws a float for each number, which takes as long as a small product of
    matrices; four numbers share one draw here. They are dropped with the multiple of 1 / 65536 that
    is nearest to `rate`, and what is left is scaled by just that. Configuration, seeds and their
    state, inference, export and every other backend are those of the parent; so are a layer with a
    `noise_shape` and one that drops all.

    - input, output: any shape, in the layer's compute dtype

    Args:
        *args: of `keras.layers.Dropout`.
        **kwargs: of `keras.layers.Dropout`.

    Example:
        >>> import numpy as np
        >>> from zoo.layers import Dropout
        >>> y = Dropout(0.5, seed=0)(np.ones((2, 1000), "float32"), training=True)
        >>> sorted(set(np.asarray(y).ravel().tolist()))
        [0.0, 2.0]
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Drop some of the numbers in `inputs`."""
        if training and self._draws_bits():
            return inputs * self._factors(inputs)
        return super().call(inputs, training=training)

    def _draws_bits(self) -> bool:
        return (
            keras.backend.backend() == "tensorflow"
            and 0 < self.rate < 1
            and self.noise_shape is None
        )

    def _factors(self, inputs: Any) -> Any:
        """Return what each number is multiplied by, in its dtype."""
        import tensorflow as tf

        dropped = min(round(self.rate * _LEVELS), _LEVELS - 1)
        shape, size = tf.shape(inputs), tf.size(inputs)
        width = (inputs.shape[-1] or 1) if inputs.shape.rank else 1
        even = width % 4 == 0
        count = tf.concat([shape[:-1], [width // 4]], 0) if even else [(size + 3) // 4]
        seed = self.seed_generator.next()
        draws = tf.random.stateless_uniform(count, seed, None, None, "int64", alg="philox")
        bits = tf.bitcast(draws, "int16")  # (…, 4)
        if not even:
            bits = tf.reshape(bits, [-1])[:size]
        kept = tf.reshape(bits, shape) >= dropped - _LEVELS // 2
        return tf.cast(kept, inputs.dtype) * (_LEVELS / (_LEVELS - dropped))
