"""Ways to a minimum on three landscapes that can be drawn: a quadratic, Rosenbrock's, Beale's.

    python docs/landscapes.py

A landscape is a Keras model of two weights, the point. It answers with residuals whose squares sum
to the value, and its loss is their mean square, so that `recipes.minimize` and Keras' optimizers go
on it as on any other model. Writes

- `docs/landscapes.png`: the ways of three groups of methods on each landscape;
- `docs/learning_rates.png`: the value after 200 steps for each learning rate of Keras' optimizers;
- `benchmarks/results/landscapes.csv`: `landscape`, `method`, `learning_rate` where there is one,
  `steps` until the value is below 1e-8 (empty where it never was), and `value` and `distance` to
  the minimum after the last step of `steps_made`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from keras import ops
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from recipes import minimize
from zoo.files import whole_file

DOCS = Path(__file__).parent
RESULTS = DOCS.parent / "benchmarks" / "results"
CONDITION = 100.0  # of the quadratic
REACHED = 1e-8
STEPS, ITERATIONS, SWEPT = 20_000, 1_000, 200
RATES = np.geomspace(1e-5, 10, 37)
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#222222")  # told apart by all eyes
MARKERS = ("o", "s", "^", "D", "v")
INPUTS = np.zeros((1, 1))  # the value does not depend on any


@dataclass(frozen=True)
class Landscape:
    """A sum of squares of two variables.

    Attributes:
        residuals: of x and y.
        start: where all begin.
        minimum: where the value is 0.
        window: least and greatest x, least and greatest y to draw.
        rates: learning rates of Keras' optimizers.
        drawn: steps to draw, of plain gradient descent and of others.
        legend: where there is room for one.
    """

    residuals: Callable[[Any, Any], Sequence[Any]]
    start: tuple[float, float]
    minimum: tuple[float, float]
    window: tuple[float, float, float, float]
    rates: dict[str, float]
    drawn: tuple[int, int]
    legend: str


OPTIMIZERS: dict[str, Callable[[float], keras.optimizers.Optimizer]] = {
    "fixed rate": lambda rate: keras.optimizers.SGD(rate),
    "momentum": lambda rate: keras.optimizers.SGD(rate, momentum=0.9),
    "Nesterov": lambda rate: keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
    "RMSprop": lambda rate: keras.optimizers.RMSprop(rate),
    "Adam": lambda rate: keras.optimizers.Adam(rate),
}
LANDSCAPES = {
    "quadratic": Landscape(  # half of x² + 100 y²
        lambda x, y: (x / 2**0.5, y * (CONDITION / 2) ** 0.5),
        start=(2.0, 0.05),
        minimum=(0.0, 0.0),
        window=(-0.6, 2.2, -0.09, 0.09),
        rates=dict(zip(OPTIMIZERS, (0.018, 0.01, 0.01, 0.01, 0.05), strict=True)),
        drawn=(25, 60),
        legend="lower left",
    ),
    "Rosenbrock": Landscape(
        lambda x, y: (1 - x, 10 * (y - x**2)),
        start=(-1.2, 1.0),
        minimum=(1.0, 1.0),
        window=(-1.6, 1.6, -0.4, 2.4),
        rates=dict(zip(OPTIMIZERS, (0.001, 0.0005, 0.0005, 0.01, 0.05), strict=True)),
        drawn=(2_000, 2_000),
        legend="upper center",
    ),
    "Beale": Landscape(
        lambda x, y: (1.5 - x + x * y, 2.25 - x + x * y**2, 2.625 - x + x * y**3),
        start=(1.0, 1.0),
        minimum=(3.0, 0.5),
        window=(0.0, 4.2, -1.2, 1.4),
        rates=dict(zip(OPTIMIZERS, (0.01, 0.005, 0.005, 0.01, 0.05), strict=True)),
        drawn=(2_000, 2_000),
        legend="lower right",
    ),
}
SEARCHES = {"exact": "exact search", "armijo": "Armijo", "wolfe": "Wolfe"}
WHOLE = {
    "conjugate-gradient": "conjugate gradients",
    "bfgs": "BFGS",
    "l-bfgs": "L-BFGS",
    "newton": "Newton",
    "levenberg-marquardt": "Levenberg–Marquardt",
}


@keras.saving.register_keras_serializable(package="docs")
class Residuals(keras.layers.Layer):
    """Answers every input with the residuals of a landscape at its two weights.

    - input: `(batch, 1)`, of no effect
    - output: `(batch, residuals)`, scaled so that their mean square is the landscape's value
    """

    def __init__(self, landscape: str, **options: Any) -> None:
        super().__init__(**options)
        self.landscape = landscape

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create the point, at the start."""
        start = keras.initializers.Constant(LANDSCAPES[self.landscape].start)
        self.point = self.add_weight(shape=(2,), initializer=start, name="point")

    def call(self, x: Any) -> Any:
        """Return the residuals."""
        found = LANDSCAPES[self.landscape].residuals(self.point[0], self.point[1])
        return ops.stack(found) * len(found) ** 0.5 + ops.zeros_like(x)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "landscape": self.landscape}


def built(landscape: str) -> keras.Model:
    """Return a landscape as a model, at its start, in float64."""
    inputs = keras.Input((1,), dtype="float64")
    return keras.Model(inputs, Residuals(landscape, dtype="float64")(inputs), name=landscape)


def targets(model: keras.Model) -> np.ndarray:
    """Return what the residuals shall be: nothing."""
    return np.zeros((1, model.output_shape[-1]))


class Notes(keras.callbacks.Callback):
    """Notes the point after each iteration."""

    def __init__(self) -> None:
        super().__init__()
        self.points: list[np.ndarray] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Note where the model is."""
        self.points.append(self.model.get_weights()[0])


def by_minimize(landscape: str, method: str, **options: Any) -> np.ndarray:
    """Return the points `(iterations + 1, 2)` of a method of `recipes.minimize`."""
    model, notes = built(landscape), Notes()
    options = {"iterations": ITERATIONS, "gradient_tolerance": 1e-9} | options
    minimize(
        model, "mean_squared_error", (INPUTS, targets(model)), method=method, precision="float64",
        callbacks=[notes], **options,
    )  # fmt: skip
    return np.stack(notes.points)


def by_keras(landscape: str, method: str, rates: Sequence[float], steps: int) -> list[np.ndarray]:
    """Return the points `(steps + 1, 2)` of one of Keras' optimizers for each learning rate."""
    model, optimizer = built(landscape), OPTIMIZERS[method](rates[0])
    [point], wanted = model.trainable_variables, targets(model)
    optimizer.build([point])

    @tf.function
    def course() -> tf.Tensor:
        points = tf.TensorArray(point.dtype, steps + 1).write(0, point.value)
        for step in tf.range(steps):
            with tf.GradientTape() as tape:
                value = keras.losses.mean_squared_error(wanted, model(INPUTS))
            optimizer.apply(tape.gradient(value, [point.value]), [point])
            points = points.write(step + 1, point.value)
        return points.stack()

    found = []
    for rate in rates:
        for variable in optimizer.variables:  # begin anew, with the same compiled course
            variable.assign(ops.zeros_like(variable))
        optimizer.learning_rate = rate
        point.assign(LANDSCAPES[landscape].start)
        found.append(course().numpy())
    return found


def values(landscape: str, points: np.ndarray) -> np.ndarray:
    """Return the values at points `(…, 2)`; infinite where a way has gone beyond all numbers."""
    with np.errstate(all="ignore"):
        found = sum(r**2 for r in LANDSCAPES[landscape].residuals(points[..., 0], points[..., 1]))
    return np.where(np.isfinite(found), found, np.inf)


def courses(landscape: str) -> dict[str, dict[str, np.ndarray]]:
    """Return group -> method -> points, of all methods."""
    searched = {
        words: by_minimize(landscape, "gradient-descent", line_search=search)
        for search, words in SEARCHES.items()
        if search != "exact" or landscape == "quadratic"  # elsewhere, nothing is exact
    }
    fixed, *others = (
        (name, by_keras(landscape, name, [rate], STEPS)[0])
        for name, rate in LANDSCAPES[landscape].rates.items()
    )
    return {
        "gradient descent": dict([fixed]) | searched,
        "Keras' optimizers": dict(others),
        "recipes.minimize": {
            words: by_minimize(landscape, method) for method, words in WHOLE.items()
        },
    }


def table(found: dict[str, dict[str, dict[str, np.ndarray]]]) -> pd.DataFrame:
    """Return a row for each landscape and method."""
    rows = []
    for landscape, groups in found.items():
        for method, points in (pair for group in groups.values() for pair in group.items()):
            below = np.flatnonzero(values(landscape, points) < REACHED)
            rows.append(
                {
                    "landscape": landscape,
                    "method": method,
                    "learning_rate": LANDSCAPES[landscape].rates.get(method),
                    "steps": below[0] if len(below) else None,
                    "steps_made": len(points) - 1,
                    "value": float(values(landscape, points[-1])),
                    "distance": np.linalg.norm(points[-1] - LANDSCAPES[landscape].minimum),
                }
            )
    return pd.DataFrame(rows).astype({"steps": "Int64"})


def draw(found: dict[str, dict[str, dict[str, np.ndarray]]], path: Path) -> None:
    """Draw a row of panels for each landscape, and a panel for each group of methods."""
    figure = Figure(figsize=(14, 3.9 * len(found)), layout="constrained")
    rows = figure.subplots(len(found), 3)
    for row, (landscape, groups) in zip(rows, found.items(), strict=True):
        for axes, (group, courses) in zip(row, groups.items(), strict=True):
            _contours(axes, landscape)
            most = LANDSCAPES[landscape].drawn[group != "gradient descent"]
            longest = max(len(points) for points in courses.values()) - 1
            cut = f", {most:,} steps" if longest > most else ""
            for place, (method, points) in enumerate(courses.items()):
                shown = points[: most + 1]
                marks = sorted(
                    {*np.geomspace(1, len(shown), 30).astype(int) - 1}
                )  # fewer and fewer
                axes.plot(*shown.T, **_line(place), label=method, alpha=0.85, markevery=marks)
            axes.set_title(f"{landscape}: {group}{cut}", fontsize=10)
            axes.legend(fontsize=8, loc=LANDSCAPES[landscape].legend, framealpha=0.9)
    _save(figure, path)


def _line(place: int) -> dict[str, Any]:
    """Return how the lines of one place in a group look."""
    style = "--" if place == 4 else "-"  # the last one lies above the others
    look = {"color": COLOURS[place], "marker": MARKERS[place], "linestyle": style}
    return look | {"markersize": 4.5, "linewidth": 1.1}


def _save(figure: Figure, path: Path) -> None:
    """Write a PNG of few colours, which is a small one."""
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=80)
        Image.open(temporary).convert("RGB").quantize(256).save(temporary, optimize=True)


def _contours(axes: Axes, landscape: str) -> None:
    """Draw lines of equal value, the start and the minimum."""
    left, right, below, above = LANDSCAPES[landscape].window
    x, y = np.meshgrid(np.linspace(left, right, 300), np.linspace(below, above, 300))
    heights = values(landscape, np.stack([x, y], axis=-1))
    levels = np.geomspace(max(heights.min(), heights.max() / 1e5), heights.max(), 14)
    axes.contour(x, y, heights, levels, colors="0.75", linewidths=0.8)
    axes.plot(*LANDSCAPES[landscape].start, "ko", markersize=7, zorder=3)
    axes.plot(
        *LANDSCAPES[landscape].minimum, "k*", markersize=15, markeredgecolor="white", zorder=4
    )
    axes.set(xlim=(left, right), ylim=(below, above))


def sweep(landscape: str) -> dict[str, np.ndarray]:
    """Return the value after some steps of Keras' optimizers, for each learning rate."""
    return {
        method: values(landscape, np.stack(by_keras(landscape, method, list(RATES), SWEPT)))[:, -1]
        for method in OPTIMIZERS
    }


def draw_rates(found: dict[str, dict[str, np.ndarray]], path: Path) -> None:
    """Draw a panel for each landscape; what diverged stands at the upper edge."""
    figure = Figure(figsize=(14, 4), layout="constrained")
    lowest, highest = 1e-16, 1e6
    panels = figure.subplots(1, len(found), sharey=True)
    for axes, (landscape, ends) in zip(panels, found.items(), strict=True):
        for place, (method, end) in enumerate(ends.items()):
            axes.plot(RATES, end.clip(lowest, highest), **_line(place), label=method)
        start = values(landscape, np.array(LANDSCAPES[landscape].start))
        axes.axhline(start, color="0.3", linewidth=1, linestyle=":", label="at the start")
        axes.set(xscale="log", yscale="log", xlabel="learning rate", title=landscape)
        axes.grid(alpha=0.3)
    panels[0].axvline(2 / CONDITION, color="0.3", linewidth=1, linestyle="--", label="2/L")
    panels[0].set_ylabel(f"value after {SWEPT} steps")
    panels[0].legend(fontsize=8, loc="lower left")
    _save(figure, path)


def main() -> None:
    """Go all ways, draw them, and write down how they ended."""
    found = {landscape: courses(landscape) for landscape in LANDSCAPES}
    with whole_file(RESULTS / "landscapes.csv") as temporary:
        table(found).to_csv(temporary, index=False, float_format="%.3g")
    print(table(found).to_string(index=False))
    draw(found, DOCS / "landscapes.png")
    rates = {landscape: sweep(landscape) for landscape in LANDSCAPES}
    draw_rates(rates, DOCS / "learning_rates.png")


if __name__ == "__main__":
    main()
