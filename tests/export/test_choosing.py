"""An export within a budget: what is chosen, among what, and when nothing fits."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from export import Budget, Choice, choosing, export, export_within
from export.choosing import Candidate
from recipes import Run
from zoo.errors import CheckFailed, InputError


@pytest.fixture(scope="module")
def chosen(
    digits_run: Run, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Choice, list[Candidate]]:
    tried: list[Candidate] = []
    place = tmp_path_factory.mktemp("chosen") / "small"
    choice = export_within(digits_run.path, place, Budget(max_bytes=150_000), tried=tried.append)
    return choice, tried


def test_all_are_tried_and_the_best_that_fits_is_kept(chosen: Any) -> None:
    choice, tried = chosen
    assert list(choice.candidates) == tried
    assert [c.quantization for c in tried] == ["float32", "float16", "dynamic", "int8", "int4"]
    fitting = [c for c in tried if not c.refusal]
    assert fitting
    assert "bytes are more than 150,000" in tried[0].refusal
    best = max(fitting, key=lambda c: (c.report.value, c.report.agreement, -c.report.bytes))
    assert choice.artifact.manifest.quantization == best.quantization
    assert choice.artifact.parity == best.report
    assert (choice.artifact.path / "model.tflite").is_file()
    others = [path for path in choice.artifact.path.parent.iterdir() if path.name != "small"]
    assert others == []


def test_what_a_budget_has_is_no_option(digits_run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="max_drop is no option of a choice"):
        export_within(digits_run.path, tmp_path / "out", Budget(), max_drop=2.0)


def test_an_answer_that_is_not_finite_does_not_end_the_choice(
    digits_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = choosing.export

    def spoiled(model: Any, folder: Path, format: str, quantization: str, **options: Any) -> Any:
        if quantization == "float16":
            raise CheckFailed("an output is not finite.")
        return whole(model, folder, format, quantization, **options)

    monkeypatch.setattr(choosing, "export", spoiled)
    names = ["float16", "dynamic"]
    choice = export_within(digits_run.path, tmp_path / "out", Budget(), quantizations=names)
    assert choice.artifact.manifest.quantization == "dynamic"
    assert choice.candidates[0].refusal == "an output is not finite."


def test_nothing_fits(digits_run: Run, tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match=r"within the budget. float32: .* more than 1,000"):
        export_within(
            digits_run.path, tmp_path / "out", Budget(max_bytes=1_000),
            quantizations=["float32", "dynamic"],
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_call_is_no_choice(digits_run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="max_bytes must be above 0"):
        Budget(max_bytes=0)
    with pytest.raises(InputError, match=r"max_drop must be 0 or more, not -0\.5"):
        Budget(max_drop=-0.5)
    assert Budget(max_drop=0).max_drop == 0
    with pytest.raises(InputError, match="did you mean 'dynamic'"):
        export_within(digits_run.path, tmp_path / "o", Budget(), quantizations=["dinamic"])
    with pytest.raises(InputError, match="there is no pretrained model"):
        export_within("lenet6", tmp_path / "o", Budget(max_bytes=1))
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_artifact_to_be_overwritten(digits_run: Run, tmp_path: Path) -> None:
    place = tmp_path / "notes.txt"
    place.write_text("mine")
    for make in (export, partial(export_within, budget=Budget())):
        with pytest.raises(InputError, match="is no artifact"):
            make(digits_run.path, place, overwrite=True)
    assert place.read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("500", 500),
        ("500k", 500_000),
        ("1.5MB", 1_500_000),
        ("500KiB", 512_000),
        ("2 GiB", 2 << 30),
    ],
)
def test_bytes_are_counted_in_thousands_or_by_1024(
    digits_run: Run, complaint: Callable[..., str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, text: str, count: int,
) -> None:  # fmt: skip
    def told(model: Any, out: Path, budget: Budget, *_: Any, **__: Any) -> None:
        raise InputError(f"at most {budget.max_bytes} bytes")

    monkeypatch.setattr("export.export_within", told)
    call = ["export", str(digits_run.path), "--out", str(tmp_path / "out"), "--max-bytes", text]
    assert f"at most {count} bytes" in complaint(*call)


def test_by_the_command_line(
    digits_run: Run, answer: Callable[..., Any], complaint: Callable[..., str], tmp_path: Path
) -> None:
    place = tmp_path / "out"
    found = answer(
        *("export", str(digits_run.path), "--out", str(place)),
        *("--max-bytes", "100k", "--quantize", "dynamic,int8", "--max-drop", "2"),
    )
    assert json.loads((place / "model.json").read_text())["quantization"] in ("dynamic", "int8")
    assert [c["quantization"] for c in found["candidates"]] == ["dynamic", "int8"]
    call = ["export", str(digits_run.path), "--out", str(tmp_path / "x")]
    for text in ("small", "5T", "5iB"):
        assert "wants a number such as 500k" in complaint(*call, "--max-bytes", text)
    assert "for a budget" in complaint(*call, "--quantize", "int8,dynamic")
    assert "leave out --no-verify" in complaint(*call, "--max-ms", "3", "--no-verify")
