"""Fine-tuning: a pretrained model learns the user's own classes, without being touched itself."""

import inspect
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import msgspec

from recipes.building import builder_arguments, check_length, seed_everything
from recipes.data import Splits
from recipes.devices import Devices, devices_for
from recipes.evaluation import measure
from recipes.inputs import data_for, data_options_for
from recipes.recipe import TOKENS, Recipe
from recipes.run import Run, some
from recipes.supervised import continue_run
from recipes.vocabulary import vocabulary_sizes, with_grown_vocabulary
from zoo import cards, registry, surgery, weights
from zoo.errors import InputError
from zoo.files import refuse_taken
from zoo.models import load, load_tokenizers
from zoo.quantization import calibrate, rounding
from zoo.tokenizer import Tokenizer

_CALIBRATION = 1_000  # examples by which the ranges of what is rounded begin


def finetune(
    model: str | os.PathLike[str] | keras.Model,
    data: str | os.PathLike[str] | Splits,
    out: str | os.PathLike[str],
    *,
    epochs: int = 10,
    head_epochs: int = 3,
    learning_rate: float = 3e-4,
    head_learning_rate: float = 1e-3,
    strategy: str = "all",
    keep_classes: bool = False,
    batch_size: int = 32,
    resume: bool = False,
    devices: int | str | Devices | None = None,
    data_options: dict[str, Any] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    **settings: Any,
) -> Run:
    """Fine-tune a model on other data.

    A copy learns; the source stays as it is. Where the classes are not the source's own, the copy
    gets a new head. First only the head learns, then what the strategy says, by default everything,
    at a lower rate; batch normalization keeps its statistics throughout. Pictures of another size
    than the model's are resized by a layer inside the new model.

    A model that reads text learns new words, too: its vocabulary grows by those of the data. One
    that says what comes next has no head of its own: `head_epochs` is 0 for it. The figures of the
    source on the data's test split are kept beside those of the copy, "(before)"; and where the
    data is at hand that the source learned from, the copy is measured on that, too.

    With `keep_classes`, the new model answers with the source's classes and the data's: the outputs
    for the old ones keep their weights, and before its first step their logits are the source's.
    Training shows it no example of an old class that the data lacks, and so it comes to answer less
    with those: few epochs and the strategy "frozen" keep more of what it knew.

    Args:
        model: name of a pretrained model, path of a run, or a functional `keras.Model`.
        data: what `load_data` takes, or `Splits`.
        out: folder of the new run.
        epochs: number of epochs in which what the strategy says learns.
        head_epochs: number of epochs before, in which only the head does.
        learning_rate: of `epochs`.
        head_learning_rate: of `head_epochs`.
        strategy: "all"; "frozen", the head alone throughout; "gradual", one stage more in each
            epoch; "discriminative", all, the lower stages slower. See `Recipe`.
        keep_classes: keep the source's classes beside the data's.
        batch_size: examples in a step.
        resume: go on where the run in `out` stopped.
        devices: as in `recipes.train`.
        data_options: further arguments of `load_data`, such as `target`, `strict`.
        callbacks: Keras callbacks.
        **settings: further fields of `Recipe`, such as `schedule`, `augment`, `seed`, and
            `quantize="int8"` for a model whose int8 file answers as it does.

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
    devices = devices_for(devices)
    out = devices.place(Path(out), resume)
    if resume:
        given = data if isinstance(data, Splits) else None
        return continue_run(Run(out), given, callbacks, devices)
    card = None
    if not isinstance(model, keras.Model):
        card = cards.read(weights.model_folder(model) / cards.FILE)
    refuse_taken(Path(out))
    if card and card.tokenizers:
        settings.setdefault("max_length", card.recipe["max_length"])
    recipe = Recipe(
        model=model.name if isinstance(model, keras.Model) else str(model),
        data=data.source if isinstance(data, Splits) else str(data),
        data_options=dict(data_options or {}),
        epochs=epochs,
        fine_tuning=True,
        head_epochs=head_epochs,
        learning_rate=learning_rate,
        head_learning_rate=head_learning_rate,
        strategy=strategy,
        keep_classes=keep_classes,
        batch_size=batch_size,
        **settings,
    )
    if isinstance(model, keras.Model) and recipe.arguments:
        raise InputError(
            f"{model.name!r} is built already: arguments are for a pretrained model or a run."
        )
    source = surgery.functional(
        model if isinstance(model, keras.Model) else load(model, **recipe.arguments)
    )
    if not isinstance(data, Splits):
        options = data_options_for(model, **recipe.reading)
        data = data_for(model, data, **options)
        recipe = msgspec.structs.replace(recipe, data=data.source, data_options=options)
    return continue_run(*_begin(recipe, source, card, data, out), callbacks, devices)


def finetuning_defaults() -> dict[str, Any]:
    """Return the fields of a recipe that `finetune` gives where nothing is said."""
    fields = ("epochs", "head_epochs", "learning_rate", "head_learning_rate", "batch_size")
    parameters = inspect.signature(finetune).parameters
    return {field: parameters[field].default for field in fields}


def begin_by(
    recipe: Recipe, out: str | os.PathLike[str], data: Splits | None = None
) -> tuple[Run, Splits]:
    """Make the run of a recipe whose model is a pretrained name or the path of a run."""
    return _begin(*_start(recipe, data), out)


def fresh_learner(recipe: Recipe, data: Splits | None = None) -> tuple[keras.Model, Splits, str]:
    """Return what a recipe of fine-tuning begins with: model, data and task.

    Args:
        recipe: its model is a pretrained name or the path of a run.
        data: `Splits` in place of what the recipe names.

    Raises:
        InputError: the model, the data or the recipe is wrong.
    """
    return _learner(*_start(recipe, data))


def _start(recipe: Recipe, data: Splits | None) -> tuple[Recipe, keras.Model, cards.Card, Splits]:
    """Return a recipe with the options of its data, its source with the card, and the data."""
    card = cards.read(weights.model_folder(recipe.model) / cards.FILE)
    source = surgery.functional(load(recipe.model, **recipe.arguments))
    recipe = with_data_options(recipe)
    return recipe, source, card, data or data_for(recipe.model, recipe.data, **recipe.data_options)


def with_data_options(recipe: Recipe) -> Recipe:
    """Return a recipe of fine-tuning with the options of its data that follow from its model.

    A run keeps them, so that it can be resumed without its source.
    """
    options = data_options_for(recipe.model, **recipe.reading)
    read = msgspec.json.decode(msgspec.json.encode(options))  # as the run's config will be
    return msgspec.structs.replace(recipe, data_options=read)


def _begin(
    recipe: Recipe,
    source: keras.Model,
    card: cards.Card | None,
    data: Splits,
    out: str | os.PathLike[str],
) -> tuple[Run, Splits]:
    """Make the copy that learns, and its run."""
    if data.task in TOKENS:
        if recipe.strategy == "frozen":
            raise InputError(
                "a model that says what comes next has no head of its own that could learn alone: "
                "take another strategy than 'frozen'."
            )
        recipe = msgspec.structs.replace(recipe, head_epochs=0)
    learner, data, task = _learner(recipe, source, card, data)
    check_length(recipe, learner)
    architecture = card.architecture if card else ""
    arguments: dict[str, Any] = {}
    if card and architecture:
        arguments = _arguments(card, recipe.arguments, learner, task, data.tokenizers)
    before: dict[str, float] = {}
    if card and card.tokenizers and list(card.labels) == list(data.labels) and len(data.test):
        own = load_tokenizers(recipe.model)
        before = measure(source, data.test, task, tokenizers=own)
    known = card.dataset.source if before and card else ""
    facts = {"before": before, "known_data": "" if known == data.source else known}
    return Run.create(out, recipe, learner, data, task, architecture, arguments, **facts), data


def _learner(
    recipe: Recipe, source: keras.Model, card: cards.Card | None, data: Splits
) -> tuple[keras.Model, Splits, str]:
    """Return the copy that learns, the data with its classes numbered for it, and the task."""
    if card and card.input.features and card.input.features != data.features:
        raise InputError(
            f"{recipe.model!r} takes the features {_short(card.input.features)}; {data.source!r} "
            f"has {_short(data.features)}. Read the table for this model: recipes.data_for."
        )
    data = data.limited(recipe.examples)
    if data.holds_text:
        source, data = _reading(recipe, source, card, data)
    task = "reconstruction" if card and card.task == "reconstruction" else data.task
    known = list(card.labels) if card else []
    if recipe.keep_classes and task == "classification":
        if not known:
            raise InputError(
                f"{recipe.model!r} names no classes that could be kept: keep_classes is for "
                "pretrained models and runs that classify."
            )
        data = data.relabelled([*known, *(label for label in data.labels if label not in known)])
    elif set(known) == set(data.labels):
        data = data.relabelled(known)
    seed_everything(recipe.seed)
    learner = _fitted(source, data, task, known, recipe.keep_classes)
    if recipe.quantize:
        if data.holds_text:
            raise InputError("quantize is for pictures and rows: models that read text lose by it.")
        learner = rounding(learner)
        calibrate(learner, some(data.train, _CALIBRATION).inputs)
    return learner, data, task


def _reading(
    recipe: Recipe, source: keras.Model, card: cards.Card | None, data: Splits
) -> tuple[keras.Model, Splits]:
    """Return a copy of the source that knows the data's words, and the data with its tokens."""
    if card is None or not card.tokenizers:
        raise InputError(f"{data.source!r} holds text, and {source.name!r} reads none.")
    if card.task != data.task:
        raise InputError(
            f"{recipe.model!r} is for {card.task}; {data.source!r} is text for {data.task}."
        )
    tokenizers = load_tokenizers(recipe.model)
    arguments = card.arguments | recipe.arguments
    return with_grown_vocabulary(source, card.architecture, arguments, tokenizers, data)


def _short(names: list[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if names[5:] else "")


def _arguments(
    card: cards.Card,
    given: dict[str, Any],
    learner: keras.Model,
    task: str,
    tokenizers: Mapping[str, Tokenizer],
) -> dict[str, Any]:
    """Return what the source's builder makes such a model with; nothing where it makes none.

    Args:
        card: the source's.
        given: what the source was built with in place of its own arguments.
        learner: the model.
        task: of the data.
        tokenizers: of a model that reads text.
    """
    name, shape = card.architecture, learner.inputs[0].shape[1:]
    arguments = card.arguments | given
    arguments |= builder_arguments(name, shape, task, learner.output_shape[-1])
    if tokenizers:
        arguments |= vocabulary_sizes(name, tokenizers)
    try:
        built = registry.build(name, **arguments)
    except (InputError, ValueError, TypeError):
        return {}
    return arguments if surgery.same_form(built, learner) else {}


def _fitted(
    source: keras.Model, data: Splits, task: str, known: list[str], keep_classes: bool
) -> keras.Model:
    """Return a copy of the source for the data's shape and classes."""
    shape = tuple(source.inputs[0].shape[1:])
    if data.tokenizers:
        learner = source  # a copy already
        if task in TOKENS:
            return learner
    elif shape == data.shape:
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
    same = known == list(data.labels) and learner.output_shape == (None, len(known))
    if not (same or keep_classes):
        return surgery.with_head(learner, len(data.labels))
    last = learner.layers[-1]
    if isinstance(last, keras.layers.Dense) and last.activation is not keras.activations.softmax:
        raise InputError("classes are learned from probabilities: leave out classifier_activation.")
    if same:
        return learner  # what the head knows of the classes is worth keeping
    return surgery.with_more_classes(learner, len(data.labels) - len(known))
