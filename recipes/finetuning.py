"""Fine-tuning: a pretrained model learns the user's own classes, without being touched itself."""

import os
from collections.abc import Sequence
from typing import Any

import keras

from recipes.data import Splits
from recipes.inputs import data_for, data_options_for
from recipes.recipe import Recipe
from recipes.run import Run
from recipes.supervised import continue_run, seed_everything
from zoo import cards, surgery, weights
from zoo.errors import InputError
from zoo.models import load


def finetune(
    model: str | os.PathLike[str] | keras.Model,
    data: str | os.PathLike[str] | Splits,
    out: str | os.PathLike[str],
    *,
    epochs: int = 10,
    head_epochs: int = 3,
    learning_rate: float = 3e-4,
    head_learning_rate: float = 1e-3,
    batch_size: int = 32,
    resume: bool = False,
    data_options: dict[str, Any] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    **settings: Any,
) -> Run:
    """Fine-tune a model on other data.

    A copy learns; the source stays as it is. Where the classes are not the source's own, the copy
    gets a new head. First only the head learns, then everything, at a lower rate; batch
    normalization keeps its statistics throughout. Pictures of another size than the model's are
    resized by a layer inside the new model.

    Args:
        model: name of a pretrained model, path of a run, or a functional `keras.Model`.
        data: what `load_data` takes, or `Splits`.
        out: folder of the new run.
        epochs: number of epochs in which everything learns.
        head_epochs: number of epochs before, in which only the head does.
        learning_rate: of those with everything.
        head_learning_rate: of those with the head alone.
        batch_size: examples in a step.
        resume: go on where the run in `out` stopped.
        data_options: further arguments of `load_data`, such as `target`, `strict`.
        callbacks: Keras callbacks.
        **settings: further fields of `Recipe`, such as `schedule`, `augment`, `seed`.

    Returns:
        The finished `Run`.

    Raises:
        InputError: the data does not fit the model, or `out` is taken.

    Example:
        >>> import tempfile
        >>> from recipes import finetune
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = finetune("lenet5-mnist", "digits", f"{folder}/digits", epochs=1)
        ...     run.load().input_shape
        (None, 8, 8, 1)
    """
    if resume:
        return continue_run(Run(out), data if isinstance(data, Splits) else None, callbacks)
    card = None
    if not isinstance(model, keras.Model):
        card = cards.read(weights.model_folder(model) / cards.FILE)
    source = surgery.functional(model if isinstance(model, keras.Model) else load(model))
    options: dict[str, Any] = dict(data_options or {})
    if not isinstance(data, Splits):
        options = data_options_for(model, **options)
        data = data_for(model, data, **options)
    if card and card.input.features and card.input.features != data.features:
        raise InputError(
            f"{model!r} takes the features {_short(card.input.features)}; {data.source!r} has "
            f"{_short(data.features)}. Read the table for this model: recipes.data_for."
        )
    recipe = Recipe(
        model=source.name if isinstance(model, keras.Model) else str(model),
        data=data.source,
        data_options=options,
        epochs=epochs,
        fine_tuning=True,
        head_epochs=head_epochs,
        learning_rate=learning_rate,
        head_learning_rate=head_learning_rate,
        batch_size=batch_size,
        **settings,
    )
    data = data.limited(recipe.examples)
    seed_everything(recipe.seed)
    task = "reconstruction" if card and card.task == "reconstruction" else data.task
    learner = _fitted(source, data, task, list(card.labels) if card else None)
    run = Run.create(out, recipe, learner, data, task, card.architecture if card else "", {})
    return continue_run(run, data, callbacks)


def _short(names: list[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if names[5:] else "")


def _fitted(source: keras.Model, data: Splits, task: str, labels: list[str] | None) -> keras.Model:
    """Return a copy of the source for the data's shape and classes."""
    shape = tuple(source.input_shape[1:])
    if shape == data.shape:
        learner = surgery.copy(source)
    elif len(shape) == len(data.shape) == 3:
        learner = surgery.with_input_shape(source, data.shape)
    else:
        raise InputError(
            f"{source.name!r} takes inputs of shape {shape}; {data.source!r} holds {data.shape}."
        )
    if task == "reconstruction":
        if learner.output_shape[1:] != data.shape:
            raise InputError(
                f"{source.name!r} reconstructs pictures of {shape} only; {data.source!r} holds "
                f"{data.shape}."
            )
        return learner
    if task == "regression":
        return surgery.with_head(learner, 1, None)
    if labels is not None and labels == list(data.labels):
        return learner  # the same classes: what the head knows of them is worth keeping
    return surgery.with_head(learner, len(data.labels))
