"""Training of an agent: play, learn, evaluate, keep; exact over interruptions."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from recipes.building import seed_everything
from recipes.control.consolidation import OBSERVATIONS, consolidated
from recipes.control.environments import Environments
from recipes.control.finishing import finish
from recipes.control.playing import Policy, observations_of, play_episodes
from recipes.control.policy import greedy
from recipes.control.recipe import ControlRecipe
from recipes.control.run import ControlRun, ControlState
from zoo import registry
from zoo.errors import CheckFailed, InputError
from zoo.files import refuse_taken, sha256_of, whole_file
from zoo.layers import Standardize

Progress = Callable[[ControlState, ControlRecipe], None]

# Which random numbers a seed is for: those of training, evaluation and test never meet. Those of
# the last are for comparing finished policies with each other.
_TRAINING, _EVALUATION, _CONSOLIDATION, VALIDATION = range(4)


class Trainer(Protocol):
    """What plays and learns: see `recipes.control.compiled` and `recipes.control.agents`."""

    model: keras.Model
    act: Policy

    @property
    def step(self) -> int:
        """Steps taken in all environments together."""

    def begin(self, seed: int) -> None:
        """Begin an episode in every environment."""

    def play(self, steps: int) -> list[float]:
        """Take steps, and remember them; return the returns of the episodes that ended."""

    def observed(self) -> np.ndarray:
        """Return what is remembered of observations `(examples, …)`."""

    def learn(self) -> float:
        """Do the updates of a block, and return their mean loss."""

    def pause(self) -> None:
        """Cut all episodes off."""

    def state(self) -> dict[str, np.ndarray]:
        """Return everything that goes on from here, as arrays by name."""

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take back what `state` returned."""


def train_control(
    recipe: ControlRecipe,
    out: str | os.PathLike[str],
    *,
    resume: bool = False,
    progress: Progress | None = None,
) -> ControlRun:
    """Train an agent by a recipe.

    Args:
        recipe: how.
        out: folder of the new run.
        resume: go on where the run in `out` stopped, with the recipe that it was started with; a
            finished run is returned as it is.
        progress: called after every evaluation with the state and the recipe.

    Returns:
        The finished `ControlRun`.

    Raises:
        InputError: the recipe or the environment is wrong, or `out` is taken.
        CheckFailed: the loss became infinite or not a number.

    Example:
        >>> import tempfile
        >>> from recipes.control import ControlRecipe, train_control
        >>> recipe = ControlRecipe(
        ...     environment="CartPole-v1", steps=2_000, evaluation_episodes=2, test_episodes=2
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = train_control(recipe, f"{folder}/cartpole")
        ...     run.card.metrics[0].name
        'return'
    """
    if not resume:
        return _continue(begin(recipe, out), progress)
    run = ControlRun(out)
    return run if run.finished else _continue(run, progress)


def begin(recipe: ControlRecipe, out: str | os.PathLike[str]) -> ControlRun:
    """Make the run of a recipe.

    Raises:
        InputError: the recipe or the environment is wrong, or `out` is taken.
    """
    refuse_taken(Path(out))
    arguments, preprocessing = arguments_for(recipe)
    built(recipe, arguments)  # a network that does not fit is refused before anything is written
    return ControlRun.create(out, recipe, arguments, preprocessing)


def arguments_for(recipe: ControlRecipe) -> tuple[dict[str, Any], str]:
    """Return what the network's builder is called with, and what happens to an observation."""
    with _environments(recipe) as environments:
        spaces = environments.spaces
    own = {
        "input_shape": list(spaces.shape),
        "observation": spaces.dtype,
        "actions": spaces.actions,
    }
    return own | recipe.arguments, spaces.preprocessing


def _continue(run: ControlRun, progress: Progress | None) -> ControlRun:
    """Train a run to its end from where it stands, and finish it."""
    recipe = run.config.recipe
    model = learn(run, progress)
    if recipe.quantize:
        found = observations_of(
            greedy(model),
            recipe.environment,
            OBSERVATIONS,
            recipe.environment_options,
            seed_of(recipe.seed, _CONSOLIDATION, 0),
        )
        model = consolidated(model, found, recipe.seed)
    return finish(run, model)


def learn(
    run: ControlRun, progress: Progress | None = None, until: int | None = None
) -> keras.Model:
    """Train a run from where it stands; no test episode is played.

    Args:
        run: not finished yet.
        progress: called after every evaluation with the state and the recipe.
        until: number of the step at which to pause, a multiple of `keep_every`; default its
            recipe's last. Exploration and schedules are those of all steps.

    Returns:
        The network with the weights that are kept.

    Raises:
        CheckFailed: the loss became infinite or not a number.
    """
    recipe = run.config.recipe
    run.sweep()
    run.sweep_weights(run.read_state())
    seed_everything(recipe.seed)
    model = built(recipe, run.config.arguments)
    state = run.read_state()
    with _environments(recipe) as environments:
        trainer = trainer_of(model, recipe, environments)
        if state.step:
            trainer.restore(state.arrays)
        try:
            _train(run, trainer, state, progress, recipe.steps if until is None else until)
        except (CheckFailed, InputError):
            if not state.step:  # there is nothing to go on from
                shutil.rmtree(run.path)
            raise
    run.load_kept(model, run.read_state())
    return model


def _train(
    run: ControlRun,
    trainer: Trainer,
    state: ControlState,
    progress: Progress | None,
    until: int,
) -> None:
    recipe = run.config.recipe
    writer = tf.summary.create_file_writer(str(run.path / "tensorboard"))
    while state.step < min(until, recipe.steps) and not _reached(state, recipe):
        trainer.begin(seed_of(recipe.seed, _TRAINING, state.step))
        aim = min(recipe.steps, state.step + recipe.keep_every)
        while trainer.step < aim and not _reached(state, recipe):
            started = time.perf_counter()
            returns, losses = _learned(trainer, recipe, min(aim, _next_evaluation(trainer, recipe)))
            played = play_episodes(
                trainer.act,
                recipe.environment,
                recipe.evaluation_episodes,
                seed_of(recipe.seed, _EVALUATION, trainer.step),
                recipe.environment_options,
            )
            state.seconds += time.perf_counter() - started
            row = {
                "step": trainer.step,
                "return": float(played.returns.mean()),
                "return_deviation": float(played.returns.std()),
                "length": float(played.lengths.mean()),
                "training_return": float(np.mean(returns)) if returns else float("nan"),
                "loss": float(np.mean(losses)),
                "epsilon": recipe.epsilon_at(trainer.step),
                "seconds": round(state.seconds, 3),
            }
            state.history.append(row)
            with writer.as_default(step=trainer.step):
                for name, value in row.items():
                    tf.summary.scalar(name, value)
            _keep_best(run, trainer, state)
            if progress:
                progress(state, recipe)
        trainer.pause()
        state.step, state.arrays = trainer.step, trainer.state()
        run.write_state(state)
        run.sweep_weights(state)
    writer.close()


def _next_evaluation(trainer: Trainer, recipe: ControlRecipe) -> int:
    return (trainer.step // recipe.evaluate_every + 1) * recipe.evaluate_every


def _learned(trainer: Trainer, recipe: ControlRecipe, aim: int) -> tuple[list[float], list[float]]:
    """Play and learn up to a step; return the returns of episodes, and the losses of blocks.

    Raises:
        CheckFailed: a loss is infinite or not a number.
    """
    returns: list[float] = []
    losses: list[float] = []
    if not trainer.step:
        returns += trainer.play(recipe.warm_up)
        standardize(trainer.model, trainer.observed(), recipe)
    while trainer.step < aim or not losses:
        returns += trainer.play(recipe.block_steps)
        losses.append(trainer.learn())
        if not np.isfinite(losses[-1]):
            raise CheckFailed(
                f"the loss became infinite or not a number before step {trainer.step}: lower the "
                "learning rate, or clip the rewards (reward_range)."
            )
    return returns, losses


def _reached(state: ControlState, recipe: ControlRecipe) -> bool:
    return recipe.goal is not None and state.best >= recipe.goal


def _keep_best(run: ControlRun, trainer: Trainer, state: ControlState) -> None:
    """Keep the weights of the best evaluation; of equal ones the later, which has learned longer.

    Those that the state on disk names stay until it names others.
    """
    if state.history[-1]["return"] < state.best:
        return
    state.best = state.history[-1]["return"]
    with whole_file(run.kept_weights(trainer.step)) as temporary:
        trainer.model.save_weights(temporary)
        state.kept_step, state.kept_sha256 = trainer.step, sha256_of(temporary)


def seed_of(seed: int, purpose: int, step: int) -> int:
    """Return a seed for the environments, of a recipe's seed, a purpose and a step."""
    return int(np.random.SeedSequence((seed, purpose, step)).generate_state(1)[0] >> 1)


def standardize(model: keras.Model, observations: np.ndarray, recipe: ControlRecipe) -> None:
    """Take the statistics of observations that are vectors."""
    for layer in model.layers if recipe.standardize else []:
        if isinstance(layer, Standardize):
            layer.adapt(observations)


def _environments(recipe: ControlRecipe) -> Environments:
    return Environments(
        recipe.environment, recipe.environments, recipe.environment_options, learning=True
    )


def built(recipe: ControlRecipe, arguments: dict[str, Any]) -> keras.Model:
    """Build a Q-network, always alike.

    Raises:
        InputError: an argument is wrong, or it does not fit what is observed.
    """
    keras.utils.set_random_seed(recipe.seed)
    try:
        return registry.build(recipe.model, **arguments)
    except InputError:
        raise
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{recipe.model!r} cannot be built for observations of shape "
            f"{tuple(arguments['input_shape'])}: {str(error).splitlines()[0]}"
        ) from error


def trainer_of(model: keras.Model, recipe: ControlRecipe, environments: Environments) -> Trainer:
    """Return the trainer that a recipe names.

    Raises:
        InputError: it is not installed, or lacks what the recipe asks for.
    """
    if recipe.trainer == "tf_agents":
        from recipes.control.agents import AgentTrainer

        return AgentTrainer(model, recipe, environments)
    from recipes.control.compiled import CompiledTrainer

    return CompiledTrainer(model, recipe, environments)
