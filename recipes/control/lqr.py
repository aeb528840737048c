"""The linear–quadratic regulator: linear dynamics, quadratic cost, and a gain that is optimal."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg

from zoo.errors import InputError

_ZERO = 1e-9  # of the largest eigenvalue or singular value: no more than rounding


@dataclass(frozen=True, eq=False)
class Regulator:
    """The feedback `u = -gain @ x`, which costs least.

    Attributes:
        gain: `(inputs, states)` float64.
        cost: `(states, states)` float64, symmetric: `x @ cost @ x` is what it costs to bring the
            state from x to 0.
        poles: `(states,)` complex, eigenvalues of the system under the feedback; stable where
            their absolute values are below 1, in continuous time their real parts below 0.
    """

    gain: np.ndarray
    cost: np.ndarray
    poles: np.ndarray


def lqr(a: Any, b: Any, q: Any, r: Any, cross: Any = None, continuous: bool = False) -> Regulator:
    """Return the feedback that is optimal for ever, by an algebraic Riccati equation.

    In discrete time it minimizes the sum over all steps of `x @ q @ x + u @ r @ u + 2 x @ cross @
    u`, where `a @ x + b @ u` follows x; in continuous time the integral over all time, where
    `a @ x + b @ u` is the derivative of x.

    Args:
        a: `(states, states)`, what the system does by itself.
        b: `(states, inputs)`, what the inputs do.
        q: `(states, states)` symmetric, cost of the state; positive semidefinite.
        r: `(inputs, inputs)` symmetric, cost of the inputs; positive definite.
        cross: `(states, inputs)`, cost of both together; `[[q, cross], [cross.T, r]]` must be
            positive semidefinite. Default: none.
        continuous: whether time is continuous.

    Returns:
        `Regulator`: gain, cost matrix, and the poles of the regulated system.

    Raises:
        InputError: matrices that do not fit or are no costs; a system that no feedback stabilizes;
            or one on the verge of stability, at no cost.

    References:
        *Contributions to the Theory of Optimal Control*, Kalman 1960, Bol. Soc. Mat. Mexicana 5.
        *A Schur Method for Solving Algebraic Riccati Equations*, Laub 1979,
        https://doi.org/10.1109/TAC.1979.1102178.

    Example:
        >>> from recipes.control.lqr import lqr
        >>> golden = lqr([[1]], [[1]], [[1]], [[1]])  # x' = x + u, cost x² + u² a step
        >>> golden.cost.round(4).tolist(), golden.gain.round(4).tolist()
        ([[1.618]], [[0.618]])
        >>> lqr([[0]], [[1]], [[4]], [[1]], continuous=True).gain.round(4).tolist()
        [[2.0]]
    """
    a, b, q, r, cross = _checked(a, b, q, r, cross)
    _check_stabilizable(a, b, continuous)
    solve = linalg.solve_continuous_are if continuous else linalg.solve_discrete_are
    verge = (
        "the system has a mode on the verge of stability that costs nothing: no feedback is "
        "optimal. Give it a cost in q."
    )
    try:
        cost = solve(a, b, q, r, s=cross)
    except linalg.LinAlgError as error:
        raise InputError(f"{verge} ({error})") from None
    cost = (cost + cost.T) / 2
    gain = _solved(r, b.T @ cost + cross.T) if continuous else _step(a, b, r, cross, cost)
    poles = np.linalg.eigvals(a - b @ gain)
    if not _stable(poles, continuous).all():
        raise InputError(verge)
    return Regulator(gain, cost, poles)


def finite_lqr(
    a: Any, b: Any, q: Any, r: Any, horizon: int, terminal: Any = None, cross: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the feedback that is optimal for some steps, by the backward Riccati recursion.

    Discrete time: `u = -gains[t] @ x` is the input at time t, and `x @ costs[t] @ x` what is still
    to be paid. Neither stability nor a way to it is needed.

    Args:
        a: `(states, states)`, what the system does by itself.
        b: `(states, inputs)`, what the inputs do.
        q: `(states, states)` symmetric, cost of the state in each step; positive semidefinite.
        r: `(inputs, inputs)` symmetric, cost of the inputs; positive definite.
        horizon: number of steps.
        terminal: `(states, states)` symmetric, cost of the state after the last step; positive
            semidefinite. Default: q.
        cross: as in `lqr`.

    Returns:
        Gains `(horizon, inputs, states)` and costs `(horizon + 1, states, states)`, the last of
        which is `terminal`.

    Raises:
        InputError: matrices that do not fit or are no costs, or a horizon below 0.

    References:
        *Optimal Control: Linear Quadratic Methods*, Anderson & Moore 1990, chapter 2.

    Example:
        >>> from recipes.control.lqr import finite_lqr
        >>> gains, costs = finite_lqr([[1]], [[1]], [[1]], [[1]], horizon=2)
        >>> costs.ravel().round(4).tolist(), gains.ravel().round(4).tolist()
        ([1.6, 1.5, 1.0], [0.6, 0.5])
    """
    a, b, q, r, cross = _checked(a, b, q, r, cross)
    if horizon < 0:
        raise InputError(f"a horizon is a number of steps, not {horizon}.")
    gains = np.zeros((horizon, b.shape[1], len(a)))
    costs = np.zeros((horizon + 1, *a.shape))
    costs[horizon] = q if terminal is None else _cost(terminal, "terminal", len(a))
    for time in reversed(range(horizon)):
        later = costs[time + 1]
        gain = gains[time] = _step(a, b, r, cross, later)
        # Joseph's form: a sum of what cannot be negative stays so, however it is rounded.
        closed = a - b @ gain
        mixed = cross @ gain
        cost = q + gain.T @ r @ gain - mixed - mixed.T + closed.T @ later @ closed
        costs[time] = (cost + cost.T) / 2
    return gains, costs


def _step(a: np.ndarray, b: np.ndarray, r: np.ndarray, cross: np.ndarray, later: Any) -> np.ndarray:
    """Return the gain of one step before the cost `later`."""
    return _solved(r + b.T @ later @ b, b.T @ later @ a + cross.T)


def _solved(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    return linalg.solve(matrix, right, assume_a="pos")


def _stable(poles: np.ndarray, continuous: bool) -> np.ndarray:
    return poles.real < 0 if continuous else abs(poles) < 1


def _checked(a: Any, b: Any, q: Any, r: Any, cross: Any) -> tuple[np.ndarray, ...]:
    a = _matrix(a, "a")
    states = len(a)
    if a.shape != (states, states):
        raise InputError(f"a is square, not {a.shape}.")
    b = _matrix(b, "b")
    if len(b) != states:
        raise InputError(f"b has {len(b)} rows, and the system {states} states.")
    inputs = b.shape[1]
    q, r = _cost(q, "q", states), _cost(r, "r", inputs, definite=True)
    if cross is None:
        return a, b, q, r, np.zeros((states, inputs))
    cross = _matrix(cross, "cross")
    if cross.shape != (states, inputs):
        raise InputError(f"cross is ({states}, {inputs}), not {cross.shape}.")
    _cost(np.block([[q, cross], [cross.T, r]]), "[[q, cross], [cross.T, r]]", states + inputs)
    return a, b, q, r, cross


def _matrix(given: Any, name: str) -> np.ndarray:
    try:
        matrix = np.asarray(given, "float64")
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} is a matrix of numbers: {error}") from None
    if matrix.ndim != 2 or not matrix.size:
        raise InputError(f"{name} is a matrix, not of shape {matrix.shape}.")
    if not np.isfinite(matrix).all():
        raise InputError(f"{name} has elements that are not finite.")
    return matrix


def _cost(given: Any, name: str, size: int, definite: bool = False) -> np.ndarray:
    matrix = _matrix(given, name)
    if matrix.shape != (size, size):
        raise InputError(f"{name} is ({size}, {size}), not {matrix.shape}.")
    scale = abs(matrix).max()
    if abs(matrix - matrix.T).max() > _ZERO * scale:
        raise InputError(f"{name} is symmetric; this one is not.")
    least = float(np.linalg.eigvalsh(matrix)[0])
    if least < -_ZERO * scale or (definite and least <= 0):
        kind = "definite" if definite else "semidefinite"
        raise InputError(f"{name} is positive {kind}; this one has the eigenvalue {least:.4g}.")
    return matrix


def _check_stabilizable(a: np.ndarray, b: np.ndarray, continuous: bool) -> None:
    """Refuse a system with an unstable mode that no input reaches (Hautus' test)."""
    for pole in np.linalg.eigvals(a):
        reached = np.hstack([a - pole * np.eye(len(a)), b])
        if not _stable(pole, continuous) and np.linalg.matrix_rank(reached, rtol=_ZERO) < len(a):
            raise InputError(
                f"no feedback stabilizes the system: its mode of eigenvalue {pole:.4g} grows, or "
                "stays as it is, and no input reaches it."
            )
