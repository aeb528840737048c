"""KerasTuner's loop over trials, with ours in it: failures are named, and a kill loses no epoch."""

import errno
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras_tuner
import msgspec
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import TrialStatus

from recipes.folder import write_json
from recipes.tuning.space import applied
from recipes.tuning.trials import Figures, Trials, forget
from zoo.errors import CheckFailed

OUTCOME = "outcome.json"
_OWN = "tuner/"  # what Hyperband adds to a trial's values
_BEFORE, _UNTIL = f"{_OWN}trial_id", f"{_OWN}epochs"

DONE, PRUNED, FAILED = "done", "pruned", "failed"


class Outcome(msgspec.Struct):
    """How a trial ended.

    Attributes:
        status: "done"; "pruned", where the loss became no number; or "failed".
        values: of its parameters.
        figures: validation figures, means over its executions.
        epochs: number of epochs that it has had, of one execution.
        seconds: time spent in it, all executions together.
        message: why it was pruned or failed.
    """

    status: str
    values: dict[str, Any]
    figures: dict[str, float] = {}
    epochs: int = 0
    seconds: float = 0.0
    message: str = ""


class Tuner(BaseTuner):
    """Runs the trials that an oracle asks for.

    Args:
        oracle: one of `recipes.tuning.oracles`, or where another process has it, the like of it.
        folder: that the trials are kept in.
        trials: what is trained.
        executions: trainings of each configuration, with seeds one after another.
        ended: called after each trial with its number and outcome.
    """

    def __init__(
        self,
        oracle: keras_tuner.Oracle,
        folder: Path,
        trials: Trials[Any, Any],
        executions: int,
        ended: Callable[[str, Outcome], None],
    ) -> None:
        oracle.verbose = 0
        super().__init__(oracle, directory=folder.parent, project_name=folder.name)
        self.trials, self.executions, self.ended = trials, executions, ended
        # An earlier round's trial goes on in Hyperband; elsewhere nothing is needed of one.
        self.goes_on = isinstance(oracle, keras_tuner.oracles.HyperbandOracle)
        self.save()  # KerasTuner would not until a trial has ended, and then begin anew

    def _try_run_and_update_trial(self, trial: Any, *arguments: Any, **options: Any) -> None:
        """Run a trial; KerasTuner would print where one failed, and retry it."""
        try:
            self._run_and_update_trial(trial, *arguments, **options)
            trial.status = TrialStatus.COMPLETED
        except keras_tuner.errors.FailedTrialError as error:
            trial.status, trial.message = TrialStatus.FAILED, str(error)

    def run_trial(self, trial: Any, *arguments: Any, **options: Any) -> list[dict[str, float]]:
        """Train a configuration, and return the validation figures of each execution."""
        folder, started = Path(self.get_trial_dir(trial.trial_id)), time.perf_counter()
        every = dict(trial.hyperparameters.values)
        values = {name: value for name, value in every.items() if not name.startswith(_OWN)}
        try:
            found = self._trained(folder, values, every.get(_UNTIL), every.get(_BEFORE))
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise keras_tuner.errors.FatalError(f"the disk is full: {error}") from error
            status = PRUNED if isinstance(error, CheckFailed) else FAILED
            message = str(error).strip().split("\n")[0] or type(error).__name__
            outcome = Outcome(status, values, message=message)
            outcome.seconds = round(time.perf_counter() - started, 2)
            self._end(trial.trial_id, folder, outcome)
            raise keras_tuner.errors.FailedTrialError(message) from error
        mean = {
            name: sum(figures.best[name] for figures in found) / len(found)
            for name in found[0].best
        }
        seconds = round(sum(figures.seconds for figures in found), 2)
        outcome = Outcome(DONE, values, mean, found[0].epochs, seconds)
        self._end(trial.trial_id, folder, outcome)
        return [figures.best for figures in found]

    def _trained(
        self, folder: Path, values: dict[str, Any], until: int | None, before: str | None
    ) -> list[Figures]:
        recipe = applied(self.trials.recipe, values)
        earlier = Path(self.get_trial_dir(before)) if before else None
        return [
            self.trials.learn(
                msgspec.structs.replace(recipe, seed=recipe.seed + number),
                folder / f"execution-{number}",
                until,
                earlier / f"execution-{number}" if earlier else None,
            )
            for number in range(self.executions)
        ]

    def _end(self, name: str, folder: Path, outcome: Outcome) -> None:
        write_json(folder / OUTCOME, outcome)
        for run in folder.glob("execution-*"):
            if run.is_dir() and not (self.goes_on and outcome.status == DONE):
                forget(run)
        self.ended(name, outcome)


def outcomes(folder: Path) -> dict[str, Outcome]:
    """Return how the trials in a folder ended, by their numbers."""
    found = {}
    for path in sorted(folder.glob(f"trial_*/{OUTCOME}")):
        with suppress(msgspec.DecodeError):
            outcome = msgspec.json.decode(path.read_bytes(), type=Outcome)
            found[path.parent.name.removeprefix("trial_")] = outcome
    return found
