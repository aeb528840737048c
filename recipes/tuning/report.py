"""What a search leaves to read: its trials as a table, and two pictures."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps, colors
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from recipes.tuning.tuner import DONE, Outcome
from zoo.files import whole_file
from zoo.spaces import Choice, Parameter


def ranked(outcomes: Mapping[str, Outcome], objective: str, direction: str) -> list[str]:
    """Return the numbers of the trials that are done, the best first.

    Those that had more epochs come first where an objective is the same, and earlier ones then.
    """
    sign = -1 if direction == "max" else 1
    done = [name for name, outcome in outcomes.items() if outcome.status == DONE]
    return sorted(
        done,
        key=lambda name: (
            sign * outcomes[name].figures[objective], -outcomes[name].epochs, int(name),
        ),
    )  # fmt: skip


def write_table(
    outcomes: Mapping[str, Outcome], space: Mapping[str, Parameter], path: Path
) -> None:
    """Write one row for each trial: what it was, and how it ended."""
    figures = sorted({name for outcome in outcomes.values() for name in outcome.figures})
    with whole_file(path) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["trial", "status", *figures, "epochs", "seconds", *space, "message"])
        for name, outcome in outcomes.items():
            writer.writerow(
                [
                    int(name),
                    outcome.status,
                    *(outcome.figures.get(figure, "") for figure in figures),
                    outcome.epochs,
                    outcome.seconds,
                    *(outcome.values.get(parameter, "") for parameter in space),
                    outcome.message,
                ]
            )


def plot_progress(
    outcomes: Mapping[str, Outcome], objective: str, direction: str, path: Path
) -> None:
    """Draw each trial's objective and the best so far as a PNG."""
    values = np.array([o.figures.get(objective, np.nan) for o in outcomes.values()])
    numbers = [int(name) + 1 for name in outcomes]
    best = (np.fmax if direction == "max" else np.fmin).accumulate(values)
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(numbers, values, "o", markersize=4, alpha=0.6, label="trial")
    axes.step(numbers, best, where="post", color="black", label="best so far")
    axes.set(xlabel="trial", ylabel=objective)
    axes.grid(alpha=0.3)
    axes.legend()
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=120)


def plot_coordinates(
    outcomes: Mapping[str, Outcome],
    space: Mapping[str, Parameter],
    objective: str,
    direction: str,
    path: Path,
) -> None:
    """Draw the trials as lines across their parameters, the better the brighter, as a PNG.

    A line is broken where a parameter played no part in its trial.
    """
    order = ranked(outcomes, objective, direction)[::-1]  # the best on top
    scores = np.array([outcomes[name].figures[objective] for name in order])
    figure = Figure(figsize=(2.5 + 1.3 * len(space), 4.5), layout="constrained")
    axes = figure.add_subplot()
    # One that is far worse than most would take all colours for itself.
    low, high = np.quantile(scores, (0.0, 0.75) if direction == "min" else (0.25, 1.0))
    scale = colors.Normalize(low, max(high, low + 1e-12), clip=True)
    shades = colormaps["viridis" if direction == "max" else "viridis_r"]
    rows = [
        [_height(outcomes[name].values.get(key), this) for key, this in space.items()]
        for name in order
    ]
    for row, score in zip(rows, scores, strict=True):
        axes.plot(range(len(space)), row, color=shades(scale(score)), linewidth=1.2, alpha=0.8)
    for place, this in enumerate(space.values()):
        axes.axvline(place, color="black", linewidth=0.5)
        for height, label in _marks(this):
            axes.annotate(
                label, (place, height), fontsize=7, ha="center", va="center",
                bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.85},
            )  # fmt: skip
    axes.set_xticks(range(len(space)), list(space), rotation=25, ha="right", fontsize=8)
    axes.set_yticks([])
    axes.set_ylim(-0.07, 1.07)
    for side in axes.spines.values():
        side.set_visible(False)
    figure.colorbar(ScalarMappable(scale, shades), ax=axes, label=objective)
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _height(value: Any, this: Parameter) -> float:
    """Return where a value lies on its axis, from 0 to 1; NaN for none."""
    if value is None:
        return float("nan")
    if isinstance(this, Choice):
        return this.values.index(value) / (len(this.values) - 1)
    if this.scale == "log":
        return float(np.log(value / this.low) / np.log(this.high / this.low))
    return float((value - this.low) / (this.high - this.low))


def _marks(this: Parameter) -> list[tuple[float, str]]:
    """Return heights on an axis and what stands there."""
    if isinstance(this, Choice):
        return [(_height(value, this), str(value)) for value in this.values]
    return [(0.0, f"{this.low:.4g}"), (1.0, f"{this.high:.4g}")]
