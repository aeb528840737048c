"""Losses of the scores of tokens, of which a batch has millions."""

from collections.abc import Callable
from functools import cache
from typing import Any

import keras
from keras import ops


def token_losses(labels: Any, logits: Any, label_smoothing: float = 0.0) -> Any:
    """Return the cross-entropy of each token.

    TensorFlow passes over the logits once for each operation in it, and in its gradient. XLA makes
    three passes in all: for the highest, for the sum, and for the gradient.

    Args:
        labels: int `(batch, length)`.
        logits: float `(batch, length, vocabulary_size)`.
        label_smoothing: share of the probability that is spread evenly over all tokens.

    Returns:
        float32 `(batch, length)`, in nats.

    Example:
        >>> import numpy as np
        >>> from zoo.layers import token_losses
        >>> losses = token_losses(np.array([[5, 0]]), np.zeros((1, 2, 8), "float32"))
        >>> np.asarray(losses, "float64").round(4).tolist()  # log 8
        [[2.0794, 2.0794]]
    """
    labels, logits = ops.cast(labels, "int32"), ops.cast(logits, "float32")
    if keras.backend.backend() != "tensorflow":
        return _losses(labels, logits, label_smoothing)
    flat = ops.reshape(labels, (-1,)), ops.reshape(logits, (-1, logits.shape[-1]))
    return ops.reshape(_fused(label_smoothing)(*flat), ops.shape(labels))


def token_hits(labels: Any, logits: Any) -> Any:
    """Return where no other token has a higher score: 1, else 0.

    Args:
        labels: int `(batch, length)`.
        logits: float `(batch, length, vocabulary_size)`.

    Returns:
        float32 `(batch, length)`.
    """
    own = _own(ops.cast(labels, "int32"), logits)
    return ops.cast(own >= ops.max(logits, axis=-1), "float32")


def _own(labels: Any, logits: Any) -> Any:
    """Return each label's logit."""
    return ops.take_along_axis(logits, ops.expand_dims(labels, -1), axis=-1)[..., 0]


def _losses(labels: Any, logits: Any, smoothing: float) -> Any:
    losses = ops.logsumexp(logits, axis=-1) - (1 - smoothing) * _own(labels, logits)
    # The mean over all tokens of -log p: no table of zeros and ones is made.
    return losses - smoothing * ops.mean(logits, axis=-1) if smoothing else losses


@cache
def _fused(smoothing: float) -> Callable[[Any, Any], Any]:
    """Return the same for labels `(tokens,)` and logits `(tokens, vocabulary_size)`."""
    import tensorflow as tf

    @tf.function(jit_compile=True, autograph=False)
    def forward(labels: Any, logits: Any) -> tuple[Any, Any]:
        highest = tf.reduce_max(logits, axis=-1, keepdims=True)
        sums = tf.reduce_sum(tf.exp(logits - highest), axis=-1, keepdims=True)
        logarithms = highest + tf.math.log(sums)  # of the sums of what was not made smaller
        losses = logarithms[:, 0] - (1 - smoothing) * tf.gather(logits, labels, batch_dims=1)
        if smoothing:
            losses -= smoothing * tf.reduce_mean(logits, axis=-1)
        return losses, logarithms

    @tf.function(jit_compile=True, autograph=False)
    def backward(labels: Any, logits: Any, logarithms: Any, upstream: Any) -> Any:
        size = logits.shape[-1]
        own = tf.cast(tf.range(size) == labels[:, tf.newaxis], "float32")
        slopes = tf.exp(logits - logarithms) - (1 - smoothing) * own - smoothing / size
        return slopes * upstream[:, tf.newaxis]

    @tf.custom_gradient
    def losses_of(labels: Any, logits: Any) -> tuple[Any, Any]:
        losses, logarithms = forward(labels, logits)
        return losses, lambda up: (None, backward(labels, logits, logarithms, up))

    return losses_of
