"""Copies of a model with another head, another input or another precision.

Every function copies: the source model keeps its layers, its weights and its `trainable` flags.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from zoo.errors import InputError
from zoo.layers import FakeQuantize, Standardize
from zoo.stages import is_stage

HEAD = "predictions"


def rounds(model: keras.Model) -> bool:
    """Return whether a model learned with int8's numbers: it has `FakeQuantize` layers."""
    return any(isinstance(layer, FakeQuantize) for layer in model.layers)


def copy(model: keras.Model, **changes: Any) -> keras.Model:
    """Return a copy of a functional model with the same weights.

    Args:
        model: functional `keras.Model`.
        **changes: for `keras.models.clone_model`.

    Raises:
        InputError: the model is not built from the functional API.
    """
    model = functional(model)
    changes.setdefault("clone_function", _from_config)
    result = keras.models.clone_model(model, **changes)
    result.set_weights(model.get_weights())
    _finalize(result)
    return result


def pass_weights(
    source: keras.Model, target: keras.Model, changed: Mapping[str, Sequence[Any]] | None = None
) -> None:
    """Give the layers of a model the weights of another's layers of the same names.

    Args:
        source: the other.
        target: the model; it may have further layers, and lack some.
        changed: name of a layer -> its weights in place of the source's; none to pass it over.
    """
    own = {layer.name: layer for layer in target.layers}
    known = {layer.name: layer.get_weights() for layer in source.layers} | dict(changed or {})
    for name, weights in known.items():
        if weights and name in own:
            own[name].set_weights(weights)
    _finalize(target)


def _finalize(model: keras.Model) -> None:
    for layer in model._flatten_layers():
        if hasattr(layer, "finalize_state"):  # keeps constants beside its weights
            layer.finalize_state()


def with_head(model: keras.Model, classes: int, activation: str | None = "softmax") -> keras.Model:
    """Return a copy with a new, random output layer.

    Args:
        model: its last layer is a `keras.layers.Dense` named "predictions".
        classes: `int`, number of outputs.
        activation: "softmax" (default) for classes, `None` for regression.

    Raises:
        InputError: the model ends in something else.
    """
    model = functional(model)
    last = model.layers[-1]
    if len(model.outputs) != 1 or not isinstance(last, keras.layers.Dense) or last.name != HEAD:
        cure = " It rounds its numbers: fine-tune the model that it came from."
        raise InputError(
            f"{model.name!r} does not end in a Dense layer named {HEAD!r}, so it cannot be given "
            f"a new head.{cure if rounds(model) else ''}"
        )
    base = copy(model)
    head = keras.layers.Dense(classes, activation=activation, dtype="float32", name=HEAD)
    return keras.Model(base.input, head(base.layers[-1].input), name=model.name)


def with_more_classes(model: keras.Model, added: int) -> keras.Model:
    """Return a copy with further outputs behind its own, whose weights and logits stay.

    Args:
        model: as in `with_head`.
        added: `int`, number of further outputs.

    Raises:
        InputError: the model ends in something else.
    """
    old = functional(model).layers[-1]
    result = with_head(model, model.output_shape[-1] + added, getattr(old, "activation", None))
    new, count = result.layers[-1], model.output_shape[-1]
    for weight, own in zip(new.weights, old.weights, strict=False):  # there may be no bias
        values = keras.ops.convert_to_numpy(weight).copy()
        values[..., :count] = keras.ops.convert_to_numpy(own)
        weight.assign(values)
    return result


def with_input_shape(model: keras.Model, shape: Sequence[int]) -> keras.Model:
    """Return a copy for images of another size, which a `keras.layers.Resizing` brings to its own.

    A side that the model leaves open, `None`, becomes that of `shape`, and is not resized.

    Args:
        model: takes one image, `(height, width, channels)`.
        shape: the shape of the images that will be given; the channels must be the model's.

    Raises:
        InputError: the model takes no image, or another number of channels.
    """
    model = functional(model)
    own = tuple(model.inputs[0].shape[1:])
    shape = tuple(shape)
    if own == shape:
        return copy(model)
    if len(own) != 3 or len(shape) != 3 or own[2] != shape[2]:
        raise InputError(f"a model that takes {own} cannot be given inputs of shape {shape}.")
    source = keras.Input(shape, dtype=model.inputs[0].dtype, name=model.inputs[0].name)
    own = tuple(given if side is None else side for side, given in zip(own, shape, strict=True))
    if own == shape:
        return copy(model, input_tensors=source)
    resize = keras.layers.Resizing(own[0], own[1], name="resize", dtype="float32")

    def call(layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        if not any(argument is source for argument in args):
            return layer(*args, **kwargs)
        # Resizing returns the dtype that it is given: after the rescaling it is a float, and
        # no grey level is rounded away.
        if isinstance(layer, keras.layers.Rescaling):
            return resize(layer(*args, **kwargs))
        floats = keras.ops.cast(source, "float32")
        return layer(*[resize(floats) if a is source else a for a in args], **kwargs)

    return copy(model, input_tensors=source, call_function=call)


def with_precision(model: keras.Model, policy: str) -> keras.Model:
    """Return a copy that computes with another dtype policy, such as "mixed_bfloat16".

    The layers that take or resize raw inputs and those that give the outputs stay in float32, or
    come to it; but "float64" is for all.
    """
    model = functional(model)
    last = max((i for i, layer in enumerate(model.layers) if layer.weights), default=0)
    outputs = {*model.layers[last:], *(x._keras_history.operation for x in model.outputs)}

    def change(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        if not isinstance(layer, keras.Layer) or isinstance(layer, keras.Model):
            return layer.__class__.from_config(config)  # neither has a policy of its own
        raw = isinstance(layer, keras.layers.Rescaling | keras.layers.Resizing | Standardize)
        single = policy != "float64" and (raw or layer in outputs)
        config["dtype"] = "float32" if single else policy
        return layer.__class__.from_config(config)

    return copy(model, clone_function=change)


def freeze(
    model: keras.Model, train: Callable[[keras.Layer], bool], normalization: bool = False
) -> None:
    """Set `trainable` of every layer that has weights.

    Args:
        model: the model.
        train: layer -> whether it learns.
        normalization: whether batch normalization may learn, too. A frozen `BatchNormalization`
            keeps its moving statistics and uses them, which is what fine-tuning on few examples
            needs.
    """
    for layer in model.layers:
        layer.trainable = train(layer)
    if normalization:
        return
    for layer in model._flatten_layers(include_self=False):  # those of inner models too
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


def stages(model: keras.Model, normalization: bool = False) -> list[list[keras.Layer]]:
    """Return the layers that can learn below the head, by stage, from the input upwards.

    A layer named "stageN" ends a stage; what stands between the last of them and the head is one
    more. A model that names none is divided into at most four parts of about equally many layers.
    The head is the last layer that can learn; batch normalization is in a stage only with
    `normalization`.
    """
    found: list[list[keras.Layer]] = [[]]
    named = False
    for layer in model.layers:
        still = isinstance(layer, keras.layers.BatchNormalization) and not normalization
        if layer.trainable_weights and not still:
            found[-1].append(layer)
        if is_stage(layer.name):
            named = True
            found.append([])
    learning = [layer for stage in found for layer in stage][:-1]
    if not named:
        size = max(1, math.ceil(len(learning) / 4))
        return [learning[i : i + size] for i in range(0, len(learning), size)]
    below = {id(layer) for layer in learning}
    found = [[layer for layer in stage if id(layer) in below] for stage in found]
    return [stage for stage in found if stage]


def same_form(one: keras.Model, other: keras.Model) -> bool:
    """Return whether two models have the same kinds of layers, with weights of the same shapes.

    A kind is known by its name, as in the weight files: a layer of the zoo may stand for Keras' own
    of the same name; or for one that it is made from.
    """

    def alike(a: keras.Layer, b: keras.Layer) -> bool:
        same = type(a).__name__ == type(b).__name__
        kinds = same or isinstance(a, type(b)) or isinstance(b, type(a))
        return kinds and [w.shape for w in a.weights] == [w.shape for w in b.weights]

    pairs = zip(one.layers, other.layers, strict=False)
    return (
        len(one.layers) == len(other.layers)
        and all(alike(a, b) for a, b in pairs)
        and one.output_shape == other.output_shape
    )


def functional(model: keras.Model) -> keras.Model:
    """Return the model as a functional one; a `Sequential` becomes one of the same layers."""
    if isinstance(model, keras.Sequential) and model.built:
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    if not isinstance(model, keras.src.models.Functional):
        raise InputError(
            f"{model.name!r} is a subclassed model: build it from the functional API, so that its "
            "layers can be copied and exchanged."
        )
    return model


def _from_config(layer: keras.Layer) -> keras.Layer:
    return layer.__class__.from_config(layer.get_config())
