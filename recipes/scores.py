"""How near the pictures of a generative model come to real ones, and how varied they are.

Every figure is computed in the features of a named network, and means nothing without that name,
the numbers of pictures, and what real pictures get against other real ones.
"""

import os
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf
from scipy.special import rel_entr

from recipes.data.enhancements import grey
from recipes.evaluation import batch_of
from zoo import cards, surgery
from zoo.cards import Frozen
from zoo.errors import InputError
from zoo.models import load

# uint8 pictures -> their features and the probabilities of its classes.
_Reader = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

_FID = ("inception_v3", 2048, 1000)  # name, features and classes of the one network of that name
_NEIGHBOURS, _SPLITS = 3, 10
_BLOCK = 1 << 22  # distances at a time: 32 MB
_ROUNDING = 1e-12  # of squared distances in float64, as a share of the largest squared length


class Scores(Frozen, frozen=True):
    """Figures of generated pictures, and all that they depend on.

    Attributes:
        name: "FID" in the 2,048 features of an Inception-v3 with the classes of ImageNet, else
            "feature distance". Only the paper's own weights and resizing give the paper's numbers.
        features: name of the network whose features are compared.
        distance: `frechet_distance` of the generated pictures from the real ones.
        floor: the same of real pictures from real ones; see `score` for their numbers.
        kernel: `kernel_distance`, its mean over the subsets.
        kernel_deviation: its standard deviation over them.
        kernel_floor: the mean of real pictures from real ones.
        classifier: `classifier_score` of the generated pictures, its mean over the splits.
        classifier_deviation: its standard deviation over them.
        precision: share of the generated pictures that lie among the real ones, in 0…1.
        recall: share of the real pictures that lie among the generated ones, in 0…1.
        examples: number of generated pictures.
        real_examples: number of real pictures.
        real_split: the split that the real ones are of.
        seed: of all that was drawn.
        resize: in words, what happened to the pictures before the network: "none", or for example
            "antialiased bilinear to 32×32".
        shares: of the generated pictures, the share in each class that the network answers with.
    """

    name: str
    features: str
    distance: float
    floor: float
    kernel: float
    kernel_deviation: float
    kernel_floor: float
    classifier: float
    classifier_deviation: float
    precision: float
    recall: float
    examples: int
    real_examples: int
    real_split: str
    seed: int
    resize: str
    shares: list[float] = []


def score(
    real: np.ndarray,
    generated: np.ndarray,
    network: "str | os.PathLike[str] | keras.Model" = "lenet5-mnist",
    *,
    real_split: str = "test",
    floor: np.ndarray | None = None,
    seed: int = 0,
) -> Scores:
    """Score generated pictures against real ones.

    The features are what the network's layer "pooled" gives, if it has one, and otherwise what goes
    into its head. With fewer pictures than features a covariance is singular: then, and less so
    with few pictures altogether, `distance` is biased upwards; compare it with `floor`, and only
    with figures of as many pictures.

    Args:
        real: uint8 `(examples, height, width, channels)`, or floats in 0…1, which are rounded to
            256 grey levels.
        generated: the same, of a generative model.
        network: a classifier of pictures: name of a pretrained model, path of a run, or a
            functional `keras.Model` that reads grey levels in 0…255. Pictures of another size are
            brought to its own (bilinear, antialiased, not rounded); three channels become one by
            their luma, one becomes three alike.
        real_split: which split the real pictures are of; it is only noted.
        floor: other real pictures, to compare `real` with. By default the real ones are divided by
            chance into halves, each of which has half as many: by its bias, such a `floor` lies
            above what as many pictures as in `distance` would get.
        seed: of the halves, the subsets and the splits.

    Returns:
        `Scores`; with fewer than 10 generated pictures from fewer splits, and with fewer than 4 of
        any from fewer neighbours than 3.

    Raises:
        InputError: too few pictures, of several shapes or another number of channels than 1 or 3,
            neither uint8 nor floats in 0…1, or NaN; an unknown network, or one that is no
            classifier of pictures.

    Example:
        >>> import numpy as np
        >>> from recipes.scores import score
        >>> noise = np.random.default_rng(0).integers(0, 256, (200, 28, 28, 1), "uint8")
        >>> found = score(noise[:100], noise[100:])
        >>> found.name, found.examples, len(found.shares), found.distance < 3 * found.floor
        ('feature distance', 100, 10, True)
    """
    real = _pictures(real, "real")
    generated = _pictures(generated, "generated")
    others = _pictures(real if floor is None else floor, "other real")
    shapes = {part.shape[1:] for part in (real, generated, others)}
    if len(shapes) > 1:
        raise InputError(
            f"the pictures have several shapes: {', '.join(map(str, sorted(shapes)))}."
        )
    if floor is None and len(real) < 4:
        raise InputError(f"{len(real)} real pictures cannot be halved: give 4 or more, or a floor.")
    model, name = _classifier(network)
    read, resize = _reader(model, real.shape[1:])
    one, _ = read(real)
    two, probabilities = read(generated)
    if floor is None:
        first, second = np.array_split(one[np.random.default_rng(seed).permutation(len(one))], 2)
    else:
        first, second = one, read(others)[0]
    kernel, kernel_deviation = kernel_distance(one, two, seed=seed)
    classifier, classifier_deviation = classifier_score(
        probabilities, min(_SPLITS, len(two)), seed=seed
    )
    precision, recall = precision_recall(one, two, min(_NEIGHBOURS, len(one) - 1, len(two) - 1))
    kind = (model.name, one.shape[1], probabilities.shape[1])
    return Scores(
        name="FID" if kind == _FID else "feature distance",
        features=name,
        distance=frechet_distance(one, two),
        floor=frechet_distance(first, second),
        kernel=kernel,
        kernel_deviation=kernel_deviation,
        kernel_floor=kernel_distance(first, second, seed=seed)[0],
        classifier=classifier,
        classifier_deviation=classifier_deviation,
        precision=precision,
        recall=recall,
        shares=coverage(probabilities.argmax(axis=-1), probabilities.shape[1]).tolist(),
        examples=len(two),
        real_examples=len(one),
        real_split=real_split,
        seed=seed,
        resize=resize,
    )


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
        >>> from recipes.scores import frechet_distance
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
        >>> from recipes.scores import gaussian_distance
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
        >>> from recipes.scores import kernel_distance
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
        >>> from recipes.scores import classifier_score
        >>> score, deviation = classifier_score(np.eye(5), splits=1)
        >>> round(score, 6), deviation
        (5.0, 0.0)
    """
    rows = np.asarray(probabilities, "float64")
    if rows.ndim != 2 or not _are_probabilities(rows):
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
        >>> from recipes.scores import precision_recall
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
        >>> from recipes.scores import coverage
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


def _are_probabilities(rows: np.ndarray) -> bool:
    return bool(rows.size and rows.min() >= 0 and np.abs(rows.sum(axis=-1) - 1).max() < 1e-2)


def _pictures(pictures: np.ndarray, which: str) -> np.ndarray:
    """Return pictures as uint8, if they can be scored.

    Args:
        pictures: what the user gave.
        which: for the messages.
    """
    try:
        pictures = np.asarray(pictures)
    except ValueError:
        raise InputError(f"the {which} pictures are of several shapes.") from None
    if pictures.ndim != 4 or pictures.shape[3] not in (1, 3):
        raise InputError(
            f"the {which} pictures must be (examples, height, width, 1 or 3 channels), not "
            f"{pictures.shape}."
        )
    if len(pictures) < 2:
        raise InputError(f"there must be at least 2 {which} pictures, not {len(pictures)}.")
    if pictures.dtype == np.uint8:
        return pictures
    if pictures.dtype.kind != "f":
        raise InputError(f"the {which} pictures must be uint8 or floats, not {pictures.dtype}.")
    least, greatest = pictures.min(), pictures.max()
    if np.isnan(least):
        raise InputError(f"the {which} pictures hold NaN.")
    if least < 0 or greatest > 1:
        raise InputError(
            f"the {which} pictures, as floats, must be in 0…1, and reach from {least:g} to "
            f"{greatest:g}."
        )
    return np.rint(255 * pictures).astype("uint8")


def _classifier(network: "str | os.PathLike[str] | keras.Model") -> tuple[keras.Model, str]:
    """Return a classifier of pictures as a functional model, and its name."""
    if isinstance(network, keras.Model):
        model, name = surgery.functional(network), network.name
    else:
        card = cards.card(os.fspath(network))
        if card.task != "classification":
            raise InputError(f"{card.name!r} is for {card.task}: it is no classifier.")
        model, name = load(network), card.name
    inputs, outputs = ([tuple(x.shape[1:]) for x in side] for side in (model.inputs, model.outputs))
    reads = len(inputs) == 1 and len(inputs[0]) == 3 and inputs[0][2] in (1, 3)
    if not reads or len(outputs) != 1 or len(outputs[0]) != 1 or outputs[0][0] < 2:
        raise InputError(
            f"{name!r} is no classifier of pictures: it goes from {inputs} to {outputs}."
        )
    return model, name


def _reader(model: keras.Model, shape: tuple[int, ...]) -> tuple[_Reader, str]:
    """Return a function of uint8 pictures to features and probabilities, both of one pass.

    Args:
        model: a classifier of pictures.
        shape: of the pictures.

    Returns:
        The function, and in words what it does to pictures before the model sees them.
    """
    # From floats: between the grey levels of a picture that was resized, nothing is rounded away.
    inputs = keras.tree.map_structure(
        lambda x: keras.Input(x.shape[1:], dtype="float32", name=x.name), model.input
    )
    network = surgery.copy(model, input_tensors=inputs)
    network = keras.Model(network.inputs[0], [_features(network), network.outputs[0]])
    *own, channels = network.inputs[0].shape[1:]
    size = tuple(given if side is None else side for side, given in zip(own, shape, strict=False))
    words = []
    if shape[2] != channels:
        words.append("three channels to luma" if channels == 1 else "grey to three channels")
    if size != shape[:2]:
        words.append(f"antialiased bilinear to {size[0]}×{size[1]}")

    def answer(pictures: tf.Tensor) -> list[tf.Tensor]:
        x = tf.cast(pictures, tf.float32)
        if shape[2] != channels:
            x = grey(x) if channels == 1 else tf.repeat(x, 3, axis=-1)
        if size != shape[:2]:
            x = tf.image.resize(x, size, antialias=True)
        return [tf.cast(y, tf.float32) for y in network(x, training=False)]

    compiled = tf.function(answer, [tf.TensorSpec((None, *shape), tf.uint8)], autograph=False)
    at_once = batch_of(np.empty((1, *size, channels), "uint8"))

    def read(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        starts = range(0, len(pictures), at_once)
        parts = [compiled(tf.constant(pictures[start : start + at_once])) for start in starts]
        features, probabilities = (np.concatenate(part) for part in zip(*parts, strict=True))
        if not _are_probabilities(probabilities):
            raise InputError(
                f"{model.name!r} is no classifier: its answers are no probabilities of classes."
            )
        return features, probabilities

    return read, ", ".join(words) or "none"


def _features(model: keras.Model) -> keras.KerasTensor:
    """Return the tensor of a classifier's features: "pooled", or what goes into its head."""
    for layer in model.layers:
        if layer.name == "pooled" and len(layer.output.shape) == 2:
            return layer.output
    made, features = None, model.outputs[0]
    # Back through a softmax and its like, which leave the shape, to what makes the classes.
    while not isinstance(made, keras.layers.Dense) and features.shape == model.outputs[0].shape:
        made, node, _ = features._keras_history
        features = made._inbound_nodes[node].input_tensors[0]
    if len(features.shape) != 2:
        raise InputError(f"{model.name!r} has no row of features before its head.")
    return features
