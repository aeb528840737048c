"""The vocabulary of a model that reads text: taken from the training texts, one for each input."""

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from recipes.data import Splits
from recipes.data.texts import as_text
from recipes.recipe import Recipe
from zoo import registry, surgery
from zoo.errors import InputError
from zoo.tokenizer import Tokenizer

# Argument of a builder -> the input whose tokens it counts; one for all inputs is left out.
_SIZES = {"source_vocabulary_size": "source", "target_vocabulary_size": "target"}
_DEFAULTS = {
    "translation": {"kind": "subwords", "vocabulary_size": 6_000},
    "classification": {"kind": "words", "vocabulary_size": 10_000},
    "language_modeling": {"kind": "characters", "vocabulary_size": 1_000, "min_frequency": 1},
}


def with_vocabulary(recipe: Recipe, data: Splits) -> Splits:
    """Return data of text with the tokenizers of a fresh model, trained on the training split.

    An architecture with one vocabulary for source and target gets one tokenizer for both.

    Raises:
        InputError: the architecture reads no text, or has another task.
    """
    row = registry.architecture(recipe.model)
    accepted = inspect.signature(registry.builder(row)).parameters
    if row.family != "sequence":
        raise InputError(f"{data.source!r} holds text, and {recipe.model!r} reads none.")
    if row.task != data.task:
        raise InputError(
            f"{recipe.model!r} is for {row.task}; {data.source!r} is text for {data.task}."
        )
    settings = _DEFAULTS[data.task] | recipe.tokenizer
    accepted_settings = inspect.signature(Tokenizer.train).parameters
    for name in settings:
        if name not in accepted_settings or name == "texts":
            known = [n for n in accepted_settings if n != "texts"]
            raise registry.unknown(name, known, "setting of a tokenizer")
    texts = _texts(data)
    if not set(_SIZES) <= set(accepted):
        shared = Tokenizer.train([text for part in texts.values() for text in part], **settings)
        return replace(data, tokenizers=dict.fromkeys(texts, shared))
    own = {name: Tokenizer.train(part, **settings) for name, part in texts.items()}
    return replace(data, tokenizers=own)


def with_grown_vocabulary(
    model: keras.Model,
    architecture: str,
    arguments: Mapping[str, Any],
    tokenizers: Mapping[str, Tokenizer],
    data: Splits,
) -> tuple[keras.Model, Splits]:
    """Return a copy of a model that knows the words of other data, and that data with its tokens.

    The old tokens keep their numbers and vectors; a new one begins with the mean of those that it
    was made of.

    Args:
        model: reads text.
        architecture: name in the catalog.
        arguments: what its builder was called with.
        tokenizers: of the model's inputs.
        data: of the model's task.

    Raises:
        InputError: no builder makes the model, so that it cannot be given more tokens.
    """
    texts = _texts(data)
    shared = len(set(map(id, tokenizers.values()))) == 1
    if shared:
        every = [text for part in texts.values() for text in part]
        grown = dict.fromkeys(tokenizers, next(iter(tokenizers.values())).grown(every))
    else:
        grown = {name: tokenizers[name].grown(part) for name, part in texts.items()}
    data = replace(data, tokenizers={name: tokenizer for name, (tokenizer, _) in grown.items()})
    if not any(parts for _, parts in grown.values()):
        return surgery.copy(model), data
    if not architecture:
        raise InputError(f"{model.name!r} cannot learn new words: no builder makes its model.")
    sizes = vocabulary_sizes(architecture, data.tokenizers)
    result = registry.build(architecture, **{**arguments, **sizes})
    values = []
    for weight, old in zip(result.weights, model.get_weights(), strict=True):
        name = "source" if weight.path.startswith("source_") else list(grown)[-1]
        values.append(_longer(old, tuple(weight.shape), grown[name][1]))
    result.set_weights(values)
    return result, data


def _longer(values: np.ndarray, shape: tuple[int, ...], parts: list[list[int]]) -> np.ndarray:
    """Return a weight with a place for each new token, along the axis that has become longer."""
    axes = [axis for axis, size in enumerate(shape) if size != values.shape[axis]]
    if not axes:
        return values
    [axis] = axes
    new = [values.take(ids, axis=axis).mean(axis=axis, keepdims=True) for ids in parts]
    return np.concatenate([values, *new], axis=axis)


def _texts(data: Splits) -> dict[str, list[str]]:
    """Return the training texts by the names of the inputs that read them."""
    train = data.train
    if data.task == "language_modeling":
        return {"ids": as_text(train.inputs).splitlines(keepends=True)}
    if data.task == "classification":
        return {"ids": train.inputs.tolist()}
    return {"source": train.inputs.tolist(), "target": train.targets.tolist()}


def vocabulary_sizes(name: str, tokenizers: Mapping[str, Tokenizer]) -> dict[str, Any]:
    """Return a builder's arguments that say how many tokens there are."""
    accepted = inspect.signature(registry.builder(registry.architecture(name))).parameters
    if set(_SIZES) <= set(accepted):
        return {size: len(tokenizers[key]) for size, key in _SIZES.items()}
    return {"vocabulary_size": len(next(iter(tokenizers.values())))}


def carries_state(name: str) -> bool:
    """Return whether an architecture's states can go on from batch to batch."""
    row = registry.architecture(name)
    return "stateful" in inspect.signature(registry.builder(row)).parameters
