"""Test-time augmentation: the mean over views, under a name of its own."""

import keras
import numpy as np
import pytest

import zoo
from recipes import Run, Splits, evaluate, evaluation
from recipes.data import Examples
from recipes.evaluation import TEST_TIME, answers, figures, measure
from zoo import InputError


@pytest.fixture(scope="module")
def untrained() -> keras.Model:
    return zoo.build("softmax", input_shape=(8, 8, 1), classes=10)


def views(name: str, images: np.ndarray) -> list[np.ndarray]:
    """Return the views of `name`, made in another way than the table makes them."""
    mirrored = np.flip(images, 2)
    if name == "flip":
        return [images, mirrored]
    if name == "flip+shift":
        return views("shift", images) + views("shift", mirrored)
    down, right = np.roll(images, 1, 1), np.roll(images, 1, 2)
    down[:, 0], right[:, :, 0] = images[:, 1], images[:, :, 1]
    up, left = np.roll(images, -1, 1), np.roll(images, -1, 2)
    up[:, -1], left[:, :, -1] = images[:, -2], images[:, :, -2]
    return [images, down, up, right, left]


@pytest.mark.parametrize("name", TEST_TIME)
def test_the_answer_is_the_mean_over_the_views(
    name: str, untrained: keras.Model, few_digits: Splits
):
    images = few_digits.test.inputs
    by_hand = np.mean([untrained.predict(v, verbose=0) for v in views(name, images)], axis=0)
    found = answers(untrained, images, name)
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, by_hand, rtol=1e-5)
    assert (np.abs(found - answers(untrained, images)) > 1e-3).any()


def test_many_pictures_are_answered_in_parts(
    untrained: keras.Model, few_digits: Splits, monkeypatch: pytest.MonkeyPatch
):
    images = few_digits.test.inputs
    whole = answers(untrained, images, "shift")
    monkeypatch.setattr(evaluation, "_AT_ONCE", 32)
    np.testing.assert_allclose(answers(untrained, images, "shift"), whole, rtol=1e-5)


@pytest.mark.parametrize("name", TEST_TIME)
def test_views_are_of_the_pictures_kind_and_number(name: str):
    images = np.random.default_rng(0).integers(0, 256, (3, 5, 7, 3), "uint8")
    found = list(TEST_TIME[name](images))
    wanted = views(name, images)
    assert len(found) == len(wanted) == len({view.tobytes() for view in found})
    assert {view.tobytes() for view in found} == {view.tobytes() for view in wanted}
    assert all((v.shape, v.dtype) == (images.shape, images.dtype) for v in found)


@pytest.mark.parametrize("name", TEST_TIME)
def test_figures_say_how_they_were_taken(name: str, untrained: keras.Model, few_digits: Splits):
    found = evaluate(untrained, few_digits, augment=name)
    outputs = answers(untrained, few_digits.test.inputs, name)
    plain = figures(outputs, few_digits.test, "classification")
    assert found == pytest.approx({f"{key} ({name})": value for key, value in plain.items()})
    assert next(iter(found)) == f"accuracy ({name})"


def test_a_run_is_measured_on_the_examples_it_keeps(short_run: Run):
    test = short_run.samples("test")
    by_hand = measure(short_run.load(), test, "classification", "flip")
    assert evaluate(short_run.path, augment="flip") == pytest.approx(by_hand)


def test_an_unknown_name_is_answered_with_the_nearest(untrained: keras.Model, few_digits: Splits):
    with pytest.raises(InputError, match="did you mean 'flip'"):
        evaluate(untrained, few_digits, augment="flipp")


@pytest.mark.parametrize(
    ("shape", "task"), [((3,), "classification"), ((8, 8, 1), "reconstruction")]
)
def test_it_is_for_pictures_and_classes(shape: tuple[int, ...], task: str, untrained: keras.Model):
    examples = Examples(np.zeros((4, *shape), "uint8"), np.zeros(4, int))
    with pytest.raises(InputError, match="for pictures and their classes"):
        measure(untrained, examples, task, "flip")
