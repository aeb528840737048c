"""How well a model does on examples that it did not learn from."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sklearn import metrics as sk

from recipes.data import Examples, Splits, load_data
from recipes.run import Run
from zoo import cards, weights
from zoo.errors import InputError
from zoo.files import whole_file
from zoo.models import load

if TYPE_CHECKING:
    import keras

# The figure of a task that stands first.
MAIN_METRIC = {"classification": "accuracy", "regression": "r2", "reconstruction": "mse"}


def evaluate(
    model: "str | os.PathLike[str] | keras.Model",
    data: "str | os.PathLike[str] | Splits | None" = None,
    split: str = "test",
    task: str | None = None,
    **data_options: object,
) -> dict[str, float]:
    """Measure a model.

    Args:
        model: name of a pretrained model, path of a run, or a `keras.Model`.
        data: what `load_data` takes, or `Splits`. Default: the set that the model was trained on;
            a run keeps its test examples, and needs nothing from outside.
        split: "train", "validation" or "test".
        task: of a `keras.Model`; default "classification" if its data has labels.
        **data_options: for `load_data`.

    Returns:
        Figures by name: "accuracy", "balanced_accuracy", "cross_entropy" (nats), for two classes
        "auc"; or "r2", "mae", "mse" (in units of the target); or "mse", "r2" of the pixels in 0…1.

    Raises:
        InputError: the data does not fit the model.

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
        if data is None and split == "test" and (folder / "samples.npz").is_file():
            return measure(network, Run(folder).samples("test"), card.task)
        if data is None:
            data = card.dataset.source
            data_options = {**card.recipe.get("data_options", {}), **data_options}
        if (folder / "encoder.json").is_file():
            data_options.setdefault("encoder", Run(folder).encoder)
    else:
        network = model
    if data is None:
        raise InputError("name the data to evaluate a model on that has no card.")
    if not isinstance(data, Splits):
        shape = network.input_shape[1:]
        if len(shape) == 3:
            data_options["shape"] = shape
        else:
            data_options.setdefault("task", task or (card.task if card else None))
        data = load_data(data, **data_options)  # type: ignore[arg-type]
    if data.shape != tuple(network.input_shape[1:]):
        raise InputError(
            f"the model takes inputs of shape {network.input_shape[1:]}; {data.source!r} holds "
            f"{data.shape}. Fine-tuning adds a layer that resizes."
        )
    task = task or (card.task if card else data.task)
    examples = data[split]
    if task == "classification":
        known = list(card.labels) if card and card.labels else list(data.labels)
        strange = [label for label in data.labels if label not in known]
        if strange or len(known) != network.output_shape[-1]:
            raise InputError(
                f"the model knows {network.output_shape[-1]} classes; {data.source!r} has "
                f"{len(data.labels)}, and among them {', '.join(map(repr, strange[:5]))}."
            )
        numbers = np.array([known.index(label) for label in data.labels])
        examples = Examples(examples.inputs, numbers[examples.targets])
    return measure(network, examples, task)


def measure(model: "keras.Model", examples: Examples, task: str) -> dict[str, float]:
    """Return the figures of `evaluate` for some examples."""
    return figures(answers(model, examples.inputs), examples, task)


def answers(model: "keras.Model", inputs: np.ndarray) -> np.ndarray:
    """Return the model's float32 outputs for all inputs."""
    return np.asarray(model.predict(inputs, batch_size=256, verbose=0), "float32")


def figures(outputs: np.ndarray, examples: Examples, task: str) -> dict[str, float]:
    """Return the figures of some outputs against the examples' targets."""
    if task == "classification":
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


def plot_confusion(outputs: np.ndarray, targets: np.ndarray, labels: list[str], path: Path) -> None:
    """Draw the confusion matrix of some outputs as a PNG."""
    from matplotlib.figure import Figure

    decisions = outputs.argmax(axis=-1)
    matrix = sk.confusion_matrix(targets, decisions, labels=range(len(labels)))
    figure = Figure(figsize=(2.5 + 0.5 * len(labels), 2 + 0.5 * len(labels)), layout="constrained")
    axes = figure.add_subplot()
    sk.ConfusionMatrixDisplay(matrix, display_labels=labels).plot(
        ax=axes, cmap="Blues", colorbar=False, xticks_rotation=90, include_values=len(labels) <= 25
    )
    axes.set(xlabel="answer", ylabel="truth", title=f"{len(targets):,} test examples")
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=120)


def plot_history(history: list[dict[str, float]], path: Path) -> None:
    """Draw the learning curves as a PNG: the loss, and the accuracy where there is one."""
    from matplotlib.figure import Figure

    names = [name for name in ("loss", "accuracy") if name in history[-1]]
    figure = Figure(figsize=(5 * len(names), 3.5), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for key, label in ((name, "training"), (f"val_{name}", "validation")):
            axes.plot([r["epoch"] for r in history], [r[key] for r in history], label=label)
        axes.set(xlabel="epoch", ylabel=name)
        axes.grid(alpha=0.3)
        axes.legend()
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=120)
