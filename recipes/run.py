"""A run: one folder that holds all that a later step needs, and nothing outside it.

| file | content |
|---|---|
| `config.json` | recipe, facts of the data, versions, command |
| `initial.keras` | the model before its first step |
| `encoder.json` | for tables: how columns became features |
| `*tokenizer.json` | for text: how it becomes the numbers of its tokens |
| `samples.npz` | calibration examples and the test examples |
| `state.npz` | after each epoch: weights, optimizer, random states, best figure, history |
| `kept-EPOCH.weights.h5` | weights of the epoch that is kept |
| `history.csv`, `tensorboard/`, `learning_curve.png` | the course of the training |
| `metrics.json`, `confusion_matrix.png` | how well it does |
| `model.keras`, `card.json` | the finished model and its card; the card comes last |
"""

import importlib.metadata
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from zipfile import BadZipFile

import msgspec
import numpy as np

from recipes.data.encoder import Encoder
from recipes.data.splits import Examples, Splits
from recipes.recipe import Recipe, check
from zoo import cards
from zoo.cards import Dataset, Frozen, TokenizerFile
from zoo.errors import InputError
from zoo.files import refuse_taken, sha256_of, whole_file
from zoo.models import load, load_file, read_tokenizers, write_tokenizers
from zoo.tokenizer import Tokenizer

if TYPE_CHECKING:
    import keras

_MOST_SAMPLE_BYTES = 64 << 20
_CALIBRATION = 256


# What NumPy raises for a file that is cut short or was changed.
DAMAGE = (OSError, ValueError, KeyError, TypeError, BadZipFile, EOFError, zlib.error)


class Config(Frozen, frozen=True):
    """What a run was started with.

    Attributes:
        recipe: how it trains.
        task: "classification", "regression", "reconstruction", "translation" or
            "language_modeling".
        architecture: name in the catalog, or "" for a model that came from elsewhere.
        arguments: with which the builder makes the model; empty for a fine-tuned one that has
            become another than its builder makes, such as by a layer that resizes.
        labels: names of the classes.
        features: names of a table's features.
        preprocessing: in words, what happens to the user's files before the model.
        dataset: facts of the data.
        initial_sha256: hash of `initial.keras`, checked before it is loaded.
        tokenizers: of a model that reads text: the name of each of its inputs -> the file.
        before: of a fine-tuned model of text: its source's figures on the test split.
        known_data: name of the other set that the source learned from.
        command: the command line that started it.
        versions: of Python and the packages that compute.
        commit: of the recipe's source tree, as it was then.
    """

    recipe: Recipe
    task: str
    architecture: str
    arguments: dict[str, Any]
    labels: list[str]
    features: list[str]
    preprocessing: str
    dataset: Dataset
    initial_sha256: str
    command: str
    versions: dict[str, str]
    commit: str = ""
    tokenizers: dict[str, TokenizerFile] = {}
    before: dict[str, float] = {}
    known_data: str = ""


C = TypeVar("C", bound=Frozen)


@dataclass
class State:
    """Where a training stands.

    Attributes:
        epoch: number of epochs that are done with; those left out by an early stop count.
        best: figure of the best epoch, larger is better; compared as a tuple.
        best_epoch: its number, from 1.
        kept_epoch: number of the epoch whose weights are kept.
        kept_sha256: hash of those, checked before they are loaded.
        seconds: time spent in epochs.
        history: one row per epoch.
        model: the model's variables, random states included.
        optimizer: the optimizer's variables.
    """

    epoch: int = 0
    best: list[float] = field(default_factory=list)
    best_epoch: int = 0
    kept_epoch: int = 0
    kept_sha256: str = ""
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    model: list[np.ndarray] = field(default_factory=list)
    optimizer: list[np.ndarray] = field(default_factory=list)


class Folder(Generic[C]):
    """What every run's folder has, however its model learns.

    Args:
        path: of an existing run.

    Raises:
        InputError: it is no run, or its config is damaged.
    """

    config_type: type[C]

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        file = self.path / "config.json"
        try:
            self.config = msgspec.json.decode(file.read_bytes(), type=self.config_type)
        except FileNotFoundError:
            raise InputError(f"{self.path} is no run: it holds no config.json.") from None
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
        for part in self.path.glob(".part-*"):
            part.unlink(missing_ok=True)

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


class Run(Folder[Config]):
    """The folder of a run that learns from examples; see `Run.create` for a new one."""

    config_type = Config

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        recipe: Recipe,
        model: "keras.Model",
        data: Splits,
        task: str,
        architecture: str,
        arguments: dict[str, Any],
        **facts: Any,
    ) -> "Run":
        """Make the folder of a new run; `facts` are further fields of its `Config`.

        Raises:
            InputError: the folder exists and is not empty, or cannot be written; or the recipe
                asks for what the task does not have.
        """
        check(recipe, task, data.shape)
        path = Path(path)
        refuse_taken(path)
        with _all_or_nothing(path):
            with whole_file(path / "initial.keras") as temporary:
                model.save(temporary)
            tokenizers = write_tokenizers(data.tokenizers, path)
            config = Config(
                recipe=recipe,
                task=task,
                architecture=architecture,
                arguments=arguments,
                labels=list(data.labels) if task == "classification" else [],
                features=list(data.features),
                preprocessing=data.preprocessing,
                dataset=Dataset(
                    source=data.source,
                    version=data.version,
                    license=data.license,
                    caveat=data.caveat,
                    examples=data.sizes,
                    fingerprint=data.fingerprint,
                ),
                initial_sha256=sha256_of(path / "initial.keras"),
                command=command(),
                versions=versions(),
                commit=commit(),
                tokenizers=tokenizers,
                **facts,
            )
            if data.encoder:
                write_json(path / "encoder.json", data.encoder)
            calibration, test = _kept(data)
            with whole_file(path / "samples.npz") as temporary:
                np.savez_compressed(
                    temporary,
                    calibration_inputs=calibration.inputs,
                    calibration_targets=calibration.targets,
                    test_inputs=test.inputs,
                    test_targets=test.targets,
                )
            write_json(path / "config.json", config)  # last: it makes the folder a run
        return cls(path)

    @property
    def encoder(self) -> Encoder | None:
        """How a table's columns became features, or `None` for images."""
        path = self.path / "encoder.json"
        return msgspec.json.decode(path.read_bytes(), type=Encoder) if path.is_file() else None

    @property
    def tokenizers(self) -> dict[str, Tokenizer]:
        """How texts become what the model reads, by the names of its inputs; empty without text."""
        return read_tokenizers(self.path, self.config.tokenizers)

    def samples(self, part: str) -> Examples:
        """Return the examples that the run keeps: "calibration" or "test"."""
        try:
            with np.load(self.path / "samples.npz", allow_pickle=False) as file:
                return Examples(file[f"{part}_inputs"], file[f"{part}_targets"])
        except DAMAGE as error:
            raise InputError(f"{self.path / 'samples.npz'} is damaged: {error}") from None

    def load_initial(self) -> "keras.Model":
        """Load the model as it was before its first step."""
        return load_file(self.checked("initial.keras", self.config.initial_sha256))

    def load_kept(self, model: "keras.Model", state: "State") -> None:
        """Load the kept weights into a model."""
        path = self.kept_weights(state.kept_epoch)
        model.load_weights(self.checked(path.name, state.kept_sha256))

    def read_state(self) -> State | None:
        """Return where the training stood when it last finished an epoch."""
        path = self.path / "state.npz"
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                state = State(**json.loads(bytes(file["facts"]).decode()))
                for name in ("model", "optimizer"):
                    count = sum(key.startswith(f"{name}/") for key in file.files)
                    setattr(state, name, [file[f"{name}/{i}"] for i in range(count)])
        except DAMAGE as error:
            raise InputError(f"{path} is damaged: {error}") from None
        return state

    def write_state(self, state: State) -> None:
        """Keep where the training stands, and the history beside it."""
        facts = {k: v for k, v in vars(state).items() if k not in ("model", "optimizer")}
        arrays = {
            f"{name}/{i}": value
            for name in ("model", "optimizer")
            for i, value in enumerate(getattr(state, name))
        }
        with whole_file(self.path / "state.npz") as temporary:
            np.savez(temporary, facts=np.frombuffer(json.dumps(facts).encode(), "uint8"), **arrays)
        self.write_history(state.history)

    def discard_if_empty(self) -> None:
        """Remove a run whose first epoch failed: there is nothing in it to go on from."""
        if self.read_state() is None:
            shutil.rmtree(self.path)


@contextmanager
def _all_or_nothing(path: Path) -> Iterator[None]:
    """Remove what was written of a run that could neither be resumed nor begun again."""
    try:
        yield
    except BaseException:
        own = ("initial.keras", "encoder.json", "samples.npz")
        for file in (*(path / name for name in own), *path.glob("*tokenizer.json")):
            with suppress(OSError):  # what went wrong first is what is told
                file.unlink()
        raise


def versions(*further: str) -> dict[str, str]:
    """Return the versions of Python and the packages that compute, and of `further` ones."""
    names = ("tensorflow", "keras", "numpy", "ai-edge-litert", "deepzoo", *further)
    return {"python": platform.python_version()} | {
        name: importlib.metadata.version(name) for name in names
    }


def hardware() -> str:
    """Return the processor's name and the number of cores."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    return f"{model}, {os.cpu_count()} cores"


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


def some(examples: Examples, count: int) -> Examples:
    """Return at most `count` examples, drawn always alike."""
    if len(examples) <= count:
        return examples
    chosen = np.random.default_rng(0).choice(len(examples), max(1, count), replace=False)
    return examples.take(np.sort(chosen))


def _kept(data: Splits) -> tuple[Examples, Examples]:
    """Return what a run keeps: examples to calibrate with, and test examples."""
    most = _MOST_SAMPLE_BYTES // max(1, data.test.inputs[:1].nbytes)
    if data.task == "language_modeling":  # a text's characters are examples together alone
        return data.train.take(np.arange(min(len(data.train), 1 << 14))), data.test
    return some(data.train, _CALIBRATION), some(data.test, most)


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
