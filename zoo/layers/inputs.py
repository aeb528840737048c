"""Raw inputs: the preprocessing is a part of the model, so that it travels through every export."""

from collections.abc import Sequence

import keras
import numpy as np

from zoo.errors import InputError
from zoo.layers.standardize import Standardize

Bounds = tuple[float | Sequence[float], float | Sequence[float]]

# The mean picture of ImageNet's training set, and how far its channels vary (red, green, blue).
_MEAN = np.array([123.68, 116.779, 103.939])
_DEVIATION = np.array([58.393, 57.12, 57.375])
# What black and white become where that mean is subtracted, as the networks of 2012 to 2015 do it,
# and the deviation made 1, which they left to the first kernel.
IMAGENET: tuple[tuple[float, ...], tuple[float, ...]] = (
    tuple((-_MEAN / _DEVIATION).tolist()),
    tuple(((255 - _MEAN) / _DEVIATION).tolist()),
)


def raw_input(
    input_shape: Sequence[int | None], bounds: Bounds = (0, 1)
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Return an input layer's tensor, and that tensor made ready for the first layer with weights.

    Args:
        input_shape: without the batch. `(height, width, channels)` is an image: uint8 in 0…255,
            brought to `bounds`. `(features,)` is a row of a table: float32 in physical units,
            standardized with statistics that the training takes from its data.
        bounds: what black and white become: two numbers, or two lists with one number for each
            channel, such as `IMAGENET`; a picture with other channels takes the lists' means.

    Returns:
        The input, named "image" or "features", and the float tensor of the same shape.

    Raises:
        InputError: the shape is neither of the two.
    """
    if len(input_shape) == 3:
        image = keras.Input(input_shape, dtype="uint8", name="image")
        black, white = map(np.asarray, bounds)
        if black.ndim and len(black) != input_shape[-1]:
            black, white = black.mean(), white.mean()
        scale, offset = ((white - black) / 255).tolist(), black.tolist()
        return image, keras.layers.Rescaling(scale, offset, name="rescale")(image)
    if len(input_shape) == 1:
        features = keras.Input(input_shape, dtype="float32", name="features")
        return features, Standardize(name="standardize", dtype="float32")(features)
    raise InputError(
        f"input_shape must be (height, width, channels) or (features,), not {tuple(input_shape)}."
    )
