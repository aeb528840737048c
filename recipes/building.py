"""The model that a recipe begins with: built for its data, seeded, with random weights."""

import inspect
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from recipes.data import Splits
from recipes.recipe import Recipe
from recipes.text_evaluation import positions_of
from recipes.vocabulary import vocabulary_sizes, with_vocabulary
from zoo import registry
from zoo.errors import InputError
from zoo.layers import Standardize


def prepared(recipe: Recipe, data: Splits) -> Splits:
    """Return the data that a fresh model learns from: of text, with a vocabulary."""
    data = data.limited(recipe.examples)
    return with_vocabulary(recipe, data) if data.holds_text else data


def check_length(recipe: Recipe, model: keras.Model) -> None:
    """Refuse a recipe whose texts are longer than the model has positions.

    Raises:
        InputError: says how many it has.
    """
    most = positions_of(model)
    if most and recipe.max_length > most:
        raise InputError(
            f"{model.name!r} has {most} positions: max_length is at most that, not "
            f"{recipe.max_length}."
        )


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy, Keras and TensorFlow, and have every op compute in a fixed order."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def fresh_model(recipe: Recipe, data: Splits) -> tuple[keras.Model, str, dict[str, Any]]:
    """Build a recipe's model for its data, seeded, with random weights.

    Returns:
        The model; its task; and what its builder was called with.

    Raises:
        InputError: the architecture does not fit the data.
    """
    reconstructs = registry.architecture(recipe.model).task == "reconstruction"
    task = "reconstruction" if reconstructs else data.task
    seed_everything(recipe.seed)
    model, arguments = _build(recipe, data, task)
    for layer in model.layers:
        if isinstance(layer, Standardize):
            layer.adapt(data.train.inputs.reshape(-1, data.shape[-1]))
    return model, task, arguments


def builder_arguments(name: str, shape: Sequence[int], task: str, classes: int) -> dict[str, Any]:
    """Return what an architecture's builder is called with, for inputs of a shape and a task."""
    wanted: dict[str, Any] = {"input_shape": list(shape)}
    if task == "classification":
        wanted["classes"] = classes
    elif task == "regression":
        wanted |= {"classes": 1, "classifier_activation": None}
    accepted = inspect.signature(registry.builder(registry.architecture(name))).parameters
    return {k: v for k, v in wanted.items() if k in accepted}


def _arguments(recipe: Recipe, data: Splits, task: str) -> dict[str, Any]:
    """Return what the builder is called with: the recipe's arguments, the rest from the data."""
    found = builder_arguments(recipe.model, data.shape, task, len(data.labels))
    if data.tokenizers:
        found |= vocabulary_sizes(recipe.model, data.tokenizers)
        builder = registry.builder(registry.architecture(recipe.model))
        if "max_length" in inspect.signature(builder).parameters:
            found["max_length"] = recipe.max_length  # no position is left untrained
    row = registry.architecture(recipe.model)
    if task == "regression" and row.task != task and "classifier_activation" not in found:
        raise InputError(
            f"{recipe.model!r} answers with classes; the target of {data.source!r} is a quantity. "
            "Try 'linear' or 'mlp'."
        )
    return found | recipe.arguments


def _build(recipe: Recipe, data: Splits, task: str) -> tuple[keras.Model, dict[str, Any]]:
    """Build the recipe's model for the shape and the classes of the data."""
    arguments = _arguments(recipe, data, task)
    try:
        model = registry.build(recipe.model, **arguments)
    except InputError:
        raise
    except (ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{recipe.model!r} cannot be built for inputs of shape {data.shape}: {reason}"
        ) from error
    reads_tokens = model.inputs[0].dtype == "int32"
    if reads_tokens and not data.holds_text:
        raise InputError(f"{recipe.model!r} reads tokens of text; {data.source!r} holds none.")
    if len(model.outputs) > 1:
        raise InputError(
            f"{recipe.model!r} has the outputs {', '.join(model.output)}, and a recipe trains one: "
            "take the variant without auxiliary heads, or train all of them by Keras' own fit."
        )
    if not reads_tokens and tuple(model.input_shape[1:]) != tuple(data.shape):
        raise InputError(
            f"{recipe.model!r} takes inputs of shape {model.input_shape[1:]}; {data.source!r} "
            f"holds {data.shape}."
        )
    if task == "classification" and model.output_shape != (None, len(data.labels)):
        raise InputError(
            f"{recipe.model!r} has {model.output_shape[-1]} output(s); {data.source!r} has "
            f"{len(data.labels)} classes. Try 'softmax' or 'mlp'."
        )
    if task == "classification" and arguments.get("classifier_activation", "softmax") is None:
        raise InputError("classes are learned from probabilities: leave out classifier_activation.")
    return model, arguments
