"""K-fold cross-validation of a recipe: how well it does, and how much that depends on chance.

*Cross-validatory choice and assessment of statistical predictions*, Stone 1974,
https://doi.org/10.1111/j.2517-6161.1974.tb00994.x
"""

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import msgspec
import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, StratifiedKFold

from recipes.data.splits import Examples, Splits, content_hashes, divide, strata_of
from recipes.evaluation import measure
from recipes.folder import write_json
from recipes.recipe import Recipe
from recipes.supervised import begin, data_of, learn
from zoo.cards import Frozen
from zoo.catalog import NAMES
from zoo.errors import InputError
from zoo.files import refuse_taken, refuse_unwritable, whole_file

# Share of a fold's training part that chooses, where the data has no share of its own.
_CHOOSING = 0.1
PLAN, TABLE = "cross_validation.json", "folds.csv"  # in the folder of one that can go on
_UNLEARNABLE = ("control", "generation", "discrimination")


class Fold(Frozen, frozen=True):
    """One training, measured on what it did not learn from.

    Attributes:
        fold: its number, from 1.
        train: number of examples that it learned from.
        validation: number of examples that chose its epoch; 0 where nothing was chosen.
        held_out: number of examples that it was measured on.
        metrics: figures by name, as of `evaluate`.
    """

    fold: int
    train: int
    validation: int
    held_out: int
    metrics: dict[str, float]


class _Plan(Frozen, frozen=True):
    """What a cross-validation was started with, and the folds that are done."""

    recipe: Recipe
    folds: int
    fingerprint: str
    done: list[Fold] = []


@dataclass(frozen=True)
class CrossValidation:
    """The figures of all folds.

    Attributes:
        recipe: by which each was trained.
        source: the data's name.
        folds: one for each training.
    """

    recipe: Recipe
    source: str
    folds: tuple[Fold, ...]

    @property
    def names(self) -> list[str]:
        """Names of the figures that every fold has."""
        first = self.folds[0].metrics
        return [name for name in first if all(name in fold.metrics for fold in self.folds)]

    @property
    def mean(self) -> dict[str, float]:
        """Mean over the folds, by name."""
        return {name: float(np.mean(self._values(name))) for name in self.names}

    @property
    def deviation(self) -> dict[str, float]:
        """Standard deviation from fold to fold, by name: with one less than the folds below."""
        return {name: float(np.std(self._values(name), ddof=1)) for name in self.names}

    def _values(self, name: str) -> list[float]:
        return [fold.metrics[name] for fold in self.folds]


def cross_validate(
    recipe: Recipe | str,
    data: Splits | None = None,
    folds: int = 5,
    *,
    out: str | os.PathLike[str] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    report: Callable[[Fold], None] = lambda fold: None,
) -> CrossValidation:
    """Train by a recipe once for each fold, and measure each model on the fold that it did not see.

    The folds divide the training and the validation examples: of classes, each has its share of
    every class, and what has the same content is in one fold. The test split is not touched. Where
    the recipe keeps the best epoch or stops early, a part of the fold's own training examples
    chooses: as large a share as the data's validation split has. Every training begins anew: with
    random weights, a vocabulary and a standardization of its own, or, in fine-tuning, with a fresh
    copy of the source. How a table's columns become features was decided when it was read, by its
    training split.

    Args:
        recipe: a `Recipe`, or the name of a pretrained model, for its own recipe. Its seed draws
            the folds, too.
        data: `Splits` in place of what the recipe names.
        folds: number of folds, from 2 to the number of examples of the smallest class.
        out: folder for `folds.csv`, a row for each fold; a cross-validation that was interrupted
            goes on there after the last fold that was done. Default: nothing is kept.
        callbacks: Keras callbacks of each training, such as a display of progress.
        report: called with each `Fold` when it is done.

    Returns:
        The `CrossValidation`: figures of each fold, `mean` and `deviation`.

    Raises:
        InputError: the recipe, the data or the number of folds is wrong, or `out` is taken.
        CheckFailed: a loss became infinite or not a number.

    Example:
        >>> from recipes import Recipe, cross_validate
        >>> recipe = Recipe(model="softmax", data="iris", epochs=20, learning_rate=0.1)
        >>> found = cross_validate(recipe, folds=3)
        >>> len(found.folds), found.mean["accuracy"] > 0.8
        (3, True)
    """
    if isinstance(recipe, str):
        from recipes.pretrained import recipe_of

        recipe = recipe_of(recipe)
    if folds < 2:
        raise InputError(f"a cross-validation takes at least 2 folds, not {folds}.")
    row = NAMES.get(recipe.model)
    if row and row.task in _UNLEARNABLE:
        raise InputError(f"{recipe.model!r} is for {row.task}: it has no examples to be divided.")
    place = Path(out) if out is not None else None
    if place:
        check_place(place)
    data = data or data_of(recipe)
    if data.task == "language_modeling":
        raise InputError(
            f"{data.source!r} is one long text, with no examples that could be divided into folds."
        )
    pool = data.train.joined(data.validation)
    parts = fold_parts(pool, data.task, folds, recipe.seed, data.labels)
    # The test split stays behind: a fold's own is what the fold holds out.
    nothing = Examples(pool.inputs[:0], pool.targets[:0])
    whole = replace(data, train=pool, validation=nothing, test=nothing)
    share = len(data.validation) / len(pool) or _CHOOSING
    plan = _Plan(recipe=recipe, folds=folds, fingerprint=whole.fingerprint)
    if place:
        plan = _continued(place, plan)
    for number in range(len(plan.done), folds):
        rest = np.concatenate([part for n, part in enumerate(parts) if n != number])
        learned, held_out = pool.take(np.sort(rest)), pool.take(parts[number])
        done = _trained(recipe, _fold_data(recipe, whole, learned, held_out, share), callbacks)
        plan = msgspec.structs.replace(
            plan, done=[*plan.done, msgspec.structs.replace(done, fold=number + 1)]
        )
        if place:
            _keep(place, plan)
        report(plan.done[-1])
    return CrossValidation(recipe, data.source, tuple(plan.done))


def fold_parts(
    examples: Examples, task: str, folds: int, seed: int = 0, labels: Sequence[str] = ()
) -> list[np.ndarray]:
    """Divide examples into folds, with no content in two of them.

    The order of the examples does not matter.

    Args:
        examples: the examples.
        task: of classes, each fold gets its share of every one.
        folds: number of folds.
        seed: of the division.
        labels: names of the classes.

    Returns:
        For each fold, the sorted indices of its examples.

    Raises:
        InputError: there are too few examples for so many folds.

    Example:
        >>> from recipes import load_data
        >>> from recipes.cross_validation import fold_parts
        >>> data = load_data("iris")
        >>> sorted(len(part) for part in fold_parts(data.train, data.task, 4))
        [25, 26, 26, 27]
    """
    contents, group = np.unique(content_hashes(examples.inputs), return_inverse=True)
    if task == "classification":
        stratum = np.full(len(contents), np.iinfo(np.int64).max)
        np.minimum.at(stratum, group, examples.targets)  # of a content with two classes, the first
        for number in np.unique(examples.targets):
            count = int((stratum == number).sum())
            if count < folds:
                name = labels[number] if labels else number
                raise InputError(
                    f"{folds} folds are too many: the class {name!r} has {count} different "
                    "examples outside of the test split."
                )
        way = StratifiedKFold(folds, shuffle=True, random_state=seed)
    else:
        stratum, each = np.zeros(len(contents), "int64"), 2 if task == "regression" else 1
        if len(contents) < each * folds:  # R² of a single example says nothing
            raise InputError(
                f"{folds} folds of {each} or more are too many: there are {len(contents)} "
                "different examples outside of the test split."
            )
        way = KFold(folds, shuffle=True, random_state=seed)
    numbers = np.zeros(len(contents), int)
    for number, (_, held_out) in enumerate(way.split(contents, stratum)):
        numbers[held_out] = number
    return [np.flatnonzero(numbers[group] == number) for number in range(folds)]


def _fold_data(
    recipe: Recipe, whole: Splits, learned: Examples, held_out: Examples, share: float
) -> Splits:
    """Return the data of one training; its test split is what the fold holds out."""
    if not _chooses(recipe):  # training looks at a validation, and nothing follows from it
        return replace(whole, train=learned, validation=held_out, test=held_out)
    strata = strata_of(learned.targets, whole.task)
    train, validation = divide(content_hashes(learned.inputs), strata, [share])
    if not len(validation):
        raise InputError(
            f"{whole.source!r} has too few examples to choose an epoch by some of each fold's: "
            "train to the end, with keep=last and patience=0."
        )
    return replace(
        whole, train=learned.take(train), validation=learned.take(validation), test=held_out
    )


def _chooses(recipe: Recipe) -> bool:
    """Return whether a training ends, or what is kept of it, by its validation examples."""
    return recipe.keep == "best" or recipe.patience > 0


def _trained(recipe: Recipe, data: Splits, callbacks: Sequence[keras.callbacks.Callback]) -> Fold:
    """Train once, in a folder that does not stay, and measure on the test split, the held-out."""
    with tempfile.TemporaryDirectory() as folder:
        run, data = begin(recipe, Path(folder) / "fold", data)
        kept = learn(run, data, callbacks)
    return Fold(
        fold=0,
        train=len(data.train),
        validation=len(data.validation) if _chooses(recipe) else 0,
        held_out=len(data.test),
        metrics=measure(kept, data.test, run.config.task, tokenizers=data.tokenizers),
    )


def check_place(place: Path) -> None:
    """Refuse a folder that holds anything but a cross-validation, before work is begun.

    Raises:
        InputError: it does, or it cannot be written.
    """
    if not (place / PLAN).is_file():
        refuse_taken(place)
    refuse_unwritable(place)


def _continued(place: Path, plan: _Plan) -> _Plan:
    """Return the plan with the folds that were done in a folder before.

    Raises:
        InputError: it holds another cross-validation.
    """
    file = place / PLAN
    if not file.is_file():
        return plan
    try:
        found = msgspec.json.decode(file.read_bytes(), type=_Plan)
    except msgspec.DecodeError as error:
        raise InputError(f"{file} is damaged: {error}") from None
    begun = msgspec.structs.replace(found, done=[])
    if msgspec.json.encode(begun) != msgspec.json.encode(plan):  # a tuple is a list in a file
        raise InputError(
            f"{place} holds the cross-validation of another recipe, other data or another number "
            "of folds: name another place."
        )
    return found


def _keep(place: Path, plan: _Plan) -> None:
    """Write what is done: the table first, so that the plan never promises too much."""
    rows = [{**msgspec.structs.asdict(fold), **fold.metrics} for fold in plan.done]
    with whole_file(place / TABLE) as temporary:
        pd.DataFrame(rows).drop(columns="metrics").to_csv(temporary, index=False)
    write_json(place / PLAN, plan)
