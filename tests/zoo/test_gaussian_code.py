"""Codes that are drawn: their distribution, and what it costs."""

import keras
import numpy as np
import pytest

from zoo.layers import GaussianCode
from zoo.layers.gaussian_code import divergence


def test_the_divergence_is_that_of_normal_distributions() -> None:
    random = np.random.default_rng(0)
    mean, log_variance = random.normal(size=(2, 3, 4)).astype("float32")
    found = np.asarray(divergence(mean, log_variance))
    variance = np.exp(log_variance)
    expected = 0.5 * (variance + mean**2 - 1 - np.log(variance)).sum(axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert float(divergence(np.zeros((1, 4)), np.zeros((1, 4)))[0]) == 0


def test_codes_are_drawn_around_their_means_in_training_alone() -> None:
    layer = GaussianCode(weight=0.5, seed=1)
    mean = np.tile(np.array([[1.0, -2.0]], "float32"), (20_000, 1))
    log_variance = np.tile(np.array([[0.0, 2 * np.log(3.0)]], "float32"), (20_000, 1))
    drawn = np.asarray(layer([mean, log_variance], training=True))
    np.testing.assert_allclose(drawn.mean(axis=0), [1.0, -2.0], atol=0.08)
    np.testing.assert_allclose(drawn.std(axis=0), [1.0, 3.0], rtol=0.03)
    other = 0.5 * (9.0 + 4.0 - 1 - np.log(9.0))
    assert float(layer.losses[0]) == pytest.approx(0.5 * (0.5 + other), rel=1e-4)
    np.testing.assert_array_equal(np.asarray(layer([mean, log_variance])), mean)


def test_gradients_reach_means_and_variances() -> None:
    code = keras.Input((2,))
    mean, log_variance = keras.layers.Dense(2)(code), keras.layers.Dense(2)(code)
    drawn = GaussianCode(seed=0)([mean, log_variance])
    model = keras.Model(code, drawn)
    before = model.get_weights()
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    model.fit(np.ones((8, 2)), np.full((8, 2), 5.0), verbose=0)
    moved = [(a != b).any() for a, b in zip(before, model.get_weights(), strict=True)]
    assert all(moved[:4])
