"""The policy of a Q-network: to do what it values most."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf


def greedy(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """Return a compiled function of observations `(batch, …)` to actions `(batch,)`.

    Args:
        model: a Q-network; the function follows its weights.

    Example:
        >>> import numpy as np
        >>> import zoo
        >>> from recipes.control.policy import greedy
        >>> greedy(zoo.build("dqn"))(np.zeros((3, 4), "float32")).shape
        (3,)
    """

    def best(observations: tf.Tensor) -> tf.Tensor:
        return tf.argmax(q_values(model(observations)), axis=-1)

    source = model.inputs[0]
    compiled = tf.function(
        best,
        input_signature=[tf.TensorSpec(source.shape, source.dtype)],
        jit_compile=by_xla(model),
        autograph=False,
    )
    concrete = compiled.get_concrete_function()
    return lambda observations: concrete(tf.constant(observations)).numpy()


def by_xla(model: keras.Model) -> bool:
    """Return whether XLA makes a network faster: it fuses the many small steps of a perceptron.

    TensorFlow's own convolutions on CPU are faster than XLA's.
    """
    return not any(isinstance(layer, keras.layers.Conv2D) for layer in model.layers)


def q_values(outputs: Any) -> Any:
    """Return the values of the actions, of a network that may have other outputs beside them."""
    return outputs["q_values"] if isinstance(outputs, dict) else outputs
