"""Data sets by name: from TensorFlow Datasets, and the ones that scikit-learn carries."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recipes.data.encoder import Encoder
from recipes.data.images import image_folder
from recipes.data.splits import Examples, Splits, content_hashes, divide, strata_of
from recipes.data.texts import as_characters, read_text, read_text_rows
from zoo.errors import InputError
from zoo.weights import offline

if TYPE_CHECKING:
    import tensorflow_datasets as tfds


@dataclass(frozen=True)
class Source:
    """Where a named set comes from, and what is known of it.

    Attributes:
        read: loads it: `read(name, download, shape, strict)`.
        license: as far as it is stated.
        caveat: what a reader of a figure on this data should know.
    """

    read: "Callable[[str, bool, Sequence[int] | None, bool], Splits]"
    license: str
    caveat: str = ""


def named(
    name: str, download: bool, shape: Sequence[int] | None = None, strict: bool = False
) -> Splits:
    """Load a set of `SOURCES`; `shape` and `strict` are for folders of pictures."""
    return SOURCES[name].read(name, download, shape, strict)


def _folder(name: str, download: bool, shape: Sequence[int] | None, strict: bool) -> Splits:
    """Load a folder of pictures: NAME in ZOO_DATA_DIR, or images/NAME beside that."""
    place = os.environ.get("ZOO_DATA_DIR")
    candidates = (Path(place, name), Path(place).parent / "images" / name) if place else ()
    found = next((path for path in candidates if path.is_dir()), None)
    if found is None:
        raise InputError(
            f"the pictures {name!r} are not there: set ZOO_DATA_DIR to a folder that holds "
            f"{name}/train/CLASS/… and {name}/test/CLASS/…, or name the folder itself as the data."
        )
    return replace(
        image_folder(found, shape, strict),
        source=name,
        license=SOURCES[name].license,
        caveat=SOURCES[name].caveat,
    )


def _text_folder(name: str) -> Path:
    """Return the folder of a set of text: NAME in ZOO_DATA_DIR, or text/NAME beside that."""
    place = os.environ.get("ZOO_DATA_DIR")
    candidates = (Path(place, name), Path(place).parent / "text" / name) if place else ()
    found = next((path for path in candidates if path.is_dir()), None)
    if found is None:
        raise InputError(
            f"the text {name!r} is not there: set ZOO_DATA_DIR to a folder that holds it, or name "
            "a file of your own as the data."
        )
    return found


def _of_text(name: str, parts: Sequence[Examples], task: str, labels: Sequence[str] = ()) -> Splits:
    train, validation, test = parts
    return Splits(
        train,
        validation,
        test,
        task=task,
        labels=tuple(labels),
        source=name,
        preprocessing="none",
        license=SOURCES[name].license,
        caveat=SOURCES[name].caveat,
    )


def _multi30k(name: str, download: bool, shape: Sequence[int] | None, strict: bool) -> Splits:
    """Load captions and their translations: lines of the same number in two files."""
    folder, languages = _text_folder("multi30k"), name.split("-")[1:]

    def read(split: str) -> Examples:
        texts = [read_text(folder / f"{split}.{x}").strip("\n").split("\n") for x in languages]
        return Examples(*(np.array([line.strip() for line in lines]) for lines in texts))

    return _of_text(name, [read(split) for split in ("train", "val", "test")], "translation")


def _tatoeba(name: str, download: bool, shape: Sequence[int] | None, strict: bool) -> Splits:
    """Load short sentences of daily life and their translations."""
    folder = _text_folder("tatoeba")

    def read(split: str) -> Examples:
        lines = read_text(folder / f"{split}.tsv.gz").strip().split("\n")
        english, french = zip(*(line.split("\t")[:2] for line in lines), strict=True)
        pair = (english, french) if name.endswith("en-fr") else (french, english)
        return Examples(*map(np.array, pair))

    return _of_text(name, [read(split) for split in ("train", "validation", "test")], "translation")


def _polarity(name: str, download: bool, shape: Sequence[int] | None, strict: bool) -> Splits:
    """Load sentences of film reviews; a tenth of the training set becomes validation."""
    folder = _text_folder(name)

    def read(split: str) -> Examples:
        rows = read_text_rows(folder / f"{split}.tsv")
        return Examples(rows["text"].to_numpy("U"), rows["label"].to_numpy("int64"))

    whole = read("train")
    train, validation = divide(content_hashes(whole.inputs), whole.targets, [0.1])
    parts = (whole.take(train), whole.take(validation), read("test"))
    return _of_text(name, parts, "classification", ("negative", "positive"))


def _shakespeare(name: str, download: bool, shape: Sequence[int] | None, strict: bool) -> Splits:
    """Load one long text, divided into its first nine tenths and the two halves of the last."""
    builder = _builder(name, download)

    def read(split: str) -> Examples:
        [text] = builder.as_dataset(split=split, batch_size=-1)["text"].numpy()
        characters = as_characters(text.decode())
        return Examples(characters, characters)

    data = _of_text(name, [read(s) for s in ("train", "validation", "test")], "language_modeling")
    return replace(data, version=str(builder.info.version))


def _tfds(name: str, download: bool, shape: Sequence[int] | None, strict: bool) -> Splits:
    """Load images with their own test set; a twelfth of the training set becomes validation."""
    builder = _builder(name, download)

    def read(split: str) -> Examples:
        arrays = builder.as_dataset(split=split, batch_size=-1)
        return Examples(arrays["image"].numpy(), arrays["label"].numpy().astype("int64"))

    whole = read("train")
    train, validation = divide(content_hashes(whole.inputs), whole.targets, [1 / 12])
    return Splits(
        train=whole.take(train),
        validation=whole.take(validation),
        test=read("test"),
        task="classification",
        labels=tuple(builder.info.features["label"].names),
        source=name,
        preprocessing="none",
        version=str(builder.info.version),
        license=SOURCES[name].license,
        caveat="the pictures of this copy passed through a lossy JPEG" if _lossy(builder) else "",
    )


def _builder(name: str, download: bool) -> "tfds.core.DatasetBuilder":
    """Return a set of TensorFlow Datasets that is prepared, or was now downloaded."""
    import tensorflow_datasets as tfds

    folder = os.environ.get("ZOO_DATA_DIR")
    if folder and not Path(folder).is_dir():
        raise InputError(f"ZOO_DATA_DIR is {folder}, which is no folder.")
    if download and offline():
        raise InputError(f"{name!r} cannot be downloaded: ZOO_OFFLINE is set.")
    builder = tfds.builder(name, data_dir=folder)
    if download:
        builder.download_and_prepare()
    elif not builder.is_prepared():
        raise InputError(
            f"the data set {name!r} is not in {builder.data_dir}. Set ZOO_DATA_DIR to the folder "
            "that holds it, or ask for the download: load_data(…, download=True) or --download."
        )
    return builder


def _lossy(builder: "tfds.core.DatasetBuilder") -> bool:
    """Return whether a prepared set keeps its pictures as JPEG; the original sets are PNG."""
    import tensorflow_datasets as tfds

    encoded = {"image": tfds.decode.SkipDecoding()}
    first = next(iter(builder.as_dataset(split="train[:1]", decoders=encoded)))
    return first["image"].numpy().startswith(b"\xff\xd8")


def _sklearn(name: str, download: bool, shape: Sequence[int] | None, strict: bool) -> Splits:
    """Load a set that is a part of scikit-learn, divided 70 : 15 : 15."""
    import sklearn
    import sklearn.datasets

    scaled = {"scaled": False} if name == "diabetes" else {}
    bunch = getattr(sklearn.datasets, f"load_{name}")(**scaled)
    task = "regression" if name == "diabetes" else "classification"
    if name == "digits":  # grey levels 0…16 as pictures 0…255
        inputs = np.round(bunch.images[..., None] * (255 / 16)).astype("uint8")
    else:
        inputs = bunch.data.astype("float32")
    if task == "classification":
        targets = bunch.target.astype("int64")
    else:
        targets = bunch.target.astype("float32")[:, None]
    examples = Examples(inputs, targets)
    parts = divide(content_hashes(inputs), strata_of(targets, task), [0.15, 0.15])
    return Splits.of(
        examples,
        parts,
        task=task,
        labels=tuple(map(str, bunch.target_names)) if task == "classification" else (),
        source=name,
        preprocessing="grey levels 0…16 scaled to 0…255" if name == "digits" else "none",
        encoder=None if name == "digits" else Encoder.numbers(map(str, bunch.feature_names)),
        version=f"scikit-learn {sklearn.__version__}",
        license=SOURCES[name].license,
        caveat=SOURCES[name].caveat,
    )


SOURCES = {
    "mnist": Source(_tfds, "none stated"),
    "fashion_mnist": Source(_tfds, "MIT"),
    "cifar10": Source(_tfds, "none stated"),
    "flowers": Source(
        _folder, "none stated", "five classes of photographs of flowers; some labels are wrong"
    ),
    "digits": Source(_sklearn, "CC BY 4.0", "1,797 pictures of 8×8 with 17 grey levels"),
    "iris": Source(_sklearn, "CC BY 4.0", "150 examples: the test figure rests on few"),
    "wine": Source(_sklearn, "CC BY 4.0", "178 examples: the test figure rests on few"),
    "breast_cancer": Source(_sklearn, "CC BY 4.0", "569 examples: the test figure rests on few"),
    "diabetes": Source(_sklearn, "none stated", "442 examples: the test figure rests on few"),
    **{
        f"multi30k-{pair}": Source(_multi30k, "research", "captions of pictures, short and alike")
        for pair in ("de-en", "en-de", "en-fr", "fr-en")
    },
    **{
        f"tatoeba-{pair}": Source(
            _tatoeba, "CC BY 2.0", "short sentences; few and short ones for validation and test"
        )
        for pair in ("en-fr", "fr-en")
    },
    "polarity": Source(_polarity, "CC BY 4.0", "single sentences of reviews, in small letters"),
    "tiny_shakespeare": Source(_shakespeare, "public domain", "the plays of one author"),
}
