"""Data sets by name or from the user's own files, divided and ready to learn from."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from recipes.data.encoder import Encoder
from recipes.data.images import has_class_folders, image_folder, loose_pictures
from recipes.data.named import SOURCES, named
from recipes.data.splits import Examples, Splits
from recipes.data.tables import table
from recipes.data.texts import SUFFIXES, long_text, sentence_pairs, text_table
from zoo.errors import InputError
from zoo.registry import unknown

__all__ = ["Encoder", "Examples", "Splits", "load_data"]

_HELD_BACK = 0.1  # share of the validation split, of pictures without classes


def load_data(
    source: str | os.PathLike[str],
    *,
    shape: Sequence[int] | None = None,
    target: str | None = None,
    task: str | None = None,
    drop: Sequence[str] = (),
    text: str | None = None,
    strict: bool = False,
    download: bool = False,
    encoder: Encoder | None = None,
    validation: int = 0,
) -> Splits:
    """Load a data set, divided into train, validation and test.

    A named set keeps its own test set where it has one. Everything else is divided by the hash of
    its content: stratified, the same on every machine, and with no example in two splits.

    Args:
        source: "mnist", "fashion_mnist", "cifar10" (from TensorFlow Datasets in `ZOO_DATA_DIR`),
            "flowers" (a folder of pictures there), "digits", "iris", "wine", "breast_cancer",
            "diabetes" (from scikit-learn); "multi30k-de-en", "tatoeba-en-fr", "polarity",
            "tiny_shakespeare" and others of text (see `recipes.data.named`); or the path of a
            folder with one folder of pictures for each class; of a CSV or TSV file; or, of text,
            of a TSV file with a sentence and its translation in each line
            (`task="translation"`), of a table with a column of texts (`text`), or of one long
            text, a `.txt` file. Text is UTF-8, or UTF-16 with its mark.
        shape: `(height, width, channels)` that the pictures of a folder are brought to.
        target: the column of a table that is to be predicted.
        task: "classification" or "regression", where a table's target leaves it open;
            "translation" for a TSV file of sentence pairs; "reconstruction", for which a folder
            of pictures needs no classes.
        drop: columns of a table to leave out.
        text: the column of a table that holds the texts to learn from, "" for the only one beside
            the target. Default: the table holds none.
        strict: raise at a broken picture, a row without target or a text that is too long; default:
            leave it out and name it in `Splits.skipped`.
        encoder: of the run whose model shall read a table: its columns, medians and categories.
        validation: about so many examples choose among models, and the rest of the validation
            split is learned from: for a last training, when all is chosen. 0 for all of them.
        download: allow a named set to be downloaded. Nothing is downloaded unless this is set.

    Returns:
        `Splits`: arrays in memory (uint8 images, float32 rows, texts) and what is known of them.

    Raises:
        InputError: nothing is there, or it cannot be learned from; the message says what to do.

    Example:
        >>> from recipes import load_data
        >>> data = load_data("iris")
        >>> data.shape, data.labels, data.sizes["test"]
        ((4,), ('setosa', 'versicolor', 'virginica'), 23)
    """
    if not isinstance(validation, int) or validation < 0:
        raise InputError(f"validation is a number of examples, 0 for all, not {validation!r}.")
    path = Path(source)
    known = isinstance(source, str) and source in SOURCES  # a Path is always a place
    kind = "".join(path.suffixes[-2:]).lower() if path.suffix.lower() == ".gz" else ""
    kind = kind or path.suffix.lower()
    if (target or drop or text) and (known or path.is_dir() or kind in {".txt", ".txt.gz"}):
        raise InputError(
            f"{str(source)!r} is no table file: it takes no target and no text, and drops nothing."
        )
    if known:
        if path.exists():
            raise InputError(
                f"{str(source)!r} is a data set's name, and there is a file or folder of that name "
                f"too: say ./{source} for yours."
            )
        data = named(str(source), download, shape, strict)
    elif path.is_dir():
        if task == "reconstruction" and not has_class_folders(path):
            data = loose_pictures(path, shape, strict, validation=_HELD_BACK)
        else:
            data = image_folder(path, shape, strict)
        if data.source in SOURCES:  # pathlib dropped the ./ that tells it from the name
            data = replace(data, source=f"./{data.source}")
    elif not path.is_file():
        raise unknown(str(source), SOURCES, "file, folder or data set")
    elif task == "translation" and kind in SUFFIXES:
        if target or drop or text:
            raise InputError("a file of sentence pairs has no columns with names: leave them out.")
        data = sentence_pairs(path, strict)
    elif kind in {".txt", ".txt.gz"}:
        data = long_text(path)
    elif text is not None and kind in {".csv", ".tsv", ".tsv.gz"}:
        data = text_table(path, target, text, drop, strict)
    elif kind in {".csv", ".tsv"}:
        data = table(path, target, task, drop, strict, encoder=encoder)
    else:
        raise InputError(f"{path} is neither a folder of pictures nor a .csv, .tsv or .txt file.")
    pictures = not data.holds_text and len(data.shape) == 3
    if task not in (None, data.task) and not (task == "reconstruction" and pictures):
        raise InputError(f"{str(source)!r} is data for {data.task}, not for {task}.")
    return data.validated_by(validation)
