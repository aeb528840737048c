"""The classical companions: penalized regression and k-means, where the answers are known."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"


@pytest.fixture(scope="module")
def companions() -> ModuleType:
    script = RESULTS.parent / "companions.py"
    spec = importlib.util.spec_from_file_location("companions", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def paths() -> dict[str, pd.DataFrame]:
    """Coefficients by model: a row for each weight of the penalty, a column for each feature."""
    table = pd.read_csv(RESULTS / "penalties.csv")
    return {
        model: own.pivot_table("coefficient", "alpha", "feature")
        for model, own in table.groupby("model")
    }


@pytest.mark.parametrize("alpha", [0.1, 30.0, 3000.0])
def test_the_zoo_comes_to_scikit_learn_s_ridge(companions: ModuleType, alpha: float) -> None:
    inputs, targets, _ = companions.standardized()
    theirs = Ridge(alpha).fit(inputs, targets).coef_
    np.testing.assert_allclose(companions.by_zoo(inputs, targets, alpha), theirs, atol=1e-4)
    assert np.abs(theirs).max() > 0.01  # there is something to agree on


def test_the_zoo_s_points_lie_on_the_path_of_ridge(paths: dict[str, pd.DataFrame]) -> None:
    ridge, zoo = paths["ridge"], paths["zoo"]
    assert len(zoo) >= 5
    for alpha, coefficients in zoo.iterrows():
        nearest = ridge.iloc[np.abs(np.log(ridge.index / alpha)).argmin()]
        np.testing.assert_allclose(coefficients, nearest, atol=1e-4)


def test_ridge_shrinks_and_lasso_selects(paths: dict[str, pd.DataFrame]) -> None:
    ridge, lasso = paths["ridge"], paths["lasso"]
    assert (np.diff((ridge**2).sum(axis=1)) < 0).all()
    assert (ridge != 0).all(axis=None)
    assert (np.diff(lasso.abs().sum(axis=1)) <= 1e-6).all()
    left = (lasso != 0).sum(axis=1)
    assert left.iloc[0] >= 9
    assert left.iloc[-1] == 0
    assert {"bmi", "bp", "s5"} <= set(lasso.columns[lasso.iloc[len(lasso) // 2] != 0])


def test_purity_counts_the_commonest_class_of_each_cluster(companions: ModuleType) -> None:
    classes = np.array([0, 0, 0, 1, 1, 2])
    assert companions.purity(classes, classes + 5) == 1
    assert companions.purity(classes, np.zeros(6)) == 0.5
    assert companions.purity(classes, np.array([0, 0, 1, 1, 1, 1])) == pytest.approx(4 / 6)


def test_more_clusters_are_purer_and_nearer() -> None:
    table = pd.read_csv(RESULTS / "clusters.csv")
    assert table["clusters"].tolist() == [10, 20, 50]
    assert table["purity"].is_monotonic_increasing
    assert table["error"].is_monotonic_decreasing
    assert table["purity"].between(0.5, 0.9).all()
    # It asks that a class be in one cluster, too.
    assert (table["adjusted_rand_index"] < table["purity"]).all()


def test_a_picture_of_three_colours_is_found_whole(companions: ModuleType) -> None:
    colours = np.array([[0.9, 0.1, 0.1], [0.1, 0.8, 0.2], [0.2, 0.2, 0.9]])
    picture = colours[np.random.default_rng(0).integers(3, size=(40, 50))]
    np.testing.assert_allclose(companions.segmented(picture, 3), picture, atol=1e-6)
    two = companions.segmented(picture, 2)
    assert len(np.unique(two.reshape(-1, 3), axis=0)) == 2
    assert np.abs(two - picture).max() > 0.1


def test_more_colours_are_nearer_to_the_photograph() -> None:
    table = pd.read_csv(RESULTS / "segmentation.csv")
    assert table["colours"].is_monotonic_increasing
    assert table["error"].is_monotonic_decreasing


@pytest.mark.parametrize("name", ["penalties", "clusters", "segmentation"])
def test_figures_are_small(name: str) -> None:
    assert 10_000 < (RESULTS / f"{name}.png").stat().st_size < 300_000
