"""Ways on landscapes: what theory says of them."""

from dataclasses import replace

import landscapes
import numpy as np
import pytest

L, CONDITION = 100.0, landscapes.CONDITION  # the quadratic's curvatures are 1 and L
WHOLE = [*landscapes.WHOLE, "newton-cg", "natural-gradient"]


def gradients(points: np.ndarray) -> np.ndarray:
    """Return those of the quadratic."""
    return points * (1.0, L)


def distance(landscape: str, point: np.ndarray) -> float:
    return float(np.linalg.norm(point - landscapes.LANDSCAPES[landscape].minimum))


@pytest.mark.parametrize("landscape", landscapes.LANDSCAPES)
def test_the_model_answers_with_the_landscape(landscape: str) -> None:
    row, model = landscapes.LANDSCAPES[landscape], landscapes.built(landscape)
    formulas = {
        "quadratic": lambda x, y: x**2 / 2 + 50 * y**2,
        "Rosenbrock": lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2,
        "Beale": lambda x, y: (
            (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2
        ),
    }
    for point in (row.start, (0.3, -0.7)):
        model.set_weights([np.array(point)])
        value = np.mean(model.predict(landscapes.INPUTS, verbose=0) ** 2)
        assert value == pytest.approx(formulas[landscape](*point), rel=1e-12)
        assert value == pytest.approx(landscapes.values(landscape, np.array(point)), rel=1e-12)
    assert landscapes.values(landscape, np.array(row.minimum)) == pytest.approx(0, abs=1e-30)


def test_exact_search_goes_at_right_angles_and_as_slowly_as_kantorovich_allows() -> None:
    points = landscapes.by_minimize("quadratic", "gradient-descent", line_search="exact")
    steps = np.diff(points, axis=0)[:200]
    cosines = np.einsum("sd,sd->s", steps[1:], steps[:-1]) / np.prod(
        [np.linalg.norm(part, axis=1) for part in (steps[1:], steps[:-1])], axis=0
    )
    np.testing.assert_allclose(cosines, 0, atol=1e-9)
    heights = landscapes.values("quadratic", points)[:200]
    bound = ((CONDITION - 1) / (CONDITION + 1)) ** 2
    assert np.all(heights[1:] <= heights[:-1] * bound * (1 + 1e-9))


def test_the_bound_is_reached_from_its_worst_start(monkeypatch: pytest.MonkeyPatch) -> None:
    worst = replace(landscapes.LANDSCAPES["quadratic"], start=(CONDITION, 1.0))
    monkeypatch.setitem(landscapes.LANDSCAPES, "quadratic", worst)
    points = landscapes.by_minimize("quadratic", "gradient-descent", line_search="exact")
    heights = landscapes.values("quadratic", points)[:100]
    bound = ((CONDITION - 1) / (CONDITION + 1)) ** 2
    np.testing.assert_allclose(heights[1:] / heights[:-1], bound, rtol=1e-9)


def test_a_fixed_rate_converges_below_two_over_l_and_diverges_above() -> None:
    rates = [1.99 / L, 2.01 / L, 2 / (1 + L)]
    below, above, best = landscapes.by_keras("quadratic", "fixed rate", rates, 2000)
    heights = landscapes.values("quadratic", below)
    assert np.all(np.diff(heights) <= 0)
    assert heights[-1] < 1e-15
    assert np.abs(above[-1, 1]) > 1e6
    assert np.abs(above[-1, 0]) < 1e-10  # the other direction is far from its own bound
    np.testing.assert_allclose(  # each step of the best rate shortens both by the same
        np.abs(best[1:50] / best[:49]), (CONDITION - 1) / (CONDITION + 1), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("method", "bound"),
    [("fixed rate", 2 / L), ("momentum", 2 * 1.9 / L), ("Nesterov", 2 * 1.9 / (2.8 * L))],
)
def test_the_greatest_rate_of_a_quadratic_is_as_momentum_has_it(method: str, bound: float) -> None:
    """With momentum b: 2 (1 + b) / L, and 2 (1 + b) / ((1 + 2 b) L) as Nesterov looks ahead."""
    below, above = landscapes.by_keras("quadratic", method, [0.98 * bound, 1.02 * bound], 3000)
    assert np.abs(below[-1]).max() < 1e-3
    assert np.abs(above[-1]).max() > 1e3 or np.isnan(above[-1]).any()


def test_momentum_is_faster_than_none() -> None:
    steps = {}
    for method in ("fixed rate", "momentum", "Nesterov"):
        rate = landscapes.LANDSCAPES["quadratic"].rates[method]
        [points] = landscapes.by_keras("quadratic", method, [rate], 1000)
        steps[method] = np.argmax(landscapes.values("quadratic", points) < landscapes.REACHED)
    assert 0 < max(steps["momentum"], steps["Nesterov"]) < steps["fixed rate"] / 2


def test_each_rate_begins_anew() -> None:
    once = landscapes.by_keras("Beale", "Adam", [0.05], 50)[0]
    first, _, again = landscapes.by_keras("Beale", "Adam", [0.05, 1.0, 0.05], 50)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(first, once, rtol=1e-12)
    np.testing.assert_array_equal(first[0], landscapes.LANDSCAPES["Beale"].start)


@pytest.mark.parametrize(
    ("method", "iterations"), [("conjugate-gradient", 2), ("newton", 1), ("bfgs", 3), ("l-bfgs", 3)]
)
def test_curvature_ends_a_quadratic_in_as_many_steps_as_it_has_dimensions(
    method: str, iterations: int
) -> None:
    points = landscapes.by_minimize("quadratic", method)
    assert len(points) - 1 <= iterations
    assert distance("quadratic", points[-1]) < 1e-10


def test_conjugate_gradients_are_conjugate() -> None:
    first, second = np.diff(landscapes.by_minimize("quadratic", "conjugate-gradient"), axis=0)
    assert (
        abs(first @ gradients(second)) < 1e-9 * np.linalg.norm(first) * np.linalg.norm(second) * L
    )


@pytest.mark.parametrize("method", WHOLE)
@pytest.mark.parametrize("landscape", ["Rosenbrock", "Beale"])
def test_curvature_finds_the_minimum(landscape: str, method: str) -> None:
    points = landscapes.by_minimize(landscape, method)
    assert distance(landscape, points[-1]) < 1e-6
    assert len(points) < 100


@pytest.mark.parametrize("search", ["armijo", "wolfe"])
def test_line_searches_come_down_at_every_step(search: str) -> None:
    points = landscapes.by_minimize("Beale", "gradient-descent", line_search=search)
    assert np.all(np.diff(landscapes.values("Beale", points)) <= 0)
    assert distance("Beale", points[-1]) < 1e-4


@pytest.mark.parametrize("method", landscapes.OPTIMIZERS)
def test_keras_optimizers_come_to_beale_s_minimum(method: str) -> None:
    rate = landscapes.LANDSCAPES["Beale"].rates[method]
    [points] = landscapes.by_keras("Beale", method, [rate], 5000)
    # RMSprop goes to and fro by about its rate, which does not fall.
    assert distance("Beale", points[-1]) < (2 * rate if method == "RMSprop" else 1e-4)


def test_the_table_is_that_of_the_ways() -> None:
    points = np.array([[2.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    table = landscapes.table({"quadratic": {"group": {"some": points, "fixed rate": points[:1]}}})
    assert table["steps"].tolist()[0] == 1
    assert table["steps"].isna().tolist() == [False, True]
    assert table["steps_made"].tolist() == [2, 0]
    assert table["value"].tolist() == pytest.approx([0.5, 2.0])
    assert table["distance"].tolist() == [1.0, 2.0]
    assert (
        table["learning_rate"].tolist()[1] == landscapes.LANDSCAPES["quadratic"].rates["fixed rate"]
    )
