"""Calls that cannot be meant: each is one line, exit code 2, and leaves nothing behind."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recipes import Run
from zoo.cli import run as zoo_command

Complaint = Callable[..., str]

TRAIN = ["train", "mlp", "--data", "digits", "--out", "run"]
TUNE = ["finetune", "lenet5-mnist", "--data", "digits", "--out", "run"]

CALLS = {
    "unknown task": (["list", "--task", "regresion"], "did you mean 'regression'"),
    "unknown family": (["list", "--family", "visoin"], "did you mean 'vision'"),
    "task near none": (
        ["list", "--task", "xyz"],
        "known: classification, control, discrimination, generation, language_modeling",
    ),
    "nothing matches": (["list", "xyz*"], "nothing matches 'xyz*'"),
    "nothing matches in JSON": (["list", "xyz*", "--json"], "nothing matches 'xyz*'"),
    "unknown task in JSON": (["list", "--task", "xyz", "--json"], "no task 'xyz'"),
    "negative seed": ([*TRAIN, "--seed", "-1"], "seed must not be negative, but is -1"),
    "negative seed of a tuning": ([*TUNE, "--seed", "-1"], "seed must not be negative"),
    "negative crop": ([*TRAIN, "--set", 'augment={"crop": -1}'], "'crop' must be from 0 to inf"),
    "large crop": ([*TRAIN, "--set", 'augment={"crop": 8}'], "'crop' must be from 0 to 7, not 8"),
    "flip of 2": ([*TRAIN, "--set", 'augment={"flip": 2}'], "'flip' must be from 0 to 1, not 2"),
    "flip of NaN": ([*TRAIN, "--set", 'augment={"flip": NaN}'], "'flip' must be from 0 to 1"),
    "flip of NaN in a tuning": ([*TUNE, "--set", 'augment={"flip": NaN}'], "'flip' must be"),
    "no such augmentation": ([*TRAIN, "--set", 'augment={"flop": 1}'], "did you mean 'flip'"),
    "resume with epochs": (["train", "--resume", "--out", "run", "--epochs", "3"], "out epochs"),
    "resume with a field": (
        ["train", "--resume", "--out", "run", "--set", "patience=3", "--seed", "1"],
        "leave out seed, patience",
    ),
    "resume with a target": (["train", "--resume", "--out", "run", "--target", "y"], "out target"),
    "resume a tuning with a rate": (
        ["finetune", "--resume", "--out", "run", "--learning-rate", "0.1"],
        "leave out learning_rate",
    ),
    "resume nowhere": (["finetune", "--resume"], "--out"),
    "resume by a file's name": (["train", "best.json", "--resume"], "runs/best is no run"),
    "resume what is no run": (["train", "--resume", "--out", "run"], "is no run"),
    "no such model": (["predict", "lenet5-mnits", "x.png"], "lenet5-mnist"),
    "no such picture": (["predict", "lenet5-mnist", "x.png"], "x.png"),
    "no such data": (["finetune", "lenet5-mnist", "--data", "digts", "--out", "r"], "digits"),
    "no data": (["finetune", "lenet5-mnist"], "--data"),
    "no name": (["train"], "zoo list"),
    "architecture without data": (["train", "mlp"], "--data"),
    "no such recipe": (["train", "lenet5-mnits"], "lenet5-mnist"),
    "no such field": (
        ["train", "mlp", "--data", "iris", "--out", "r", "--set", "epoch=3"],
        "'epochs'",
    ),
    "wrong field": (
        ["train", "mlp", "--data", "iris", "--out", "r", "--set", "epochs=many"],
        "epochs",
    ),
    "the model as a setting": ([*TUNE, "--set", "model=mlp"], "the command's first word"),
    "the data as a setting": ([*TRAIN, "--set", "data=iris"], "an option of its own (--data)"),
    "fine-tuning as a setting": ([*TRAIN, "--set", "fine_tuning=true"], "zoo finetune does"),
    "no data options": ([*TUNE, "--set", "data_options=3"], "wants a JSON object, not 3"),
    "a wrong data option": (
        [*TUNE, "--set", 'data_options={"validation": -1}'],
        "a number of examples, 0 for all, not -1",
    ),
    "an endless seed": ([*TRAIN, "--seed", "5000000000"], "seed must be below"),
    "no equals sign": (["train", "mlp", "--data", "iris", "--set", "epochs"], "FIELD=VALUE"),
    "no epochs": (["train", "mlp", "--data", "iris", "--out", "r", "--epochs", "0"], "epochs"),
    "too many classes": (["train", "logistic", "--data", "iris", "--out", "r"], "3 classes"),
    "a table into a convolution": (
        ["train", "convnet", "--data", "iris", "--out", "r"],
        "(4,)",
    ),
    "tiny pictures": (["train", "convnet", "--data", "digits", "--out", "r"], "(8, 8, 1)"),
    "one fold": (["evaluate", "softmax", "--data", "iris", "--folds", "1"], "at least 2 folds"),
    "folds of an agent": (["evaluate", "dqn-cartpole", "--folds", "3"], "learns by playing"),
    "folds of a generator": (["evaluate", "dcgan-mnist", "--folds", "3"], "to make pictures"),
    "folds and a split": (
        ["evaluate", "softmax-mnist", "--folds", "3", "--split", "test"],
        "leave out --split and --augment",
    ),
    "folds and an augmentation": (
        ["evaluate", "lenet5-mnist", "--folds", "3", "--augment", "shift"],
        "leave out --split and --augment",
    ),
    "folds of an architecture without data": (["evaluate", "mlp", "--folds", "3"], "--data"),
    "folds of no model": (["evaluate", "sofmax", "--folds", "3"], "'softmax'"),
    "folds with a wrong field": (
        ["evaluate", "softmax", "--data", "iris", "--folds", "3", "--set", "epoch=3"],
        "'epochs'",
    ),
    "more folds than examples": (
        ["evaluate", "softmax", "--data", "iris", "--folds", "99", "--out", "folds"],
        "99 folds are too many: the class 'setosa'",
    ),
    "epochs without folds": (["evaluate", "lenet5-mnist", "--epochs", "3"], "(--folds)"),
    "no such run": (["evaluate", "runs/none"], "runs/none"),
    "no such format": (["export", "lenet5-mnist", "--format", "onx", "--out", "o"], "format"),
    "not an artifact": (["verify", "."], "model.json"),
    "resume nothing": (["train", "--resume"], "--out"),
    "pictures for a table model": (
        ["evaluate", "linear-diabetes", "--data", "digits"],
        "is data for classification, not for regression",
    ),
}


@pytest.mark.parametrize(("arguments", "part"), CALLS.values(), ids=CALLS.keys())
def test_a_call_that_cannot_be_meant_is_one_line(
    complaint: Complaint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    part: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert part in complaint(*arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "value"), [("batch", "0"), ("batch", "-1"), ("timeout", "-1"), ("timeout", "0")]
)
def test_an_export_with_a_limit_that_makes_no_sense_is_one_line(
    complaint: Complaint, flats_run: Run, tmp_path: Path, option: str, value: str
) -> None:
    call = ["export", str(flats_run.path), "--out", str(tmp_path / "out")]
    assert f"{option} must be above 0, not {value}" in complaint(*call, f"--{option}", value)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_split_is_one_line(complaint: Complaint, flats_run: Run) -> None:
    line = complaint("evaluate", str(flats_run.path), "--split", "tset")
    assert "no split 'tset'; did you mean 'test'" in line


TAKEN = {
    "train": ["train", "mlp"],
    "finetune": ["finetune", "lenet5-mnist"],
    "export": ["export", "lenet5-mnist"],
}


@pytest.mark.parametrize("call", TAKEN.values(), ids=TAKEN.keys())
def test_a_place_that_is_taken_is_refused_before_data_is_read(
    complaint: Complaint, tmp_path: Path, call: list[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    line = complaint(*call, "--data", "no-such-data", "--out", str(tmp_path))
    assert f"{tmp_path} exists already" in line
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_a_finished_run_is_not_resumed_with_other_settings(
    complaint: Complaint, flats_run: Run
) -> None:
    before = (flats_run.path / "card.json").read_bytes()
    line = complaint("train", "--resume", "--out", str(flats_run.path), "--epochs", "99")
    assert "a run is resumed with the recipe that it was started with" in line
    assert (flats_run.path / "card.json").read_bytes() == before
    assert zoo_command(["train", "--resume", "--out", str(flats_run.path)]) == 0


@pytest.mark.parametrize(
    ("fields", "part"),
    [({"format": "coreml"}, "no format 'coreml'"), ({"quantization": "int2"}, "'int2'")],
)
def test_an_artifact_of_an_unknown_format_is_one_line(
    complaint: Complaint, flats_run: Run, tmp_path: Path, fields: dict[str, Any], part: str
) -> None:
    out = tmp_path / "out"
    assert zoo_command(["export", str(flats_run.path), "--no-verify", "--out", str(out)]) == 0
    content = json.loads((out / "model.json").read_text())
    (out / "model.json").write_text(json.dumps(content | fields))
    assert part in complaint("verify", str(out))


def test_an_artifact_whose_model_is_gone_says_how_to_name_one(
    complaint: Complaint, flats_run: Run, tmp_path: Path
) -> None:
    shutil.copytree(flats_run.path, tmp_path / "run")
    out = str(tmp_path / "out")
    assert zoo_command(["export", str(tmp_path / "run"), "--no-verify", "--out", out]) == 0
    shutil.rmtree(tmp_path / "run")
    assert "Name the model that the artifact came from (--model)" in complaint("verify", out)
