"""Data read the way that a given model reads it: its picture size, its table columns."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipes.data import Encoder, Splits, load_data
from recipes.data.named import SOURCES
from recipes.run import Run
from zoo import cards, weights
from zoo.errors import InputError

if TYPE_CHECKING:
    import keras


def data_for(
    model: "str | os.PathLike[str] | keras.Model",
    source: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Splits:
    """Load data for a model that exists already.

    Pictures come in the model's shape; where it leaves a side open, in that of the data, or in the
    `shape` among the options. The columns of a table become features by the encoder that
    the model's run keeps (a category is the same feature, a gap is filled with the same median),
    and the target and the task are the run's own, unless `options` say otherwise.

    Args:
        model: name of a pretrained model, path of a run, or a `keras.Model`.
        source: what `load_data` takes. Default: what the model was trained on.
        **options: further arguments of `load_data`.

    Returns:
        The `Splits`.

    Raises:
        InputError: no such data, or columns that the model does not know.

    Example:
        >>> from recipes import data_for
        >>> data_for("logistic-breast_cancer").shape
        (30,)
    """
    encoder = None
    if isinstance(model, str | os.PathLike):
        card = cards.read(weights.model_folder(model) / cards.FILE)
        encoder = encoder_of(model)
        own = card.dataset.source
        if source is None and own not in SOURCES and not Path(own).exists():
            raise InputError(
                f"{card.name!r} learned from {own!r}, which is not here: name your data (--data)."
            )
        if source in (None, own):
            source, options = own, {**card.recipe.get("data_options", {}), **options}
    if source is None:
        raise InputError("name the data: this model has no card that says what it was trained on.")
    wanted = data_options_for(model, **options)
    if isinstance(source, str) and source in SOURCES:  # it has no columns that could be named
        wanted = {k: v for k, v in wanted.items() if k in options or k not in ("target", "text")}
    return load_data(source, **wanted, encoder=encoder)


def text_options(task: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `load_data` for a model of text: those given, and the task's own."""
    return {"text": "", **given} if task == "classification" else {"task": task, **given}


def data_options_for(
    model: "str | os.PathLike[str] | keras.Model", **options: Any
) -> dict[str, Any]:
    """Return the arguments of `load_data` for a model: `options`, and what follows from its card.

    They are plain data, and so a recipe can keep them; a table's encoder is not among them.
    """
    if not isinstance(model, str | os.PathLike):
        shape, known, task = tuple(model.input_shape[1:]), {}, None
    else:
        card = cards.read(weights.model_folder(model) / cards.FILE)
        if card.task in ("control", "generation"):
            raise InputError(
                f"{card.name!r} is for {card.task}: it reads no data, and is not fine-tuned on any."
            )
        shape, known, task = tuple(card.input.shape), card.recipe["data_options"], card.task
    if isinstance(model, str | os.PathLike) and card.tokenizers:
        named = {name: known[name] for name in ("target", "text") if name in known}
        return text_options(card.task, {**named, **options})
    if len(shape) == 3:  # a side that the model leaves open is as the data has it
        own = {} if None in shape else {"shape": shape}
        return own | ({"task": task} if task == "reconstruction" else {}) | options
    target = options.get("target") or known.get("target")
    same = target == known.get("target", target)
    found = {"target": target, "task": options.get("task") or (task if same else None)}
    return {**options, **{name: value for name, value in found.items() if value}}


def encoder_of(model: str | os.PathLike[str]) -> Encoder | None:
    """Return how a table's columns become the features of a model; `None` for pictures."""
    folder = weights.model_folder(model)
    if (Path(folder) / "encoder.json").is_file():
        return Run(folder).encoder
    features = cards.read(folder / cards.FILE).input.features
    return Encoder.numbers(features) if features else None
