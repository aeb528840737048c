"""How searches compare on one table of trainings: the table, and what is claimed of it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recipes import Recipe, load_data, train

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"


@pytest.fixture(scope="module")
def trainings() -> pd.DataFrame:
    return pd.read_csv(RESULTS / "tuning_table.csv")


@pytest.fixture(scope="module")
def means() -> pd.DataFrame:
    table = pd.read_csv(RESULTS / "tuning.csv")
    assert (table.groupby("contender")["seed"].nunique() == 20).all()
    return table.groupby("contender").mean(numeric_only=True)


def test_the_table_is_a_whole_grid(trainings: pd.DataFrame) -> None:
    grid = [name for name in trainings if not name.startswith("val_")]
    assert len(trainings) == 2000 == len(trainings[grid].drop_duplicates())
    assert np.prod([trainings[name].nunique() for name in grid]) == 2000
    losses = trainings.filter(like="val_loss").to_numpy()
    assert (np.diff(losses, axis=1) <= 0).all()  # the best so far


@pytest.mark.parametrize("row", [700, 1900])
def test_a_row_is_what_a_recipe_comes_to(row: int, trainings: pd.DataFrame, tmp_path: Path) -> None:
    one = trainings.iloc[row]
    recipe = Recipe(
        model="mlp",
        data="digits",
        arguments={
            "hidden": [int(one["width"])] * int(one["depth"]),
            "activation": one["activation"],
            "dropout": float(one["dropout"]),
        },
        epochs=27,
        batch_size=int(one["batch_size"]),
        learning_rate=float(one["learning_rate"]),
    )
    run = train(recipe, tmp_path / "run", data=load_data("digits"))
    state = run.read_state()
    assert state is not None
    best = max(epoch["val_accuracy"] for epoch in state.history)
    assert best == pytest.approx(one["val_accuracy_27"], abs=0.03)


def test_twenty_trials_of_ours_do_as_well_as_sixty_at_random(means: pd.DataFrame) -> None:
    ours = means.loc["Gaussian process (ours)"]
    assert ours["best_20"] <= means.loc["random", "best_60"]


@pytest.mark.parametrize("trials", [10, 20, 40])
def test_ours_is_not_behind_optunas(trials: int, means: pd.DataFrame) -> None:
    name = f"best_{trials}"
    assert means.loc["Gaussian process (ours)", name] <= means.loc["TPE (Optuna)", name]
