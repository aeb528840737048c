"""Policies of a known process: what they are worth, and whether they end their episodes."""

from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph, linalg

from recipes.control.mdp import MDP
from zoo.errors import InputError


def evaluate_policy(mdp: MDP, policy: np.ndarray) -> np.ndarray:
    """Return the values of a policy, by a sparse linear solve.

    Args:
        mdp: the process.
        policy: `(states,)` numbers of actions, or `(states, actions)` probabilities.

    Returns:
        `(states,)` float64, exact but for rounding.

    Raises:
        InputError: the policy does not fit; or the discount is 1, and from some state the policy
            never ends an episode.

    Example:
        >>> from recipes.control.grids import grid_world
        >>> from recipes.control.policies import evaluate_policy
        >>> mdp = grid_world(1, 4, discount=1.0)
        >>> evaluate_policy(mdp, [1, 1, 1, 0]).round(9).tolist()
        [-3.0, -2.0, -1.0, 0.0]
    """
    return solved(mdp, policy_of(mdp, policy), "this policy")[0]


def policy_of(mdp: MDP, policy: Any) -> np.ndarray:
    """Return a policy as an array, checked: `(states,)` int64, or `(states, actions)`.

    Raises:
        InputError: it does not fit the process, or holds no distributions.
    """
    policy = np.asarray(policy)
    if policy.shape == (mdp.states,) and policy.dtype.kind in "iu":
        wrong = np.flatnonzero((policy < 0) | (policy >= mdp.actions))
        if len(wrong):
            raise InputError(
                f"there is no action {policy[wrong[0]]}, which the policy takes in state "
                f"{wrong[0]}: there are {mdp.actions}."
            )
        return policy.astype("int64")
    if policy.shape != (mdp.states, mdp.actions):
        raise InputError(
            f"a policy of {mdp.states} states is as many numbers of actions, or probabilities "
            f"({mdp.states}, {mdp.actions}); not {policy.dtype} {policy.shape}."
        )
    wrong = np.flatnonzero(~(abs(policy.sum(axis=1) - 1) <= 1e-8) | ~(policy >= 0).all(axis=1))
    if len(wrong):
        raise InputError(f"the policy's row of state {wrong[0]} is no distribution over actions.")
    return policy


def chain_of(mdp: MDP, policy: np.ndarray) -> tuple[Any, np.ndarray, np.ndarray]:
    """Return transitions, rewards and ends under a policy: a CSR matrix, and two arrays."""
    states = np.arange(mdp.states)
    if policy.ndim == 1:
        return (
            mdp.transitions[policy * mdp.states + states],
            mdp.rewards[states, policy],
            mdp.ending[states, policy],
        )
    rows = np.arange(mdp.actions * mdp.states)
    mixture = sparse.csr_array((policy.T.ravel(), (rows % mdp.states, rows)))
    return (
        mixture @ mdp.transitions,
        (policy * mdp.rewards).sum(axis=1),
        (policy * mdp.ending).sum(axis=1),
    )


def solved(mdp: MDP, policy: np.ndarray, whose: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of a policy, and its expected number of steps, discounted alike."""
    chain, rewards, ending = chain_of(mdp, policy)
    if mdp.discount == 1:
        _way_out(chain, ending, whose)
    matrix = sparse.eye_array(mdp.states, format="csc") - mdp.discount * chain.tocsc()
    factors = linalg.splu(matrix)
    right = np.stack([rewards, np.ones(mdp.states)], axis=1)
    both = factors.solve(right)
    both += factors.solve(right - matrix @ both)  # a large factorization is less exact than float64
    return both[:, 0], both[:, 1]


def leading_out(mdp: MDP) -> np.ndarray:
    """Return a policy that ends every episode sooner or later: the shortest way that may do so."""
    return _way_out(mdp.transitions, mdp.ending, "any policy") // mdp.states


def _way_out(transitions: Any, ending: np.ndarray, whose: str) -> np.ndarray:
    """Return for each state a row of the transitions by which it may come nearer to an end.

    Raises:
        InputError: for some state there is none.
    """
    states = transitions.shape[1]
    moves = transitions.tocoo()
    possible = moves.data > 0
    ends = np.flatnonzero(ending.T.ravel() > 0)
    rows = np.concatenate([moves.row[possible], ends])
    reached = np.concatenate([moves.col[possible], np.full(len(ends), states)])  # the end: one more
    here = rows % states
    backwards = sparse.csr_array(
        (np.ones(len(rows), bool), (reached, here)), shape=(states + 1, states + 1)
    )
    nearer = csgraph.breadth_first_order(backwards, states)[1][:states]
    lost = np.flatnonzero(nearer < 0)
    if len(lost):
        raise InputError(
            f"a discount of 1 needs episodes that end: from state {lost[0]}, under {whose}, none "
            f"does ({len(lost)} such states). Take a discount below 1."
        )
    chosen = reached == nearer[here]
    way = np.empty(states, "int64")
    way[here[chosen]] = rows[chosen]
    return way
