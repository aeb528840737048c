"""The command line as its users and their programs meet it."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import zoo
from recipes import Run, load_data
from zoo.cli import run as zoo_command

Answer = Callable[..., Any]
Complaint = Callable[..., str]


def picture(path: Path, digit: np.ndarray, mode: str = "L", scale: int = 7) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(digit.squeeze()).resize((8 * scale, 8 * scale))
    image.convert(mode).save(path)
    return path


@pytest.fixture(scope="session")
def digit_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real digits 0, 1 and 7 as pictures of many sizes, modes and formats, class by class."""
    folder = tmp_path_factory.mktemp("pictures")
    data = load_data("digits")
    modes = [("L", "png"), ("RGB", "jpg"), ("RGBA", "png"), ("P", "gif"), ("L", "bmp")]
    for label in (0, 1, 7):
        chosen = data.train.inputs[data.train.targets == label][:60]
        for number, digit in enumerate(chosen):
            mode, suffix = modes[number % len(modes)]
            path = folder / f"digit {label}" / f"{number}.{suffix}"
            picture(path, digit, mode, scale=3 + number % 5)
    return folder


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["show", "lenet5-mnist"]])
def test_start_up_imports_neither_keras_nor_tensorflow(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom zoo.cli import run\n"
        f"code = run({arguments!r})\n"
        "found = [n for n in ('tensorflow', 'keras', 'pandas', 'sklearn') if n in sys.modules]\n"
        "sys.exit(', '.join(found) or code)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_list_is_a_table_and_json(answer: Answer, capsys: pytest.CaptureFixture[str]) -> None:
    rows = answer("list", "*mnist*")
    names = [row["name"] for row in rows]
    assert names == zoo.list_models("*mnist*")
    assert "lenet5-mnist" in names
    lenet = next(row for row in rows if row["name"] == "lenet5-mnist")
    assert lenet["parameters"] == 61_706
    assert lenet["metric"] == "accuracy"
    assert lenet["bytes"] == zoo.card("lenet5-mnist").weights.bytes
    assert zoo_command(["list", "*mnist*"]) == 0
    table = capsys.readouterr().out
    assert all(name in table for name in names)
    assert "61,706" in table


def test_list_filters(answer: Answer, complaint: Complaint) -> None:
    assert {row["task"] for row in answer("list", "--task", "regression")} == {"regression"}
    names = [row["name"] for row in answer("list", "--architectures")]
    assert names == zoo.list_models(pretrained=False)
    assert "nothing matches" in complaint("list", "no-such-*")


def test_show_prints_a_row_a_card_and_a_run(
    answer: Answer,
    complaint: Complaint,
    capsys: pytest.CaptureFixture[str],
    digits_run: Run,
) -> None:
    assert answer("show", "mlp_book")["trainable"] == 419_860
    assert answer("show", "lenet5-mnist")["labels"] == list("0123456789")
    card = answer("show", str(digits_run.path))
    assert card["dataset"]["source"] == "digits"
    assert zoo_command(["show", "lenet5-mnist"]) == 0
    assert "LeCun" in capsys.readouterr().out
    assert "lenet5-mnist" in complaint("show", "lenet5-mnits")


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1", "P", "CMYK", "I;16"])
def test_predict_takes_pictures_of_any_mode(answer: Answer, tmp_path: Path, mode: str) -> None:
    data = load_data("digits")
    zero = data.train.inputs[data.train.targets == 0][0]
    if mode == "I;16":
        path = tmp_path / "digit.png"
        large = np.kron(zero.squeeze().astype("uint16") * 257, np.ones((9, 9), "uint16"))
        Image.fromarray(large).save(path)
    else:
        suffix = "jpg" if mode == "CMYK" else "png"
        path = picture(tmp_path / f"digit.{suffix}", zero, mode, scale=11)
    (row,) = answer("predict", "lenet5-mnist", str(path))
    assert row["classes"][0]["label"] == "0"
    assert len(row["classes"]) == 3
    assert sum(c["probability"] for c in row["classes"]) <= 1.001


def test_predict_answers_for_the_rows_of_a_table(answer: Answer, tmp_path: Path) -> None:
    data = load_data("breast_cancer")
    path = tmp_path / "patients.csv"
    with path.open("w") as file:
        writer = csv.writer(file)
        writer.writerow(data.features)
        writer.writerows(data.test.inputs.tolist())
    rows = answer("predict", "logistic-breast_cancer", str(path), "--top", "1")
    labels = [row["classes"][0]["label"] for row in rows]
    truth = [data.labels[i] for i in data.test.targets]
    assert np.mean([a == b for a, b in zip(labels, truth, strict=True)]) > 0.9


def test_predict_writes_reconstructions(answer: Answer, tmp_path: Path) -> None:
    path = picture(tmp_path / "digit.png", load_data("digits").train.inputs[0])
    out = str(tmp_path / "out")
    (row,) = answer("predict", "autoencoder-mnist", str(path), "--out", out)
    assert 0 < row["mse"] < 0.2
    assert Image.open(row["reconstruction"]).size == (28, 28)


@pytest.mark.slow
def test_pictures_to_a_verified_int8_file(
    answer: Answer,
    complaint: Complaint,
    capsys: pytest.CaptureFixture[str],
    digit_folder: Path,
    tmp_path: Path,
) -> None:
    (digit_folder / "digit 1" / "notes.png").write_text("no picture")
    run, out = tmp_path / "run", tmp_path / "phone"
    arguments = ["--data", str(digit_folder), "--out", str(run), "--epochs", "12"]
    rate = ["--learning-rate", "0.001"]
    capsys.readouterr()
    assert zoo_command(["finetune", "lenet5-mnist", *arguments, *rate, "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["metrics"]["test"]["accuracy"] > 0.8
    assert "notes.png" in captured.err
    assert "1 left out in all; 180 used" in captured.err
    (digit_folder / "digit 1" / "notes.png").unlink()
    shown = answer("predict", str(run), str(next((digit_folder / "digit 7").iterdir())))
    assert shown[0]["classes"][0]["label"] in {"digit 0", "digit 1", "digit 7"}
    options = ["--format", "litert", "--quantize", "int8", "--out", str(out)]
    result = answer("export", str(run), *options, "--max-drop", "6")
    assert result["manifest"]["labels"] == ["digit 0", "digit 1", "digit 7"]
    again = answer("verify", str(out), "--max-drop", "6")
    assert again["largest_difference"] == result["manifest"]["parity"]["largest_difference"]
    assert "loses" in complaint("verify", str(out), "--max-drop", "-100", code=1)
    assert "exists already" in complaint("export", str(run), *options)
    before = answer("evaluate", str(run))["metrics"]
    assert before == json.loads((run / "metrics.json").read_text())["test"]


@pytest.mark.slow
def test_train_a_table_and_resume(answer: Answer, tmp_path: Path) -> None:
    path = tmp_path / "flats.csv"
    rng = np.random.default_rng(0)
    rows = ["rooms,city,price"]
    for _ in range(200):
        rooms, city = rng.integers(1, 6), rng.choice(["Rome", "Oslo", ""])
        rows.append(f"{rooms},{city},{100 * rooms + 50 * (city == 'Oslo') + rng.normal():.1f}")
    path.write_text("\n".join(rows))
    run = tmp_path / "run"
    data = ["--data", str(path), "--target", "price", "--out", str(run)]
    result = answer("train", "linear", *data, "--epochs", "60", "--learning-rate", "5")
    assert result["metrics"]["test"]["r2"] > 0.9
    assert answer("train", "--resume", "--out", str(run)) == result
    (prediction, *_) = answer("predict", str(run), str(path))
    assert prediction["prediction"] > 0


def test_wrong_usage_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo_command(["predict"]) == 2
    assert zoo_command(["no-such-command"]) == 2
    assert zoo_command(["list", "--no-such-option"]) == 2
    assert "Traceback" not in capsys.readouterr().err


BAD_FOLDERS = {
    "empty": ([], "no class folders"),
    "one class": (["a/1.png", "a/2.png", "a/3.png"], "only the class 'a'"),
    "one picture": (["a/1.png", "b/1.png", "b/2.png", "b/3.png"], "the class 'a'"),
    "broken pictures": (["a/1.txt.png", "a/2.txt.png", "b/1.png", "b/2.png"], "cannot be read"),
}


@pytest.mark.parametrize(("files", "part"), BAD_FOLDERS.values(), ids=BAD_FOLDERS.keys())
def test_a_folder_that_cannot_be_learned_from(
    complaint: Complaint,
    tmp_path: Path,
    files: list[str],
    part: str,
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in files:
        path = folder / name
        picture(path, rng.integers(0, 256, (8, 8), "uint8"))
        if ".txt" in name:
            path.write_text("this is no picture")
    out = tmp_path / "run"
    call = ["finetune", "lenet5-mnist", "--data", str(folder), "--out", str(out)]
    assert part in complaint(*call)
    assert not out.exists()


def test_a_broken_picture_stops_a_strict_call(
    complaint: Complaint, digit_folder: Path, tmp_path: Path
) -> None:
    broken = digit_folder / "digit 0" / "broken.jpg"
    broken.write_bytes((digit_folder / "digit 0" / "1.jpg").read_bytes()[:200])
    try:
        call = ["finetune", "lenet5-mnist", "--data", str(digit_folder), "--strict"]
        assert "broken.jpg" in complaint(*call, "--out", str(tmp_path / "run"))
    finally:
        broken.unlink()


def test_a_folder_that_cannot_be_written(complaint: Complaint, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    out = str(tmp_path / "file" / "run")
    line = complaint("train", "mlp", "--data", "iris", "--out", out, "--epochs", "1")
    assert "cannot be written" in line


@pytest.mark.parametrize(
    ("function", "call"),
    [
        ("zoo.registry.list_models", ["list"]),
        ("recipes.train", ["train", "softmax", "--data", "iris"]),
    ],
)
def test_ctrl_c_counts_where_a_library_hands_it_on_as_an_error(
    function: str,
    call: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def library(*_: object, **__: object) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as interrupt:
            raise RuntimeError("initialization failed") from interrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(function, library)
    assert zoo_command(call) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "zoo: interrupted."


@pytest.mark.slow
def test_ctrl_c_in_a_training_can_be_resumed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "zoo", "train"]
    arguments = ["mlp", "--data", "digits", "--out", str(run), "--epochs", "400"]
    process = subprocess.Popen(
        [*command, *arguments], stderr=subprocess.PIPE, text=True, env=os.environ
    )
    deadline = time.monotonic() + 90
    while not (run / "state.npz").is_file():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(2)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert errors.strip().splitlines()[-1].startswith("zoo: interrupted")
    state = Run(run).read_state()
    assert state is not None
    assert state.epoch >= 1
    assert not [p for p in run.iterdir() if ".part" in p.name]


@pytest.mark.slow
def test_quickstart_does_the_main_job(answer: Answer, complaint: Complaint, tmp_path: Path) -> None:
    out = tmp_path / "quickstart"
    result = answer("quickstart", "--out", str(out))
    assert result["after"] > max(0.95, result["before"])
    kinds = [(r["format"], r["quantization"]) for r in result["parity"]]
    assert kinds == [("saved_model", "float32"), ("litert", "float32"), ("litert", "int8")]
    for report in result["parity"]:
        assert report["agreement"] > 0.98
    for place in result["files"].values():
        assert Path(place).is_dir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("mine")
    line = complaint("quickstart", "--out", str(tmp_path / "other"))
    assert "not from an earlier quickstart" in line
