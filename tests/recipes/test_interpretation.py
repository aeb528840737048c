"""What the pictures of a model's inside say, on models whose reasons are known."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

import zoo
from recipes import Run, interpretation
from recipes.explanation import explain
from recipes.interpretation import (
    activation_maps,
    activation_maximization,
    first_layer_filters,
    grad_cam,
    occlusion,
    saliency,
    spatial_layers,
)
from zoo.errors import InputError

SIDE, CORNER = 16, 5
STRIPES = np.array([[-1, 2, -1]] * 3, "float32") / 6


@pytest.fixture(scope="module")
def corner_model() -> keras.Model:
    """Answers 1 where the upper left corner is bright, else 0; no other pixel counts."""
    image = keras.Input((SIDE, SIDE, 1), dtype="uint8")
    x = layers.Rescaling(1 / 255)(image)
    x = layers.Conv2D(1, 1, use_bias=False, name="stage1")(x)
    x = layers.Flatten()(x)
    model = keras.Model(image, layers.Dense(2, activation="softmax", name="predictions")(x))
    weights = np.zeros((SIDE, SIDE, 2), "float32")
    weights[:CORNER, :CORNER] = (-0.2, 0.2)
    model.set_weights([np.ones((1, 1, 1, 1)), weights.reshape(-1, 2), np.array([2.5, -2.5])])
    return model


@pytest.fixture(scope="module")
def stripe_model() -> keras.Model:
    """Answers 0 for upright stripes and 1 for level ones, wherever they are."""
    image = keras.Input((SIDE, SIDE, 1), dtype="uint8")
    x = layers.Rescaling(1 / 255)(image)
    x = layers.Conv2D(2, 3, activation="relu", use_bias=False, name="stage1")(x)
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    x = layers.Dense(2, use_bias=False, activation="softmax", name="predictions")(x)
    model = keras.Model(image, x)
    model.set_weights([np.stack([STRIPES, STRIPES.T], -1)[:, :, None], 30 * np.eye(2)])
    return model


@pytest.fixture(scope="module")
def stripes() -> np.ndarray:
    """Upright stripes in the upper left quarter, level ones in the lower right."""
    picture = np.zeros((SIDE, SIDE, 1), "uint8")
    picture[:7, 1:7:2] = 255
    picture[9:16:2, 9:] = 255
    return picture


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    picture = np.random.default_rng(0).integers(0, 80, (SIDE, SIDE, 1), dtype="uint8")
    picture[:CORNER, :CORNER] = 250
    return picture


def share(values: np.ndarray, rows: slice, columns: slice) -> float:
    """Return how much of the positive part of a map lies in a rectangle."""
    values = np.maximum(values, 0)
    return float(values[rows, columns].sum() / values.sum())


def test_saliency_lies_on_the_pixels_that_count(
    corner_model: keras.Model, noise: np.ndarray
) -> None:
    values = saliency(corner_model, noise)
    assert values.shape == (SIDE, SIDE)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values[:CORNER, :CORNER], 1, rtol=1e-5)
    assert not values[CORNER:].any()
    assert not values[:, CORNER:].any()


def test_saliency_survives_a_saturated_softmax(
    corner_model: keras.Model, noise: np.ndarray
) -> None:
    sure = keras.models.clone_model(corner_model)
    sure.set_weights([w * 1000 for w in corner_model.get_weights()])
    assert float(sure(noise[None])[0, 1]) == 1.0
    np.testing.assert_allclose(saliency(sure, noise), saliency(corner_model, noise), rtol=1e-5)


def test_saliency_is_the_gradient_by_finite_differences(lenet: keras.Model) -> None:
    image = np.random.default_rng(0).integers(60, 190, (28, 28, 1), dtype="uint8")
    before_head = keras.Model(lenet.input, lenet.layers[-1].input)
    kernel, bias = lenet.layers[-1].get_weights()
    values = saliency(lenet, image, target=3)
    pixels = np.argsort(-values.ravel())[[0, 5, 20]]
    changes = []
    for pixel in pixels:
        pair = np.stack([image, image]).reshape(2, -1)
        pair[:, pixel] += np.array([1, 255], "uint8")  # one more, one less
        features = before_head(pair.reshape(2, 28, 28, 1)).numpy()
        first, second = features @ kernel[:, 3] + bias[3]
        changes.append(abs(float(first - second)))
    ratio = np.array(changes) / values.ravel()[pixels]
    np.testing.assert_allclose(ratio, ratio[0], rtol=0.1)


def test_occlusion_loses_probability_in_the_corner_alone(
    corner_model: keras.Model, noise: np.ndarray
) -> None:
    lost = occlusion(corner_model, noise, size=3, stride=1)
    assert lost.shape == (SIDE, SIDE)
    assert np.unravel_index(lost.argmax(), lost.shape) < (CORNER, CORNER)
    assert share(lost, slice(CORNER + 2), slice(CORNER + 2)) > 0.999
    other = occlusion(corner_model, noise, target=0, size=3, stride=1)
    np.testing.assert_allclose(other, -lost, atol=1e-6)  # what one class loses, the other wins


@pytest.mark.parametrize(("size", "stride"), [(4, 3), (7, 7), (16, 1), (1, 1)])
def test_occlusion_is_what_hiding_patch_by_patch_gives(
    stripe_model: keras.Model, stripes: np.ndarray, size: int, stride: int
) -> None:
    whole = stripe_model(stripes[None]).numpy()[0, 0]
    total, count = np.zeros((2, SIDE, SIDE))
    places = sorted({*range(0, SIDE - size, stride), SIDE - size})
    for y in places:
        for x in places:
            hidden = stripes.copy()
            hidden[y : y + size, x : x + size] = round(float(stripes.mean()))
            total[y : y + size, x : x + size] += whole - stripe_model(hidden[None]).numpy()[0, 0]
            count[y : y + size, x : x + size] += 1
    lost = occlusion(stripe_model, stripes, 0, size, stride, batch_size=5)
    np.testing.assert_allclose(lost, total / count, atol=1e-5)


def test_grad_cam_points_at_what_speaks_for_the_answer(
    stripe_model: keras.Model, stripes: np.ndarray
) -> None:
    first, second = slice(8), slice(8, None)
    for target, place in ((0, first), (1, second)):
        values = grad_cam(stripe_model, stripes, target)
        assert values.shape == (SIDE, SIDE)
        assert values.min() >= 0
        assert values.max() == 1
        assert share(values, place, place) > 0.9
    assert share(occlusion(stripe_model, stripes, 1, 4, 1), second, second) > 0.9


def test_grad_cam_takes_a_layer_by_name(lenet: keras.Model) -> None:
    image = np.random.default_rng(0).integers(0, 256, (28, 28, 1), dtype="uint8")
    last = grad_cam(lenet, image, 3)
    np.testing.assert_array_equal(grad_cam(lenet, image, 3, "stage2"), last)
    assert not np.array_equal(grad_cam(lenet, image, 3, "stage1"), last)


def test_filters_are_the_kernel_up_to_a_scale(lenet: keras.Model) -> None:
    filters = first_layer_filters(lenet)
    kernel = lenet.get_layer("c1").get_weights()[0]
    assert filters.shape == (6, 5, 5, 1)
    for number in range(6):
        weights = kernel[..., number]
        np.testing.assert_allclose(
            filters[number] - 0.5, weights / (2 * np.abs(weights).max()), atol=1e-6
        )


def test_a_filter_of_zeros_is_grey(corner_model: keras.Model) -> None:
    empty = keras.models.clone_model(corner_model)
    empty.set_weights([w * 0 for w in corner_model.get_weights()])
    np.testing.assert_array_equal(first_layer_filters(empty), np.full((1, 1, 1, 1), 0.5))


def test_maps_are_what_the_stage_gives(stripe_model: keras.Model, stripes: np.ndarray) -> None:
    maps = activation_maps(stripe_model, stripes, "stage1")
    assert maps.shape == (14, 14, 2)
    assert share(maps[..., 0], slice(8), slice(8)) > 0.9
    assert share(maps[..., 1], slice(7, None), slice(7, None)) > 0.9
    pooled = maps.mean(axis=(0, 1)) @ (30 * np.eye(2))
    expected = np.exp(pooled) / np.exp(pooled).sum()
    np.testing.assert_allclose(stripe_model(stripes[None]).numpy()[0], expected, rtol=1e-4)


@pytest.mark.parametrize("target", [0, 1])
def test_maximization_makes_what_the_model_looks_for(
    corner_model: keras.Model, target: int
) -> None:
    made = activation_maximization(corner_model, target, steps=100)
    assert made.shape == (SIDE, SIDE, 1)
    assert made.dtype == np.uint8
    inside = made[:CORNER, :CORNER].mean()
    assert inside > 240 if target else inside < 15
    assert abs(made[10:, 10:].mean() - 127.5) < 10  # what does not count stays grey
    assert corner_model(made[None])[0, target] > 0.9


def test_maximization_raises_the_probability_of_every_digit(lenet: keras.Model) -> None:
    begun = [activation_maximization(lenet, n, steps=1) for n in (0, 4, 8)]
    made = [activation_maximization(lenet, n, steps=60) for n in (0, 4, 8)]
    before, after = (lenet(np.stack(p)).numpy()[range(3), (0, 4, 8)] for p in (begun, made))
    assert (after > before).all()
    assert (after > 0.9).all()


def test_maximization_follows_its_seed(stripe_model: keras.Model) -> None:
    first, again, other = (
        activation_maximization(stripe_model, 1, steps=5, seed=seed) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_model_stays_as_it_is(lenet: keras.Model) -> None:
    image = np.random.default_rng(0).integers(0, 256, (28, 28, 1), dtype="uint8")
    weights, answer = lenet.get_weights(), lenet(image[None]).numpy()
    names = [layer.name for layer in lenet.layers]
    explain(lenet, image)
    for before, after in zip(weights, lenet.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(lenet(image[None]), answer)
    assert [layer.name for layer in lenet.layers] == names
    assert lenet.inputs[0].dtype == "uint8"
    assert lenet.layers[-1].activation is keras.activations.softmax


def test_the_target_is_the_model_s_answer_by_default(lenet: keras.Model) -> None:
    image = np.random.default_rng(1).integers(0, 256, (28, 28, 1), dtype="uint8")
    answer = int(lenet(image[None])[0].numpy().argmax())
    for look in (saliency, grad_cam, occlusion):
        np.testing.assert_array_equal(look(lenet, image), look(lenet, image, answer))
        assert not np.array_equal(look(lenet, image), look(lenet, image, (answer + 1) % 10))


@pytest.mark.parametrize("name", ["lenet5_1998", "resnet20", "vit"])
def test_other_architectures_can_be_looked_into(name: str) -> None:
    model = zoo.build(name)
    shape = model.input_shape[1:]
    image = np.random.default_rng(0).integers(0, 256, shape, dtype="uint8")
    values = saliency(model, image, 1)
    assert values.shape == shape[:2]
    assert (values > 0).mean() > 0.5
    assert grad_cam(model, image, 1).shape == shape[:2]
    assert occlusion(model, image, 1, size=14, stride=14).shape == shape[:2]
    last = {"lenet5_1998": "stage2", "resnet20": "stage3", "vit": "patches"}[name]
    assert spatial_layers(model)[-1] == last


def test_a_fine_tuned_model_with_another_input_can_be_looked_into(
    digits_run: Run, tmp_path: Path
) -> None:
    model = digits_run.load()
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 1), dtype="uint8")
    found = explain(model, image)
    assert found.saliency.shape == found.occlusion.shape == (8, 8)
    assert set(found.maps) == {"stage1", "stage2"}
    found.draw(tmp_path / "sheet.png")
    assert min(Image.open(tmp_path / "sheet.png").size) > 500


def test_a_perceptron_has_saliency_but_no_maps(tmp_path: Path) -> None:
    model = zoo.load("mlp-mnist")
    image = np.random.default_rng(0).integers(0, 256, (28, 28, 1), dtype="uint8")
    found = explain(model, image, target=3)
    assert found.saliency.any()
    assert (found.layer, found.grad_cam, found.filters, found.maps) == ("", None, None, {})
    found.draw(tmp_path / "sheet.png", list("abcdefghij"))
    for look in (first_layer_filters, lambda m: grad_cam(m, image)):
        with pytest.raises(InputError, match="no convolution"):
            look(model)


def test_colours_are_drawn(tmp_path: Path) -> None:
    model = zoo.build("resnet20")
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype="uint8")
    found = interpretation.first_layer_filters(model)
    assert found.shape == (16, 3, 3, 3)
    sheet = explain(model, image, 2)
    sheet.draw(tmp_path / "sheet.png")
    assert sheet.ideal.shape == (32, 32, 3)


IMAGE = np.zeros((28, 28, 1), "uint8")
REFUSED: dict[str, tuple[str, Callable[[keras.Model], object], str]] = {
    "rows of a table": ("logistic-breast_cancer", lambda m: saliency(m, IMAGE), "one picture"),
    "no classes": ("autoencoder-mnist", lambda m: occlusion(m, IMAGE), "no classes"),
    "target too high": ("lenet5-mnist", lambda m: saliency(m, IMAGE, 10), "0 to 9"),
    "target below 0": ("lenet5-mnist", lambda m: occlusion(m, IMAGE, -1), "0 to 9"),
    "target by name": ("lenet5-mnist", lambda m: grad_cam(m, IMAGE, "3"), "number of an answer"),
    "no such stage": (
        "lenet5-mnist", lambda m: activation_maps(m, IMAGE, "stag1"), "did you mean .*'stage1'",
    ),
    "stage without maps": ("lenet5-mnist", lambda m: activation_maps(m, IMAGE, "f6"), "no maps"),
    "no such layer": ("lenet5-mnist", lambda m: grad_cam(m, IMAGE, layer="c33"), "'c3'"),
    "other size": ("lenet5-mnist", lambda m: saliency(m, IMAGE[:20]), r"\(28, 28, 1\)"),
    "floats": ("lenet5-mnist", lambda m: saliency(m, IMAGE / 255), "uint8"),
    "a batch": ("lenet5-mnist", lambda m: saliency(m, IMAGE[None]), "uint8 picture"),
    "large patch": ("lenet5-mnist", lambda m: occlusion(m, IMAGE, size=29), "does not fit"),
    "gaps": ("lenet5-mnist", lambda m: occlusion(m, IMAGE, size=3, stride=4), "stride"),
    "no steps": ("lenet5-mnist", lambda m: activation_maximization(m, 1, 0), "steps"),
    "no such class": ("lenet5-mnist", lambda m: activation_maximization(m, 11), "0 to 9"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "call", "part"), REFUSED.values(), ids=REFUSED.keys())
def test_wrong_calls_are_refused(
    name: str, call: Callable[[keras.Model], object], part: str
) -> None:
    with pytest.raises(InputError, match=part):
        call(zoo.load(name))
