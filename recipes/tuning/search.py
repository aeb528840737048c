"""The folder of a search: what was searched and how, its trials, and what came out best.

| file | content |
|---|---|
| `config.json`, `.config.sha256` | recipe, space, tuner, objective, versions, command; their hash |
| `trials/` | KerasTuner's state, and for each trial its recipe, history and outcome |
| `trials.csv` | one row for each trial |
| `best_so_far.png`, `parallel_coordinates.png` | the course of the search, and what it tells |
| `best.json` | the best configuration as a recipe |
| `best/` | its run, trained anew and measured on the test split |
| `best-before/` | that of an earlier best, until the new one is trained |
| `worker-N.log` | what each of several workers said |
| `.lock` | held by the process that is at it |
"""

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from recipes.folder import Folder, command, commit, versions, write_json
from recipes.tuning.kinds import KINDS, AnyRecipe, kind_of
from recipes.tuning.report import plot_coordinates, plot_progress, ranked, write_table
from recipes.tuning.space import applied, parameter, said
from recipes.tuning.trials import was_asked
from recipes.tuning.tuner import Outcome, outcomes
from zoo.cards import Frozen
from zoo.errors import CheckFailed, InputError
from zoo.files import refuse_taken, whole_file
from zoo.spaces import Parameter

_HASH = ".config.sha256"


class SearchConfig(Frozen, frozen=True):
    """What a search was started with.

    Attributes:
        kind: of the recipe, one of `recipes.tuning.kinds.KINDS`.
        recipe: that the values go into.
        space: name of a parameter -> where it lies, as `parameter` reads it.
        tuner: name of what chooses.
        max_trials: the most trials.
        executions: trainings of each configuration.
        objective: name of the validation figure.
        direction: "min" or "max".
        seed: of what is drawn.
        fingerprint: of the data.
        command: the command line that started it.
        versions: of Python and the packages that compute.
        commit: of the source tree, as it was then.
    """

    kind: str
    recipe: dict[str, Any]
    space: dict[str, str]
    tuner: str
    max_trials: int
    executions: int
    objective: str
    direction: str
    seed: int
    fingerprint: str
    command: str
    versions: dict[str, str]
    commit: str = ""


class Search(Folder[SearchConfig]):
    """A search over configurations, and what came of it; `recipes.tune` makes one.

    Example:
        >>> import tempfile
        >>> from recipes import Recipe, tune
        >>> recipe = Recipe(model="softmax", data="iris", epochs=2, batch_size=16)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     search = tune(recipe, out=f"{folder}/search", tuner="random", max_trials=2,
        ...                   space={"learning_rate": (1e-3, 1e-1, "log")})
        ...     len(search.outcomes), search.best.learning_rate > 1e-3
        (2, True)
    """

    config_type = SearchConfig
    what = "search"

    @classmethod
    def create(
        cls, path: Path, recipe: AnyRecipe, space: dict[str, Parameter], **facts: Any
    ) -> "Search":
        """Make the folder of a new search.

        Raises:
            InputError: the folder exists and is not empty, or cannot be written.
        """
        refuse_taken(path)
        config = SearchConfig(
            kind=kind_of(recipe),
            recipe=msgspec.to_builtins(recipe),
            space={name: said(this) for name, this in space.items()},
            command=command(),
            versions=versions("keras-tuner", "scikit-learn"),
            commit=commit(),
            **facts,
        )
        path.mkdir(parents=True, exist_ok=True)
        with whole_file(path / _HASH) as temporary:  # first: without a config it is no search
            temporary.write_text(_hash_of(config))
        write_json(path / "config.json", config)
        return cls(path)

    def check_whole(self) -> None:
        """Refuse a search that could not go on as it was begun.

        Raises:
            InputError: names the file that was changed or is missing.
        """
        cure = f"restore it, or begin another search; the trials of {self.path} can still be read."
        config, seal = self.path / "config.json", self.path / _HASH
        if not seal.is_file():
            raise InputError(f"{seal} is missing: {cure}")
        if _hash_of(self.config) != seal.read_text():
            raise InputError(f"{config} was changed since the search began: {cure}")
        if not (self.path / "trials.csv").is_file() and not any(self.trials.glob("trial_*")):
            return  # ended before its first trial
        for name in ("oracle.json", "tuner0.json"):
            _read(self.trials / name, cure)
        for number in _read(self.trials / "oracle.json", cure).get("start_order", []):
            _read(self.trials / f"trial_{number}" / "trial.json", cure)

    @cached_property
    def recipe(self) -> AnyRecipe:
        """What the values go into."""
        try:
            return msgspec.convert(self.config.recipe, KINDS[self.config.kind][0])
        except (KeyError, msgspec.ValidationError) as error:
            raise InputError(f"{self.path / 'config.json'} is damaged: {error}") from None

    @property
    def space(self) -> dict[str, Parameter]:
        """What is searched."""
        found = {name: parameter(name, text) for name, text in self.config.space.items()}
        return found  # type: ignore[return-value]  # lists are taken apart before

    @property
    def trials(self) -> Path:
        """Folder of the trials."""
        return self.path / "trials"

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """How the trials ended, by their numbers."""
        found = outcomes(self.trials)
        return {name: found[name] for name in sorted(found, key=int)}

    @property
    def ranked(self) -> list[str]:
        """Numbers of the trials that are done, the best first."""
        return ranked(self.outcomes, self.config.objective, self.config.direction)

    @property
    def best(self) -> AnyRecipe:
        """The recipe of the best trial.

        Raises:
            CheckFailed: no trial is done.
        """
        found, ended = self.ranked, self.outcomes
        if not found:
            why = [outcome.message for outcome in ended.values() if outcome.message]
            raise CheckFailed(
                f"none of the {len(ended)} trials of {self.path} came to a figure. "
                + (f"The last one: {why[-1]}" if why else "Resume the search.")
            )
        return applied(self.recipe, ended[found[0]].values)

    @property
    def begun(self) -> bool:
        """Whether the best configuration is being trained anew, or has been."""
        return (self.path / "best" / "config.json").is_file()

    @property
    def finished(self) -> bool:
        """Whether the best configuration has been trained anew, and is the best still."""
        place = self.path / "best"
        return bool(
            self.begun and self.ranked and was_asked(place, self.best) and self.run.finished
        )

    def extend(self, max_trials: int) -> None:
        """Make room for more trials."""
        self.config = msgspec.structs.replace(self.config, max_trials=max_trials)
        write_json(self.path / "config.json", self.config)

    @property
    def run(self) -> Folder[Any]:
        """The run of the best configuration, trained anew.

        Raises:
            InputError: there is none.
        """
        return KINDS[self.config.kind][1].run_type(self.path / "best")

    def report(self) -> None:
        """Write the table of the trials, the pictures, and the best recipe."""
        ended = self.outcomes
        objective, direction = self.config.objective, self.config.direction
        if not ended:
            raise InputError(f"{self.path} holds no trial that has ended.")
        write_table(ended, self.space, self.path / "trials.csv")
        if self.ranked:
            plot_progress(ended, objective, direction, self.path / "best_so_far.png")
            picture = self.path / "parallel_coordinates.png"
            plot_coordinates(ended, self.space, objective, direction, picture)
            best = {k: v for k, v in msgspec.to_builtins(self.best).items() if k != "reference"}
            write_json(self.path / "best.json", best)


def _hash_of(config: SearchConfig) -> str:
    """Return the SHA-256 of what a search was started with; the number of trials may grow."""
    started = msgspec.structs.replace(config, max_trials=0)
    return hashlib.sha256(msgspec.json.encode(started)).hexdigest()


def _read(path: Path, cure: str) -> dict[str, Any]:
    """Return one of KerasTuner's files."""
    try:
        return dict(json.loads(path.read_bytes()))  # Python's own reads infinity, too
    except FileNotFoundError:
        raise InputError(f"{path} is missing: {cure}") from None
    except (OSError, ValueError, TypeError):
        raise InputError(f"{path} is damaged: {cure}") from None
