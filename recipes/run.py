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

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from recipes.data.encoder import Encoder
from recipes.data.splits import Examples, Splits
from recipes.folder import DAMAGE, STATE, Folder, command, commit, numbered, versions, write_json
from recipes.recipe import Recipe, check
from zoo.cards import Dataset, Frozen, TokenizerFile
from zoo.errors import InputError
from zoo.files import refuse_taken, sha256_of, whole_file
from zoo.models import load_file, read_tokenizers, write_tokenizers
from zoo.tokenizer import Tokenizer

if TYPE_CHECKING:
    import keras

_MOST_SAMPLE_BYTES = 64 << 20
_CALIBRATION = 256


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
        facts, arrays = self.read_arrays()
        if not facts:
            return None
        try:
            state = State(**facts)
        except TypeError as error:
            raise InputError(f"{self.path / STATE} is damaged: {error}") from None
        for name in ("model", "optimizer"):
            setattr(state, name, [arrays[key] for key in numbered(arrays, name)])
        return state

    def write_state(self, state: State) -> None:
        """Keep where the training stands, and the history beside it."""
        facts = {k: v for k, v in vars(state).items() if k not in ("model", "optimizer")}
        arrays = {
            f"{name}/{i}": value
            for name in ("model", "optimizer")
            for i, value in enumerate(getattr(state, name))
        }
        self.write_arrays(facts, arrays)
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
