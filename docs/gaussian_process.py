"""A Gaussian process in search of a minimum: what it believes, and where it looks next.

    python docs/gaussian_process.py

draws `docs/gaussian_process.png`: the search of `recipes.tuning` on three functions of one variable
(appendix C of the book). Above, the function, the measurements, and the posterior with two standard
deviations; below, the three acquisitions, each scaled to its maximum, and where each would measure
next.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from recipes.tuning.gaussian_process import ACQUISITIONS, Surrogate
from zoo.files import whole_file

# Name -> a function on 0…1, to be minimized.
FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "two valleys": lambda x: np.sin(9 * x) + 0.6 * x,
    "narrow valley": lambda x: 0.5 * (x - 0.3) ** 2 - np.exp(-(((x - 0.75) / 0.08) ** 2)),
    "a step": lambda x: np.tanh(12 * (0.55 - x)) + 2 * (x - 0.5) ** 2,
}
STEPS = (4, 6, 10)  # measurements that each column has
GRID = np.linspace(0, 1, 401)
_NAMES = {"ei": "expected improvement", "ucb": "confidence bound", "pi": "probability"}
_COLOURS = {"ei": "#D55E00", "ucb": "#009E73", "pi": "#CC79A7"}


def measured(function: Callable[[np.ndarray], np.ndarray], count: int) -> np.ndarray:
    """Return where a search by expected improvement measures, from three first places on."""
    places = [0.1, 0.5, 0.9]
    while len(places) < count:
        promise = promises(function, np.array(places))["ei"]
        fresh = np.min(np.abs(GRID[:, None] - places), axis=1) > 1e-3
        places.append(float(GRID[np.argmax(np.where(fresh, promise, -np.inf))]))
    return np.array(places)


def promises(
    function: Callable[[np.ndarray], np.ndarray], places: np.ndarray
) -> dict[str, np.ndarray]:
    """Return each acquisition on the grid after measuring at some places."""
    surrogate = Surrogate().fit(places[:, None], function(places))
    mean, deviation = surrogate.predict(GRID[:, None])
    best = float(surrogate.predict(places[:, None])[0].min())
    return {name: promise(mean, deviation, best) for name, promise in ACQUISITIONS.items()}


def main() -> None:
    """Draw all functions after each number of measurements."""
    figure = Figure(figsize=(12, 13), layout="constrained")
    axes = figure.subplots(
        2 * len(FUNCTIONS), len(STEPS), sharex=True, height_ratios=[2, 1] * len(FUNCTIONS)
    )
    for row, (name, function) in enumerate(FUNCTIONS.items()):
        for column, count in enumerate(STEPS):
            above, below = axes[2 * row, column], axes[2 * row + 1, column]
            places = measured(function, count)
            surrogate = Surrogate().fit(places[:, None], function(places))
            mean, deviation = surrogate.predict(GRID[:, None])
            above.fill_between(
                GRID, mean - 2 * deviation, mean + 2 * deviation, color="#56B4E9", alpha=0.3,
                label="two deviations",
            )  # fmt: skip
            above.plot(GRID, function(GRID), "k--", linewidth=1, label="function")
            above.plot(GRID, mean, color="#0072B2", label="mean")
            above.plot(places, function(places), "ko", markersize=5, label="measured")
            above.set_title(f"{name}, {count} measurements", fontsize=10)
            for kind, promise in promises(function, places).items():
                scaled = (promise - promise.min()) / np.ptp(promise)
                below.plot(GRID, scaled, color=_COLOURS[kind], label=_NAMES[kind], linewidth=1.2)
                below.axvline(GRID[promise.argmax()], color=_COLOURS[kind], linestyle=":")
            below.set_yticks([])
    above, below = (axes[place, 0].get_legend_handles_labels() for place in (0, 1))
    handles, labels = (one + other for one, other in zip(above, below, strict=True))
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=9)
    with whole_file(Path(__file__).with_suffix(".png")) as temporary:
        figure.savefig(temporary, dpi=90)


if __name__ == "__main__":
    main()
