"""Another file of the user's, read the way that an existing model reads its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recipes import Run, Splits, data_for, evaluate, finetune, load_data, train
from recipes.data.splits import SPLITS
from recipes.evaluation import MAIN_METRIC
from zoo import CheckFailed, InputError
from zoo.cli import run as zoo_command

Spoiler = Callable[[int, float], Any]
Pictures = Callable[..., Path]

FEATURES = ["area", "rooms", "rooms is missing", *(f"city = {c}" for c in ("Bern", "Oslo", "Rome"))]


@pytest.fixture
def others(flats: Path, tmp_path: Path) -> Path:
    """Flats in an order of columns of their own: none in Bern, and one without its area."""
    rows = pd.read_csv(flats)
    rows = rows[rows["city"] != "Bern"][["price", "city", "rooms", "area"]]
    rows.iloc[3, 3] = np.nan
    rows.to_csv(tmp_path / "others.csv", index=False)
    return tmp_path / "others.csv"


def test_the_flats_are_read_as_a_quantity_with_gaps_and_categories(flats_run: Run):
    assert flats_run.card.input.features == FEATURES
    assert (flats_run.config.task, flats_run.config.labels) == ("regression", [])


def test_another_table_is_read_by_the_runs_own_encoder_target_and_task(
    flats_run: Run, others: Path
):
    data = data_for(flats_run.path, others)
    assert data.encoder == flats_run.encoder
    assert (data.task, data.labels) == ("regression", ())
    every, rows = data["all"], pd.read_csv(others)
    assert len(every) == len(rows)
    assert every.inputs[:, FEATURES.index("city = Bern")].tolist() == [0] * len(rows)
    assert every.inputs[:, FEATURES.index("city = Oslo")].sum() == (rows["city"] == "Oslo").sum()
    missing = every.inputs[:, FEATURES.index("rooms is missing")]
    assert missing.sum() == rows["rooms"].isna().sum() > 0
    assert flats_run.encoder is not None
    median = next(c.fill for c in flats_run.encoder.columns if c.name == "area")
    areas = every.inputs[:, 0]
    assert sorted(areas) == sorted(rows["area"].fillna(median).astype("float32"))
    np.testing.assert_array_equal(np.sort(every.targets[:, 0]), np.sort(rows["price"]))


def test_another_table_is_evaluated_as_the_run_learned_it(flats_run: Run, others: Path):
    figures = evaluate(flats_run.path, others, split="all")
    assert figures.keys() == {"r2", "mae", "mse"}
    rows = pd.read_csv(others)
    assert flats_run.encoder is not None
    outputs = flats_run.load().predict(flats_run.encoder.encode(rows), verbose=0)[:, 0]
    assert figures["mae"] == pytest.approx(np.abs(outputs - rows["price"]).mean(), rel=1e-4)
    assert figures["r2"] > 0.8


def test_a_run_reads_its_own_table_with_its_own_task(flats_run: Run):
    figures = evaluate(flats_run.path, split="validation")
    assert figures == pytest.approx(flats_run.metrics["validation"], rel=1e-5)


def test_another_target_can_be_named(flats_run: Run, others: Path):
    rows = pd.read_csv(others).rename(columns={"price": "rent"})
    rows["rent"] = np.arange(len(rows)) % 7
    rows.to_csv(others, index=False)
    data = data_for(flats_run.path, others, target="rent")
    assert (data.task, data.features) == ("classification", FEATURES)
    assert data.labels == tuple("0123456")


def test_a_table_without_one_of_the_columns_is_refused(flats_run: Run, others: Path):
    pd.read_csv(others).rename(columns={"rooms": "romes"}).to_csv(others, index=False)
    with pytest.raises(InputError, match="no column 'rooms'; did you mean 'romes'"):
        evaluate(flats_run.path, others)


def test_a_fine_tuned_run_keeps_the_encoder_and_the_task(
    flats_run: Run, others: Path, tmp_path: Path
):
    run = finetune(flats_run.path, others, tmp_path / "run", epochs=1, head_epochs=0)
    assert run.encoder == flats_run.encoder
    assert run.config.task == "regression"
    assert run.card.input.features == FEATURES
    assert run.card.dataset.source == str(others)
    assert run.metrics["test"].keys() == {"r2", "mae", "mse"}
    assert evaluate(run.path, split="validation") == pytest.approx(run.metrics["validation"])


@pytest.mark.parametrize("how", ["finetune", "train", "command"])
def test_a_fine_tuned_run_on_a_table_resumes(
    flats_run: Run, others: Path, spoil: Spoiler, tmp_path: Path, how: str
):
    out = tmp_path / "run"
    nan = spoil(1, float("nan"))
    with pytest.raises(CheckFailed):
        finetune(flats_run.path, others, out, epochs=2, head_epochs=0, callbacks=[nan])
    recipe = Run(out).config.recipe
    if how == "finetune":
        finetune(flats_run.path, others, out, resume=True)
    elif how == "train":
        train(recipe, out, resume=True)
    else:
        assert zoo_command(["finetune", "--resume", "--out", str(out)]) == 0
    run = Run(out)
    assert run.finished
    assert run.card.training.epochs == 2
    assert run.encoder == flats_run.encoder


def test_splits_with_other_features_are_refused_by_name(
    flats_run: Run, others: Path, tmp_path: Path
):
    data = load_data(others, target="price", task="regression")
    with pytest.raises(InputError) as error:
        finetune(flats_run.path, data, tmp_path / "run")
    message = str(error.value)
    assert "takes the features 'area', 'rooms', 'rooms is missing', 'city = Bern'" in message
    assert f"{str(others)!r} has 'city = Oslo', 'city = Rome', 'rooms'" in message
    assert "recipes.data_for" in message
    assert not (tmp_path / "run").exists()


def test_splits_with_the_features_in_another_order_are_refused(
    flats_run: Run, flats: Path, tmp_path: Path
):
    rows = pd.read_csv(flats)
    rows[rows.columns[::-1]].to_csv(tmp_path / "reversed.csv", index=False)
    data = load_data(tmp_path / "reversed.csv", target="price", task="regression")
    assert data.shape == (len(FEATURES),)
    with pytest.raises(InputError, match="takes the features 'area', 'rooms'"):
        finetune(flats_run.path, data, tmp_path / "run")


def test_splits_that_were_read_for_the_model_are_taken(
    flats_run: Run, others: Path, tmp_path: Path
):
    data = data_for(flats_run.path, others)
    run = finetune(flats_run.path, data, tmp_path / "run", epochs=1, head_epochs=0)
    assert run.card.input.features == FEATURES


def test_pictures_come_in_the_shape_of_the_model(pictures: Pictures):
    folder = pictures({"a": 4, "b": 4})
    assert data_for("lenet5-mnist", folder).shape == (28, 28, 1)


def test_a_recipe_of_a_linear_model_makes_whole_numbers_a_quantity(flats: Path, flats_run: Run):
    assert load_data(flats, target="price").task == "classification"
    assert flats_run.metrics["test"][MAIN_METRIC["regression"]] > 0.8


def test_all_examples_are_those_of_the_three_parts(few_digits: Splits, short_run: Run):
    every = few_digits["all"]
    assert len(every) == sum(few_digits.sizes.values())
    inputs = np.concatenate([few_digits[split].inputs for split in SPLITS])
    np.testing.assert_array_equal(every.inputs, inputs)
    parts = {split: evaluate(short_run.path, few_digits, split=split) for split in SPLITS}
    together = evaluate(short_run.path, few_digits, split="all")
    for name in ("accuracy", "cross_entropy"):
        expected = sum(parts[s][name] * len(few_digits[s]) for s in SPLITS) / len(every)
        assert together[name] == pytest.approx(expected, rel=1e-5)
    assert parts["train"] != parts["test"]


def test_targets_and_dropped_columns_are_for_tables(pictures: Pictures):
    folder = pictures({"a": 4, "b": 4})
    for source in (folder, "digits", "iris"):
        for options in ({"target": "x"}, {"drop": ["x"]}):
            with pytest.raises(InputError, match="is no table file: it takes no target"):
                load_data(source, **options)
