"""Which examples an epoch draws, where the classes are of unequal size."""

import numpy as np

SAMPLINGS = ("", "over", "under")


def balanced_order(targets: np.ndarray, sampling: str, seed: int, epoch: int) -> np.ndarray:
    """Return the shuffled indices of an epoch in which every class comes equally often.

    "over" goes round the examples of a class until it has as many as the largest, so that none
    comes more than once more often than another of its class. "under" draws as many of each class
    as the smallest has, others in each epoch. A class without examples stays without.

    Args:
        targets: `(examples,)` class numbers.
        sampling: "over" or "under".
        seed: of the training.
        epoch: its number.

    Returns:
        int64 `(epoch_size(targets, sampling),)`.

    Example:
        >>> import numpy as np
        >>> from recipes.data.sampling import balanced_order
        >>> targets = np.array([0, 0, 0, 0, 1, 1])
        >>> np.bincount(targets[balanced_order(targets, "over", seed=0, epoch=0)]).tolist()
        [4, 4]
    """
    rng = np.random.default_rng([seed, epoch])
    classes, counts = np.unique(targets, return_counts=True)
    size = _size(counts, sampling)
    drawn = [np.resize(rng.permutation(np.flatnonzero(targets == c)), size) for c in classes]
    return rng.permutation(np.concatenate(drawn)).astype("int64")


def epoch_size(targets: np.ndarray, sampling: str = "") -> int:
    """Return the number of examples that an epoch draws."""
    if not sampling:
        return len(targets)
    counts = np.unique(targets, return_counts=True)[1]
    return len(counts) * _size(counts, sampling)


def _size(counts: np.ndarray, sampling: str) -> int:
    return int(counts.max() if sampling == "over" else counts.min())
