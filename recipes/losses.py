"""The loss of a model that says what comes next."""

from typing import Any

import keras
from keras import ops

from zoo.layers import token_hits, token_losses
from zoo.special_tokens import PADDING


@keras.saving.register_keras_serializable(package="recipes")
class TokenCrossentropy(keras.losses.Loss):
    """Cross-entropy of each next token, from logits, averaged over all tokens but padding.

    - y_true: int `(batch, length)`, 0 for padding
    - y_pred: float32 logits `(batch, length, vocabulary_size)`
    - output: a scalar, in nats per token

    Args:
        label_smoothing: share of the probability that is spread evenly over all tokens:
            *Rethinking the Inception Architecture for Computer Vision*, Szegedy et al. 2015,
            https://arxiv.org/abs/1512.00567, section 7.
        name: of the loss.

    Example:
        >>> import numpy as np
        >>> from recipes.losses import TokenCrossentropy
        >>> logits = np.zeros((1, 2, 8), "float32")
        >>> round(float(TokenCrossentropy()(np.array([[5, 0]]), logits)), 4)  # log 8
        2.0794
    """

    def __init__(self, label_smoothing: float = 0.0, name: str = "token_crossentropy") -> None:
        super().__init__(name=name)
        self.label_smoothing = label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the mean over the tokens."""
        labels = ops.cast(y_true, "int32")
        losses = token_losses(labels, y_pred, self.label_smoothing)
        return masked_mean(losses, labels)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {"label_smoothing": self.label_smoothing, "name": self.name}


def token_accuracy(y_true: Any, y_pred: Any) -> Any:
    """Return the share of tokens but padding that are the likeliest: a scalar."""
    return masked_mean(token_hits(y_true, y_pred), y_true)


def masked_mean(values: Any, labels: Any) -> Any:
    """Return the mean of values at places that are no padding."""
    kept = ops.cast(ops.not_equal(labels, PADDING), values.dtype)
    return ops.sum(values * kept) / ops.maximum(ops.sum(kept), 1)
