"""Optimal policies of a known process: by sweeps over its values, and by linear solves."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from recipes.control.mdp import MDP
from recipes.control.policies import chain_of, leading_out, policy_of, solved
from zoo.errors import CheckFailed, InputError

_EPSILON = 4 * float(np.finfo("float64").eps)  # of the largest value: the rounding of a backup
_WARM_UP = 1000  # sweeps without a discount, at most, before policy iteration has the last word
_BETTER = "a policy better than all that end"  # to be seen where the return has no bound
_SETTLED = 0.1  # share of the last improvement, below which evaluating a policy waits for the next


@dataclass(frozen=True, eq=False)
class Solution:
    """A process, solved.

    Attributes:
        mdp: the process.
        values: `(states,)` float64, expected discounted return from each state.
        policy: `(states,)` int64, an action that attains it; in a terminal state, any.
        iterations: how often the policy was improved.
        error: bound on the distance of `values` from the optimal ones, the greatest over all
            states, rounding included.
    """

    mdp: MDP
    values: np.ndarray
    policy: np.ndarray
    iterations: int
    error: float

    @cached_property
    def q_values(self) -> np.ndarray:
        """Expected return of each action, and of `values` thereafter: `(states, actions)`."""
        return q_values(self.mdp, self.values)


def q_values(mdp: MDP, values: np.ndarray) -> np.ndarray:
    """Return what each action is worth when `values` come after it.

    Args:
        mdp: the process.
        values: `(states,)`.

    Returns:
        `(states, actions)` float64.

    Raises:
        InputError: there is not one value for each state.

    Example:
        >>> import numpy as np
        >>> from recipes.control.grids import grid_world
        >>> from recipes.control.planning import q_values
        >>> q_values(grid_world(1, 3, discount=0.5), np.array([-1.5, -1.0, 0.0])).tolist()
        [[-1.75, -1.5, -1.75, -1.75], [-1.5, -1.0, -1.5, -1.75], [0.0, 0.0, 0.0, 0.0]]
    """
    return _backup(mdp, _values_of(mdp, values)).T


def policy_iteration(
    mdp: MDP, policy: np.ndarray | None = None, max_iterations: int = 1000
) -> Solution:
    """Solve a process by evaluating a policy, improving it, and so on.

    Howard's algorithm. An action is replaced where another is better by more than rounding. So a
    policy that ends all its episodes is followed by such policies, and a discount of 1 works where
    the return is bounded: what is found is the best of the policies that end.

    Exact but for rounding, in few iterations; each factorizes a sparse matrix of all states. For
    100,000 states and more, see `modified_policy_iteration`.

    Args:
        mdp: the process.
        policy: `(states,)` to begin with. Default: the greatest rewards; with a discount of 1, one
            that ends every episode.
        max_iterations: so many, at most.

    Raises:
        InputError: the policy does not fit; or the discount is 1, and some state has no way to an
            end, or the return grows without bound.
        CheckFailed: there was something to improve after the last iteration.

    References:
        *Dynamic Programming and Markov Processes*, Howard 1960, MIT Press.
        *An Analysis of Stochastic Shortest Path Problems*, Bertsekas & Tsitsiklis 1991,
        https://doi.org/10.1287/moor.16.3.580.

    Example:
        >>> from recipes.control.grids import grid_world
        >>> from recipes.control.planning import policy_iteration
        >>> solution = policy_iteration(grid_world(2, 3, discount=0.5))
        >>> solution.values.reshape(2, 3).tolist(), solution.error < 1e-14
        ([[-1.75, -1.5, -1.0], [-1.5, -1.0, 0.0]], True)
    """
    if policy is None:
        policy = leading_out(mdp) if mdp.discount == 1 else mdp.rewards.argmax(axis=1)
    policy = policy_of(mdp, policy)
    if policy.ndim != 1:
        raise InputError("policy iteration begins with one action for each state.")
    return _iterate(mdp, policy, "the policy it begins with", max_iterations)


def value_iteration(mdp: MDP, error: float = 1e-8, max_iterations: int = 1_000_000) -> Solution:
    """Solve a process by sweeps that look one step ahead.

    It stops by MacQueen's bounds: what a sweep changes tells how far the values may still be from
    the optimal ones. In a process without end, a change that all states share is known to go on,
    and is added at once: a discount near 1 then costs no more sweeps.

    With a discount of 1 nothing bounds the error before it is solved for: the sweeps begin at the
    values of a policy that ends all its episodes, and what they lead to is finished, and proved,
    by `policy_iteration`.

    Args:
        mdp: the process.
        error: greatest distance of the values from the optimal ones. The policy loses at most
            `2 * error * discount / (1 - discount)`.
        max_iterations: so many sweeps, at most.

    Raises:
        InputError: the error is not above 0; or see `policy_iteration`.
        CheckFailed: not reached in so many sweeps, or not within the rounding of float64.

    References:
        *A Modified Dynamic Programming Method for Markovian Decision Problems*, MacQueen 1966,
        https://doi.org/10.1016/0022-247X(66)90060-6.

    Example:
        >>> from recipes.control.mdp import MDP
        >>> from recipes.control.planning import value_iteration
        >>> lake = MDP.from_gymnasium("FrozenLake-v1", discount=0.99)
        >>> value_iteration(lake).values[0].round(4)
        np.float64(0.542)
    """
    return _sweep(mdp, error, 0, max_iterations)


def modified_policy_iteration(
    mdp: MDP, error: float = 1e-8, sweeps: int = 100, max_iterations: int = 100_000
) -> Solution:
    """Solve a process by value iteration with cheap sweeps between.

    After each look at all actions, the policy found is followed for some sweeps, each of which
    costs a fraction. They end early when they change little. Bounds, and a discount of 1, are as in
    `value_iteration`. The fastest for large processes: no matrix is factorized.

    Args:
        mdp: the process.
        error: greatest distance of the values from the optimal ones.
        sweeps: of the policy after each improvement, at most; 0 is value iteration.
        max_iterations: so many improvements, at most.

    Raises:
        InputError: error or sweeps out of range; or see `policy_iteration`.
        CheckFailed: not reached in so many improvements, or not within the rounding of float64.

    References:
        *Modified Policy Iteration Algorithms for Discounted Markov Decision Problems*, Puterman &
        Shin 1978, https://doi.org/10.1287/mnsc.24.11.1127.

    Example:
        >>> from recipes.control.grids import grid_world
        >>> from recipes.control.planning import modified_policy_iteration
        >>> solution = modified_policy_iteration(grid_world(50, 50, slip=0.2), error=1e-6)
        >>> solution.values[0].round(4), solution.error <= 1e-6
        (np.float64(-69.9612), True)
    """
    if sweeps < 0:
        raise InputError(f"sweeps are 0 or more, not {sweeps}.")
    return _sweep(mdp, error, sweeps, max_iterations)


def finite_horizon(
    mdp: MDP, horizon: int, terminal_values: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Solve a process that is over after some steps, by backward induction.

    Args:
        mdp: the process; any discount.
        horizon: number of steps.
        terminal_values: `(states,)`, earned for being there after the last step, also for having
            just come to a terminal state. Default: 0.

    Returns:
        Values `(horizon + 1, states)`, the last of them `terminal_values`, and the policies
        `(horizon, states)`: row t is for time t, with `horizon - t` steps to go.

    Raises:
        InputError: the horizon is below 0, or there is not one terminal value for each state.

    Example:
        >>> from recipes.control.grids import grid_world
        >>> from recipes.control.planning import finite_horizon
        >>> values, policies = finite_horizon(grid_world(1, 3, discount=1.0), 2, [-9, -9, 0])
        >>> values.tolist()
        [[-2.0, -1.0, 0.0], [-10.0, -1.0, 0.0], [-9.0, -9.0, 0.0]]
    """
    if horizon < 0:
        raise InputError(f"a horizon is a number of steps, not {horizon}.")
    values = np.zeros((horizon + 1, mdp.states))
    policies = np.zeros((horizon, mdp.states), "int64")
    if terminal_values is not None:
        values[horizon] = _values_of(mdp, terminal_values)
    for time in reversed(range(horizon)):
        q = _backup(mdp, values[time + 1])
        values[time], policies[time] = q.max(axis=0), q.argmax(axis=0)
    return values, policies


def _iterate(mdp: MDP, policy: np.ndarray, whose: str, max_iterations: int) -> Solution:
    before, least = np.full(mdp.states, -np.inf), np.inf
    for iteration in range(1, max_iterations + 1):
        values, steps = solved(mdp, policy, whose)
        q = _backup(mdp, values)
        following = _improved(q, policy, _rounding(values))
        residual = float(abs(q.max(axis=0) - values).max())
        # Policies of equal worth could follow each other for ever, by the rounding of the solver.
        doubt = 2 * abs(_of_policy(q, policy) - values).max() * steps.max()
        stuck = residual >= least and (values <= before + doubt).all()
        if stuck or (following == policy).all():
            horizon = float(steps.max()) if mdp.discount == 1 else 1 / (1 - mdp.discount)
            error = horizon * (residual + _rounding(values))
            return Solution(mdp, values, policy, iteration, error)
        policy, before, least = following, values, residual
        whose = _BETTER
    raise CheckFailed(f"{max_iterations} iterations were not enough: take more max_iterations.")


def _sweep(mdp: MDP, error: float, sweeps: int, max_iterations: int) -> Solution:
    if not error > 0:
        raise InputError(f"the error to reach is above 0, not {error}.")
    if mdp.discount == 1:
        return _without_discount(mdp, error, sweeps, max_iterations)
    horizon = mdp.discount / (1 - mdp.discount)
    endless = not mdp.ending.any()
    values, bound = np.zeros(mdp.states), np.inf
    for iteration in range(1, max_iterations + 1):
        q = _backup(mdp, values)
        following = q.max(axis=0)
        change = following - values
        low, high = float(change.min()), float(change.max())
        shared = (low + high) / 2 if endless else 0.0
        spread, slack = max(high - shared, shared - low), _rounding(following)
        bound = horizon * (spread + slack)
        if bound <= error:
            following += horizon * shared
            policy = _backup(mdp, following).argmax(axis=0)
            return Solution(mdp, following, policy, iteration, bound)
        if spread <= slack:
            break
        values = following
        if sweeps:
            values = _followed(mdp, q.argmax(axis=0), values, sweeps, spread)
    raise CheckFailed(
        f"an error of {error:g} was not reached: after {iteration} iterations the bound is "
        f"{bound:.1e}. Take more max_iterations, or ask for less."
    )


def _without_discount(mdp: MDP, error: float, sweeps: int, max_iterations: int) -> Solution:
    # From the values of a policy that ends, sweeps rise to the best of such policies; and actions
    # that only better ones replace never close a circle from which nothing leads out.
    policy = leading_out(mdp)
    values, _ = solved(mdp, policy, "this policy")
    done, change, before = 0, np.inf, np.inf
    while done < min(max_iterations, _WARM_UP) and not before <= change <= error:
        done, before = done + 1, change
        q = _backup(mdp, values)
        policy = _improved(q, policy, _rounding(values))
        following = q.max(axis=0)
        change = float(abs(following - values).max())
        values = _followed(mdp, policy, following, sweeps, change)
    solution = _iterate(mdp, policy, _BETTER, max_iterations)
    if solution.error > error:
        raise CheckFailed(
            f"an error of {error:g} is below the rounding of float64; {solution.error:.1e} is not."
        )
    return replace(solution, iterations=done + solution.iterations)


def _followed(
    mdp: MDP, policy: np.ndarray, values: np.ndarray, sweeps: int, change: float
) -> np.ndarray:
    """Return the values after some sweeps of a policy, or after those that change much."""
    chain, rewards, _ = chain_of(mdp, policy)
    chain.data *= mdp.discount
    for number in range(sweeps):
        following = chain @ values
        following += rewards
        settled = number % 8 == 7 and abs(following - values).max() <= _SETTLED * change
        values = following
        if settled:
            break
    return values


def _backup(mdp: MDP, values: np.ndarray) -> np.ndarray:
    """Return the values of all actions, as `(actions, states)`."""
    q = (mdp.transitions @ values).reshape(mdp.actions, mdp.states)
    q *= mdp.discount
    q += mdp.rewards.T
    return q


def _improved(q: np.ndarray, policy: np.ndarray, slack: float) -> np.ndarray:
    """Return the policy with its actions replaced where one is better by more than the slack."""
    return np.where(q.max(axis=0) > _of_policy(q, policy) + slack, q.argmax(axis=0), policy)


def _of_policy(q: np.ndarray, policy: np.ndarray) -> np.ndarray:
    return np.take_along_axis(q, policy[None], axis=0)[0]


def _rounding(values: np.ndarray) -> float:
    return _EPSILON * float(abs(values).max())


def _values_of(mdp: MDP, values: Any) -> np.ndarray:
    values = np.asarray(values, "float64")
    if values.shape != (mdp.states,):
        raise InputError(f"{mdp.states} states need as many values, not {values.shape}.")
    return values
