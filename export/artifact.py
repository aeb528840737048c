"""An exported artifact: a folder with the model in some format, and `model.json` beside it."""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from export.formats import format_of
from zoo.cards import Frozen, ParityReport, TokenizerFile
from zoo.errors import InputError
from zoo.files import refuse_taken, sha256_of, whole_file
from zoo.registry import unknown

FILE = "model.json"
SIGNATURE = "serving_default"  # what every artifact has


class Tensor(Frozen, frozen=True):
    """A named input or output; `None` in its shape is a dimension that may vary."""

    name: str
    shape: list[int | None]
    dtype: str


class Signature(Frozen, frozen=True):
    """What goes into one function of an artifact, and what comes out, by name."""

    inputs: list[Tensor]
    outputs: list[Tensor]


class Decoding(Frozen, frozen=True):
    """How an artifact answers with texts, fixed at its export.

    Attributes:
        max_length: greatest number of tokens of an answer; a language model's prompt counts.
        source_length: greatest number of tokens of what is read, the special ones included; `None`
            is any. What stands behind is lost.
        beam_width: number of beginnings that the beam search goes on with, and of its answers.
        length_penalty: see `zoo.sequence.decoding.beam`.
    """

    max_length: int = 64
    source_length: int | None = None
    beam_width: int = 5
    length_penalty: float = 0.6


class Manifest(Frozen, frozen=True):
    """What stands in `model.json`: all that somebody who serves the file must know.

    Attributes:
        name: name of the model.
        task: "classification", "regression", "reconstruction", "translation",
            "language_modeling", "control", "generation", or "encoding" of an encoder.
        format: name of the format.
        quantization: "float32", "float16", "dynamic", "int8" or "int4".
        inputs: what goes into the signature `serving_default`, under these names.
        outputs: what comes out of it, under these names.
        labels: names of the classes in the order of `class_index`.
        preprocessing: in words, what was done to pictures, tables or texts before the model.
        features: names of a table's features, in order.
        source: name or path of the model that was exported, "" for one that had neither.
        source_sha256: hash of that model's weights.
        files: relative name -> SHA-256.
        versions: of the packages that wrote it.
        parity: how it compares with its source, or `None` if that was not measured.
        tokenizers: of a model that reads text: the name of each input -> the vocabulary beside it.
        decoding: of a model that writes text: how it does.
        signatures: what it can be asked beside `serving_default`, by name.
        platforms: that a StableHLO program was lowered for.
        hardware: of such a program, in words: "lowered for cuda, tpu; run on cpu".
        part: "encoder" or "decoder" of an autoencoder; "" for all of a model.
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
    tokenizers: dict[str, TokenizerFile] = {}
    decoding: Decoding | None = None
    signatures: dict[str, Signature] = {}
    part: str = ""
    platforms: list[str] = []
    hardware: str = ""

    def signature(self, name: str = SIGNATURE) -> Signature:
        """Return what goes into a signature, and what comes out.

        Raises:
            InputError: the artifact has no such signature.
        """
        known = {SIGNATURE: Signature(inputs=self.inputs, outputs=self.outputs), **self.signatures}
        if name not in known:
            raise unknown(name, known, f"signature of {self.name!r}")
        return known[name]


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
    return {file.relative_to(folder).as_posix(): sha256_of(file) for file in sorted(_files(folder))}


def size(folder: Path) -> int:
    """Return the bytes of an artifact's files, the manifest left out."""
    return sum(file.stat().st_size for file in _files(folder))


def refuse_place(folder: Path, overwrite: bool) -> None:
    """Refuse a place for an artifact that is taken, or that holds something else than one.

    Raises:
        InputError: something stands there, and `overwrite` is false or it is no artifact.
    """
    refuse_taken(folder, overwrite)
    empty = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if not empty and not (folder / FILE).is_file():
        raise InputError(f"{folder} is no artifact, so it is not overwritten: name another place.")


def _files(folder: Path) -> Iterator[Path]:
    """Give an artifact's files, the manifest left out."""
    return (path for path in folder.rglob("*") if path.is_file() and path != folder / FILE)
