"""Optimizers whose variables learn at shares of the rate: as ones of their own would."""

from typing import Any

import keras
import numpy as np
import pytest

from recipes import Recipe
from recipes.recipe import OPTIMIZERS, optimizer

START = [
    np.array([[1.0, -2.0, 0.5], [0.3, 0.7, -1.1]]),
    np.array([0.2, -0.4]),
    np.array([[2.0, 1.0], [0.5, 0.1]]),
]
SHARES = (1.0, 0.25, 0.0625)
STEPS = 5


def gradients(step: int) -> list[np.ndarray]:
    rng = np.random.default_rng(step)
    return [rng.normal(size=value.shape).astype("float32") for value in START]


def trained(
    settings: Recipe, rate: float, shares: tuple[float, ...], numbers: tuple[int, ...]
) -> tuple[list[np.ndarray], Any]:
    """Return some of the variables after a few compiled steps, and the optimizer."""
    import tensorflow as tf

    variables = [keras.Variable(START[n], dtype="float32", name=f"v{n}") for n in numbers]
    own = optimizer(settings, rate, settings.schedule, STEPS, shares)
    own.build(variables)
    step = tf.function(lambda given: own.apply(given, variables))
    for number in range(STEPS):
        step([tf.constant(gradients(number)[n]) for n in numbers])
    return [np.asarray(v) for v in variables], own


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_variable_goes_as_under_an_optimizer_with_its_share_of_the_rate(
    name: str, weight_decay: float
):
    settings = Recipe(
        model="mlp",
        data="digits",
        epochs=1,
        optimizer=name,
        weight_decay=weight_decay,
        schedule="cosine",
        ema=0.5,
    )
    together, own = trained(settings, 0.1, SHARES, (0, 1, 2))
    for number, share in enumerate(SHARES):
        (alone,), single = trained(settings, 0.1 * share, (), (number,))
        assert (alone != START[number]).any()
        np.testing.assert_allclose(together[number], alone, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(
            own._model_variables_moving_average[number],
            single._model_variables_moving_average[0],
            rtol=1e-5,
            atol=1e-7,
        )


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_shares_of_one_change_nothing(name: str):
    settings = Recipe(model="mlp", data="digits", epochs=1, optimizer=name, weight_decay=0.1)
    for one, other in zip(
        trained(settings, 0.1, (1.0,) * 3, (0, 1, 2))[0],
        trained(settings, 0.1, (), (0, 1, 2))[0],
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_the_norm_that_clips_is_of_all_gradients_as_they_are():
    settings = Recipe(model="mlp", data="digits", epochs=1, optimizer="sgd", clip_norm=0.1)
    plain, _ = trained(settings, 0.1, (), (0, 1, 2))
    shared, _ = trained(settings, 0.1, SHARES, (0, 1, 2))
    for start, one, other, share in zip(START, plain, shared, SHARES, strict=True):
        np.testing.assert_allclose(other - start, (one - start) * share, rtol=1e-3, atol=1e-7)


def test_scaled_losses_keep_the_shares():
    settings = Recipe(model="mlp", data="digits", epochs=1, precision="mixed_float16")
    own = optimizer(settings, 0.1, "constant", STEPS, SHARES)
    assert isinstance(own, keras.optimizers.LossScaleOptimizer)
    assert own.inner_optimizer.shares == SHARES


def test_the_rate_that_is_reported_is_the_heads():
    settings = Recipe(model="mlp", data="digits", epochs=1, weight_decay=0.1)
    _, own = trained(settings, 0.1, SHARES, (0, 1, 2))
    assert float(keras.ops.convert_to_numpy(own.learning_rate)) == pytest.approx(0.1)
