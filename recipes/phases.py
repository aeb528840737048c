"""Phases of a training: what learns when, and how fast."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import keras

from recipes.recipe import Recipe
from zoo import surgery


@dataclass(frozen=True)
class Phase:
    """A stretch of epochs with one optimizer.

    Attributes:
        epochs: their numbers.
        learning_rate: the highest.
        schedule: of the learning rate.
        thawed: number of the model's stages, counted from the head, that learn beside the head.
    """

    epochs: range
    learning_rate: float
    schedule: str
    thawed: int


def phases(recipe: Recipe, stages: int = 0) -> list[Phase]:
    """Return the stretches of a recipe: the head alone, if asked for, then what the strategy says.

    With "gradual", every epoch thaws one stage more, from the head down; all epochs after that
    train everything. With fewer epochs than stages, several thaw at once. Each phase has an
    optimizer and a schedule of its own.

    Args:
        recipe: the recipe.
        stages: number of the model's stages below its head.

    Example:
        >>> from recipes import Recipe
        >>> from recipes.phases import phases
        >>> fields = {"fine_tuning": True, "strategy": "gradual", "head_epochs": 1}
        >>> recipe = Recipe(model="lenet5-mnist", data="digits", epochs=5, **fields)
        >>> [(len(phase.epochs), phase.thawed) for phase in phases(recipe, stages=3)]
        [(1, 0), (1, 1), (1, 2), (3, 3)]
    """
    first, count = recipe.head_epochs, 1
    head = [Phase(range(first), recipe.head_learning_rate, "constant", 0)] if first else []
    if recipe.strategy == "gradual":
        count = max(1, min(recipe.epochs, stages))
    starts = [*range(first, first + count), recipe.all_epochs]
    whole = 0 if recipe.strategy == "frozen" else stages
    return head + [
        Phase(
            range(starts[number], starts[number + 1]),
            recipe.learning_rate,
            recipe.schedule,
            math.ceil((number + 1) * whole / count),
        )
        for number in range(count)
    ]


def thaw(
    model: keras.Model,
    stages: Sequence[Sequence[keras.Layer]],
    count: int,
    factor: float,
    normalization: bool = False,
) -> list[float]:
    """Let the head of a model and the `count` stages next to it learn, and nothing else.

    Args:
        model: the model.
        stages: `surgery.stages(model, normalization)`.
        count: how many of them.
        factor: by which the learning rate falls from the head to the stage below it, and so on.
        normalization: whether batch normalization learns with its stage.

    Returns:
        The share of the learning rate of each of `model.trainable_variables`.
    """
    frozen = {id(layer) for stage in stages[: len(stages) - count] for layer in stage}
    surgery.freeze(model, lambda layer: id(layer) not in frozen, normalization)
    shares = {
        id(variable): factor**-away
        for away, stage in enumerate(reversed(stages), start=1)
        for layer in stage
        for variable in layer.trainable_variables
    }
    return [shares.get(id(variable), 1.0) for variable in model.trainable_variables]
