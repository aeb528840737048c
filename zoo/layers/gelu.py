"""The Gaussian error linear unit, which trains fast on TensorFlow."""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import keras

_SCALE, _CUBIC = math.sqrt(2 / math.pi), 0.044715


@keras.saving.register_keras_serializable(package="zoo")
class Gelu(keras.layers.Layer):
    """The GELU in its tanh form: `x / 2 * (1 + tanh(√(2/π) * (x + 0.044715 x³)))`.

    *Gaussian Error Linear Units (GELUs)*, Hendrycks & Gimpel 2016,
    https://arxiv.org/abs/1606.08415, section 2

    TensorFlow passes over the activations once for each operation in it, and in its gradient. In
    training, XLA makes one pass of each, and the backward one starts from the input alone.
    Inference, export and every other backend take `keras.activations.gelu`.

    - input, output: any shape, in the layer's compute dtype

    Example:
        >>> import numpy as np
        >>> from zoo.layers import Gelu
        >>> np.asarray(Gelu()(np.array([-1.0, 0.0, 2.0], "float32")), float).round(3).tolist()
        [-0.159, 0.0, 1.955]
    """

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Activate `inputs`."""
        if training and keras.backend.backend() == "tensorflow":
            return _fused()(inputs)
        return keras.activations.gelu(inputs, approximate=True)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the input."""
        return input_shape


@cache
def _fused() -> Callable[[Any], Any]:
    import tensorflow as tf

    def with_tanh(x: Any) -> tuple[Any, Any]:
        """Return x in float32, in which its cube keeps its digits, and the tanh of the formula."""
        x = tf.cast(x, "float32")
        return x, tf.tanh(_SCALE * (x + _CUBIC * x * x * x))

    @tf.function(jit_compile=True, autograph=False)
    def forward(inputs: Any) -> Any:
        x, tanh = with_tanh(inputs)
        return tf.cast(0.5 * x * (1 + tanh), inputs.dtype)

    @tf.function(jit_compile=True, autograph=False)
    def backward(inputs: Any, upstream: Any) -> Any:
        x, tanh = with_tanh(inputs)
        slope = _SCALE * (1 + 3 * _CUBIC * x * x)
        slope = 0.5 * (1 + tanh + x * (1 - tanh * tanh) * slope)
        return tf.cast(tf.cast(upstream, "float32") * slope, inputs.dtype)

    @tf.custom_gradient
    def gelu(inputs: Any) -> Any:
        return forward(inputs), lambda upstream: backward(inputs, upstream)

    return gelu
