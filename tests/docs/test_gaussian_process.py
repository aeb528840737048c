"""The figure of a Gaussian process in search: what it draws is what the library does."""

import gaussian_process as page
import numpy as np
import pytest


@pytest.mark.parametrize("name", ["two valleys", "a step"])
def test_ten_measurements_come_near_the_minimum(name: str) -> None:
    function = page.FUNCTIONS[name]
    places = page.measured(function, 10)
    assert len(set(places)) == 10
    lowest = function(page.GRID).min()
    assert function(places).min() < lowest + 0.01 * np.ptp(function(page.GRID))


def test_a_narrow_valley_between_the_measurements_is_missed() -> None:
    """As the figure shows: nothing measured tells of it, and nothing promises it."""
    function = page.FUNCTIONS["narrow valley"]
    assert function(page.measured(function, 10)).min() > -0.1
    assert function(page.GRID).min() < -0.8
