"""What every look into a model needs: its layers with maps, its scores, and checked arguments."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo import surgery
from zoo.errors import InputError
from zoo.registry import unknown

_SQUASHING = ("softmax", "sigmoid")


def spatial_layers(model: keras.Model) -> list[str]:
    """Return the names of the layers that give maps, `(height, width, channels)`, in their order.

    The first of them is the first convolution: what comes before it is the picture itself.

    Args:
        model: functional `keras.Model`.

    Example:
        >>> import zoo
        >>> from recipes.interpretation import spatial_layers
        >>> spatial_layers(zoo.build("convnet"))
        ['conv1', 'stage1', 'conv2', 'stage2']
    """
    layers = surgery.functional(model).layers
    convolutions = [i for i, layer in enumerate(layers) if isinstance(layer, keras.layers.Conv2D)]
    after = layers[convolutions[0] :] if convolutions else []
    return [layer.name for layer in after if _is_spatial(layer)]


def _is_spatial(layer: keras.Layer) -> bool:
    shape: tuple[Any, ...] = getattr(layer.output, "shape", ())  # it may have several outputs
    return len(shape) == 4 and (None in shape[1:3] or shape[1] * shape[2] > 1)


def map_layer(model: keras.Model, name: str | None) -> str:
    """Return the name of a layer with maps; `None` for the last one."""
    spatial = spatial_layers(model)
    if not spatial:
        raise InputError(f"{model.name!r} has no convolution, and so no maps to look at.")
    if name is None:
        return spatial[-1]
    if name not in spatial:
        if name in {layer.name for layer in model.layers}:
            raise InputError(f"the layer {name!r} of {model.name!r} gives no maps.")
        raise unknown(name, spatial, f"layer with maps in {model.name!r}")
    return name


def picture_shape(model: keras.Model) -> tuple[Any, ...]:
    """Return `(height, width, channels)` of what a model takes."""
    inputs = surgery.functional(model).inputs
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        raise InputError(f"{model.name!r} does not take one picture, and cannot be looked into so.")
    return tuple(inputs[0].shape[1:])


def picture_of(model: keras.Model, image: np.ndarray) -> tf.Tensor:
    """Return a picture as a batch of one, uint8."""
    shape = picture_shape(model)
    given: tuple[int, ...] = np.shape(image)
    fits = len(given) == 3 and all(n in (None, m) for n, m in zip(shape, given, strict=True))
    kind = np.asarray(image).dtype
    if kind != np.uint8 or not fits:
        raise InputError(
            f"{model.name!r} takes a uint8 picture of shape {shape}, not {kind} of {given}."
        )
    return tf.constant(image[None])


def answering(model: keras.Model) -> keras.Model:
    """Return the model as a functional one, if it gives a row of answers."""
    picture_shape(model)
    model = surgery.functional(model)
    if len(model.outputs) != 1 or len(model.outputs[0].shape) != 2:
        raise InputError(f"{model.name!r} answers with no classes or values to explain.")
    return model


def target_of(model: keras.Model, target: int | None, scores: Any) -> int:
    """Return the number of an answer; `None` for the highest."""
    if target is None:
        return int(np.argmax(scores))
    if isinstance(target, bool) or not isinstance(target, int | np.integer):
        raise InputError(f"target must be the number of an answer, not {target!r}.")
    if not 0 <= target < len(scores):
        raise InputError(
            f"there is no answer {target}: those of {model.name!r} are 0 to {len(scores) - 1}."
        )
    return int(target)


def scores_of(model: keras.Model, layer: str | None = None) -> keras.Model:
    """Return a copy from float pictures, which have gradients, to the scores.

    Args:
        model: from one picture to `(batch, answers)`.
        layer: name of a layer; the copy then gives its output too, before the scores.
    """
    model = answering(model)
    last = model.layers[-1]

    def unsquashed(part: keras.Layer) -> keras.Layer:
        config = part.get_config()
        if part is last and config.get("activation") in _SQUASHING:
            config["activation"] = "linear"
        return part.__class__.from_config(config)

    inputs = keras.tree.map_structure(
        lambda x: keras.Input(x.shape[1:], dtype="float32", name=x.name), model.input
    )
    network = surgery.copy(model, clone_function=unsquashed, input_tensors=inputs)
    ends_in_softmax = isinstance(last, keras.layers.Softmax)
    scores = network.layers[-1].input if ends_in_softmax else network.output
    if layer is None:
        return keras.Model(network.input, scores)
    return keras.Model(network.input, [network.get_layer(layer).output, scores])


def to_one(values: np.ndarray) -> np.ndarray:
    """Scale values from 0 so that the largest is 1; zeros stay zeros."""
    return (values / (values.max() or 1)).astype("float32")
