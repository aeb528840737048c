"""Walks over a grid as Markov decision processes, of a million cells and more."""

from typing import Any

import numpy as np
from scipy import sparse

from recipes.control.mdp import MDP, mask_of
from zoo.errors import InputError


def grid_world(
    height: int,
    width: int,
    *,
    walls: Any = (),
    goal: Any = None,
    slip: float = 0.0,
    step_reward: float = -1.0,
    goal_reward: float = 0.0,
    discount: float = 0.99,
) -> MDP:
    """Return a walk over a grid, to a goal.

    A state is a cell, `row * width + column`. The actions are up, right, down and left. Who would
    leave the grid or enter a wall stays. A wall's own state is terminal, and nothing leads to it.

    Args:
        height: number of rows.
        width: number of columns.
        walls: bool `(height, width)`, or pairs (row, column).
        goal: pair (row, column), or several; terminal. Default: the last cell.
        slip: probability of going to the left or to the right of the direction meant, half each.
        step_reward: of each action.
        goal_reward: added for entering a goal.
        discount: above 0 and at most 1.

    Raises:
        InputError: no cells, a place outside, a goal in a wall, or a slip that is no probability.

    Example:
        >>> from recipes.control.grids import grid_world
        >>> from recipes.control.planning import policy_iteration
        >>> mdp = grid_world(3, 3, walls=[(1, 0), (1, 1)], goal=(2, 0), discount=1.0)
        >>> policy_iteration(mdp).values.reshape(3, 3).tolist()
        [[-6.0, -5.0, -4.0], [0.0, 0.0, -3.0], [0.0, -1.0, -2.0]]
    """
    if min(height, width) < 1:
        raise InputError(f"a grid has rows and columns, not {height} × {width}.")
    if not 0 <= slip <= 1:
        raise InputError(f"slip is a probability, not {slip}.")
    last = (height - 1, width - 1)
    wall = mask_of(walls, (height, width), "walls")
    goals = mask_of(last if goal is None else goal, (height, width), "goals")
    if not goals.any() or (wall & goals).any():
        raise InputError("a goal is a cell that is no wall.")
    states = height * width
    here = np.arange(states, dtype="int32").reshape(height, width)
    inner = np.pad(here, 1, mode="edge")
    beside = (inner[:-2, 1:-1], inner[1:-1, 2:], inner[2:, 1:-1], inner[1:-1, :-2])
    reached = [np.where(wall.ravel()[there], here, there).ravel() for there in beside]
    ways = ((0, 1 - slip), (1, slip / 2), (-1, slip / 2)) if slip else ((0, 1.0),)
    columns = np.empty((4, states, len(ways)), "int32")
    for action in range(4):
        for way, (turn, _) in enumerate(ways):
            columns[action, :, way] = reached[(action + turn) % 4]
    over = (wall | goals).ravel()
    chances = np.where(over[:, None], 0.0, [chance for _, chance in ways])
    # As many entries in each row as there are ways: no need to sort them as triples.
    starts = np.arange(0, columns.size + 1, len(ways), dtype="int32")
    data = np.broadcast_to(chances, columns.shape).ravel()
    table = sparse.csr_array((data, columns.ravel(), starts), shape=(4 * states, states))
    table.sum_duplicates()
    table.eliminate_zeros()
    rewards = np.full((4, states), float(step_reward))
    if goal_reward:
        rewards += goal_reward * (table @ goals.ravel().astype(float)).reshape(4, states)
    rewards[:, over] = 0
    ending = np.broadcast_to(over.astype(float), (4, states))
    return MDP(table, rewards.T, float(discount), ending.T)
