"""What a model has learned to see, and what it sees in a picture: filters and maps."""

import keras
import numpy as np

from recipes.interpretation.networks import map_layer, picture_of
from zoo import surgery
from zoo.errors import InputError


def first_layer_filters(model: keras.Model) -> np.ndarray:
    """Return the kernels of a model's first convolution, as pictures.

    Each filter is scaled on its own, by its largest weight: a weight of zero becomes 0.5, the
    largest becomes 0 if it is negative and 1 if it is positive.

    Args:
        model: functional `keras.Model` with a `keras.layers.Conv2D`.

    Returns:
        float32 `(filters, kernel height, kernel width, channels)` in 0…1.

    Raises:
        InputError: the model has no convolution.

    References:
        *Visualizing and Understanding Convolutional Networks*, Zeiler & Fergus 2013,
        https://arxiv.org/abs/1311.2901, figure 6.

    Example:
        >>> import zoo
        >>> from recipes.interpretation import first_layer_filters
        >>> first_layer_filters(zoo.load("lenet5-mnist")).shape
        (6, 5, 5, 1)
    """
    for layer in surgery.functional(model)._flatten_layers(include_self=False):
        if isinstance(layer, keras.layers.Conv2D):
            kernels = np.moveaxis(np.asarray(layer.kernel, "float32"), -1, 0)
            largest = np.abs(kernels).max(axis=(1, 2, 3), keepdims=True)
            return 0.5 + kernels / np.maximum(2 * largest, np.finfo("float32").tiny)
    raise InputError(f"{model.name!r} has no convolution whose filters could be shown.")


def activation_maps(model: keras.Model, image: np.ndarray, stage: str) -> np.ndarray:
    """Return what a stage of a model makes of a picture.

    Args:
        model: functional `keras.Model` of pictures.
        image: uint8 `(height, width, channels)`, as the model takes it.
        stage: name of a stage, such as "stage1", or of any layer of `spatial_layers`.

    Returns:
        float32 `(height, width, channels)` of the stage.

    Raises:
        InputError: no such stage, one without maps, or a wrong picture.

    Example:
        >>> import numpy as np
        >>> import zoo
        >>> from recipes.interpretation import activation_maps
        >>> digit = np.zeros((28, 28, 1), "uint8")
        >>> activation_maps(zoo.load("lenet5-mnist"), digit, "stage1").shape
        (14, 14, 6)
    """
    picture = picture_of(model, image)
    layer = map_layer(model, stage)
    network = keras.Model(model.input, model.get_layer(layer).output)
    return np.asarray(network(picture, training=False)[0], "float32")
