"""The small convolutional network of the book's course, unit 5; `mlp_unit5` is its dense twin.

*The Mathematical Engineering of Deep Learning*, Liquet, Moka & Nazarathy, https://deeplearningmath.org
"""

from collections.abc import Sequence

import keras
from keras import layers

from zoo.layers import predictions, raw_input
from zoo.spaces import Space

SPACES: dict[str, Space] = {"convnet": {}}  # its sizes are the book's


def convnet(
    input_shape: Sequence[int] = (28, 28, 1),
    classes: int = 10,
    include_top: bool = True,
    name: str = "convnet",
) -> keras.Model:
    """Build the network: 8 filters of 5×5, 16 of 3×3, each with ReLU and 2×2 max pooling.

    Args:
        input_shape: `(height, width, channels)`, uint8, at least 12×12.
        classes: number of classes.
        include_top: `False` ends the model with the flattened feature maps, named "pooled".
        name: name of the model.

    Returns:
        `keras.Model` from images to the probabilities `(batch, classes)`.

    Example:
        >>> import zoo
        >>> zoo.build("convnet").count_params()
        5386
    """
    inputs, x = raw_input(input_shape)
    x = layers.Conv2D(8, 5, activation="relu", name="conv1")(x)  # (batch, 24, 24, 8)
    x = layers.MaxPooling2D(name="stage1")(x)  # (batch, 12, 12, 8)
    x = layers.Conv2D(16, 3, activation="relu", name="conv2")(x)  # (batch, 10, 10, 16)
    x = layers.MaxPooling2D(name="stage2")(x)  # (batch, 5, 5, 16)
    x = layers.Flatten(name="pooled")(x)  # (batch, 400)
    if include_top:
        x = predictions(x, classes)
    return keras.Model(inputs, x, name=name)
