"""How soon a search finds what a table of 2,000 trainings holds: ours, KerasTuner's, Optuna's.

    python benchmarks/tuning.py [CONTENDER ...]

Every contender searches `benchmarks/results/tuning_table.csv` for the lowest validation loss, with
20 seeds; `benchmarks/results/tuning.csv` has the best loss after 10, 20, 40 (and 60) trainings. The
numbers of the grid are in order to all of them, and the activation is a choice. Hyperband stops
most of its trials early: its trainings are counted by their epochs.
"""

import contextlib
import io
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import keras_tuner
import optuna
import pandas as pd
from tuning_table import EPOCHS, GRID

from recipes.folder import hardware
from recipes.tuning.gaussian_process import GaussianProcessOracle
from zoo.files import whole_file

FOLDER = Path(__file__).with_name("results")
RESULTS = FOLDER / "tuning.csv"
SEEDS = range(20)
COUNTS = (10, 20, 40, 60)
_WHOLE = EPOCHS[-1]

Trial = tuple[float, int]  # loss, epochs


@cache
def table() -> pd.DataFrame:
    """Return the table, indexed by its configurations."""
    return pd.read_csv(FOLDER / "tuning_table.csv").set_index(list(GRID)).sort_index()


def loss(values: dict[str, Any], epochs: int = _WHOLE) -> float:
    """Return the validation loss of a configuration; of the epochs in the table, the next above."""
    column = next(known for known in EPOCHS if known >= epochs)
    return float(table().loc[tuple(values[name] for name in GRID), f"val_loss_{column}"])


def _space() -> keras_tuner.HyperParameters:
    space = keras_tuner.HyperParameters()
    for name, values in GRID.items():
        space.Choice(name, list(values))
    return space


def _asked(make: Callable[..., keras_tuner.Oracle]) -> Callable[[int, int], Iterator[Trial]]:
    """Return what searches by an oracle of KerasTuner."""

    def search(seed: int, trials: int) -> Iterator[Trial]:
        oracle = make(objective=keras_tuner.Objective("val_loss", "min"), hyperparameters=_space(),
                      seed=seed + 1)  # fmt: skip
        oracle.verbose = 0
        with tempfile.TemporaryDirectory() as folder:
            oracle._set_project_dir(folder, "search")
            while True:
                trial = oracle.create_trial("one")
                if trial.status != "RUNNING":
                    return
                values = dict(trial.hyperparameters.values)
                epochs = values.pop("tuner/epochs", _WHOLE)
                found = loss(values, epochs)
                oracle.update_trial(trial.trial_id, {"val_loss": found})
                trial.status = "COMPLETED"
                oracle.end_trial(trial)
                yield found, epochs - values.get("tuner/initial_epoch", 0)

    return search


def _of_optuna(seed: int, trials: int) -> Iterator[Trial]:
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    while True:
        trial = study.ask()
        values = {}
        for name, known in GRID.items():
            if isinstance(known[0], str):
                values[name] = trial.suggest_categorical(name, known)
            else:
                values[name] = known[trial.suggest_int(name, 0, len(known) - 1)]
        found = loss(values)
        study.tell(trial, found)
        yield found, _WHOLE


def _ours(**options: Any) -> Callable[[int, int], Iterator[Trial]]:
    def make(**arguments: Any) -> keras_tuner.Oracle:
        return GaussianProcessOracle(**options, **arguments)

    return _asked(make)


CONTENDERS: dict[str, Callable[[int, int], Iterator[Trial]]] = {
    "random": _asked(lambda **a: keras_tuner.oracles.RandomSearchOracle(max_trials=100, **a)),
    "Hyperband (KerasTuner)": _asked(
        lambda **a: keras_tuner.oracles.HyperbandOracle(
            max_epochs=_WHOLE, hyperband_iterations=0, **a
        )
    ),
    "Gaussian process (KerasTuner)": _asked(
        lambda **a: keras_tuner.oracles.BayesianOptimizationOracle(max_trials=100, **a)
    ),
    "TPE (Optuna)": _of_optuna,
    "Gaussian process (ours)": _ours(),
    "Gaussian process (ours, UCB)": _ours(acquisition="ucb"),
    "Gaussian process (ours, PI)": _ours(acquisition="pi"),
    "Gaussian process (ours, RBF)": _ours(kernel="rbf"),
}
_LONG = ("random",)  # those that are followed to the last of `COUNTS`


def searched(contender: str, seed: int) -> dict[str, Any]:
    """Return the row of a search."""
    most = COUNTS[-1] if contender in _LONG else COUNTS[-2]
    started, spent, best = time.perf_counter(), 0, float("inf")
    after: dict[int, float] = {}
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for found, epochs in CONTENDERS[contender](seed, most):
            spent += epochs
            reached = [n for n in COUNTS if n <= most and n not in after and spent > n * _WHOLE]
            after |= dict.fromkeys(reached, best)  # the trial that went over is not counted
            best = min(best, found)
            after |= {n: best for n in COUNTS if n <= most and spent == n * _WHOLE}
            if spent >= most * _WHOLE:
                break
    row: dict[str, Any] = {"contender": contender, "seed": seed}
    row |= {f"best_{n}": after.get(n, best) if n <= most else "" for n in COUNTS}
    return row | {"seconds": round(time.perf_counter() - started, 2), "hardware": hardware()}


def main(contenders: list[str]) -> None:
    """Search with every contender that was named, and keep its rows."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for contender in contenders or CONTENDERS:
        rows = [searched(contender, seed) for seed in SEEDS]
        known = pd.read_csv(RESULTS) if RESULTS.is_file() else pd.DataFrame()
        if len(known):
            known = known[known["contender"] != contender]
        frame = pd.concat([known, pd.DataFrame(rows)], ignore_index=True)
        with whole_file(RESULTS) as temporary:
            frame.to_csv(temporary, index=False)
        found = pd.DataFrame(rows).filter(like="best_").apply(pd.to_numeric).mean()
        print(contender, found.round(4).to_dict(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
