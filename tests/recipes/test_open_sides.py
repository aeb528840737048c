"""Models that leave the sides of a picture open take pictures as they are."""

from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import zoo
from recipes import data_for, evaluate, finetune
from recipes.data import Splits


@pytest.fixture(scope="module")
def open_model() -> keras.Model:
    keras.utils.set_random_seed(1)
    return zoo.build("resnet20", input_shape=(None, None, 1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten classes of noise."""
    place, random = tmp_path_factory.mktemp("noise"), np.random.default_rng(0)
    for number in range(60):
        file = place / str(number % 10) / f"{number}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (14, 14)).astype("uint8")).save(file)
    return place


def test_pictures_come_in_the_shape_of_the_data(open_model: keras.Model, folder: Path) -> None:
    assert data_for(open_model, "digits").shape == (8, 8, 1)
    assert data_for(open_model, folder, shape=(12, 10, 1)).shape == (12, 10, 1)


def test_it_is_measured_on_pictures_of_any_size(open_model: keras.Model, folder: Path) -> None:
    small, large = (evaluate(open_model, folder, shape=(n, n, 1)) for n in (8, 12))
    assert set(small) == set(large) == {"accuracy", "balanced_accuracy", "cross_entropy"}
    assert small["cross_entropy"] != large["cross_entropy"]


def test_other_channels_are_refused(open_model: keras.Model, folder: Path) -> None:
    with pytest.raises(zoo.InputError, match=r"\(None, None, 1\).*\(8, 8, 3\)"):
        evaluate(open_model, folder, shape=(8, 8, 3))


def test_a_fine_tuned_copy_takes_the_size_that_it_learned_from(
    open_model: keras.Model, few_digits: Splits, tmp_path: Path
) -> None:
    run = finetune(open_model, few_digits, tmp_path / "run", epochs=1, head_epochs=0)
    learned = run.load()
    assert learned.input_shape == (None, *few_digits.shape)
    assert "resize" not in [layer.name for layer in learned.layers]
    assert open_model.input_shape == (None, None, None, 1)


def test_its_copy_of_a_fixed_size_answers_alike(open_model: keras.Model) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 9, 7, 1)).astype("uint8")
    fixed = zoo.surgery.with_input_shape(open_model, (9, 7, 1))
    assert np.asarray(fixed(images)) == pytest.approx(np.asarray(open_model(images)), abs=1e-6)
