"""Training of two adversaries: learn, show, keep; exact over interruptions."""

import os
import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recipes.adversarial.finishing import finish
from recipes.adversarial.pictures import (
    SAMPLES_SEED,
    codes_of,
    diversity,
    labels_of,
    save_grid,
)
from recipes.adversarial.recipe import FEWEST, AdversarialRecipe
from recipes.adversarial.run import AdversarialRun, AdversarialState
from recipes.adversarial.trainer import AdversarialTrainer, make, normalizes
from recipes.building import seed_everything
from recipes.data.pictures import load_pictures
from recipes.data.splits import Splits
from zoo import cards, registry
from zoo.errors import CheckFailed, InputError
from zoo.files import refuse_taken
from zoo.generative.parts import classes_of

Progress = Callable[[AdversarialState, AdversarialRecipe], None]

SHOWN = 64  # pictures of a grid
_BLOCK = 64  # updates of the generator in one call
_COMPARED = 500  # pictures whose diversity is measured
# Below this share of the real pictures' diversity a generator makes the same few again and again.
_COLLAPSED = 0.5
_ALIKE = 1e-6  # diversity of pictures that differ by nothing but rounding
_STEEP = 1e3  # norm of gradients from which on a training diverges


class Collapse(UserWarning):
    """What a generator makes is less and less diverse."""


class Divergence(UserWarning):
    """Gradients grow out of bounds."""


def train_adversarial(
    recipe: AdversarialRecipe,
    out: str | os.PathLike[str],
    *,
    data: Splits | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> AdversarialRun:
    """Train a generator and its critic by a recipe.

    Args:
        recipe: how.
        out: folder of the new run.
        data: what `data_of(recipe)` returned, if it was called.
        resume: go on where the run in `out` stopped, with the recipe that it was started with; a
            finished run is returned as it is.
        progress: called after every epoch with the state and the recipe.

    Returns:
        The finished `AdversarialRun`.

    Raises:
        InputError: the recipe or the data is wrong, or `out` is taken.
        CheckFailed: a loss became infinite or not a number; the run is finished with the last good
            epoch.

    Warns:
        Collapse: what is made is less than half as diverse as what is real.
        Divergence: gradients are longer than a thousand.
    """
    if not resume:
        return _continue(*begin(recipe, out, data), progress)
    run = AdversarialRun(out)
    return run if run.finished else _continue(run, own_data(run, data), progress)


def begin(
    recipe: AdversarialRecipe, out: str | os.PathLike[str], data: Splits | None = None
) -> tuple[AdversarialRun, Splits]:
    """Make the run of a recipe, and return the pictures that it learns from.

    Raises:
        InputError: the recipe or the data is wrong, or `out` is taken.
    """
    refuse_taken(Path(out))
    data = data or data_of(recipe)
    check_batches(recipe, data)
    arguments = arguments_for(recipe, data)
    built(recipe, *arguments)  # what does not fit is refused before anything is written
    return AdversarialRun.create(out, recipe, *arguments, data), data


def own_data(run: AdversarialRun, data: Splits | None) -> Splits:
    """Return the pictures that a run was started with.

    Raises:
        InputError: they are not those any more.
    """
    data = data or data_of(run.config.recipe)
    if data.fingerprint != run.config.dataset.fingerprint:
        raise InputError(
            f"{data.source!r} has changed since {run.path} began to learn from it: start anew."
        )
    return data


def built(
    recipe: AdversarialRecipe, of_generator: dict[str, Any], of_discriminator: dict[str, Any]
) -> tuple[keras.Model, keras.Model]:
    """Build a generator and its critic, always alike.

    Raises:
        InputError: an argument is wrong, or they do not fit each other.
    """
    seed_everything(recipe.seed)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(recipe.precision)
    try:
        generator = registry.build(recipe.generator, **of_generator)
        discriminator = registry.build(recipe.discriminator, **of_discriminator)
    except InputError:
        raise
    except (ValueError, TypeError) as error:
        raise InputError(f"these networks cannot be built: {str(error).splitlines()[0]}") from error
    finally:
        keras.config.set_dtype_policy(before)
    for name, network in ((recipe.generator, generator), (recipe.discriminator, discriminator)):
        told = isinstance(network.input, dict)
        if told != recipe.conditional:
            raise InputError(
                f"{name!r} {'is' if told else 'is not'} told the classes, and the recipe is "
                f"{'' if recipe.conditional else 'not '}conditional: they must fit."
            )
    seen = next(tensor.shape[1:] for tensor in discriminator.inputs if tensor.name == "image")
    if tuple(generator.output_shape[1:]) != tuple(seen):
        raise InputError(
            f"{recipe.generator!r} makes pictures of {tuple(generator.output_shape[1:])}, and "
            f"{recipe.discriminator!r} judges those of {tuple(seen)}."
        )
    if recipe.gradient_penalty and normalizes(discriminator):
        raise InputError(
            f"{recipe.discriminator!r} normalizes by batch, and a gradient_penalty is of each "
            "picture by itself: take a critic without, such as 'dcgan_critic'."
        )
    return generator, discriminator


def data_of(recipe: AdversarialRecipe) -> Splits:
    """Load the pictures of a recipe.

    Raises:
        InputError: there are none, too few, or such as the recipe cannot learn from.
    """
    data = load_pictures(recipe.data, recipe.shape or None, **recipe.data_options)
    if min(len(data.train), len(data.test)) < FEWEST:
        raise InputError(
            f"{recipe.data!r} leaves {len(data.test)} pictures to compare with, and "
            f"{len(data.train)} to learn from: add some."
        )
    if diversity(_some(data.train.inputs)) < _ALIKE:
        raise InputError(f"the pictures of {recipe.data!r} are all alike in this shape.")
    judge = cards.card(recipe.judged_by)
    if judge.task != "classification" or len(judge.input.shape) != 3:
        raise InputError(f"{judge.name!r} is no classifier of pictures: it cannot judge.")
    if recipe.conditional and not data.labels:
        raise InputError(f"{recipe.data!r} has no classes: a conditional recipe needs some.")
    return data


def check_batches(recipe: AdversarialRecipe, data: Splits) -> None:
    """Refuse a recipe that would not come to an update.

    Raises:
        InputError: an update takes more pictures than there are.
    """
    learned = len(data.train) + len(data.validation)
    if learned < recipe.batch_size * recipe.critic_steps:
        raise InputError(
            f"{data.source!r} has {learned} pictures to learn from, fewer than an update takes "
            f"({recipe.batch_size} × {recipe.critic_steps}): lower batch_size."
        )


def arguments_for(recipe: AdversarialRecipe, data: Splits) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the builders are called with."""
    classes = {"classes": len(data.labels)} if recipe.conditional else {}
    return (
        {"output_shape": list(data.shape)} | classes | recipe.generator_arguments,
        {"input_shape": list(data.shape)} | classes | recipe.discriminator_arguments,
    )


def _continue(run: AdversarialRun, data: Splits, progress: Progress | None) -> AdversarialRun:
    """Train a run to its end from where it stands, and finish it."""
    try:
        trainer = learn(run, data, progress)
    except CheckFailed:  # and would again, however often it were resumed
        if run.path.is_dir():
            finish(run, trainer_of(run, data), data)
        raise
    return finish(run, trainer, data)


def learn(
    run: AdversarialRun,
    data: Splits,
    progress: Progress | None = None,
    until: int | None = None,
) -> AdversarialTrainer:
    """Train a run from where it stands; its test pictures are not looked at.

    Args:
        run: not finished yet.
        data: what it was started with.
        progress: called after every epoch with the state and the recipe.
        until: number of the epoch after which to pause, from 1; default its recipe's last.

    Returns:
        The trainer as it is then.

    Raises:
        CheckFailed: a loss became infinite or not a number; the run stands after the last good
            epoch, and is gone if there was none.
    """
    trainer = trainer_of(run, data)
    try:
        _train(run, trainer, progress, run.config.recipe.epochs if until is None else until)
    except (CheckFailed, InputError):
        if not run.read_state().epoch:  # there is nothing to go on from
            shutil.rmtree(run.path)
        raise
    return trainer


def trainer_of(run: AdversarialRun, data: Splits) -> AdversarialTrainer:
    """Return what trains a run, as it was after its last epoch."""
    run.sweep()
    config = run.config
    networks = built(config.recipe, config.generator_arguments, config.discriminator_arguments)
    learned = data.train.joined(data.validation)
    trainer = AdversarialTrainer(*networks, config.recipe, learned.inputs, learned.targets)
    state = run.read_state()
    if state.epoch:
        trainer.restore(state.arrays)
    return trainer


def _train(
    run: AdversarialRun, trainer: AdversarialTrainer, progress: Progress | None, until: int
) -> None:
    recipe, state = run.config.recipe, run.read_state()
    writer = tf.summary.create_file_writer(str(run.path / "tensorboard"))
    pictures = np.asarray(trainer.pictures)
    real = diversity(_some(pictures))
    while state.epoch < min(until, recipe.epochs):
        started = time.perf_counter()
        figures = _epoch(trainer, recipe, state.epoch, len(pictures))
        state.seconds += time.perf_counter() - started
        made = _shown(run, trainer, state.epoch + 1)
        row = {"epoch": state.epoch + 1, **figures}
        # Of the pictures that were learned from it is 1.
        row["diversity"] = diversity(made) / real
        row["seconds"] = round(state.seconds, 3)
        _warn(row)
        state.epoch += 1
        state.history.append(row)
        state.arrays = trainer.state()
        run.write_state(state)
        with writer.as_default(step=state.epoch):
            for name, value in row.items():
                tf.summary.scalar(name, value)
        if progress:
            progress(state, recipe)
    writer.close()


def _epoch(
    trainer: AdversarialTrainer, recipe: AdversarialRecipe, epoch: int, count: int
) -> dict[str, float]:
    """Go through the pictures once; return the means of all updates.

    Raises:
        CheckFailed: a figure is infinite or not a number.
    """
    order = np.random.default_rng((recipe.seed, epoch)).permutation(count)
    size = recipe.critic_steps * recipe.batch_size
    updates = count // size  # what is left over is learned from in another epoch's order
    places = order[: updates * size].reshape(updates, recipe.critic_steps, recipe.batch_size)
    totals: dict[str, float] = {}
    for start in range(0, updates, _BLOCK):
        block = places[start : start + _BLOCK]
        for name, value in trainer.learn(block).items():
            # Where losses are scaled, gradients may overflow: such an update is left out.
            scaled = recipe.precision == "mixed_float16" and name.endswith("gradient")
            if not np.isfinite(value) and not scaled:
                kept = f"the run ends with epoch {epoch}" if epoch else "nothing is kept"
                raise CheckFailed(
                    f"{name.replace('_', ' ')} became infinite or not a number in epoch "
                    f"{epoch + 1}, and {kept}: start anew with lower learning rates."
                )
            totals[name] = totals.get(name, 0.0) + value * len(block) / updates
    return totals


def _shown(run: AdversarialRun, trainer: AdversarialTrainer, epoch: int) -> np.ndarray:
    """Write the pictures of the same codes as ever, and return more of them."""
    generator = trainer.averaged()
    codes = codes_of(generator, _COMPARED, SAMPLES_SEED)
    made = make(generator, codes, labels_of(classes_of(generator), _COMPARED))
    run.grid_of(epoch).parent.mkdir(exist_ok=True)
    save_grid(made[:SHOWN], run.grid_of(epoch))
    return made


def _some(pictures: np.ndarray) -> np.ndarray:
    chosen = np.random.default_rng(0).permutation(len(pictures))[:_COMPARED]
    return np.asarray(pictures[chosen])


def _warn(row: dict[str, float]) -> None:
    epoch = int(row["epoch"])
    if row["diversity"] < _COLLAPSED:
        warnings.warn(
            f"after epoch {epoch}, what is made is {row['diversity']:.0%} as diverse as what is "
            "real: the generator may collapse to few pictures.",
            Collapse,
            stacklevel=2,
        )
    steepest = max(row["critic_gradient"], row["generator_gradient"])
    if steepest > _STEEP:
        warnings.warn(
            f"gradients are as long as {steepest:.0f} in epoch {epoch}: the training may diverge.",
            Divergence,
            stacklevel=2,
        )
