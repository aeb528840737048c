"""What chooses the next trial: KerasTuner's oracles and ours, with files that survive a kill."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import TrialStatus

from recipes.tuning.gaussian_process import GaussianProcessOracle
from zoo.files import whole_file

RUNNING = TrialStatus.RUNNING


class Durable:
    """Has an oracle write whole files, and take up again what a kill left between two of them."""

    def save(self) -> None:
        """Keep the oracle's state."""
        with whole_file(Path(self._get_oracle_fname())) as temporary:  # type: ignore[attr-defined]
            super(keras_tuner.Oracle, self).save(str(temporary))  # type: ignore[misc]

    def _save_trial(self, trial: Any) -> None:
        folder = Path(self._get_trial_dir(trial.trial_id))  # type: ignore[attr-defined]
        with whole_file(folder / "trial.json") as temporary:
            trial.save(str(temporary))

    def reload(self) -> None:
        """Read the state; trials that were under way are run again."""
        super().reload()  # type: ignore[misc]
        own: Any = self
        # KerasTuner says what it is at before it has noted the end of that, and would do it again;
        # and killed between its two files, it would never do what stands in one of them alone.
        under_way = sorted(name for name, trial in own.trials.items() if trial.status == RUNNING)
        own._retry_queue = under_way[::-1]  # its end is served first
        own.start_order += [name for name in under_way if name not in own.start_order]
        own.trials = dict(sorted(own.trials.items()))


def first_bracket(epochs: int) -> int:
    """Return the trials of Hyperband's first bracket, at whose end one has had all epochs."""
    oracle = keras_tuner.oracles.HyperbandOracle(max_epochs=epochs)
    bracket = oracle._get_num_brackets() - 1
    return sum(
        oracle._get_size(bracket, number) for number in range(oracle._get_num_rounds(bracket))
    )


def grid_size(space: keras_tuner.HyperParameters) -> int:
    """Return the number of configurations of a grid; a range counts as its ten values, or fewer."""

    def count(place: int, values: dict[str, Any]) -> int:
        if place == len(space.space):
            return 1
        this = space.space[place]
        if not all(condition.is_active(values) for condition in this.conditions):
            return count(place + 1, values)
        if not any(c.name == this.name for other in space.space for c in other.conditions):
            return len(list(this.values)) * count(place + 1, values)
        return sum(count(place + 1, values | {this.name: value}) for value in this.values)

    return count(0, {})


class _Random(Durable, keras_tuner.oracles.RandomSearchOracle):
    pass


class _Grid(Durable, keras_tuner.oracles.GridSearchOracle):
    def reload(self) -> None:
        """Read the state, and find the place in the grid again: KerasTuner forgets it."""
        super().reload()
        for name in self.start_order:  # the grid's own order, since nothing is added to the space
            self._ordered_ids.insert(name)
        self._populate_next = list(self.start_order)


class _Hyperband(Durable, keras_tuner.oracles.HyperbandOracle):
    pass


class _Bayesian(Durable, GaussianProcessOracle):
    pass


def _hyperband(epochs: int, max_trials: int, **arguments: Any) -> keras_tuner.Oracle:
    # Brackets follow each other until there have been so many trials.
    oracle = _Hyperband(max_epochs=epochs, hyperband_iterations=0, **arguments)
    oracle.max_trials = max_trials
    return oracle


def _plain(kind: type[Any]) -> Callable[..., keras_tuner.Oracle]:
    def made(epochs: int, **arguments: Any) -> keras_tuner.Oracle:
        return kind(**arguments)

    return made


ORACLES: dict[str, Callable[..., keras_tuner.Oracle]] = {
    "random": _plain(_Random),
    "grid": _plain(_Grid),
    "hyperband": _hyperband,
    "bayesian": _plain(_Bayesian),
}


def oracle(
    tuner: str,
    objective: keras_tuner.Objective,
    space: keras_tuner.HyperParameters,
    max_trials: int,
    epochs: int,
    seed: int,
) -> keras_tuner.Oracle:
    """Return a fresh oracle.

    Args:
        tuner: one of `ORACLES`.
        objective: name and direction.
        space: what it searches; nothing is added to it.
        max_trials: the most that there will be.
        epochs: of a whole training, which Hyperband gives to the best alone.
        seed: of what is drawn.
    """
    return ORACLES[tuner](
        epochs,
        objective=objective,
        max_trials=max_trials,
        hyperparameters=space,
        allow_new_entries=False,
        tune_new_entries=False,
        seed=seed + 1,  # KerasTuner takes 0 for none
        max_consecutive_failed_trials=max_trials + 1,  # a failed trial is named, and no end
    )
