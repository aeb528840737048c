"""The user's own text: pairs of sentences, texts with classes, one long text."""

import codecs
import csv
import gzip
import hashlib
import io
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from recipes.data.splits import Examples, Splits, divide
from recipes.data.tables import class_targets
from zoo.errors import InputError
from zoo.registry import unknown

MOST_CHARACTERS = 1000  # of a sentence; what is longer is left out, and named
_MOST_MEMORY = 2 << 30  # bytes of the pairs of a file
_MOST_BYTES = 1 << 30  # of a file, unpacked
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
SUFFIXES = (".txt", ".tsv", ".txt.gz", ".tsv.gz")


def read_text(path: Path) -> str:
    """Read a text file: UTF-8, or UTF-16 where its first bytes say so; `.gz` is unpacked.

    Line ends become plain line feeds.

    Raises:
        InputError: it is missing, in another encoding, damaged, or empty.
    """
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"there is no text at {path}.") from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    if len(content) > _MOST_BYTES:
        raise InputError(f"{path} has more than {_MOST_BYTES >> 20} MiB: divide it.")
    text = decoded(content, str(path))
    if not text.strip():
        raise InputError(f"{path} is empty.")
    return text


def decoded(content: bytes, place: str) -> str:
    """Return the text of some bytes, by the rule of `read_text`; `place` says where they are from.

    Raises:
        InputError: they are in another encoding, or no text.
    """
    mark, encoding = next((m for m in _MARKS if content.startswith(m[0])), (b"", "utf-8"))
    content = content[len(mark) :]
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise InputError(f"{place} says that it is in UTF-16, and is damaged.") from None
        line = content[: error.start].count(b"\n") + 1
        raise InputError(
            f"{place} is not in UTF-8 (line {line}): save it as UTF-8, for example by "
            f"`iconv -f latin1 -t utf-8`."
        ) from None
    if "\0" in text:
        raise InputError(
            f"{place} holds NUL characters: it is no text, or in UTF-16 without its mark. Save it "
            "as UTF-8."
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def sentence_pairs(
    path: Path, strict: bool = False, fractions: tuple[float, float] = (0.1, 0.1)
) -> Splits:
    """Load pairs of a sentence and its translation from a TSV file without a header.

    A line's first two columns count. Lines that are empty or have one column, an empty sentence, or
    one of more than 1,000 characters are left out and named. The same sentence never comes to two
    splits.

    Args:
        path: the file, `.tsv` or `.tsv.gz`.
        strict: raise at such a line.
        fractions: shares of validation and test.

    Raises:
        InputError: it is no such file, or has too few pairs.
    """
    sources, targets, skipped = _pairs(path, strict)
    hashes = np.array([_digest(source) for source in sources], "S32")
    parts = divide(hashes, np.zeros(len(sources), int), fractions)
    if not all(map(len, parts)):
        raise InputError(
            f"{path} has {len(sources)} pair(s): training, validation and test need one each."
        )
    return Splits.of(
        Examples(np.array(sources), np.array(targets)),
        parts,
        task="translation",
        labels=(),
        source=str(path),
        preprocessing="none",
        skipped=tuple(skipped),
    )


def _pairs(path: Path, strict: bool) -> tuple[list[str], list[str], list[str]]:
    """Return sources, targets, and a line about each pair that was left out."""
    kept: list[tuple[str, str]] = []
    skipped = []
    single = 0
    lines = read_text(path).split("\n")
    while lines and not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, start=1):
        pair = [part.strip() for part in line.split("\t")[:2]]
        single += len(pair) < 2
        reason = _unfit(pair, MOST_CHARACTERS)
        if reason and strict:
            raise InputError(f"{path}, line {number}: {reason}.")
        if reason:
            skipped.append(f"{path}, line {number}: {reason}")
        else:
            kept.append((pair[0], pair[1]))
    if not kept:
        why = "has one column" if single == len(lines) else "holds no pair of sentences"
        raise InputError(f"{path} {why}: each line needs a sentence, a tab, and its translation.")
    longest = max(max(map(len, pair)) for pair in kept)
    if 8 * len(kept) * longest > _MOST_MEMORY:  # all rows of an array take as much as the longest
        raise InputError(
            f"{path} has {len(kept):,} pairs, and a sentence of {longest} characters among them: "
            "that takes too much memory. Shorten or leave out the longest."
        )
    return [a for a, _ in kept], [b for _, b in kept], skipped


def _unfit(texts: Sequence[str], most: int | None = None) -> str:
    """Return why a line cannot be learned from, or ""; `most` is a number of characters."""
    if not any(texts):
        return "it is empty"
    if len(texts) < 2:
        return "it has one column, and no tab"
    if not all(texts):
        return "a part of it is empty"
    if most and max(map(len, texts)) > most:
        return f"a sentence of more than {most:,} characters"
    return ""


def text_table(
    path: Path,
    target: str | None,
    text: str = "",
    drop: Sequence[str] = (),
    strict: bool = False,
    fractions: tuple[float, float] = (0.1, 0.1),
) -> Splits:
    """Load texts and their classes from a CSV or TSV file, whose first line names the columns.

    Args:
        path: the file.
        target: name of the column with the classes.
        text: name of the column with the texts; "" where it is the only other one.
        drop: columns to leave out.
        strict: raise at a row without text or class.
        fractions: shares of validation and test.

    Raises:
        InputError: no such column, one class alone, too few rows.
    """
    rows = read_text_rows(path)
    for name in filter(None, (target, text, *drop)):
        if name not in rows:
            raise unknown(name, rows.columns, f"column of {path}")
    rows = rows.drop(columns=list(drop))
    if target in drop or (text and text in drop):
        raise InputError("a column cannot be dropped and be learned from.")
    if not target:
        raise InputError(
            f"name the column of {path} that is to be predicted (target): "
            + ", ".join(map(repr, rows.columns))
        )
    text = text or only_text(rows, path, target)
    skipped = []
    good = np.ones(len(rows), bool)
    for place, (words, label) in enumerate(zip(rows[text], rows[target], strict=True)):
        reason = _unfit((words.strip(), label.strip()))
        if not reason:
            continue
        if strict:
            raise InputError(f"{path}, line {rows.index[place] + 2}: {reason}.")
        good[place] = False
        skipped.append(f"{path}, line {rows.index[place] + 2}: {reason}")
    rows = rows[good].apply(lambda column: column.str.strip())
    if rows.empty:
        raise InputError(f"{path} has no row with a text and a class.")
    labels, targets = class_targets(rows[target], path)
    texts = np.array(rows[text].tolist())
    hashes = np.array([_digest(words) for words in texts], "S32")
    for number, label in enumerate(labels):
        different = len(np.unique(hashes[targets == number]))
        if different < 3:
            raise InputError(
                f"{path} has {different} different text(s) of the class {label!r}: training, "
                "validation and test need one each, so give it at least three."
            )
    return Splits.of(
        Examples(texts, targets),
        divide(hashes, targets, fractions),
        task="classification",
        labels=labels,
        source=str(path),
        preprocessing="none",
        skipped=tuple(skipped),
    )


def read_text_rows(path: Path) -> pd.DataFrame:
    """Read a CSV or TSV file with every value as text; an absent one is ""."""
    content = read_text(path)
    tabs = path.name.lower().removesuffix(".gz").endswith(".tsv")
    header = content.partition("\n")[0]
    separator = ";" if "," not in header and ";" in header else ","
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            rows = pd.read_csv(
                io.StringIO(content),
                sep="\t" if tabs else separator,
                dtype=str,
                keep_default_na=False,
                index_col=False,
                skip_blank_lines=False,
                quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,
            ).fillna("")
    except pd.errors.ParserWarning:
        raise InputError(
            f"{path} has lines with more columns than its first one: put texts that hold the "
            "separator in quotation marks."
        ) from None
    except ValueError as error:  # pandas' own errors are ValueErrors
        raise InputError(f"{path} cannot be read as a table: {error}") from None
    if rows.empty:
        raise InputError(f"the table {path} has no rows.")
    rows.columns = rows.columns.map(str)
    return rows


def only_text(rows: pd.DataFrame, path: Path, target: str | None) -> str:
    """Return the only column beside the target.

    Raises:
        InputError: there are none, or several.
    """
    others = [name for name in map(str, rows) if name != target]
    if len(others) != 1:
        raise InputError(
            f"name the column of {path} that holds the texts (text): "
            + (", ".join(map(repr, others)) or "there is only the target.")
        )
    return others[0]


def long_text(path: Path, fractions: tuple[float, float] = (0.05, 0.05)) -> Splits:
    """Load one long text, character by character; its last parts are validation and test.

    Args:
        path: a `.txt` or `.txt.gz` file.
        fractions: shares of validation and test.

    Raises:
        InputError: it is no text, or shorter than 1,000 characters.
    """
    characters = as_characters(read_text(path))
    if len(characters) < 1000:
        raise InputError(f"{path} has {len(characters)} characters: too few to learn from.")
    validation, test = (int(len(characters) * share) for share in fractions)
    train = len(characters) - validation - test
    parts = np.split(np.arange(len(characters)), [train, train + validation])
    return Splits.of(
        Examples(characters, characters),
        parts,
        task="language_modeling",
        labels=(),
        source=str(path),
        preprocessing="none",
    )


def as_characters(text: str) -> np.ndarray:
    """Return a text as an array of its characters, `(characters,)` of "<U1"."""
    return np.frombuffer(text.encode("utf-32-le"), "<U1")


def as_text(characters: np.ndarray) -> str:
    """Return the text of its characters."""
    return np.ascontiguousarray(characters).astype("<U1").tobytes().decode("utf-32-le")


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
