"""Decisions of a model that learned from unbalanced classes, moved towards the rare ones.

Neither needs a training: both take the outputs that `recipes.evaluation.answers` returns.
"""

from collections.abc import Sequence

import numpy as np

from zoo.errors import InputError
from zoo.registry import unknown

THRESHOLD_METRICS = ("balanced_accuracy", "f1")


def prior_correction(outputs: np.ndarray, train_counts: "Sequence[int] | np.ndarray") -> np.ndarray:
    """Return the probabilities as if all classes were equally frequent.

    Bayes' rule: each probability is divided by its class's share of the training examples, and
    the row brought back to a sum of 1. The largest is then the decision of the best balanced
    accuracy, as far as the outputs are true probabilities. In logits, the logarithm of the share is
    subtracted (the post-hoc logit adjustment of Menon et al.).

    Args:
        outputs: `(examples, classes)` probabilities.
        train_counts: `(classes,)` number of training examples of each class, all above 0.

    Returns:
        `(examples, classes)` float32.

    Raises:
        InputError: the counts do not fit the outputs.

    References:
        The Foundations of Cost-Sensitive Learning, Elkan 2001, IJCAI.
        Long-tail learning via logit adjustment, Menon et al. 2020, arXiv:2007.07314.

    Example:
        >>> import numpy as np
        >>> from recipes.thresholds import prior_correction
        >>> corrected = prior_correction(np.array([[0.8, 0.2]]), [900, 100])
        >>> [round(float(share), 2) for share in corrected[0]]
        [0.31, 0.69]
    """
    probabilities, counts = np.array(outputs, "float64"), np.asarray(train_counts, "float64")
    if probabilities.ndim != 2 or counts.shape != probabilities.shape[1:]:
        raise InputError(
            f"outputs of shape {probabilities.shape} need a count for each class, not "
            f"{counts.shape}."
        )
    if not (counts > 0).all():
        raise InputError("a class without training examples has no prior to correct for.")
    odds = probabilities / (counts / counts.sum())
    total = odds.sum(axis=1, keepdims=True)
    return np.divide(odds, total, out=probabilities, where=total > 0).astype("float32")


def best_threshold(
    outputs: np.ndarray, targets: np.ndarray, metric: str = "balanced_accuracy"
) -> float:
    """Return the threshold of the best decisions between two classes.

    To be chosen on validation examples, and measured on others: an example is of class 1 where
    its probability is at least the threshold. Among equally good thresholds, the nearest to 0.5.

    Args:
        outputs: `(examples, 2)` probabilities.
        targets: `(examples,)` class numbers 0 and 1, both present.
        metric: "balanced_accuracy" or "f1" (of class 1).

    Raises:
        InputError: there are not two classes, or the metric does not exist.

    Example:
        >>> import numpy as np
        >>> from recipes.thresholds import best_threshold
        >>> rare = np.array([0.1, 0.2, 0.25, 0.4])
        >>> best_threshold(np.stack([1 - rare, rare], 1), np.array([0, 0, 1, 1]))
        0.225
    """
    if metric not in THRESHOLD_METRICS:
        raise unknown(metric, THRESHOLD_METRICS, "metric of a threshold")
    outputs, targets = np.asarray(outputs), np.asarray(targets)
    if outputs.ndim != 2 or outputs.shape[1] != 2 or set(np.unique(targets)) != {0, 1}:
        raise InputError("a threshold is for two classes, with examples of both.")
    # Between one value and the next; and one threshold each for all and for none of the examples.
    values, group = np.unique(outputs[:, 1].astype("float64"), return_inverse=True)
    thresholds = np.concatenate([values[:1], (values[1:] + values[:-1]) / 2, values[-1:] + 1e-6])
    counts = np.zeros((2, len(values)), int)
    np.add.at(counts, (targets, group), 1)
    below = np.concatenate([np.zeros((2, 1), int), counts.cumsum(axis=1)], axis=1)
    negatives, positives = below[:, -1]
    hits, false = positives - below[1], negatives - below[0]
    if metric == "f1":
        figure = 2 * hits / (hits + false + positives)
    else:
        figure = (hits / positives + below[0] / negatives) / 2
    best = thresholds[figure >= figure.max() - 1e-12]
    return float(best[np.abs(best - 0.5).argmin()])
