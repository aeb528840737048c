"""Pictures of a training, learning curves and confusion matrices; and of attention."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn import metrics as sk

from zoo.files import whole_file

_NAMED = 100  # classes that a confusion matrix has the room to name


def plot_confusion(outputs: np.ndarray, targets: np.ndarray, labels: list[str], path: Path) -> None:
    """Draw the confusion matrix of some outputs as a PNG."""
    decisions = outputs.argmax(axis=-1)
    matrix = sk.confusion_matrix(targets, decisions, labels=range(len(labels)))
    side = 0.5 * len(labels) if len(labels) <= _NAMED else 10
    figure = Figure(figsize=(2.5 + side, 2 + side), layout="constrained")
    axes = figure.add_subplot()
    if len(labels) > _NAMED:
        axes.imshow(matrix, cmap="Blues")
    else:
        sk.ConfusionMatrixDisplay(matrix, display_labels=labels).plot(
            ax=axes,
            cmap="Blues",
            colorbar=False,
            xticks_rotation=90,
            include_values=len(labels) <= 25,
        )
    axes.set(xlabel="answer", ylabel="truth", title=f"{len(targets):,} test examples")
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=120)


def plot_history(history: list[dict[str, float]], path: Path) -> None:
    """Draw the learning curves as a PNG: the loss, and the accuracy where there is one."""
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


def plot_attention(
    weights: np.ndarray, source: Sequence[str], target: Sequence[str], path: Path
) -> None:
    """Draw the weights `(target, source)` of a translation's attention as a PNG."""
    figure = Figure(figsize=(2 + 0.35 * len(source), 1.5 + 0.3 * len(target)), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(source)), [_plain(token) for token in source], rotation=90)
    axes.set_yticks(range(len(target)), [_plain(token) for token in target])
    axes.set(xlabel="source", ylabel="answer")
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _plain(token: str) -> str:
    """Return a token as text that matplotlib does not read as mathematics."""
    return token.replace("$", r"\$")
