"""Multilayer perceptron.

*Learning representations by back-propagating errors*, Rumelhart, Hinton & Williams 1986,
https://doi.org/10.1038/323533a0

Deviation: ReLU and He initialization (https://arxiv.org/abs/1502.01852) by default.
"""

from collections.abc import Sequence

import keras
from keras import layers

from zoo.layers import activated, predictions, raw_input
from zoo.spaces import Choice, Float, Int, Space, Widths

SPACES: dict[str, Space] = {
    "mlp": {
        "hidden": Widths(1, 4, Int(16, 512, "log")),
        "activation": Choice(("relu", "tanh", "gelu")),
        "dropout": Float(0.0, 0.5),
        "batch_norm": Choice((False, True)),
    }
}


def mlp(
    input_shape: Sequence[int] = (28, 28, 1),
    hidden: Sequence[int] = (256, 128),
    classes: int = 10,
    activation: str = "relu",
    kernel_initializer: str = "he_normal",
    dropout: float = 0.0,
    batch_norm: bool = False,
    weight_decay: float = 0.0,
    classifier_activation: str | None = "softmax",
    include_top: bool = True,
    name: str = "mlp",
) -> keras.Model:
    """Build a multilayer perceptron.

    Args:
        input_shape: `(height, width, channels)` in uint8, or `(features,)` in physical units.
        hidden: widths of the hidden layers; their outputs are named "stage1" … "stageN".
        classes: number of outputs.
        activation: any Keras activation by name ("tanh", "gelu", "leaky_relu", …), or "prelu".
        kernel_initializer: any Keras initializer by name.
        dropout: share of each hidden layer's outputs that is dropped in training.
        batch_norm: normalize each hidden layer before its activation; its bias is then left out.
        weight_decay: coefficient of the L2 penalty on the kernels.
        classifier_activation: "softmax", or `None` for regression.
        include_top: `False` ends the model with the last hidden layer.
        name: name of the model.

    Returns:
        `keras.Model` from the inputs to `(batch, classes)`.

    Example:
        >>> import zoo
        >>> zoo.build("mlp", hidden=(128, 64)).count_params()
        109386
    """
    regularizer = keras.regularizers.L2(weight_decay) if weight_decay else None
    inputs, x = raw_input(input_shape)
    if len(x.shape) > 2:
        x = layers.Flatten(name="flatten")(x)
    for number, units in enumerate(hidden, start=1):
        x = layers.Dense(
            units,
            use_bias=not batch_norm,
            kernel_initializer=kernel_initializer,
            kernel_regularizer=regularizer,
            name=f"dense{number}",
        )(x)
        if batch_norm:
            x = layers.BatchNormalization(name=f"batch_norm{number}")(x)
        x = activated(x, activation, name=f"stage{number}")
        if dropout:
            x = layers.Dropout(dropout, name=f"dropout{number}")(x)
    if include_top:
        x = predictions(x, classes, classifier_activation, regularizer)
    return keras.Model(inputs, x, name=name)
