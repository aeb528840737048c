"""Trainings that ended early: whole on disk, and resumed as if nothing had happened."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from recipes import Recipe, Run, Splits, evaluate, train
from recipes.building import fresh_model
from recipes.run import State
from recipes.supervised import continue_run, learn
from zoo import CheckFailed, InputError
from zoo.files import sha256_of

Brief = Callable[..., Recipe]
Spoiler = Callable[[int, float], keras.callbacks.Callback]
StateOf = Callable[[Run], State]
History = Callable[[Run], list[dict[str, float]]]

STILL = 1e-30  # a learning rate that moves no float32 weight


THOROUGH = {
    "model": "mlp",
    "data": "digits",
    "epochs": 4,
    "arguments": {"hidden": [16], "dropout": 0.2, "batch_norm": True},
    "optimizer": "adamw",
    "weight_decay": 1e-2,
    "learning_rate": 0.01,
    "schedule": "cosine",
    "warmup": 0.2,
    "ema": 0.9,
    "augment": {"crop": 1},
}


@pytest.fixture(scope="module")
def killed(
    process: Callable[..., Any], learning: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a training that was killed right after its second epoch."""
    out = tmp_path_factory.mktemp("killed") / "run"
    job = {"source": None, "out": str(out), "resume": False, "fields": THOROUGH, "kill": 1}
    ended = process(learning, json.dumps([job]))
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    return out


@pytest.mark.slow
def test_a_killed_run_stands_after_its_last_whole_epoch(killed: Path, state_of: StateOf):
    run = Run(killed)
    assert not run.finished
    state = state_of(run)
    assert state.epoch == len(state.history) == 2
    with pytest.raises(InputError, match="not finished; resume it"):
        evaluate(killed)


@pytest.mark.slow
def test_a_resumed_run_goes_exactly_as_one_that_was_never_killed(
    killed: Path,
    process: Callable[..., Any],
    learning: str,
    assert_same: Callable[[Run, Run], None],
    history_of: History,
    tmp_path: Path,
):
    resumed, straight = tmp_path / "resumed", tmp_path / "straight"
    shutil.copytree(killed, resumed)
    for out in (resumed, straight):
        job = {
            "source": None,
            "out": str(out),
            "resume": out is resumed,
            "fields": THOROUGH,
            "kill": None,
        }
        ended = process(learning, json.dumps([job]))
        assert ended.returncode == 0, ended.stderr
    assert_same(Run(resumed), Run(straight))
    rows = history_of(Run(straight))
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert history_of(Run(resumed)) == rows
    assert {"loss", "val_loss", "learning_rate"} < rows[0].keys()


def test_a_run_that_ended_between_its_best_weights_and_its_state_resumes_exactly(
    few_digits: Splits,
    brief: Brief,
    assert_same: Callable[[Run, Run], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    state_of: StateOf,
):
    straight = train(brief(), tmp_path / "straight", data=few_digits)
    assert state_of(straight).best_epoch == 2
    write = Run.write_state

    def full(run: Run, state: State) -> None:
        if state.epoch == 2:
            raise OSError(28, "No space left on device")
        write(run, state)

    monkeypatch.setattr(Run, "write_state", full)
    with pytest.raises(OSError, match="No space left"):
        train(brief(), tmp_path / "run", data=few_digits)
    monkeypatch.undo()
    assert_same(train(brief(), tmp_path / "run", data=few_digits, resume=True), straight)


@pytest.mark.parametrize("name", ["initial.keras", "kept-1.weights.h5"])
def test_a_run_is_not_finished_from_a_changed_file(
    few_digits: Splits, brief: Brief, tmp_path: Path, name: str, spoil: Spoiler
):
    recipe = brief(optimizer="sgd", learning_rate=STILL, epochs=2)  # no epoch is better than one
    with pytest.raises(CheckFailed):
        train(recipe, tmp_path / "run", data=few_digits, callbacks=[spoil(1, float("nan"))])
    file = tmp_path / "run" / name
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match=f"{name} is missing or damaged"):
        train(recipe, tmp_path / "run", data=few_digits, resume=True)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_state(
    few_digits: Splits, brief: Brief, tmp_path: Path, state_of: StateOf, spoil: Spoiler
):
    with pytest.raises(CheckFailed, match=r"epoch 2: lower the learning rate"):
        train(
            brief(epochs=3), tmp_path / "run", data=few_digits, callbacks=[spoil(1, float("nan"))]
        )
    run = Run(tmp_path / "run")
    state = state_of(run)
    assert not run.finished
    assert (state.epoch, len(state.history)) == (1, 1)
    assert all(np.isfinite(array).all() for array in state.model + state.optimizer)
    resumed = train(run.config.recipe, run.path, data=few_digits, resume=True)
    assert resumed.card.training.epochs == 3


def test_limited_examples_are_what_a_run_learns_from_and_resumes_with(
    digits: Splits, brief: Brief, tmp_path: Path, spoil: Spoiler
):
    recipe = brief(examples=200, epochs=2)
    with pytest.raises(CheckFailed):
        train(recipe, tmp_path / "run", data=digits, callbacks=[spoil(1, float("nan"))])
    run = Run(tmp_path / "run")
    assert run.config.dataset.examples["train"] == pytest.approx(200, abs=5)
    assert train(recipe, run.path, data=digits, resume=True).finished


def test_limited_examples_of_a_named_set_resume_by_themselves(
    digits: Splits, brief: Brief, tmp_path: Path, spoil: Spoiler
):
    recipe = brief(examples=200, epochs=2)
    with pytest.raises(CheckFailed):
        train(recipe, tmp_path / "run", callbacks=[spoil(1, float("nan"))])
    assert train(recipe, tmp_path / "run", resume=True).finished


def test_what_is_no_run_cannot_be_resumed(brief: Brief, tmp_path: Path):
    with pytest.raises(InputError, match=r"is no run: it holds no config\.json"):
        train(brief(), tmp_path, resume=True)


def test_a_run_is_not_resumed_with_other_data(
    few_digits: Splits, digits: Splits, brief: Brief, tmp_path: Path, spoil: Spoiler
):
    with pytest.raises(CheckFailed):
        train(brief(), tmp_path / "run", data=few_digits, callbacks=[spoil(1, float("nan"))])
    before = sha256_of(tmp_path / "run")
    with pytest.raises(InputError, match=r"is not what .* was started with"):
        train(brief(), tmp_path / "run", data=digits, resume=True)
    assert sha256_of(tmp_path / "run") == before


def test_a_run_whose_first_epoch_failed_leaves_its_place_free(
    few_digits: Splits, brief: Brief, tmp_path: Path
):
    bad = brief(optimizer="sgd", learning_rate=1e30)
    with pytest.raises(CheckFailed, match="infinite or not a number in epoch 1"):
        train(bad, tmp_path / "run", data=few_digits)
    assert list(tmp_path.iterdir()) == []
    assert train(brief(epochs=1), tmp_path / "run", data=few_digits).finished


def test_a_run_that_failed_later_keeps_its_place(
    few_digits: Splits, brief: Brief, tmp_path: Path, spoil: Spoiler, state_of: StateOf
):
    nan = spoil(2, float("nan"))
    with pytest.raises(CheckFailed, match="in epoch 3"):
        train(brief(epochs=4), tmp_path / "run", data=few_digits, callbacks=[nan])
    assert [row["epoch"] for row in state_of(Run(tmp_path / "run")).history] == [1, 2]
    with pytest.raises(InputError, match=r"exists already: .* resume it"):
        train(brief(), tmp_path / "run", data=few_digits)


def test_what_a_killed_process_left_half_written_is_removed(
    few_digits: Splits, brief: Brief, tmp_path: Path, spoil: Spoiler
):
    nan = spoil(1, float("nan"))
    with pytest.raises(CheckFailed):
        train(brief(), tmp_path / "run", data=few_digits, callbacks=[nan])
    for name in (".part-abc.npz", ".part-def.weights.h5"):
        (tmp_path / "run" / name).write_bytes(b"half")
    (tmp_path / "run" / "mine.txt").write_text("mine")
    run = train(brief(), tmp_path / "run", data=few_digits, resume=True)
    assert run.finished
    assert not list(run.path.glob(".part-*"))
    assert (run.path / "mine.txt").read_text() == "mine"


def test_a_place_that_is_taken_is_refused_before_the_data_is_read(brief: Brief, tmp_path: Path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        train(brief(data="no-such-data"), tmp_path)


def test_a_training_that_stood_still_goes_on_as_if_it_had_not(
    few_digits: Splits, brief: Brief, state_of: StateOf, tmp_path: Path
):
    recipe = brief(epochs=3, schedule="cosine")
    model, task, arguments = fresh_model(recipe, few_digits)
    run = Run.create(tmp_path / "halted", recipe, model, few_digits, task, recipe.model, arguments)
    halted = learn(run, few_digits, until=2)
    assert state_of(run).epoch == len(state_of(run).history) == 2
    assert not run.finished
    assert not (run.path / "metrics.json").exists()  # nothing was measured
    kept = keras.models.clone_model(halted)
    run.load_kept(kept, state_of(run))
    for one, other in zip(halted.get_weights(), kept.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    straight = train(recipe, tmp_path / "straight", data=few_digits)
    assert continue_run(run, few_digits).metrics == straight.metrics
    assert state_of(run).history == state_of(straight).history
