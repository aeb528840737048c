"""Models that answer in Keras as they will in int8.

*Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference*,
Jacob et al. 2018, https://arxiv.org/abs/1712.05877; one scale for each output channel of a kernel
as in *Quantizing deep convolutional networks for efficient inference*, Krishnamoorthi 2018,
https://arxiv.org/abs/1806.08342, section 3
"""

from typing import Any

import keras
import numpy as np
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
_SATURATED, _SIX = 4.0, 6.0  # where a tangent ends, and a rectifier that LiteRT can fuse
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


def folded(model: keras.Model) -> keras.Model:
    """Return a model whose batch normalizations are part of the layers that they normalize.

    Those behind dense layers and transposed convolutions are meant, reshaped or not: what LiteRT's
    converter leaves as they are, so that numbers of very different sizes, which they would bring
    together, share the scale of one int8 tensor. The converter itself folds those behind other
    convolutions.

    Args:
        model: functional `keras.Model`.

    Returns:
        A copy that answers alike, or the model itself where there is nothing to fold.

    Example:
        >>> import numpy as np
        >>> import zoo
        >>> from zoo.quantization import folded
        >>> model, codes = zoo.build("dcgan"), np.ones((2, 100), "float32")
        >>> bool(np.allclose(folded(model)(codes), model(codes), atol=1e-6))
        True
    """
    pairs = dict(filter(None, map(_folding, model.layers)))  # layer's name -> its normalization
    if not pairs:
        return model
    gone = {normalization.name for normalization in pairs.values()}

    def change(layer: Any) -> Any:
        config = layer.get_config()
        if layer.name in gone:
            return layers.Identity(name=layer.name, dtype=layer.dtype_policy.name)
        if layer.name in pairs:
            config["use_bias"] = True
        return layer.__class__.from_config(config)

    def call(layer: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        return layer(x) if layer.name in gone else layer(x, *args, **kwargs)

    result = keras.models.clone_model(model, clone_function=change, call_function=call)
    for layer in model.layers:
        if layer.name in pairs:
            result.get_layer(layer.name).set_weights(_merged(layer, pairs[layer.name]))
        elif layer.name not in gone:
            result.get_layer(layer.name).set_weights(layer.get_weights())
    return result


def bounded(model: keras.Model) -> keras.Model:
    """Return a model whose hyperbolic tangents are given nothing that is far from 0.

    Where a picture is black, what goes into its tangent may be as low as -300: it changes nothing,
    and takes all of an int8 tensor's range. Here it ends at ±4, where the tangent is 1 by a
    thousandth, by a rectifier that LiteRT makes part of the layer before.

    Args:
        model: functional `keras.Model`.

    Returns:
        A copy, or the model itself where no tangent stands behind a layer with a kernel.

    Example:
        >>> import numpy as np
        >>> import zoo
        >>> from zoo.quantization import bounded
        >>> model, codes = zoo.build("dcgan"), np.ones((2, 100), "float32")
        >>> bool(np.allclose(bounded(model)(codes), model(codes), atol=1e-3))
        True
    """
    pairs = dict(filter(None, map(_tangent, model.layers)))  # layer's name -> its tangent's
    if not pairs:
        return model
    factor = _SIX / (2 * _SATURATED)

    def change(layer: Any) -> Any:
        config = layer.get_config()
        return layer.__class__.from_config(
            config | ({"use_bias": True} if layer.name in pairs else {})
        )

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if layer.name not in pairs.values():
            return layer(*args, **kwargs)
        x = layers.ReLU(_SIX, name=f"{layer.name}_bounds")(args[0])
        x = layers.Rescaling(1 / factor, -_SATURATED, name=f"{layer.name}_bounded")(x)
        return layer(x)

    result = keras.models.clone_model(model, clone_function=change, call_function=call)
    for layer in model.layers:
        weights = layer.get_weights()
        if layer.name in pairs:
            kernel, *bias = weights
            width = kernel.shape[_channels(layer)[0]]
            weights = [kernel * factor, (bias[0] if bias else np.zeros(width)) * factor + _SIX / 2]
        result.get_layer(layer.name).set_weights(weights)
    return result


def _tangent(activation: Any) -> tuple[str, str] | None:
    """Return which layer with a kernel stands before a hyperbolic tangent, and its name."""
    if getattr(activation, "activation", None) is not keras.activations.tanh:
        return None
    if not isinstance(activation, layers.Activation):
        return None
    layer = _producer(activation.input)
    kind = isinstance(layer, layers.Dense | layers.Conv2D | layers.Conv2DTranspose)
    linear = getattr(layer, "activation", None) is keras.activations.linear
    alone = len(layer._outbound_nodes) == 1
    return (layer.name, activation.name) if kind and linear and alone else None


def _folding(normalization: Any) -> tuple[str, Any] | None:
    """Return which layer a batch normalization can be folded into, and itself; `None` for none."""
    if not isinstance(normalization, layers.BatchNormalization) or normalization.axis not in (
        -1,
        3,
    ):
        return None
    before = _producer(normalization.input)
    between = [before] if isinstance(before, layers.Reshape) else []
    layer = _producer(before.input) if between else before
    linear = getattr(layer, "activation", None) is keras.activations.linear
    kind = isinstance(layer, layers.Dense | layers.Conv2DTranspose)
    alone = all(len(x._outbound_nodes) == 1 for x in (layer, *between))
    return (layer.name, normalization) if linear and kind and alone else None


def _merged(layer: Any, normalization: Any) -> list[Any]:
    """Return kernel and bias of a layer with its normalization."""
    mean, variance = (
        ops.convert_to_numpy(w) for w in (normalization.moving_mean, normalization.moving_variance)
    )
    factor = 1 / np.sqrt(variance + normalization.epsilon)
    if normalization.scale:
        factor = factor * ops.convert_to_numpy(normalization.gamma)
    offset = ops.convert_to_numpy(normalization.beta) if normalization.center else 0.0
    kernel = ops.convert_to_numpy(layer.kernel)
    [axis] = _channels(layer)
    times = kernel.shape[axis] // len(factor)  # of a dense layer that is reshaped to a map
    bias = ops.convert_to_numpy(layer.bias) if layer.use_bias else np.zeros(kernel.shape[axis])
    factor, offset = np.tile(factor, times), np.tile(offset - mean * factor, times)
    wide = factor[:, None] if axis < kernel.ndim - 1 else factor
    return [kernel * wide, bias * factor + offset]


def _channels(layer: Any) -> tuple[int, ...]:
    return next((axes for kind, axes in _CHANNELS.items() if isinstance(layer, kind)), ())


def _producer(tensor: Any) -> Any:
    return tensor._keras_history.operation


def _consumers(model: keras.Model, name: str) -> list[Any]:
    """Return the layers of `model` that take what the one of that name gives; [] at its end."""
    nodes = model.get_layer(name)._outbound_nodes
    return [node.operation for node in nodes] or [None]
