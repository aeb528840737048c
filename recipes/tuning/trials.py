"""The trials of a search: a recipe with some values, trained and measured by validation alone."""

import shutil
from dataclasses import replace
from pathlib import Path

import keras
import msgspec
import numpy as np

from recipes.building import fresh_model, prepared
from recipes.data import Splits
from recipes.finetuning import fresh_learner
from recipes.folder import write_json
from recipes.recipe import Recipe
from recipes.run import Run
from recipes.supervised import begin, learn, own_data
from zoo.catalog import NAMES
from zoo.errors import InputError

_FIGURES = "figures.json"
_CONFIG = "config.json"
_SCORED = ("classification", "translation")  # the tasks whose validation has an accuracy
# Numbers that a run keeps of each weight at most: the first, the last and the best of it, and two
# of the optimizer, and that once more while they are written.
_COPIES = 10


class Figures(msgspec.Struct):
    """How a training came out.

    Attributes:
        best: name of a validation figure -> its best of all epochs.
        epochs: number of epochs that it had.
        seconds: time spent in them.
    """

    best: dict[str, float]
    epochs: int
    seconds: float


class Trials:
    """Trainings to compare: by validation alone, for the test split is taken away from them.

    Args:
        recipe: that values go into.
        data: that it learns from.
    """

    def __init__(self, recipe: Recipe, data: Splits) -> None:
        self.recipe = recipe
        self.data = replace(data, test=data.test.take(np.arange(0)))

    @property
    def task(self) -> str:
        """Task of the model: a picture's class does not matter to what reconstructs it."""
        row = NAMES.get(self.recipe.model)
        return row.task if row and row.task == "reconstruction" else self.data.task

    @property
    def objectives(self) -> dict[str, str]:
        """What can be searched for -> "min" or "max"; the usual one comes last."""
        return {"val_loss": "min"} | ({"val_accuracy": "max"} if self.task in _SCORED else {})

    def weights(self, recipe: Recipe) -> int:
        """Return the number of weights that a recipe's model has."""
        if recipe.fine_tuning:
            model = fresh_learner(recipe, self.data)[0]
        else:
            model = fresh_model(recipe, prepared(recipe, self.data))[0]
        count = model.count_params()
        keras.utils.clear_session()
        return count

    def bytes(self, recipe: Recipe) -> int:
        """Return the room on the disk that a trial takes at most."""
        return 4 * _COPIES * self.weights(recipe)

    def learn(
        self, recipe: Recipe, folder: Path, until: int | None = None, before: Path | None = None
    ) -> Figures:
        """Train a recipe in a folder, or go on with what is in it.

        Args:
            recipe: with the values of a trial, and the seed of an execution.
            folder: of its run; if that is finished, its figures are returned.
            until: number of the last epoch; default all.
            before: folder of a run of the same recipe that had fewer epochs, to go on from.

        Raises:
            CheckFailed: the loss became infinite or not a number.
            InputError: the recipe does not fit its data.
        """
        done = folder / _FIGURES
        if done.is_file():
            return msgspec.json.decode(done.read_bytes(), type=Figures)
        run, data = self._run(recipe, folder, before)
        try:
            learn(run, data, [keras.callbacks.TerminateOnNaN()], until)
        finally:
            keras.utils.clear_session()
        state = run.read_state()
        if state is None:
            raise InputError(f"{folder} holds no epoch: its recipe has none.")
        better = {"min": min, "max": max}
        figures = Figures(
            best={
                name: float(better[direction](row[name] for row in state.history))
                for name, direction in self.objectives.items()
            },
            epochs=len(state.history),
            seconds=round(state.seconds, 2),
        )
        write_json(done, figures)
        return figures

    def _run(self, recipe: Recipe, folder: Path, before: Path | None) -> tuple[Run, Splits]:
        """Return the run in a folder, or a new one, and the data as it reads it."""
        if not (folder / _CONFIG).is_file() and before:
            shutil.rmtree(folder, ignore_errors=True)
            passing = folder.with_name(f".{folder.name}")
            shutil.rmtree(passing, ignore_errors=True)
            shutil.copytree(before, passing, ignore=shutil.ignore_patterns(_FIGURES))
            passing.rename(folder)
        if (folder / _CONFIG).is_file():
            run = Run(folder)
            if run.config.recipe == recipe:
                return run, own_data(run, self.data)
        shutil.rmtree(folder, ignore_errors=True)  # cut off, or of another search
        return begin(recipe, folder, self.data)


def forget(folder: Path) -> None:
    """Remove what a finished training needs no more: all but its recipe, history and figures."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in (_CONFIG, _FIGURES, "history.csv"):
            path.unlink()
