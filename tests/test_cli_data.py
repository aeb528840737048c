"""The user's own tables and pictures at the command line: what is read, left out and refused."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from recipes import Run
from zoo.cli import run as zoo_command

Answer = Callable[..., Any]
Complaint = Callable[..., str]

SGD = ["--set", "optimizer=sgd"]


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def others(flats: Path, tmp_path: Path) -> Path:
    """The flats that are not in Bern, with their columns in another order."""
    rows = [row for row in rows_of(flats) if row["city"] != "Bern"]
    with (tmp_path / "others.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["price", "city", "rooms", "area"])
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path / "others.csv"


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Four small pictures of each of two classes, and a file with notes."""
    rng = np.random.default_rng(0)
    for label in ("dark", "light"):
        folder = tmp_path / "album" / label
        folder.mkdir(parents=True)
        for number in range(4):
            pixels = rng.integers(0, 128, (8, 8), "uint8") + 127 * (label == "light")
            Image.fromarray(pixels.astype("uint8")).save(folder / f"{number}.png")
    return tmp_path / "album"


def test_another_table_is_evaluated_with_the_runs_target_and_task(
    answer: Answer, flats_run: Run, others: Path
) -> None:
    result = answer("evaluate", str(flats_run.path), "--data", str(others), "--split", "all")
    assert result["split"] == "all"
    assert result["metrics"].keys() == {"r2", "mae", "mse"}
    assert result["metrics"]["r2"] > 0.8


def test_all_of_a_table_is_its_three_parts(answer: Answer, flats_run: Run) -> None:
    results = {
        split: answer("evaluate", str(flats_run.path), "--split", split)["metrics"]
        for split in ("train", "validation", "test", "all")
    }
    sizes = flats_run.card.dataset.examples
    for name in ("mae", "mse"):
        expected = sum(results[split][name] * size for split, size in sizes.items()) / 150
        assert results["all"][name] == pytest.approx(expected, rel=1e-4)


def test_an_export_is_compared_and_verified_on_another_table(
    answer: Answer, flats_run: Run, others: Path, tmp_path: Path
) -> None:
    out, data = str(tmp_path / "out"), ["--data", str(others)]
    parity = answer("export", str(flats_run.path), "--out", out, *data)["manifest"]["parity"]
    assert parity["metric"] == "r2"
    assert 10 <= parity["examples"] <= 20  # the test rows among a hundred others
    assert parity["examples"] != len(flats_run.samples("test"))
    assert parity["agreement"] > 0.9999
    again = answer("verify", out, *data)
    assert again["examples"] == parity["examples"]
    assert again["reference"] == parity["reference"]


def test_evaluate_names_what_it_left_out(
    capsys: pytest.CaptureFixture[str], answer: Answer, flats_run: Run, others: Path
) -> None:
    with others.open("a") as stream:
        stream.write(",Oslo,3,50\n")
    assert zoo_command(["evaluate", str(flats_run.path), "--data", str(others)]) == 0
    errors = capsys.readouterr().err.replace("\n", "")
    assert "no value for 'price'" in errors
    assert "1 left out in all; " in errors


def test_evaluate_names_a_broken_picture(
    capsys: pytest.CaptureFixture[str], album: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    arguments = ["train", "softmax", "--data", str(album), "--out", str(run), "--epochs", "1"]
    assert zoo_command(arguments) == 0
    assert "left out" not in capsys.readouterr().err
    (album / "dark" / "text.png").write_text("no picture")
    (album / "dark" / "notes.txt").write_text("no picture either")
    assert zoo_command(["evaluate", str(run), "--data", str(album)]) == 0
    errors = capsys.readouterr().err.replace("\n", "")
    assert "text.png" in errors
    assert "1 left out in all; 8 used." in errors
    assert "notes.txt" not in errors


def test_strict_passes_over_notes_and_stops_at_a_text_named_like_a_picture(
    complaint: Complaint, album: Path, tmp_path: Path
) -> None:
    (album / "dark" / "notes.txt").write_text("no picture")
    call = ["train", "softmax", "--data", str(album), "--strict", "--epochs", "1", "--out"]
    assert zoo_command([*call, str(tmp_path / "one")]) == 0
    (album / "dark" / "notes.txt").rename(album / "dark" / "notes.png")
    assert "notes.png cannot be read" in complaint(*call, str(tmp_path / "two"))
    assert not (tmp_path / "two").exists()


def test_predict_answers_for_a_folder_of_pictures(answer: Answer, album: Path) -> None:
    rows = answer("predict", "lenet5-mnist", str(album), "--top", "2")
    files = [str(album / label / f"{n}.png") for label in ("dark", "light") for n in range(4)]
    assert [row["input"] for row in rows] == files
    assert all(len(row["classes"]) == 2 for row in rows)
    (single,) = answer("predict", "lenet5-mnist", files[5], "--top", "2")
    assert single["classes"][0]["label"] == rows[5]["classes"][0]["label"]


def test_predict_refuses_an_empty_folder(complaint: Complaint, tmp_path: Path) -> None:
    assert "there are no pictures in" in complaint("predict", "lenet5-mnist", str(tmp_path))


def test_predict_writes_no_pictures_for_a_classifier(
    complaint: Complaint, album: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    line = complaint("predict", "lenet5-mnist", str(album / "dark" / "0.png"), "--out", str(out))
    assert "'lenet5-mnist' does none" in line
    assert not out.exists()


def test_predict_reads_rows_as_the_run_learned_them(
    answer: Answer,
    capsys: pytest.CaptureFixture[str],
    flats: Path,
    flats_run: Run,
    others: Path,
) -> None:
    every = answer("predict", str(flats_run.path), str(flats))
    expected = [
        row["prediction"]
        for row, flat in zip(every, rows_of(flats), strict=True)
        if flat["city"] != "Bern"
    ]
    found = answer("predict", str(flats_run.path), str(others))
    assert [row["prediction"] for row in found] == pytest.approx(expected, rel=1e-4)
    assert found[0]["input"] == f"{others}, line 2"
    assert found[-1]["input"] == f"{others}, line {len(found) + 1}"


def test_predict_names_the_line_of_a_text_among_numbers(
    complaint: Complaint, flats_run: Run, tmp_path: Path
) -> None:
    path = write(tmp_path / "flats.csv", "area,rooms,city", "30,1,Bern", "40,two,Oslo")
    line = complaint("predict", str(flats_run.path), str(path))
    assert "the column 'rooms' holds numbers, but 'two' in line 3" in line


def test_predict_names_a_category_that_training_did_not_have(
    capsys: pytest.CaptureFixture[str], answer: Answer, flats_run: Run, tmp_path: Path
) -> None:
    path = write(tmp_path / "flats.csv", "city,area,rooms", "Paris,30,2", "Oslo,30,2")
    assert zoo_command(["predict", str(flats_run.path), str(path)]) == 0
    errors = capsys.readouterr().err.replace("\n", " ")
    assert "'city' has the unknown category 'Paris'" in errors
    assert "Oslo" not in errors


def test_predict_misses_a_column_by_its_name(
    complaint: Complaint, flats_run: Run, tmp_path: Path
) -> None:
    path = write(tmp_path / "flats.csv", "area,city", "30,Bern")
    assert "no column 'rooms'" in complaint("predict", str(flats_run.path), str(path))


def test_a_linear_model_takes_whole_numbers_as_a_quantity(
    answer: Answer, flats: Path, tmp_path: Path
) -> None:
    data = ["--data", str(flats), "--target", "price"]
    out = tmp_path / "linear"
    result = answer("train", "linear", *data, "--epochs", "1", "--out", str(out))
    assert result["metrics"]["test"].keys() == {"r2", "mae", "mse"}
    assert Run(out).config.task == "regression"
    out = tmp_path / "softmax"
    result = answer("train", "softmax", *data, "--epochs", "1", "--out", str(out))
    assert "accuracy" in result["metrics"]["test"]


@pytest.mark.parametrize("source", ["album", "digits"])
@pytest.mark.parametrize("option", [["--target", "price"], ["--drop", "price"]])
def test_pictures_and_named_sets_have_no_columns(
    complaint: Complaint, album: Path, tmp_path: Path, source: str, option: list[str]
) -> None:
    out, data = tmp_path / "run", str(album) if source == "album" else source
    for call in (["train", "softmax"], ["finetune", "lenet5-mnist"]):
        line = complaint(*call, "--data", data, *option, "--out", str(out))
        assert f"{data!r} is no table file: it takes no target and no text" in line
    assert not out.exists()


FAULTS = {
    "two columns of one name": ("a,a,y", "'a' as the name of several columns"),
    "a column without a name": (",b,y", "a column without a name"),
    "no such target": ("a,b,z", "no column of"),
}


@pytest.mark.parametrize(("heading", "part"), FAULTS.values(), ids=FAULTS.keys())
def test_a_faulty_heading_is_one_line(
    complaint: Complaint, tmp_path: Path, heading: str, part: str
) -> None:
    lines = [f"{n},{n + 1},{'no' if n % 2 else 'yes'}" for n in range(40)]
    path = write(tmp_path / "table.csv", heading, *lines)
    call = ["train", "softmax", "--data", str(path), "--target", "y"]
    assert part in complaint(*call, "--out", str(tmp_path / "run"))
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


def test_a_table_in_another_encoding_is_one_line(complaint: Complaint, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes("größe,y\n1,ja\n2,nein\n".encode("latin-1"))
    call = ["train", "softmax", "--data", str(tmp_path / "table.csv"), "--target", "y"]
    assert "is not in UTF-8: save it as “CSV UTF-8”" in complaint(*call, "--out", "run")


def test_a_failed_first_epoch_leaves_its_place_free(
    answer: Answer, complaint: Complaint, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    call = ["train", "mlp", "--data", "digits", "--epochs", "2", "--out", str(out)]
    line = complaint(*call, *SGD, "--learning-rate", "1e30", code=1)
    assert "infinite or not a number in epoch 1: lower the learning rate" in line
    assert list(tmp_path.iterdir()) == []
    assert answer(*call)["run"] == str(out)
    assert json.loads((out / "config.json").read_text())["recipe"]["epochs"] == 2
