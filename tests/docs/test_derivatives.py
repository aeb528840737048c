"""Derivatives of every activation and every loss: TensorFlow's, differences, and the tape's."""

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dual
import keras
import numpy as np
import pytest
import tape_functions
import tensorflow as tf

from recipes.adversarial.losses import LOSSES as ADVERSARIES
from recipes.losses import TokenCrossentropy

DOCS = Path(__file__).parents[2] / "docs"
STEP = 1e-5
HELPERS = {"get", "serialize", "deserialize"}
# No value is near a kink: 0, ±0.5, ±1, ±3, 6, or the threshold of 0.25. Softmax and its like do not
# saturate at the narrow ones.
WIDE = np.array([-3.7, -1.6, -0.7, -0.2, 0.3, 0.8, 2.4, 6.9])
POINTS = {"wide": WIDE, "narrow": WIDE[[2, 6, 0, 4, 5, 7, 1, 3]] / 5}
WEIGHTS = np.random.default_rng(1).normal(size=WIDE.size)  # of the sum of an activation's values
OPTIONS = {"threshold": (0.25, -1.0)}  # what has no default

random = np.random.default_rng(0)


def functions(module: Any) -> list[str]:
    """Return the public functions of a module of Keras."""
    return sorted(
        name
        for name, found in inspect.getmembers(module, callable)
        if not name.startswith("_") and not isinstance(found, type) and name not in HELPERS
    )


@dataclass
class Derivatives:
    """A function's value, gradient, derivative along a direction, and Hessian times it."""

    value: float
    gradient: np.ndarray
    slope: float
    bend: np.ndarray

    def agree(self, other: "Derivatives", tolerance: float) -> None:
        for name in ("value", "gradient", "slope", "bend"):
            mine, theirs = getattr(self, name), getattr(other, name)
            size = max(1.0, float(np.abs(theirs).max()))
            np.testing.assert_allclose(mine, theirs, atol=tolerance * size, err_msg=name)


def gradient(of: Callable[[Any], Any], at: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape() as tape:
        tape.watch(at)
        value = of(at)
    return tape.gradient(value, at, unconnected_gradients="zero")


def by_tensorflow(of: Callable[[Any], Any], at: np.ndarray, along: np.ndarray) -> Derivatives:
    point, direction = tf.constant(at), tf.constant(along)
    with tf.autodiff.ForwardAccumulator(point, direction) as first:
        value = of(point)
    with tf.autodiff.ForwardAccumulator(point, direction) as second:
        slopes = gradient(of, point)
    bend = second.jvp(slopes, unconnected_gradients="zero")
    assert value.dtype == slopes.dtype == at.dtype
    return Derivatives(float(value), slopes.numpy(), float(first.jvp(value)), bend.numpy())


def by_differences(of: Callable[[Any], Any], at: np.ndarray, along: np.ndarray) -> Derivatives:
    def slope(direction: np.ndarray) -> float:
        ahead, behind = of(tf.constant(at + direction)), of(tf.constant(at - direction))
        return float(ahead - behind) / (2 * STEP)

    units = STEP * np.eye(at.size).reshape(-1, *at.shape)
    slopes = np.array([slope(unit) for unit in units]).reshape(at.shape)
    ahead = gradient(of, tf.constant(at + STEP * along)).numpy()
    behind = gradient(of, tf.constant(at - STEP * along)).numpy()
    bend = (ahead - behind) / (2 * STEP)
    return Derivatives(float(of(tf.constant(at))), slopes, slope(STEP * along), bend)


def by_tape(of: Callable[[Any], Any], at: np.ndarray, along: np.ndarray) -> Derivatives:
    """Return those of a function of nested lists of numbers."""
    numbers, directions = at.ravel().tolist(), along.ravel().tolist()

    def flat(*values: Any) -> Any:
        return of(np.array(values, dtype=object).reshape(at.shape).tolist())

    value, slope = dual.jvp(flat, numbers, directions)
    slopes = np.array(dual.grad(flat, numbers)).reshape(at.shape)
    bend = np.array(dual.hvp(flat, numbers, directions)).reshape(at.shape)
    return Derivatives(value, slopes, slope, bend)


def activation(name: str) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Return a weighted sum of an activation's values: Keras' and the tape's."""
    options = OPTIONS.get(name, ())

    def keras_sum(x: Any) -> Any:
        values = getattr(keras.activations, name)(x[None], *options)[0]
        return tf.tensordot(values, WEIGHTS[: values.shape[0]], 1)

    def tape_sum(row: list[Any]) -> Any:
        values = tape_functions.ACTIVATIONS[name](row, *options)
        return sum(weight * value for weight, value in zip(WEIGHTS, values, strict=False))

    return keras_sum, tape_sum


TARGETS = np.eye(4)[[0, 2, 1]]
CHANCES = random.dirichlet(np.full(4, 3.0), size=3)
REALS = random.normal(size=(3, 4))
GOALS = REALS + np.array([[0.4, -2.0, 0.7, 1.5]]) * np.array([[1], [-1], [1]])  # errors beside ±1
UNIT = random.normal(size=(5, 3))
UNIT /= np.linalg.norm(UNIT, axis=1, keepdims=True)
CLASSES = np.array([0, 2, 1])
# Targets and predictions at which a loss is differentiated, and what it cannot do without.
EXAMPLES: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(tape_functions.LOSSES, (TARGETS, CHANCES)),
    **dict.fromkeys(
        ("cosine_similarity", "huber", "log_cosh", "mean_absolute_error", "mean_squared_error",
         "mean_absolute_percentage_error"), (GOALS, REALS)
    ),
    **dict.fromkeys(("hinge", "squared_hinge"), (2 * TARGETS - 1, REALS)),
    "categorical_generalized_cross_entropy": (CLASSES, CHANCES, {"q": 0.7}),
    "categorical_hinge": (TARGETS, REALS),
    "circle": (np.array([0, 0, 1, 1, 1]), UNIT),
    "ctc": (np.array([[1, 2, 0], [2, 2, 0]]), random.normal(size=(2, 5, 3))),
    "mean_squared_logarithmic_error": (np.abs(REALS), CHANCES),
    "sparse_categorical_crossentropy": (CLASSES, CHANCES),
}  # fmt: skip

# Where Keras or TensorFlow keep a constant in float32, which float64 shows.
ROUGH = {
    "gelu": 1e-7,  # the root of 2
    "leaky_relu": 1e-8,  # the slope
    "log_cosh": 1e-8,  # the logarithm of 2, in the value alone
}


def loss(name: str, logits: bool = False) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Return the mean of a loss as a function of predictions: Keras' and the tape's."""
    targets, _, *options = EXAMPLES[name]
    extra = {"from_logits": True} if logits else dict(*options)
    table = tape_functions.OF_LOGITS if logits else tape_functions.LOSSES

    def keras_mean(outputs: Any) -> Any:
        return tf.reduce_mean(getattr(keras.losses, name)(targets, outputs, **extra))

    def tape_mean(rows: list[list[Any]]) -> Any:
        found = table[name](targets.tolist(), rows)
        return tape_functions.mean(found) if isinstance(found, list) else found

    return keras_mean, tape_mean


def direction(at: np.ndarray) -> np.ndarray:
    return np.random.default_rng(2).normal(size=at.shape)


def test_all_are_written_for_the_tape() -> None:
    assert set(tape_functions.ACTIVATIONS) == set(functions(keras.activations))
    assert set(tape_functions.LOSSES) == set(functions(keras.losses))
    assert set(tape_functions.ADVERSARIES) == set(ADVERSARIES)
    logits = {
        name
        for name in functions(keras.losses)
        if "from_logits" in inspect.signature(getattr(keras.losses, name)).parameters
    }
    assert set(tape_functions.OF_LOGITS) == logits


@pytest.mark.parametrize(
    ("name", "points"),
    [
        (name, points)
        for name in functions(keras.activations)
        for points in POINTS
        if name != "softsign" and (name, points) != ("sparsemax", "narrow")  # see below
    ],
)
def test_activations(name: str, points: str) -> None:
    at, (ours, theirs) = POINTS[points], activation(name)
    found = by_tensorflow(ours, at, direction(at))
    found.agree(by_differences(ours, at, direction(at)), 1e-7)
    found.agree(by_tape(theirs, at, direction(at)), ROUGH.get(name, 1e-13))


@pytest.mark.parametrize("points", POINTS)
def test_softsign_has_no_second_derivative_in_tensorflow(points: str) -> None:
    """In 2.21; https://github.com/tensorflow/tensorflow/pull/126092. Written out, it has one."""
    at, (ours, theirs) = POINTS[points], activation("softsign")
    with pytest.raises(LookupError, match="SoftsignGrad"):
        by_tensorflow(ours, at, direction(at))
    found = by_tape(theirs, at, direction(at))
    found.agree(by_differences(ours, at, direction(at)), 1e-7)
    np.testing.assert_allclose(gradient(ours, tf.constant(at)), found.gradient, atol=1e-13)
    written = by_tensorflow(
        lambda x: tf.tensordot(x / (1 + tf.abs(x)), WEIGHTS, 1), at, direction(at)
    )
    written.agree(found, 1e-13)


def test_sparsemax_of_keras_sums_to_one_only_where_one_is_left() -> None:
    """Keras 3.15 adds up cumulative sums: https://github.com/keras-team/keras/issues/23425."""
    at = POINTS["narrow"]
    left = np.array(tape_functions.sparsemax(at.tolist()))
    assert left.sum() == pytest.approx(1)
    assert (left > 0).sum() == 2
    assert float(tf.reduce_sum(keras.activations.sparsemax(at[None]))) == pytest.approx(0.26)
    _, theirs = activation("sparsemax")
    found = by_tape(theirs, at, direction(at))
    expected = (left > 0) * (WEIGHTS - WEIGHTS[left > 0].mean())
    np.testing.assert_allclose(found.gradient, expected, atol=1e-15)
    assert found.slope == pytest.approx(expected @ direction(at))
    np.testing.assert_array_equal(found.bend, np.zeros(at.size))


@pytest.mark.parametrize("name", sorted(set(functions(keras.losses)) - {"ctc"}))
def test_losses(name: str) -> None:
    at, (ours, theirs) = EXAMPLES[name][1], loss(name)
    found = by_tensorflow(ours, at, direction(at))
    found.agree(by_differences(ours, at, direction(at)), 1e-7)
    found.agree(by_tape(theirs, at, direction(at)), ROUGH.get(name, 1e-13))


@pytest.mark.parametrize("name", tape_functions.OF_LOGITS)
def test_losses_of_logits(name: str) -> None:
    at, (ours, theirs) = REALS, loss(name, logits=True)
    found = by_tensorflow(ours, at, direction(at))
    found.agree(by_differences(ours, at, direction(at)), 1e-7)
    found.agree(by_tape(theirs, at, direction(at)), 1e-13)


def test_ctc_is_of_float32_and_has_no_second_derivative() -> None:
    """TensorFlow computes it in float32 whatever comes in, and its second derivative is NaN."""
    at, (ours, theirs) = EXAMPLES["ctc"][1], loss("ctc")
    exact, found = by_tape(theirs, at, direction(at)), by_tensorflow(ours, at, direction(at))
    assert np.isnan(found.bend).any()
    found.bend = exact.bend
    found.agree(exact, 1e-6)
    ends = [at + sign * STEP * direction(at) for sign in (1, -1)]
    ahead, behind = (by_tape(theirs, end, direction(at)) for end in ends)
    assert exact.slope == pytest.approx((ahead.value - behind.value) / (2 * STEP), rel=1e-8)
    bend = (ahead.gradient - behind.gradient) / (2 * STEP)
    np.testing.assert_allclose(exact.bend, bend, atol=1e-8)


@pytest.mark.parametrize(
    "kind", sorted(n for n, f in inspect.getmembers(keras.losses, inspect.isclass) if n != "Loss")
)
def test_classes_have_the_derivatives_of_their_functions(kind: str) -> None:
    name = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", kind).lower()
    targets, at, *options = EXAMPLES[name]
    whole = getattr(keras.losses, kind)(**dict(*options), dtype="float64")
    found = gradient(lambda outputs: whole(targets, outputs), tf.constant(at))
    expected = gradient(loss(name)[0], tf.constant(at))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ADVERSARIES)
def test_losses_of_adversaries(name: str) -> None:
    at, smoothing = np.random.default_rng(3).normal(size=(2, 5)), tape_functions.SMOOTHING
    own, (critic, generator) = ADVERSARIES[name], tape_functions.ADVERSARIES[name]
    for ours, theirs in (
        (lambda x: own.critic(x[0], x[1], smoothing), lambda rows: critic(*rows)),
        (lambda x: own.generator(x[1]), lambda rows: generator(rows[1])),
    ):
        found = by_tensorflow(ours, at, direction(at))
        found.agree(by_differences(ours, at, direction(at)), 1e-7)
        found.agree(by_tape(theirs, at, direction(at)), 1e-13)


def test_the_loss_of_tokens() -> None:
    """It is computed in float32, with a gradient written by hand that can be derived once more."""
    tokens, ours = [3, 1, 0, 2, 0], TokenCrossentropy()
    at = np.random.default_rng(4).normal(size=(len(tokens), 4))

    def theirs(rows: list[list[Any]]) -> Any:
        kept = [(token, row) for token, row in zip(tokens, rows, strict=True) if token]
        losses = [-tape_functions.log(tape_functions.softmax(row)[token]) for token, row in kept]
        return tape_functions.mean(losses)

    single = at.astype("float32"), direction(at).astype("float32")
    found = by_tensorflow(lambda x: ours(np.array([tokens]), x[None]), *single)
    found.agree(by_tape(theirs, at, direction(at)), 1e-6)


def test_the_tape_is_short_and_right() -> None:
    assert len((DOCS / "tape.py").read_text().splitlines()) < 100
    command = [sys.executable, DOCS / "tape.py"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    *steps, last = printed.splitlines()
    own = [re.search(r"derivative +(\S+),", step).group(1) for step in steps[:2]]
    assert last.split()[1:] == own
    assert len(steps) == 10


def test_the_tape_counts_what_is_used_twice_and_what_is_not_used() -> None:
    assert dual.grad(lambda x, y: x * x + x, [3.0, 5.0]) == [7.0, 0.0]
    assert dual.grad(lambda x: 2.0, [3.0]) == [0.0]
    assert dual.hvp(lambda x, y: x * x * y, [3.0, 5.0], [1.0, 0.0]) == [10.0, 6.0]
    assert dual.jvp(lambda x: 2 / x, [4.0], [1.0]) == (0.5, -0.125)


def test_powers_have_their_derivatives_at_zero() -> None:
    assert dual.grad(lambda x: x**0, [0.0]) == [0.0]
    assert dual.grad(lambda x: (1 - x) ** 1, [1.0]) == [-1.0]
    assert dual.hvp(lambda x: x**1, [0.0], [1.0]) == [0.0]
    assert dual.hvp(lambda x: x**2, [0.0], [1.0]) == [2.0]
