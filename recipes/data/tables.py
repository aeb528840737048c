"""The user's own tables: a CSV with a named target, numbers, categories and missing values."""

import csv
import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from recipes.data.encoder import Encoder
from recipes.data.splits import Examples, Splits, divide, strata_of
from zoo.errors import InputError
from zoo.registry import natural_key, unknown

_MOST_CLASSES = 20  # a whole-numbered target with more values than this is a quantity


def read_rows(path: Path) -> pd.DataFrame:
    """Read a CSV or TSV file; infinite numbers count as missing.

    A CSV whose first line has semicolons and no commas is separated by those, as spreadsheets of
    many countries write it; the decimals of its numbers may then be marked by commas.

    Raises:
        InputError: it is missing, empty, no table, or not in UTF-8; two columns have the same
            name, or a number is too large for float32.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline()
        separator = "\t" if path.suffix.lower() == ".tsv" else ","
        if separator == "," and "," not in header and ";" in header:
            separator = ";"
        names = next(csv.reader([header], delimiter=separator), [])
        twice = [name for name, count in Counter(names).items() if name and count > 1]
        if twice:
            raise InputError(f"{path} has {twice[0]!r} as the name of several columns.")
        # Blank lines are read and then left out, so that the index goes on telling the line.
        rows = pd.read_csv(
            path, sep=separator, index_col=False, encoding="utf-8-sig", skip_blank_lines=False
        ).dropna(how="all")
    except FileNotFoundError:
        raise InputError(f"there is no table at {path}.") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not in UTF-8: save it as “CSV UTF-8”.") from None
    except InputError:
        raise
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise InputError(f"{path} cannot be read as a table: {error}") from None
    if rows.empty:
        raise InputError(f"the table {path} has no rows.")
    rows.columns = rows.columns.map(str)
    if separator == ";":  # where that separates columns, a comma often marks decimals
        for name in rows.select_dtypes(exclude="number"):
            texts = rows[name].dropna().astype(str)
            if len(texts) and texts.str.fullmatch(r"\s*[-+]?\d*,?\d+\s*").all():
                rows[name] = pd.to_numeric(rows[name].str.replace(",", "."))
    rows = rows.replace([np.inf, -np.inf], np.nan)
    for name in rows.select_dtypes("number"):
        large = rows[name][rows[name].abs() > np.finfo("float32").max]
        if len(large):
            raise InputError(
                f"{path}, line {large.index[0] + 2}: {large.iloc[0]:g} in the column {name!r} is "
                "too large a number; leave the row or the column out."
            )
    return rows


def table(
    path: Path,
    target: str | None,
    task: str | None = None,
    drop: Sequence[str] = (),
    strict: bool = False,
    fractions: tuple[float, float] = (0.15, 0.15),
    encoder: Encoder | None = None,
) -> Splits:
    """Load a CSV or TSV file.

    Args:
        path: the file; its first line names the columns.
        target: name of the column to predict.
        task: "classification" or "regression"; default: texts and few whole numbers are classes.
        drop: columns to leave out.
        strict: raise at a row without target, in place of leaving it out.
        fractions: shares of validation and test.
        encoder: how the columns become features; default: fitted on the training rows.

    Returns:
        The splits; their `encoder` was fitted on the training rows.

    Raises:
        InputError: no such column, one class alone, too few rows; the message says where.
    """
    rows = read_rows(path)
    for name in [*drop, *([target] if target else [])]:
        if name not in rows:
            raise unknown(name, rows.columns, f"column of {path}")
    if target in drop:
        raise InputError(f"the column {target!r} cannot be the target and be dropped.")
    if target is None:
        raise InputError(
            f"name the column of {path} that is to be predicted (target): "
            + ", ".join(map(repr, rows.columns))
        )
    wanting = rows[target].isna()
    if wanting.any() and strict:
        raise InputError(f"{path}: line {rows.index[wanting][0] + 2} has no {target!r}.")
    skipped = [f"{path}, line {i + 2}: no value for {target!r}" for i in rows.index[wanting]]
    rows = rows[~wanting].drop(columns=list(drop))
    nameless = [name for name in map(str, rows) if name.startswith("Unnamed: ")]
    if nameless and encoder is None:
        raise InputError(
            f"{path} has a column without a name: name it, or leave it out as {nameless[0]!r} "
            f"(drop, --drop)."
        )
    if rows.shape[1] < 2:
        raise InputError(f"{path} has no column beside the target {target!r}.")
    # As text: the same row is the same content whatever pandas makes of its types.
    # A gap elsewhere in its column makes a whole number 1 a 1.0.
    texts = (
        "\x1f".join(
            str(v).removesuffix(".0") if isinstance(v, float) else str(v) for v in row
        ).encode()
        for row in rows.itertuples(index=False)
    )
    hashes = np.array([hashlib.blake2b(t, digest_size=16).hexdigest() for t in texts], "S32")
    task, labels, targets = _targets(rows.pop(target), task, path)
    parts = divide(hashes, strata_of(targets, task), fractions)
    for number, label in enumerate(labels):
        different = len(np.unique(hashes[targets == number]))
        if different < 3:
            raise InputError(
                f"{path} has {different} different row(s) with {target!r} {label!r}: training, "
                "validation and test need one each, so give it at least three; or, if the "
                "target is a quantity, say so (task='regression', --task regression)."
            )
    if not all(map(len, parts)):
        raise InputError(f"{path} has too few rows to divide: {len(rows)}.")
    encoder = encoder or Encoder.fit(rows.iloc[parts[0]])
    examples = Examples(encoder.encode(rows), targets)
    return Splits.of(
        examples,
        parts,
        task=task,
        labels=labels,
        source=str(path),
        preprocessing="categories as columns of 0 and 1, missing numbers as the median",
        encoder=encoder,
        skipped=tuple(skipped),
    )


def _targets(
    values: pd.Series, task: str | None, path: Path
) -> tuple[str, tuple[str, ...], np.ndarray]:
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if task is None:
        whole = numeric and (values == values.round()).all()
        classes = not numeric or (whole and values.nunique() <= _MOST_CLASSES)
        task = "classification" if classes else "regression"
    if task == "regression":
        if not numeric:
            raise InputError(
                f"the target {values.name!r} of {path} holds text: it can be classified only."
            )
        return task, (), values.to_numpy("float32")[:, None]
    if task != "classification":
        raise unknown(task, ("classification", "regression"), "task for a table")
    if numeric and (values == values.round()).all():
        values = values.astype("int64")  # a missing value elsewhere made 1 a 1.0
    return task, *class_targets(values, path)


def class_targets(values: pd.Series, path: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the names of the classes in natural order, and each row's number.

    Raises:
        InputError: there is one class alone.
    """
    text = values.astype(str)
    labels = sorted(text.unique(), key=natural_key)
    if len(labels) < 2:
        raise InputError(f"the target {values.name!r} of {path} has one class only: {labels[0]!r}.")
    return tuple(labels), text.map({v: i for i, v in enumerate(labels)}).to_numpy("int64")
