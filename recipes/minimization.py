"""Minimization of a model's loss over all examples at once, by the methods of numerical analysis.

Keras' optimizers take small steps on small batches. On few weights, or few examples, methods that
see the whole loss come much nearer to its minimum: line searches, conjugate gradients, Newton's
method and its relatives. SciPy has most of them; here they are given a Keras model's loss, gradient
and Hessian-vector products as compiled functions of its flattened weights.
"""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from scipy import linalg, optimize

from recipes.data.splits import Examples
from recipes.objective import Objective
from zoo import surgery
from zoo.errors import CheckFailed, InputError
from zoo.registry import unknown

LINE_SEARCHES = ("armijo", "wolfe", "exact")
PRECISIONS = ("float32", "float64")
_ENOUGH = 1e-4  # share of the slope that a step must come down by (Armijo)
_CURVATURE = 0.9  # share of the slope that may be left after a step (Wolfe)
_HALVINGS = 50
_MOST_WEIGHTS = 5_000  # of methods that hold a matrix of them

_Step = Callable[[np.ndarray], None]


class _Stop(Exception):  # noqa: N818 - a signal, no error
    """The end of an iteration that shall be the last."""


@dataclass(frozen=True)
class Method:
    """One way to the minimum.

    Attributes:
        run: what goes it: called with the objective, the first weights, the options, and what is
            to be called after each iteration with the weights.
        dense: whether it holds a matrix of all weights by all weights.
        losses: the only losses that it can take; empty for all.
        reference: where it is described.
    """

    run: Callable[[Objective, np.ndarray, dict[str, Any], _Step], None]
    dense: bool = False
    losses: tuple[str, ...] = ()
    reference: str = "Nocedal & Wright 2006"


def minimize(
    model: keras.Model,
    loss: str | keras.losses.Loss,
    data: Examples | tuple[Any, Any],
    *,
    method: str = "l-bfgs",
    iterations: int = 200,
    gradient_tolerance: float = 1e-6,
    l2: float = 0.0,
    precision: str = "float32",
    line_search: str = "wolfe",
    memory: int = 10,
    damping: float = 1e-3,
    batch_size: int | None = None,
    validation_data: Examples | tuple[Any, Any] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int = 0,
) -> keras.callbacks.History:
    """Bring a model's mean loss over all examples to a minimum, near the weights that it has.

    The loss is that of inference: nothing is dropped out, and batch normalization keeps to its
    moving statistics. What the model's regularizers add is in it, as in `fit`. Frozen weights stay.

    Args:
        model: a built model with one output; its trainable weights become those of the minimum.
        loss: Keras name of a loss, or a `keras.losses.Loss`.
        data: inputs and targets.
        method: one of `METHODS`.
        iterations: the most that are made.
        gradient_tolerance: the largest component of the gradient at which it is done.
        l2: weight of half the squared kernels (weights of two dimensions or more) in the loss.
        precision: "float32" (default) or "float64", in which gradients below 1e-6 mean something;
            the model itself stays as it is.
        line_search: of "gradient-descent": "armijo", "wolfe" (strong) or "exact", which a quadratic
            loss takes.
        memory: of "l-bfgs": how many pairs of steps and gradients it keeps.
        damping: of "natural-gradient" and "levenberg-marquardt": what is added to the diagonal at
            first.
        batch_size: examples of one pass through the network; default all. The sums are the same.
        validation_data: inputs and targets whose loss is noted as "val_loss".
        callbacks: as of `fit`, where an epoch is an iteration here; one that sets
            `model.stop_training` ends it.
        verbose: 1 for Keras' bar of progress.

    Returns:
        `keras.callbacks.History`: after each iteration, "loss", "gradient_norm", "passes" (over the
        data, of a loss with its gradient or of a Hessian-vector product) and "seconds", all since
        the beginning; `epoch` 0 is the beginning itself.

    Raises:
        InputError: an unknown method or option, or a model or loss that it cannot take.
        CheckFailed: the loss became infinite or not a number. As after every interruption, the
            weights are those of the last good iteration.

    Example:
        >>> import numpy as np
        >>> import zoo
        >>> from recipes import minimize
        >>> inputs = np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
        >>> targets = inputs @ np.array([[1.0], [2.0], [3.0], [4.0]], "float32")
        >>> model = zoo.build("linear", input_shape=(4,))
        >>> history = minimize(model, "mean_squared_error", (inputs, targets))
        >>> history.history["loss"][-1] < 1e-6
        True
    """
    if method not in METHODS:
        raise unknown(method, METHODS, "method")
    if line_search not in LINE_SEARCHES:
        raise unknown(line_search, LINE_SEARCHES, "line search")
    if precision not in PRECISIONS:
        raise unknown(precision, PRECISIONS, "precision")
    for name, value in (("iterations", iterations), ("memory", memory)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{name} is a whole number above 0, not {value!r}.")
    if not damping > 0:
        raise InputError(f"damping must be above 0, not {damping}.")
    for name, number in (("gradient_tolerance", gradient_tolerance), ("l2", l2)):
        if not number >= 0:
            raise InputError(f"{name} must not be negative, but is {number}.")
    if isinstance(callbacks, keras.callbacks.Callback):
        callbacks = [callbacks]
    row = METHODS[method]
    network = model if precision == "float32" else surgery.with_precision(model, precision)
    objective = Objective(network, loss, _pair(data), l2=l2, batch_size=batch_size)
    if row.losses and objective.name not in row.losses:
        raise InputError(
            f"{method!r} takes the loss {' or '.join(row.losses)}, not {objective.name!r}."
        )
    if method == "natural-gradient" and objective.from_logits:
        raise InputError(
            "the Fisher information is told of probabilities: end the model in a softmax, and take "
            "the loss without from_logits."
        )
    if row.dense and objective.size > _MOST_WEIGHTS:
        raise InputError(
            f"{method!r} holds a matrix of all weights by all weights, and {model.name!r} has "
            f"{objective.size:,}: take 'l-bfgs' or 'newton-cg', which do not."
        )
    others = _pair(validation_data) if validation_data is not None else None
    course = _Course(model, objective, others, callbacks, verbose, iterations, gradient_tolerance)
    options = {
        "iterations": iterations,
        "line_search": line_search,
        "memory": memory,
        "damping": damping,
    }
    return course.run(row, options)


class _Course:
    """What happens between the iterations: notes, callbacks, the model's weights, the end."""

    def __init__(
        self,
        model: keras.Model,
        objective: Objective,
        validation: tuple[Any, Any] | None,
        callbacks: Sequence[keras.callbacks.Callback],
        verbose: int,
        iterations: int,
        tolerance: float,
    ) -> None:
        self.model, self.objective, self.tolerance = model, objective, tolerance
        self.iterations = iterations
        self.validation = objective.on(validation) if validation is not None else None
        self.history = keras.callbacks.History()
        self.callbacks = keras.callbacks.CallbackList(
            [*callbacks, self.history],
            add_progbar=verbose > 0,
            model=model,
            verbose=verbose,
            epochs=iterations + 1,
            steps=1,
        )
        self.number, self.started = 0, time.perf_counter()
        self.good = objective.weights()

    def run(self, method: Method, options: dict[str, Any]) -> keras.callbacks.History:
        """Go one way from the weights that the model has."""
        self.model.stop_training = False
        self.callbacks.on_train_begin()
        try:
            self.after(self.good)
            method.run(self.objective, self.good.copy(), options, self.after)
        except _Stop:
            pass
        finally:
            self._keep()
        self.callbacks.on_train_end()
        return self.history

    def after(self, weights: np.ndarray) -> None:
        """Note an iteration that came to these weights.

        Raises:
            _Stop: it was the last one.
            CheckFailed: its loss is infinite or not a number.
        """
        value, gradient = self.objective.known(weights)
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            raise CheckFailed(
                f"the loss or its gradient became infinite or not a number in iteration "
                f"{self.number}; the weights are those before it."
            )
        self.good = weights.copy()
        self._keep()
        logs = {
            "loss": value,
            "gradient_norm": float(np.linalg.norm(gradient)),
            "passes": self.objective.passes,
            "seconds": time.perf_counter() - self.started,
        }
        if self.validation:
            logs["val_loss"] = self.validation.value(weights)
        self.callbacks.on_epoch_begin(self.number)
        self.callbacks.on_epoch_end(self.number, logs)
        self.number += 1
        done = np.abs(gradient).max(initial=0.0) <= self.tolerance
        if done or self.model.stop_training or self.number > self.iterations:
            raise _Stop

    def _keep(self) -> None:
        """Give the model the weights of the last good iteration."""
        self.objective.give(self.model, self.good)


def _by_scipy(name: str, hessian: bool = False, **fixed: Any) -> Callable[..., None]:
    """Return a method of `scipy.optimize.minimize`."""

    def run(
        objective: Objective, weights: np.ndarray, options: dict[str, Any], step: _Step
    ) -> None:
        memory = {"maxcor": options["memory"]} if name == "L-BFGS-B" else {}
        limits = {"ftol": 0.0, "maxfun": 10**9} if name == "L-BFGS-B" else {}
        optimize.minimize(
            objective.value_and_gradient,
            weights,
            method=name,
            jac=True,
            hessp=objective.hessian_product if hessian else None,
            callback=step,
            options={
                "maxiter": 10**9,  # the end is told by what is called after each
                "gtol": 0.0,
                **limits,
                **memory,
                **fixed,
            },
        )

    return run


def _descent(
    objective: Objective, weights: np.ndarray, options: dict[str, Any], step: _Step
) -> None:
    """Go down the gradient, each time as far as the line search says."""
    guess = 1.0
    while True:
        _, gradient = objective.known(weights)
        length = _line_search(objective, weights, -gradient, options["line_search"], guess)
        if length is None:
            return
        weights = weights - length * gradient
        guess = 2 * length
        step(weights)


def _newton_like(matrix: Callable[[Objective, np.ndarray], np.ndarray]) -> Callable[..., None]:
    """Return a method that solves for its direction with a matrix, and damps its steps."""

    def run(
        objective: Objective, weights: np.ndarray, options: dict[str, Any], step: _Step
    ) -> None:
        while True:
            _, gradient = objective.known(weights)
            direction = _solved(matrix(objective, weights), -gradient)
            length = _line_search(objective, weights, direction, "armijo", 1.0)
            if length is None:
                return
            weights = weights + length * direction
            step(weights)

    return run


def _natural(
    objective: Objective, weights: np.ndarray, options: dict[str, Any], step: _Step
) -> None:
    """Go down the gradient as the Fisher information measures distances (Amari 1998)."""
    damping = options["damping"] * np.eye(objective.size)
    _newton_like(lambda own, at: own.fisher(at) + damping)(objective, weights, options, step)


def _levenberg_marquardt(
    objective: Objective, weights: np.ndarray, options: dict[str, Any], step: _Step
) -> None:
    """Solve for steps of least squares, damped so much that each comes down."""
    damping = options["damping"]
    while True:
        value, gradient = objective.known(weights)
        matrix = objective.gauss_newton(weights)
        scale = np.maximum(np.diag(matrix), 1e-12)
        for _ in range(_HALVINGS):
            direction = _solved(matrix + damping * np.diag(scale), -gradient)
            found, _ = objective.value_and_gradient(weights + direction)
            if found < value:
                break
            damping *= 4
        else:
            return
        # As much less as the loss came down as a quadratic would (Nielsen 1999).
        expected = -(gradient @ direction + direction @ matrix @ direction / 2)
        damping *= max(1 / 3, 1 - (2 * (value - found) / expected - 1) ** 3)
        weights = weights + direction
        step(weights)


def _solved(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Solve with a symmetric matrix, made positive definite by as little as it takes."""
    added = 0.0
    size = max(float(np.abs(np.diag(matrix)).max(initial=0.0)), 1e-12)
    for _ in range(_HALVINGS):
        try:
            factor = linalg.cho_factor(matrix + added * np.eye(len(matrix)), check_finite=False)
            return np.asarray(linalg.cho_solve(factor, vector))
        except linalg.LinAlgError:
            added = max(4 * added, 1e-10 * size)
    return vector


def _line_search(
    objective: Objective, weights: np.ndarray, direction: np.ndarray, kind: str, guess: float
) -> float | None:
    """Return how far to go in a direction, or `None` where nothing comes down."""
    value, gradient = objective.known(weights)
    slope = float(gradient @ direction)
    if not slope < 0:
        return None
    if kind == "exact":
        curvature = float(direction @ objective.hessian_product(weights, direction))
        return -slope / curvature if curvature > 0 else None
    if kind == "wolfe":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # none is found: see below
            length = optimize.line_search(
                objective.value,
                objective.gradient,
                weights,
                direction,
                gfk=gradient,
                old_fval=value,
                c1=_ENOUGH,
                c2=_CURVATURE,
            )[0]
        if length is not None:
            return float(length)
    length = guess
    for _ in range(_HALVINGS):
        if objective.value(weights + length * direction) <= value + _ENOUGH * length * slope:
            return length
        length /= 2
    return None


METHODS: dict[str, Method] = {
    "gradient-descent": Method(_descent),
    "conjugate-gradient": Method(_by_scipy("CG"), reference="Polak & Ribière 1969"),
    "bfgs": Method(_by_scipy("BFGS"), dense=True),
    "l-bfgs": Method(_by_scipy("L-BFGS-B"), reference="Byrd et al. 1995"),
    "newton": Method(_newton_like(Objective.hessian), dense=True),
    "newton-cg": Method(_by_scipy("trust-ncg", hessian=True), reference="Steihaug 1983"),
    "levenberg-marquardt": Method(
        _levenberg_marquardt,
        dense=True,
        losses=("mean_squared_error",),
        reference="Marquardt 1963",
    ),
    "natural-gradient": Method(
        _natural,
        dense=True,
        losses=(
            "mean_squared_error",
            "categorical_crossentropy",
            "sparse_categorical_crossentropy",
        ),
        reference="Amari 1998",
    ),
}


def _pair(data: Any) -> tuple[Any, Any]:
    """Return inputs and targets."""
    if isinstance(data, Examples):
        return data.inputs, data.targets
    if isinstance(data, tuple) and len(data) == 2:
        return data
    raise InputError("the data is inputs and targets: a pair, or `Examples` such as a split.")
