"""Trials of generators and their critics: what is made is compared with the validation pictures."""

import warnings
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from recipes.adversarial.finishing import figures_of
from recipes.adversarial.losses import LOSSES
from recipes.adversarial.recipe import FEWEST, AdversarialRecipe
from recipes.adversarial.run import AdversarialRun
from recipes.adversarial.training import (
    Collapse,
    Divergence,
    arguments_for,
    begin,
    built,
    check_batches,
    data_of,
    learn,
    train_adversarial,
)
from recipes.data import Examples, Splits
from recipes.data.splits import content_hashes
from recipes.tuning.space import around
from recipes.tuning.supervised import COPIES
from recipes.tuning.trials import Figures, Trials
from zoo.spaces import Choice, Float, Parameter, Space, Widths, search_space

_BATCHES = (32, 64, 128)
LEARNING: Space = {
    "beta_1": Choice((0.0, 0.5, 0.9)),
    "ema": Choice((0.9, 0.99, 0.999)),
}
# A figure of what is made -> its name in a search, and which is better.
_FIGURES = {
    "recall": ("val_recall", "max"),
    "precision": ("val_precision", "max"),
    "kernel_distance": ("val_kernel_distance", "min"),
}
_DISTANCE = "val_distance"


class AdversarialTrials(Trials[AdversarialRecipe, AdversarialRun]):
    """Trainings by `recipes.adversarial.train_adversarial`, but for their validation pictures.

    What is made is compared with those, and no test picture is looked at.
    """

    run_type = AdversarialRun
    budget = "epochs"

    def __init__(self, recipe: AdversarialRecipe, data: Splits | None = None) -> None:
        self.recipe, self.whole = recipe, data or data_of(recipe)
        learned, compared = _divided(self.whole)
        nothing = learned.take(np.arange(0))
        self.data = replace(self.whole, train=learned, validation=nothing, test=compared)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the pictures."""
        return self.whole.fingerprint

    @property
    def space(self) -> dict[str, Parameter | Widths]:
        """Both learning rates, what steadies the critic, and what both builders leave open."""
        recipe = self.recipe
        space: dict[str, Parameter | Widths] = {
            "learning_rate": around(recipe.learning_rate),
            "discriminator_learning_rate": around(recipe.critic_rate),
            **LEARNING,
        }
        possible = [n for n in _BATCHES if n * recipe.critic_steps <= len(self.data.train)]
        if len(possible) > 1:
            space["batch_size"] = Choice(tuple(possible))
        for penalty in ("gradient_penalty", "r1"):
            if getattr(recipe, penalty):  # around its own, as a learning rate
                space[penalty] = around(getattr(recipe, penalty))
        if LOSSES[recipe.loss].bounded:
            space["label_smoothing"] = Float(0.0, 0.3)
        for network in ("generator", "discriminator"):
            own = search_space(getattr(recipe, network))
            space |= {f"{network}_arguments.{name}": this for name, this in own.items()}
        return space

    @property
    def objectives(self) -> dict[str, str]:
        """Distances, precision and recall, in the features of the recipe's judge."""
        return dict(_FIGURES.values()) | {_DISTANCE: "min"}

    @property
    def rounds(self) -> int:
        """Number of epochs."""
        return self.recipe.epochs

    def bytes(self, recipe: AdversarialRecipe) -> int:
        """Return the room that the weights of both networks take."""
        check_batches(recipe, self.data)
        networks = built(recipe, *arguments_for(recipe, self.data))
        count = sum(network.count_params() for network in networks)
        keras.utils.clear_session()
        return 4 * COPIES * count

    def finish(self, recipe: AdversarialRecipe, folder: Path, resume: bool) -> AdversarialRun:
        """Train the best recipe."""
        return train_adversarial(recipe, folder, data=self.whole, resume=resume)

    def _begin(self, recipe: AdversarialRecipe, folder: Path) -> AdversarialRun:
        return begin(recipe, folder, self.data)[0]

    def _learned(self, run: AdversarialRun, until: int | None) -> Figures:
        with warnings.catch_warnings():  # the distance tells as much
            for category in (Collapse, Divergence):
                warnings.simplefilter("ignore", category)
            trainer = learn(run, self.data, until=until)
        scores, metrics = figures_of(trainer.averaged(), self.data, run.config.recipe)
        found = {metric.name: metric.value for metric in metrics}
        best = {name: found[key] for key, (name, _) in _FIGURES.items()}
        state = run.read_state()
        return Figures(best | {_DISTANCE: scores.distance}, state.epoch, round(state.seconds, 2))


def _divided(data: Splits) -> tuple[Examples, Examples]:
    """Return pictures to learn from, and such to compare with.

    A folder of pictures has none for validation: a tenth is taken, by content, of what is learned.
    """
    if len(data.validation) >= FEWEST:
        return data.train, data.validation
    by_hash = np.argsort(content_hashes(data.train.inputs), kind="stable")
    count = max(FEWEST, len(by_hash) // 10)
    return data.train.take(np.sort(by_hash[count:])), data.train.take(np.sort(by_hash[:count]))
