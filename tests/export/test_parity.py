"""Verification: it runs in a process of its own, counts right, and catches what is wrong."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import keras
import msgspec
import numpy as np
import pytest

from export import ParityReport, check, export, verify
from export.batches import in_batches
from recipes import Run
from zoo.errors import CheckFailed, InputError
from zoo.surgery import copy, with_head

REPORT = ParityReport(
    format="litert",
    quantization="float32",
    bytes=100,
    examples=50,
    largest_difference=1e-6,
    mean_difference=1e-7,
    agreement=1.0,
    metric="accuracy",
    reference=0.9,
    value=0.9,
    milliseconds=0.1,
    reference_milliseconds=1.0,
)


def changed(**fields: object) -> ParityReport:
    return msgspec.structs.replace(REPORT, **fields)


def test_the_process_that_runs_litert_imports_no_tensorflow() -> None:
    code = (
        "import sys, export.runner, export.litert\n"
        "found = [n for n in ('tensorflow', 'keras') if n in sys.modules]\n"
        "sys.exit(', '.join(found) or 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_report_counts_what_can_be_counted_by_hand(exported, digits_run: Run) -> None:
    artifact = exported("litert", "int8")
    test = digits_run.samples("test")
    report = verify(artifact.path, digits_run.path, (test.inputs, test.targets))
    outputs = digits_run.load().predict(test.inputs, verbose=0)
    assert report.examples == len(test)
    assert report.reference == pytest.approx((outputs.argmax(-1) == test.targets).mean())
    assert 0 < report.mean_difference < report.largest_difference < 0.5
    assert report.bytes == (artifact.path / "model.tflite").stat().st_size
    assert report.milliseconds > 0
    assert report.reference_milliseconds > 0


def test_the_bytes_of_an_artifact_are_those_of_all_its_files(exported) -> None:
    artifact = exported("saved_model", "float32")
    sizes = [path.stat().st_size for path in artifact.path.rglob("*") if path.is_file()]
    assert artifact.parity.bytes == sum(sizes) - (artifact.path / "model.json").stat().st_size


@pytest.mark.parametrize(
    ("size", "filled", "batches"),
    [
        (2, True, [[0, 1], [2, 3], [4, 4]]),
        (2, False, [[0, 1], [2, 3], [4]]),
        (8, True, [[0, 1, 2, 3, 4, 4, 4, 4]]),
        (8, False, [[0, 1, 2, 3, 4]]),
        (None, True, [[0, 1, 2, 3, 4]]),
    ],
)
def test_a_batch_of_another_size_is_asked_as_often_as_it_takes(
    size: int | None, filled: bool, batches: list[list[int]]
) -> None:
    asked = []

    def call(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        asked.append(arrays["x"].tolist())
        return {"y": arrays["factor"] * arrays["x"]}

    found = in_batches(call, {"factor": np.array(3), "x": np.arange(5)}, size, filled)
    assert asked == batches
    assert found["y"].tolist() == [0, 3, 6, 9, 12]


def test_a_regression_is_compared_by_its_values(table_run: Run, tmp_path: Path) -> None:
    report = export(table_run.path, tmp_path / "out").parity
    assert report.metric == "r2"
    assert report.largest_difference < 1e-5
    assert report.agreement == pytest.approx(1, abs=1e-6)
    assert report.reference == pytest.approx(table_run.metrics["test"]["r2"], abs=1e-4)


def test_other_weights_are_caught(exported, digits_run: Run) -> None:
    other = copy(digits_run.load())
    other.set_weights([w + 0.05 for w in other.get_weights()])
    samples = (digits_run.samples("test").inputs, None)
    report = verify(exported("litert", "float32").path, other, samples)
    assert report.largest_difference > 1e-3
    with pytest.raises(CheckFailed, match="differs from the Keras model"):
        check(report)


@pytest.mark.parametrize(
    "fields",
    [
        {"largest_difference": 1.1e-4},
        {"quantization": "int8", "value": 0.889},
        {"quantization": "int8", "value": None, "agreement": 0.98},
        {"quantization": "int8", "metric": "r2", "agreement": 0.98},
        {"quantization": "int8", "metric": "r2", "value": 0.88},
        {"largest_difference": float("nan")},
    ],
)
def test_a_bad_report_fails(fields: dict[str, object]) -> None:
    with pytest.raises(CheckFailed, match="litert"):
        check(changed(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"quantization": "int8", "value": 0.891, "largest_difference": 0.3},
        {"quantization": "int8", "value": 0.95},
        {"quantization": "dynamic", "value": None, "agreement": 0.991},
        {"quantization": "int8", "value": 0.9, "agreement": 0.5},
        {"quantization": "int8", "metric": "r2", "value": 0.891, "agreement": 0.991},
    ],
)
def test_a_good_report_passes(fields: dict[str, object]) -> None:
    check(changed(**fields))


def test_a_quantity_that_drifts_fails_though_its_targets_are_met_as_well() -> None:
    report = changed(quantization="int8", metric="r2", value=0.93, agreement=0.85)
    with pytest.raises(CheckFailed) as error:
        check(report)
    assert str(error.value) == (
        "litert int8 loses 15.00 points of agreement with the Keras model on 50 examples, more "
        "than 1."
    )
    check(report, max_drop=15.5)


def test_a_loss_against_the_targets_is_told_first() -> None:
    with pytest.raises(CheckFailed, match=r"loses 10\.00 points of r2 on 50 examples"):
        check(changed(quantization="int8", metric="r2", value=0.8, agreement=0.8))


def test_both_limits_can_be_set() -> None:
    check(changed(largest_difference=0.01), tolerance=0.1)
    check(changed(quantization="int8", value=0.8), max_drop=10.5)
    with pytest.raises(CheckFailed):
        check(REPORT, tolerance=1e-7)


def test_a_model_of_another_number_of_outputs_is_named(exported, digits_run: Run) -> None:
    folder = exported("litert", "float32").path
    other = with_head(digits_run.load(), 7)
    with pytest.raises(InputError, match="answers with 10 values, the model with 7: it did not"):
        verify(folder, other, (digits_run.samples("test").inputs, None))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"format": "coreml"}, "no format 'coreml'"),
        ({"format": "litter"}, "did you mean 'litert'"),
        ({"quantization": "int7"}, "no quantization of litert 'int7'; did you mean 'int8'"),
        ({"format": 3}, r"model\.json is damaged"),
    ],
)
def test_a_format_that_nobody_knows_is_refused(
    exported, tmp_path: Path, fields: dict[str, object], words: str
) -> None:
    folder = tmp_path / "artifact"
    shutil.copytree(exported("litert", "float32").path, folder)
    content = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(content | fields))
    with pytest.raises(InputError, match=words):
        verify(folder, "lenet5-mnist", (np.zeros((1, 8, 8, 1), "uint8"), None))


@dataclass
class Damage:
    """A change to an artifact's folder, and what the message must name."""

    name: str
    message: str

    def apply(self, folder: Path) -> None:
        path = folder / self.name
        if self.message == "is missing":
            path.unlink()
        elif path.suffix == ".json":
            path.write_text(path.read_text()[:-40])
        else:
            content = bytearray(path.read_bytes()) if path.exists() else bytearray(1)
            content[len(content) // 2] ^= 0xFF
            path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        Damage("model.tflite", "is not what was exported"),
        Damage("model.tflite", "is missing"),
        Damage("model.json", "is damaged"),
        Damage("extra.bin", "is not what was exported"),
    ],
    ids=lambda d: f"{d.name} {d.message}",
)
def test_a_damaged_artifact_is_refused(exported, lenet, tmp_path: Path, damage: Damage) -> None:
    folder = tmp_path / "artifact"
    shutil.copytree(exported("litert", "float32").path, folder)
    damage.apply(folder)
    with pytest.raises(InputError, match=damage.message):
        verify(folder, lenet, (np.zeros((1, 8, 8, 1), "uint8"), None))


def test_the_manifest_tells_a_server_everything(exported, digits_run: Run) -> None:
    artifact = exported("litert", "int8")
    content = json.loads((artifact.path / "model.json").read_text())
    assert content["inputs"] == [{"name": "image", "shape": [None, 8, 8, 1], "dtype": "uint8"}]
    assert {t["name"]: t["dtype"] for t in content["outputs"]} == {
        "probabilities": "float32",
        "class_index": "int32",
    }
    assert content["labels"] == list("0123456789")
    assert "resizes" in content["preprocessing"]
    assert content["source_sha256"] == digits_run.card.weights.sha256
    assert content["parity"]["examples"] == len(digits_run.samples("test"))


def test_nothing_to_compare_on_is_said(lenet: keras.Model, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="samples"):
        export(lenet, tmp_path / "out")
    empty = np.zeros((0, 28, 28, 1), "uint8")
    with pytest.raises(InputError, match="no samples"):
        export(lenet, tmp_path / "out", "saved_model", samples=(empty, None))
    assert list(tmp_path.iterdir()) == []
