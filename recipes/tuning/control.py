"""Trials of agents: their finished policies play episodes that no other purpose has."""

import math
from pathlib import Path

import keras
import numpy as np

from recipes.control.playing import play_episodes
from recipes.control.policy import greedy
from recipes.control.recipe import ControlRecipe
from recipes.control.run import ControlRun
from recipes.control.training import (
    VALIDATION,
    arguments_for,
    begin,
    built,
    learn,
    seed_of,
    train_control,
)
from recipes.data import Splits
from recipes.tuning.space import ARGUMENTS, around
from recipes.tuning.supervised import COPIES
from recipes.tuning.trials import Figures, Trials
from zoo.errors import InputError
from zoo.spaces import Choice, Float, Int, Parameter, Space, Widths, search_space

LEARNING: Space = {
    "batch_size": Choice((32, 64, 128)),
    "double": Choice((False, True)),
    "n_step": Int(1, 5),
    "discount": Choice((0.95, 0.98, 0.99, 0.995)),
    "target_period": Int(32, 1024, "log"),
    "final_epsilon": Float(0.01, 0.1, "log"),
    "exploration": Float(0.1, 0.6),
}


class ControlTrials(Trials[ControlRecipe, ControlRun]):
    """Trainings by `recipes.control.train_control`; none of them plays a test episode."""

    run_type = ControlRun
    budget = "steps"
    fingerprint = ""

    def __init__(self, recipe: ControlRecipe, data: Splits | None = None) -> None:
        if data is not None:
            raise InputError("an agent learns in an environment, and takes no data.")
        self.recipe = recipe

    @property
    def space(self) -> dict[str, Parameter | Widths]:
        """How the agent learns and explores, and what its network's builder leaves open."""
        own = search_space(self.recipe.model)
        return {
            "learning_rate": around(self.recipe.learning_rate),
            **LEARNING,
            **{f"{ARGUMENTS}.{name}": parameter for name, parameter in own.items()},
        }

    @property
    def objectives(self) -> dict[str, str]:
        """Mean return of the kept policy: the best evaluation's own would flatter it."""
        return {"val_return": "max"}

    @property
    def rounds(self) -> int:
        """How often all is kept, so that the training could pause there."""
        return math.ceil(self.recipe.steps / self.recipe.keep_every)

    def bytes(self, recipe: ControlRecipe) -> int:
        """Return the room that the weights and what is remembered take."""
        model = built(recipe, arguments_for(recipe)[0])
        count, source = model.count_params(), model.inputs[0]
        remembered = math.prod(source.shape[1:]) * np.dtype(source.dtype).itemsize
        keras.utils.clear_session()
        return 4 * COPIES * count + 2 * recipe.replay_capacity * remembered

    def finish(self, recipe: ControlRecipe, folder: Path, resume: bool) -> ControlRun:
        """Train the best recipe."""
        return train_control(recipe, folder, resume=resume)

    def _begin(self, recipe: ControlRecipe, folder: Path) -> ControlRun:
        return begin(recipe, folder)

    def _learned(self, run: ControlRun, until: int | None) -> Figures:
        recipe = run.config.recipe
        model = learn(run, until=None if until is None else until * recipe.keep_every)
        played = play_episodes(
            greedy(model),
            recipe.environment,
            recipe.test_episodes,
            seed_of(self.recipe.seed, VALIDATION, 0),
            recipe.environment_options,
        )
        state = run.read_state()
        best = {"val_return": float(played.returns.mean())}
        return Figures(best, len(state.history), round(state.seconds, 2))
