"""Models that answer in Keras as they will in int8.

*Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference*,
Jacob et al. 2018, https://arxiv.org/abs/1712.05877; one scale for each output channel of a kernel
as in *Quantizing deep convolutional networks for efficient inference*, Krishnamoorthi 2018,
https://arxiv.org/abs/1806.08342, section 3
"""

from typing import Any

import keras
from keras import layers, ops

from zoo import surgery
from zoo.layers import FakeQuantize

INT8 = "int8"
_GREATEST = 127  # of a kernel's integers; -128 is not used, so that 0 is their middle
# Layer with a kernel -> the kernel's axes of output channels. The first that fits counts.
_CHANNELS: dict[type[keras.Layer], tuple[int, ...]] = {
    layers.DepthwiseConv2D: (2, 3),
    layers.Conv2DTranspose: (2,),
    layers.Conv2D: (3,),
    layers.Dense: (1,),
}
_ACTIVATIONS = (layers.Activation, layers.ReLU, layers.LeakyReLU)
# What hands its input's numbers on, though maybe not all of them, nor in that shape.
_TRANSPARENT = (layers.Flatten, layers.Reshape, layers.MaxPooling2D, layers.Dropout)


def kernels(model: keras.Model) -> list[tuple[keras.Variable, tuple[int, ...]]]:
    """Return the kernels that int8 rounds, each with its axes of output channels."""
    found = []
    for layer in model.layers:
        axes = _channels(layer)
        if axes:
            found.append((layer.kernel, axes))
    return found


def rounded(kernel: Any, axes: tuple[int, ...]) -> Any:
    """Return a kernel rounded to the integers -127…127, times a scale for each output channel.

    Args:
        kernel: float tensor.
        axes: of its output channels.

    Example:
        >>> import numpy as np
        >>> from zoo.quantization import rounded
        >>> np.asarray(rounded(np.array([[1.27, 127.0], [0.014, 1.4]], "float32"), (1,))).tolist()
        [[1.2699999809265137, 127.0], [0.009999999776482582, 1.0]]
    """
    others = [axis for axis in range(len(kernel.shape)) if axis not in axes]
    greatest = ops.max(ops.abs(kernel), axis=others, keepdims=True)
    scale = ops.where(greatest > 0, greatest, 1) / _GREATEST
    return ops.round(kernel / scale) * scale


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
    done: dict[int, keras.KerasTensor] = {}  # tensor -> itself, rounded

    def rounded_once(x: Any, name: str) -> Any:
        if id(x) not in done:
            done[id(x)] = FakeQuantize(name=f"{name}_int8", dtype="float32")(x)
            done[id(done[id(x)])] = done[id(x)]
        return done[id(x)]

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if not _channels(layer):
            result = layer(*args, **kwargs)
            follows = isinstance(layer, _ACTIVATIONS) and _channels(_producer(args[0]))
            if follows:
                return rounded_once(result, layer.name)
            if isinstance(layer, _TRANSPARENT) and id(args[0]) in done:
                done[id(result)] = result
            return result
        x = rounded_once(args[0], _producer(args[0]).name)
        result = layer(x, *args[1:], **kwargs)
        if all(isinstance(after, _ACTIVATIONS) for after in _consumers(model, layer.name)):
            return result
        return rounded_once(result, layer.name)

    kept = {layer.name: layer.get_weights() for layer in model.layers}
    result = keras.models.clone_model(model, call_function=call)
    for layer in result.layers:
        if layer.name in kept:
            layer.set_weights(kept[layer.name])
    return result


def calibrate(model: keras.Model, inputs: Any) -> None:
    """Set the ranges of a model's `FakeQuantize` layers by what goes through them.

    Args:
        model: of `quantization_aware`.
        inputs: examples, as the model takes them.
    """
    for layer in model.layers:  # each one behind those that are calibrated by now
        if isinstance(layer, FakeQuantize):
            before = keras.Model(model.inputs, layer.input)
            layer.adapt(before.predict(inputs, verbose=0))


def _channels(layer: Any) -> tuple[int, ...]:
    return next((axes for kind, axes in _CHANNELS.items() if isinstance(layer, kind)), ())


def _producer(tensor: Any) -> Any:
    return tensor._keras_history.operation


def _consumers(model: keras.Model, name: str) -> list[Any]:
    """Return the layers of `model` that take what the one of that name gives; [] at its end."""
    nodes = model.get_layer(name)._outbound_nodes
    return [node.operation for node in nodes] or [None]
