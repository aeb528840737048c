"""The folder of a run, whatever learns in it: config, state, history, figures, model and card."""

import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from zipfile import BadZipFile

import msgspec
import numpy as np

from zoo import cards
from zoo.cards import Frozen
from zoo.errors import InputError
from zoo.files import sha256_of, whole_file
from zoo.models import load

if TYPE_CHECKING:
    import keras

STATE = "state.npz"
# What NumPy raises for a file that is cut short or was changed.
DAMAGE = (OSError, ValueError, KeyError, TypeError, BadZipFile, EOFError, zlib.error)

C = TypeVar("C", bound=Frozen)


class Folder(Generic[C]):
    """What every run's folder has, however its model learns.

    Args:
        path: of an existing run.

    Raises:
        InputError: it is no run, or its config is damaged.
    """

    config_type: type[C]
    what = "run"  # what it is called in messages

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        file = self.path / "config.json"
        try:
            content = file.read_bytes()
            self.config = msgspec.json.decode(content, type=self.config_type)
        except FileNotFoundError:
            raise InputError(f"{self.path} is no {self.what}: it holds no config.json.") from None
        except msgspec.ValidationError as error:
            found = msgspec.json.decode(content)
            other = "search" if isinstance(found, dict) and "tuner" in found else "run"
            if other != self.what:
                raise InputError(f"{self.path} is a {other}, and no {self.what}.") from None
            raise InputError(f"{file} is damaged: {error}") from None
        except (OSError, msgspec.DecodeError) as error:
            raise InputError(f"{file} is damaged: {error}") from None

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return self.path.resolve().name

    @property
    def finished(self) -> bool:
        """Whether the model and its card are there."""
        return (self.path / cards.FILE).is_file()

    @property
    def card(self) -> cards.Card:
        """The finished run's card."""
        return cards.read(self.path / cards.FILE)

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """Figures by split and name."""
        return json.loads((self.path / "metrics.json").read_text())

    def kept_weights(self, epoch: int) -> Path:
        """Return the path of the weights of an epoch."""
        return self.path / f"kept-{epoch}.weights.h5"

    def checked(self, name: str, sha256: str) -> Path:
        """Return the path of one of its files, whose hash is known."""
        path = self.path / name
        if not path.is_file() or sha256_of(path) != sha256:
            raise InputError(f"{path} is missing or damaged: start the run anew.")
        return path

    def load(self) -> "keras.Model":
        """Load the finished model."""
        return load(self.path)

    def sweep(self) -> None:
        """Remove what a killed process left half-written."""
        for part in self.path.rglob(".part-*"):
            part.unlink(missing_ok=True)

    def read_arrays(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return facts and arrays of where the training stood; nothing before its first state."""
        path = self.path / STATE
        if not path.is_file():
            return {}, {}
        try:
            with np.load(path, allow_pickle=False) as file:
                facts = json.loads(bytes(file["facts"]).decode())
                return facts, {name: file[name] for name in file.files if name != "facts"}
        except DAMAGE as error:
            raise InputError(f"{path} is damaged: {error}") from None

    def write_arrays(self, facts: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Keep where the training stands, whole or not at all."""
        words = np.frombuffer(json.dumps(facts).encode(), "uint8")
        named: dict[str, Any] = {"facts": words, **arrays}
        with whole_file(self.path / STATE) as temporary:
            np.savez(temporary, **named)

    def write_history(self, rows: list[dict[str, float]]) -> None:
        """Keep the course of the training as a table."""
        columns = list(rows[-1])
        lines = [",".join(columns)]
        lines += [",".join(repr(row.get(c, "")) for c in columns) for row in rows]
        with whole_file(self.path / "history.csv") as temporary:
            temporary.write_text("\n".join(lines) + "\n")

    def write_metrics(self, metrics: dict[str, dict[str, float]]) -> None:
        """Keep figures by split and name."""
        write_json(self.path / "metrics.json", metrics)


def numbered(names: Iterable[str], part: str) -> list[str]:
    """Return the names "PART/0", "PART/1" … that there are, in order."""
    known = set(names)
    found: list[str] = []
    while f"{part}/{len(found)}" in known:
        found.append(f"{part}/{len(found)}")
    return found


def versions(*further: str) -> dict[str, str]:
    """Return the versions of Python and the packages that compute, and of `further` ones.

    TensorFlow feeds the data whatever Keras computes with: a backend other than it is named, too.
    """
    names = ["tensorflow", "keras", "numpy", "ai-edge-litert", "deepzoo", *further]
    if _backend() != "tensorflow":
        names.append(_backend())
    return {"python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in names
    }


def hardware() -> str:
    """Return the processor's name, the number of cores, and the accelerators of Keras' backend."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    return ", ".join([f"{model}, {os.cpu_count()} cores", *_accelerators()])


def _accelerators() -> list[str]:
    """Return the names of the accelerators that Keras' backend sees."""
    if _backend() == "jax":
        import jax

        return [x.device_kind for x in jax.local_devices() if x.platform != "cpu"]
    import tensorflow as tf

    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    return [x.get("device_name", "GPU") for x in details]


def _backend() -> str:
    import keras

    return keras.backend.backend()


def command() -> str:
    """Return the command line; of an absolute path the last part: a card travels."""
    return shlex.join(map(_without_place, sys.argv))


def _without_place(word: str) -> str:
    """Return a word of a command; of an absolute path the last part."""
    option, equals, value = word.rpartition("=") if word.startswith("-") else ("", "", word)
    return f"{option}{equals}{Path(value).name if Path(value).is_absolute() else value}"


def commit() -> str:
    """Return the commit of the recipe's source tree, or "" where it is not in a repository."""
    file = Path(__file__)

    def git(*words: str) -> str:
        call = ["git", "-C", str(file.parent), *words]
        return subprocess.check_output(call, text=True, stderr=subprocess.DEVNULL).strip()

    try:
        git("ls-files", "--error-unmatch", file.name)  # it may be installed in another repository
        return git("describe", "--always", "--dirty", "--abbrev=12")
    except (OSError, subprocess.CalledProcessError):
        return ""


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
