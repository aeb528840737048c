"""How well a model does on examples that it did not learn from."""

import os
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from sklearn import metrics as sk

from recipes.data import Examples, Splits
from recipes.inputs import data_for
from recipes.recipe import TOKENS
from recipes.run import Run
from recipes.text_evaluation import measure_text, text_answers
from zoo import cards, weights
from zoo.errors import InputError
from zoo.models import load, load_tokenizers, takes
from zoo.registry import unknown
from zoo.tokenizer import Tokenizer

if TYPE_CHECKING:
    import keras

# The figure of a task that stands first.
MAIN_METRIC = {
    "classification": "accuracy",
    "regression": "r2",
    "reconstruction": "mse",
    "translation": "bleu",
    "language_modeling": "cross_entropy",
}


def _mirrored(images: np.ndarray) -> Iterator[np.ndarray]:
    """Return the images and their mirror images, left to right."""
    yield images
    yield images[:, :, ::-1]


def _shifted(images: np.ndarray) -> Iterator[np.ndarray]:
    """Return the images, and moved by a pixel up, down, left and right; what comes in mirrors."""
    height, width = images.shape[1:3]
    framed = np.pad(images, [(0, 0), (1, 1), (1, 1), (0, 0)], "reflect")
    for row, column in ((1, 1), (2, 1), (0, 1), (1, 2), (1, 0)):
        yield framed[:, row : row + height, column : column + width]


def _mirrored_and_shifted(images: np.ndarray) -> Iterator[np.ndarray]:
    """Return the images and their mirror images, each also moved."""
    for view in _mirrored(images):
        yield from _shifted(view)


# Test-time augmentation: images -> all their views, whose probabilities are averaged.
TEST_TIME: dict[str, Callable[[np.ndarray], Iterator[np.ndarray]]] = {
    "flip": _mirrored,
    "shift": _shifted,
    "flip+shift": _mirrored_and_shifted,
}
_AT_ONCE = 4096
_MOST, _MOST_BYTES = 256, 4 << 20  # examples in a batch, and of their inputs


def evaluate(
    model: "str | os.PathLike[str] | keras.Model",
    data: "str | os.PathLike[str] | Splits | None" = None,
    split: str = "test",
    task: str | None = None,
    augment: str = "",
    **data_options: object,
) -> dict[str, float]:
    """Measure a model.

    Args:
        model: name of a pretrained model, path of a run, or a `keras.Model`.
        data: what `load_data` takes, or `Splits`. Default: the set that the model was trained on;
            a run keeps its test examples, and needs nothing from outside, unless they are large
            pictures, of which it keeps only some: then its data is read again.
        split: "train", "validation", "test", or "all" of them together.
        task: of a `keras.Model`; default "classification" if its data has labels.
        augment: "flip" or "shift" answers for a picture with the mean of the probabilities of it
            and its mirror image, or of it and its four translations by a pixel; "flip+shift" with
            that of all ten; "" looks once.
        **data_options: for `load_data`.

    Returns:
        Figures by name: "accuracy", "balanced_accuracy", "cross_entropy" (nats), for two classes
        "auc"; or "r2", "mae", "mse" (in units of the target); or "mse", "r2" of the pixels in 0…1;
        or what `recipes.text_evaluation.measure_text` tells. With `augment`, its name stands behind
        each: "accuracy (flip)".

    Raises:
        InputError: the data does not fit the model; or `augment` is not for such data, or unknown.

    Example:
        >>> from recipes import evaluate
        >>> evaluate("logistic-breast_cancer")["accuracy"] > 0.9
        True
    """
    import keras

    card = None
    if not isinstance(model, keras.Model):
        folder = weights.model_folder(model)
        card = cards.read(folder / cards.FILE)
        network = load(model)
        plain = data is None and split == "test" and task is None and not data_options
        if plain and (folder / "samples.npz").is_file():
            run = Run(folder)
            kept = run.samples("test")
            if len(kept) == run.config.dataset.examples["test"]:  # of large pictures, only some are
                return measure(network, kept, card.task, augment, run.tokenizers)
    else:
        network = model
    if not isinstance(data, Splits):
        if task not in (None, "reconstruction"):
            data_options.setdefault("task", task)
        data = data_for(model, data, **data_options)
    if len(network.outputs) > 1:
        raise InputError(
            f"{network.name!r} has {len(network.outputs)} outputs; measure one of them."
        )
    tokenizers = load_tokenizers(model) if card and card.tokenizers else data.tokenizers
    if bool(tokenizers) != data.holds_text:
        what = "no text" if tokenizers else "text, and the model reads none that it could"
        raise InputError(f"{data.source!r} holds {what}: it does not fit {network.name!r}.")
    if tokenizers and card and data.task != card.task:
        raise InputError(
            f"{card.name!r} is for {card.task}; {data.source!r} is text for {data.task}."
        )
    if not tokenizers and not takes(network, data.shape):
        raise InputError(
            f"the model takes inputs of shape {network.input_shape[1:]}; {data.source!r} holds "
            f"{data.shape}. Fine-tuning adds a layer that resizes."
        )
    task = task or (card.task if card else data.task)
    if task == "classification":
        known = list(card.labels) if card and card.labels else list(data.labels)
        strange = [label for label in data.labels if label not in known]
        if strange or len(known) != network.output_shape[-1]:
            among = f", and among them {', '.join(map(repr, strange[:5]))}" if strange else ""
            raise InputError(
                f"the model knows {network.output_shape[-1]} classes; {data.source!r} has "
                f"{len(data.labels)}{among}."
            )
        data = data.relabelled(known)
    return measure(network, data[split], task, augment, tokenizers)


def measure(
    model: "keras.Model",
    examples: Examples,
    task: str,
    augment: str = "",
    tokenizers: Mapping[str, Tokenizer] = MappingProxyType({}),
    decode: bool = True,
) -> dict[str, float]:
    """Return the figures of `evaluate` for some examples.

    Args:
        model: the model.
        examples: the examples.
        task: of the model.
        augment: test-time augmentation.
        tokenizers: of a model that reads text.
        decode: whether a translation's figures are wanted, which take the longest.
    """
    if tokenizers and not augment:
        if task in TOKENS:
            return measure_text(model, tokenizers, examples, task, decode)
        return figures(text_answers(model, tokenizers, examples.inputs), examples, task)
    if augment and (task != "classification" or examples.inputs.ndim != 4):
        raise InputError("test-time augmentation is for pictures and their classes.")
    found = figures(answers(model, examples.inputs, augment), examples, task)
    return {f"{name} ({augment})": value for name, value in found.items()} if augment else found


def answers(model: "keras.Model", inputs: np.ndarray, augment: str = "") -> np.ndarray:
    """Return the model's float32 outputs for all inputs; with `augment`, their mean over views.

    Raises:
        InputError: there is no test-time augmentation of this name.
    """
    if augment and augment not in TEST_TIME:
        raise unknown(augment, TEST_TIME, "test-time augmentation")
    means = []
    for start in range(0, len(inputs), _AT_ONCE):  # Keras copies what it is given
        part = np.asarray(inputs[start : start + _AT_ONCE])
        views = TEST_TIME[augment](part) if augment else [part]
        outputs = [model.predict(view, batch_size=batch_of(view), verbose=0) for view in views]
        means.append(np.mean(outputs, axis=0, dtype="float32"))
    return np.concatenate(means)


def batch_of(inputs: np.ndarray) -> int:
    """Return how many inputs to answer at a time: fewer of large pictures, whose maps are large."""
    return max(1, min(_MOST, _MOST_BYTES // max(1, inputs[:1].nbytes)))


def figures(outputs: np.ndarray, examples: Examples, task: str) -> dict[str, float]:
    """Return the figures of some outputs against the examples' targets.

    Raises:
        InputError: classes, and outputs that are no probabilities.
    """
    if task == "classification":
        if outputs.min() < -1e-3 or np.abs(outputs.sum(axis=-1) - 1).max() > 1e-2:
            raise InputError(
                "the model answers with no probabilities: give it a softmax, as a model has unless "
                "it is built with classifier_activation=None."
            )
        targets, decisions = examples.targets, outputs.argmax(axis=-1)
        likelihood = outputs[np.arange(len(outputs)), targets].astype("float64")
        result = {
            "accuracy": sk.accuracy_score(targets, decisions),
            "balanced_accuracy": sk.recall_score(
                targets, decisions, average="macro", labels=np.unique(targets)
            ),
            "cross_entropy": -np.log(np.maximum(likelihood, 1e-12)).mean(),
        }
        if outputs.shape[-1] == 2 and len(np.unique(targets)) == 2:
            result["auc"] = sk.roc_auc_score(targets, outputs[:, 1])
    elif task == "regression":
        result = {
            "r2": sk.r2_score(examples.targets, outputs),
            "mae": sk.mean_absolute_error(examples.targets, outputs),
            "mse": sk.mean_squared_error(examples.targets, outputs),
        }
    else:
        targets = examples.inputs.astype("float32") / 255
        error = float(np.square(targets - outputs).mean(dtype="float64"))
        variance = float(np.square(targets - targets.mean(axis=0)).mean(dtype="float64"))
        result = {"mse": error, "r2": 1 - error / variance if variance else 0.0}
    return {name: float(value) for name, value in result.items()}
