"""The regulator's gains and costs against closed forms, simulation, and least squares."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, linalg

from recipes.control.lqr import finite_lqr, lqr
from zoo.errors import InputError

SIZES = [(1, 1), (3, 1), (4, 2), (2, 3)]
Problem = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def problem(states: int, inputs: int, seed: int = 0) -> Problem:
    """Return a, b, q, r and cross, at random; the system by itself is unstable."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(states, states)), rng.normal(size=(states, inputs))
    a *= 1.2 / abs(np.linalg.eigvals(a)).max()
    root = rng.normal(size=(states + inputs, states + inputs))
    both = root @ root.T + 0.1 * np.eye(states + inputs)
    return a, b, both[:states, :states], both[states:, states:], both[:states, states:]


def paid(x: np.ndarray, u: np.ndarray, given: Problem) -> float:
    _, _, q, r, cross = given
    return float(x @ q @ x + u @ r @ u + 2 * x @ cross @ u)


positive = st.floats(0.05, 5)


@settings(max_examples=60, deadline=None)
@given(a=st.floats(-3, 3), b=positive, q=positive, r=positive)
def test_a_scalar_is_its_closed_form(a: float, b: float, q: float, r: float):
    # p = q + a²p - (abp)² / (r + b²p), times its denominator, is a quadratic equation.
    half = r * (1 - a**2) - q * b**2
    expected = (-half + np.sqrt(half**2 + 4 * b**2 * q * r)) / (2 * b**2)
    found = lqr([[a]], [[b]], [[q]], [[r]])
    assert found.cost[0, 0] == pytest.approx(expected, rel=1e-8)
    assert found.gain[0, 0] == pytest.approx(a * b * expected / (r + b**2 * expected), rel=1e-8)
    assert found.poles[0] == pytest.approx(a - b * found.gain[0, 0])


@settings(max_examples=60, deadline=None)
@given(a=st.floats(-3, 3), b=positive, q=positive, r=positive)
def test_a_scalar_in_continuous_time_is_its_closed_form(a: float, b: float, q: float, r: float):
    found = lqr([[a]], [[b]], [[q]], [[r]], continuous=True)
    expected = r * (a + np.sqrt(a**2 + b**2 * q / r)) / b**2
    assert found.cost[0, 0] == pytest.approx(expected, rel=1e-8)
    assert found.gain[0, 0] == pytest.approx(b * expected / r, rel=1e-8)


def test_the_double_integrator_is_the_textbooks():
    found = lqr([[0, 1], [0, 0]], [[0], [1]], np.diag([1, 0]), [[1]], continuous=True)
    root = np.sqrt(2)
    np.testing.assert_allclose(found.gain, [[1, root]], rtol=1e-9)
    np.testing.assert_allclose(found.cost, [[root, 1], [1, root]], rtol=1e-9)


@pytest.mark.parametrize("sizes", SIZES)
def test_the_cost_is_what_a_simulation_pays(sizes: tuple[int, int]):
    given = a, b, *_ = problem(*sizes)
    found = lqr(*given)
    assert abs(found.poles).max() < 1 < abs(np.linalg.eigvals(a)).max()
    x = start = np.random.default_rng(1).normal(size=sizes[0])
    total = 0.0
    while np.linalg.norm(x) > 1e-12:
        u = -found.gain @ x
        total += paid(x, u, given)
        x = a @ x + b @ u
    assert total == pytest.approx(start @ found.cost @ start, rel=1e-8)


@pytest.mark.parametrize("sizes", SIZES)
def test_the_cost_in_continuous_time_is_the_integral(sizes: tuple[int, int]):
    given = a, b, *_ = problem(*sizes)
    found = lqr(*given, continuous=True)
    assert found.poles.real.max() < 0 < np.linalg.eigvals(a).real.max()
    start = np.random.default_rng(1).normal(size=sizes[0])

    def flow(time: float, state: np.ndarray) -> np.ndarray:
        x, u = state[:-1], -found.gain @ state[:-1]
        return np.append(a @ x + b @ u, paid(x, u, given))

    until = 20 / -found.poles.real.max()
    result = integrate.solve_ivp(flow, (0, until), np.append(start, 0.0), rtol=1e-9, atol=1e-12)
    assert result.y[-1, -1] == pytest.approx(start @ found.cost @ start, rel=1e-6)


@pytest.mark.parametrize("seed", range(10))
def test_every_other_gain_costs_more(seed: int):
    a, b, q, r, cross = given = problem(3, 2)
    found = lqr(*given)
    gain = found.gain + 0.01 * np.random.default_rng(seed).normal(size=found.gain.shape)
    mixed = cross @ gain
    each = q + gain.T @ r @ gain - mixed - mixed.T
    cost = linalg.solve_discrete_lyapunov((a - b @ gain).T, each)
    assert np.linalg.eigvalsh(cost - found.cost)[0] > 0


@pytest.mark.parametrize("sizes", SIZES)
def test_the_infinite_horizon_is_the_limit_of_the_finite(sizes: tuple[int, int]):
    a, b, q, r, cross = problem(*sizes)
    found = lqr(a, b, q, r, cross)
    gains, costs = finite_lqr(a, b, q, r, 300, np.zeros_like(q), cross)
    np.testing.assert_allclose(gains[0], found.gain, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(costs[0], found.cost, rtol=1e-8, atol=1e-10)
    again, _ = finite_lqr(a, b, q, r, 3, found.cost, cross)
    np.testing.assert_allclose(again, np.tile(found.gain, (3, 1, 1)), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("sizes", SIZES)
def test_a_finite_horizon_is_one_large_least_squares_problem(sizes: tuple[int, int]):
    states, inputs = sizes
    a, b, q, r, cross = given = problem(*sizes)
    horizon, terminal = 6, 3 * np.eye(states)
    start = np.random.default_rng(2).normal(size=states)
    gains, costs = finite_lqr(a, b, q, r, horizon, terminal, cross)

    # All states are free @ start + forced @ (all inputs); the whole cost is quadratic in those.
    free = np.concatenate([np.linalg.matrix_power(a, t) for t in range(horizon + 1)])
    forced = np.zeros(((horizon + 1) * states, horizon * inputs))
    for t in range(1, horizon + 1):
        for s in range(t):
            block = np.linalg.matrix_power(a, t - 1 - s) @ b
            forced[t * states : (t + 1) * states, s * inputs : (s + 1) * inputs] = block
    whole_q = linalg.block_diag(*[q] * horizon, terminal)
    whole_r = np.kron(np.eye(horizon), r)
    whole_cross = np.vstack([np.kron(np.eye(horizon), cross), np.zeros((states, horizon * inputs))])
    curvature = forced.T @ whole_q @ forced + whole_r
    curvature += forced.T @ whole_cross + whole_cross.T @ forced
    slope = (forced.T @ whole_q + whole_cross.T) @ free @ start
    expected = -np.linalg.solve(curvature, slope).reshape(horizon, inputs)

    x, total = start, 0.0
    for time in range(horizon):
        u = -gains[time] @ x
        np.testing.assert_allclose(u, expected[time], rtol=1e-7, atol=1e-9)
        total += paid(x, u, given)
        x = a @ x + b @ u
        rest = total + x @ costs[time + 1] @ x
        assert rest == pytest.approx(start @ costs[0] @ start, rel=1e-9)
    np.testing.assert_array_equal(costs[-1], terminal)


def test_without_steps_the_last_cost_is_all():
    gains, costs = finite_lqr(np.eye(2), np.eye(2), np.eye(2), np.eye(2), 0)
    assert gains.shape == (0, 2, 2)
    np.testing.assert_array_equal(costs, np.eye(2)[None])


def test_a_finite_horizon_needs_no_stability():
    _, costs = finite_lqr([[2]], [[0]], [[1]], [[1]], 3)
    assert costs.ravel().tolist() == [85, 21, 5, 1]


def test_the_inputs_may_be_of_any_type_and_stay_as_they_are():
    q = np.eye(2, dtype="int32")
    found = lqr(((1, 1), (0, 1)), [[0], [1]], q, [[1]])
    assert found.gain.dtype == found.cost.dtype == np.float64
    np.testing.assert_array_equal(q, np.eye(2))


ONE: dict[str, Any] = {
    "a": [[1.0, 1.0], [0.0, 1.0]], "b": [[0.0], [1.0]], "q": np.eye(2), "r": [[1.0]],
}  # fmt: skip


@pytest.mark.parametrize("function", [lqr, lambda **given: finite_lqr(horizon=2, **given)])
@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"a": [[1.0, 2.0]]}, r"a is square, not \(1, 2\)"),
        ({"a": 1.0}, r"a is a matrix, not of shape \(\)"),
        ({"a": [[1.0], [1.0, 2.0]]}, "a is a matrix of numbers"),
        ({"a": [[1.0, np.nan], [0.0, 1.0]]}, "a has elements that are not finite"),
        ({"b": np.zeros((2, 0))}, "b is a matrix"),
        ({"b": [[1.0]]}, "b has 1 rows, and the system 2 states"),
        ({"q": np.eye(3)}, r"q is \(2, 2\), not \(3, 3\)"),
        ({"q": [[1.0, 1.0], [0.0, 1.0]]}, "q is symmetric"),
        ({"q": np.diag([1.0, -0.5])}, "q is positive semidefinite; .* eigenvalue -0.5"),
        ({"r": [[0.0]]}, "r is positive definite; .* eigenvalue 0"),
        ({"r": [[-1.0]]}, "r is positive definite"),
        ({"r": np.eye(2)}, r"r is \(1, 1\), not \(2, 2\)"),
        ({"cross": [[1.0, 1.0]]}, r"cross is \(2, 1\), not \(1, 2\)"),
        ({"cross": [[2.0], [0.0]]}, r"\[\[q, cross\], \[cross.T, r\]\] is positive semidefinite"),
    ],
)
def test_matrices_that_do_not_fit_are_refused(function: Any, fields: dict[str, Any], what: str):
    function(**ONE)
    with pytest.raises(InputError, match=what):
        function(**(ONE | fields))


@pytest.mark.parametrize("continuous", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_what_no_input_reaches_is_not_stabilized(continuous: bool, turned: bool):
    a, b = np.diag([1.5, 0.3, -0.2]), np.array([[0.0], [1.0], [1.0]])
    if turned:
        base = np.random.default_rng(0).normal(size=(3, 3))
        a, b = base @ a @ np.linalg.inv(base), base @ b
    with pytest.raises(InputError, match=r"no feedback stabilizes .* eigenvalue 1.5"):
        lqr(a, b, np.eye(3), [[1.0]], continuous=continuous)


def test_a_stable_mode_needs_no_input():
    found = lqr(np.diag([0.5, 2.0]), [[0.0], [1.0]], np.eye(2), [[1.0]])
    assert found.cost[0, 0] == pytest.approx(1 / (1 - 0.25))
    assert found.gain[0, 0] == pytest.approx(0)


@pytest.mark.parametrize(("a", "continuous"), [([[1.0]], False), ([[0.0]], True)])
def test_a_mode_on_the_verge_must_cost_something(a: list[list[float]], continuous: bool):
    with pytest.raises(InputError, match="on the verge of stability that costs nothing"):
        lqr(a, [[1.0]], [[0.0]], [[1.0]], continuous=continuous)


def test_a_horizon_below_none_is_refused():
    with pytest.raises(InputError, match="a horizon is a number of steps, not -1"):
        finite_lqr(**ONE, horizon=-1)
