"""The scores of a vocabulary's tokens: products that are wide, and learn faster in bfloat16."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="zoo")
class TokenLogits(keras.layers.Dense):
    """A `keras.layers.Dense` whose scores of tokens are float32, and learn as fast as its input.

    Scores are told apart by their last digits, and so the layer is float32 in any model. But while
    a model learns in bfloat16, so does the product here: see `scores`.

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
        if not training:
            return super().call(ops.cast(inputs, self.compute_dtype))
        x = scores(inputs, self.kernel, training)
        x = ops.add(x, self.bias) if self.use_bias else x
        return self.activation(x) if self.activation else x


def scores(inputs: Any, kernel: Any, training: bool | None = None) -> Any:
    """Return the product of inputs and a kernel, in the kernel's dtype.

    The product with a vocabulary is a large part of a small model's work. In training, it and those
    of its gradients are taken in bfloat16 where that is the inputs' dtype, as in every other layer
    of such a model: the sums are float32, and only their last digits are lost.

    Args:
        inputs: `(…, width)`.
        kernel: `(width, vocabulary_size)`.
        training: whether the model learns.
    """
    low = training and keras.backend.standardize_dtype(inputs.dtype) == "bfloat16"
    dtype = "bfloat16" if low else kernel.dtype
    return ops.cast(ops.matmul(ops.cast(inputs, dtype), ops.cast(kernel, dtype)), kernel.dtype)
