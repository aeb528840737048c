"""`zoo explain` and `zoo lr-find` as their users meet them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from recipes import Run, load_data
from zoo.cli import run as zoo_command

Answer = Callable[..., Any]
Complaint = Callable[..., str]


@pytest.fixture
def picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A real zero, in a folder that the command runs in."""
    monkeypatch.chdir(tmp_path)
    data = load_data("digits")
    zero = data.train.inputs[data.train.targets == 0][0].squeeze()
    path = tmp_path / "zero.png"
    Image.fromarray(zero).resize((77, 80)).convert("RGB").save(path)
    return path


def is_sheet(path: Path, least: int) -> bool:
    image = Image.open(path)
    return image.format == "PNG" and min(image.size) > least and np.ptp(np.asarray(image)) > 200


def test_explain_writes_a_sheet(answer: Answer, picture: Path) -> None:
    result = answer("explain", "lenet5-mnist", str(picture))
    assert result["out"] == "zero-lenet5-mnist.png"
    assert result["target"] == result["classes"][0]["label"] == "0"
    assert result["layer"] == "stage2"
    assert is_sheet(Path(result["out"]), 600)
    assert sorted(p.name for p in Path().iterdir()) == ["zero-lenet5-mnist.png", "zero.png"]


def test_explain_takes_a_run_a_class_and_a_place(
    answer: Answer, digits_run: Run, picture: Path
) -> None:
    call = ["explain", str(digits_run.path), str(picture), "--out", "sheets/why.png"]
    result = answer(*call, "--target", "6")
    assert result["target"] == "6"
    assert result["classes"][0]["label"] == "0"
    assert is_sheet(Path("sheets/why.png"), 600)


def test_explain_overwrites_only_when_asked_to(
    complaint: Complaint, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = Path("why.png")
    taken.write_text("mine")
    call = ["explain", "mlp-mnist", str(picture), "--out", "why.png"]
    assert "exists already" in complaint(*call)
    assert taken.read_text() == "mine"
    assert zoo_command([*call, "--overwrite"]) == 0
    assert "why.png" in capsys.readouterr().out
    assert is_sheet(taken, 300)


def test_lr_find_draws_a_curve_and_prints_a_rate(
    answer: Answer,
    complaint: Complaint,
    picture: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    call = ["lr-find", "mlp", "--data", "digits", "--batch-size", "64"]
    result = answer(*call, "--set", 'arguments={"hidden": [16]}', "--highest", "1000")
    assert 1e-4 < result["suggestion"] < 1
    assert result["diverged"]
    assert len(result["rates"]) == len(result["losses"]) == len(result["smoothed"])
    assert is_sheet(Path(result["out"]), 300)
    assert "exists already" in complaint(*call)
    assert zoo_command([*call, "--overwrite", "--steps", "40"]) == 0
    assert "learning rate" in capsys.readouterr().out


def test_lr_find_is_for_fine_tuning_too(answer: Answer, picture: Path) -> None:
    call = ["lr-find", "lenet5-mnist", "--finetune", "--data", "digits", "--steps", "60"]
    result = answer(*call, "--set", "strategy=frozen", "--highest", "100")
    assert result["model"] == "lenet5-mnist"
    assert 1e-4 < result["suggestion"] < 10
    assert (result["learning_rate"], result["batch_size"]) == (3e-4, 32)  # finetune's own
    assert is_sheet(Path(result["out"]), 300)


def test_lr_find_says_that_a_range_does_not_serve(complaint: Complaint, picture: Path) -> None:
    call = ["lr-find", "mlp", "--data", "iris", "--set", "optimizer=sgd", "--lowest", "1e6"]
    assert "begin lower" in complaint(*call, "--highest", "1e9", code=1)
    assert not Path("mlp-learning-rate.png").exists()


BAD_CALLS = {
    "no such model": (["explain", "lenet5-mnits", "zero.png"], "lenet5-mnist"),
    "no such picture": (["explain", "lenet5-mnist", "one.png"], "one.png"),
    "no picture": (["explain", "lenet5-mnist", "notes.txt"], "notes.txt"),
    "no such class": (["explain", "lenet5-fashion", "zero.png", "--target", "Coats"], "'Coat'"),
    "a table": (["explain", "logistic-breast_cancer", "zero.png"], "nothing to explain"),
    "no classes": (["explain", "autoencoder-mnist", "zero.png"], "nothing to explain"),
    "a folder": (["explain", "lenet5-mnist", "zero.png", "--out", "."], "PNG"),
    "no PNG": (["explain", "lenet5-mnist", "zero.png", "--out", "why.jpg"], "why.jpg"),
    "the picture itself": (
        ["explain", "lenet5-mnist", "zero.png", "--out", "zero.png", "--overwrite"],
        "the picture itself",
    ),
    "architecture without data": (["lr-find", "mlp"], "--data"),
    "no such recipe": (["lr-find", "lenet5-mnits"], "lenet5-mnist"),
    "no data to fine-tune on": (["lr-find", "lenet5-mnist", "--finetune"], "--data"),
    "nothing to fine-tune": (
        ["lr-find", "lenet5-mnits", "--finetune", "--data", "iris"],
        "did you mean 'lenet5-mnist'",
    ),
    "a falling range": (
        ["lr-find", "mlp", "--data", "iris", "--lowest", "1", "--highest", "0.1"],
        "must rise",
    ),
    "no PNG for the curve": (["lr-find", "mlp", "--data", "iris", "--out", "a.jpg"], "a.jpg"),
}


@pytest.mark.parametrize(("arguments", "part"), BAD_CALLS.values(), ids=BAD_CALLS.keys())
def test_a_wrong_call_is_one_line(
    complaint: Complaint, picture: Path, arguments: list[str], part: str
) -> None:
    Path("notes.txt").write_text("no picture")
    assert part in complaint(*arguments)
    assert sorted(p.name for p in Path().iterdir()) == ["notes.txt", "zero.png"]
