"""Models that answer alike, and whose numbers are easier to round."""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from zoo import surgery
from zoo.layers import channel_axes

# The layers whose normalizations LiteRT's converter leaves, and those whose it folds itself.
_LEFT = (layers.Dense, layers.Conv2DTranspose)
_CONVERTED = (layers.Conv2D, layers.DepthwiseConv2D)
_SATURATED, _SIX = 4.0, 6.0  # where a tangent ends, and a rectifier that LiteRT can fuse


def folded(model: keras.Model, every: bool = False) -> keras.Model:
    """Return a model whose batch normalizations are part of the layers that they normalize.

    Those behind dense layers and transposed convolutions are meant, reshaped or not: what LiteRT's
    converter leaves as they are, so that numbers of very different sizes, which they would bring
    together, share the scale of one int8 tensor. The converter itself folds those behind other
    convolutions.

    Args:
        model: functional `keras.Model`.
        every: those behind all convolutions, too, before a model learns with rounded kernels.

    Returns:
        A copy that answers alike, or the model itself where there is nothing to fold.

    Example:
        >>> import numpy as np
        >>> import zoo
        >>> from zoo.folding import folded
        >>> model, codes = zoo.build("dcgan"), np.ones((2, 100), "float32")
        >>> bool(np.allclose(folded(model)(codes), model(codes), atol=1e-6))
        True
    """
    kinds = _LEFT + (_CONVERTED if every else ())
    found = (_folding(model, layer, kinds) for layer in model.layers)
    pairs = dict(filter(None, found))  # layer's name -> its normalization
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
    changed: dict[str, list[Any]] = {name: [] for name in gone}
    changed |= {name: _merged(model.get_layer(name), after) for name, after in pairs.items()}
    surgery.pass_weights(model, result, changed)
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
        >>> from zoo.folding import bounded
        >>> model, codes = zoo.build("dcgan"), np.ones((2, 100), "float32")
        >>> bool(np.allclose(bounded(model)(codes), model(codes), atol=1e-3))
        True
    """
    found = (_tangent(model, layer) for layer in model.layers)
    pairs = dict(filter(None, found))  # layer's name -> its tangent's
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
    changed = {}
    for name in pairs:
        layer = model.get_layer(name)
        kernel, *bias = layer.get_weights()
        width = kernel.shape[channel_axes(layer)[0]]
        shift = bias[0] if bias else np.zeros(width)
        changed[name] = [kernel * factor, shift * factor + _SIX / 2]
    surgery.pass_weights(model, result, changed)
    return result


def read_once(model: keras.Model, layer: Any) -> bool:
    """Return whether one layer takes what a layer gives, and nothing else does."""
    given = any(producer(x) is layer for x in keras.tree.flatten(model.output))
    return len(layer._outbound_nodes) == 1 and not given


def _tangent(model: keras.Model, activation: Any) -> tuple[str, str] | None:
    """Return which layer with a kernel stands before a hyperbolic tangent, and its name."""
    if getattr(activation, "activation", None) is not keras.activations.tanh:
        return None
    if not isinstance(activation, layers.Activation):
        return None
    layer = producer(activation.input)
    kind = isinstance(layer, layers.Dense | layers.Conv2D | layers.Conv2DTranspose)
    linear = getattr(layer, "activation", None) is keras.activations.linear
    whole = kind and linear and read_once(model, layer)
    return (layer.name, activation.name) if whole else None


def _folding(
    model: keras.Model, normalization: Any, kinds: tuple[Any, ...]
) -> tuple[str, Any] | None:
    """Return which layer a batch normalization can be folded into, and itself; `None` for none."""
    if not isinstance(normalization, layers.BatchNormalization):
        return None
    last = normalization.axis in (-1, len(normalization.input.shape) - 1)
    if not last or len(normalization._inbound_nodes) > 1:  # it may be called for two layers
        return None
    before = producer(normalization.input)
    between = [before] if isinstance(before, layers.Reshape) else []
    layer = producer(before.input) if between else before
    linear = getattr(layer, "activation", None) is keras.activations.linear
    kind = isinstance(layer, kinds) and getattr(layer, "data_format", "") != "channels_first"
    if not (linear and kind and all(read_once(model, x) for x in (layer, *between))):
        return None
    if between:  # a reshape may mix the channels
        axis, *others = channel_axes(layer)
        if others or layer.kernel.shape[axis] % normalization.moving_mean.shape[0]:
            return None
    return layer.name, normalization


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
    if isinstance(layer, layers.DepthwiseConv2D):
        bias = ops.convert_to_numpy(layer.bias) if layer.use_bias else np.zeros(len(factor))
        wide = factor.reshape(kernel.shape[2:])
        return [kernel * wide, bias * factor + offset - mean * factor]
    [axis] = channel_axes(layer)
    times = kernel.shape[axis] // len(factor)  # of a dense layer that is reshaped to a map
    bias = ops.convert_to_numpy(layer.bias) if layer.use_bias else np.zeros(kernel.shape[axis])
    factor, offset = np.tile(factor, times), np.tile(offset - mean * factor, times)
    wide = factor[:, None] if axis < kernel.ndim - 1 else factor
    return [kernel * wide, bias * factor + offset]


def producer(tensor: Any) -> Any:
    """Return the layer that a symbolic tensor comes out of."""
    return tensor._keras_history.operation
