"""Tables as spreadsheets write them: separators, encodings, headings, and a cell gone wrong."""

import re
from pathlib import Path

import numpy as np
import pytest

from recipes import load_data
from recipes.data.tables import read_rows
from zoo import InputError

# A column of 100 different numbers, and two classes.
LINES = ["length,kind", *(f"{n}.5,{'cat' if n % 2 else 'dog'}" for n in range(100))]


def written(folder: Path, lines: list[str], encoding: str = "utf-8") -> Path:
    path = folder / "table.csv"
    path.write_bytes(("\n".join(lines) + "\n").encode(encoding))
    return path


def with_line(number: int, content: str) -> list[str]:
    """Return the lines with another one as the file's line of this number."""
    return [*LINES[: number - 1], content, *LINES[number:]]


def test_semicolons_separate_where_the_heading_has_no_commas(tmp_path: Path):
    commas = load_data(written(tmp_path, LINES), target="kind")
    path = written(tmp_path, [line.replace(",", ";") for line in LINES])
    semicolons = load_data(path, target="kind")
    assert semicolons.features == ["length"]
    assert semicolons.fingerprint == commas.fingerprint


def test_semicolons_in_cells_do_not_separate(tmp_path: Path):
    rows = read_rows(written(tmp_path, ["size,note", "1,a;b", "2,c;d"]))
    assert rows["note"].tolist() == ["a;b", "c;d"]


def test_a_tsv_may_hold_semicolons(tmp_path: Path):
    (tmp_path / "table.tsv").write_text("a;b\tc\n1\t2\n")
    assert list(read_rows(tmp_path / "table.tsv").columns) == ["a;b", "c"]


def test_the_mark_that_a_spreadsheet_begins_utf_8_with_is_no_part_of_a_name(tmp_path: Path):
    data = load_data(written(tmp_path, LINES, "utf-8-sig"), target="kind")
    assert data.features == ["length"]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16"])
@pytest.mark.parametrize("line", [1, 90])
def test_another_encoding_is_refused_with_the_cure(tmp_path: Path, encoding: str, line: int):
    content = "größe,kind" if line == 1 else "1.5,hündin"
    path = written(tmp_path, with_line(line, content), encoding)
    with pytest.raises(InputError) as error:
        load_data(path, target="kind")
    assert str(error.value) == f"{path} is not in UTF-8: save it as “CSV UTF-8”."


def test_umlauts_in_utf_8_are_read(tmp_path: Path):
    assert load_data(written(tmp_path, ["größe,art", *LINES[1:]]), target="art").features == [
        "größe"
    ]


@pytest.mark.parametrize("separator", [",", ";"])
def test_two_columns_of_one_name_are_refused(tmp_path: Path, separator: str):
    lines = ["length,length,kind", *(f"1,{line}" for line in LINES[1:])]
    path = written(tmp_path, [line.replace(",", separator) for line in lines])
    with pytest.raises(InputError, match="'length' as the name of several columns"):
        load_data(path, target="kind")


def test_a_column_without_a_name_is_refused_unless_it_is_left_out(tmp_path: Path):
    path = written(tmp_path, [f"{n},{line}" if n else f",{line}" for n, line in enumerate(LINES)])
    with pytest.raises(
        InputError, match=r"a column without a name.*as 'Unnamed: 0' \(drop, --drop"
    ):
        load_data(path, target="kind")
    assert load_data(path, target="kind", drop=["Unnamed: 0"]).features == ["length"]


@pytest.mark.parametrize(
    "text",
    ["many", "-", "?", "n.v.", "12 m"],
)
def test_one_text_in_a_column_of_numbers_is_named_with_its_line(tmp_path: Path, text: str):
    path = written(tmp_path, with_line(40, f"{text},cat"))
    words = re.escape(f"'length' holds numbers, but {text!r} in line 40")
    with pytest.raises(InputError, match=words):
        load_data(path, target="kind")


def test_what_pandas_knows_as_a_gap_is_one(tmp_path: Path):
    data = load_data(written(tmp_path, with_line(40, "NA,cat")), target="kind")
    assert data["all"].inputs[:, data.features.index("length")].shape == (100,)
    assert sum(np.isnan(read_rows(tmp_path / "table.csv")["length"])) == 1


@pytest.mark.parametrize("value", ["1e300", "-1e39", "3.5e38"])
def test_a_number_too_large_for_float32_is_named_with_its_line(tmp_path: Path, value: str):
    path = written(tmp_path, with_line(7, f"{value},cat"))
    with pytest.raises(InputError, match=r"line 7: .* in the column 'length' is too large a num"):
        load_data(path, target="kind")


def test_the_largest_float32_is_not_too_large(tmp_path: Path):
    data = load_data(written(tmp_path, with_line(7, "3.4e38,cat")), target="kind")
    assert data["all"].inputs.max() == np.float32(3.4e38)


def test_a_target_too_large_for_float32_is_refused_too(tmp_path: Path):
    path = written(tmp_path, with_line(7, "1e300,cat"))
    with pytest.raises(InputError, match=r"line 7: 1e\+300 in the column 'length'"):
        load_data(path, target="length", task="regression")


def test_decimal_commas_are_numbers_where_semicolons_separate(tmp_path: Path):
    lines = ["length;kind", *(f"{n},5;{'cat' if n % 2 else 'dog'}" for n in range(40))]
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    data = load_data(path, target="kind")
    assert data.features == ["length"]
    assert sorted(data["all"].inputs[:, 0]) == [n + 0.5 for n in range(40)]
