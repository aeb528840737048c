"""A perceptron in NumPy: for a handful of observations, TensorFlow's call costs most of its time.

A call of a compiled function takes 100 to 200 µs; what a small perceptron computes for eight
observations takes 10. Whoever plays asks for every step.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from zoo.layers import Standardize

_Step = Callable[..., np.ndarray]


class Perceptron:
    """A network of dense layers as a NumPy function, with the weights of its last `refresh`.

    Args:
        model: functional `keras.Model` with one input and one output.

    Raises:
        TypeError: it has layers of other kinds.

    Example:
        >>> import numpy as np
        >>> import zoo
        >>> from recipes.control.perceptron import Perceptron
        >>> network = Perceptron(zoo.build("dqn_dueling"))
        >>> network(np.zeros((8, 4), "float32")).shape
        (8, 2)
    """

    def __init__(self, model: keras.Model) -> None:
        if isinstance(model.output, dict):
            raise TypeError("a distributional network has several outputs")
        self._operations = [
            operation
            for operation in model.operations
            if not isinstance(operation, keras.layers.InputLayer)
        ]
        for operation in self._operations:
            if type(operation).__name__ not in _STEPS or len(operation._inbound_nodes) != 1:
                raise TypeError(f"{operation.name!r} has no form in NumPy")
        self._input, self._output = id(model.inputs[0]), id(model.outputs[0])
        self.refresh()

    def refresh(self) -> None:
        """Take over the model's weights."""
        self._plan = []
        for operation in self._operations:
            (node,) = operation._inbound_nodes
            step = _STEPS[type(operation).__name__](operation)
            sources = [
                id(value) if isinstance(value, keras.KerasTensor) else value
                for value in node.arguments.args
            ]
            self._plan.append((step, sources, id(node.outputs[0])))

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """Return what the model would."""
        values: dict[int, np.ndarray] = {self._input: observations}
        for step, sources, target in self._plan:
            values[target] = step(*(values[source] for source in sources))
        return values[self._output]


def _dense(layer: keras.layers.Dense) -> _Step:
    if layer.activation is not keras.activations.linear or not layer.use_bias:
        raise TypeError(f"{layer.name!r} has an activation of its own, or no bias")
    kernel, bias = np.asarray(layer.kernel), np.asarray(layer.bias)
    return lambda x: x @ kernel + bias


def _standardize(layer: Standardize) -> _Step:
    mean, deviation = np.asarray(layer.mean), np.asarray(layer.deviation)
    return lambda x: (x - mean) / deviation


def _relu(layer: keras.layers.ReLU) -> _Step:
    if layer.max_value is not None or layer.negative_slope or layer.threshold:
        raise TypeError(f"{layer.name!r} is no plain ReLU")
    return lambda x: np.maximum(x, 0)


# Kind of layer, or of operation between layers -> itself in NumPy.
_STEPS: dict[str, Callable[[Any], _Step]] = {
    "Dense": _dense,
    "Standardize": _standardize,
    "ReLU": _relu,
    "Identity": lambda _: lambda x: x,
    "Add": lambda _: np.add,
    "Subtract": lambda _: np.subtract,
    "Mean": lambda mean: lambda x: x.mean(axis=tuple(mean.axis), keepdims=mean.keepdims),
}
