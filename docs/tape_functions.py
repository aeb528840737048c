"""Keras' activations and losses in the operations of `docs/tape.py`, as their papers define them.

An activation takes a list of numbers and returns one. A loss takes targets and predictions as lists
of rows, and returns a number for each row, or one number in all. They are written to be compared
with Keras, and without regard for speed or for large arguments.
"""

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from tape import erf, exp, log, plain, tanh

Row = list[Any]
Rows = Sequence[Sequence[Any]]
SELU = 1.6732632423543772, 1.0507009873554805  # alpha and scale, Klambauer et al. 2017
EPSILON = 1e-7  # of `keras.config.epsilon`


def clip(x: Any, low: float, high: float) -> Any:
    """Return x, or the bound that it is beyond of."""
    return min(max(x, low), high)


def sigmoid(x: Any) -> Any:
    """Return 1 / (1 + e⁻ˣ)."""
    return 1 / (1 + exp(-x))


def softplus(x: Any) -> Any:
    """Return log(1 + eˣ)."""
    return log(1 + exp(x))


def softmax(row: Row) -> Row:
    """Return positive numbers that sum to one."""
    powers = [exp(x) for x in row]
    return [power / sum(powers) for power in powers]


def sparsemax(row: Row) -> Row:
    """Return the nearest point of the simplex (Martins & Astudillo 2016, algorithm 1)."""
    ordered = sorted(row, key=number, reverse=True)
    sums = list(accumulate(ordered))
    size = max(k for k, x in enumerate(ordered, 1) if number(1 + k * x - sums[k - 1]) > 0)
    return [max(x - (sums[size - 1] - 1) / size, 0.0) for x in row]


def number(x: Any) -> float:
    """Return the float within, of a value of dual numbers too."""
    while plain(x) is not x:
        x = plain(x)
    return float(x)


def glu(row: Row) -> Row:
    """Return the first half, gated by the second (Dauphin et al. 2017)."""
    half = len(row) // 2
    return [x * sigmoid(gate) for x, gate in zip(row[:half], row[half:], strict=True)]


def threshold(x: Any, bound: float, otherwise: float) -> Any:
    """Return x above the bound, else the other number."""
    return x if x > bound else otherwise


def gelu(x: Any) -> Any:
    """Return x times the normal distribution's share below it (Hendrycks & Gimpel 2016)."""
    return x * (1 + erf(x / math.sqrt(2))) / 2


def elu(x: Any) -> Any:
    """Return x, or eˣ - 1 below 0 (Clevert et al. 2016)."""
    return x if x > 0 else exp(x) - 1


def sparse_plus(x: Any) -> Any:
    """Return 0, then a parabola, then x."""
    return 0.0 if x < -1 else (x + 1) ** 2 / 4 if x < 1 else x


def shrink(x: Any, by: float) -> Any:
    """Return what is left of x when its size is at most `by` smaller."""
    return x - by if x > 0.5 else x + by if x < -0.5 else 0.0


def hard_sigmoid(x: Any) -> Any:
    """Return (x + 3) / 6, within 0 and 1."""
    return clip(x + 3, 0.0, 6.0) / 6


EACH: dict[str, Callable[..., Any]] = {  # of one number
    "celu": elu,  # with its alpha of 1
    "elu": elu,
    "exponential": exp,
    "gelu": gelu,
    "hard_shrink": lambda x: shrink(x, 0.0),
    "hard_sigmoid": hard_sigmoid,
    "hard_silu": lambda x: x * hard_sigmoid(x),
    "hard_tanh": lambda x: clip(x, -1.0, 1.0),
    "leaky_relu": lambda x: max(x, 0.2 * x),
    "linear": lambda x: x,
    "log_sigmoid": lambda x: log(sigmoid(x)),
    "mish": lambda x: x * tanh(softplus(x)),
    "relu": lambda x: max(x, 0.0),
    "relu6": lambda x: clip(x, 0.0, 6.0),
    "selu": lambda x: SELU[1] * (x if x > 0 else SELU[0] * (exp(x) - 1)),
    "sigmoid": sigmoid,
    "silu": lambda x: x * sigmoid(x),
    "soft_shrink": lambda x: shrink(x, 0.5),
    "softplus": softplus,
    "softsign": lambda x: x / (1 + abs(x)),
    "sparse_plus": sparse_plus,
    "sparse_sigmoid": lambda x: clip((x + 1) / 2, 0.0, 1.0),
    "squareplus": lambda x: (x + (x * x + 4) ** 0.5) / 2,
    "tanh": tanh,
    "tanh_shrink": lambda x: x - tanh(x),
    "threshold": threshold,
}
ACTIVATIONS: dict[str, Callable[..., Row]] = {
    "glu": glu,
    "log_softmax": lambda row: [log(p) for p in softmax(row)],
    "softmax": softmax,
    "sparsemax": sparsemax,
    **{
        name: lambda row, *options, of=of: [of(x, *options) for x in row]
        for name, of in EACH.items()
    },
}
ACTIVATIONS |= {
    other: ACTIVATIONS[name] for other, name in (("swish", "silu"), ("hard_swish", "hard_silu"))
}


def mean(numbers: Sequence[Any]) -> Any:
    """Return the mean."""
    return sum(numbers) / len(numbers)


def each(of: Callable[[Any, Any], Any]) -> Callable[[Rows, Rows], Row]:
    """Return a loss: the mean of each row's terms."""
    return lambda targets, outputs: [
        mean(list(map(of, *pair))) for pair in zip(targets, outputs, strict=True)
    ]


def whole(of: Callable[[Sequence[Any], Row], Any]) -> Callable[[Any, Rows], Row]:
    """Return a loss: a function of each row's target and outputs."""
    return lambda targets, outputs: [of(t, list(y)) for t, y in zip(targets, outputs, strict=True)]


def dot(one: Sequence[Any], other: Sequence[Any]) -> Any:
    """Return the sum of products."""
    return sum(a * b for a, b in zip(one, other, strict=True))


def shares(row: Row) -> Row:
    """Return the row divided by its sum."""
    return [y / sum(row) for y in row]


def binary(t: float, y: Any) -> Any:
    """Return the cross-entropy of one probability."""
    return -(t * log(y) + (1 - t) * log(1 - y))


def cross_entropy(target: Sequence[float], row: Row) -> Any:
    """Return the cross-entropy of probabilities."""
    return -dot(target, [log(p) for p in shares(row)])


def focal(target: Sequence[float], row: Row) -> Any:
    """Return the cross-entropy, less of what is nearly right (Lin et al. 2017)."""
    return -sum(t * 0.25 * (1 - p) ** 2 * log(p) for t, p in zip(target, shares(row), strict=True))


def binary_focal(t: float, y: Any) -> Any:
    """Return the same of one probability."""
    return (1 - t * y - (1 - t) * (1 - y)) ** 2 * binary(t, y)


def cosine(target: Sequence[float], row: Row) -> Any:
    """Return the negative cosine of the angle between them."""
    return -dot(target, row) / math.sqrt(dot(target, target)) / dot(row, row) ** 0.5


def categorical_hinge(target: Sequence[float], row: Row) -> Any:
    """Return by how much another class comes within 1 of the right one (Crammer & Singer 2001)."""
    others = [(1 - t) * y for t, y in zip(target, row, strict=True)]
    return max(1 + max(others) - dot(target, row), 0.0)


def tversky(targets: Rows, outputs: Rows) -> Any:
    """Return 1 - the overlap of all outputs with all targets (Salehi et al. 2017)."""
    target, output = [t for row in targets for t in row], [y for row in outputs for y in row]
    common = dot(target, output)
    missed = dot(target, [1 - y for y in output])
    false = dot([1 - t for t in target], output)
    return 1 - common / (common + missed / 2 + false / 2 + EPSILON)


def dice(targets: Rows, outputs: Rows) -> Any:
    """Return 1 - Dice's coefficient, in the same way (Milletari et al. 2016)."""
    target, output = [t for row in targets for t in row], [y for row in outputs for y in row]
    return 1 - 2 * dot(target, output) / (sum(target) + sum(output) + EPSILON)


def circle(labels: Sequence[int], rows: Rows) -> Row:
    """Return each embedding's loss against all others (Sun et al. 2020, equation 6)."""
    losses = []
    for i, row in enumerate(rows):
        near, far = [], []
        for j, other in enumerate(rows):
            distance = max(1 - dot(row, other), 0.0)
            if labels[i] != labels[j]:
                far.append(exp(80 * max(1.4 - distance, 0.0) * (0.6 - distance)))
            elif i != j:
                near.append(exp(-80 * (0.4 + distance) * (0.4 - distance)))
        losses.append(log(1 + sum(near) * sum(far)))
    return losses


def ctc(labels: Sequence[int], rows: Rows) -> Any:
    """Return -log of the probability of all paths that spell the labels (Graves et al. 2006).

    0 is the blank, and pads the labels.
    """
    spelled = [0, *(step for label in labels if label for step in (label, 0))]
    paths: Row = [1.0] + [0.0] * (len(spelled) - 1)  # that end at each place, before the first row
    for row in rows:
        chances = softmax(list(row))
        before, paths = paths, []
        for place, label in enumerate(spelled):
            skips = place > 1 and label not in (0, spelled[place - 2])  # over a blank
            first = max(place - 1 - skips, 0)
            paths.append(sum(before[first : place + 1]) * chances[label])
    return -log(sum(paths[-2:]))


LOSSES: dict[str, Callable[..., Any]] = {
    "binary_crossentropy": each(binary),
    "binary_focal_crossentropy": each(binary_focal),
    "categorical_crossentropy": whole(cross_entropy),
    "categorical_focal_crossentropy": whole(focal),
    "categorical_generalized_cross_entropy": whole(
        lambda label, row: (1 - row[label] ** 0.7) / 0.7  # Zhang & Sabuncu 2018, with their q
    ),
    "categorical_hinge": whole(categorical_hinge),
    "circle": circle,
    "cosine_similarity": whole(cosine),
    "ctc": whole(ctc),
    "dice": dice,
    "hinge": each(lambda t, y: max(1 - t * y, 0.0)),
    "huber": each(lambda t, y: (y - t) ** 2 / 2 if abs(y - t) < 1 else abs(y - t) - 0.5),
    "kl_divergence": whole(
        lambda target, row: sum(
            max(t, EPSILON) * log(max(t, EPSILON) / y) for t, y in zip(target, row, strict=True)
        )
    ),
    "log_cosh": each(lambda t, y: log((exp(y - t) + exp(t - y)) / 2)),
    "mean_absolute_error": each(lambda t, y: abs(y - t)),
    "mean_absolute_percentage_error": each(lambda t, y: 100 * abs(y - t) / abs(t)),
    "mean_squared_error": each(lambda t, y: (y - t) ** 2),
    "mean_squared_logarithmic_error": each(lambda t, y: (log(1 + y) - log(1 + t)) ** 2),
    "poisson": each(lambda t, y: y - t * log(y + EPSILON)),
    "sparse_categorical_crossentropy": whole(lambda label, row: -log(shares(row)[label])),
    "squared_hinge": each(lambda t, y: max(1 - t * y, 0.0) ** 2),
    "tversky": tversky,
}
OF_LOGITS: dict[str, Callable[..., Any]] = {  # with `from_logits=True`
    "binary_crossentropy": each(lambda t, y: softplus(y) - t * y),
    "binary_focal_crossentropy": each(lambda t, y: binary_focal(t, sigmoid(y))),
    "categorical_crossentropy": whole(lambda t, row: cross_entropy(t, softmax(row))),
    "categorical_focal_crossentropy": whole(lambda t, row: focal(t, softmax(row))),
    "sparse_categorical_crossentropy": whole(lambda label, row: -log(softmax(row)[label])),
}


def against(
    of_real: Callable[[Any], Any], of_made: Callable[[Any], Any]
) -> Callable[[Row, Row], Any]:
    """Return a critic's loss: the sum of two means over its logits."""
    return lambda real, made: mean([of_real(x) for x in real]) + mean([of_made(x) for x in made])


def raised(of: Callable[[Any], Any]) -> Callable[[Row], Any]:
    """Return a generator's loss: a mean over the critic's logits."""
    return lambda made: mean([of(x) for x in made])


SMOOTHING = 0.1  # of the targets of real examples
_told_apart = against(lambda x: softplus(-x) + SMOOTHING * x, softplus)
ADVERSARIES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "minimax": (_told_apart, raised(lambda x: -softplus(x))),
    "non_saturating": (_told_apart, raised(lambda x: softplus(-x))),
    "least_squares": (
        against(lambda x: (x - 1 + SMOOTHING) ** 2 / 2, lambda x: x**2 / 2),
        raised(lambda x: (x - 1) ** 2 / 2),
    ),
    "hinge": (
        against(lambda x: max(1 - x, 0.0), lambda x: max(1 + x, 0.0)),
        raised(lambda x: -x),
    ),
    "wasserstein": (against(lambda x: -x, lambda x: x), raised(lambda x: -x)),
}
