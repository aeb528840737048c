"""A server of digits, and what it is to answer."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from served import Served, serving

from recipes import Run


@pytest.fixture(scope="module")
def place(exported: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of versions."""
    folder = tmp_path_factory.mktemp("served") / "digits"
    shutil.copytree(exported("litert", "float32").path, folder / "1")
    return folder


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[Served]:
    """A server of that folder."""
    with serving(str(place), "--max-megabytes", "1", "--seconds", "20") as served:
        yield served


@pytest.fixture(scope="module")
def images(digits_run: Run) -> np.ndarray:
    """Forty test pictures."""
    return digits_run.samples("test").inputs[:40]


@pytest.fixture(scope="module")
def probabilities(digits_run: Run, images: np.ndarray) -> np.ndarray:
    """What the Keras model says of them."""
    return digits_run.load().predict(images, verbose=0)
