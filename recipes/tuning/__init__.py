"""Search over what a recipe and its architectures leave open: random, grid, Hyperband, Bayes.

KerasTuner runs it; its Bayesian search is ours (see `recipes.tuning.gaussian_process`).
"""

import contextlib
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras_tuner
import msgspec
from filelock import FileLock, Timeout

from recipes.data import Splits
from recipes.tuning.kinds import AnyRecipe, kind_of, recipe_of, trials_of
from recipes.tuning.oracles import ORACLES, first_bracket, grid_size, oracle
from recipes.tuning.search import Search
from recipes.tuning.space import (
    NESTED,
    applied,
    combined,
    drawn,
    hyperparameters,
    with_fields,
)
from recipes.tuning.trials import Trials, was_asked, write_asked
from recipes.tuning.tuner import Outcome, Tuner
from recipes.tuning.workers import follow_chief, is_worker, run_workers
from zoo.errors import CheckFailed, InputError
from zoo.files import refuse_taken
from zoo.registry import unknown
from zoo.spaces import Parameter

__all__ = ["Outcome", "PartOfGrid", "Search", "is_worker", "resume_tuning", "tune"]

_TRIED = 16  # configurations that are looked at before the first trial
_RESERVE = 64 << 20  # bytes that a search leaves free

Progress = Callable[[int, Outcome], None]


class PartOfGrid(UserWarning):
    """A grid search will not come to its end."""


def tune(
    recipe: AnyRecipe | str,
    data: Splits | None = None,
    *,
    out: str | os.PathLike[str],
    tuner: str = "bayesian",
    max_trials: int = 20,
    executions: int = 1,
    objective: str = "",
    space: Mapping[str, Any] | None = None,
    fixed: Mapping[str, Any] | None = None,
    seed: int = 0,
    workers: int = 1,
    retrain: bool = True,
    progress: Progress | None = None,
) -> Search:
    """Search for the configuration of a recipe that does best on its validation split.

    What is searched: what the architecture's builder leaves open (`zoo.spaces.search_space`), and
    of the recipe, the learning rate around its own, batch size, schedule, warm-up and weight decay,
    and for pictures augmentation; of adversaries, both rates, Adam's momentum, the average and
    penalties; of agents, the rate, the targets and the exploration. A trial never sees the test
    split, and plays no test episode; the best configuration is trained anew at the end, and
    measured on them once.

    Trials are compared by the figures of the weights that the recipe keeps (`Recipe.keep`), which
    are what its model has in the end.

    A trial whose loss is no number is ended there ("pruned"), and one that fails is named with its
    reason; neither ends the search. After an interruption, even by SIGKILL, `resume_tuning` goes on
    from the last epoch.

    Args:
        recipe: a `Recipe`, `recipes.adversarial.AdversarialRecipe` or
            `recipes.control.ControlRecipe`, or the name of a pretrained model, for its own recipe.
        data: `Splits` in place of what the recipe names; a resumed search must be given them again.
            An agent has none.
        out: folder of the search; see `recipes.tuning.search`.
        tuner: "random"; "grid", of which a range has ten values at most; "hyperband"
            (https://arxiv.org/abs/1603.06560), which gives all of the recipe's epochs or steps to
            the best alone; or "bayesian", by a Gaussian process.
        max_trials: the most trials.
        executions: trainings of each configuration, with seeds one after another; means count.
        objective: "val_loss", or where there is one "val_accuracy", which is the default then. Of
            adversaries "val_distance" (the default), "val_kernel_distance", "val_precision" or
            "val_recall", as in `recipes.scores`; of agents "val_return".
        space: name -> where it lies, over what is searched by default: a list of values, a tuple
            `(low, high)` or `(low, high, "log")`, an object of `zoo.spaces`, or a `str` as on the
            command line. Names are fields of the recipe, "augment.NAME" and "arguments.NAME" (of
            adversaries "generator_arguments.NAME" and "discriminator_arguments.NAME"); of an
            argument its name alone will do.
        fixed: fields of the recipe, and arguments of the builder, that are set and not searched.
        seed: of what is drawn; the trainings have the recipe's.
        workers: processes that run trials at the same time, on this machine.
        retrain: train the best configuration anew in the end.
        progress: called after each trial with the number of them and how it ended; not with
            several workers.

    Returns:
        The `Search`.

    Raises:
        InputError: a name, range or condition is wrong, the disk is too small, or `out` is taken;
            all of it before the first trial.
        CheckFailed: not one trial came to a figure.

    Warns:
        PartOfGrid: a grid has more configurations than there will be trials.

    Example:
        >>> import tempfile
        >>> from recipes import Recipe, tune
        >>> recipe = Recipe(model="mlp", data="iris", epochs=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     search = tune(recipe, out=f"{folder}/search", max_trials=2, retrain=False,
        ...                   space={"hidden": "4:16*1:2"}, fixed={"batch_size": 16})
        ...     sorted(outcome.status for outcome in search.outcomes.values())
        ['done', 'done']
    """
    path = Path(out)
    refuse_taken(path)
    recipe = recipe_of(recipe) if isinstance(recipe, str) else recipe
    kind_of(recipe)
    _check_counts(tuner, max_trials=max_trials, executions=executions, workers=workers)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InputError(f"seed is a whole number of 0 or more, not {seed!r}.")
    recipe, settled = _fixed(recipe, fixed or {})
    _check_workers(workers, data)
    trials = trials_of(recipe, data)
    name = objective or list(trials.objectives)[-1]
    if name not in trials.objectives:
        raise unknown(name, trials.objectives, "objective")
    searched = combined(trials.space, space or {}, settled, recipe)
    if tuner == "hyperband" and trials.budget in searched:
        raise InputError(f"hyperband chooses the {trials.budget} itself: they cannot be searched.")
    _check_tuner(tuner, searched, trials.rounds, max_trials)
    kept = max_trials if tuner == "hyperband" else workers
    _check_trials(trials, searched, path, kept * executions)
    search = Search.create(
        path,
        recipe,
        searched,
        tuner=tuner,
        max_trials=max_trials,
        executions=executions,
        objective=name,
        direction=trials.objectives[name],
        seed=seed,
        fingerprint=trials.fingerprint,
    )
    return _run(search, trials, workers, retrain, progress)


def resume_tuning(
    out: str | os.PathLike[str],
    data: Splits | None = None,
    *,
    max_trials: int | None = None,
    workers: int = 1,
    retrain: bool = True,
    progress: Progress | None = None,
) -> Search:
    """Go on with a search where it stopped; of a finished one, nothing is done again.

    Args:
        out: folder of the search.
        data: `Splits`, where the search was given them.
        max_trials: a larger number of trials than it was started with, to search on.
        workers: processes that run trials at the same time.
        retrain: train the best configuration anew in the end.
        progress: called after each trial with the number of them and how it ended.

    Raises:
        InputError: it is no search, it or its data has changed, or another process is at it.
        CheckFailed: not one trial came to a figure.

    Example:
        >>> import tempfile
        >>> from recipes import Recipe, resume_tuning, tune
        >>> recipe = Recipe(model="softmax", data="iris", epochs=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     out = f"{folder}/search"
        ...     search = tune(recipe, out=out, tuner="random", max_trials=1, retrain=False)
        ...     len(resume_tuning(out, max_trials=2, retrain=False).outcomes)
        2
    """
    follow_chief()
    search = Search(out)
    config = search.config
    _check_counts(config.tuner, workers=workers)
    if max_trials is not None and max_trials < config.max_trials:
        raise InputError(
            f"{search.path} has room for {config.max_trials} trials already: there can be more of "
            "them, and not fewer."
        )
    _check_workers(workers, data)
    trials = trials_of(search.recipe, data)
    if trials.fingerprint != config.fingerprint:
        raise InputError(f"the data is not what {search.path} was started with: it has changed.")
    if not is_worker():
        search.check_whole()
    if max_trials is not None and max_trials > config.max_trials:
        search.extend(max_trials)
    return _run(search, trials, workers, retrain, progress)


def _run(
    search: Search,
    trials: Trials[Any, Any],
    workers: int,
    retrain: bool,
    progress: Progress | None,
) -> Search:
    """Run the trials that are left, report, and train the best anew."""
    config = search.config

    def ended(number: str, outcome: Outcome) -> None:
        search.report()
        if progress:
            progress(int(number), outcome)

    asked = oracle(
        config.tuner,
        keras_tuner.Objective(config.objective, config.direction),
        hyperparameters(search.space),
        config.max_trials,
        trials.rounds,
        config.seed,
    )
    alone = workers == 1
    with _alone_at(search), Path(os.devnull).open("w") as nowhere:
        with contextlib.redirect_stdout(nowhere):  # KerasTuner prints what it sends to its workers
            told = ended if alone else _silent
            runner = Tuner(asked, search.trials, trials, config.executions, told)
            try:
                if alone:
                    runner.search()
                else:
                    run_workers(asked, workers, search.path)
            except keras_tuner.errors.FatalError as error:
                raise CheckFailed(f"{error}: make room, and resume {search.path}.") from error
        if is_worker():
            return search
        search.report()
        best = search.best  # also where it is not trained: that there is none is an error
        if retrain:
            _retrain(search, trials, best)
    return search


@contextlib.contextmanager
def _alone_at(search: Search) -> Iterator[None]:
    """Hold a search for this process and its workers; two would undo each other's trials.

    Raises:
        InputError: another process is at it.
    """
    if is_worker():
        yield
        return
    lock = FileLock(search.path / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(f"another process is at {search.path}: wait for it, or end it.") from None
    try:
        yield
    finally:
        lock.release()


def _retrain(search: Search, trials: Trials[Any, Any], best: AnyRecipe) -> None:
    """Train the best configuration anew, unless that was done; until then an earlier one stays."""
    place, before = search.path / "best", search.path / "best-before"
    if not was_asked(place, best):
        if search.begun and search.run.finished:
            shutil.rmtree(before, ignore_errors=True)
            place.rename(before)
        shutil.rmtree(place, ignore_errors=True)
        write_asked(place, best)
    trials.finish(best, place, search.begun)
    shutil.rmtree(before, ignore_errors=True)


def _silent(number: str, outcome: Outcome) -> None:
    """Say nothing: the process that asks does."""


def _fixed(recipe: AnyRecipe, fixed: Mapping[str, Any]) -> tuple[AnyRecipe, set[str]]:
    """Return a recipe with what is set, and the names of that."""
    changes, names = dict(fixed), set(fixed)
    for field in NESTED & names:
        own = getattr(recipe, field, None)
        if isinstance(own, dict) and isinstance(changes[field], Mapping):
            names |= {f"{field}.{key}" for key in changes[field]}
            if field != "augment":  # the other arguments are searched as ever
                changes[field] = own | dict(changes[field])
                names.discard(field)
    known = [field.name for field in msgspec.structs.fields(type(recipe))]
    for name in changes:
        if name not in known:
            raise unknown(name, known, "field of a recipe")
    return with_fields(recipe, changes), names


def _check_workers(workers: int, data: Splits | None) -> None:
    if data is not None and workers > 1:
        raise InputError("several workers read the data by its name: leave out data, or workers.")


def _check_counts(tuner: str, **counts: int) -> None:
    if tuner not in ORACLES:
        raise unknown(tuner, ORACLES, "tuner")
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise InputError(f"{name} is a whole number of 1 or more, not {count!r}.")


def _check_tuner(tuner: str, space: Mapping[str, Parameter], rounds: int, max_trials: int) -> None:
    """Refuse what would not come to what its name promises.

    Raises:
        InputError: Hyperband would end within its first bracket.

    Warns:
        PartOfGrid: a grid has more configurations than there will be trials.
    """
    if tuner == "hyperband" and max_trials < (least := first_bracket(rounds)):
        raise InputError(
            f"hyperband gives all of {rounds} epochs (of an agent: parts of its steps) to one of "
            f"{least} trials: allow so many, not {max_trials}, or shorten the training, or take "
            "another tuner."
        )
    if tuner == "grid" and max_trials < (size := grid_size(hyperparameters(space))):
        warnings.warn(
            f"the grid has {size:,} configurations (of a range, ten values at most), and there "
            f"will be {max_trials} trials: those of its beginning, in which little but the last "
            "parameters varies. Name fewer values (space), or set parameters.",
            PartOfGrid,
            stacklevel=3,
        )


def _check_trials(
    trials: Trials[Any, Any], space: Mapping[str, Parameter], path: Path, together: int
) -> None:
    """Refuse a search of which no trial could be run, or which has no room on the disk.

    Args:
        trials: that are to be run.
        space: what is searched.
        path: of the search.
        together: trials whose files lie on the disk at one time.
    """
    sizes: list[int] = []
    why = ""
    for seed in range(_TRIED):
        try:
            recipe = applied(trials.recipe, drawn(space, seed))
            if not sizes or any("arguments." in name for name in space):
                sizes.append(trials.bytes(recipe))
        except InputError as error:
            why = str(error)
    if not sizes:
        raise InputError(f"no configuration of this space can be trained: {why}")
    above = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    need, free = max(sizes) * together, shutil.disk_usage(above).free - _RESERVE
    if need > free:
        raise InputError(
            f"the search needs {need / 1e9:.1f} GB beside each other for its trials, and {above} "
            f"has {max(0, free) / 1e9:.1f} GB left: search smaller models, with fewer trials or "
            "executions, or elsewhere (--out)."
        )
