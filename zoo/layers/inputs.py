"""Raw inputs: the preprocessing is a part of the model, so that it travels through every export."""

from collections.abc import Sequence

import keras

from zoo.errors import InputError
from zoo.layers.standardize import Standardize


def raw_input(
    input_shape: Sequence[int | None], bounds: tuple[float, float] = (0, 1)
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Return an input layer's tensor, and that tensor made ready for the first layer with weights.

    Args:
        input_shape: without the batch. `(height, width, channels)` is an image: uint8 in 0…255,
            brought to `bounds`. `(features,)` is a row of a table: float32 in physical units,
            standardized with statistics that the training takes from its data.
        bounds: what black and white become.

    Returns:
        The input, named "image" or "features", and the float tensor of the same shape.

    Raises:
        InputError: the shape is neither of the two.
    """
    if len(input_shape) == 3:
        image = keras.Input(input_shape, dtype="uint8", name="image")
        black, white = bounds
        scaled = keras.layers.Rescaling((white - black) / 255, offset=black, name="rescale")(image)
        return image, scaled
    if len(input_shape) == 1:
        features = keras.Input(input_shape, dtype="float32", name="features")
        return features, Standardize(name="standardize", dtype="float32")(features)
    raise InputError(
        f"input_shape must be (height, width, channels) or (features,), not {tuple(input_shape)}."
    )
