"""MNIST by five linear ways: the figures of the book, and how answers are put together."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from recipes.data import Examples

ROOT = Path(__file__).parents[1]
# The book's Table 3.1.
BOOK = {
    "linear, one against rest": (10, 0.8603),
    "linear, one against one": (45, 0.9297),
    "logistic, one against rest": (10, 0.9174),
    "logistic, one against one": (45, 0.9321),
    "softmax": (1, 0.9221),
}


@pytest.fixture(scope="module")
def five_ways() -> ModuleType:
    spec = importlib.util.spec_from_file_location("five_ways", ROOT / "benchmarks" / "five_ways.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.read_csv(ROOT / "benchmarks" / "results" / "five_ways.csv").set_index("way")


def test_every_way_is_within_three_tenths_of_a_point_of_the_book(table: pd.DataFrame) -> None:
    assert list(table.index) == list(BOOK)
    for way, (classifiers, accuracy) in BOOK.items():
        row = table.loc[way]
        assert (row["classifiers"], row["book"]) == (classifiers, accuracy)
        assert row["accuracy"] == pytest.approx(accuracy, abs=0.003)
        assert row["difference"] == pytest.approx(row["accuracy"] - accuracy, abs=1e-4)


def test_the_problems_are_each_class_and_each_pair(five_ways: ModuleType) -> None:
    assert len(five_ways.against_rest()) == 10
    assert five_ways.against_rest(3)[1] == five_ways.Problem((0, 2), (1,))
    pairs = [(p.negative[0], p.positive[0]) for p in five_ways.against_one(4)]
    assert pairs == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]


def test_a_problem_leaves_out_examples_of_other_classes(five_ways: ModuleType) -> None:
    data = Examples(np.arange(5.0)[:, None], np.array([2, 0, 1, 2, 1]))
    part = five_ways.Problem((0,), (2,)).examples(data)
    assert part.inputs.ravel().tolist() == [0, 1, 3]
    assert part.targets.tolist() == [1, 0, 1]


def test_the_most_votes_win_and_of_several_the_smallest_class(five_ways: ModuleType) -> None:
    problems = five_ways.against_one(3)  # 0 or 1, 0 or 2, 1 or 2
    outputs = np.array([[-1, -1, 9], [1, -1, -1], [1, 1, 1], [1, -1, 1]])
    # 0 twice; 1 twice; 2 twice; each once.
    assert five_ways.votes(outputs, problems).tolist() == [0, 1, 2, 0]


def test_the_largest_output_wins_against_the_rest(five_ways: ModuleType) -> None:
    outputs = np.array([[-3.0, -1, -2], [0.2, 0.1, 0.9]])
    assert five_ways.largest(outputs, five_ways.against_rest(3)).tolist() == [1, 2]


def test_least_squares_and_logit_tell_two_groups_apart(five_ways: ModuleType) -> None:
    random = np.random.default_rng(0)
    targets = np.repeat([0, 1, 2], 40)
    pictures = random.integers(0, 100, (120, 3, 3, 1))
    pictures[np.arange(120), targets, 0] += 150  # each class has a bright pixel of its own
    data = Examples(pictures.astype("uint8"), targets)
    problems = five_ways.against_one(3)
    for learner in (five_ways.linear, five_ways.logistic):
        outputs = five_ways.outputs_of(learner(data, problems), data.inputs)
        answers = five_ways.votes(outputs, problems)
        assert (answers == targets).mean() > 0.97


@pytest.mark.slow
@pytest.mark.parametrize("way", list(BOOK)[:2])
def test_least_squares_comes_to_the_figures_of_the_table_again(
    five_ways: ModuleType, table: pd.DataFrame, needs: Callable[[str], None], way: str
) -> None:
    needs("mnist")
    row = five_ways.measured(way, five_ways.digits())
    assert row["accuracy"] == pytest.approx(table.loc[way, "accuracy"], abs=5e-4)
