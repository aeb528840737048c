"""A finished policy is brought to int8: its network learns to decide alike with rounded numbers.

*Policy Distillation*, Rusu et al. 2016, https://arxiv.org/abs/1511.06295, here from a network to
itself; rounding as in *Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference*, Jacob et al. 2018, https://arxiv.org/abs/1712.05877.

Values of actions lie close together against the range of all values, so that rounding changes many
decisions of a network that has never met it.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recipes.control.policy import by_xla, q_values
from recipes.control.targets import huber
from zoo.layers import Standardize, rounded
from zoo.quantization import calibrate, kernels, quantization_aware

OBSERVATIONS = 20_000  # that the network learns from once more
_BLOCKS, _BLOCK_UPDATES, _BATCH_SIZE = 8, 500, 256
_LEARNING_RATE = 1e-3
_CALIBRATION = 1_000


def consolidated(model: keras.Model, observations: np.ndarray, seed: int) -> keras.Model:
    """Return a copy that rounds as int8 does, taught by `model` to value and to choose as it does.

    Args:
        model: a Q-network.
        observations: `(examples, …)` of its own policy.
        seed: of the batches.

    Returns:
        `keras.Model` with `zoo.layers.FakeQuantize` layers, and kernels that are int8 but for their
        scales.
    """
    values = q_values(model.predict(observations, batch_size=1_024, verbose=0))
    result = quantization_aware(model)
    _spread(result, observations)
    calibrate(result, observations[:_CALIBRATION])
    lesson = _Lesson(result, observations, values)
    random = np.random.default_rng(seed)
    for _ in range(_BLOCKS):
        lesson.learn(random.integers(len(observations), size=(_BLOCK_UPDATES, _BATCH_SIZE)))
    return result


class _Lesson:
    """Updates of a network whose kernels are rounded: the unrounded ones are kept beside them."""

    def __init__(self, model: keras.Model, observations: np.ndarray, values: np.ndarray) -> None:
        self.model = model
        self.observations, self.values = tf.constant(observations), tf.constant(values)
        best = np.sort(values, axis=-1)
        # What the median decision hangs on counts as one.
        self.scale = 1 / max(1e-6, float(np.median(best[:, -1] - best[:, -2])))
        self.axes = {id(kernel): axes for kernel, axes in kernels(model)}
        self.exact = [keras.Variable(weight) for weight in model.trainable_weights]
        schedule = keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, _BLOCKS * _BLOCK_UPDATES)
        self.optimizer = keras.optimizers.Adam(schedule)
        self.optimizer.build(self.exact)
        self.learn = tf.function(self._learn, jit_compile=by_xla(model), autograph=False)
        self._round()

    def _learn(self, places: tf.Tensor) -> None:
        def one(number: tf.Tensor) -> tuple[tf.Tensor]:
            self._update(places[number])
            return (number + 1,)

        tf.while_loop(lambda number: number < places.shape[0], one, (tf.constant(0),))

    def _update(self, places: tf.Tensor) -> None:
        observed, aims = tf.gather(self.observations, places), tf.gather(self.values, places)
        with tf.GradientTape() as tape:
            values = q_values(self.model(observed, training=True))
            choices = keras.ops.one_hot(tf.argmax(aims, axis=-1), aims.shape[-1])
            chosen = tf.reduce_sum(tf.nn.log_softmax(self.scale * values) * choices, axis=-1)
            loss = tf.reduce_mean(huber(aims - values)) - tf.reduce_mean(chosen)
        self.optimizer.apply(tape.gradient(loss, self.model.trainable_weights), self.exact)
        self._round()

    def _round(self) -> None:
        for weight, exact in zip(self.model.trainable_weights, self.exact, strict=True):
            axes = self.axes.get(id(weight))
            weight.assign(rounded(exact, axes) if axes else exact)


def _spread(model: keras.Model, observations: np.ndarray) -> None:
    """Give columns of observations the same spread where they are rounded; answers stay.

    One scale is for all columns: it would leave little of those that are small.
    """
    layer = next((layer for layer in model.layers if isinstance(layer, Standardize)), None)
    if layer is None:
        return
    mean, deviation = (np.asarray(w, "float64") for w in (layer.mean, layer.deviation))
    layer.adapt(observations)
    shift = (np.asarray(layer.mean, "float64") - mean) / deviation
    scale = np.asarray(layer.deviation, "float64") / deviation
    for after in _after(model, layer):
        kernel, bias = (np.asarray(w, "float64") for w in (after.kernel, after.bias))
        after.kernel.assign(scale[:, None] * kernel)
        after.bias.assign(bias + shift @ kernel)


def _after(model: keras.Model, layer: Any) -> list[keras.layers.Dense]:
    """Return the layers with a kernel that read what `layer` gives, rounded."""
    (middle,) = (node.operation for node in layer._outbound_nodes)
    return [node.operation for node in middle._outbound_nodes]
