"""Attention in several heads, over a whole sequence or over what was seen before."""

import math
from typing import Any

import keras
from keras import ops

from zoo.special_tokens import PADDING

# What is added to the score of a place that may not be seen; a half can hold it, too.
NEVER = -3e4


@keras.saving.register_keras_serializable(package="zoo")
class Attention(keras.layers.Layer):
    """Scaled dot-product attention in several heads, with its four projections.

    *Attention Is All You Need*, Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.2

    Called, it attends from every place of `x` to every place of `memory`. The three steps of that
    call are methods of their own, so that a decoder can keep the keys and values of what it has
    said: see `zoo.sequence.decoding`.

    - x: `(batch, length, width)`
    - memory: `(batch, places, width)`; default `x` itself
    - output: `(batch, length, width)`; with `return_weights`, also the float32 weights
      `(batch, num_heads, length, places)`

    Args:
        num_heads: number of heads; it divides the width.
        use_bias: whether the projections have biases.
        **kwargs: of `keras.layers.Layer`.

    Raises:
        ValueError: the heads do not divide the width.

    Example:
        >>> import numpy as np
        >>> from zoo.layers import Attention
        >>> Attention(num_heads=2)(np.ones((1, 3, 8), "float32")).shape
        TensorShape([1, 3, 8])
    """

    def __init__(self, num_heads: int, use_bias: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_heads, self.use_bias = num_heads, use_bias

    def build(self, x_shape: Any, memory_shape: Any = None) -> None:
        """Create the projections."""
        width = x_shape[-1]
        if width % self.num_heads:
            raise ValueError(f"{self.num_heads} heads do not divide a width of {width}.")
        for name, shape in (
            ("query", x_shape),
            ("key", memory_shape or x_shape),
            ("value", memory_shape or x_shape),
            ("output", x_shape),
        ):
            dense = keras.layers.Dense(
                width, use_bias=self.use_bias, dtype=self.dtype_policy, name=name
            )
            dense.build(shape)
            setattr(self, f"{name}_dense", dense)

    def call(
        self, x: Any, memory: Any = None, bias: Any = None, return_weights: bool = False
    ) -> Any:
        """Attend from `x` to `memory`.

        Args:
            x: `(batch, length, width)`.
            memory: `(batch, places, width)`; default `x`.
            bias: added to the scores, of a shape that broadcasts to theirs; see `padding_bias` and
                `causal_bias`.
            return_weights: whether the weights are returned, too.
        """
        keys, values = self.keys_and_values(x if memory is None else memory)
        y, weights = self.attend(x, keys, values, bias)
        return (y, weights) if return_weights else y

    def keys_and_values(self, memory: Any) -> tuple[Any, Any]:
        """Return what is looked for and found in a memory: `(batch, num_heads, places, depth)`."""
        return self._in_heads(self.key_dense(memory)), self._in_heads(self.value_dense(memory))

    def attend(self, x: Any, keys: Any, values: Any, bias: Any = None) -> tuple[Any, Any]:
        """Return the outputs for `x`, and the weights, given keys and values."""
        queries = self.query_dense(x)
        # Scaled while the heads are together: next to the product, TensorFlow would fuse the scale
        # with it and the bias, in a kernel that takes a hundred times as long if that is causal.
        queries = self._in_heads(queries * (1 / math.sqrt(queries.shape[-1] // self.num_heads)))
        scores = ops.cast(ops.matmul(queries, ops.swapaxes(keys, 2, 3)), "float32")
        if bias is not None:
            scores = scores + ops.cast(bias, "float32")  # a layer casts what it is given
        weights = ops.softmax(scores, axis=-1)  # (batch, num_heads, length, places)
        heads = ops.matmul(ops.cast(weights, values.dtype), values)
        heads = ops.transpose(heads, (0, 2, 1, 3))  # (batch, length, num_heads, depth)
        return self.output_dense(ops.reshape(heads, ops.shape(x))), weights

    def _in_heads(self, x: Any) -> Any:
        batch, length, _ = ops.shape(x)
        x = ops.reshape(x, (batch, length, self.num_heads, x.shape[-1] // self.num_heads))
        return ops.transpose(x, (0, 2, 1, 3))

    def compute_output_spec(
        self, x: Any, memory: Any = None, bias: Any = None, return_weights: bool = False
    ) -> Any:
        """Return the outputs' shapes, of which batch and lengths may be unknown."""
        outputs = keras.KerasTensor(x.shape, dtype=self.compute_dtype)
        places = (x if memory is None else memory).shape[1]
        weights = keras.KerasTensor(
            (x.shape[0], self.num_heads, x.shape[1], places), dtype="float32"
        )
        return (outputs, weights) if return_weights else outputs

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "num_heads": self.num_heads, "use_bias": self.use_bias}


def places_bias(ids: Any) -> Any:
    """Return what hides padding, token 0: float32 `(batch, places)`."""
    return ops.cast(ops.equal(ids, PADDING), "float32") * NEVER


def padding_bias(ids: Any) -> Any:
    """Return the same for all queries of all heads: float32 `(batch, 1, 1, places)`."""
    return ops.expand_dims(ops.expand_dims(places_bias(ids), 1), 1)


def causal_bias(length: Any) -> Any:
    """Return what hides every later place: float32 `(1, 1, length, length)`."""
    places = ops.arange(length)
    later = ops.expand_dims(places, 1) < ops.expand_dims(places, 0)
    return ops.expand_dims(ops.expand_dims(ops.cast(later, "float32") * NEVER, 0), 0)
