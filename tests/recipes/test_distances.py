"""Distances and shares of features, against loops, closed forms and other libraries."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg
from scipy.spatial.distance import cdist

from recipes.distances import (
    classifier_score,
    coverage,
    frechet_distance,
    gaussian_distance,
    kernel_distance,
    precision_recall,
)
from zoo.errors import InputError

few = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def points(seed: int, examples: int = 60, features: int = 4) -> np.ndarray:
    """Return examples of a Gaussian with a random mean and a random, full covariance."""
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(examples, features)) @ random.normal(size=(features, features))
    return mixed + random.normal(size=features)


def distance_by_matrix_root(one: np.ndarray, other: np.ndarray) -> float:
    """Return the distance as the formula has it, with the root of a matrix without symmetry."""
    covariances = [np.atleast_2d(np.cov(part.T)) for part in (one, other)]
    root = linalg.sqrtm(covariances[0] @ covariances[1])
    between = np.square(one.mean(0) - other.mean(0)).sum()
    return between + np.trace(covariances[0] + covariances[1] - 2 * root.real)


@given(seed=seeds, features=st.integers(1, 12), sizes=st.tuples(*[st.integers(30, 90)] * 2))
@few
def test_the_frechet_distance_is_that_of_the_formula(
    seed: int, features: int, sizes: tuple[int, int]
):
    one, other = points(seed, sizes[0], features), points(seed + 1, sizes[1], features)
    found = frechet_distance(one, other)
    assert found == pytest.approx(distance_by_matrix_root(one, other), rel=1e-6, abs=1e-6)
    assert found == pytest.approx(frechet_distance(other, one), rel=1e-9, abs=1e-9)


@given(seed=seeds, shift=st.lists(st.floats(-10, 10), min_size=4, max_size=4))
@few
def test_equal_covariances_leave_the_way_between_the_means(seed: int, shift: list[float]):
    one = points(seed)
    expected = np.square(shift).sum()
    assert frechet_distance(one, one + shift) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(variances=st.lists(st.tuples(*[st.floats(0, 100)] * 2), min_size=1, max_size=8))
@few
def test_diagonal_covariances_differ_by_their_deviations(variances: list[tuple[float, float]]):
    one, other = np.array(variances).T
    found = gaussian_distance(np.zeros(len(one)), np.diag(one), np.ones(len(one)), np.diag(other))
    expected = len(one) + np.square(np.sqrt(one) - np.sqrt(other)).sum()
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("features", [40, 120])
def test_singular_covariances_have_the_distance_of_the_space_that_they_fill(features: int):
    # Turned into more dimensions, which leaves all distances as they are.
    one, other = points(1, 50, 6), points(2, 50, 6)
    random = np.random.default_rng(0)
    turned = np.linalg.qr(random.normal(size=(features, features)))[0][:6]
    found = frechet_distance(one @ turned, other @ turned)
    assert found == pytest.approx(frechet_distance(one, other), abs=1e-6)
    assert frechet_distance(one @ turned, one @ turned) == pytest.approx(0, abs=1e-6)


def test_pictures_that_are_all_alike_have_a_distance_too():
    other = points(0)
    found = frechet_distance(np.ones((5, 4)), other)
    expected = np.square(other.mean(0) - 1).sum() + other.var(axis=0, ddof=1).sum()
    assert found == pytest.approx(expected)
    assert frechet_distance(np.ones((5, 4)), np.zeros((5, 4))) == 4


def kernel_distance_by_loops(one: np.ndarray, other: np.ndarray) -> float:
    def mean(left: np.ndarray, right: np.ndarray, same: bool) -> float:
        values = [
            (sum(x * y for x, y in zip(a, b, strict=True)) / len(a) + 1) ** 3
            for i, a in enumerate(left)
            for j, b in enumerate(right)
            if not (same and i == j)
        ]
        return sum(values) / len(values)

    return mean(one, one, True) + mean(other, other, True) - 2 * mean(one, other, False)


@given(seed=seeds, features=st.integers(1, 5), sizes=st.tuples(*[st.integers(2, 12)] * 2))
@few
def test_the_kernel_distance_is_that_of_two_loops(seed: int, features: int, sizes: tuple[int, int]):
    one, other = points(seed, sizes[0], features), points(seed + 1, sizes[1], features)
    found, deviation = kernel_distance(one, other, subsets=2)
    assert found == pytest.approx(kernel_distance_by_loops(one, other), rel=1e-6, abs=1e-6)
    assert deviation == 0


def test_the_kernel_distance_of_one_distribution_is_0_in_the_mean():
    alike = [
        kernel_distance(sample[:100], sample[100:], subsets=1)[0]
        for sample in np.random.default_rng(0).normal(size=(200, 200, 8))
    ]
    # Without bias, the mean of so many is 0 but for its own error; and some are below 0.
    assert abs(np.mean(alike)) < 3 * np.std(alike) / np.sqrt(len(alike))
    assert min(alike) < 0


def test_subsets_of_the_kernel_distance_agree_with_the_whole_and_vary_less_when_larger():
    sample = np.random.default_rng(0).normal(size=(2000, 8))
    one, other = sample[:1000], sample[1000:] + 0.3
    whole, _ = kernel_distance(one, other, subsets=1)
    found = {size: kernel_distance(one, other, 60, size, seed=1) for size in (50, 400)}
    for mean, deviation in found.values():
        assert mean == pytest.approx(whole, abs=3 * deviation / np.sqrt(60) + 0.01)
    assert found[400][1] < found[50][1]
    assert found[50] == kernel_distance(one, other, 60, 50, seed=1)
    assert found[50] != kernel_distance(one, other, 60, 50, seed=2)


@pytest.mark.parametrize("classes", [2, 10])
def test_the_classifier_score_goes_from_1_to_the_number_of_classes(classes: int):
    uniform, certain = np.full((500, classes), 1 / classes), np.eye(classes).repeat(50, axis=0)
    assert classifier_score(uniform) == pytest.approx((1, 0))
    assert classifier_score(certain, splits=1) == pytest.approx((classes, 0))
    assert classifier_score(certain[:50]) == pytest.approx((1, 0))  # certain, and always the same
    # In the order of the classes: parts drawn by chance have all of them, nearly evenly.
    mean, deviation = classifier_score(certain, splits=5)
    assert 0.85 * classes < mean < classes
    assert 0 < deviation < 0.1 * classes


@given(seed=seeds, classes=st.integers(2, 6), splits=st.integers(1, 4))
@few
def test_the_classifier_score_is_the_exponential_of_a_mean_divergence(
    seed: int, classes: int, splits: int
):
    rows = np.random.default_rng(seed).dirichlet(np.full(classes, 0.5), size=24)
    mean, _ = classifier_score(rows, splits, seed=7)
    assert 1 <= mean <= classes + 1e-9
    overall = rows.mean(axis=0)
    divergences = [
        sum(p * np.log(p / q) for p, q in zip(row, overall, strict=True) if p > 0) for row in rows
    ]
    assert classifier_score(rows, 1)[0] == pytest.approx(np.exp(np.mean(divergences)))


def precision_recall_by_loops(
    real: np.ndarray, generated: np.ndarray, neighbours: int
) -> tuple[float, float]:
    def share_among(some: np.ndarray, others: np.ndarray) -> float:
        reach = np.sort(cdist(others, others), axis=1)[:, neighbours]  # itself comes first
        within = 0
        for example in some:
            within += any(
                np.linalg.norm(example - other) <= far + 1e-9
                for other, far in zip(others, reach, strict=True)
            )
        return within / len(some)

    return share_among(generated, real), share_among(real, generated)


@given(
    seed=seeds,
    sizes=st.tuples(*[st.integers(5, 25)] * 2),
    neighbours=st.integers(1, 4),
    whole=st.booleans(),
)
@few
def test_precision_and_recall_are_those_of_loops(
    seed: int, sizes: tuple[int, int], neighbours: int, whole: bool
):
    random = np.random.default_rng(seed)
    real, generated = random.normal(size=(sizes[0], 2)), random.normal(size=(sizes[1], 2)) + 0.7
    if whole:  # many of the same, and many at the same distances
        real, generated = np.round(real), np.round(generated)
    expected = precision_recall_by_loops(real, generated, neighbours)
    assert precision_recall(real + 1000, generated + 1000, neighbours) == pytest.approx(expected)


def test_precision_and_recall_of_more_examples_than_are_compared_at_a_time():
    random = np.random.default_rng(0)
    real, generated = random.normal(size=(2500, 3)), 0.8 * random.normal(size=(2300, 3)) + 0.5
    between = cdist(real, generated)
    reach, generated_reach = (
        np.partition(cdist(part, part), 3, axis=1)[:, 3] for part in (real, generated)
    )
    expected = (
        (between <= reach[:, None]).any(axis=0).mean(),
        (between <= generated_reach).any(axis=1).mean(),
    )
    assert precision_recall(real, generated) == pytest.approx(expected)


@given(seed=seeds, scale=st.floats(1e-3, 1e3))
@few
def test_the_same_examples_have_all_and_far_ones_have_nothing(seed: int, scale: float):
    one = scale * points(seed)
    assert precision_recall(one, one) == (1, 1)
    assert precision_recall(one, one[::-1]) == (1, 1)
    copies = one.repeat(5, axis=0)  # the neighbours of each are like it, at no distance
    assert precision_recall(copies, one.repeat(4, axis=0)) == (1, 1)
    assert precision_recall(one, one + 1000 * scale) == (0, 0)


def test_a_model_that_drops_modes_is_precise_and_recalls_little():
    random = np.random.default_rng(0)
    modes = 10 * np.eye(8)
    real = np.concatenate([mode + random.normal(size=(100, 8)) for mode in modes])
    generated = modes[0] + random.normal(size=(800, 8))
    precision, recall = precision_recall(real, generated)
    assert precision > 0.8
    assert recall <= 1 / 8
    assert precision_recall(generated, real) == (recall, precision)


@given(classes=st.lists(st.integers(0, 4), min_size=1))
@few
def test_coverage_counts_the_classes(classes: list[int]):
    expected = [classes.count(number) / len(classes) for number in range(6)]
    np.testing.assert_allclose(coverage(np.array(classes), 6), expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: frechet_distance(np.ones((1, 3)), np.ones((5, 3))), "at least 2 examples"),
        (lambda: frechet_distance(np.ones((5, 3)), np.ones((5, 4))), r"\(5, 3\) and \(5, 4\)"),
        (lambda: kernel_distance(np.ones(5), np.ones(5)), r"\(examples, features\)"),
        (lambda: kernel_distance(np.full((5, 3), np.nan), np.ones((5, 3))), "NaN"),
        (lambda: kernel_distance(np.ones((5, 3)), np.ones((5, 3)), subsets=0), "not 0 of 1000"),
        (lambda: kernel_distance(np.ones((5, 3)), np.ones((5, 3)), 2, 1), "not 2 of 1"),
        (lambda: precision_recall(np.ones((5, 3)), np.ones((3, 3))), "3 neighbours"),
        (lambda: precision_recall(np.ones((5, 3)), np.ones((5, 3)), 0), "0 neighbours"),
        (lambda: classifier_score(np.ones((20, 3))), "probabilities"),
        (lambda: classifier_score(np.array([[1.5, -0.5]] * 20)), "probabilities"),
        (lambda: classifier_score(np.ones((0, 3))), "probabilities"),
        (lambda: classifier_score(np.eye(5)), "5 examples .* 10 splits"),
        (lambda: coverage(np.array([0, 3]), 3), "0 to 2"),
        (lambda: coverage(np.array([-1]), 3), "0 to 2"),
        (lambda: coverage(np.array([], "int64"), 3), "at least one"),
        (lambda: coverage(np.array([0.0]), 3), "integers"),
    ],
)
def test_figures_of_wrong_arrays_are_refused(call: Callable[[], object], message: str):
    with pytest.raises(InputError, match=message):
        call()
