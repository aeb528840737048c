"""Minimization by methods of numerical analysis: solutions, derivatives, and what goes wrong."""

from typing import Any

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

import zoo
from recipes import load_data, minimize
from recipes.minimization import METHODS
from recipes.objective import Objective
from zoo.errors import CheckFailed, InputError

L2 = 1e-2
Pair = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def cancer() -> Pair:
    """Standardized features and classes."""
    data = load_data("breast_cancer").train
    inputs = (data.inputs - data.inputs.mean(axis=0)) / data.inputs.std(axis=0)
    return inputs.astype("float64"), data.targets


@pytest.fixture(scope="module")
def diabetes() -> Pair:
    data = load_data("diabetes").train
    inputs = (data.inputs - data.inputs.mean(axis=0)) / data.inputs.std(axis=0)
    targets = (data.targets - data.targets.mean()) / data.targets.std()
    return inputs.astype("float64"), targets.reshape(-1, 1)


def logistic() -> keras.Model:
    return zeroed(zoo.build("logistic", input_shape=(30,)))


def linear() -> keras.Model:
    return zeroed(zoo.build("linear", input_shape=(10,)))


def zeroed(model: keras.Model) -> keras.Model:
    for weight in model.trainable_weights:
        weight.assign(np.zeros(weight.shape))
    return model


def perceptron(seed: int = 0) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return zoo.build(
        "mlp", input_shape=(10,), hidden=(6,), classes=1, classifier_activation=None,
        activation="tanh",
    )  # fmt: skip


def solution(inputs: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return scikit-learn's weights and bias."""
    theirs = LogisticRegression(C=1 / (L2 * len(inputs)), tol=1e-12, max_iter=10_000)
    theirs.fit(inputs, classes)
    return np.concatenate([theirs.coef_.ravel(), theirs.intercept_])


def weights_of(model: keras.Model) -> np.ndarray:
    return np.concatenate([np.asarray(w).ravel() for w in model.trainable_weights])


def test_newton_finds_scikit_learn_s_logistic_regression(cancer: Pair) -> None:
    model = logistic()
    history = minimize(
        model, "categorical_crossentropy", cancer, method="newton", l2=L2, precision="float64",
        gradient_tolerance=1e-9,
    )  # fmt: skip
    assert len(history.epoch) - 1 < 15
    assert history.history["gradient_norm"][-1] < 1e-8
    np.testing.assert_allclose(weights_of(model), solution(*cancer), atol=1e-6)


def test_newton_finds_statsmodels_logistic_regression(cancer: Pair) -> None:
    statsmodels = pytest.importorskip("statsmodels.api")
    inputs, classes = cancer[0][:, :4], cancer[1]  # of all thirty, the classes can be separated
    model = zeroed(zoo.build("logistic", input_shape=(4,)))
    history = minimize(
        model, "categorical_crossentropy", (inputs, classes), method="newton",
        precision="float64", gradient_tolerance=1e-10,
    )  # fmt: skip
    assert len(history.epoch) - 1 < 15
    theirs = statsmodels.Logit(classes, statsmodels.add_constant(inputs)).fit(tol=1e-12, disp=False)
    expected = np.concatenate([theirs.params[1:], theirs.params[:1]])
    np.testing.assert_allclose(weights_of(model), expected, rtol=1e-6)
    loss = -theirs.llf / len(classes)
    assert history.history["loss"][-1] == pytest.approx(loss, abs=1e-9)


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"levenberg-marquardt", "newton"}))
def test_every_method_comes_to_the_same_minimum(method: str, cancer: Pair) -> None:
    model = logistic()
    history = minimize(
        model, "categorical_crossentropy", cancer, method=method, l2=L2, precision="float64",
        iterations=2000, gradient_tolerance=1e-6,
    )  # fmt: skip
    assert history.history["gradient_norm"][-1] < 1e-5
    np.testing.assert_allclose(weights_of(model), solution(*cancer), atol=2e-3)
    losses = history.history["loss"]
    assert losses[0] == pytest.approx(np.log(2), rel=1e-5)
    assert min(losses) == pytest.approx(losses[-1], abs=1e-9)


def test_an_exact_line_search_solves_a_quadratic(diabetes: Pair) -> None:
    model = linear()
    history = minimize(
        model, "mean_squared_error", diabetes, method="gradient-descent", line_search="exact",
        l2=L2, precision="float64", iterations=5000, gradient_tolerance=1e-8,
    )  # fmt: skip
    inputs, targets = diabetes
    theirs = Ridge(alpha=L2 * len(inputs) / 2).fit(inputs, targets)
    expected = np.concatenate([theirs.coef_.ravel(), theirs.intercept_])
    np.testing.assert_allclose(weights_of(model), expected, atol=1e-6)
    assert np.all(np.diff(history.history["loss"]) <= 1e-12)


@pytest.mark.parametrize(
    "method", ["newton", "newton-cg", "levenberg-marquardt", "natural-gradient"]
)
def test_second_order_solves_a_quadratic_at_once(method: str, diabetes: Pair) -> None:
    model = linear()
    history = minimize(
        model, "mean_squared_error", diabetes, method=method, precision="float64", damping=1e-9,
        gradient_tolerance=1e-7,
    )  # fmt: skip
    assert len(history.epoch) - 1 <= (25 if method == "newton-cg" else 3)
    expected = np.linalg.lstsq(np.c_[diabetes[0], np.ones(len(diabetes[0]))], diabetes[1])[0]
    np.testing.assert_allclose(weights_of(model), expected.ravel(), atol=1e-4)


def test_levenberg_marquardt_fits_a_network_better_than_first_order(diabetes: Pair) -> None:
    found = {}
    for method in ("levenberg-marquardt", "gradient-descent"):
        history = minimize(
            perceptron(), "mean_squared_error", diabetes, method=method, precision="float64",
            iterations=30,
        )  # fmt: skip
        found[method] = history.history["loss"][-1]
    assert found["levenberg-marquardt"] < 0.96 * found["gradient-descent"]


def objective(diabetes: Pair, **options: Any) -> Objective:
    from zoo.surgery import with_precision

    model = with_precision(perceptron(), "float64")
    return Objective(model, "mean_squared_error", diabetes, l2=L2, **options)


def test_derivatives_are_those_of_finite_differences(diabetes: Pair) -> None:
    own = objective(diabetes)
    weights, random = own.weights(), np.random.default_rng(0)
    direction, step = random.normal(size=own.size), 1e-5
    ahead, behind = weights + step * direction, weights - step * direction
    slope = (own.value(ahead) - own.value(behind)) / (2 * step)
    assert own.gradient(weights) @ direction == pytest.approx(slope, rel=1e-6)
    bend = (own.gradient(ahead) - own.gradient(behind)) / (2 * step)
    np.testing.assert_allclose(own.hessian_product(weights, direction), bend, atol=1e-7)
    np.testing.assert_allclose(own.hessian(weights) @ direction, bend, atol=1e-7)


def test_parts_of_the_data_add_up(diabetes: Pair) -> None:
    whole, parts = objective(diabetes), objective(diabetes, batch_size=70)
    at = whole.weights()
    value, gradient = whole.value_and_gradient(at)
    assert parts.value(at) == pytest.approx(value)
    np.testing.assert_allclose(parts.value_and_gradient(at)[1], gradient, atol=1e-12)
    np.testing.assert_allclose(parts.hessian(at), whole.hessian(at), atol=1e-10)
    assert (whole.passes, parts.passes) == (1 + whole.size, 2 + whole.size)


def test_the_fisher_information_is_the_hessian_of_a_logistic_regression(cancer: Pair) -> None:
    from zoo.surgery import with_precision

    own = Objective(with_precision(logistic(), "float64"), "categorical_crossentropy", cancer)
    at = np.random.default_rng(0).normal(scale=0.1, size=own.size)
    np.testing.assert_allclose(own.fisher(at), own.hessian(at), atol=1e-6)


def test_a_loss_that_is_no_number_leaves_the_last_good_weights(
    cancer: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, model = Objective.value_and_gradient, logistic()

    def failing(self: Objective, weights: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = call(self, weights)
        return (np.nan if self.passes > 6 else value), gradient

    monkeypatch.setattr(Objective, "value_and_gradient", failing)
    monkeypatch.setattr(Objective, "known", failing)
    with pytest.raises(CheckFailed, match="infinite or not a number in iteration"):
        minimize(model, "categorical_crossentropy", cancer, l2=L2)
    assert np.isfinite(weights_of(model)).all()
    assert np.abs(weights_of(model)).max() > 0


def test_an_interruption_leaves_the_weights_of_the_last_iteration(cancer: Pair) -> None:
    class Interrupted(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 3:
                raise KeyboardInterrupt

    model, same = logistic(), logistic()
    with pytest.raises(KeyboardInterrupt):
        minimize(model, "categorical_crossentropy", cancer, callbacks=[Interrupted()])
    minimize(same, "categorical_crossentropy", cancer, iterations=3)
    np.testing.assert_array_equal(weights_of(model), weights_of(same))


def test_keras_callbacks_see_every_iteration_and_can_end_it(cancer: Pair) -> None:
    model = logistic()
    stop = keras.callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=True)
    inputs, classes = cancer
    history = minimize(
        model, "categorical_crossentropy", (inputs[:200], classes[:200]), method="l-bfgs",
        validation_data=(inputs[200:], classes[200:]), callbacks=[stop],
    )  # fmt: skip
    losses = history.history["val_loss"]
    assert len(losses) < 100
    assert np.argmin(losses) == len(losses) - 2
    assert set(history.history) == {"loss", "gradient_norm", "passes", "seconds", "val_loss"}
    assert np.all(np.diff(history.history["passes"]) >= 1)


def test_frozen_weights_stay(diabetes: Pair) -> None:
    model = perceptron()
    first = next(layer for layer in model.layers if isinstance(layer, keras.layers.Dense))
    first.trainable = False
    before = first.get_weights()
    minimize(model, "mean_squared_error", diabetes, iterations=3)
    for one, other in zip(before, first.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "lbfgs"}, "l-bfgs"),
        ({"line_search": "wolf"}, "wolfe"),
        ({"precision": "float16"}, "float32"),
        ({"loss": "categorical_crosentropy"}, "knows no loss"),
        ({"iterations": 0}, "iterations is a whole number above 0"),
        ({"iterations": 2.5}, "iterations is a whole number above 0"),
        ({"memory": 2.5}, "memory is a whole number above 0"),
        ({"batch_size": 2.5}, "batch_size is a whole number above 0"),
        ({"loss": None}, "knows no loss None"),
        ({"data": (np.ones((3, 29)), np.ones(3))}, r"takes inputs of \(30,\)"),
        ({"l2": -1.0}, "l2 must not be negative"),
        ({"batch_size": 0}, "batch_size is a whole number above 0"),
        ({"method": "levenberg-marquardt"}, "takes the loss mean_squared_error"),
        ({"data": (np.ones((3, 30)), np.ones(2))}, "3 inputs and 2 targets"),
        ({"data": (np.ones((3, 30)), np.array([0, 1, 2]))}, "classes must be 0 to 1"),
        ({"data": np.ones((3, 30))}, "inputs and targets"),
    ],
)
def test_what_cannot_be_minimized_is_refused(
    options: dict[str, Any], words: str, cancer: Pair
) -> None:
    given = {"loss": "categorical_crossentropy", "data": cancer} | options
    with pytest.raises(InputError, match=words):
        minimize(logistic(), given.pop("loss"), given.pop("data"), **given)


def test_the_fisher_information_is_of_probabilities(cancer: Pair) -> None:
    model = keras.Sequential([keras.Input((30,)), keras.layers.Dense(2)])
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    with pytest.raises(InputError, match="end the model in a softmax"):
        minimize(model, loss, cancer, method="natural-gradient")


def test_a_models_own_regularizers_are_in_the_loss(diabetes: Pair) -> None:
    def regularized() -> keras.Model:
        keras.utils.set_random_seed(0)
        penalty = keras.regularizers.L2(L2 / 2)
        inputs = keras.Input((10,))
        return keras.Model(inputs, keras.layers.Dense(1, kernel_regularizer=penalty)(inputs))

    own, plain = regularized(), linear()
    history = minimize(own, "mse", diabetes, method="newton", precision="float64", batch_size=50)
    minimize(plain, "mse", diabetes, method="newton", precision="float64", l2=L2)
    np.testing.assert_allclose(weights_of(own), weights_of(plain), atol=1e-6)
    own.compile(loss="mse")
    measured = own.evaluate(*diabetes, verbose=0, batch_size=len(diabetes[0]))
    assert history.history["loss"][-1] == pytest.approx(measured, rel=1e-5)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_sequential_model_is_taken_and_one_callback_will_do(
    precision: str, diabetes: Pair
) -> None:
    model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(1)])
    seen: list[int] = []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    loss = keras.losses.MeanSquaredError(name="mine")
    history = minimize(
        model, loss, diabetes, method="levenberg-marquardt", callbacks=note, precision=precision
    )
    assert seen == history.epoch
    reference = linear()
    minimize(reference, "mse", diabetes, method="newton", precision="float64")
    np.testing.assert_allclose(weights_of(model), weights_of(reference), atol=1e-3)


def test_a_model_that_is_not_built_is_refused(diabetes: Pair) -> None:
    with pytest.raises(InputError, match="must be built"):
        minimize(keras.Sequential([keras.layers.Dense(1)]), "mse", diabetes)


def test_a_matrix_of_too_many_weights_is_refused() -> None:
    model = zoo.build("softmax")
    data = (np.zeros((4, 28, 28, 1), "uint8"), np.arange(4))
    with pytest.raises(InputError, match="7,850: take 'l-bfgs'"):
        minimize(model, "categorical_crossentropy", data, method="newton")
    minimize(model, "categorical_crossentropy", data, method="newton-cg", iterations=2)
