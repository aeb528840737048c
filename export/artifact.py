"""An exported artifact: a folder with the model in some format, and `model.json` beside it."""

import os
from pathlib import Path

import msgspec

from export.formats import format_of
from zoo.cards import Frozen, ParityReport
from zoo.errors import InputError
from zoo.files import sha256_of, whole_file

FILE = "model.json"


class Tensor(Frozen, frozen=True):
    """A named input or output; `None` in its shape is a dimension that may vary."""

    name: str
    shape: list[int | None]
    dtype: str


class Manifest(Frozen, frozen=True):
    """What stands in `model.json`: all that somebody who serves the file must know.

    Attributes:
        name: name of the model.
        task: "classification", "regression" or "reconstruction".
        format: name of the format.
        quantization: "float32", "float16", "dynamic" or "int8".
        inputs: what goes in, under these names.
        outputs: what comes out, under these names.
        labels: names of the classes in the order of `class_index`.
        preprocessing: in words, what was done to pictures or tables before the model.
        features: names of a table's features, in order.
        source: name or path of the model that was exported, "" for one that had neither.
        source_sha256: hash of that model's weights.
        files: relative name -> SHA-256.
        versions: of the packages that wrote it.
        parity: how it compares with its source, or `None` if that was not measured.
    """

    name: str
    task: str
    format: str
    quantization: str
    inputs: list[Tensor]
    outputs: list[Tensor]
    labels: list[str]
    preprocessing: str
    features: list[str]
    source: str
    source_sha256: str
    files: dict[str, str]
    versions: dict[str, str]
    parity: ParityReport | None = None


def read(folder: str | os.PathLike[str]) -> Manifest:
    """Read the manifest of an artifact, and hold its files against their hashes.

    Raises:
        InputError: it is no artifact, or one of its files is missing or was changed.
    """
    folder = Path(folder)
    path = folder / FILE
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{folder} is no artifact: it holds no {FILE}.") from None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is damaged: {error}") from None
    format_of(manifest.format, manifest.quantization)
    found = hashes(folder)
    for name in sorted(manifest.files.keys() | found.keys()):
        if manifest.files.get(name) != found.get(name):
            what = "is missing" if name not in found else "is not what was exported"
            raise InputError(f"the artifact {folder} is damaged: {name} {what}.")
    return manifest


def write(manifest: Manifest, folder: Path) -> None:
    """Write the manifest beside the artifact's files."""
    with whole_file(folder / FILE) as temporary:
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")


def hashes(folder: Path) -> dict[str, str]:
    """Return relative name -> SHA-256 of an artifact's files, the manifest left out."""
    return {
        file.relative_to(folder).as_posix(): sha256_of(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file != folder / FILE
    }


def size(folder: Path) -> int:
    """Return the bytes of an artifact's files, the manifest left out."""
    return sum((folder / name).stat().st_size for name in hashes(folder))
