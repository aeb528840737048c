"""How near the pictures of a generative model come to real ones, and how varied they are.

Every figure is computed in the features of a named network, and means nothing without that name,
the numbers of pictures, and what real pictures get against other real ones.
"""

import os
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from recipes.data.enhancements import grey
from recipes.distances import (
    are_probabilities,
    classifier_score,
    coverage,
    frechet_distance,
    kernel_distance,
    precision_recall,
)
from recipes.evaluation import batch_of
from zoo import cards, surgery
from zoo.cards import Frozen
from zoo.errors import InputError
from zoo.models import load

# uint8 pictures -> their features and the probabilities of its classes.
_Reader = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

_FID = "inception_v3-imagenet"  # the network whose distance has that name
_NEIGHBOURS, _SPLITS = 3, 10


class Scores(Frozen, frozen=True):
    """Figures of generated pictures, and all that they depend on.

    Attributes:
        name: "FID" in the features of "inception_v3-imagenet", called by that name, else "feature
            distance". Its weights are Keras'; only the paper's own, and its resizing, give the
            paper's numbers.
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
    by_name = not isinstance(network, keras.Model)
    return Scores(
        name="FID" if by_name and name == _FID else "feature distance",
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
        if not are_probabilities(probabilities):
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
