"""Scores of generated pictures, against closed forms, plain loops, and pictures of known kinds."""

from collections.abc import Callable

import keras
import msgspec
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from keras import layers

import zoo
from recipes import Splits, load_data
from recipes.distances import (
    classifier_score,
    coverage,
    frechet_distance,
    kernel_distance,
    precision_recall,
)
from recipes.scores import Scores, score
from zoo.errors import InputError

few = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def noise(examples: int = 20, shape: tuple[int, ...] = (28, 28, 1), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (examples, *shape), "uint8")


def classifier(
    shape: tuple[int | None, ...] = (8, 8, 3),
    width: int = 5,
    classes: int = 4,
    name: str = "small",
    pooled: str = "pooled",
) -> keras.Model:
    """Return a small network whose features are the means of maps."""
    keras.utils.set_random_seed(0)
    image = keras.Input(shape, dtype="uint8", name="image")
    x = layers.Rescaling(1 / 255)(image)
    x = layers.Conv2D(width, 3, activation="relu")(x)
    x = layers.GlobalAveragePooling2D(name=pooled)(x)
    x = layers.Dropout(0.5)(x)
    return keras.Model(image, layers.Dense(classes, activation="softmax")(x), name=name)


def answers_of(model: keras.Model, pictures: np.ndarray) -> np.ndarray:
    return np.asarray(model(pictures, training=False))


def test_the_scores_of_mnist(needs: Callable[[str], None]):
    needs("mnist")
    test = load_data("mnist").test
    order = np.random.default_rng(0).permutation(len(test))[:1600]
    pictures, digits = test.inputs[order], test.targets[order]
    real, others = pictures[:800], pictures[800:]
    alike, random = score(real, others), score(real, noise(400))
    half = score(real, others[digits[800:] < 5])
    assert alike.distance < alike.floor
    assert alike.distance < half.distance / 5 < random.distance / 10
    assert abs(alike.kernel) < half.kernel / 10 < random.kernel / 10
    assert abs(alike.kernel_floor) < half.kernel / 10
    assert min(alike.precision, alike.recall, half.precision) > 0.8
    assert half.recall < 0.7
    assert random.recall < 0.1
    assert random.classifier < half.classifier < alike.classifier < 10
    assert max(alike.shares) < 0.15
    assert sum(half.shares[:5]) > 0.95
    assert (alike.name, alike.features) == ("feature distance", "lenet5-mnist")
    assert (alike.examples, random.examples, random.real_examples) == (800, 400, 800)
    assert (alike.resize, alike.real_split, alike.seed) == ("none", "test", 0)


def test_scores_are_the_figures_of_the_features_and_the_answers(lenet: keras.Model):
    real, generated = noise(100), noise(90, seed=1) // 2
    found = score(real, generated, floor=noise(80, seed=2), seed=3, real_split="validation")
    hidden = zoo.load("lenet5-mnist", include_top=False)
    one, two, third = (answers_of(hidden, part) for part in (real, generated, noise(80, seed=2)))
    assert one.shape == (100, 84)
    answers = answers_of(lenet, generated)
    shares = coverage(answers.argmax(axis=-1), 10)
    close = {"rel": 1e-4, "abs": 1e-6}
    assert found.distance == pytest.approx(frechet_distance(one, two), **close)
    assert found.floor == pytest.approx(frechet_distance(one, third), **close)
    measured = (found.kernel, found.kernel_deviation)
    assert measured == pytest.approx(kernel_distance(one, two, seed=3), **close)
    assert found.kernel_floor == pytest.approx(kernel_distance(one, third, seed=3)[0], **close)
    measured = (found.classifier, found.classifier_deviation)
    assert measured == pytest.approx(classifier_score(answers, seed=3), **close)
    measured = (found.precision, found.recall)
    assert measured == pytest.approx(precision_recall(one, two), abs=0.01)
    assert found.shares == pytest.approx(shares.tolist(), abs=0.01)
    assert (found.real_split, found.seed) == ("validation", 3)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Scores) == found


@pytest.mark.parametrize("name", ["pooled", "means"])
def test_features_are_the_pooled_ones_or_what_goes_into_the_head(name: str):
    model = classifier(pooled=name)
    real, generated = noise(60, (8, 8, 3)), noise(50, (8, 8, 3), seed=1) // 2
    hidden = keras.Model(model.input, model.get_layer(name).output)
    expected = frechet_distance(answers_of(hidden, real), answers_of(hidden, generated))
    found = score(real, generated, model)
    assert found.distance == pytest.approx(expected, rel=1e-3)
    assert found.features == "small"
    assert len(found.shares) == 4


def test_a_head_of_several_layers_is_left_out_as_a_whole():
    real, generated = noise(100), noise(100, seed=1) // 2
    model = zoo.build("lenet5_1998")  # its answers are a softmax of distances, with a sign
    hidden = keras.Model(model.input, model.get_layer("f6").output)
    expected = frechet_distance(answers_of(hidden, real), answers_of(hidden, generated))
    assert score(real, generated, model).distance == pytest.approx(expected, rel=1e-3)


def test_a_sequential_model_is_read_too():
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(3), layers.Softmax()], name="flat"
    )
    pictures = noise(40, (8, 8, 1))
    found = score(pictures[:20], pictures[20:], model)
    flat = pictures.reshape(40, -1)
    assert found.distance == pytest.approx(frechet_distance(flat[:20], flat[20:]), rel=1e-3)


def test_pictures_of_another_size_are_resized(digits: Splits):
    pictures = digits.test.inputs[:200]
    found = score(pictures[:100], pictures[100:])
    assert found.resize == "antialiased bilinear to 28×28"
    # Enlarged by whole pixels, they come back to what they were.
    model = classifier((8, 8, 1))
    large = pictures.repeat(3, axis=1).repeat(3, axis=2)
    near = score(large[:100], large[100:], model)
    plain = score(pictures[:100], pictures[100:], model)
    assert (near.resize, plain.resize) == ("antialiased bilinear to 8×8", "none")
    assert near.distance == pytest.approx(plain.distance, rel=0.5)


def test_a_network_for_any_size_resizes_nothing():
    pictures = noise(20, (9, 11, 3))
    assert score(pictures[:10], pictures[10:], classifier((None, None, 3))).resize == "none"


def test_grey_and_coloured_pictures_come_to_the_channels_of_the_network():
    grey = noise(40, (8, 8, 1)) // np.uint8(2)
    coloured = grey.repeat(3, axis=-1)
    one = score(coloured[:20], coloured[20:], classifier())
    other = score(grey[:20], grey[20:], classifier())
    assert (one.resize, other.resize) == ("none", "grey to three channels")
    assert msgspec.structs.replace(other, resize="none") == one
    one = score(grey[:20], grey[20:], classifier((8, 8, 1)))
    other = score(coloured[:20], coloured[20:], classifier((8, 8, 1)))
    assert (one.resize, other.resize) == ("none", "three channels to luma")
    assert msgspec.structs.replace(other, resize="none") == one
    both = score(grey[:20], grey[20:], classifier((6, 7, 3)))
    assert both.resize == "grey to three channels, antialiased bilinear to 6×7"


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_pictures_in_floats_are_rounded_to_grey_levels(dtype: str):
    pictures = noise(40, (8, 8, 3))
    as_floats = (pictures / 255).astype(dtype)
    model = classifier()
    expected = score(pictures[:20], pictures[20:], model)
    assert score(pictures[:20], as_floats[20:], model) == expected
    assert score(as_floats[:20], as_floats[20:], model) == expected


def test_the_seed_decides_what_is_drawn():
    pictures, model = noise(60, (8, 8, 3)), classifier()
    one, again, other = (score(pictures[:30], pictures[30:], model, seed=s) for s in (0, 0, 1))
    assert one == again
    assert one.distance == pytest.approx(other.distance)
    assert one.floor != other.floor


def test_only_the_features_of_inception_v3_make_an_fid(monkeypatch: pytest.MonkeyPatch):
    model, pictures = classifier(name="inception_v3-imagenet"), noise(8, (8, 8, 3))
    assert score(pictures[:4], pictures[4:], model).name == "feature distance"  # of any weights
    monkeypatch.setattr("recipes.scores.load", lambda name: model)
    for name, expected in (
        ("inception_v3-imagenet", "FID"),
        ("resnet50-imagenet", "feature distance"),
    ):
        found = score(pictures[:4], pictures[4:], name)
        assert (found.name, found.features) == (expected, name)


def test_a_few_pictures_are_enough_for_figures():
    pictures = noise(8, (8, 8, 3))
    found = score(pictures[:2], pictures[2:4], classifier(), floor=pictures[4:])
    assert np.isfinite([found.distance, found.floor, found.kernel, found.classifier]).all()
    assert found.examples == found.real_examples == 2


def test_a_run_is_read_by_its_path(digits_run, digits: Splits):
    pictures = digits.test.inputs[:100]
    found = score(pictures[:50], pictures[50:], digits_run.path)
    assert (found.features, found.resize, len(found.shares)) == ("digits", "none", 10)


FLOATS = noise(6) / 255


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        (noise(1), "at least 2 generated pictures, not 1"),
        (noise(6)[..., 0], r"generated.*channels\), not \(6, 28, 28\)"),
        (noise(6, (28, 28, 2)), "generated.*1 or 3 channels"),
        ([noise(1)[0], noise(1, (8, 8, 1))[0]], "generated pictures are of several shapes"),
        (noise(6, (8, 8, 1)), r"several shapes: \(8, 8, 1\), \(28, 28, 1\)"),
        (np.where(FLOATS > 0.999, np.nan, FLOATS), "NaN"),
        (FLOATS * 1.01, "0…1, and reach from 0 to 1.01"),
        (FLOATS - 0.5, "0…1, and reach from -0.5"),
        (np.where(FLOATS > 0.999, np.inf, FLOATS), "0…1, and reach from 0 to inf"),
        (noise(6).astype("int64"), "uint8 or floats, not int64"),
    ],
)
def test_wrong_pictures_are_refused(pictures: np.ndarray, message: str):
    with pytest.raises(InputError, match=message):
        score(noise(6), pictures, classifier())


def test_too_few_real_pictures_are_refused():
    with pytest.raises(InputError, match="at least 2 real pictures, not 1"):
        score(noise(1), noise(6), classifier())
    with pytest.raises(InputError, match="3 real pictures cannot be halved"):
        score(noise(3), noise(6), classifier())
    with pytest.raises(InputError, match="at least 2 other real pictures, not 1"):
        score(noise(3), noise(6), classifier(), floor=noise(1))


class Subclassed(keras.Model):
    """Classes that no graph leads to."""


def maps_to_classes() -> keras.Model:
    image = keras.Input((8, 8, 1))
    maps = layers.Conv2D(3, 3)(image)
    return keras.Model(image, layers.Softmax()(layers.GlobalAveragePooling2D()(maps)))


def with_two_heads() -> keras.Model:
    model = classifier()
    return keras.Model(model.input, [model.output, model.layers[-2].output])


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda: "lenet6-mnist", "lenet5-mnist"),
        (lambda: "autoencoder-mnist", "reconstruction"),
        (lambda: "lstm-polarity", "no classifier of pictures"),
        (lambda: zoo.build("lenet5", include_top=False), "no probabilities"),
        (lambda: zoo.build("linear", input_shape=(8, 8, 1)), "no classifier"),
        (with_two_heads, "no classifier of pictures"),
        (maps_to_classes, "no row of features"),
        (Subclassed, "subclassed"),
    ],
)
def test_what_is_no_classifier_of_pictures_is_refused(
    network: Callable[[], str | keras.Model], message: str
):
    with pytest.raises(InputError, match=message):
        score(noise(6), noise(6), network())
