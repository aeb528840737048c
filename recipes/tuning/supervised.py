"""Trials of recipes that learn from examples with targets, and of fine-tuning."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from recipes.building import fresh_model, prepared
from recipes.data import Splits
from recipes.finetuning import fresh_learner
from recipes.recipe import Recipe
from recipes.run import Run
from recipes.supervised import begin, data_of, learn, own_data, train
from recipes.tuning.space import ARGUMENTS, around
from recipes.tuning.trials import Figures, Trials
from zoo.catalog import NAMES
from zoo.errors import InputError
from zoo.spaces import Choice, Condition, Float, Int, Parameter, Space, Widths, search_space

# Of every recipe that learns from examples; the learning rate is searched around its own.
LEARNING: Space = {
    "batch_size": Choice((32, 64, 128, 256)),
    "schedule": Choice(("constant", "cosine", "one_cycle")),
    "warmup": Float(0.0, 0.2, when=Condition("schedule", ("cosine",))),
    "weight_decay": Float(1e-6, 1e-2, "log"),
}
# Of those that learn from pictures.
AUGMENTED: Space = {"augment.crop": Int(0, 4), "augment.erase": Float(0.0, 0.5)}

_SCORED = ("classification", "translation")  # the tasks whose validation has an accuracy
# Numbers that a run keeps of each weight at most: the first, the last and the best of it, and two
# of the optimizer, and that once more while they are written.
COPIES = 10


def recipe_space(recipe: Recipe, pictures: bool) -> dict[str, Parameter | Widths]:
    """Return what a recipe for learning from examples leaves open, and what its builder does.

    Args:
        recipe: that values go into.
        pictures: whether it learns from pictures.
    """
    space: dict[str, Parameter | Widths] = {"learning_rate": around(recipe.learning_rate)}
    space |= {**LEARNING, **(AUGMENTED if pictures else {})}
    if recipe.fine_tuning:  # the network is there already
        return space | {"head_learning_rate": around(recipe.head_learning_rate)}
    own = search_space(recipe.model)
    return space | {f"{ARGUMENTS}.{name}": parameter for name, parameter in own.items()}


class SupervisedTrials(Trials[Recipe, Run]):
    """Trainings by `recipes.train`; the test split is taken away from them."""

    run_type = Run
    budget = "epochs"

    def __init__(self, recipe: Recipe, data: Splits | None = None) -> None:
        self.recipe, self.whole = recipe, data or data_of(recipe)
        self.data = replace(self.whole, test=self.whole.test.take(np.arange(0)))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the data."""
        return self.whole.fingerprint

    @property
    def space(self) -> dict[str, Parameter | Widths]:
        """What the recipe and its builder leave open."""
        pictures = not self.data.holds_text and len(self.data.shape) == 3
        return recipe_space(self.recipe, pictures)

    @property
    def objectives(self) -> dict[str, str]:
        """Validation loss, and accuracy where there is one."""
        row = NAMES.get(self.recipe.model)
        # A picture's class does not matter to what reconstructs it.
        task = row.task if row and row.task == "reconstruction" else self.data.task
        return {"val_loss": "min"} | ({"val_accuracy": "max"} if task in _SCORED else {})

    @property
    def rounds(self) -> int:
        """Number of epochs."""
        return self.recipe.all_epochs

    def bytes(self, recipe: Recipe) -> int:
        """Return the room that a trial's weights take."""
        if recipe.fine_tuning:
            model = fresh_learner(recipe, self.data)[0]
        else:
            model = fresh_model(recipe, prepared(recipe, self.data))[0]
        count = model.count_params()
        keras.utils.clear_session()
        return 4 * COPIES * count

    def finish(self, recipe: Recipe, folder: Path, resume: bool) -> Run:
        """Train the best recipe."""
        return train(recipe, folder, data=self.whole, resume=resume)

    def _begin(self, recipe: Recipe, folder: Path) -> Run:
        return begin(recipe, folder, self.data)[0]

    def _learned(self, run: Run, until: int | None) -> Figures:
        learn(run, own_data(run, self.data), [keras.callbacks.TerminateOnNaN()], until)
        state = run.read_state()
        if state is None or not state.history:
            raise InputError("the recipe has no epoch: there is nothing to compare.")
        # What counts is the model that the recipe leaves, whichever epoch it keeps.
        kept = next(row for row in state.history if row["epoch"] == state.kept_epoch)
        figures = {name: float(kept[name]) for name in self.objectives}
        return Figures(figures, len(state.history), round(state.seconds, 2))
