"""Cross-validation: how examples are divided, what chooses, what is never looked at."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from recipes import Recipe, Splits, cross_validate, cross_validation, load_data
from recipes.cross_validation import Fold, fold_parts
from recipes.data import Examples
from recipes.data.splits import content_hashes
from zoo.errors import InputError

IRIS = Recipe(
    model="softmax", data="iris", epochs=30, learning_rate=0.1, batch_size=16, keep="last"
)
BRIEF = Recipe(model="softmax", data="iris", epochs=2)


class Untouchable:
    """A test split that nobody may look at."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the test split was asked for its {name}")

    def __len__(self) -> int:
        raise AssertionError("the test split was asked for its length")


@pytest.fixture(scope="module")
def iris() -> Splits:
    return load_data("iris")


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[Splits]:
    """What each training is given, in turn."""
    seen: list[Splits] = []
    learn = cross_validation.learn

    def recorded(run: Any, data: Splits, callbacks: Any) -> Any:
        seen.append(data)
        return learn(run, data, callbacks)

    monkeypatch.setattr(cross_validation, "learn", recorded)
    return seen


def contents(*parts: Examples) -> list[bytes]:
    return sorted(hash_ for part in parts for hash_ in content_hashes(part.inputs).tolist())


def test_folds_are_disjoint_cover_all_and_have_their_share_of_every_class(digits: Splits) -> None:
    parts = fold_parts(digits.train, digits.task, 5)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(digits.train)))
    counts = np.stack([np.bincount(digits.train.targets[part], minlength=10) for part in parts])
    assert np.ptp(counts, axis=0).max() <= 1


def test_equal_contents_are_in_one_fold_whatever_their_order_and_classes(digits: Splits) -> None:
    examples = digits.train.take(np.arange(300))
    twice = examples.joined(Examples(examples.inputs[:100], (examples.targets[:100] + 1) % 10))
    order = np.random.default_rng(0).permutation(len(twice))
    divisions = []
    for given in (twice, twice.take(order)):
        parts = fold_parts(given, "classification", 4)
        folds = [set(contents(given.take(part))) for part in parts]
        assert sum(map(len, folds)) == len(set.union(*folds)) == len(set(contents(examples)))
        divisions.append(folds)
    assert divisions[0] == divisions[1]


def test_the_seed_draws_the_folds(digits: Splits) -> None:
    first, again, other = (fold_parts(digits.train, digits.task, 3, seed)[0] for seed in (0, 0, 1))
    assert first.tolist() == again.tolist() != other.tolist()


def test_iris_comes_out_as_by_scikit_learn_and_the_test_split_is_not_touched(iris: Splits) -> None:
    found = cross_validate(IRIS, replace(iris, test=Untouchable()))
    pool = iris.train.joined(iris.validation)
    everything = np.arange(len(pool))
    folds = [
        (np.setdiff1d(everything, part), part) for part in fold_parts(pool, iris.task, 5, IRIS.seed)
    ]
    theirs = cross_val_score(
        make_pipeline(StandardScaler(), LogisticRegression(C=100, max_iter=1000)),
        pool.inputs,
        pool.targets,
        cv=folds,
    )
    ours = [fold.metrics["accuracy"] for fold in found.folds]
    assert min(ours) > 0.8
    assert found.mean["accuracy"] == pytest.approx(theirs.mean(), abs=0.03)
    assert found.mean["accuracy"] == pytest.approx(np.mean(ours))
    assert found.deviation["accuracy"] == pytest.approx(pd.Series(ours).std())
    assert sum(fold.held_out for fold in found.folds) == len(pool)
    assert all(fold.train + fold.held_out == len(pool) for fold in found.folds)


def test_what_a_fold_holds_out_chooses_no_epoch(iris: Splits, trainings: list[Splits]) -> None:
    found = cross_validate(BRIEF, iris, folds=3)
    pool = iris.train.joined(iris.validation)
    for data, fold in zip(trainings, found.folds, strict=True):
        kinds = [set(contents(part)) for part in (data.train, data.validation, data.test)]
        assert sum(map(len, kinds)) == len(set.union(*kinds))
        assert contents(data.train, data.validation, data.test) == contents(pool)
        assert (fold.train, fold.validation, fold.held_out) == tuple(data.sizes.values())
        assert set(data.validation.targets) == {0, 1, 2}
    assert contents(*(data.test for data in trainings)) == contents(pool)


def test_the_figures_are_of_the_kept_weights_in_the_targets_units() -> None:
    recipe = Recipe(
        model="linear", data="diabetes", epochs=15, learning_rate=0.05, batch_size=32, keep="last"
    )
    found = cross_validate(recipe, folds=3)
    assert 0.3 < found.mean["r2"] < 0.6
    assert 35 < found.mean["mae"] < 60  # the targets lie between 25 and 346
    assert all(fold.validation == 0 for fold in found.folds)


@pytest.mark.slow
def test_a_recipe_of_fine_tuning_starts_every_fold_from_its_source(
    few_digits: Splits, trainings: list[Splits]
) -> None:
    recipe = Recipe(
        model="lenet5-mnist", data="digits", epochs=2, head_epochs=2, fine_tuning=True,
        learning_rate=1e-3, batch_size=32, keep="last",
    )  # fmt: skip
    found = cross_validate(recipe, few_digits, folds=2)
    assert len(trainings) == 2
    assert all(fold.metrics["accuracy"] > 0.7 for fold in found.folds)


def test_an_interrupted_one_goes_on_after_its_last_fold(
    iris: Splits, trainings: list[Splits], tmp_path: Path
) -> None:
    whole = cross_validate(BRIEF, iris, folds=3)

    def interrupt(fold: Fold) -> None:
        if fold.fold == 2:
            raise KeyboardInterrupt

    trainings.clear()
    place = tmp_path / "folds"
    with pytest.raises(KeyboardInterrupt):
        cross_validate(BRIEF, iris, folds=3, out=place, report=interrupt)
    assert len(trainings) == 2
    again = cross_validate(BRIEF, iris, folds=3, out=place)
    assert len(trainings) == 3
    assert again.folds == whole.folds
    table = pd.read_csv(place / "folds.csv")
    assert table["fold"].tolist() == [1, 2, 3]
    assert table["accuracy"].tolist() == [fold.metrics["accuracy"] for fold in whole.folds]
    for recipe, folds in ((BRIEF, 4), (IRIS, 3)):
        with pytest.raises(InputError, match="of another recipe, other data or another number"):
            cross_validate(recipe, iris, folds=folds, out=place)


def test_a_folder_of_something_else_is_left_alone(iris: Splits, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        cross_validate(BRIEF, iris, folds=2, out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_place_that_cannot_be_written_is_refused_before_work(iris: Splits) -> None:
    from recipes.cross_validation import check_place

    with pytest.raises(InputError, match="/proc/folds cannot be written"):
        check_place(Path("/proc/folds"))


def test_too_many_folds_name_the_smallest_class(iris: Splits) -> None:
    few = iris.train.take(np.flatnonzero((iris.train.targets < 2) | (np.arange(104) % 9 == 0)))
    count = len(set(contents(few.take(np.flatnonzero(few.targets == 2)))))
    with pytest.raises(InputError, match=f"the class 'virginica' has {count} different examples"):
        fold_parts(few, "classification", count + 1, labels=iris.labels)
    assert len(fold_parts(few, "classification", count, labels=iris.labels)) == count


@pytest.mark.parametrize("folds", [1, 0, -2])
def test_fewer_than_two_folds_are_refused(iris: Splits, folds: int) -> None:
    with pytest.raises(InputError, match=f"at least 2 folds, not {folds}"):
        cross_validate(BRIEF, iris, folds=folds)


def test_data_without_examples_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "novel.txt"
    path.write_text("It was a dark and stormy night. " * 200)
    with pytest.raises(InputError, match="one long text"):
        cross_validate(Recipe(model="gpt", data=str(path), epochs=1))
    for name, task in (("dqn", "control"), ("dcgan", "generation")):
        with pytest.raises(InputError, match=f"{name!r} is for {task}"):
            cross_validate(Recipe(model=name, data="digits", epochs=1))


def test_too_few_examples_to_choose_an_epoch_by(iris: Splits) -> None:
    chosen = np.concatenate([np.flatnonzero(iris.train.targets == n)[:2] for n in range(3)])
    tiny = replace(iris, train=iris.train.take(chosen), validation=iris.train.take(chosen[:0]))
    with pytest.raises(InputError, match="keep=last and patience=0"):
        cross_validate(BRIEF, tiny, folds=2)
