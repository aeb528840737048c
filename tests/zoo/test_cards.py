"""Cards: written and read alike, and refused when they are not what a program wrote."""

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo
from zoo import cards
from zoo.cards import (
    Card,
    Dataset,
    Input,
    Metric,
    Parameters,
    ParityReport,
    Reference,
    Training,
    Weights,
)

FIELDS = msgspec.structs.fields(Card)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
COUNT = st.integers(0, 2**53)
# A program may well give 1 where 1.0 is meant.
FIGURE = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-1000, 1000)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
VALUES = st.dictionaries(TEXT, VALUE, max_size=3)
FILE = TEXT.filter(lambda name: Path(name).name == name and name not in {"", ".", ".."})

CARDS = st.builds(
    Card,
    name=TEXT,
    architecture=TEXT,
    arguments=VALUES,
    task=TEXT,
    input=st.builds(
        Input,
        name=TEXT,
        shape=st.lists(st.none() | COUNT, max_size=4),
        dtype=TEXT,
        preprocessing=TEXT,
        features=st.lists(TEXT, max_size=3),
    ),
    labels=st.lists(TEXT, max_size=3),
    parameters=st.builds(Parameters, trainable=COUNT, non_trainable=COUNT),
    weights=st.one_of(
        st.builds(
            Weights,
            file=FILE,
            bytes=COUNT,
            url=st.none() | TEXT,
            **{name: st.from_regex(rf"[0-9a-f]{{{length}}}", fullmatch=True)},
        )
        for name, length in (("sha256", 64), ("md5", 32))
    ),
    dataset=st.builds(
        Dataset,
        source=TEXT,
        version=TEXT,
        license=TEXT,
        caveat=TEXT,
        examples=st.dictionaries(TEXT, COUNT, max_size=3),
        fingerprint=TEXT,
    ),
    recipe=VALUES,
    metrics=st.lists(
        st.builds(Metric, name=TEXT, split=TEXT, value=FIGURE, examples=COUNT), max_size=2
    ),
    training=st.builds(
        Training,
        command=TEXT,
        seed=COUNT,
        epochs=COUNT,
        best_epoch=COUNT,
        seconds=FIGURE,
        finished=TEXT,
        commit=TEXT,
        hardware=TEXT,
        versions=st.dictionaries(TEXT, TEXT, max_size=2),
    ),
    reference=st.none() | st.builds(Reference, metric=TEXT, value=FIGURE, source=TEXT),
    exports=st.lists(
        st.builds(
            ParityReport,
            format=TEXT,
            quantization=TEXT,
            bytes=COUNT,
            examples=COUNT,
            largest_difference=FIGURE,
            mean_difference=FIGURE,
            agreement=FIGURE,
            metric=TEXT,
            reference=st.none() | FIGURE,
            value=st.none() | FIGURE,
            milliseconds=FIGURE,
            reference_milliseconds=FIGURE,
        ),
        max_size=2,
    ),
)


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the content of a card's file by hand."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content, indent=2))


def another(value: Any) -> Any:
    """Return another value of the same type and form."""
    match value:
        case str():
            return value + "x"
        case bool():
            return not value
        case int() | float():
            return value + 1
        case list():
            return [*value[:-1], another(value[-1])]
        case dict():
            first = next(iter(value))
            return value | {first: another(value[first])}
    raise TypeError(type(value))


@settings(max_examples=50, deadline=None)
@given(CARDS)
def test_a_card_is_read_as_it_was_written(card: Card) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "card.json"
        cards.write(card, path)
        assert cards.read(path) == card


def test_a_written_card_is_found_by_its_folder(card: Card, card_file: Path) -> None:
    assert zoo.card(str(card_file.parent)) == card


def test_a_card_is_written_alike_each_time(card: Card, tmp_path: Path) -> None:
    for name in ("first.json", "second.json"):
        cards.write(card, tmp_path / name)
    assert (tmp_path / "first.json").read_bytes() == (tmp_path / "second.json").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.json", "second.json"]


def test_the_order_of_keys_and_the_white_space_do_not_matter(card: Card, card_file: Path) -> None:
    content = json.loads(card_file.read_text())
    card_file.write_text(json.dumps(content, sort_keys=True))
    assert cards.read(card_file) == card


def test_metrics_are_found_by_name_and_split(card: Card) -> None:
    second = Metric(name="loss", split="test", value=0.5, examples=10)
    other = Metric(name="accuracy", split="validation", value=0.7, examples=10)
    card = msgspec.structs.replace(card, metrics=[other, *card.metrics, second])
    assert card.metric() == card.metrics[1]
    assert card.metric("loss") == second
    assert card.metric("accuracy", "validation") == other
    assert card.metric("loss", "train") is None


def test_a_card_s_fields_cannot_be_assigned(card: Card) -> None:
    with pytest.raises(AttributeError):
        card.name = "other"


@pytest.mark.parametrize("field", [field.name for field in FIELDS])
def test_an_edited_field_is_refused_by_name(card_file: Path, field: str) -> None:
    edit(card_file, lambda content: content.update({field: another(content[field])}))
    with pytest.raises(zoo.InputError, match=f"the field `{field}` does not match its seal"):
        cards.read(card_file)


@pytest.mark.parametrize("field", [field.name for field in FIELDS])
def test_an_edited_seal_is_refused_by_the_name_of_its_field(card_file: Path, field: str) -> None:
    edit(card_file, lambda content: content["seals"].update({field: "0" * 16}))
    with pytest.raises(zoo.InputError, match=f"the field `{field}` does not match its seal"):
        cards.read(card_file)


def test_an_edit_deep_within_a_field_is_refused(card_file: Path) -> None:
    edit(card_file, lambda content: content["recipe"]["augment"].update(crop=3))
    with pytest.raises(zoo.InputError, match="the field `recipe` does not match its seal"):
        cards.read(card_file)


@pytest.mark.parametrize("field", [field.name for field in FIELDS])
def test_a_removed_field_is_refused_by_name(card_file: Path, field: str) -> None:
    edit(card_file, lambda content: content.pop(field))
    with pytest.raises(zoo.InputError, match=f"`{field}`"):
        cards.read(card_file)


@pytest.mark.parametrize("field", [field.name for field in FIELDS])
def test_a_removed_seal_is_refused_by_the_name_of_its_field(card_file: Path, field: str) -> None:
    edit(card_file, lambda content: content["seals"].pop(field))
    with pytest.raises(zoo.InputError, match=f"the field `{field}` does not match its seal"):
        cards.read(card_file)


@pytest.mark.parametrize("field", [field.name for field in FIELDS])
@pytest.mark.parametrize("wrong", [7.5, True, {"surplus": 1}], ids=repr)
def test_a_field_of_a_wrong_type_is_refused_by_name(
    card_file: Path, field: str, wrong: object
) -> None:
    edit(card_file, lambda content: content.update({field: wrong}))
    with pytest.raises(zoo.InputError, match=rf"card\.json.*\b{field}\b"):
        cards.read(card_file)


@pytest.mark.parametrize("field", ["parameters", "input", "weights", "dataset", "training"])
def test_a_missing_or_surplus_field_within_a_field_is_refused(card_file: Path, field: str) -> None:
    original = card_file.read_bytes()
    edit(card_file, lambda content: content[field].update(surplus=1))
    with pytest.raises(zoo.InputError, match=rf"`surplus`.*\$\.{field}"):
        cards.read(card_file)
    card_file.write_bytes(original)
    edit(card_file, lambda content: content[field].pop(next(iter(content[field]))))
    with pytest.raises(zoo.InputError, match=rf"required field.*\$\.{field}"):
        cards.read(card_file)


def test_an_extra_field_is_refused_by_name(card_file: Path) -> None:
    edit(card_file, lambda content: content.update(surplus=1))
    with pytest.raises(zoo.InputError, match="`surplus`"):
        cards.read(card_file)


def test_an_extra_seal_is_refused_by_name(card_file: Path) -> None:
    edit(card_file, lambda content: content["seals"].update(surplus="0" * 16))
    with pytest.raises(zoo.InputError, match="`surplus`"):
        cards.read(card_file)


@pytest.mark.parametrize("seals", [None, [], "seals", 1])
def test_seals_that_are_no_table_are_refused(card_file: Path, seals: object) -> None:
    edit(card_file, lambda content: content.update(seals=seals))
    with pytest.raises(zoo.InputError, match="`seals`"):
        cards.read(card_file)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_version_is_refused(card_file: Path, version: object) -> None:
    edit(card_file, lambda content: content.update(version=version))
    with pytest.raises(zoo.InputError, match=f"has version {version!r}; this zoo reads 1"):
        cards.read(card_file)


def test_a_card_without_a_version_is_refused(card_file: Path) -> None:
    edit(card_file, lambda content: content.pop("version"))
    with pytest.raises(zoo.InputError, match="has version None"):
        cards.read(card_file)


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.25, 0.5, 0.75, 0.9, 0.999])
def test_a_card_cut_short_is_refused(card_file: Path, share: float) -> None:
    content = card_file.read_bytes().rstrip()
    card_file.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(zoo.InputError, match=r"card\.json is damaged"):
        cards.read(card_file)


@pytest.mark.parametrize(
    "content",
    [b"no json", b"[]", b"null", b'"text"', b"\xff\xfe", b"\x89HDF\r\n", b'{"version": "\xff"}'],
)
def test_what_is_no_json_object_is_refused(card_file: Path, content: bytes) -> None:
    card_file.write_bytes(content)
    with pytest.raises(zoo.InputError, match=r"card\.json is damaged"):
        cards.read(card_file)


def test_a_missing_card_is_told_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(zoo.InputError, match=r"no card at .*nowhere/card\.json"):
        cards.read(tmp_path / "nowhere" / "card.json")


def test_a_folder_in_place_of_a_card_is_refused(tmp_path: Path) -> None:
    (tmp_path / "card.json").mkdir()
    with pytest.raises(zoo.InputError, match=r"card\.json is damaged"):
        cards.read(tmp_path / "card.json")


@pytest.mark.parametrize("file", ["../x", "/etc/passwd", "a/b", "a/", "", ".", "..", "./x"])
def test_a_weight_file_outside_the_card_s_folder_is_refused(card_file: Path, file: str) -> None:
    edit(card_file, lambda content: content["weights"].update(file=file))
    with pytest.raises(zoo.InputError, match=r"plain file name.*\$\.weights"):
        cards.read(card_file)


@pytest.mark.parametrize("file", ["../x", "/etc/passwd", ""])
def test_no_card_can_be_made_for_a_weight_file_elsewhere(file: str) -> None:
    with pytest.raises(ValueError, match="plain file name"):
        Weights(file=file, bytes=1, sha256="0" * 64)


@pytest.mark.parametrize(
    ("hashes", "message"),
    [
        ({}, "exactly one of `sha256` and `md5`"),
        ({"sha256": "0" * 64, "md5": "0" * 32}, "exactly one of `sha256` and `md5`"),
        ({"sha256": "0" * 32}, "`sha256` must be 64 hexadecimal digits"),
        ({"md5": "0" * 64}, "`md5` must be 32 hexadecimal digits"),
        ({"md5": "X" * 32}, "`md5` must be 32 hexadecimal digits"),
    ],
    ids=["none", "both", "short", "long", "no digits"],
)
def test_a_weight_file_has_one_hash(card_file: Path, hashes: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Weights(file="model.h5", bytes=1, **hashes)
    edit(card_file, lambda content: content["weights"].update({"sha256": "", "md5": ""} | hashes))
    with pytest.raises(zoo.InputError, match=rf"{message}.*\$\.weights"):
        cards.read(card_file)


def test_a_size_that_nobody_published_is_unknown() -> None:
    assert Weights(file="model.h5", bytes=0, md5="0" * 32).size is None
    assert Weights(file="model.h5", bytes=7, md5="0" * 32).size == 7
    assert Weights(file="model.h5", bytes=0, sha256="0" * 64).size == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_figure_that_is_no_number_is_never_written(
    card: Card, card_file: Path, value: float
) -> None:
    broken = Metric(name="accuracy", split="test", value=value, examples=1)
    with pytest.raises(ValueError, match="metrics"):
        cards.write(msgspec.structs.replace(card, metrics=[broken]), card_file)
    assert cards.read(card_file) == card
