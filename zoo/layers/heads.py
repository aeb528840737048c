"""Activations and output layers, named alike in every architecture."""

from collections.abc import Callable

import keras


def predictions(
    x: keras.KerasTensor,
    classes: int,
    classifier_activation: str | None = "softmax",
    kernel_regularizer: keras.Regularizer | None = None,
) -> keras.KerasTensor:
    """Apply the output layer: a float32 `Dense` named "predictions", in any dtype policy.

    Args:
        x: `(batch, features)`.
        classes: number of outputs.
        classifier_activation: "softmax", or `None` for logits or regression.
        kernel_regularizer: penalty on its kernel.
    """
    return keras.layers.Dense(
        classes,
        activation=classifier_activation,
        kernel_regularizer=kernel_regularizer,
        dtype="float32",
        name="predictions",
    )(x)


def activated(
    x: keras.KerasTensor, activation: str | Callable | None, name: str
) -> keras.KerasTensor:
    """Apply an activation by its Keras name; "prelu" has weights and is a layer of its own."""
    if activation == "prelu":
        return keras.layers.PReLU(shared_axes=list(range(1, len(x.shape) - 1)), name=name)(x)
    return keras.layers.Activation(activation, name=name)(x)
