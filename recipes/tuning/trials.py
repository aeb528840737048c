"""The trials of a search: a recipe with some values, trained and measured by validation alone."""

import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Generic, TypeVar

import keras
import msgspec

from recipes.folder import Folder, write_json
from zoo.cards import Frozen
from zoo.spaces import Parameter, Widths

_FIGURES = "figures.json"
_CONFIG = "config.json"

R = TypeVar("R", bound=Frozen)
F = TypeVar("F", bound=Folder[Any])


class Figures(msgspec.Struct):
    """How a training came out.

    Attributes:
        best: name of a validation figure -> that of the weights that are kept.
        epochs: number of epochs that it had; of an agent, of evaluations.
        seconds: time spent in them.
    """

    best: dict[str, float]
    epochs: int
    seconds: float


class Trials(ABC, Generic[R, F]):
    """Trainings of one kind to compare: by validation alone, for no test example is looked at.

    Attributes:
        run_type: of what a training leaves.
        budget: the field of a recipe that says how long it learns.
        recipe: that values go into.
    """

    run_type: type[F]
    budget: str
    recipe: R

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 of the data, or "" where there is none."""

    @property
    @abstractmethod
    def space(self) -> dict[str, Parameter | Widths]:
        """What the recipe and its builders leave open."""

    @property
    @abstractmethod
    def objectives(self) -> dict[str, str]:
        """What can be searched for -> "min" or "max"; the usual one comes last."""

    @property
    @abstractmethod
    def rounds(self) -> int:
        """Parts of a whole training after which it can pause: epochs, or some thousand steps."""

    @abstractmethod
    def bytes(self, recipe: R) -> int:
        """Return the room on the disk that a trial takes at most.

        Raises:
            InputError: no model can be built by this recipe.
        """

    @abstractmethod
    def finish(self, recipe: R, folder: Path, resume: bool) -> F:
        """Train the best recipe as `train` and the like would, and measure it on the test split."""

    @abstractmethod
    def _begin(self, recipe: R, folder: Path) -> F:
        """Make the run of a trial."""

    @abstractmethod
    def _learned(self, run: F, until: int | None) -> Figures:
        """Train a run up to a round, and measure it."""

    def learn(
        self, recipe: R, folder: Path, until: int | None = None, before: Path | None = None
    ) -> Figures:
        """Train a recipe in a folder, or go on with what is in it.

        Args:
            recipe: with the values of a trial, and the seed of an execution.
            folder: of its run; if that is finished, its figures are returned.
            until: number of the last round; default all.
            before: folder of a run of the same recipe that had fewer rounds, to go on from.

        Raises:
            CheckFailed: the loss became infinite or not a number.
            InputError: the recipe does not fit its data.
        """
        done = folder / _FIGURES
        if done.is_file():
            return msgspec.json.decode(done.read_bytes(), type=Figures)
        run = self._run(recipe, folder, before)
        try:
            figures = self._learned(run, until)
        finally:
            keras.utils.clear_session()
        write_json(done, figures)
        return figures

    def _run(self, recipe: R, folder: Path, before: Path | None) -> F:
        """Return the run in a folder, or a new one."""
        if not (folder / _CONFIG).is_file() and before:
            shutil.rmtree(folder, ignore_errors=True)
            passing = folder.with_name(f".{folder.name}")
            shutil.rmtree(passing, ignore_errors=True)
            shutil.copytree(before, passing, ignore=shutil.ignore_patterns(_FIGURES))
            passing.rename(folder)
            write_asked(folder, recipe)
        if (folder / _CONFIG).is_file() and was_asked(folder, recipe):
            return self.run_type(folder)
        shutil.rmtree(folder, ignore_errors=True)  # cut off, or of another search
        run = self._begin(recipe, folder)
        write_asked(folder, recipe)
        return run


def write_asked(folder: Path, recipe: Frozen) -> None:
    """Note beside a run which recipe was asked for: its own has further facts of its data."""
    write_json(_asked(folder), recipe)


def was_asked(folder: Path, recipe: Frozen) -> bool:
    """Return whether a run was begun by exactly this recipe."""
    try:
        found = msgspec.json.decode(_asked(folder).read_bytes())
    except (OSError, msgspec.DecodeError):
        return False
    return found == msgspec.json.decode(msgspec.json.encode(recipe))


def _asked(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.json")


def forget(folder: Path) -> None:
    """Remove what a finished training needs no more: all but its recipe, history and figures."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in (_CONFIG, _FIGURES, "history.csv"):
            path.unlink()
