"""Searches that go on: after a kill, a full disk or damage, and with several workers."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from recipes import Recipe, Run, Search, Splits, resume_tuning, train, tune
from zoo.errors import CheckFailed, InputError

Make = Callable[..., Recipe]
Fields = dict[str, Any]


@pytest.mark.filterwarnings("ignore::recipes.tuning.PartOfGrid")
@pytest.mark.parametrize("tuner", ["random", "grid"])
def test_a_search_goes_on_after_its_last_trial(
    tuner: str, brief: Make, iris: Splits, tmp_path: Path, narrow: Fields
) -> None:
    common = {"tuner": tuner, "retrain": False, **narrow}
    whole = tune(brief(), iris, out=tmp_path / "whole", max_trials=4, **common)
    tune(brief(), iris, out=tmp_path / "parts", max_trials=2, **common)
    parts = resume_tuning(tmp_path / "parts", iris, max_trials=4, retrain=False)
    assert [o.values for o in parts.outcomes.values()] == [
        o.values for o in whole.outcomes.values()
    ]
    assert [o.figures for o in parts.outcomes.values()] == [
        o.figures for o in whole.outcomes.values()
    ]
    with pytest.raises(InputError, match="has room for 4 trials already"):
        resume_tuning(tmp_path / "parts", iris, max_trials=3)


def test_a_search_that_was_killed_before_it_had_a_config_begins_again(
    brief: Make, iris: Splits, tmp_path: Path, narrow: Fields
) -> None:
    place = tmp_path / "s"
    tune(brief(), iris, out=place, max_trials=1, retrain=False, **narrow)
    with pytest.raises(InputError, match="exists already"):
        tune(brief(), iris, out=place, max_trials=1, retrain=False, **narrow)
    for path in place.iterdir():
        if path.name == "trials":
            shutil.rmtree(path)
        elif path.name != ".config.sha256":
            path.unlink()
    tune(brief(epochs=2), iris, out=place, max_trials=1, retrain=False, **narrow)
    assert len(resume_tuning(place, iris, max_trials=2, retrain=False).outcomes) == 2


def test_an_earlier_best_stays_until_a_better_one_is_trained(
    brief: Make,
    iris: Splits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    narrow: Fields,
) -> None:
    place = tmp_path / "s"
    search = tune(brief(), iris, out=place, tuner="random", max_trials=1, **narrow)
    before = search.run.metrics
    with pytest.raises(InputError, match="workers is a whole number"):
        resume_tuning(place, iris, max_trials=6, workers=0)
    with pytest.raises(InputError, match="has changed"):
        resume_tuning(place, replace(iris, train=iris.train.take(np.arange(9))), max_trials=6)
    assert Search(place).run.metrics == before
    assert Search(place).config.max_trials == 1

    class Ended(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            raise KeyboardInterrupt

    import recipes.tuning.supervised

    def interrupted(recipe: Recipe, folder: Path, **options: Any) -> Run:
        return train(recipe, folder, **options, callbacks=[Ended()])

    with monkeypatch.context() as patch:
        patch.setattr(recipes.tuning.supervised, "train", interrupted)
        resume_tuning(place, iris, max_trials=6, retrain=False)
        assert Search(place).ranked[0] != "0"  # a better one was found
        with pytest.raises(KeyboardInterrupt):
            resume_tuning(place, iris)
    assert Run(place / "best-before").metrics == before
    more = resume_tuning(place, iris, max_trials=12)
    assert more.run.config.recipe == more.best
    assert more.run.finished
    assert not (place / "best-before").exists()


def test_two_processes_do_not_share_a_search(found: Search, iris: Splits) -> None:
    from filelock import FileLock

    with (
        FileLock(found.path / ".lock"),
        pytest.raises(InputError, match="another process is at"),
    ):
        resume_tuning(found.path, iris)


def _without(*names: str) -> Callable[[Path], None]:
    def remove(place: Path) -> None:
        for name in names:
            path = place / "trials" / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return remove


def _cut(name: str) -> Callable[[Path], None]:
    def cut(place: Path) -> None:
        path = place / "trials" / name
        path.write_bytes(path.read_bytes()[:40])

    return cut


def _edited(old: str, new: str) -> Callable[[Path], None]:
    def edit(place: Path) -> None:
        path = place / "config.json"
        path.write_text(path.read_text().replace(old, new))

    return edit


DAMAGE = {
    "a trial": (_without("trial_1"), "trial.json is missing"),
    "the oracle": (_without("oracle.json"), "oracle.json is missing"),
    "the tuner": (_without("tuner0.json"), "tuner0.json is missing"),
    "all trials": (_without("."), "oracle.json is missing"),
    "a cut trial": (_cut("trial_1/trial.json"), "trial.json is damaged"),
    "a cut oracle": (_cut("oracle.json"), "oracle.json is damaged"),
    "the seal": (_without("../.config.sha256"), "config.sha256 is missing"),
    "another objective": (_edited('"val_accuracy"', '"val_loss"'), "config.json was changed"),
    "another count": (_edited('"executions": 2', '"executions": 0'), "config.json was changed"),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGE.values(), ids=list(DAMAGE))
def test_a_search_that_was_changed_is_not_gone_on_with(
    damage: Callable[[Path], None], words: str, found: Search, iris: Splits, tmp_path: Path
) -> None:
    place = tmp_path / "copy"
    shutil.copytree(found.path, place)
    damage(place)
    with pytest.raises(InputError, match=words):
        resume_tuning(place, iris, max_trials=20)


_KILLED = """
import os, signal, sys
from pathlib import Path
import recipes.checkpoint
from recipes import Recipe, tune

# Kills itself in the middle of a trial: after a state of it was kept.
before = recipes.checkpoint.Checkpoint.on_epoch_end
left = [int(sys.argv[2])]

def on_epoch_end(self, epoch, logs=None):
    before(self, epoch, logs)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)

recipes.checkpoint.Checkpoint.on_epoch_end = on_epoch_end
recipe = Recipe(model="mlp", data="iris", epochs=3, batch_size=16, arguments={"hidden": [8]})
tune(recipe, out=sys.argv[1], max_trials=6, retrain=False)
"""


@pytest.mark.slow
def test_a_killed_search_loses_no_epoch(brief: Make, tmp_path: Path) -> None:
    recipe = brief(learning_rate=1e-3)
    whole = tune(recipe, out=tmp_path / "whole", max_trials=6, retrain=False)
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, str(tmp_path / "killed"), "14"], capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(Search(tmp_path / "killed").outcomes) == 4
    again = resume_tuning(tmp_path / "killed", retrain=False)
    assert [o.values for o in again.outcomes.values()] == [
        o.values for o in whole.outcomes.values()
    ]
    assert [o.figures for o in again.outcomes.values()] == [
        o.figures for o in whole.outcomes.values()
    ]


@pytest.mark.slow
def test_three_workers_share_a_search_and_one_may_be_killed(brief: Make, tmp_path: Path) -> None:
    path = tmp_path / "search"
    command = [
        sys.executable, "-m", "zoo", "tune", "mlp", "--data", "iris", "--trials", "9",
        "--epochs", "5", "--set", "batch_size=16", "--workers", "3", "--tuner", "random",
        "--out", str(path), "--json",
    ]  # fmt: skip
    chief = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        victim = _worker_at_work(path, chief)
        os.kill(victim, signal.SIGKILL)
        out, complaint = chief.communicate(timeout=600)
    finally:
        chief.kill()
    assert chief.returncode == 0, complaint
    search = Search(path)
    assert len(search.outcomes) == 9
    assert {outcome.status for outcome in search.outcomes.values()} == {"done"}
    assert json.loads(out)["metrics"]["test"]["accuracy"] > 0.5
    named = [path / f"worker-{number}.log" for number in range(3)]
    assert all(log.is_file() for log in named)
    assert not _workers(path)
    tuners = {file.name for file in search.trials.glob("*.json")}
    assert {"worker-0.json", "worker-1.json", "worker-2.json"} <= tuners


@pytest.mark.slow
def test_workers_end_with_their_chief(tmp_path: Path) -> None:
    path = tmp_path / "search"
    command = [
        sys.executable, "-m", "zoo", "tune", "mlp", "--data", "iris", "--trials", "200",
        "--epochs", "5", "--workers", "2", "--out", str(path),
    ]  # fmt: skip
    chief = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _worker_at_work(path, chief)
        assert len(_workers(path)) == 2
    finally:
        chief.kill()
    for _ in range(300):
        if not _workers(path):
            break
        time.sleep(0.1)
    assert not _workers(path)


def _workers(path: Path) -> list[str]:
    """Return the lines of `ps` of the workers at a search."""
    lines = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True).stdout
    return [line for line in lines.splitlines() if f"--resume --out {path}" in line]


def _worker_at_work(path: Path, chief: "subprocess.Popen[Any]") -> int:
    """Return the process number of a worker that is in the middle of a trial."""
    for _ in range(3000):
        assert chief.poll() is None
        if list(path.glob("trials/trial_*/execution-0/history.csv")):
            children = subprocess.run(
                ["ps", "-o", "pid=", "--ppid", str(chief.pid)], capture_output=True, text=True
            ).stdout.split()
            if children:
                return int(children[0])
        time.sleep(0.1)
    raise AssertionError("no worker began a trial")


def test_a_full_disk_ends_the_search_which_can_go_on(
    brief: Make,
    iris: Splits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    narrow: Fields,
) -> None:
    import errno

    from recipes.tuning.trials import Trials

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Trials, "learn", full)
        with pytest.raises(CheckFailed, match="the disk is full"):
            tune(brief(), iris, out=tmp_path / "s", max_trials=2, retrain=False, **narrow)
    search = resume_tuning(tmp_path / "s", iris, retrain=False)
    assert {outcome.status for outcome in search.outcomes.values()} == {"done"}
    assert len(search.outcomes) == 2


def test_another_searchs_place_and_other_data_are_refused(
    found: Search, brief: Make, iris: Splits, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="exists already"):
        tune(brief(), iris, out=found.path)
    fewer = replace(iris, train=iris.train.take(np.arange(20)))
    with pytest.raises(InputError, match="has changed"):
        resume_tuning(found.path, fewer)
    with pytest.raises(InputError, match="is no search"):
        resume_tuning(tmp_path)
