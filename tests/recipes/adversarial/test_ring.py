"""The ring of eight Gaussians: what the book tells of two losses."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[3] / "docs" / "ring.py"


@pytest.fixture(scope="module")
def ring() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ring", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_coverage_counts_the_centres_that_points_lie_near(ring: ModuleType) -> None:
    assert ring.covered(ring.ring(2000)) == 8
    assert ring.covered(np.repeat(ring.CENTRES[:3], 100, axis=0)) == 3
    assert ring.covered(np.zeros((100, 2))) == 0
    few = np.concatenate([np.repeat(ring.CENTRES[:1], 990, axis=0), ring.CENTRES[1:]])
    assert ring.covered(few) == 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_wgan_gp_covers_the_ring(ring: ModuleType, seed: int) -> None:
    [made] = ring.learned("WGAN-GP", seed, shown=(3000,))
    assert ring.covered(made) == 8


@pytest.mark.slow
def test_minimax_loses_modes_of_the_ring(ring: ModuleType) -> None:
    [made] = ring.learned("minimax", shown=(3000,))
    assert ring.covered(made) < 8
