"""Whatever goes wrong during an export, nothing half-written is left, and nothing is lost."""

import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import zoo
from export import export
from export.subprocesses import first_line
from recipes import Run
from zoo.errors import CheckFailed, InputError

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 28, 28, 1), "uint8")


def zoo_command(*arguments: str, **options: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "zoo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.parametrize(
    ("format", "quantization", "message"),
    [
        ("litter", "float32", "litert"),
        ("litert", "int7", "int8"),
        ("saved_model", "int8", "quantization of saved_model"),
    ],
)
def test_a_wrong_name_is_answered(
    tmp_path: Path, lenet: keras.Model, format: str, quantization: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        export(lenet, tmp_path / "out", format, quantization)


@pytest.mark.parametrize(
    ("option", "value"),
    [("batch", 0), ("batch", -1), ("timeout", 0.0), ("timeout", -1.0), ("timeout", float("nan"))],
)
def test_a_limit_that_makes_no_sense_is_refused(
    tmp_path: Path, lenet: keras.Model, option: str, value: float
) -> None:
    options: dict[str, Any] = {option: value}
    with pytest.raises(InputError, match=f"{option} must be above 0, not {value}"):
        export(lenet, tmp_path / "out", samples=(IMAGES, None), **options)
    assert list(tmp_path.iterdir()) == []


def test_what_stands_there_is_kept_unless_asked(lenet: keras.Model, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "precious").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        export(lenet, out, "saved_model", samples=(IMAGES, None))
    with pytest.raises(InputError, match="is no artifact"):
        export(lenet, out, "saved_model", samples=(IMAGES, None), overwrite=True)
    assert (out / "precious").read_text() == "mine"
    (out / "precious").unlink()
    export(lenet, out, "saved_model", samples=(IMAGES, None))
    (out / "older").write_text("of the artifact")
    export(lenet, out, "saved_model", samples=(IMAGES, None), overwrite=True)
    assert not (out / "older").exists()
    assert (out / "model.json").is_file()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_failed_check_leaves_nothing_and_replaces_nothing(
    lenet: keras.Model, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(CheckFailed, match="differs"):
        export(lenet, out, samples=(IMAGES, None), tolerance=-1.0)
    assert list(tmp_path.iterdir()) == []
    out.mkdir()
    (out / "model.json").write_text("good")
    with pytest.raises(CheckFailed):
        export(lenet, out, samples=(IMAGES, None), tolerance=-1.0, overwrite=True)
    assert (out / "model.json").read_text() == "good"


def test_a_folder_that_cannot_be_made_is_named(lenet: keras.Model, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        export(lenet, tmp_path / "file" / "out", samples=(IMAGES, None))


def test_labels_must_fit_the_classes(lenet: keras.Model, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="3 labels for 10 classes"):
        export(lenet, tmp_path / "out", samples=(IMAGES, None), labels=["a", "b", "c"])


@pytest.mark.slow
@pytest.mark.parametrize("format", ["saved_model", "litert"])
def test_a_full_disk_is_one_line_and_leaves_nothing(
    digits_run: Run, tmp_path: Path, format: str
) -> None:
    def quota() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    out = tmp_path / "shop" / "artifact"
    process = zoo_command(
        "export", str(digits_run.path), "--format", format, "--out", str(out), preexec_fn=quota
    )
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2, errors
    assert errors.count("\n") == 1
    assert errors.startswith("zoo: ")
    assert list(out.parent.iterdir()) == []


@pytest.mark.slow
def test_ctrl_c_leaves_nothing(digits_run: Run, tmp_path: Path) -> None:
    out = tmp_path / "shop" / "artifact"
    process = zoo_command("export", str(digits_run.path), "--out", str(out))
    deadline = time.monotonic() + 60
    while not out.parent.is_dir() or not list(out.parent.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.strip().endswith("zoo: interrupted.")
    assert "Traceback" not in errors
    assert list(out.parent.iterdir()) == []


def test_a_name_without_a_model_is_answered(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lenet5-mnist"):
        export("lenet5-mnst", tmp_path / "out")
    assert zoo.list_models("lenet5-mnist") == ["lenet5-mnist"]


def test_an_error_is_told_in_one_line() -> None:
    assert first_line(ValueError("\n  this is wrong\nand so on")) == "this is wrong"
    assert first_line(MemoryError()) == "MemoryError"
