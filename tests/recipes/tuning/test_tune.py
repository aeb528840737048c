"""Whole searches on small data: what they leave behind, and how they fail."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recipes import Recipe, Run, Search, Splits, train, tune
from recipes.data import Examples
from recipes.tuning import Outcome, PartOfGrid
from recipes.tuning.space import applied
from zoo.errors import CheckFailed, InputError

Make = Callable[..., Recipe]
Fields = dict[str, Any]


def test_every_trial_is_told_and_kept(found: Search, told: list[tuple[int, Outcome]]) -> None:
    outcomes = found.outcomes
    assert [number for number, _ in told] == list(range(9)) == [int(n) for n in outcomes]
    assert [outcome for _, outcome in told] == list(outcomes.values())
    for outcome in outcomes.values():
        if outcome.status == "done":
            assert set(outcome.figures) == {"val_loss", "val_accuracy"}
            assert outcome.epochs == 3
            assert 0 <= outcome.figures["val_accuracy"] <= 1


def test_a_trial_whose_loss_is_no_number_is_pruned_and_no_end(found: Search) -> None:
    pruned = [o for o in found.outcomes.values() if o.status == "pruned"]
    assert pruned
    for outcome in pruned:
        assert outcome.values["learning_rate"] > 1
        assert "not a number" in outcome.message


def test_the_table_has_a_row_for_each_trial(found: Search) -> None:
    table = pd.read_csv(found.path / "trials.csv")
    assert list(table["trial"]) == list(range(9))
    assert set(found.space) <= set(table.columns)
    for number, row in table.iterrows():
        outcome = found.outcomes[str(number)]
        assert row["status"] == outcome.status
        assert row["learning_rate"] == pytest.approx(outcome.values["learning_rate"])
        if outcome.status == "done":
            assert row["val_loss"] == pytest.approx(outcome.figures["val_loss"])
        assert np.isnan(row["arguments.hidden.2"]) == (
            outcome.values["arguments.hidden.length"] == 1
        )


def test_the_best_is_the_best_by_validation(found: Search) -> None:
    best = max(
        (o for o in found.outcomes.values() if o.status == "done"),
        key=lambda outcome: outcome.figures["val_accuracy"],
    )
    assert found.outcomes[found.ranked[0]].figures == best.figures
    assert found.best.learning_rate in {
        o.values["learning_rate"] for o in found.outcomes.values() if o.figures == best.figures
    }
    kept = json.loads((found.path / "best.json").read_text())
    assert Recipe(**kept) == found.best


def test_the_best_is_trained_anew_and_measured_once(found: Search, tmp_path: Path) -> None:
    run = found.run
    assert run.finished
    assert run.config.recipe == found.best
    assert run.card.metric("accuracy") is not None
    again = train(found.best, tmp_path / "again")
    assert again.metrics == run.metrics


def test_there_are_pictures(found: Search) -> None:
    from PIL import Image

    for name in ("best_so_far.png", "parallel_coordinates.png"):
        pixels = np.asarray(Image.open(found.path / name).convert("RGB"))
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20


def test_a_trial_keeps_its_recipe_and_its_history_alone(found: Search) -> None:
    folders = list(found.trials.glob("trial_*/execution-*"))
    assert len(folders) >= 2
    for folder in folders:
        assert {path.name for path in folder.iterdir()} <= {
            "config.json", "figures.json", "history.csv",
        }  # fmt: skip


def test_executions_have_seeds_of_their_own_and_their_mean_counts(found: Search) -> None:
    name = found.ranked[0]
    folder = found.trials / f"trial_{name}"
    runs = [Run(folder / f"execution-{n}") for n in range(2)]
    assert [run.config.recipe.seed for run in runs] == [0, 1]
    figures = [
        json.loads((run.path / "figures.json").read_text())["best"]["val_loss"] for run in runs
    ]
    assert figures[0] != figures[1]
    assert found.outcomes[name].figures["val_loss"] == pytest.approx(np.mean(figures))


def test_no_trial_ever_sees_the_test_split(
    brief: Make, iris: Splits, tmp_path: Path, narrow: Fields
) -> None:
    poisoned = Examples(np.full_like(iris.test.inputs, np.nan), iris.test.targets)
    search = tune(
        brief(), replace(iris, test=poisoned), out=tmp_path / "s", max_trials=2, retrain=False,
        **narrow,
    )  # fmt: skip
    for folder in search.trials.glob("trial_*/execution-*"):
        assert Run(folder).config.dataset.examples["test"] == 0
    clean = tune(brief(), iris, out=tmp_path / "t", max_trials=2, retrain=False, **narrow)
    values = [[o.figures for o in s.outcomes.values()] for s in (search, clean)]
    assert values[0] == values[1]
    assert not search.finished


def test_hyperband_gives_all_epochs_to_few_and_goes_on_from_earlier_ones(
    brief: Make, iris: Splits, tmp_path: Path, narrow: Fields
) -> None:
    search = tune(
        brief(epochs=9), iris, out=tmp_path / "s", tuner="hyperband", max_trials=16,
        retrain=False, **narrow,
    )  # fmt: skip
    epochs = [outcome.epochs for outcome in search.outcomes.values()]
    assert set(epochs) == {1, 3, 9}
    assert epochs.count(1) > epochs.count(9)
    promoted = next(o for o in search.outcomes.values() if o.epochs == 3)
    first = next(
        o for o in search.outcomes.values() if o.epochs == 1 and o.values == promoted.values
    )
    assert promoted.seconds >= first.seconds
    recipe = applied(brief(epochs=9, **narrow["fixed"]), promoted.values)
    straight = train(recipe, tmp_path / "straight", data=iris)
    state = straight.read_state()
    assert state is not None
    kept = max(state.history[:3], key=lambda row: (row["val_accuracy"], -row["val_loss"]))
    assert promoted.figures["val_loss"] == pytest.approx(kept["val_loss"], rel=1e-6)


@pytest.mark.parametrize("keep", ["best", "last"])
def test_what_is_ranked_is_what_the_model_has(
    keep: str, brief: Make, iris: Splits, tmp_path: Path, narrow: Fields
) -> None:
    """The lowest loss of all epochs is not that of the epoch whose weights are kept."""
    search = tune(
        brief(keep=keep, epochs=6), iris, out=tmp_path / "s", max_trials=2, objective="val_loss",
        **narrow,
    )  # fmt: skip
    figures = search.outcomes[search.ranked[0]].figures
    measured = search.run.metrics["validation"]
    assert measured["accuracy"] == pytest.approx(figures["val_accuracy"], abs=1e-6)
    assert measured["cross_entropy"] == pytest.approx(figures["val_loss"], rel=1e-4)


def test_a_run_is_no_search_and_the_other_way_round(found: Search) -> None:
    with pytest.raises(InputError, match="best is a run, and no search"):
        Search(found.path / "best")
    with pytest.raises(InputError, match="is a search, and no run"):
        Run(found.path)


def test_a_grid_that_will_not_end_and_too_few_trials_are_told(
    brief: Make, iris: Splits, tmp_path: Path, narrow: Fields
) -> None:
    with pytest.warns(PartOfGrid, match="the grid has 20 configurations"):
        tune(
            brief(), iris, out=tmp_path / "grid", tuner="grid", max_trials=1, retrain=False,
            space={"learning_rate": (1e-3, 1e-1, "log"), "optimizer": ["sgd", "adam"]},
            fixed=narrow["fixed"] | {"arguments": {"hidden": [8], "activation": "relu",
                                                   "batch_norm": False, "dropout": 0.0}},
        )  # fmt: skip
    with pytest.raises(InputError, match="one of 40 trials: allow so many, not 20"):
        tune(brief(epochs=27), iris, out=tmp_path / "s", tuner="hyperband")
    assert not (tmp_path / "s").exists()


def test_failed_trials_are_named_and_no_end(
    brief: Make, iris: Splits, tmp_path: Path, narrow: Fields
) -> None:
    search = tune(
        brief(), iris, out=tmp_path / "s", tuner="grid", max_trials=4, retrain=False,
        space={"activation": ["relu", "rleu"], "learning_rate": [0.01, 0.02]},
        fixed=narrow["fixed"] | {"arguments": {"hidden": [8], "dropout": 0.0, "batch_norm": False}},
    )  # fmt: skip
    failed = [o for o in search.outcomes.values() if o.status == "failed"]
    assert len(failed) == 2
    assert all("rleu" in outcome.message for outcome in failed)
    assert search.best.arguments["activation"] == "relu"


def test_a_search_without_a_figure_says_why(
    brief: Make, iris: Splits, tmp_path: Path, narrow: Fields
) -> None:
    with pytest.raises(CheckFailed, match=r"none of the 2 trials .* not a number"):
        tune(
            brief(), iris, out=tmp_path / "s", max_trials=2,
            **narrow | {"space": {"learning_rate": (1e25, 1e26, "log")}},
        )  # fmt: skip
    assert (tmp_path / "s" / "trials.csv").is_file()


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
