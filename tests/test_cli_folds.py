"""`zoo evaluate --folds`: cross-validation by the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recipes import Run
from zoo.cli import run as zoo_command

CALL = ["evaluate", "softmax", "--data", "iris", "--folds", "2", "--epochs", "3"]


def test_an_architecture_on_data_by_folds(
    answer: Callable[..., Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    place = tmp_path / "folds"
    found = answer(*CALL, "--set", "learning_rate=0.1", "--out", str(place))
    assert [fold["fold"] for fold in found["folds"]] == [1, 2]
    values = [fold["metrics"]["accuracy"] for fold in found["folds"]]
    assert found["mean"]["accuracy"] == pytest.approx(np.mean(values))
    assert found["deviation"]["accuracy"] == pytest.approx(np.std(values, ddof=1))
    assert pd.read_csv(place / "folds.csv")["accuracy"].tolist() == values
    # Both folds are there, and nothing is trained again to print them.
    assert zoo_command([*CALL, "--set", "learning_rate=0.1", "--out", str(place)]) == 0
    printed = capsys.readouterr()
    assert "epoch" not in printed.err
    for part in ("mean", "deviation", f"{100 * np.mean(values):.2f} %", "folds.csv"):
        assert part in printed.out


def test_the_recipe_of_a_run_by_folds(
    answer: Callable[..., Any], flats_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(path.name for path in flats_run.path.iterdir())
    found = answer("evaluate", str(flats_run.path), "--folds", "2", "--set", "keep=last")
    assert found["data"] == flats_run.config.dataset.source
    assert found["mean"]["r2"] > 0.5
    sizes = flats_run.config.dataset.examples
    held_out = sum(fold["held_out"] for fold in found["folds"])
    assert held_out == sizes["train"] + sizes["validation"]
    assert sorted(path.name for path in flats_run.path.iterdir()) == before
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else_is_refused_before_data_is_read(
    complaint: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    call = ["evaluate", "softmax", "--data", "no-such-data", "--folds", "2"]
    assert f"{tmp_path} exists already" in complaint(*call, "--out", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
