"""Recipes that fine-tune: from one entry to a packaged model, and by the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np
import pytest
from PIL import Image

import zoo
from recipes import RECIPES, Recipe, Run, load_data, train
from recipes.finetuning import with_data_options
from recipes.supervised import data_of
from zoo import InputError, cards
from zoo.cli import run as zoo_command
from zoo.cli.packaging import package
from zoo.weights import PRETRAINED

NAME = "lenet5-flowers"
RECIPE = Recipe(
    model="lenet5-mnist",
    data="flowers",
    data_options={"shape": [28, 28, 1]},
    fine_tuning=True,
    head_epochs=1,
    epochs=2,
    batch_size=16,
    learning_rate=2e-3,
    strategy="discriminative",
    augment={"flip": 0.1, "crop": 1},
)


class Stop(keras.callbacks.Callback):
    """Ends a training before its second epoch."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 1:
            raise KeyboardInterrupt


@pytest.fixture
def flowers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A set named "flowers", which are three kinds of digits, with a test set of its own."""
    digits = load_data("digits")
    for split, examples in (("train", digits.train), ("test", digits.test)):
        for label in range(3):
            folder = tmp_path / "data" / "flowers" / split / f"flower {label}"
            folder.mkdir(parents=True)
            chosen = examples.inputs[examples.targets == label]
            for number, pixels in enumerate(chosen[:40]):
                large = np.kron(pixels.squeeze(), np.ones((4, 4), "uint8"))
                Image.fromarray(large).save(folder / f"{number}.png")
    monkeypatch.setenv("ZOO_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data" / "flowers"


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packaged models that holds `lenet5-mnist`, and may get more."""
    folder = tmp_path / "packages"
    folder.mkdir()
    (folder / RECIPE.model).symlink_to(PRETRAINED / RECIPE.model)
    monkeypatch.setattr("zoo.weights.PRETRAINED", folder)
    monkeypatch.setitem(RECIPES, NAME, RECIPE)
    return folder


def full_disk(*args: Any) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.slow
def test_a_recipe_that_fine_tunes_becomes_a_packaged_model(
    flowers: Path,
    packages: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "again"
    call = ["reproduce", NAME, "--out", str(out), "--package", str(packages), "--json"]
    with monkeypatch.context() as patch:
        patch.setattr("zoo.cli.packaging.parity_of", full_disk)
        assert zoo_command(call) != 0
    assert not (packages / NAME).exists()
    finished = Run(out).card.training.finished
    capsys.readouterr()
    assert zoo_command(call) == 0  # and what was trained is not trained again
    assert Run(out).card.training.finished == finished
    assert json.loads(capsys.readouterr().out)["run"] == str(out)  # there was no card before
    card, model = zoo.card(NAME), zoo.load(NAME)
    assert (card.architecture, card.arguments) == (
        "lenet5",
        {"input_shape": [28, 28, 1], "classes": 3},
    )
    assert card.labels == ["flower 0", "flower 1", "flower 2"]
    assert card.dataset.source == card.recipe["data"] == "flowers"
    assert {report.quantization for report in card.exports} >= {"float32", "int8"}
    names = ["accuracy", "balanced_accuracy", "cross_entropy"]
    # It learned from pictures that were mirrored and moved.
    names = [f"{name}{views}" for views in ("", " (flip)", " (flip+shift)") for name in names]
    assert [(m.split, m.name) for m in card.metrics] == [
        (split, name) for split in ("validation", "test") for name in names
    ]
    data = load_data("flowers", shape=(28, 28, 1))
    np.testing.assert_allclose(
        model.predict(data.test.inputs, verbose=0),
        Run(out).load().predict(data.test.inputs, verbose=0),
        atol=5e-3,  # the packaged weights may be rounded to half precision
    )
    capsys.readouterr()
    assert zoo_command(["evaluate", NAME, "--json"]) == 0  # reads the data as the recipe says
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    assert metrics["accuracy"] == pytest.approx(card.metric("accuracy").value)
    assert Run(out).config.recipe == RECIPE

    metric = card.metric("accuracy")
    better = [msgspec.structs.replace(m, value=1.0) if m == metric else m for m in card.metrics]
    path = packages / NAME / cards.FILE
    cards.write(msgspec.structs.replace(card, metrics=better), path)
    before = path.read_bytes()
    assert metric.value < 0.995
    assert zoo_command(call) != 0  # a worse model does not take the place of a better one
    assert json.loads(capsys.readouterr().out)["card"]["value"] == 1.0
    assert path.read_bytes() == before


def test_training_by_name_fine_tunes(flowers: Path, packages: Path, tmp_path: Path) -> None:
    run = train(NAME, tmp_path / "run")
    assert run.config.recipe == RECIPE
    assert run.card.architecture == "lenet5"
    assert run.load().input_shape == (None, 28, 28, 1)
    for own, source in zip(
        run.load_initial().get_weights()[:-2], zoo.load(RECIPE.model).get_weights(), strict=False
    ):
        np.testing.assert_array_equal(own, source)


def test_the_size_of_the_pictures_is_the_models_own(flowers: Path, tmp_path: Path) -> None:
    recipe = Recipe(model="lenet5-mnist", data=str(flowers), epochs=1, fine_tuning=True)
    assert with_data_options(recipe).data_options == {"shape": [28, 28, 1]}
    assert data_of(recipe).shape == (28, 28, 1)


def test_a_model_that_resizes_has_no_builders_arguments(tmp_path: Path) -> None:
    recipe = Recipe(model="lenet5-mnist", data="digits", epochs=1, fine_tuning=True)
    run = train(recipe, tmp_path / "run")
    assert run.card.arguments == {}
    assert run.load().input_shape == (None, 8, 8, 1)
    assert run.metrics["test"]["accuracy"] > 0.5
    with pytest.raises(InputError, match="'lenet5-digits' cannot be packaged: no builder"):
        package(run, "lenet5-digits", tmp_path / "packages")
    assert not (tmp_path / "packages").exists()


def test_a_run_by_recipe_is_resumed_without_its_source(tmp_path: Path) -> None:
    recipe = Recipe(model="mlp", arguments={"hidden": [8]}, data="digits", epochs=1)
    source = train(recipe, tmp_path / "source")
    again = Recipe(model=str(source.path), data="digits", epochs=2, fine_tuning=True)
    straight = train(again, tmp_path / "straight")

    with pytest.raises(KeyboardInterrupt):
        train(again, tmp_path / "run", callbacks=[Stop()])
    (source.path / cards.FILE).unlink()
    run = train(again, tmp_path / "run", resume=True)
    for one, other in zip(run.load().get_weights(), straight.load().get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_table_is_fine_tuned_by_recipe(tmp_path: Path, flats_run: Run, flats: Path) -> None:
    recipe = Recipe(
        model=str(flats_run.path), data=str(flats), epochs=2, fine_tuning=True, batch_size=16
    )
    run = train(recipe, tmp_path / "run")
    assert run.config.recipe.data_options == {"target": "price", "task": "regression"}
    assert run.config.features == flats_run.config.features
    assert run.encoder == flats_run.encoder


def test_a_recipe_of_an_unknown_model_is_refused(tmp_path: Path) -> None:
    recipe = Recipe(model="lenet5-mnits", data="digits", epochs=1, fine_tuning=True)
    with pytest.raises(InputError, match="did you mean 'lenet5-mnist'"):
        train(recipe, tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_the_command_takes_a_strategy_and_keeps_classes(
    flowers: Path, tmp_path: Path, answer: Callable[..., Any]
) -> None:
    out = tmp_path / "run"
    call = ["finetune", "lenet5-mnist", "--data", str(flowers), "--out", str(out)]
    options = ["--strategy", "gradual", "--keep-classes", "--epochs", "2", "--head-epochs", "1"]
    answer(*call, *options)
    card = zoo.card(str(out))
    assert (card.recipe["strategy"], card.recipe["keep_classes"]) == ("gradual", True)
    assert card.labels == [*map(str, range(10)), *(f"flower {n}" for n in range(3))]
    again = answer("evaluate", str(out), "--data", str(flowers))["metrics"]
    assert again == pytest.approx(Run(out).metrics["test"], rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--strategy", "gradul"], "did you mean 'gradual'"),
        (["--strategy", "frozen", "--set", "stage_factor=2"], "'frozen'"),
        (["--set", "stage_factor=0.5"], "at least 1"),
    ],
)
def test_a_strategy_that_cannot_be_meant_is_one_line(
    complaint: Callable[..., str], tmp_path: Path, arguments: list[str], part: str
) -> None:
    call = ["finetune", "lenet5-mnist", "--data", "digits", "--out", str(tmp_path / "run")]
    assert part in complaint(*call, *arguments)
    assert not list(tmp_path.iterdir())
