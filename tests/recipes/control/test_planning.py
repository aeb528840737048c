"""Every solver finds what a direct solve, and going through all policies, find."""

import json
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from recipes.control.grids import grid_world
from recipes.control.mdp import MDP
from recipes.control.planning import (
    Solution,
    finite_horizon,
    modified_policy_iteration,
    policy_iteration,
    q_values,
    value_iteration,
)
from recipes.control.policies import evaluate_policy
from zoo.errors import CheckFailed, InputError

Solver = Callable[[MDP], Solution]

SOLVERS: dict[str, Solver] = {
    "value": lambda mdp: value_iteration(mdp, error=1e-9),
    "policy": policy_iteration,
    "modified": lambda mdp: modified_policy_iteration(mdp, error=1e-9),
    "modified, 3 sweeps": lambda mdp: modified_policy_iteration(mdp, error=1e-9, sweeps=3),
}
WALLS = [(1, 1), (1, 2), (2, 4), (4, 0), (4, 1)]
PROCESSES: dict[str, Callable[[float], MDP]] = {
    "lake": lambda discount: MDP.from_gymnasium("FrozenLake-v1", discount),
    "large lake": lambda discount: MDP.from_gymnasium("FrozenLake8x8-v1", discount),
    "firm lake": lambda discount: MDP.from_gymnasium(
        "FrozenLake-v1", discount, {"is_slippery": False}
    ),
    "cliff": lambda discount: MDP.from_gymnasium("CliffWalking-v1", discount),
    "slippery cliff": lambda discount: MDP.from_gymnasium("CliffWalkingSlippery-v1", discount),
    "taxi": lambda discount: MDP.from_gymnasium("Taxi-v4", discount),
    "grid": lambda discount: grid_world(7, 9, walls=WALLS, slip=0.2, discount=discount),
    "firm grid": lambda discount: grid_world(20, 20, discount=discount),
    "two goals": lambda discount: grid_world(
        5, 6, goal=[(0, 0), (4, 5)], slip=0.1, goal_reward=3.0, discount=discount
    ),
    "endless": lambda discount: random_mdp(0, 40, 4, discount, ends=False),
    "at random": lambda discount: random_mdp(1, 60, 3, discount),
}


def random_mdp(
    seed: int, states: int, actions: int, discount: float, ends: bool = True, sparsity: float = 0.7
) -> MDP:
    """Return a process at random; where there are ends, every action may come to one."""
    rng = np.random.default_rng(seed)
    weights = rng.random((actions, states, states + 1))
    weights[..., :-1] *= rng.random(weights[..., :-1].shape) > sparsity
    weights[..., 0] += 1e-3
    if not ends:
        weights[..., -1] = 0
    weights /= weights.sum(axis=2, keepdims=True)
    # The last state is the end.
    matrices = np.zeros((actions, states + ends, states + ends))
    matrices[:, :states] = weights[..., : states + ends]
    rewards = rng.normal(size=(states + ends, actions))
    return MDP.from_matrices(matrices, rewards, discount, terminal=[states] if ends else ())


def dense_values(mdp: MDP, policy: np.ndarray) -> np.ndarray:
    """Return the values of a deterministic policy by a dense solve, row by row."""
    table = mdp.transitions.toarray().reshape(mdp.actions, mdp.states, mdp.states)
    chain = np.array([table[action, state] for state, action in enumerate(policy)])
    rewards = mdp.rewards[np.arange(mdp.states), policy]
    return np.linalg.solve(np.eye(mdp.states) - mdp.discount * chain, rewards)


def best_of_all(mdp: MDP) -> np.ndarray:
    """Return the optimal values, by going through all policies."""
    policies = product(range(mdp.actions), repeat=mdp.states)
    return np.max([dense_values(mdp, np.array(policy)) for policy in policies], axis=0)


@pytest.mark.parametrize(
    ("name", "discount"),
    [case for case in product(PROCESSES, (0.5, 0.99, 0.999, 1.0)) if case != ("endless", 1.0)],
)
def test_all_solvers_agree_with_a_direct_solve(name: str, discount: float):
    mdp = PROCESSES[name](discount)
    found = {solver: solve(mdp) for solver, solve in SOLVERS.items()}
    reference = found["policy"].values
    for solution in found.values():
        np.testing.assert_allclose(solution.values, reference, atol=1e-8, rtol=0)
        # The policy is worth what is claimed, solved for directly; and no action is worth more.
        exact = dense_values(mdp, solution.policy)
        np.testing.assert_allclose(exact, solution.values, atol=1e-8, rtol=0)
        np.testing.assert_allclose(evaluate_policy(mdp, solution.policy), exact, atol=1e-8, rtol=0)
        best = q_values(mdp, exact).max(axis=1)
        np.testing.assert_allclose(best, exact, atol=1e-8, rtol=0)
        assert solution.error < 1e-8
        assert not solution.values[mdp.terminal].any()
        np.testing.assert_array_equal(solution.q_values, q_values(mdp, solution.values))
    assert abs(reference).max() > 0.1  # there was something to find


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    states=st.integers(1, 4),
    actions=st.integers(1, 3),
    discount=st.sampled_from([0.1, 0.9, 0.99, 1.0]),
)
def test_no_policy_of_all_is_better(seed: int, states: int, actions: int, discount: float):
    mdp = random_mdp(seed, states, actions, discount)
    expected = best_of_all(mdp)
    for solve in SOLVERS.values():
        np.testing.assert_allclose(solve(mdp).values, expected, atol=1e-8, rtol=1e-8)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    discount=st.floats(0.05, 0.995),
    error=st.sampled_from([10.0, 0.1, 1e-3, 1e-6]),
    ends=st.booleans(),
    sweeps=st.sampled_from([0, 1, 20]),
)
def test_the_error_is_no_greater_than_what_is_asked_and_told(
    seed: int, discount: float, error: float, ends: bool, sweeps: int
):
    mdp = random_mdp(seed, 8, 3, discount, ends)
    exact = policy_iteration(mdp)
    found = modified_policy_iteration(mdp, error, sweeps)
    assert abs(found.values - exact.values).max() <= found.error + exact.error
    assert found.error <= error
    lost = exact.values - dense_values(mdp, found.policy)
    assert lost.max() <= 2 * error * discount / (1 - discount) + 1e-9


def test_a_rough_answer_takes_fewer_sweeps_than_a_fine_one():
    mdp = grid_world(10, 10, slip=0.2, discount=0.9)
    rough, fine = value_iteration(mdp, error=1.0), value_iteration(mdp, error=1e-6)
    assert rough.iterations < fine.iterations - 10
    assert 1e-3 < abs(rough.values - fine.values).max() <= 1


def test_a_discount_near_one_costs_no_sweeps_where_nothing_ends():
    mdp = random_mdp(3, 50, 4, 0.9999, ends=False)
    found = value_iteration(mdp, error=1e-6)
    assert found.iterations < 200  # by the contraction alone, more than 200,000
    np.testing.assert_allclose(found.values, policy_iteration(mdp).values, atol=2e-6, rtol=0)


def test_modified_policy_iteration_looks_around_less_often():
    mdp = grid_world(40, 40, slip=0.2)
    plain, modified = value_iteration(mdp), modified_policy_iteration(mdp)
    assert modified.iterations * 3 < plain.iterations


def test_a_grid_without_discount_is_the_shortest_way():
    mdp = grid_world(5, 6, walls=[(0, 1), (1, 1), (2, 1), (3, 1)], goal=(0, 2), discount=1.0)
    steps = [[10, 0, 0, 1, 2, 3], [9, 0, 1, 2, 3, 4], [8, 0, 2, 3, 4, 5], [7, 0, 3, 4, 5, 6],
             [6, 5, 4, 5, 6, 7]]  # fmt: skip
    for solve in SOLVERS.values():
        assert (-solve(mdp).values.reshape(5, 6)).round(9).tolist() == steps


def test_circles_that_cost_nothing_are_left_for_the_goal():
    mdp = MDP.from_gymnasium("FrozenLake-v1", 1.0, {"is_slippery": False})
    for solve in SOLVERS.values():
        found = solve(mdp)
        np.testing.assert_array_equal(found.values, np.where(mdp.terminal, 0, 1))
        evaluate_policy(mdp, found.policy)  # refuses one that goes in circles


def test_going_on_for_nothing_is_no_way_out_of_a_cost():
    # To end costs 5 from state 0, and to stay there nothing: what ends is looked for.
    mdp = MDP.from_matrices(
        [[[1, 0], [0, 1]], [[0, 1], [0, 1]]], [[0, -5], [0, 0]], 1.0, terminal=[1]
    )
    for solve in SOLVERS.values():
        assert solve(mdp).values.tolist() == [-5, 0]
        assert solve(mdp).policy[0] == 1


@pytest.mark.parametrize("solve", SOLVERS.values(), ids=SOLVERS)
def test_a_gain_without_end_is_refused(solve: Solver):
    stay, leave = [[1, 0], [0, 1]], [[0, 1], [0, 1]]
    mdp = MDP.from_matrices([leave, stay], [[0, 0.5], [0, 0]], 1.0, terminal=[1])
    with pytest.raises(InputError, match="from state 0, under a policy better than all that end"):
        solve(mdp)


@pytest.mark.parametrize("solve", SOLVERS.values(), ids=SOLVERS)
def test_a_state_without_a_way_out_is_refused(solve: Solver):
    walled = grid_world(3, 3, walls=[(0, 1), (1, 0), (1, 1)], discount=1.0)
    with pytest.raises(InputError, match=r"from state 0, under any policy, none does \(1 such"):
        solve(walled)
    with pytest.raises(InputError, match=r"from state 0, under any policy, none does \(40 such"):
        solve(PROCESSES["endless"](1.0))
    stored = sparse.csr_array(([1.0, 0.0], [0, 1], [0, 2, 2]), shape=(2, 2))  # a zero leads nowhere
    with pytest.raises(InputError, match=r"from state 0, under any policy, none does \(1 such"):
        solve(MDP(stored, np.zeros((2, 1)), 1.0, np.array([[0.0], [1.0]])))


def test_a_policy_in_circles_has_no_values_without_a_discount():
    mdp = grid_world(1, 4, discount=1.0)
    with pytest.raises(InputError, match=r"from state 0, under this policy, none does \(2 such"):
        evaluate_policy(mdp, [1, 0, 1, 0])
    with pytest.raises(InputError, match=r"from state 0, under this policy, none does \(2 such"):
        evaluate_policy(mdp, np.eye(4)[[1, 0, 1, 0]])
    with pytest.raises(InputError, match="under the policy it begins with"):
        policy_iteration(mdp, np.array([0, 1, 1, 0]))


def test_policy_iteration_goes_on_from_the_policy_given():
    mdp = PROCESSES["grid"](0.99)
    solved = policy_iteration(mdp)
    again = policy_iteration(mdp, solved.policy)
    assert again.iterations == 1 < solved.iterations
    np.testing.assert_array_equal(again.policy, solved.policy)


def test_policies_that_only_rounding_tells_apart_end_the_search():
    found = policy_iteration(grid_world(80, 80, slip=0.2, discount=1.0))
    assert found.iterations < 36  # of 46 that change anything at all
    assert found.error < 1e-9


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), discount=st.sampled_from([0.9, 1.0]))
def test_a_policy_that_draws_is_worth_the_mean_of_what_it_draws(seed: int, discount: float):
    mdp = random_mdp(seed, 7, 3, discount)
    policy = np.random.default_rng(seed).dirichlet(np.ones(3), mdp.states)
    values = evaluate_policy(mdp, policy)
    np.testing.assert_allclose((policy * q_values(mdp, values)).sum(axis=1), values, atol=1e-9)


def test_a_policy_of_ones_and_zeros_is_the_one_it_names():
    mdp = PROCESSES["large lake"](0.99)
    policy = np.random.default_rng(0).integers(4, size=64)
    expected = dense_values(mdp, policy)
    np.testing.assert_allclose(evaluate_policy(mdp, policy), expected, atol=1e-12)
    np.testing.assert_allclose(evaluate_policy(mdp, np.eye(4)[policy]), expected, atol=1e-12)


def test_a_policy_of_small_numbers_is_one_of_large_ones():
    mdp = grid_world(20, 20, slip=0.2)
    policy = policy_iteration(mdp).policy
    expected = evaluate_policy(mdp, policy)
    for given_policy in (policy.astype("uint8"), policy.tolist()):
        np.testing.assert_array_equal(evaluate_policy(mdp, given_policy), expected)


def test_a_change_that_all_share_does_not_go_on_where_episodes_end():
    mdp = MDP(sparse.csr_array([[0.5]]), np.array([[-1.0]]), 0.9, np.array([[0.5]]))
    for solve in SOLVERS.values():
        np.testing.assert_allclose(solve(mdp).values, -1 / (1 - 0.45), rtol=1e-9)


@pytest.mark.parametrize("discount", [0.8, 1.0])
def test_a_finite_horizon_is_the_best_of_all_plans(discount: float):
    mdp, horizon = random_mdp(5, 2, 2, discount), 3
    late = np.array([1.0, -2.0, 0.0])
    table = mdp.transitions.toarray().reshape(2, 3, 3)

    def worth(plan: tuple[tuple[int, ...], ...]) -> np.ndarray:
        values = late
        for rules in reversed(plan):
            values = np.array(
                [
                    mdp.rewards[s, a] + discount * table[a, s] @ values
                    for s, a in enumerate((*rules, 0))
                ]
            )
        return values

    rules = list(product(range(2), repeat=2))
    best = np.max([worth(plan) for plan in product(rules, repeat=horizon)], axis=0)
    values, policies = finite_horizon(mdp, horizon, late)
    np.testing.assert_allclose(values[0], best)
    np.testing.assert_array_equal(values[-1], late)
    np.testing.assert_allclose(worth(tuple(map(tuple, policies[:, :2]))), best)


def test_a_long_horizon_is_an_infinite_one():
    mdp = PROCESSES["slippery cliff"](0.9)
    values, policies = finite_horizon(mdp, 300)
    assert values.shape == (301, 48)
    assert policies.shape == (300, 48)
    np.testing.assert_allclose(values[0], policy_iteration(mdp).values, atol=1e-8)
    assert not values[-1].any()


def test_no_step_at_all_is_a_horizon_too():
    values, policies = finite_horizon(grid_world(2, 2), 0)
    assert values.tolist() == [[0, 0, 0, 0]]
    assert policies.shape == (0, 4)


def test_a_process_without_choice_is_evaluated():
    mdp = MDP.from_matrices([[[0.5, 0.5], [0.25, 0.75]]], [[1.0], [0.0]], 0.9)
    for solve in SOLVERS.values():
        np.testing.assert_allclose(solve(mdp).values, dense_values(mdp, np.zeros(2, int)))


GRID = grid_world(3, 4)


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: q_values(GRID, np.zeros(11)), r"12 states need as many values, not \(11,\)"),
        (lambda: evaluate_policy(GRID, np.zeros(11, int)), "a policy of 12 states"),
        (lambda: evaluate_policy(GRID, np.zeros(12)), r"not float64 \(12,\)"),
        (lambda: evaluate_policy(GRID, np.full(12, 4)), "there is no action 4, .* in state 0"),
        (lambda: evaluate_policy(GRID, np.full(12, -1)), "there is no action -1"),
        (lambda: evaluate_policy(GRID, np.full((12, 4), 0.3)), "row of state 0 is no distribution"),
        (lambda: evaluate_policy(GRID, np.full((12, 4), np.nan)), "row of state 0"),
        (lambda: evaluate_policy(GRID, np.tile([2.0, -1, 0, 0], (12, 1))), "row of state 0"),
        (lambda: policy_iteration(GRID, np.full((12, 4), 0.25)), "one action for each state"),
        (lambda: value_iteration(GRID, error=0.0), "the error to reach is above 0, not 0"),
        (lambda: value_iteration(GRID, error=np.nan), "the error to reach is above 0, not nan"),
        (lambda: modified_policy_iteration(GRID, sweeps=-1), "sweeps are 0 or more, not -1"),
        (lambda: finite_horizon(GRID, -1), "a horizon is a number of steps, not -1"),
        (lambda: finite_horizon(GRID, 2, np.zeros(3)), "12 states need as many values"),
    ],
)
def test_what_does_not_fit_is_refused(call: Callable[[], Any], what: str):
    with pytest.raises(InputError, match=what):
        call()


def test_what_is_not_reached_is_told():
    with pytest.raises(CheckFailed, match=r"1e-08 was not reached: after 3 iterations"):
        value_iteration(GRID, max_iterations=3)
    with pytest.raises(CheckFailed, match="1 iterations were not enough"):
        policy_iteration(grid_world(6, 6), max_iterations=1)


@pytest.mark.parametrize("discount", [0.9, 1.0])
def test_an_error_below_rounding_is_refused(discount: float):
    mdp = grid_world(6, 6, slip=0.3, discount=discount)
    with pytest.raises(CheckFailed, match="1e-30"):
        value_iteration(mdp, error=1e-30)


_MILLION = """
import json, re, resource, time
from pathlib import Path
from recipes.control.grids import grid_world
from recipes.control.planning import modified_policy_iteration
began = time.perf_counter()
mdp = grid_world(1000, 1000, slip=0.2, discount=0.99)
solution = modified_policy_iteration(mdp, error=1e-6)
seconds = time.perf_counter() - began
status = Path("/proc/self/status")  # the other figure begins with the parent's
if status.exists():
    peak = 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text()).group(1))
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on a Mac
near = solution.values.reshape(1000, 1000)[-40:, -40:]
print(json.dumps([seconds, peak, solution.error, near.tolist()]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the peak memory is not told there")
def test_a_million_states_fit_a_minute_and_two_gibibytes():
    answer = subprocess.run([sys.executable, "-c", _MILLION], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    seconds, peak, error, near = json.loads(answer.stdout)
    assert peak < 2 * 1024**3
    assert seconds < 60
    assert error <= 1e-6
    # Near the goal, all that a smaller grid leaves out is the detours away from it.
    small = policy_iteration(grid_world(80, 80, slip=0.2, discount=0.99)).values
    np.testing.assert_allclose(near, small.reshape(80, 80)[-40:, -40:], atol=3e-6)
