"""The vocabulary of a model that reads text: taken from the training texts, one for each input."""

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from recipes.data import Splits
from recipes.data.texts import as_text
from recipes.recipe import Recipe
from zoo import registry
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
    if row.family != "sequence" or row.task != data.task:
        raise InputError(
            f"{recipe.model!r} is for {row.task}; {data.source!r} is text for {data.task}."
        )
    train, settings = data.train, _DEFAULTS[data.task] | recipe.tokenizer
    accepted_settings = inspect.signature(Tokenizer.train).parameters
    for name in settings:
        if name not in accepted_settings or name == "texts":
            known = [n for n in accepted_settings if n != "texts"]
            raise registry.unknown(name, known, "setting of a tokenizer")
    if data.task == "language_modeling":
        texts = {"ids": as_text(train.inputs).splitlines(keepends=True)}
    elif data.task == "classification":
        texts = {"ids": train.inputs.tolist()}
    else:
        texts = {"source": train.inputs.tolist(), "target": train.targets.tolist()}
    if not set(_SIZES) <= set(accepted):
        shared = Tokenizer.train([text for part in texts.values() for text in part], **settings)
        return replace(data, tokenizers=dict.fromkeys(texts, shared))
    own = {name: Tokenizer.train(part, **settings) for name, part in texts.items()}
    return replace(data, tokenizers=own)


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
