"""First- and second-order methods on logistic regression: how near to the minimum, and how soon.

    python benchmarks/optimizers.py [--tasks NAME ...]

Two convex problems with the same penalty on the kernel: breast cancer (30 standardized features),
and the digits 3 and 8 of MNIST (784 pixels). Keras' optimizers take batches of 64 by `fit`; the
methods of `recipes.minimize` see all examples at once, in float64. Loss and gradient norm are those
of all examples, measured outside of the time.

Writes a row for each pass or iteration to `benchmarks/results/optimizers.csv`, and draws them in
`optimizers.png`:

- `task`, `method`, `iteration` (an epoch of `fit`);
- `passes` over the data: of the loss with its gradient, or of a Hessian-vector product;
- `seconds`, tracing included; `excess`: of the loss over the least that any method found;
- `loss`, `gradient_norm`; `hardware`.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure

import zoo
from recipes import load_data, minimize
from recipes.folder import hardware
from recipes.objective import Objective
from recipes.recipe import made_optimizer
from zoo.files import whole_file
from zoo.surgery import with_precision

RESULTS = Path(__file__).parent / "results"
L2, BATCH, EPOCHS, ITERATIONS = 1e-3, 64, 30, 100
LOSS = "categorical_crossentropy"
FIRST_ORDER: dict[str, tuple[str, dict[str, float]]] = {
    "SGD": ("sgd", {"learning_rate": 0.1, "momentum": 0.0}),
    "momentum": ("sgd", {"learning_rate": 0.1, "momentum": 0.9}),
    "Adagrad": ("adagrad", {"learning_rate": 0.1}),
    "RMSprop": ("rmsprop", {"learning_rate": 0.01}),
    "Adam": ("adam", {"learning_rate": 0.01}),
}
WHOLE = (
    "gradient-descent", "conjugate-gradient", "bfgs", "l-bfgs", "newton", "newton-cg",
    "natural-gradient",
)  # fmt: skip
Pair = tuple[np.ndarray, np.ndarray]


def cancer() -> Pair:
    """Return standardized features and classes."""
    data = load_data("breast_cancer").train
    return (data.inputs - data.inputs.mean(axis=0)) / data.inputs.std(axis=0), data.targets


def digits() -> Pair:
    """Return the pixels of threes and eights in 0…1, and which is an eight."""
    data = load_data("mnist").train
    chosen = np.isin(data.targets, (3, 8))
    pixels = data.inputs[chosen].reshape(chosen.sum(), -1) / 255
    return pixels.astype("float32"), (data.targets[chosen] == 8).astype("int64")


TASKS: dict[str, Callable[[], Pair]] = {"breast cancer": cancer, "3 or 8": digits}


def beginning(features: int) -> keras.Model:
    """Return a logistic regression that knows nothing."""
    model = zoo.build("logistic", input_shape=(features,))
    for weight in model.trainable_weights:
        weight.assign(np.zeros(weight.shape))
    return model


def by_minimize(method: str, data: Pair) -> pd.DataFrame:
    """Return the course of a method that sees all examples at once."""
    history = minimize(
        beginning(data[0].shape[1]), LOSS, data, method=method, l2=L2, precision="float64",
        iterations=ITERATIONS, gradient_tolerance=1e-10,
    )  # fmt: skip
    return pd.DataFrame(history.history).assign(iteration=history.epoch)


def by_fit(name: str, data: Pair) -> pd.DataFrame:
    """Return the course of one of Keras' optimizers on small batches."""
    optimizer, settings = FIRST_ORDER[name]
    model = beginning(data[0].shape[1])
    measured = Objective(with_precision(model, "float64"), LOSS, data, l2=L2)
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            layer.kernel.regularizer = keras.regularizers.L2(L2 / 2)
    keras.utils.set_random_seed(0)
    model.compile(made_optimizer(optimizer, dict(settings)), LOSS, jit_compile=False)
    rows: list[dict[str, Any]] = []
    seconds, targets = 0.0, np.eye(2)[data[1]]

    def note(passes: int) -> None:
        weights = np.concatenate([np.asarray(w).ravel() for w in model.trainable_weights])
        value, gradient = measured.value_and_gradient(weights.astype("float64"))
        norm = float(np.linalg.norm(gradient))
        rows.append({"loss": value, "gradient_norm": norm, "passes": passes, "seconds": seconds})

    note(0)
    for epoch in range(1, EPOCHS + 1):
        started = time.perf_counter()
        model.fit(data[0], targets, batch_size=BATCH, verbose=0)
        seconds += time.perf_counter() - started
        note(epoch)
    return pd.DataFrame(rows).assign(iteration=range(EPOCHS + 1))


def plot(table: pd.DataFrame, path: Path) -> None:
    """Draw loss and gradient norm over passes and over seconds, a row for each task."""
    tasks = list(dict.fromkeys(table["task"]))
    figure = Figure(figsize=(16, 4 * len(tasks)), layout="constrained")
    rows = figure.subplots(len(tasks), 4, squeeze=False)
    panels = [(y, x) for y in ("excess", "gradient_norm") for x in ("passes", "seconds")]
    for row, task in zip(rows, tasks, strict=True):
        for axes, (y, x) in zip(row, panels, strict=True):
            courses = table[table["task"] == task].groupby("method", sort=False)
            for colour, (method, course) in enumerate(courses):
                dash = "--" if method in FIRST_ORDER else "-"
                axes.plot(
                    course[x], course[y].clip(lower=1e-14), dash, label=method,
                    color=colormaps["tab20"](colour),
                )  # fmt: skip
            axes.set(xlabel=x, ylabel=y.replace("_", " "), title=task, yscale="log")
            axes.set_xscale("symlog", linthresh=1 if x == "passes" else 0.1)
            axes.set_xlim(left=0)
            axes.grid(alpha=0.3)
    handles, labels = rows[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=9)
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=110)


def main() -> None:
    """Let every method go, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    options = parser.parse_args()
    parts = []
    for task in options.tasks:
        data = TASKS[task]()
        ways = [*((by_fit, name) for name in FIRST_ORDER), *((by_minimize, name) for name in WHOLE)]
        courses = []
        for way, name in ways:
            courses.append(way(name, data).assign(task=task, method=name))
            print(task, name, courses[-1].iloc[-1].to_dict(), flush=True)
        found = pd.concat(courses, ignore_index=True)
        parts.append(found.assign(excess=found["loss"] - found["loss"].min()))
    table = pd.concat(parts, ignore_index=True).assign(hardware=hardware())
    with whole_file(RESULTS / "optimizers.csv") as temporary:
        table.to_csv(temporary, index=False)
    plot(table, RESULTS / "optimizers.png")


if __name__ == "__main__":
    main()
