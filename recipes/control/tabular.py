"""Learning the value of every action in every state by trying them: Q-learning and its kin."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from recipes.control.environments import gymnasium, single
from recipes.control.mdp import outcomes, sizes
from zoo.errors import InputError
from zoo.registry import unknown

METHODS = ("q_learning", "sarsa", "expected_sarsa", "double_q_learning")
# Share of the training that is done, from 0 to 1, and numbers of visits `(copies,)` -> a rate, or
# one for each copy.
Schedule = Callable[[float, np.ndarray], Any]


def linear(first: float, last: float, share: float = 1.0) -> Schedule:
    """Return a rate that goes from `first` to `last` in a share of the training, and stays there.

    Example:
        >>> import numpy as np
        >>> from recipes.control.tabular import linear
        >>> rate = linear(1.0, 0.1, share=0.5)
        >>> [round(float(rate(done, np.array([7]))), 3) for done in (0.0, 0.25, 0.5, 1.0)]
        [1.0, 0.55, 0.1, 0.1]
    """
    _refuse_no_share(first, last, share)
    return lambda done, visits: first + (last - first) * min(1.0, done / max(share, 1e-9))


def exponential(first: float, last: float) -> Schedule:
    """Return a rate that goes from `first` to `last`, by the same factor in equal times.

    Example:
        >>> import numpy as np
        >>> from recipes.control.tabular import exponential
        >>> rate = exponential(1.0, 0.01)
        >>> [round(float(rate(done, np.array([7]))), 3) for done in (0.0, 0.5, 1.0)]
        [1.0, 0.1, 0.01]
    """
    _refuse_no_share(first, last)
    if not (first and last):
        raise InputError(f"a rate never falls from {first} to {last} exponentially: one is 0.")
    return lambda done, visits: first * (last / first) ** done


def inverse_visits(power: float = 1.0) -> Schedule:
    """Return a rate of one over the visits so far, this one included, to a power.

    A step size whose power is above 1/2 and at most 1 lets the values converge with probability 1;
    at 1 old targets weigh as much as new ones, and what was learned first is long remembered.

    References:
        *Learning Rates for Q-learning*, Even-Dar & Mansour 2003,
        https://www.jmlr.org/papers/v5/evendar03a.html.

    Example:
        >>> import numpy as np
        >>> from recipes.control.tabular import inverse_visits
        >>> inverse_visits(0.5)(0.0, np.array([1, 4, 100])).tolist()
        [1.0, 0.5, 0.1]
    """
    if not power >= 0:
        raise InputError(f"the power is at least 0, not {power}.")
    return lambda done, visits: np.maximum(visits, 1.0) ** -power


@dataclass(frozen=True, eq=False)
class Learned:
    """What was learned, and how it went.

    Attributes:
        q_values: `(states, actions)` float64; of double Q-learning, the mean of both tables.
        visits: `(states, actions)` int64, how often each action was tried.
        returns: `(episodes,)` float64, undiscounted, exploration included, in the order in which
            the episodes ended.
        lengths: `(episodes,)` int64, in steps.
    """

    q_values: np.ndarray
    visits: np.ndarray
    returns: np.ndarray
    lengths: np.ndarray

    @property
    def policy(self) -> np.ndarray:
        """The greedy action of each state, `(states,)` int64."""
        return self.q_values.argmax(axis=1)


def learn(
    environment: str | Callable[[], Any],
    method: str = "q_learning",
    steps: int = 500_000,
    *,
    discount: float = 0.99,
    epsilon: float | Schedule = 0.1,
    step_size: float | Schedule = 0.1,
    initial: float = 0.0,
    copies: int = 64,
    options: dict[str, Any] | None = None,
    use_table: bool = True,
    seed: int = 0,
) -> Learned:
    """Learn a table of action values in an environment of numbered states and actions.

    Every step moves the value of the action taken towards its target, the reward and the discounted
    value of the state that follows: of its best action ("q_learning"), of the one that is taken
    there ("sarsa"), on average over those that may be ("expected_sarsa"), or of the best one by
    this table as the other table has it ("double_q_learning", whose two tables learn in turns).
    Nothing follows a state where the task ended; one where only the time was over is followed as
    if it went on.

    Copies of the environment step together. Where several take the same action in the same state,
    its value moves by as many steps towards the mean of their targets.

    An environment of Gymnasium with a table `P` of its own (FrozenLake, CliffWalking, Taxi) is
    stepped from that table, all copies at once: the same process, some ten times as fast. Any other
    is stepped one copy after the other.

    Args:
        environment: a Gymnasium id, or a function that makes an environment.
        method: one of `METHODS`.
        steps: number of steps, of all copies together.
        discount: of the reward of the next step, from 0 to 1.
        epsilon: share of actions at random; a number, or a schedule over the visits to the state.
        step_size: share of the way to the target; a number, or a schedule over the visits to the
            state and the action.
        initial: value of every action at first. Above what can be reached, it makes all be tried.
        copies: number of copies of the environment.
        options: arguments of the environment, where its id is given.
        use_table: whether to step from the table `P` where there is one, and no wrapper but those
            of `gymnasium.make`.
        seed: of the environments and of the exploration.

    Returns:
        `Learned`: action values, greedy policy, visits, and the returns of all episodes.

    Raises:
        InputError: an unknown method or environment, spaces that are not numbered, a rate out of
            range, or a reward that is not finite.

    References:
        *Learning from Delayed Rewards*, Watkins 1989, PhD thesis, Cambridge.
        *On-line Q-learning Using Connectionist Systems*, Rummery & Niranjan 1994, CUED TR 166.
        *A Theoretical and Empirical Analysis of Expected Sarsa*, van Seijen et al. 2009,
        https://doi.org/10.1109/ADPRL.2009.4927542.
        *Double Q-learning*, van Hasselt 2010, NeurIPS 23.

    Example:
        >>> from recipes.control.tabular import learn
        >>> learned = learn("CliffWalking-v1", steps=50_000, epsilon=0.2, step_size=0.5)
        >>> learned.policy[36], learned.policy[24:35].tolist()  # up, and along the cliff
        (np.int64(0), [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1])
    """
    if method not in METHODS:
        raise unknown(method, METHODS, "method")
    if not 0 <= discount <= 1:
        raise InputError(f"the discount is from 0 to 1, not {discount}.")
    if copies < 1 or steps < copies:
        raise InputError(f"{steps} steps of {copies} copies are not one each.")
    make = partial(single, environment, options) if isinstance(environment, str) else environment
    rng = np.random.default_rng(seed)
    world = _world(make, copies, use_table, seed, rng)
    try:
        tables = np.full((1 + (method == "double_q_learning"), *world.sizes), float(initial))
        agent = _Agent(method, tables, discount, _rate(epsilon), _rate(step_size), rng)
        return agent.learn(world, steps // copies)
    finally:
        world.close()


class _Agent:
    """The tables, and how they choose and learn."""

    def __init__(
        self,
        method: str,
        tables: np.ndarray,
        discount: float,
        epsilon: Schedule,
        step_size: Schedule,
        rng: np.random.Generator,
    ) -> None:
        self.method, self.tables, self.discount = method, tables, discount
        self.epsilon, self.step_size, self.rng = epsilon, step_size, rng
        self.visits = np.zeros(tables.shape, "int64")
        self.sums = np.zeros(tables.size)
        self.done = 0.0

    def learn(self, world: "_TableWorld | _SteppedWorld", steps: int) -> Learned:
        """Take so many steps in every copy."""
        states = world.start()
        actions = self.choose(states)
        returns, lengths = np.zeros(len(states)), np.zeros(len(states), "int64")
        history = [(np.zeros(0), np.zeros(0, "int64"))]
        for step in range(steps):
            following, rewards, terminated, truncated = world.step(actions)
            if not np.isfinite(rewards).all():
                raise InputError(f"a reward is finite; that of step {step} is not.")
            self.done = step / steps
            ahead = self.choose(following) if self.method == "sarsa" else None
            self.update(states, actions, rewards, following, ahead, terminated)
            returns += rewards
            lengths += 1
            states, over = following, terminated | truncated
            if over.any():
                history.append((returns[over], lengths[over]))
                returns[over], lengths[over] = 0, 0
                states = world.restart(over)
            actions = self.choose(states)
            if ahead is not None:  # SARSA does what it has learned from, if the episode goes on
                actions = np.where(over, actions, ahead)
        ended = [np.concatenate(parts) for parts in zip(*history, strict=True)]
        return Learned(self.tables.mean(axis=0), self.visits.sum(axis=0), *ended)

    def choose(self, states: np.ndarray) -> np.ndarray:
        """Return greedy actions, and some at random."""
        q = self.tables[:, states].mean(axis=0)
        rate = self.exploration(states)
        at_random = self.rng.integers(q.shape[1], size=len(q))
        return np.where(self.rng.random(len(q)) < rate, at_random, self.best(q))

    def exploration(self, states: np.ndarray) -> Any:
        """Return the share of random actions: a number, or one for each copy."""
        return self.epsilon(self.done, self.visits[:, states].sum(axis=(0, 2)))

    def best(self, q: np.ndarray) -> np.ndarray:
        """Return the best action of each row, any of those that are equally good."""
        ties = q == q.max(axis=1, keepdims=True)
        return (ties * self.rng.random(q.shape)).argmax(axis=1)

    def update(
        self,
        states: np.ndarray,
        actions: np.ndarray,
        rewards: np.ndarray,
        following: np.ndarray,
        ahead: np.ndarray | None,
        terminated: np.ndarray,
    ) -> None:
        """Move the values of these actions towards their targets."""
        own = self.rng.integers(len(self.tables), size=len(states))
        worth = np.where(terminated, 0, self.worth(own, following, ahead))
        place = np.ravel_multi_index((own, states, actions), self.tables.shape)
        values, visits = self.tables.reshape(-1), self.visits.reshape(-1)
        before = visits[place]
        np.add.at(visits, place, 1)
        together = visits[place] - before  # copies in the same place
        self.sums[place] = 0
        np.add.at(self.sums, place, rewards + self.discount * worth)
        rate = 1 - (1 - self.step_size(self.done, visits[place])) ** together
        values[place] += rate * (self.sums[place] / together - values[place])

    def worth(self, own: np.ndarray, states: np.ndarray, ahead: np.ndarray | None) -> np.ndarray:
        """Return what the states that follow are worth, by the method and each copy's table."""
        q = self.tables[own, states]
        if ahead is not None:
            return np.take_along_axis(q, ahead[:, None], axis=1)[:, 0]
        if self.method == "expected_sarsa":
            rate = self.exploration(states)
            return (1 - rate) * q.max(axis=1) + rate * q.mean(axis=1)
        if self.method == "double_q_learning":
            return self.tables[1 - own, states, self.best(q)]
        return q.max(axis=1)


class _TableWorld:
    """Copies of an environment, stepped together by its own table."""

    def __init__(self, environment: Any, copies: int, rng: np.random.Generator) -> None:
        states, actions, chances, self.following, self.rewards, self.ends = outcomes(environment)
        self.sizes, self.rng, self.copies = sizes(environment), rng, copies
        pairs = states * self.sizes[1] + actions  # they come in this order
        self.counts = np.bincount(pairs, minlength=self.sizes[0] * self.sizes[1])
        self.first = self.counts.cumsum() - self.counts
        table = np.zeros((len(self.counts), self.counts.max()))
        table[pairs, np.arange(len(pairs)) - self.first[pairs]] = chances
        self.limits = table.cumsum(axis=1)[:, :-1]
        self.states, self.ages = np.zeros(copies, "int64"), np.zeros(copies, "int64")
        self.starts = np.cumsum(environment.unwrapped.initial_state_distrib)
        self.longest = environment.spec.max_episode_steps or np.inf

    def start(self) -> np.ndarray:
        """Begin an episode in every copy, and return the states."""
        return self.restart(np.ones(self.copies, bool))

    def restart(self, over: np.ndarray) -> np.ndarray:
        """Begin an episode in some copies, and return the states of all."""
        draws = self.rng.random(np.count_nonzero(over)) * self.starts[-1]
        self.states = self.states.copy()
        self.states[over] = np.searchsorted(self.starts, draws, side="right")
        self.ages[over] = 0
        return self.states

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the next states, rewards, and whether the task or the time is over."""
        pairs = self.states * self.sizes[1] + actions
        number = (self.rng.random((self.copies, 1)) >= self.limits[pairs]).sum(axis=1)
        entry = self.first[pairs] + np.minimum(number, self.counts[pairs] - 1)
        self.states = self.following[entry]
        self.ages += 1
        return self.states, self.rewards[entry], self.ends[entry], self.ages >= self.longest

    def close(self) -> None:
        """Do nothing: there is nothing open."""


class _SteppedWorld:
    """Copies of any environment, stepped one after the other."""

    def __init__(self, make: Callable[[], Any], copies: int, seed: int) -> None:
        vector = gymnasium().vector
        mode = vector.AutoresetMode.DISABLED
        self.environment = vector.SyncVectorEnv([make] * copies, autoreset_mode=mode)
        self.sizes, self.seed = sizes(self.environment.envs[0]), seed
        self.first_state = self.environment.single_observation_space.start
        self.first_action = self.environment.single_action_space.start

    def start(self) -> np.ndarray:
        """Begin an episode in every copy, and return the states."""
        return self.environment.reset(seed=self.seed)[0] - self.first_state

    def restart(self, over: np.ndarray) -> np.ndarray:
        """Begin an episode in some copies, and return the states of all."""
        return self.environment.reset(options={"reset_mask": over})[0] - self.first_state

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the next states, rewards, and whether the task or the time is over."""
        try:
            states, *rest = self.environment.step(actions + self.first_action)
        except Exception as error:  # any: it is code of the user's
            raise InputError(f"the environment raised {type(error).__name__}: {error}") from error
        return states - self.first_state, *map(np.copy, rest[:3])

    def close(self) -> None:
        """Close all copies."""
        self.environment.close()


def _world(
    make: Any, copies: int, use_table: bool, seed: int, rng: np.random.Generator
) -> _TableWorld | _SteppedWorld:
    environment = make() if callable(make) else None
    gym = gymnasium()
    if not isinstance(environment, gym.Env):
        raise InputError("an environment is given by its id, or by a function that makes one.")
    try:
        sizes(environment)
        if use_table and _is_its_table(environment):
            return _TableWorld(environment, copies, rng)
    finally:
        environment.close()
    return _SteppedWorld(make, copies, seed)


def _is_its_table(environment: Any) -> bool:
    """Tell whether an environment does what its table P says, and nothing else."""
    wrappers = gymnasium().wrappers
    usual = (wrappers.TimeLimit, wrappers.OrderEnforcing, wrappers.PassiveEnvChecker)
    while environment is not environment.unwrapped:
        if type(environment) not in usual:
            return False
        environment = environment.env
    fickle = getattr(environment, "fickle_passenger", False)  # Taxi: not told by P
    known = hasattr(environment, "P") and hasattr(environment, "initial_state_distrib")
    return known and not fickle and environment.spec is not None


def _rate(given: float | Schedule) -> Schedule:
    if callable(given):
        return given
    _refuse_no_share(given)
    return lambda done, visits: given


def _refuse_no_share(*rates: float) -> None:
    for rate in rates:
        if not 0 <= rate <= 1:
            raise InputError(f"a rate is from 0 to 1, not {rate}.")
