"""The learning rate range test: which rate to begin with, from a hundred steps."""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

from recipes.building import fresh_model, prepared
from recipes.data import Splits
from recipes.finetuning import fresh_learner
from recipes.phases import phases, thaw
from recipes.recipe import Recipe, check, optimizer
from recipes.supervised import (
    compile_model,
    data_of,
    recipe_batches,
    stages_of,
    standardized_targets,
)
from zoo import surgery
from zoo.errors import CheckFailed, InputError
from zoo.files import whole_file

_DIVERGED = 4.0  # times the best loss
_MEMORY = 0.9  # of the moving average that decides on divergence
_WIDTH = 0.03  # of the smoothing, as a share of the steps
_BEGUN = 0.1  # share of the whole fall, from which on it counts
_FEWEST = 8  # steps that a curve needs


@dataclass(frozen=True, eq=False)
class LearningRates:
    """What a range test found.

    Attributes:
        rates: float64 `(steps,)`, growing by the same factor from each to the next.
        losses: float64 `(steps,)`, of each batch, before its step.
        smoothed: float64 `(steps,)`, the losses under a Gaussian window.
        suggestion: the rate at which `smoothed` falls most steeply.
        diverged: whether the test ended early, because the loss grew out of bounds.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float
    diverged: bool

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw the losses over the rates, and the suggestion, as a PNG."""
        figure = Figure(figsize=(6, 3.8), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(self.rates, self.losses, alpha=0.35, label="loss of a batch")
        axes.plot(self.rates, self.smoothed, label="smoothed")
        axes.axvline(self.suggestion, color="black", linestyle=":")
        axes.annotate(
            f" {self.suggestion:.1e}",
            (self.suggestion, 1),
            xycoords=("data", "axes fraction"),
            va="top",
        )
        low, high = self.smoothed.min(), self.smoothed[: max(1, len(self.rates) // 2)].max()
        margin = 0.3 * (high - low)
        axes.set(
            xscale="log", xlabel="learning rate", ylabel="loss", ylim=(low - margin, high + margin)
        )
        axes.grid(alpha=0.3)
        axes.legend()
        with whole_file(Path(path)) as temporary:
            figure.savefig(temporary, dpi=120)


def lr_find(
    recipe: Recipe | str,
    data: Splits | None = None,
    lowest: float = 1e-6,
    highest: float = 1.0,
    steps: int = 100,
) -> LearningRates:
    """Find a learning rate by a range test.

    A fresh model of the recipe, or in fine-tuning a copy of its source of which all learns that the
    strategy thaws in the end, makes one pass over the training batches, while the rate grows
    exponentially from `lowest` to `highest`; the pass ends early when the moving average of the
    loss exceeds four times its best value, or when the loss is not finite. Everything but the rate
    is the recipe's: optimizer, batches, augmentation, loss. Nothing is written, and no other model
    is touched.

    The rule of the suggestion: the losses are smoothed by a Gaussian window (3 % of the steps wide,
    which delays nothing), and the suggestion is the rate at which the smoothed curve falls most
    steeply over the logarithm of the rate, between where a tenth of its fall is done for good and
    its lowest point: small batches make the curve tremble before. It is a rate to begin with, or
    the highest of a one-cycle schedule; it is not tuned.

    Args:
        recipe: a `Recipe`, or the name of a pretrained model, for its own recipe.
        data: `Splits` in place of what the recipe names.
        lowest: `float`, rate of the first step.
        highest: `float`, rate of the last step.
        steps: `int`, number of steps.

    Returns:
        `LearningRates`: rates, losses, and the suggestion.

    Raises:
        InputError: the recipe, the data or the range is wrong.
        CheckFailed: the loss falls nowhere in this range, or grows out of bounds at once.

    References:
        *Cyclical Learning Rates for Training Neural Networks*, Smith 2015,
        https://arxiv.org/abs/1506.01186, section 3.3.

    Example:
        >>> from recipes import Recipe, lr_find
        >>> recipe = Recipe(model="mlp", arguments={"hidden": [16]}, data="digits", epochs=1)
        >>> 1e-5 < lr_find(recipe).suggestion < 1
        True
    """
    if isinstance(recipe, str):
        from recipes.pretrained import recipe_of

        recipe = recipe_of(recipe)
    if not 0 < lowest < highest < math.inf:
        raise InputError(f"the rates must rise from above 0, not from {lowest} to {highest}.")
    if steps < _FEWEST:
        raise InputError(f"a range test takes at least {_FEWEST} steps, not {steps}.")
    if recipe.fine_tuning:
        model, data, task = fresh_learner(recipe, data)
    else:
        data = prepared(recipe, data or data_of(recipe))
        model, task, _ = fresh_model(recipe, data)
    check(recipe, task, data.shape)
    data = standardized_targets(data)
    if recipe.precision != "float32":
        model = surgery.with_precision(model, recipe.precision)
    factor, shares = recipe.rate_factor, []
    if recipe.fine_tuning:  # all that the strategy thaws in the end
        stages = stages_of(model, recipe)
        thawed = phases(recipe, len(stages))[-1].thawed
        shares = thaw(model, stages, thawed, factor, recipe.train_normalization)
    own = optimizer(recipe, lowest, "constant", steps, shares if factor != 1 else ())
    compile_model(model, recipe, task, own)
    per_epoch = recipe_batches(recipe, data, task, range(1)).steps
    test = _RangeTest(np.geomspace(lowest, highest, steps))
    model.fit(
        recipe_batches(recipe, data, task, range(math.ceil(steps / per_epoch))).training,
        steps_per_epoch=steps,
        verbose=0,
        shuffle=False,
        callbacks=[test],
    )
    losses = np.array(test.losses)
    if len(losses) < _FEWEST:
        raise CheckFailed(
            f"the loss grows out of bounds after {len(losses)} steps, at a rate of "
            f"{test.rates[len(losses) - 1]:.1e}: begin lower than {lowest:g}."
        )
    smoothed, suggestion = suggest(test.rates[: len(losses)], losses)
    return LearningRates(test.rates[: len(losses)], losses, smoothed, suggestion, test.diverged)


def suggest(rates: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the smoothed losses, and the rate where they fall most steeply.

    Raises:
        CheckFailed: they do not fall.

    Example:
        >>> import numpy as np
        >>> from recipes.learning_rate import suggest
        >>> rates = np.geomspace(1e-4, 1, 81)  # the steepest place of a tanh is its middle
        >>> round(suggest(rates, -np.tanh(2 * np.log10(rates) + 4))[1], 5)
        0.01
    """
    width = max(1.0, _WIDTH * len(rates))
    places = np.arange(len(rates))
    window = np.exp(-0.5 * ((places[:, None] - places) / width) ** 2)
    smoothed = window @ losses / window.sum(axis=1)
    last = int(smoothed.argmin())
    level = np.median(smoothed[: max(1, last // 4)])
    above = np.flatnonzero(smoothed[:last] > level - _BEGUN * (level - smoothed[last]))
    first = int(above[-1]) if len(above) else 0
    slopes = np.gradient(smoothed, np.log(rates))[first : last + 1]
    if not slopes.min() < 0:
        raise CheckFailed(
            f"the loss does not fall at any rate from {rates[0]:.1e} to {rates[-1]:.1e}: begin "
            "lower, or take more steps."
        )
    return smoothed, float(rates[first + slopes.argmin()])


class _RangeTest(keras.callbacks.Callback):
    """Sets the rate before each batch, and keeps each batch's own loss."""

    def __init__(self, rates: np.ndarray) -> None:
        super().__init__()
        self.rates = rates
        self.losses: list[float] = []
        self.diverged = False
        self._average, self._best = 0.0, math.inf

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Set the rate, and forget the losses of earlier batches, which Keras would average."""
        self.model.reset_metrics()
        self.model.optimizer.learning_rate = self.rates[batch]

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Keep the loss, or stop."""
        loss = float((logs or {})["loss"])
        self._average = _MEMORY * self._average + (1 - _MEMORY) * loss
        average = self._average / (1 - _MEMORY ** (batch + 1))
        grown = self._best > 0 and average > _DIVERGED * self._best
        self.diverged = grown or not math.isfinite(loss)
        self._best = min(self._best, average)
        if math.isfinite(loss):
            self.losses.append(loss)
        self.model.stop_training = self.diverged
