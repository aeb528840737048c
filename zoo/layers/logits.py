"""The product that scores each token of a vocabulary, which learns fast in bfloat16."""

from collections.abc import Callable
from functools import cache
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="zoo")
class TokenLogits(keras.layers.Dense):
    """A `keras.layers.Dense` that scores tokens in float32, and learns as precisely as it is fed.

    Scores are told apart by their last digits, and so the layer is float32 in any model. But where
    what it reads is bfloat16, digits beyond that are nothing that its gradients could pass on: on
    TensorFlow, their two products are taken in bfloat16, in two thirds of the time.

    - input: `(batch, length, width)`
    - output: float32 logits `(batch, length, vocabulary_size)`

    Args:
        units: number of tokens.
        dtype: of weights and scores.
        **kwargs: of `keras.layers.Dense`.
    """

    def __init__(self, units: int, dtype: Any = "float32", **kwargs: Any) -> None:
        # Without autocast, the layer sees the dtype of what it reads.
        super().__init__(units, dtype=dtype, autocast=False, **kwargs)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Score every token."""
        if not (training and _is_low(inputs)):
            return super().call(ops.cast(inputs, self.compute_dtype))
        x = scores(inputs, self.kernel)
        x = ops.add(x, self.bias) if self.use_bias else x
        return self.activation(x) if self.activation else x


def scores(inputs: Any, kernel: Any, of_rows: bool = False) -> Any:
    """Return the product with a float32 kernel, in float32; where `inputs` are bfloat16, learn so.

    Args:
        inputs: `(…, width)`.
        kernel: `(width, vocabulary_size)`, or with `of_rows` `(vocabulary_size, width)`.
        of_rows: whether the kernel's rows are what the inputs are multiplied by.
    """
    if _is_low(inputs):
        flat = ops.reshape(inputs, (-1, inputs.shape[-1]))
        product = _with_low_gradients(of_rows)(flat, kernel)
        return ops.reshape(product, (*ops.shape(inputs)[:-1], product.shape[-1]))
    kernel = ops.transpose(kernel) if of_rows else kernel
    return ops.matmul(ops.cast(inputs, "float32"), kernel)


def _is_low(x: Any) -> bool:
    low = keras.backend.standardize_dtype(x.dtype) == "bfloat16"
    return low and keras.backend.backend() == "tensorflow"


@cache
def _with_low_gradients(of_rows: bool) -> Callable[[Any, Any], Any]:
    import tensorflow as tf

    @tf.custom_gradient
    def product(inputs: Any, kernel: Any) -> Any:
        """Return `(count, vocabulary_size)` from `(count, width)`."""

        def gradient(upstream: Any) -> tuple[Any, Any]:
            upstream = tf.cast(upstream, inputs.dtype)
            low = tf.cast(kernel, inputs.dtype)
            of_inputs = tf.matmul(upstream, low, transpose_b=not of_rows)
            pair = (upstream, inputs) if of_rows else (inputs, upstream)
            return of_inputs, tf.cast(tf.matmul(*pair, transpose_a=True), kernel.dtype)

        return tf.matmul(tf.cast(inputs, kernel.dtype), kernel, transpose_b=of_rows), gradient

    # A variable itself would ask for its gradient in another way.
    return lambda inputs, kernel: product(inputs, tf.convert_to_tensor(kernel))
