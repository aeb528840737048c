"""Decision processes are what their arrays, their environment or their grid say, or refused."""

from itertools import product
from typing import Any

import gymnasium
import numpy as np
import pytest
from scipy import sparse

from recipes.control.grids import grid_world
from recipes.control.mdp import MDP
from recipes.control.planning import policy_iteration, q_values
from zoo.errors import InputError

# The forest of pymdptoolbox: to wait or to cut, three ages, a fire one year in ten.
FOREST = np.array(
    [
        [[0.1, 0.9, 0.0], [0.1, 0.0, 0.9], [0.1, 0.0, 0.9]],
        [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]],
    ]
)
YIELD = np.array([[0.0, 0.0], [0.0, 1.0], [4.0, 2.0]])
TOYS: list[tuple[str, dict[str, Any]]] = [
    ("FrozenLake-v1", {}),
    ("FrozenLake-v1", {"map_name": "8x8", "success_rate": 0.6}),
    ("FrozenLake-v1", {"is_slippery": False, "reward_schedule": (5, -2, -1)}),
    ("CliffWalking-v1", {}),
    ("CliffWalking-v1", {"is_slippery": True}),
    ("Taxi-v4", {}),
    ("Taxi-v4", {"is_rainy": True}),
]


def same(one: MDP, other: MDP) -> None:
    np.testing.assert_array_equal(one.transitions.toarray(), other.transitions.toarray())
    np.testing.assert_allclose(one.rewards, other.rewards, atol=1e-15)
    np.testing.assert_array_equal(one.ending, other.ending)


def test_the_forest_is_worth_what_pymdptoolbox_says():
    solution = policy_iteration(MDP.from_matrices(FOREST, YIELD, 0.9))
    np.testing.assert_allclose(solution.values, [26.244, 29.484, 33.484])
    assert solution.policy.tolist() == [0, 0, 0]


@pytest.mark.parametrize("terminal", [(), [1], [False, True, False]])
@pytest.mark.parametrize(
    "form",
    [
        list,
        lambda matrices: [sparse.csr_matrix(m) for m in matrices],
        lambda matrices: [sparse.coo_array(m) for m in matrices],
        lambda matrices: sparse.csc_array(matrices.reshape(6, 3)),
    ],
    ids=["lists", "csr_matrix", "coo_array", "stacked"],
)
def test_dense_and_sparse_matrices_are_one_process(form: Any, terminal: Any):
    plain = MDP.from_matrices(FOREST, YIELD, 0.9, terminal)
    same(MDP.from_matrices(form(FOREST), YIELD, 0.9, terminal), plain)
    assert plain.terminal.tolist() == [False, bool(len(terminal)), False]


@pytest.mark.parametrize("form", [list, lambda matrices: [sparse.csr_array(m) for m in matrices]])
def test_rewards_of_transitions_are_averaged(form: Any):
    earned = np.random.default_rng(0).normal(size=FOREST.shape)
    found = MDP.from_matrices(FOREST, form(earned), 0.9, terminal=[0]).rewards
    expected = (FOREST * earned).sum(axis=2).T
    expected[0] = 0
    np.testing.assert_allclose(found, expected)


def test_rewards_of_states_are_those_of_all_their_actions():
    same(
        MDP.from_matrices(FOREST, [1, 2, 3], 0.9),
        MDP.from_matrices(FOREST, [[1, 1], [2, 2], [3, 3]], 0.9),
    )


def test_what_is_said_of_a_terminal_state_is_not_read():
    spoiled, paid = FOREST.copy(), YIELD.copy()
    spoiled[:, 2], paid[2] = 7.0, np.nan
    mdp = MDP.from_matrices(spoiled, paid, 0.9, terminal=[2])
    same(mdp, MDP.from_matrices(FOREST, YIELD, 0.9, terminal=[2]))
    assert q_values(mdp, np.array([1.0, 1.0, 5.0]))[2].tolist() == [0.0, 0.0]


def test_the_arguments_stay_as_they_are():
    stacked, paid = sparse.csr_array(FOREST.reshape(6, 3)), YIELD.copy()
    mdp = MDP.from_matrices(stacked, paid, 0.9, terminal=[2])
    np.testing.assert_array_equal(stacked.toarray(), FOREST.reshape(6, 3))
    np.testing.assert_array_equal(paid, YIELD)
    assert mdp.rewards[2].tolist() == [0, 0]


@pytest.mark.parametrize(("name", "options"), TOYS)
def test_an_environment_is_its_own_table(name: str, options: dict[str, Any]):
    mdp = MDP.from_gymnasium(name, 0.9, options)
    table = gymnasium.make(name, **options).unwrapped.P
    values = np.random.default_rng(0).normal(size=mdp.states)
    found = q_values(mdp, values)
    for state, action in product(range(mdp.states), range(mdp.actions)):
        outcomes = table[state][action]
        expected = sum(p * (r + 0.9 * (not over) * values[t]) for p, t, r, over in outcomes)
        assert found[state, action] == pytest.approx(0 if mdp.terminal[state] else expected)


def test_terminal_is_what_ends_an_episode_and_nothing_else_enters():
    lake = MDP.from_gymnasium("FrozenLake-v1", 1.0)
    assert np.flatnonzero(lake.terminal).tolist() == [5, 7, 11, 12, 15]
    cliff = MDP.from_gymnasium(gymnasium.make("CliffWalking-v1"), 1.0)
    assert np.flatnonzero(cliff.terminal).tolist() == [47]  # whose own table would go on
    taxi = MDP.from_gymnasium("Taxi-v4", 1.0)
    assert not taxi.terminal.any()  # delivered, one may set out again; but not in this episode
    assert taxi.ending.sum() == 4


def walk(
    height: int, width: int, walls: np.ndarray, goals: np.ndarray, slip: float, prize: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return matrices and rewards of a grid, cell by cell."""
    states = height * width
    matrices, rewards = np.zeros((4, states, states)), np.zeros((states, 4))
    moves = [(-1, 0), (0, 1), (1, 0), (0, -1)]
    for row, column, action in product(range(height), range(width), range(4)):
        if walls[row, column] or goals[row, column]:
            continue
        here = row * width + column
        rewards[here, action] = -1
        for turn, chance in ((0, 1 - slip), (1, slip / 2), (3, slip / 2)):
            down, right = moves[(action + turn) % 4]
            there = row + down, column + right
            inside = 0 <= there[0] < height and 0 <= there[1] < width
            if not inside or walls[there]:
                there = row, column
            matrices[action, here, there[0] * width + there[1]] += chance
            rewards[here, action] += prize * chance * goals[there]
    return matrices, rewards


@pytest.mark.parametrize("slip", [0.0, 0.3, 1.0])
def test_a_grid_is_what_it_is_cell_by_cell(slip: float):
    rng = np.random.default_rng(1)
    walls = rng.random((5, 7)) < 0.25
    walls[0, 0] = walls[4, 6] = False
    goals = np.zeros((5, 7), bool)
    goals[0, 0] = goals[4, 6] = True
    mdp = grid_world(5, 7, walls=walls, goal=[(0, 0), (4, 6)], slip=slip, goal_reward=9.0)
    matrices, rewards = walk(5, 7, walls, goals, slip, 9.0)
    np.testing.assert_allclose(mdp.transitions.toarray(), matrices.reshape(4 * 35, 35), atol=1e-15)
    np.testing.assert_allclose(mdp.rewards, rewards, atol=1e-12)
    np.testing.assert_array_equal(mdp.terminal, (walls | goals).ravel())
    assert mdp.transitions.has_canonical_format
    assert mdp.transitions.data.min() > 0


def test_a_lake_without_holes_is_a_grid():
    rows = ["SFFFF", "FFFFF", "FFFFG"]
    lake = MDP.from_gymnasium("FrozenLake-v1", 0.95, {"desc": rows, "success_rate": 0.5})
    grid = grid_world(3, 5, slip=0.5, step_reward=0.0, goal_reward=1.0, discount=0.95)
    order = [3, 2, 1, 0]  # left, down, right, up
    np.testing.assert_allclose(lake.rewards, grid.rewards[:, order], atol=1e-15)
    values = np.append(np.random.default_rng(0).normal(size=14), 0)
    np.testing.assert_allclose(q_values(lake, values), q_values(grid, values)[:, order], atol=1e-12)


def spoil(place: tuple[int, ...], value: float) -> np.ndarray:
    matrices = FOREST.copy()
    matrices[place] = value
    return matrices


@pytest.mark.parametrize(
    ("matrices", "rewards", "discount", "terminal", "what"),
    [
        (spoil((1, 2, 0), 0.9), YIELD, 0.9, (), "action 1 in state 2 .* sum to 0.9, not to 1"),
        (spoil((0, 1, 0), np.nan), YIELD, 0.9, (), "action 0 in state 1 .* probability nan"),
        (spoil((0, 1, 1), -0.1), YIELD, 0.9, (), "action 0 in state 1 .* probability -0.1"),
        (FOREST[:, :2], YIELD, 0.9, (), r"\(actions, states, states\), not \(2, 2, 3\)"),
        (FOREST[0], YIELD, 0.9, (), r"\(actions, states, states\), not \(3, 3\)"),
        ([], YIELD, 0.9, (), "transitions are"),
        ([[1], [1, 2]], YIELD, 0.9, (), "transitions are numbers in one array"),
        (
            [sparse.eye_array(3), sparse.eye_array(2)], YIELD, 0.9, (),
            "the transitions of all actions have one shape",
        ),
        (sparse.eye_array(5, 3), YIELD, 0.9, (), "5 rows of 3 states"),
        (FOREST, YIELD.T, 0.9, (), r"rewards of 3 states and 2 actions .* not \(2, 3\)"),
        (FOREST, [sparse.eye_array(3)], 0.9, (), r"rewards of shape \(3, 3\) do not fit"),
        (FOREST, [0, 1, "much"], 0.9, (), "rewards are numbers"),
        (FOREST, [0, np.nan, 0], 0.9, (), "action 0 in state 1 earns nan: a reward is finite"),
        (FOREST, [[0, 0], [0, np.inf], [0, 0]], 0.9, (), "action 1 in state 1 earns inf"),
        (FOREST, YIELD, 0.0, (), "the discount is above 0 and at most 1, not 0"),
        (FOREST, YIELD, 1.01, (), "the discount"),
        (FOREST, YIELD, np.nan, (), "the discount"),
        (FOREST, YIELD, 0.9, [3], r"terminal states lie within \(3,\)"),
        (FOREST, YIELD, 0.9, [True, False], "terminal states are places, or a mask"),
    ],
)  # fmt: skip
def test_what_is_no_process_is_refused(
    matrices: Any, rewards: Any, discount: float, terminal: Any, what: str
):
    with pytest.raises(InputError, match=what):
        MDP.from_matrices(matrices, rewards, discount, terminal)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"transitions": np.eye(3)}, "one CSR matrix"),
        ({"transitions": sparse.csr_array((4, 3))}, r"transitions of shape \(6, 3\), not \(4, 3\)"),
        ({"ending": np.zeros((3, 1))}, r"ending of shape \(3, 2\), not \(3, 1\)"),
        ({"ending": np.full((3, 2), -1.0)}, "ends with probability -1"),
        ({"ending": np.full((3, 2), 0.1)}, "sum to 1.1, not to 1"),
        ({"rewards": np.zeros(3)}, r"rewards are \(states, actions\), not \(3,\)"),
    ],
)
def test_parts_that_do_not_fit_are_refused(fields: dict[str, Any], what: str):
    parts: dict[str, Any] = {
        "transitions": sparse.csr_array(FOREST.reshape(6, 3)),
        "rewards": YIELD,
        "discount": 0.9,
        "ending": np.zeros((3, 2)),
    }
    MDP(**parts)
    with pytest.raises(InputError, match=what):
        MDP(**(parts | fields))


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"height": 0}, "not 0 × 4"),
        ({"slip": 1.5}, "slip is a probability, not 1.5"),
        ({"goal": (3, 0)}, r"goals lie within \(3, 4\)"),
        ({"goal": (1.0, 1.0)}, "goals are places"),
        ({"goal": np.zeros((3, 4), bool)}, "a goal is a cell that is no wall"),
        ({"walls": [(2, 3)]}, "a goal is a cell that is no wall"),
        ({"walls": [1, 2, 3]}, r"walls are places, or a mask of \(3, 4\)"),
        ({"discount": 2.0}, "the discount"),
        ({"step_reward": np.nan}, "earns nan"),
    ],
)
def test_what_is_no_grid_is_refused(arguments: dict[str, Any], what: str):
    with pytest.raises(InputError, match=what):
        grid_world(**({"height": 3, "width": 4} | arguments))


@pytest.mark.parametrize(
    ("environment", "what"),
    [
        ("FrozenLak-v1", "FrozenLake-v1"),
        ("CartPole-v1", "a table needs numbered states"),
        ("Blackjack-v1", "a table needs numbered states"),
    ],
)
def test_an_environment_without_a_table_is_refused(environment: str, what: str):
    with pytest.raises(InputError, match=what):
        MDP.from_gymnasium(environment, 0.9)


class Own(gymnasium.Env):
    """Two numbered states, and a table of its own."""

    observation_space = action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, table: Any) -> None:
        if table is not None:
            self.P = table


def test_a_state_that_leads_to_itself_may_be_terminal():
    around, over = [(1.0, 1, 0.0, False)], [(1.0, 1, 5.0, True)]
    mdp = MDP.from_gymnasium(Own([[over, over], [around, around]]), 1.0)
    assert mdp.terminal.tolist() == [False, True]
    assert policy_iteration(mdp).values.tolist() == [5, 0]


@pytest.mark.parametrize(
    ("table", "what"),
    [
        (None, "has no table P"),
        ({0: {0: [], 1: []}}, "is not of 2 states and 2 actions"),
        ([[[(1.0, 0)]] * 2] * 2, "tuples of four"),
        ([[[(1.0, 2, 0.0, False)]] * 2] * 2, "leads outside its 2 states"),
        ([[[(0.5, 0, 0.0, False)]] * 2] * 2, "action 0 in state 0 .* sum to 0.5"),
        ([[[]] * 2] * 2, "sum to 0, not to 1"),
    ],
)
def test_a_damaged_table_is_refused(table: Any, what: str):
    with pytest.raises(InputError, match=what):
        MDP.from_gymnasium(Own(table), 0.9)
