"""Models that answer in Keras as they will in int8.

*Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference*,
Jacob et al. 2018, https://arxiv.org/abs/1712.05877; one scale for each output channel of a kernel
as in *Quantizing deep convolutional networks for efficient inference*, Krishnamoorthi 2018,
https://arxiv.org/abs/1806.08342, section 3
"""

import math
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import keras
from keras import layers

from zoo import surgery
from zoo.errors import InputError
from zoo.folding import folded, producer
from zoo.layers import ROUNDED, FakeQuantize, RoundedKernel, channel_axes, rounded

INT8 = "int8"
_MOST_BYTES = 1 << 29  # of activations that are looked at together
_ACTIVATIONS = (layers.Activation, layers.ReLU, layers.LeakyReLU)
# What hands its input's numbers on, though maybe not all of them, nor in that shape.
_TRANSPARENT = (layers.Flatten, layers.Reshape, layers.MaxPooling2D, layers.Dropout)
_PADDED = (layers.ZeroPadding2D, layers.GlobalMaxPooling2D, layers.Cropping2D)
# Activations that int8 kernels apply before they round what they give.
_FUSED = ("linear", "relu", "relu6")
_BOUNDED = ("softmax", "sigmoid")  # those whose numbers int8 has a fixed scale for
_SMALL_HEAD = 0.05  # of a model's kernels


def kernels(model: keras.Model) -> list[tuple[keras.Variable, tuple[int, ...]]]:
    """Return the kernels that int8 rounds, each with its axes of output channels."""
    found = []
    for layer in model.layers:
        axes = channel_axes(layer)
        if axes:
            found.append((layer.kernel, axes))
    return found


def quantization_aware(model: keras.Model) -> keras.Model:
    """Return a copy that rounds what goes into its kernels and what comes out of them.

    The kernels themselves are those of `model`: round them by `rounded`, once and for all. Between
    layers of that kind, such as at the end of a dueling network, nothing is rounded.

    Args:
        model: functional `keras.Model`, without batch normalization.

    Returns:
        `keras.Model` with further layers, `zoo.layers.FakeQuantize`, whose ranges `calibrate` sets.

    Raises:
        InputError: the model is not built from the functional API.

    Example:
        >>> import zoo
        >>> from zoo.quantization import quantization_aware
        >>> model = quantization_aware(zoo.build("dqn"))
        >>> sum(layer.name.endswith("_int8") for layer in model.layers)
        4
    """
    model = surgery.functional(model)
    unique = _unique(model)
    done: dict[int, keras.KerasTensor] = {}  # tensor -> itself, rounded

    def rounded_once(x: Any, name: str) -> Any:
        if id(x) not in done:
            done[id(x)] = FakeQuantize(name=unique(f"{name}_int8"), dtype="float32")(x)
            done[id(done[id(x)])] = done[id(x)]
        return done[id(x)]

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if not channel_axes(layer):
            result = layer(*args, **kwargs)
            follows = isinstance(layer, _ACTIVATIONS) and channel_axes(producer(args[0]))
            if follows:
                return rounded_once(result, layer.name)
            if isinstance(layer, _TRANSPARENT) and id(args[0]) in done:
                done[id(result)] = result
            return result
        x = rounded_once(args[0], producer(args[0]).name)
        result = layer(x, *args[1:], **kwargs)
        if all(isinstance(after, _ACTIVATIONS) for after in _consumers(model, layer.name)):
            return result
        return rounded_once(result, layer.name)

    result = keras.models.clone_model(model, call_function=call)
    surgery.pass_weights(model, result)
    return result


def rounding(model: keras.Model) -> keras.Model:
    """Return a copy that computes as a converter's int8 file does, and can learn.

    Batch normalizations are folded into the convolutions before them; kernels are rounded wherever
    they are used (`zoo.layers.RoundedKernel`); so is what goes into the model, and what comes out
    of every layer or of the activation that is fused with it (`zoo.layers.FakeQuantize`, whose
    ranges `calibrate` sets, and training follows). A last layer with few of the numbers stays as it
    is: to round what it gives would often decide between two classes, and saves nothing.

    Args:
        model: functional `keras.Model` of layers for pictures and rows; or such a copy, whose
            ranges are forgotten.

    Raises:
        InputError: the model is not built from the functional API, has no kernel to round, or one
            that cannot be rounded.

    Example:
        >>> import zoo
        >>> from zoo.quantization import rounding
        >>> model = rounding(zoo.build("resnet20"))
        >>> [layer.name for layer in model.layers[-3:]]
        ['pooled', 'pooled_int8', 'predictions']
    """
    model = folded(_unrounded(surgery.functional(model)), every=True)
    if not any(map(channel_axes, model.layers)):
        raise InputError(f"{model.name!r} has no layer with a kernel that int8 could round.")
    others = [layer for layer in model.layers if not channel_axes(layer) and _has_kernel(layer)]
    if others:
        names = ", ".join(f"{layer.name} ({type(layer).__name__})" for layer in others)
        raise InputError(
            f"{model.name!r} has kernels that would stay as they are: those of {names}. Only Dense "
            "layers and convolutions of pictures, outside of inner models, learn with rounded "
            "numbers."
        )
    rounds = _Rounding(model)
    result = keras.models.clone_model(
        model, clone_function=rounds.change, call_function=rounds.call
    )
    surgery.pass_weights(model, result)
    return result


def _has_kernel(layer: Any) -> bool:
    """Return whether a layer, or one inside of it, has a kernel of floats."""
    return any(
        weight.name.endswith("kernel") and keras.backend.is_float_dtype(weight.dtype)
        for weight in layer.weights
    )


class _Rounding:
    """How the layers of a model are exchanged, and called, so that all of them round."""

    def __init__(self, model: keras.Model) -> None:
        self.model, self.unique, self.head = model, _unique(model), _small_head(model)
        # By the id of a tensor, which is kept so that no other gets that id:
        self.done: dict[int, tuple[Any, Any]] = {}  # it and what it becomes when it is rounded
        self.inside: dict[int, Any] = {}  # behind a layer with a kernel

    def change(self, layer: Any) -> Any:
        """Return the layer that takes another's place."""
        config, kind = layer.get_config(), layer.__class__
        if channel_axes(layer) and layer.name != self.head:
            kind = next(rounds for plain, rounds in ROUNDED.items() if isinstance(layer, plain))
            if _activation(layer) not in _FUSED:
                config["activation"] = "linear"
        return kind.from_config(config)

    def call(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        """Return what a layer gives, rounded."""
        kernel = bool(channel_axes(layer))
        # The range of what comes from the input alone is that of all examples.
        inside = kernel or any(id(x) in self.inside for x in keras.tree.flatten(args))
        result = self._called(layer, inside, *args, **kwargs)
        if inside:
            self.inside |= {id(x): x for x in keras.tree.flatten(result)}
        return result

    def _called(self, layer: Any, inside: bool, *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, (*_TRANSPARENT, *_PADDED, layers.Identity)):
            result = layer(*args, **kwargs)
            if id(args[0]) in self.done and self.done[id(args[0])][1] is args[0]:
                self.done[id(result)] = result, result
            return result
        if channel_axes(layer):
            x = args[0]
            args = (self._rounded(x, producer(x).name, id(x) in self.inside), *args[1:])
        result = layer(*args, **kwargs)
        if isinstance(layer, keras.Layer) and layer.name == self.head:
            return result
        own = self.model.get_layer(layer.name) if isinstance(layer, keras.Layer) else layer
        if _is_fused(self.model, own) or _activation(layer) in _BOUNDED:
            return result
        result = self._rounded(result, layer.name, inside)
        after = _activation(own)
        if not channel_axes(own) or after in _FUSED:
            return result
        name = self.unique(f"{layer.name}_{after}")
        result = layers.Activation(own.activation, name=name, dtype="float32")(result)
        return result if after in _BOUNDED else self._rounded(result, name, True)

    def _rounded(self, x: Any, name: str, of_examples: bool) -> Any:
        if not keras.backend.is_float_dtype(x.dtype):
            return x
        if id(x) not in self.done:
            name = self.unique(f"{name}_int8")
            layer = FakeQuantize(of_examples=of_examples, name=name, dtype="float32")
            result = layer(x)
            self.done[id(x)] = x, result
            self.done[id(result)] = result, result
        return self.done[id(x)][1]


def _small_head(model: keras.Model) -> str:
    """Return the name of the layer that gives a model's output, if it is small; "" if not."""
    own = [layer for layer in model.layers if channel_axes(layer)]
    last, numbers = own[-1], [math.prod(layer.kernel.shape) for layer in own]
    ends = [producer(x).name for x in keras.tree.flatten(model.output)] == [last.name]
    return last.name if ends and numbers[-1] <= _SMALL_HEAD * sum(numbers) else ""


def _is_fused(model: keras.Model, layer: Any) -> bool:
    """Return whether the activation behind a layer, and nothing else, takes what it gives."""
    if not (channel_axes(layer) or isinstance(layer, layers.Add)):
        return False
    if channel_axes(layer) and _activation(layer) != "linear":
        return False
    if any(producer(x).name == layer.name for x in keras.tree.flatten(model.output)):
        return False
    after = _consumers(model, layer.name)
    while len(after) == 1 and isinstance(after[0], layers.Identity):
        after = _consumers(model, after[0].name)
    return len(after) == 1 and _fuses(after[0])


def _fuses(layer: Any) -> bool:
    if isinstance(layer, layers.ReLU):
        return layer.max_value in (None, 6.0) and not layer.negative_slope and not layer.threshold
    return isinstance(layer, layers.Activation) and _activation(layer) in _FUSED


def _activation(layer: Any) -> str:
    """Return the name of what a layer applies at its end; "" for nothing that is known."""
    if isinstance(layer, layers.Softmax):
        return "softmax"
    return getattr(getattr(layer, "activation", None), "__name__", "")


def settled(model: keras.Model) -> keras.Model:
    """Return a copy whose kernels are rounded once and for all, in plain layers of Keras.

    Args:
        model: of `rounding`; another comes back as it is.
    """
    if not any(isinstance(layer, RoundedKernel) for layer in model.layers):
        return model

    result = surgery.copy(model, clone_function=_plain)
    for layer in model.layers:
        if isinstance(layer, RoundedKernel):
            own = result.get_layer(layer.name)
            own.kernel.assign(rounded(own.kernel, layer.axes))
    return result


def _plain(layer: Any) -> Any:
    """Return a copy of a layer, whose kernel is not rounded where it is used."""
    kind = layer.__class__
    if isinstance(layer, RoundedKernel):
        kind = next(plain for plain, rounds in ROUNDED.items() if isinstance(layer, rounds))
    return kind.from_config(layer.get_config())


def _unrounded(model: keras.Model) -> keras.Model:
    """Return a copy that rounds nothing; a model that rounds nothing comes back as it is."""
    if not any(isinstance(layer, FakeQuantize | RoundedKernel) for layer in model.layers):
        return model

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        return args[0] if isinstance(layer, FakeQuantize) else layer(*args, **kwargs)

    result = keras.models.clone_model(model, clone_function=_plain, call_function=call)
    surgery.pass_weights(model, result)
    return result


def _unique(model: keras.Model) -> Callable[[str], str]:
    """Return a function that makes a name for one further layer of a model, and no other."""
    taken = Counter(layer.name for layer in model.layers)

    def unique(name: str) -> str:
        taken[name] += 1
        return name if taken[name] == 1 else f"{name}_{taken[name] - 1}"

    return unique


def calibrate(model: keras.Model, inputs: Any) -> None:
    """Set the ranges of a model's `FakeQuantize` layers by what goes through them.

    Args:
        model: of `quantization_aware` or `rounding`.
        inputs: examples, as the model takes them.
    """
    numbers = sum(math.prod(layer.output.shape[1:]) for layer in model.layers)
    size = max(1, _MOST_BYTES // (4 * numbers))
    with ExitStack() as adapting:
        for layer in model.layers:
            if isinstance(layer, FakeQuantize):
                adapting.enter_context(layer.adapting())
        for start in range(0, len(inputs), size):
            model(inputs[start : start + size], training=False)


def _consumers(model: keras.Model, name: str) -> list[Any]:
    """Return the layers of `model` that take what the one of that name gives; [] at its end."""
    nodes = model.get_layer(name)._outbound_nodes
    return [node.operation for node in nodes] or [None]
