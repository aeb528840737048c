"""Adam in one pass against Keras' own."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.adam import Adam, AdamW

PAIRS = [(Adam, keras.optimizers.Adam), (AdamW, keras.optimizers.AdamW)]
SETTINGS: list[dict[str, Any]] = [
    {},
    {"learning_rate": keras.optimizers.schedules.CosineDecay(0.1, 8)},
    {"global_clipnorm": 0.5},
    {"use_ema": True, "ema_momentum": 0.9},
    {"amsgrad": True},
]


def weights_after(optimizer: keras.Optimizer, compiled: bool, sparse: bool = False) -> np.ndarray:
    variable = keras.Variable(np.linspace(-1, 1, 12, dtype="float32").reshape(4, 3))
    optimizer.build([variable])
    gradients = np.random.default_rng(0).normal(size=(8, 4, 3)).astype("float32")

    def update(gradient: tf.Tensor) -> None:
        given = tf.IndexedSlices(gradient[1:3], tf.constant([1, 2]), (4, 3)) if sparse else gradient
        optimizer.apply([given], [variable])

    step = tf.function(update) if compiled else update
    for gradient in gradients:
        step(tf.constant(gradient))
    return np.concatenate([np.ravel(v) for v in (variable, *optimizer.variables)])


@pytest.mark.parametrize(("own", "kerass"), PAIRS)
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: next(iter(s), "plain"))
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_weights_and_moments_go_as_under_keras_optimizer(
    own: Any, kerass: Any, settings: dict[str, Any], compiled: bool
):
    found = weights_after(own(**settings), compiled)
    expected = weights_after(kerass(**settings), compiled)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


def test_sparse_gradients_go_as_under_keras_optimizer():
    found, expected = (weights_after(kind(), True, sparse=True) for kind in PAIRS[0])
    np.testing.assert_array_equal(found, expected)


def test_an_optimizer_of_keras_takes_up_where_ours_left_off(tmp_path):
    def model(optimizer: keras.Optimizer) -> keras.Model:
        made = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        made.compile(optimizer, "mse")
        return made

    x, y = np.ones((8, 3), "float32"), np.zeros((8, 2), "float32")
    first, second = model(Adam(0.1)), model(keras.optimizers.Adam(0.1))
    first.fit(x, y, epochs=2, verbose=0)
    second.set_weights(first.get_weights())
    second.optimizer.build(second.trainable_variables)
    second.optimizer.load_own_variables(
        {str(i): np.asarray(v) for i, v in enumerate(first.optimizer.variables)}
    )
    for made in (first, second):
        made.fit(x, y, epochs=2, verbose=0)
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
