"""The user's own text: what is read, what is left out, and what is refused."""

import codecs
import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recipes import Recipe, load_data, train
from recipes.data import Splits
from recipes.data.texts import as_text, read_text
from zoo import InputError

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return (name, content) -> the path of a file with it."""

    def make(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def pairs_of(data: Splits) -> set[tuple[str, str]]:
    every = data["all"]
    return set(zip(every.inputs.tolist(), every.targets.tolist(), strict=True))


@pytest.mark.parametrize(
    "content",
    [
        "Größe 🐶\nzwei\n".encode(),
        codecs.BOM_UTF8 + "Größe 🐶\nzwei\n".encode(),
        codecs.BOM_UTF16_LE + "Größe 🐶\nzwei\n".encode("utf-16-le"),
        codecs.BOM_UTF16_BE + "Größe 🐶\nzwei\n".encode("utf-16-be"),
        "Größe 🐶\r\nzwei\r\n".encode(),
    ],
    ids=["utf-8", "with its mark", "utf-16-le", "utf-16-be", "line ends of Windows"],
)
def test_a_text_is_read_in_its_encoding(content: bytes, write: Write) -> None:
    assert read_text(write("a.txt", content)) == "Größe 🐶\nzwei\n"
    assert read_text(write("b.txt.gz", gzip.compress(content))) == "Größe 🐶\nzwei\n"


def test_another_encoding_is_told_with_its_line(write: Write) -> None:
    path = write("a.txt", "fine\nGröße\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"not in UTF-8 \(line 2\)"):
        read_text(path)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"", "is empty"),
        ("a.txt", b" \n\n", "is empty"),
        ("a.txt.gz", b"no archive", "cannot be read"),
        ("a.txt.gz", gzip.compress(b"x" * 9999)[:-9], "cannot be read"),
    ],
    ids=["nothing", "white space", "no archive", "cut short"],  # an archive holds the time
)
def test_a_file_that_is_no_text_is_refused(
    name: str, content: bytes, reason: str, write: Write
) -> None:
    with pytest.raises(InputError, match=reason):
        read_text(write(name, content))


def test_pairs_are_read_and_the_rest_is_named(write: Write) -> None:
    good = [(f"Satz {n}", f"sentence {n} 🐶") for n in range(30)]
    bad = ["", "only one", "empty\t", "\tempty", f"{'x' * 1001}\tlong", " \t "]
    lines = [f"{a}\t{b}\tfurther column" for a, b in good] + bad + ["Ende\tend"]
    data = load_data(write("p.tsv", "\n".join(lines)), task="translation")
    assert pairs_of(data) == {*good, ("Ende", "end")}
    assert [line.split(", line ")[1].split(":")[0] for line in data.skipped] == [
        str(number) for number in range(31, 37)
    ]
    assert data.task == "translation"
    assert data.holds_text
    with pytest.raises(InputError, match="line 31: it is empty"):
        load_data(write("p.tsv", "\n".join(lines)), task="translation", strict=True)


def test_the_same_sentence_stands_in_one_split_whatever_the_order(write: Write) -> None:
    lines = [f"Satz {n % 40}\tway {n}" for n in range(120)]
    one = load_data(write("a.tsv", "\n".join(lines)), task="translation")
    other = load_data(write("b.tsv", "\n".join(reversed(lines))), task="translation")
    for split in ("train", "validation", "test"):
        assert set(one[split].targets) == set(other[split].targets)
        assert len(one[split])
    groups = [set(one[split].inputs) for split in ("train", "validation", "test")]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 40


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a\nb\nc\n", "has one column: each line needs a sentence, a tab, and its translation"),
        ("a\t\nb\t\n", "holds no pair of sentences"),
        ("a\tb\n", r"has 1 pair\(s\)"),
    ],
)
def test_a_file_without_pairs_is_refused(content: str, reason: str, write: Write) -> None:
    with pytest.raises(InputError, match=reason):
        load_data(write("p.tsv", content), task="translation")


@pytest.fixture
def reviews(write: Write) -> Path:
    """A table with a number, a text and one of two classes; two of its rows lack something."""
    lines = ["id,body,verdict"]
    lines += [f'{n},"so, text {n}","{("good", "bad")[n % 2]}"' for n in range(40)]
    lines += ['40,"","good"', '41,"text",""']
    return write("reviews.csv", "\n".join(lines) + "\n")


def test_texts_with_classes_are_read_from_a_named_column(reviews: Path) -> None:
    data = load_data(reviews, target="verdict", text="body")
    assert data.labels == ("bad", "good")
    assert set(data["all"].inputs) == {f"so, text {n}" for n in range(40)}
    assert [line.split("reviews.csv, ")[1] for line in data.skipped] == [
        "line 42: a part of it is empty",
        "line 43: a part of it is empty",
    ]
    words = data["all"].inputs[data["all"].targets == 1]
    assert all(int(word.split()[-1]) % 2 == 0 for word in words)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"target": "verdict", "text": ""}, "holds the texts.*'id', 'body'"),
        ({"text": "body"}, "name the column .* to be predicted"),
        ({"target": "verdict", "text": "bodi"}, "no column .* 'bodi'; did you mean 'body'"),
        ({"target": "id", "text": "body"}, r"1 different text\(s\) of the class '0'"),
    ],
)
def test_a_wrong_column_is_told(options: dict[str, str], reason: str, reviews: Path) -> None:
    with pytest.raises(InputError, match=reason):
        load_data(reviews, **options)


def test_columns_are_dropped_and_classes_trimmed(write: Write) -> None:
    lines = ["id;text;label"] + [f"{n};text {n}; {('no', 'yes ')[n % 2]}" for n in range(20)]
    data = load_data(write("t.csv", "\n".join(lines)), target="label", text="", drop=["id"])
    assert data.labels == ("no", "yes")
    assert len(data["all"]) == 20
    with pytest.raises(InputError, match="cannot be dropped and be learned from"):
        load_data(write("t.csv", "\n".join(lines)), target="label", text="text", drop=["text"])


def test_a_text_with_a_separator_outside_quotes_is_not_cut_in_silence(write: Write) -> None:
    path = write("t.csv", "text,label\nhello, world,pos\nbye, you,neg\n")
    with pytest.raises(InputError, match="more columns than its first one"):
        load_data(path, target="label", text="text")


@pytest.mark.parametrize("content", ["Zug\tZ".encode("utf-16-le"), b"a\0\tb\n"])
def test_what_holds_nul_characters_is_no_text(content: bytes, write: Write) -> None:
    with pytest.raises(InputError, match="holds NUL characters"):
        load_data(write("p.tsv", content), task="translation")


def test_sentences_that_would_fill_the_memory_are_refused(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recipes.data.texts._MOST_MEMORY", 100_000)
    path = write("p.tsv", f"{'x' * 900}\ty\n" + "a\tb\n" * 99)
    with pytest.raises(InputError, match="has 100 pairs, and a sentence of 900 characters"):
        load_data(path, task="translation")


def test_one_long_text_is_divided_in_its_order(write: Write) -> None:
    text = "".join(f"line {n} 🐶 ü\n" for n in range(200))
    data = load_data(write("t.txt", text))
    assert data.task == "language_modeling"
    assert as_text(data["all"].inputs) == text
    assert data.sizes["validation"] == data.sizes["test"] == int(len(text) * 0.05)
    assert len(data.limited(100).train) == 100
    assert as_text(data.limited(100).train.inputs) == text[:100]
    with pytest.raises(InputError, match="too few to learn from"):
        load_data(write("s.txt", "short"))


def test_texts_of_other_lengths_are_joined_whole(write: Write) -> None:
    lines = [f"{'lang ' * (n % 7)}Satz {n}\tsentence {n}" for n in range(60)]
    data = load_data(write("p.tsv", "\n".join(lines)), task="translation").validated_by(2)
    assert len(data.validation) <= 3
    assert pairs_of(data) == {tuple(line.split("\t")) for line in lines}


def test_text_is_no_table(write: Write) -> None:
    with pytest.raises(InputError, match="no table file"):
        load_data(write("t.txt", "x" * 2000), target="x")
    with pytest.raises(InputError, match="data for language_modeling, not for regression"):
        load_data(write("t.txt", "x" * 2000), task="regression")


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("mlp", "'mlp' reads none"),
        ("gpt", "'gpt' is for language_modeling"),
        ("lstm_classifier", "'lstm_classifier' is for classification"),
    ],
)
def test_a_model_of_another_task_is_refused(
    model: str, reason: str, sentence_pairs: Path, tmp_path: Path
) -> None:
    options = {"task": "translation"}
    recipe = Recipe(model=model, data=str(sentence_pairs), epochs=1, data_options=options)
    with pytest.raises(InputError, match=reason):
        train(recipe, tmp_path / "run", data=load_data(sentence_pairs, **options))


@pytest.mark.parametrize(
    ("name", "sizes", "first"),
    [
        ("multi30k-de-en", [29_000, 1_014, 1_000], "Zwei junge weiße Männer"),
        ("multi30k-en-fr", [29_000, 1_014, 1_000], "Two young, White males"),
        ("tatoeba-fr-en", [137_164, 2_847, 2_776], "Va !"),
        ("polarity", [8_650, 961, 1_051], "a loud , witless mess"),
        ("tiny_shakespeare", [1_003_854, 55_770, 55_770], "F"),
    ],
)
def test_a_named_set_of_text_is_whole(
    name: str, sizes: list[int], first: str, needs: Callable[[str], None]
) -> None:
    needs(name)
    data = load_data(name)
    assert list(data.sizes.values()) == sizes
    assert str(data.train.inputs[0]).startswith(first)
    assert data.license
    assert len(np.unique(data.train.inputs[:5000])) > 50
