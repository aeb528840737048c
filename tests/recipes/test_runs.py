"""What a run's folder and its card hold."""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

import zoo
from recipes import Recipe, Run, Splits, evaluate, train
from recipes.folder import commit
from recipes.plots import plot_confusion
from recipes.run import State
from zoo import InputError, cards
from zoo.files import sha256_of

Brief = Callable[..., Recipe]
Spoiler = Callable[[int, float], keras.callbacks.Callback]
StateOf = Callable[[Run], State]
History = Callable[[Run], list[dict[str, float]]]


def test_a_state_that_cannot_be_written_leaves_the_old_one(
    short_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state_of: StateOf
):
    shutil.copytree(short_run.path, tmp_path / "run")
    run = Run(tmp_path / "run")
    state, before = state_of(run), (run.path / "state.npz").read_bytes()
    files = set(run.path.iterdir())

    def half(file: Path, **arrays: np.ndarray) -> None:
        Path(file).write_bytes(before[: len(before) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", half)
    state.epoch += 1
    with pytest.raises(OSError, match="No space left"):
        run.write_state(state)
    assert (run.path / "state.npz").read_bytes() == before
    assert set(run.path.iterdir()) == files


def test_a_state_goes_through_its_file_unchanged(short_run: Run, tmp_path: Path, state_of: StateOf):
    shutil.copytree(short_run.path, tmp_path / "run")
    run = Run(tmp_path / "run")
    state = state_of(run)
    run.write_state(replace(state, epoch=7, best=[0.1, -1 / 3], kept_epoch=5))
    again = state_of(run)
    assert (again.epoch, again.best, again.kept_epoch) == (7, [0.1, -1 / 3], 5)
    assert again.history == state.history
    arrays = (again.model + again.optimizer, state.model + state.optimizer)
    for x, y in zip(*arrays, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("name", ["state.npz", "samples.npz"])
def test_a_damaged_file_of_a_run_is_named(short_run: Run, tmp_path: Path, name: str):
    shutil.copytree(short_run.path, tmp_path / "run")
    run = Run(tmp_path / "run")
    content = (run.path / name).read_bytes()
    read = run.read_state if name == "state.npz" else lambda: run.samples("calibration")
    for damaged in (content[: len(content) // 2], b"", content[:100] + content[101:]):
        (run.path / name).write_bytes(damaged)
        with pytest.raises(InputError, match=f"{name} is damaged"):
            read()


def test_a_damaged_config_is_named(short_run: Run, tmp_path: Path):
    shutil.copytree(short_run.path, tmp_path / "run")
    content = (tmp_path / "run" / "config.json").read_bytes()
    (tmp_path / "run" / "config.json").write_bytes(content[:-20])
    with pytest.raises(InputError, match=r"config\.json is damaged"):
        Run(tmp_path / "run")


@pytest.mark.slow
def test_a_run_needs_nothing_from_outside(
    pictures: Callable[..., Path], process: Callable[..., Any], tmp_path: Path
):
    folder = pictures({"a": 12, "b": 12})
    recipe = Recipe(
        model="softmax", data=str(folder), data_options={"shape": (10, 12, 3)}, epochs=1
    )
    run = train(recipe, tmp_path / "run")
    shutil.rmtree(folder)
    code = "import json, sys, recipes; print(json.dumps(recipes.evaluate(sys.argv[1])))"
    ended = process(code, run.path)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1]) == pytest.approx(run.metrics["test"], rel=1e-5)


def test_a_finished_run_has_all_its_files(short_run: Run, state_of: StateOf):
    names = {path.name for path in short_run.path.iterdir()}
    assert names == {
        "config.json",
        "initial.keras",
        "samples.npz",
        "state.npz",
        f"kept-{state_of(short_run).kept_epoch}.weights.h5",
        "history.csv",
        "tensorboard",
        "learning_curve.png",
        "metrics.json",
        "confusion_matrix.png",
        "model.keras",
        "card.json",
    }
    assert list((short_run.path / "tensorboard").rglob("events.out.tfevents.*"))


@pytest.mark.parametrize("name", ["learning_curve.png", "confusion_matrix.png"])
def test_plots_are_pictures_with_something_on_them(short_run: Run, name: str):
    with Image.open(short_run.path / name) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("L"))
    assert min(pixels.shape) > 200
    assert len(np.unique(pixels)) > 10


def test_the_history_on_disk_is_the_states(short_run: Run, history_of: History, state_of: StateOf):
    rows = history_of(short_run)
    assert rows == state_of(short_run).history
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_the_card_agrees_with_the_run(short_run: Run, few_digits: Splits, state_of: StateOf):
    card, state, config = short_run.card, state_of(short_run), short_run.config
    assert cards.read(short_run.path / "card.json") == card
    assert {(m.split, m.name): m.value for m in card.metrics} == {
        (split, name): value
        for split, values in short_run.metrics.items()
        for name, value in values.items()
    }
    assert {m.split: m.examples for m in card.metrics} == {"validation": 100, "test": 100}
    main = card.metric()
    assert main is not None
    assert main.name == "accuracy"
    assert (card.training.epochs, card.training.best_epoch) == (3, state.best_epoch)
    assert card.dataset.fingerprint == few_digits.fingerprint
    assert card.dataset.examples == few_digits.sizes
    assert card.labels == config.labels == list(few_digits.labels)
    assert card.weights.sha256 == sha256_of(short_run.path / "model.keras")
    assert card.recipe["arguments"] == config.recipe.arguments
    assert card.input.shape == [8, 8, 1]
    assert card.input.dtype == "uint8"


def test_the_card_counts_the_parameters(short_run: Run):
    # 64 × 16 without bias, scale and shift of the normalization, then 16 × 10 and a bias.
    assert short_run.card.parameters.trainable == 64 * 16 + 2 * 16 + 17 * 10
    assert short_run.card.parameters.non_trainable == 2 * 16


def test_the_best_figure_is_that_of_its_epoch(short_run: Run, state_of: StateOf):
    state = state_of(short_run)
    row = state.history[state.best_epoch - 1]
    assert state.best == [row["val_accuracy"], -row["val_loss"]]
    assert state.best == max([r["val_accuracy"], -r["val_loss"]] for r in state.history)


def test_the_metrics_are_those_of_the_kept_model(
    short_run: Run, few_digits: Splits, state_of: StateOf
):
    for split in ("validation", "test"):
        measured = evaluate(short_run.load(), few_digits, split=split)
        assert measured == pytest.approx(short_run.metrics[split], rel=1e-5)
    kept = state_of(short_run)
    assert short_run.metrics["validation"]["accuracy"] == pytest.approx(kept.best[0], abs=1e-6)


def test_a_run_keeps_its_test_examples_and_some_to_calibrate_with(
    short_run: Run, few_digits: Splits
):
    test = short_run.samples("test")
    np.testing.assert_array_equal(test.inputs, few_digits.test.inputs)
    np.testing.assert_array_equal(test.targets, few_digits.test.targets)
    calibration = short_run.samples("calibration")
    assert len(calibration) == 256
    known = {image.tobytes() for image in few_digits.train.inputs}
    assert all(image.tobytes() in known for image in calibration.inputs)


def test_no_other_part_is_kept(short_run: Run):
    with pytest.raises(InputError, match=r"samples\.npz"):
        short_run.samples("validation")


def test_a_card_tells_how_its_run_was_begun(
    few_digits: Splits, brief: Brief, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    class SourceChanges(keras.callbacks.Callback):
        def on_train_end(self, logs: Any = None) -> None:
            monkeypatch.setattr("recipes.run.commit", lambda: "of its end")

    monkeypatch.setattr("recipes.run.commit", lambda: "of its start")
    words = [str(tmp_path / "bin" / "zoo"), "train", "mlp", f"--out={tmp_path / 'my run'}"]
    monkeypatch.setattr("sys.argv", [*words, "--data", "a/relative place", "--set", "a=b"])
    run = train(brief(epochs=1), tmp_path / "run", data=few_digits, callbacks=[SourceChanges()])
    training = run.card.training
    assert training.commit == "of its start"
    # No place of this machine is in a command, which travels.
    command = "zoo train mlp '--out=my run' --data 'a/relative place' --set a=b"
    assert training.command == command


def test_a_run_that_could_not_be_begun_leaves_nothing(
    few_digits: Splits, brief: Brief, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*args: Any, **arrays: np.ndarray) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez_compressed", full)
        with pytest.raises(OSError, match="No space left"):
            train(brief(), tmp_path / "run", data=few_digits)
    assert not any((tmp_path / "run").iterdir())
    assert train(brief(epochs=1), tmp_path / "run", data=few_digits).finished


def test_a_commit_of_another_repository_is_not_the_recipe_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "theirs"], check=True)
    installed = tmp_path / "site-packages" / "recipes" / "folder.py"
    installed.parent.mkdir(parents=True)
    installed.touch()
    monkeypatch.setattr("recipes.folder.__file__", str(installed))
    assert commit() == ""
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "ours"], check=True)
    assert len(commit()) == 12


def test_more_classes_than_a_picture_has_room_for_are_drawn_small(tmp_path: Path):
    labels = [f"class {number}" for number in range(1005)]
    outputs = np.random.default_rng(0).random((50, 1005))
    plot_confusion(outputs, np.arange(50), labels, tmp_path / "matrix.png")
    with Image.open(tmp_path / "matrix.png") as picture:
        assert max(picture.size) < 2000


def test_a_folder_that_is_taken_is_refused(short_run: Run, few_digits: Splits, brief: Brief):
    before = sha256_of(short_run.path)
    with pytest.raises(InputError, match="exists already"):
        train(brief(), short_run.path, data=few_digits)
    assert sha256_of(short_run.path) == before


def test_an_empty_folder_is_not_taken(few_digits: Splits, brief: Brief, tmp_path: Path):
    assert train(brief(epochs=1), tmp_path, data=few_digits).finished


def test_a_finished_run_is_returned_as_it_is(short_run: Run, few_digits: Splits, brief: Brief):
    before = sha256_of(short_run.path)
    again = train(brief(), short_run.path, data=few_digits, resume=True)
    assert again.card == short_run.card
    assert sha256_of(short_run.path) == before


def test_a_finished_run_is_loaded_by_its_path(short_run: Run, few_digits: Splits):
    for path in (short_run.path, str(short_run.path)):
        outputs = zoo.load(path).predict(few_digits.test.inputs, verbose=0)
        np.testing.assert_array_equal(
            outputs, short_run.load().predict(few_digits.test.inputs, verbose=0)
        )
        np.testing.assert_allclose(outputs.sum(axis=1), 1, rtol=1e-5)
