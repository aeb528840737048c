"""The user's own tables: numbers, categories, gaps and faults."""

import math
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from recipes import Splits, load_data
from recipes.data import Encoder
from recipes.data.splits import SPLITS
from zoo import InputError


def animals(rows: int = 80) -> pd.DataFrame:
    """A table with a key, numbers, texts, and a class that the length decides."""
    rng = np.random.default_rng(0)
    length = rng.normal(size=rows).round(3)
    return pd.DataFrame(
        {
            "key": np.arange(rows) + 1000,
            "length": length,
            "colour": rng.choice(["black", "white", "red"], rows),
            "kind": np.where(length > 0, "dog", "cat"),
        }
    )


def written(rows: pd.DataFrame, folder: Path, name: str = "table.csv") -> Path:
    rows.to_csv(folder / name, index=False, sep="\t" if name.endswith(".tsv") else ",")
    return folder / name


def column(data: Splits, name: str, split: str = "train") -> np.ndarray:
    return data[split].inputs[:, data.features.index(name)]


def test_numbers_stay_and_categories_become_columns(tmp_path: Path):
    rows = animals()
    data = load_data(written(rows, tmp_path), target="kind")
    colours = [f"colour = {c}" for c in ("black", "red", "white")]
    assert data.features == ["key", "length", *colours]
    assert data.labels == ("cat", "dog")
    assert data.train.inputs.dtype == "float32"
    for split in SPLITS:
        inputs, targets = data[split].inputs, data[split].targets
        own = rows.set_index("key").loc[inputs[:, 0].astype(int)]
        np.testing.assert_allclose(inputs[:, 1], own["length"], rtol=1e-6)
        np.testing.assert_array_equal(targets, own["kind"] == "dog")
        for name in ("black", "red", "white"):
            np.testing.assert_array_equal(
                column(data, f"colour = {name}", split), own.colour == name
            )


def test_a_tsv_is_read_like_a_csv(tmp_path: Path):
    csv = load_data(written(animals(), tmp_path), target="kind")
    tsv = load_data(written(animals(), tmp_path, "table.tsv"), target="kind")
    assert csv.fingerprint == tsv.fingerprint


def test_the_suffix_may_be_in_capitals(tmp_path: Path):
    assert len(load_data(written(animals(), tmp_path, "TABLE.CSV"), target="kind").labels) == 2


def test_all_rows_are_divided_with_every_class_in_every_split(tmp_path: Path):
    data = load_data(written(animals(), tmp_path), target="kind")
    keys = [column(data, "key", split) for split in SPLITS]
    assert sorted(np.concatenate(keys)) == list(range(1000, 1080))
    for split in SPLITS:
        assert set(data[split].targets) == {0, 1}
    assert data.sizes == {"train": 56, "validation": 12, "test": 12}


def test_the_order_of_the_rows_does_not_matter(tmp_path: Path):
    rows = animals()
    one = load_data(written(rows, tmp_path), target="kind")
    other = load_data(written(rows.sample(frac=1, random_state=0), tmp_path), target="kind")
    for split in SPLITS:
        assert set(column(one, "key", split)) == set(column(other, "key", split))


def test_the_same_row_twice_stays_in_one_split(tmp_path: Path):
    rows = animals()
    data = load_data(written(pd.concat([rows, rows]), tmp_path), target="kind")
    keys = [set(column(data, "key", split)) for split in SPLITS]
    assert sum(map(len, keys)) == len(set.union(*keys)) == len(rows)


def test_missing_numbers_become_the_median_of_the_training_rows(tmp_path: Path):
    rows = animals(200)
    rows["length"] = np.random.default_rng(1).normal(size=200) ** 3
    rows.loc[::5, "length"] = np.nan
    data = load_data(written(rows, tmp_path), target="kind")
    lengths = rows.set_index("key")["length"]
    median = lengths.loc[column(data, "key").astype(int)].median()
    assert median != pytest.approx(lengths.median())
    for split in SPLITS:
        missing = lengths.loc[column(data, "key", split).astype(int)].isna().to_numpy()
        assert missing.any()
        np.testing.assert_array_equal(column(data, "length is missing", split), missing)
        np.testing.assert_allclose(column(data, "length", split)[missing], median, rtol=1e-6)
        assert np.isfinite(data[split].inputs).all()


def test_a_gap_in_a_new_row_leaves_the_others_in_their_splits(tmp_path: Path):
    lines = ["rooms,price", *(f"{number % 7},{1000 + 3 * number}" for number in range(200))]
    splits = []
    for name, more in (("old.csv", []), ("new.csv", [",5000"])):
        (tmp_path / name).write_text("\n".join([*lines, *more]))
        data = load_data(tmp_path / name, target="price", task="regression")
        splits.append({float(y[0]): s for s in SPLITS for y in data[s].targets})
    old, new = splits
    assert sum(new[price] != split for price, split in old.items()) <= 20  # not all are dealt anew


def test_a_column_without_gaps_has_no_flag(tmp_path: Path):
    data = load_data(written(animals(), tmp_path), target="kind")
    assert not any("missing" in name for name in data.features)


def test_infinite_numbers_count_as_missing(tmp_path: Path):
    rows = animals()
    rows.loc[::4, "length"] = np.inf
    rows.loc[1::4, "length"] = -np.inf
    data = load_data(written(rows, tmp_path), target="kind")
    assert column(data, "length is missing").mean() == pytest.approx(0.5, abs=0.15)
    assert all(np.isfinite(data[split].inputs).all() for split in SPLITS)


def test_a_missing_category_is_zeros(tmp_path: Path):
    rows = animals()
    rows.loc[:9, "colour"] = None
    data = load_data(written(rows, tmp_path), target="kind")
    keys = column(data, "key")
    colours = np.stack([column(data, f"colour = {c}") for c in ("black", "red", "white")])
    np.testing.assert_array_equal(colours.sum(axis=0), keys >= 1010)


def test_an_encoder_goes_through_json_unchanged(tmp_path: Path):
    rows = animals()
    rows.loc[::7, "length"] = np.nan
    encoder = load_data(written(rows, tmp_path), target="kind").encoder
    assert encoder is not None
    again = msgspec.json.decode(msgspec.json.encode(encoder), type=Encoder)
    assert again == encoder
    np.testing.assert_array_equal(again.encode(rows), encoder.encode(rows))


def test_a_column_without_values_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=r"'empty' has no values.*drop"):
        load_data(written(animals().assign(empty=np.nan), tmp_path), target="kind")


def test_a_constant_column_is_kept(tmp_path: Path):
    data = load_data(written(animals().assign(same=0.1), tmp_path), target="kind")
    assert set(column(data, "same")) == {np.float32(0.1)}


def test_a_column_of_too_many_texts_is_refused(tmp_path: Path):
    rows = animals().assign(name=[f"name {i}" for i in range(80)])
    with pytest.raises(InputError, match=r"'name' has \d+ different texts, such as 'name \d+'"):
        load_data(written(rows, tmp_path), target="kind")


def test_dropped_columns_are_left_out(tmp_path: Path):
    rows = animals().assign(name=[f"name {i}" for i in range(80)])
    data = load_data(written(rows, tmp_path), target="kind", drop=["name", "colour"])
    assert data.features == ["key", "length"]


def test_an_unknown_column_to_drop_is_answered_with_the_nearest(tmp_path: Path):
    with pytest.raises(InputError, match=r"'color'.*'colour'"):
        load_data(written(animals(), tmp_path), target="kind", drop=["color"])


def test_the_target_cannot_be_dropped(tmp_path: Path):
    with pytest.raises(InputError, match="kind"):
        load_data(written(animals(), tmp_path), target="kind", drop=["kind"])


def test_a_target_alone_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="no column beside the target 'kind'"):
        load_data(written(animals()[["kind"]], tmp_path), target="kind")


def test_a_wrong_target_is_answered_with_the_nearest(tmp_path: Path):
    with pytest.raises(InputError, match=r"'kinds'.*did you mean 'kind'"):
        load_data(written(animals(), tmp_path), target="kinds")


def test_no_target_lists_the_columns(tmp_path: Path):
    with pytest.raises(InputError, match=r"'key', 'length', 'colour', 'kind'"):
        load_data(written(animals(), tmp_path))


def test_rows_without_target_are_left_out_and_named_by_their_line(tmp_path: Path):
    rows = animals()
    rows.loc[[0, 7], "kind"] = None
    path = written(rows, tmp_path)
    data = load_data(path, target="kind")
    assert sum(data.sizes.values()) == 78
    assert data.skipped == (
        f"{path}, line 2: no value for 'kind'",
        f"{path}, line 9: no value for 'kind'",
    )


def test_strict_stops_at_a_row_without_target(tmp_path: Path):
    rows = animals()
    rows.loc[7, "kind"] = None
    with pytest.raises(InputError, match=r"line 9 has no 'kind'"):
        load_data(written(rows, tmp_path), target="kind", strict=True)


def test_an_infinite_target_is_a_missing_one(tmp_path: Path):
    rows = animals()
    rows.loc[3, "length"] = np.inf
    data = load_data(written(rows, tmp_path), target="length")
    assert len(data.skipped) == 1
    assert all(np.isfinite(data[split].targets).all() for split in SPLITS)


def test_one_class_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="one class only: 'cat'"):
        load_data(written(animals().assign(kind="cat"), tmp_path), target="kind")


def test_too_few_rows_of_a_class_are_refused(tmp_path: Path):
    rows = animals()
    rows.loc[:1, "kind"] = "horse"
    with pytest.raises(InputError, match=r"2 different row.*'kind' 'horse'"):
        load_data(written(rows, tmp_path), target="kind")


def test_copies_of_a_row_do_not_make_a_class_large_enough(tmp_path: Path):
    rows = animals()
    rows.loc[:1, "kind"] = "horse"
    with pytest.raises(InputError, match=r"2 different row.*'kind' 'horse'"):
        load_data(written(pd.concat([rows, rows]), tmp_path), target="kind")


def test_too_few_rows_for_a_quantity_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="too few rows"):
        load_data(written(animals(2), tmp_path), target="length")


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["yes", "no"], "classification"),
        ([1, 2, 3], "classification"),
        ([0.0, 1.0], "classification"),
        ([0.5, 1.5], "regression"),
        (list(range(20)), "classification"),
        (list(range(21)), "regression"),
    ],
)
def test_texts_and_few_whole_numbers_are_classes(tmp_path: Path, values: list, task: str):
    target = np.resize(values, 240)
    path = written(pd.DataFrame({"x": np.arange(240.0), "y": target}), tmp_path)
    data = load_data(path, target="y")
    assert data.task == task
    assert len(data.labels) == (len(values) if task == "classification" else 0)


def test_the_task_can_be_named(tmp_path: Path):
    path = written(pd.DataFrame({"x": np.arange(90.0), "y": np.resize([1, 2, 3], 90)}), tmp_path)
    data = load_data(path, target="y", task="regression")
    assert (data.task, data.labels, data.train.targets.dtype) == ("regression", (), "float32")
    assert data.train.targets.shape == (data.sizes["train"], 1)


def test_text_cannot_be_a_quantity(tmp_path: Path):
    with pytest.raises(InputError, match=r"'kind' .* classified only"):
        load_data(written(animals(), tmp_path), target="kind", task="regression")


def test_an_unknown_task_is_answered_with_the_nearest(tmp_path: Path):
    with pytest.raises(InputError, match="'regression'"):
        load_data(written(animals(), tmp_path), target="length", task="regresion")


def test_a_target_of_truth_values_has_two_classes(tmp_path: Path):
    rows = animals()
    rows["kind"] = rows["kind"] == "dog"
    data = load_data(written(rows, tmp_path), target="kind")
    assert data.labels == ("False", "True")
    own = rows.set_index("key").loc[column(data, "key").astype(int), "kind"]
    np.testing.assert_array_equal(data.train.targets, own)


def test_whole_labels_stay_whole_beside_a_missing_one(tmp_path: Path):
    path = tmp_path / "table.csv"
    lines = [f"{i}.5,{i % 2 + 1}" for i in range(40)]
    path.write_text("\n".join(["x,y", *lines, "99.5,"]) + "\n")
    data = load_data(path, target="y")
    assert data.labels == ("1", "2")
    assert data.skipped == (f"{path}, line 42: no value for 'y'",)


def test_labels_stand_in_natural_order(tmp_path: Path):
    path = written(
        pd.DataFrame({"x": np.arange(60.0), "y": np.resize(["10", "9", "1"], 60)}), tmp_path
    )
    assert load_data(path, target="y").labels == ("1", "9", "10")


def test_a_line_break_inside_a_cell_belongs_to_the_cell(tmp_path: Path):
    rows = animals()
    rows["colour"] = rows["colour"].replace({"red": "deep\nred"})
    data = load_data(written(rows, tmp_path), target="kind")
    assert sum(data.sizes.values()) == len(rows)
    own = rows.set_index("key").loc[column(data, "key").astype(int)]
    np.testing.assert_array_equal(column(data, "colour = deep\nred"), own.colour == "deep\nred")


def test_a_separator_at_the_end_of_each_line_shifts_no_column(tmp_path: Path):
    path = tmp_path / "table.csv"
    lines = [f"{i},{i / 7:.3f},{'ab'[i % 2]}," for i in range(60)]
    path.write_text("\n".join(["key,x,y", *lines]) + "\n")
    data = load_data(path, target="y")
    assert data.labels == ("a", "b")
    assert data.features == ["key", "x"]
    np.testing.assert_array_equal(data.train.targets, column(data, "key") % 2)


def test_a_byte_order_mark_is_no_part_of_the_first_heading(tmp_path: Path):
    path = tmp_path / "table.csv"
    path.write_text(animals().to_csv(index=False), encoding="utf-8-sig")
    assert load_data(path, target="kind").features[0] == "key"


def test_a_quantity_with_a_frequent_value_and_a_rare_low_one_is_divided(tmp_path: Path):
    amounts = np.concatenate([[-1.5], np.zeros(150), np.linspace(0.5, 9.5, 49)])
    path = written(pd.DataFrame({"x": np.arange(200.0), "amount": amounts}), tmp_path)
    data = load_data(path, target="amount")
    assert sum(data.sizes.values()) == 200
    assert data.sizes["test"] == pytest.approx(30, abs=3)


def test_quantities_are_spread_alike_over_the_splits(tmp_path: Path):
    rng = np.random.default_rng(0)
    path = written(pd.DataFrame({"x": rng.normal(size=400), "y": rng.normal(size=400)}), tmp_path)
    data = load_data(path, target="y")
    for split in ("validation", "test"):
        low, high = (np.mean(data[split].targets < q) for q in (-0.8416, 0.8416))
        assert low == pytest.approx(0.2, abs=0.06)
        assert high == pytest.approx(0.8, abs=0.06)
    assert math.isfinite(float(data.train.targets.sum()))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "cannot be read as a table"),
        ("a,b\n", "has no rows"),
        ("a,b\n1,2\n3,4,5,6\n", "cannot be read as a table"),
    ],
    ids=["empty", "heading only", "ragged"],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: str, words: str):
    (tmp_path / "table.csv").write_text(content)
    with pytest.raises(InputError, match=words):
        load_data(tmp_path / "table.csv", target="b")


def test_a_missing_table_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"nowhere\.csv"):
        load_data(tmp_path / "nowhere.csv", target="y")


def test_columns_are_found_by_name_whatever_their_order():
    rows = animals()
    encoder = Encoder.fit(rows)
    np.testing.assert_array_equal(encoder.encode(rows), encoder.encode(rows[rows.columns[::-1]]))
