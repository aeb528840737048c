"""Distances and shares of features: what scores of generative models are made of."""

from collections.abc import Iterator

import numpy as np
from scipy.special import rel_entr

from zoo.errors import InputError

_BLOCK = 1 << 22  # distances at a time: 32 MB
_ROUNDING = 1e-12  # of squared distances in float64, as a share of the largest squared length


def frechet_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return the squared Fréchet distance of two Gaussians that are fitted to features.

    Computed as in the Fréchet Inception distance, in float64. With few examples it is biased
    upwards, most of all with fewer examples than features.

    Args:
        one: `(examples, features)`, at least 2 examples.
        other: the same of other examples, whose number may be another.

    Returns:
        At least 0, in squared units of the features.

    Raises:
        InputError: no two arrays of the same features, too few examples, or NaN.

    References:
        *GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium*,
        Heusel et al. 2017, https://arxiv.org/abs/1706.08500, equation 6.

    Example:
        >>> import numpy as np
        >>> from recipes.distances import frechet_distance
        >>> points = np.random.default_rng(0).normal(size=(100, 2))
        >>> round(frechet_distance(points, points + [3, 4]), 6)
        25.0
    """
    one, other = _checked(one, other)
    return gaussian_distance(
        one.mean(axis=0), _covariance(one), other.mean(axis=0), _covariance(other)
    )


def gaussian_distance(
    mean: np.ndarray,
    covariance: np.ndarray,
    other_mean: np.ndarray,
    other_covariance: np.ndarray,
) -> float:
    """Return the squared Fréchet distance of two Gaussians: |m−m'|² + tr(C + C' − 2(CC')^½).

    Args:
        mean: `(features,)`.
        covariance: `(features, features)`, symmetric; it may be singular.
        other_mean: of the other Gaussian.
        other_covariance: of the other Gaussian.

    Returns:
        At least 0.

    Example:
        >>> import numpy as np
        >>> from recipes.distances import gaussian_distance
        >>> gaussian_distance(np.zeros(2), np.diag([4.0, 0.0]), np.zeros(2), np.diag([9.0, 0.0]))
        1.0
    """
    values, vectors = np.linalg.eigh(covariance)
    # Directions without variance are left out: rounding would have them count by its square root.
    kept = values > len(values) * np.finfo("float64").eps * values.max()
    root = vectors[:, kept] * np.sqrt(values[kept])  # (features, rank), times its transpose: C
    # CC' has the eigenvalues of C^½ C' C^½, which is symmetric; none of them is negative in truth.
    squares = np.linalg.eigvalsh(root.T @ other_covariance @ root)
    shared = np.sqrt(np.maximum(squares, 0)).sum()
    between = np.square(np.subtract(mean, other_mean)).sum()
    return float(max(0, between + np.trace(covariance) + np.trace(other_covariance) - 2 * shared))


def kernel_distance(
    one: np.ndarray,
    other: np.ndarray,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the kernel distance of features: unbiased squared maximum mean discrepancies.

    Computed as the kernel Inception distance, with the kernel (x·y / features + 1)³, in float64.
    Each subset is drawn without replacement. Unlike the Fréchet distance it is unbiased: between
    samples of the same distribution its expectation is 0, whatever their size, and it may be below.

    Args:
        one: `(examples, features)`, at least 2 examples.
        other: the same of other examples, whose number may be another.
        subsets: number of subsets.
        subset_size: examples in each, of either array; all of them where there are fewer.
        seed: of the subsets.

    Returns:
        Mean and standard deviation over the subsets; it is 0 where each holds all examples.

    Raises:
        InputError: no two arrays of the same features, too few examples, or NaN; no subsets, or
            subsets of fewer than 2.

    References:
        *Demystifying MMD GANs*, Bińkowski et al. 2018, https://arxiv.org/abs/1801.01401, section 4.

    Example:
        >>> import numpy as np
        >>> from recipes.distances import kernel_distance
        >>> points = np.random.default_rng(0).normal(size=(400, 8))
        >>> alike, _ = kernel_distance(points[:200], points[200:])
        >>> apart, _ = kernel_distance(points[:200], points[200:] + 1)
        >>> abs(alike) < 0.1 < 1 < apart
        True
    """
    one, other = _checked(one, other)
    if subsets < 1 or subset_size < 2:
        raise InputError(
            f"the subsets must be at least 1, of at least 2 examples, not {subsets} of "
            f"{subset_size}."
        )
    if subset_size >= max(len(one), len(other)):
        subsets = 1  # all of them would be the same
    random = np.random.default_rng(seed)
    found = []
    for _ in range(subsets):
        a, b = (
            random.choice(part, min(subset_size, len(part)), replace=False) for part in (one, other)
        )
        found.append(_unbiased_discrepancy(a, b))
    return float(np.mean(found)), float(np.std(found))


def classifier_score(
    probabilities: np.ndarray, splits: int = 10, seed: int = 0
) -> tuple[float, float]:
    """Return how sure and how varied a classifier's answers to generated pictures are.

    The form of the Inception score, exp(mean KL(p(y|x) ‖ p(y))), of any classifier: from 1, where
    all answers are alike, to the number of classes, where each answer is certain and all classes
    come equally often. It knows of no real pictures, and so not whether they look like these.

    Args:
        probabilities: `(examples, classes)`.
        splits: number of parts, drawn by chance, of which each has its own p(y).
        seed: of the parts.

    Returns:
        Mean and standard deviation over the parts.

    Raises:
        InputError: rows that are no probabilities, or fewer of them than splits.

    References:
        *Improved Techniques for Training GANs*, Salimans et al. 2016,
        https://arxiv.org/abs/1606.03498, section 4.

    Example:
        >>> import numpy as np
        >>> from recipes.distances import classifier_score
        >>> score, deviation = classifier_score(np.eye(5), splits=1)
        >>> round(score, 6), deviation
        (5.0, 0.0)
    """
    rows = np.asarray(probabilities, "float64")
    if rows.ndim != 2 or not are_probabilities(rows):
        raise InputError("a classifier's score needs a row of probabilities for each example.")
    if not 1 <= splits <= len(rows):
        raise InputError(f"{len(rows)} examples cannot be divided into {splits} splits.")
    order = np.random.default_rng(seed).permutation(len(rows))
    found = [
        np.exp(rel_entr(part, part.mean(axis=0)).sum(axis=1).mean())
        for part in np.array_split(rows[order], splits)
    ]
    return float(np.mean(found)), float(np.std(found))


def precision_recall(
    real: np.ndarray, generated: np.ndarray, neighbours: int = 3
) -> tuple[float, float]:
    """Return how many generated examples lie among the real ones, and the other way round.

    An example lies among others if it is at least as near to one of them as that one's own
    `neighbours`-th neighbour. A model that makes only a part of what there is has a high precision
    and a low recall; one whose examples are not like real ones, a low precision. An example far
    from all others of its kind reaches far, and may make many of the other kind count:
    look at both figures, and at a distance.

    Args:
        real: features `(examples, features)`, more examples than neighbours.
        generated: the same of generated examples, whose number may be another.
        neighbours: number of neighbours; more of them make both figures higher.

    Returns:
        Precision and recall, in 0…1.

    Raises:
        InputError: no two arrays of the same features, too few examples, or NaN.

    References:
        *Improved Precision and Recall Metric for Assessing Generative Models*, Kynkäänniemi et al.
        2019, https://arxiv.org/abs/1904.06991, section 2.

    Example:
        >>> import numpy as np
        >>> from recipes.distances import precision_recall
        >>> points = np.random.default_rng(0).normal(size=(200, 2))
        >>> inner = points[np.linalg.norm(points, axis=1) < 0.5]
        >>> precision, recall = precision_recall(points, inner)
        >>> precision, recall < 0.5
        (1.0, True)
    """
    real, generated = _checked(real, generated)
    if not 1 <= neighbours < min(len(real), len(generated)):
        raise InputError(
            f"{neighbours} neighbours need more examples than that, and there are {len(real)} and "
            f"{len(generated)}."
        )
    middle = real.mean(axis=0)  # less is lost to rounding around it
    real, generated = real - middle, generated - middle
    rounding = _ROUNDING * max(_lengths(part).max() for part in (real, generated))
    reach, generated_reach = (_reach(part, neighbours) + rounding for part in (real, generated))
    precise, recalled = np.zeros(len(generated), bool), np.zeros(len(real), bool)
    for rows, distances in _squared_distances(real, generated):
        precise |= (distances <= reach[rows, None]).any(axis=0)
        recalled[rows] = (distances <= generated_reach).any(axis=1)
    return float(precise.mean()), float(recalled.mean())


def coverage(classes: np.ndarray, number: int) -> np.ndarray:
    """Return the share of the examples in each class.

    Args:
        classes: int `(examples,)`, numbers of classes.
        number: how many classes there are.

    Returns:
        float64 `(number,)`, together 1.

    Raises:
        InputError: no examples, or a class that there is not.

    Example:
        >>> import numpy as np
        >>> from recipes.distances import coverage
        >>> coverage(np.array([0, 2, 2, 0]), 3).tolist()
        [0.5, 0.0, 0.5]
    """
    classes = np.asarray(classes)
    if classes.ndim != 1 or classes.dtype.kind not in "iu" or not classes.size:
        raise InputError("the numbers of the classes must be integers, at least one, in a row.")
    if classes.min() < 0 or classes.max() >= number:
        raise InputError(f"the classes must be 0 to {number - 1}.")
    return np.bincount(classes, minlength=number) / len(classes)


def _checked(*arrays: np.ndarray) -> list[np.ndarray]:
    """Return arrays of the same features in float64."""
    found = [np.asarray(array, "float64") for array in arrays]
    shapes = [array.shape for array in found]
    if any(len(shape) != 2 or shape[1:] != shapes[0][1:] for shape in shapes):
        words = " and ".join(map(str, shapes))
        raise InputError(f"features must be (examples, features), the same ones, not {words}.")
    if min(shapes)[0] < 2:
        raise InputError("there must be at least 2 examples of each kind.")
    if not all(np.isfinite(array).all() for array in found):
        raise InputError("the features hold NaN or infinite numbers.")
    return found


def _covariance(features: np.ndarray) -> np.ndarray:
    return np.atleast_2d(np.cov(features, rowvar=False))  # of one feature, numpy gives a number


def _unbiased_discrepancy(one: np.ndarray, other: np.ndarray) -> float:
    """Return the mean kernel within each array, without its diagonal, less twice that between."""
    m, n = len(one), len(other)
    # One product of all with all, which is symmetric, takes BLAS as long as three of the parts.
    both = np.concatenate([one, other]) / np.sqrt(one.shape[1])
    kernel = both @ both.T
    kernel += 1
    kernel *= kernel * kernel
    np.fill_diagonal(kernel, 0)
    within = kernel[:m, :m].sum() / (m * (m - 1)) + kernel[m:, m:].sum() / (n * (n - 1))
    return float(within - 2 * kernel[:m, m:].mean())


def _lengths(features: np.ndarray) -> np.ndarray:
    """Return the squared lengths of rows."""
    return np.einsum("ij,ij->i", features, features)


def _squared_distances(one: np.ndarray, other: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Return slices of the rows of `one`, and their squared distances from all rows of `other`."""
    lengths, other_lengths = _lengths(one), _lengths(other)
    size = max(1, _BLOCK // len(other))
    for start in range(0, len(one), size):
        rows = slice(start, start + size)
        distances = -2 * one[rows] @ other.T
        distances += lengths[rows, None]
        distances += other_lengths
        yield rows, distances


def _reach(features: np.ndarray, neighbours: int) -> np.ndarray:
    """Return how far the neighbour of that number is from each row, squared."""
    found = np.empty(len(features))
    for rows, distances in _squared_distances(features, features):
        # It comes first itself, whatever rounding makes of the distance, and whatever is like it.
        np.fill_diagonal(distances[:, rows], -np.inf)
        distances.partition(neighbours, axis=1)
        found[rows] = distances[:, neighbours]
    return found


def are_probabilities(rows: np.ndarray) -> bool:
    """Return whether rows are probabilities of classes."""
    return bool(rows.size and rows.min() >= 0 and np.abs(rows.sum(axis=-1) - 1).max() < 1e-2)
