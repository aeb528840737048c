"""What a Q-network learns towards: temporal-difference targets, and its losses against them.

Expectations: Mnih et al. 2015, https://doi.org/10.1038/nature14236; double: van Hasselt et al.
2016, https://arxiv.org/abs/1509.06461; distributions (C51): Bellemare et al. 2017,
https://arxiv.org/abs/1707.06887, algorithm 1.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops


def value_targets(rewards: Any, discounts: Any, next_values: Any, choosing: Any) -> Any:
    """Return the targets of expectations `(batch,)`.

    Args:
        rewards: sums of n discounted rewards `(batch,)`.
        discounts: of what comes after them `(batch,)`; 0 where the task has ended.
        next_values: the target network's `(batch, actions)`.
        choosing: the values that the next action is the best of `(batch, actions)`: the learning
            network's for double Q-learning, else the target's.

    Example:
        >>> import numpy as np
        >>> from recipes.control.targets import value_targets
        >>> values, choosing = np.array([[4.0, 8.0]]), np.array([[2.0, 1.0]])
        >>> float(value_targets(np.array([1.0]), np.array([0.5]), values, choosing)[0])
        3.0
    """
    return rewards + discounts * chosen(next_values, ops.argmax(choosing, axis=-1))


def distribution_targets(
    rewards: Any,
    discounts: Any,
    next_logits: Any,
    choosing: Any,
    value_range: Sequence[float],
) -> Any:
    """Return the targets of distributions: probabilities `(batch, atoms)`.

    The values that the next distribution would come to are shared out among the nearest two of the
    atoms; what lies outside their range goes to the last one.

    Args:
        rewards: sums of n discounted rewards `(batch,)`.
        discounts: of what comes after them `(batch,)`; 0 where the task has ended.
        next_logits: the target network's `(batch, actions, atoms)`.
        choosing: the values that the next action is the best of `(batch, actions)`.
        value_range: the least value of the atoms, and the greatest.

    Example:
        >>> import numpy as np
        >>> from recipes.control.targets import distribution_targets
        >>> one, logits = np.ones(1, "float32"), np.log([[[0.5, 0.5, 1e-9]]]).astype("float32")
        >>> found = distribution_targets(one, one, logits, np.zeros((1, 1)), (0, 2))
        >>> np.round(found, 3).tolist()
        [[0.0, 0.5, 0.5]]
    """
    atoms = next_logits.shape[-1]
    least, greatest = map(float, value_range)
    spacing = (greatest - least) / (atoms - 1)
    values = np.linspace(least, greatest, atoms, dtype="float32")
    next_probabilities = ops.softmax(chosen(next_logits, ops.argmax(choosing, axis=-1)), axis=-1)
    rewards, discounts = ops.expand_dims(rewards, 1), ops.expand_dims(discounts, 1)
    moved = ops.clip(rewards + discounts * values, least, greatest)  # (batch, atoms)
    distance = ops.abs(ops.expand_dims(moved, 1) - ops.expand_dims(values, 1)) / spacing
    share = ops.maximum(1 - distance, 0)  # (batch, to, from)
    return ops.sum(share * ops.expand_dims(next_probabilities, 1), axis=-1)


def chosen(values: Any, actions: Any) -> Any:
    """Return of `(batch, actions, …)` what belongs to each example's action `(batch, …)`."""
    mask = ops.one_hot(actions, values.shape[1], dtype=values.dtype)
    mask = ops.reshape(mask, (*ops.shape(mask), *(1,) * (len(values.shape) - 2)))
    return ops.sum(values * mask, axis=1)


def huber(errors: Any) -> Any:
    """Return half the squares of errors up to 1, and beyond that their sizes less a half."""
    size = ops.abs(errors)
    small = ops.minimum(size, 1)
    return small * (size - small / 2)


def distance_of(logits: Any, targets: Any) -> Any:
    """Return the cross-entropies (nats) of distributions `(batch, atoms)` against their targets."""
    return -ops.sum(targets * ops.log_softmax(logits, axis=-1), axis=-1)
