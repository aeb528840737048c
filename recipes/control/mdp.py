"""Finite Markov decision processes: as sparse matrices, and from gymnasium."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from recipes.control.environments import gymnasium, single
from zoo.errors import InputError

_SUM = 1e-8  # by which probabilities may miss their sum


@dataclass(frozen=True, eq=False)
class MDP:
    """A finite Markov decision process, in which an episode may end.

    The transitions of all actions are one matrix: row `action * states + state`. One product with
    the values of the states looks ahead from everywhere. The best of the actions is then a maximum
    over a few long rows; in the order `state * actions + action`, over many short ones, it takes
    ten times as long, longer than the product.

    What is worth nothing afterwards needs no state: a row sums to 1 less the probability that the
    action ends the episode, and the rows of a terminal state are empty.

    Attributes:
        transitions: `scipy.sparse.csr_array` `(actions * states, states)`, float64.
        rewards: `(states, actions)` float64, expected.
        discount: of the reward of the next step, above 0 and at most 1.
        ending: `(states, actions)` float64, probability that the action ends the episode.

    Raises:
        InputError: shapes that do not fit, rows that are no probabilities, rewards that are not
            finite, or a discount out of range.

    References:
        *Markov Decision Processes*, Puterman 1994, https://doi.org/10.1002/9780470316887.

    Example:
        >>> from recipes.control.mdp import MDP
        >>> stay, move = [[1, 0], [0, 1]], [[0.1, 0.9], [0, 1]]
        >>> mdp = MDP.from_matrices([stay, move], rewards=[-1, 0], discount=0.9, terminal=[1])
        >>> mdp.transitions.toarray().tolist()
        [[1.0, 0.0], [0.0, 0.0], [0.1, 0.9], [0.0, 0.0]]
        >>> mdp.terminal.tolist()
        [False, True]
    """

    transitions: Any
    rewards: np.ndarray
    discount: float
    ending: np.ndarray

    def __post_init__(self) -> None:
        """Refuse what is no decision process."""
        if getattr(self.transitions, "format", "") != "csr":
            raise InputError("transitions are one CSR matrix; see `MDP.from_matrices` for others.")
        if self.rewards.ndim != 2 or not self.rewards.size:
            raise InputError(f"rewards are (states, actions), not {self.rewards.shape}.")
        states, actions = self.rewards.shape
        for name, expected in (
            ("transitions", (actions * states, states)),
            ("ending", (states, actions)),
        ):
            if getattr(self, name).shape != expected:
                raise InputError(
                    f"rewards of {states} states and {actions} actions need {name} of shape "
                    f"{expected}, not {getattr(self, name).shape}."
                )
        if not 0 < self.discount <= 1:
            raise InputError(f"the discount is above 0 and at most 1, not {self.discount}.")
        _refuse(~np.isfinite(self.rewards), self.rewards, "earns {}: a reward is finite")
        data = self.transitions.data
        if not (data >= 0).all():  # NaN is not, either
            entry = int(np.flatnonzero(~(data >= 0))[0])
            row = int(np.searchsorted(self.transitions.indptr, entry, "right")) - 1
            raise InputError(
                f"action {row // states} in state {row % states} has a transition of probability "
                f"{data[entry]}: none is below 0."
            )
        _refuse(~(self.ending >= 0), self.ending, "ends with probability {}: none is below 0")
        total = (self.transitions @ np.ones(states)).reshape(actions, states).T + self.ending
        _refuse(~(abs(total - 1) <= _SUM), total, "has probabilities that sum to {:.9g}, not to 1")

    @property
    def states(self) -> int:
        """Number of states."""
        return self.rewards.shape[0]

    @property
    def actions(self) -> int:
        """Number of actions."""
        return self.rewards.shape[1]

    @cached_property
    def terminal(self) -> np.ndarray:
        """Which states are terminal, bool `(states,)`: all ends there and earns nothing."""
        return ((self.ending == 1) & (self.rewards == 0)).all(axis=1)

    @classmethod
    def from_matrices(
        cls, transitions: Any, rewards: Any, discount: float, terminal: Any = ()
    ) -> "MDP":
        """Return the process of one matrix for each action, dense or sparse.

        Args:
            transitions: `(actions, states, states)`, the order of pymdptoolbox: `[a, s, t]` is the
                probability that action a leads from s to t. An array, or a sequence of arrays or
                of scipy's sparse matrices; or one sparse matrix `(actions * states, states)`.
            rewards: `(states, actions)`; or `(states,)`, alike for all actions; or as
                `transitions`, of each transition.
            discount: above 0 and at most 1.
            terminal: bool `(states,)`, or the numbers of the states in which an episode has ended.
                What the arguments say of transitions and rewards there is not read.

        Raises:
            InputError: see `MDP`.

        Example:
            >>> import numpy as np
            >>> from scipy import sparse
            >>> from recipes.control.mdp import MDP
            >>> round_trip = sparse.csr_array([[0.0, 1.0], [1.0, 0.0]])
            >>> MDP.from_matrices([round_trip], [[1.0], [3.0]], 0.5).rewards.tolist()
            [[1.0], [3.0]]
        """
        table = _stacked(transitions, "transitions")
        states = table.shape[1]
        actions = table.shape[0] // max(1, states)
        if not actions or table.shape[0] != actions * states:
            raise InputError(
                f"transitions are (actions, states, states): {table.shape[0]} rows of {states} "
                "states are not."
            )
        over = mask_of(terminal, (states,), "terminal states")
        earned = _expected(rewards, table, states, actions)
        earned[over] = 0
        kept = np.repeat(np.tile(~over, actions), np.diff(table.indptr))
        table.data[~kept] = 0
        table.eliminate_zeros()
        ending = np.repeat(over[:, None].astype("float64"), actions, axis=1)
        return cls(table, earned, float(discount), ending)

    @classmethod
    def from_gymnasium(
        cls, environment: Any, discount: float, options: dict[str, Any] | None = None
    ) -> "MDP":
        """Return the process that an environment's own table `P` describes.

        `P[state][action]` lists tuples (probability, next state, reward, terminated). It is the
        tuple that ends an episode, not the state it names, and nothing is earned thereafter:
        FrozenLake's holes lead to themselves, CliffWalking would go on from its goal, and Taxi
        after it delivered. Terminal is a state that others enter by such tuples alone.

        A limit on the steps of an episode is no part of `P`, and none of the process.

        Args:
            environment: a `gymnasium.Env`, or a Gymnasium id.
            discount: above 0 and at most 1.
            options: arguments of the environment, where its id is given.

        Raises:
            InputError: there is no such environment, or it has no table of numbered states and
                actions.

        Example:
            >>> from recipes.control.mdp import MDP
            >>> lake = MDP.from_gymnasium("FrozenLake-v1", discount=0.99)
            >>> lake.states, lake.actions, int(lake.terminal.sum())
            (16, 4, 5)
        """
        if isinstance(environment, str):
            environment = single(environment, options)
        states, actions = sizes(environment)
        state, action, probability, following, reward, ends = outcomes(environment)
        from_others = (probability > 0) & (state != following)
        ended = np.bincount(following[from_others & ends], minlength=states) > 0
        entered = np.bincount(following[from_others & ~ends], minlength=states) > 0
        over = ended & ~entered
        probability = np.where(over[state], 0, probability)
        row, shape = action * states + state, (actions, states)
        table = sparse.csr_array(
            (np.where(ends, 0, probability), (row, following)), shape=(actions * states, states)
        )
        table.eliminate_zeros()
        rewards = np.bincount(row, probability * reward, actions * states).reshape(shape)
        ending = np.bincount(row, probability * ends, actions * states).reshape(shape)
        ending[:, over] = 1
        return cls(table, rewards.T, float(discount), ending.T)


def sizes(environment: Any) -> tuple[int, int]:
    """Return the numbers of states and of actions of a Gymnasium environment.

    Raises:
        InputError: its states or its actions are not numbered.
    """
    spaces = {"states": environment.observation_space, "actions": environment.action_space}
    for name, space in spaces.items():
        if not isinstance(space, gymnasium().spaces.Discrete):
            raise InputError(f"a table needs numbered {name}; those of {environment} are {space}.")
    return int(spaces["states"].n), int(spaces["actions"].n)


def outcomes(environment: Any) -> list[np.ndarray]:
    """Return the table `P` of a Gymnasium environment, an element for each of its tuples.

    Returns:
        State, action, probability, next state, reward, and whether the episode ends.

    Raises:
        InputError: it has no such table, or one that lacks a state or an action.
    """
    table = getattr(environment.unwrapped, "P", None)
    if table is None:
        raise InputError(
            f"{environment} has no table P of its transitions: learn it with "
            "`recipes.control.tabular`."
        )
    states, actions = sizes(environment)
    try:
        rows = [
            (state, action, probability, following, reward, ends)
            for state in range(states)
            for action in range(actions)
            for probability, following, reward, ends in table[state][action]
        ]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(
            f"the table P of {environment} is not of {states} states and {actions} actions with "
            f"tuples of four: {error!r}."
        ) from None
    kinds = ("int64", "int64", "float64", "int64", "float64", "bool")
    columns = np.array(rows, "float64").reshape(-1, len(kinds)).T
    if ((columns[3] < 0) | (columns[3] >= states)).any():
        raise InputError(f"the table P of {environment} leads outside its {states} states.")
    return [column.astype(kind) for column, kind in zip(columns, kinds, strict=True)]


def _stacked(matrices: Any, name: str) -> Any:
    """Return one CSR matrix of float64 `(actions * states, states)`, a copy."""
    if sparse.issparse(matrices):
        return sparse.csr_array(matrices, dtype="float64", copy=True)
    if len(matrices) and all(map(sparse.issparse, matrices)):
        if len({matrix.shape for matrix in matrices}) > 1:
            raise InputError(f"the {name} of all actions have one shape.")
        return sparse.csr_array(sparse.vstack(matrices, format="csr", dtype="float64"))
    dense = _floats(matrices, name)
    if dense.ndim != 3 or dense.shape[1] != dense.shape[2]:
        raise InputError(f"{name} are (actions, states, states), not {dense.shape}.")
    return sparse.csr_array(dense.reshape(-1, dense.shape[2]))


def _expected(rewards: Any, table: Any, states: int, actions: int) -> np.ndarray:
    """Return the expected rewards `(states, actions)`, a copy."""
    many = not sparse.issparse(rewards) and not any(map(sparse.issparse, rewards))
    given = _floats(rewards, "rewards") if many else None
    if given is not None and given.shape == (states,):
        return np.repeat(given[:, None], actions, axis=1)
    if given is not None and given.shape == (states, actions):
        return given.copy()
    if given is not None and given.shape != (actions, states, states):
        raise InputError(
            f"rewards of {states} states and {actions} actions are (states, actions), (states,) or "
            f"(actions, states, states), not {given.shape}."
        )
    each = _stacked(rewards, "rewards")
    if each.shape != table.shape:
        raise InputError(f"rewards of shape {each.shape} do not fit {table.shape} transitions.")
    return np.array((table * each).sum(axis=1)).reshape(actions, states).T.copy()


def _floats(values: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(values, "float64")
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} are numbers in one array: {error}") from None


def mask_of(places: Any, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Return the mask of some states or cells, given as one or by their numbers."""
    given = np.asarray(places)
    if given.dtype == bool and given.shape == shape:
        return given
    mask = np.zeros(shape, bool)
    if not given.size:
        return mask
    numbers = given.reshape(-1, len(shape)) if given.size % len(shape) == 0 else None
    if numbers is None or given.dtype.kind not in "iu" or given.ndim > 2:
        raise InputError(f"{name} are places, or a mask of {shape}.")
    if ((numbers < 0) | (numbers >= shape)).any():
        raise InputError(f"{name} lie within {shape}.")
    mask[tuple(numbers.T)] = True
    return mask


def _refuse(wrong: np.ndarray, values: np.ndarray, what: str) -> None:
    """Refuse the first pair of a state and an action that is wrong."""
    if wrong.any():
        state, action = np.argwhere(wrong)[0]
        raise InputError(f"action {action} in state {state} {what.format(values[state, action])}.")
