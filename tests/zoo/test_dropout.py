"""The dropout that draws bits: it drops as Keras' own does, and goes on where it was saved."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.layers import Dropout

RATE = 0.3


def dropped(layer: keras.Layer, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(tf.cast(layer(tf.ones(shape), training=True), "float32"))


@pytest.mark.parametrize("shape", [(40, 50, 64), (30, 1001), (40_001,)])
@pytest.mark.parametrize("rate", [0.001, RATE, 0.999])
def test_a_share_is_dropped_and_the_rest_scaled(shape: tuple[int, ...], rate: float) -> None:
    y = dropped(Dropout(rate, seed=1), shape)
    kept = y[y > 0]
    deviation = np.sqrt(rate * (1 - rate) / y.size)
    assert np.mean(y == 0) == pytest.approx(rate, abs=5 * deviation + 2**-17)
    np.testing.assert_allclose(kept, 1 / (1 - rate), rtol=1e-5 / (1 - rate))


def test_neighbours_are_dropped_apart() -> None:
    y = dropped(Dropout(RATE, seed=2), (1000, 256)) == 0
    for shift in (1, 2, 3, 4, 256):  # four share a draw
        both = np.mean(y.ravel()[:-shift] & y.ravel()[shift:])
        assert both == pytest.approx(RATE**2, abs=0.004)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_the_gradient_passes_where_the_number_did(policy: str) -> None:
    layer = Dropout(RATE, seed=3, dtype=policy)
    x = tf.ones((16, 64), layer.compute_dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(
        *(np.asarray(tf.cast(part, "float32")) for part in (tape.gradient(y, x), y))
    )


def test_outside_training_nothing_happens() -> None:
    x = np.random.default_rng(0).normal(size=(5, 8)).astype("float32")
    for layer in (Dropout(RATE), Dropout(0.0)):
        np.testing.assert_array_equal(layer(x, training=False), x)
        np.testing.assert_array_equal(layer(x), x)
    np.testing.assert_array_equal(Dropout(0.0)(x, training=True), x)
    assert not np.asarray(Dropout(1.0)(x, training=True)).any()


def test_a_noise_shape_is_left_to_keras() -> None:
    y = dropped(Dropout(RATE, noise_shape=(50, 1, 8), seed=4), (50, 6, 8))
    np.testing.assert_array_equal(y, np.repeat(y[:, :1], 6, axis=1))


def test_every_call_draws_anew_and_goes_on_from_its_state(tmp_path) -> None:
    inputs = keras.Input((64,))
    model = keras.Model(inputs, Dropout(RATE, seed=5)(inputs))
    model.save(tmp_path / "dropout.keras")
    x = tf.ones((8, 64))
    step = tf.function(lambda: model(x, training=True))
    first = np.asarray(step())
    [state] = [np.asarray(variable) for variable in model.variables]
    second = np.asarray(step())
    assert (first != second).any()
    again = keras.saving.load_model(tmp_path / "dropout.keras")
    again.variables[0].assign(state)
    np.testing.assert_array_equal(again(x, training=True), second)


def test_an_xla_compiled_step_drops_the_same() -> None:
    def step(jit: bool) -> tf.Tensor:
        layer = Dropout(RATE, seed=6)
        return tf.function(lambda x: layer(x, training=True), jit_compile=jit)(tf.ones((8, 64)))

    np.testing.assert_array_equal(step(jit=False), step(jit=True))


def test_networks_for_text_take_it() -> None:
    model = zoo.build("transformer", vocabulary_size=20, width=8, num_heads=2, depth=1)
    assert sum(type(layer) is Dropout for layer in model.layers) == 2
    block = model.get_layer("decoder1")
    assert all(type(layer) is Dropout for layer in block.drops.values())
