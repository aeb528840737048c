"""Whole searches on small data: what they leave behind, how they fail, and how they go on."""

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
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd
import pytest

from recipes import Recipe, Run, Search, Splits, load_data, resume_tuning, train, tune
from recipes.data import Examples
from recipes.tuning import Outcome, PartOfGrid
from zoo.errors import CheckFailed, InputError

Make = Callable[..., Recipe]


@pytest.fixture(scope="module")
def iris() -> Splits:
    return load_data("iris")


@pytest.fixture(scope="module")
def brief() -> Make:
    def recipe(**fields: Any) -> Recipe:
        usual = {
            "model": "mlp",
            "arguments": {"hidden": [8]},
            "data": "iris",
            "epochs": 3,
            "batch_size": 16,
            "learning_rate": 0.03,
        }
        return Recipe(**(usual | fields))

    return recipe


NARROW: dict[str, Any] = {
    "space": {"learning_rate": (1e-3, 1e-1, "log")},
    "fixed": {
        "batch_size": 16,
        "schedule": "constant",
        "weight_decay": 0.0,
        "arguments": {"hidden": [8], "activation": "relu", "batch_norm": False},
    },
}


class Found(NamedTuple):
    search: Search
    told: list[tuple[int, Outcome]]


@pytest.fixture(scope="module")
def found(brief: Make, iris: Splits, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """A finished search, whose trials with the highest rates came to no number."""
    told: list[tuple[int, Outcome]] = []
    search = tune(
        brief(),
        iris,
        out=tmp_path_factory.mktemp("searches") / "one",
        max_trials=9,
        executions=2,
        space={"learning_rate": (1e-4, 1e12, "log"), "hidden": "4:16*1:2"},
        progress=lambda number, outcome: told.append((number, outcome)),
    )
    return Found(search, told)


def test_every_trial_is_told_and_kept(found: Found) -> None:
    outcomes = found.search.outcomes
    assert [number for number, _ in found.told] == list(range(9)) == [int(n) for n in outcomes]
    assert [outcome for _, outcome in found.told] == list(outcomes.values())
    for outcome in outcomes.values():
        if outcome.status == "done":
            assert set(outcome.figures) == {"val_loss", "val_accuracy"}
            assert outcome.epochs == 3
            assert 0 <= outcome.figures["val_accuracy"] <= 1


def test_a_trial_whose_loss_is_no_number_is_pruned_and_no_end(found: Found) -> None:
    pruned = [o for o in found.search.outcomes.values() if o.status == "pruned"]
    assert pruned
    for outcome in pruned:
        assert outcome.values["learning_rate"] > 1
        assert "not a number" in outcome.message


def test_the_table_has_a_row_for_each_trial(found: Found) -> None:
    table = pd.read_csv(found.search.path / "trials.csv")
    assert list(table["trial"]) == list(range(9))
    assert set(found.search.space) <= set(table.columns)
    for number, row in table.iterrows():
        outcome = found.search.outcomes[str(number)]
        assert row["status"] == outcome.status
        assert row["learning_rate"] == pytest.approx(outcome.values["learning_rate"])
        if outcome.status == "done":
            assert row["val_loss"] == pytest.approx(outcome.figures["val_loss"])
        assert np.isnan(row["arguments.hidden.2"]) == (
            outcome.values["arguments.hidden.length"] == 1
        )


def test_the_best_is_the_best_by_validation(found: Found) -> None:
    search = found.search
    best = max(
        (o for o in search.outcomes.values() if o.status == "done"),
        key=lambda outcome: outcome.figures["val_accuracy"],
    )
    assert search.outcomes[search.ranked[0]].figures == best.figures
    assert search.best.learning_rate in {
        o.values["learning_rate"] for o in search.outcomes.values() if o.figures == best.figures
    }
    kept = json.loads((search.path / "best.json").read_text())
    assert Recipe(**kept) == search.best


def test_the_best_is_trained_anew_and_measured_once(found: Found, tmp_path: Path) -> None:
    run = found.search.run
    assert run.finished
    assert run.config.recipe == found.search.best
    assert run.card.metric("accuracy") is not None
    again = train(found.search.best, tmp_path / "again")
    assert again.metrics == run.metrics


def test_there_are_pictures(found: Found) -> None:
    from PIL import Image

    for name in ("best_so_far.png", "parallel_coordinates.png"):
        pixels = np.asarray(Image.open(found.search.path / name).convert("RGB"))
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20


def test_a_trial_keeps_its_recipe_and_its_history_alone(found: Found) -> None:
    folders = list(found.search.trials.glob("trial_*/execution-*"))
    assert len(folders) >= 2
    for folder in folders:
        assert {path.name for path in folder.iterdir()} <= {
            "config.json", "figures.json", "history.csv",
        }  # fmt: skip


def test_executions_have_seeds_of_their_own_and_their_mean_counts(found: Found) -> None:
    name = found.search.ranked[0]
    folder = found.search.trials / f"trial_{name}"
    runs = [Run(folder / f"execution-{n}") for n in range(2)]
    assert [run.config.recipe.seed for run in runs] == [0, 1]
    figures = [
        json.loads((run.path / "figures.json").read_text())["best"]["val_loss"] for run in runs
    ]
    assert figures[0] != figures[1]
    assert found.search.outcomes[name].figures["val_loss"] == pytest.approx(np.mean(figures))


def test_no_trial_ever_sees_the_test_split(
    brief: Make, iris: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned = Examples(np.full_like(iris.test.inputs, np.nan), iris.test.targets)
    search = tune(
        brief(), replace(iris, test=poisoned), out=tmp_path / "s", max_trials=2, retrain=False,
        **NARROW,
    )  # fmt: skip
    for folder in search.trials.glob("trial_*/execution-*"):
        assert Run(folder).config.dataset.examples["test"] == 0
    clean = tune(brief(), iris, out=tmp_path / "t", max_trials=2, retrain=False, **NARROW)
    values = [[o.figures for o in s.outcomes.values()] for s in (search, clean)]
    assert values[0] == values[1]
    assert not search.finished


@pytest.mark.filterwarnings("ignore::recipes.tuning.PartOfGrid")
@pytest.mark.parametrize("tuner", ["random", "grid"])
def test_a_search_goes_on_after_its_last_trial(
    tuner: str, brief: Make, iris: Splits, tmp_path: Path
) -> None:
    common = {"tuner": tuner, "retrain": False, **NARROW}
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


def test_hyperband_gives_all_epochs_to_few_and_goes_on_from_earlier_ones(
    brief: Make, iris: Splits, tmp_path: Path
) -> None:
    search = tune(
        brief(epochs=9), iris, out=tmp_path / "s", tuner="hyperband", max_trials=16,
        retrain=False, **NARROW,
    )  # fmt: skip
    epochs = [outcome.epochs for outcome in search.outcomes.values()]
    assert set(epochs) == {1, 3, 9}
    assert epochs.count(1) > epochs.count(9)
    promoted = next(o for o in search.outcomes.values() if o.epochs == 3)
    first = next(
        o for o in search.outcomes.values() if o.epochs == 1 and o.values == promoted.values
    )
    assert promoted.seconds >= first.seconds
    recipe = replace_recipe(brief(epochs=9), promoted.values)
    straight = train(recipe, tmp_path / "straight", data=iris)
    state = straight.read_state()
    assert state is not None
    kept = max(state.history[:3], key=lambda row: (row["val_accuracy"], -row["val_loss"]))
    assert promoted.figures["val_loss"] == pytest.approx(kept["val_loss"], rel=1e-6)


@pytest.mark.parametrize("keep", ["best", "last"])
def test_what_is_ranked_is_what_the_model_has(
    keep: str, brief: Make, iris: Splits, tmp_path: Path
) -> None:
    """The lowest loss of all epochs is not that of the epoch whose weights are kept."""
    search = tune(
        brief(keep=keep, epochs=6), iris, out=tmp_path / "s", max_trials=2, objective="val_loss",
        **NARROW,
    )  # fmt: skip
    figures = search.outcomes[search.ranked[0]].figures
    measured = search.run.metrics["validation"]
    assert measured["accuracy"] == pytest.approx(figures["val_accuracy"], abs=1e-6)
    assert measured["cross_entropy"] == pytest.approx(figures["val_loss"], rel=1e-4)


def test_an_earlier_best_stays_until_a_better_one_is_trained(
    brief: Make, iris: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "s"
    search = tune(brief(), iris, out=place, tuner="random", max_trials=1, **NARROW)
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


def test_two_processes_do_not_share_a_search(found: Found, iris: Splits) -> None:
    from filelock import FileLock

    with (
        FileLock(found.search.path / ".lock"),
        pytest.raises(InputError, match="another process is at"),
    ):
        resume_tuning(found.search.path, iris)


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
    damage: Callable[[Path], None], words: str, found: Found, iris: Splits, tmp_path: Path
) -> None:
    place = tmp_path / "copy"
    shutil.copytree(found.search.path, place)
    damage(place)
    with pytest.raises(InputError, match=words):
        resume_tuning(place, iris, max_trials=20)


def test_a_run_is_no_search_and_the_other_way_round(found: Found) -> None:
    with pytest.raises(InputError, match="best is a run, and no search"):
        Search(found.search.path / "best")
    with pytest.raises(InputError, match="is a search, and no run"):
        Run(found.search.path)


def test_a_grid_that_will_not_end_and_too_few_trials_are_told(
    brief: Make, iris: Splits, tmp_path: Path
) -> None:
    with pytest.warns(PartOfGrid, match="the grid has 20 configurations"):
        tune(
            brief(), iris, out=tmp_path / "grid", tuner="grid", max_trials=1, retrain=False,
            space={"learning_rate": (1e-3, 1e-1, "log"), "optimizer": ["sgd", "adam"]},
            fixed=NARROW["fixed"] | {"arguments": {"hidden": [8], "activation": "relu",
                                                   "batch_norm": False, "dropout": 0.0}},
        )  # fmt: skip
    with pytest.raises(InputError, match="one of 40 trials: allow so many, not 20"):
        tune(brief(epochs=27), iris, out=tmp_path / "s", tuner="hyperband")
    assert not (tmp_path / "s").exists()


def replace_recipe(recipe: Recipe, values: dict[str, Any]) -> Recipe:
    import msgspec

    fixed = {k: v for k, v in NARROW["fixed"].items() if k != "arguments"}
    arguments = {**recipe.arguments, **NARROW["fixed"]["arguments"]}
    for name, value in values.items():
        field, _, key = name.partition(".")
        if key:
            arguments[key] = value
        else:
            fixed[field] = value
    return msgspec.structs.replace(recipe, arguments=arguments, **fixed)


def test_failed_trials_are_named_and_no_end(brief: Make, iris: Splits, tmp_path: Path) -> None:
    search = tune(
        brief(), iris, out=tmp_path / "s", tuner="grid", max_trials=4, retrain=False,
        space={"activation": ["relu", "rleu"], "learning_rate": [0.01, 0.02]},
        fixed=NARROW["fixed"] | {"arguments": {"hidden": [8], "dropout": 0.0, "batch_norm": False}},
    )  # fmt: skip
    failed = [o for o in search.outcomes.values() if o.status == "failed"]
    assert len(failed) == 2
    assert all("rleu" in outcome.message for outcome in failed)
    assert search.best.arguments["activation"] == "relu"


def test_a_search_without_a_figure_says_why(brief: Make, iris: Splits, tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match=r"none of the 2 trials .* not a number"):
        tune(
            brief(), iris, out=tmp_path / "s", max_trials=2,
            **NARROW | {"space": {"learning_rate": (1e25, 1e26, "log")}},
        )  # fmt: skip
    assert (tmp_path / "s" / "trials.csv").is_file()


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


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tuner": "bayes"}, "did you mean 'bayesian'"),
        ({"objective": "val_acc"}, "did you mean 'val_accuracy'"),
        ({"objective": "accuracy"}, "val_accuracy"),
        ({"max_trials": 0}, "max_trials is a whole number of 1 or more"),
        ({"executions": 1.5}, "executions is a whole number"),
        ({"workers": 0}, "workers is a whole number"),
        ({"workers": 2}, "several workers read the data by its name"),
        ({"space": {"learning_rate": [0.1]}}, "nothing to search in 0.1"),
        ({"space": {"learning_rat": [0.1, 0.2]}}, "did you mean 'learning_rate'"),
        ({"fixed": {"epoch": 3}}, "did you mean 'epochs'"),
        ({"tuner": "hyperband", "space": {"epochs": (1, 9)}}, "hyperband chooses the epochs"),
        ({"space": {"label_smoothing": [1.5, 2.5]}}, "no configuration of this space"),
    ],
    ids=str,
)
def test_what_cannot_be_searched_is_refused_before_the_first_trial(
    options: dict[str, Any], words: str, brief: Make, iris: Splits, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as refusal:
        tune(brief(), iris, out=tmp_path / "s", **options)
    assert words in str(refusal.value)
    assert not (tmp_path / "s").exists()


def test_a_search_larger_than_the_disk_is_refused(
    brief: Make, iris: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = shutil.disk_usage(tmp_path)._replace(free=(64 << 20) + 10_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: room)
    with pytest.raises(InputError, match=r"has 0\.0 GB left: search smaller models"):
        tune(brief(), iris, out=tmp_path / "s", tuner="hyperband", max_trials=50)
    assert not (tmp_path / "s").exists()


def test_a_full_disk_ends_the_search_which_can_go_on(
    brief: Make, iris: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from recipes.tuning.trials import Trials

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Trials, "learn", full)
        with pytest.raises(CheckFailed, match="the disk is full"):
            tune(brief(), iris, out=tmp_path / "s", max_trials=2, retrain=False, **NARROW)
    search = resume_tuning(tmp_path / "s", iris, retrain=False)
    assert {outcome.status for outcome in search.outcomes.values()} == {"done"}
    assert len(search.outcomes) == 2


def test_another_searchs_place_and_other_data_are_refused(
    found: Found, brief: Make, iris: Splits, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="exists already"):
        tune(brief(), iris, out=found.search.path)
    fewer = replace(iris, train=iris.train.take(np.arange(20)))
    with pytest.raises(InputError, match="has changed"):
        resume_tuning(found.search.path, fewer)
    with pytest.raises(InputError, match="is no search"):
        resume_tuning(tmp_path)


def test_fine_tuning_and_regression_and_reconstruction_are_searched(
    digits: Splits, tmp_path: Path
) -> None:
    few = replace(digits, train=digits.train.take(np.arange(200)))
    tuned = tune(
        Recipe(model="lenet5-mnist", data="digits", epochs=1, fine_tuning=True, head_epochs=1),
        few, out=tmp_path / "f", max_trials=2, retrain=False,
        fixed={"batch_size": 32, "schedule": "constant"},
    )  # fmt: skip
    assert "head_learning_rate" in tuned.space
    assert not [name for name in tuned.space if name.startswith("arguments.")]
    coded = tune(
        Recipe(model="autoencoder", data="digits", epochs=1), few, out=tmp_path / "a",
        max_trials=2, retrain=False,
    )  # fmt: skip
    assert coded.config.objective == "val_loss"
    assert coded.config.direction == "min"
    priced = tune(
        Recipe(model="linear", data="diabetes", epochs=2), out=tmp_path / "r", max_trials=2
    )
    assert priced.run.metrics["test"]["r2"] < 1
