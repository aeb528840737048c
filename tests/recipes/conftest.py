"""Small data, one short finished run, and a way into a fresh process."""

import csv
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from recipes import Recipe, Run, Splits, load_data, train
from recipes.data import Examples
from recipes.run import State

Pictures = Callable[..., Path]
Process = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def digits() -> Splits:
    """scikit-learn's digits: uint8 pictures of 8×8×1."""
    return load_data("digits")


@pytest.fixture(scope="session")
def few_digits(digits: Splits) -> Splits:
    """A quarter of the digits to learn from, and a hundred to choose and to test with."""
    return replace(
        digits,
        train=digits.train.take(np.arange(0, len(digits.train), 4)),
        validation=digits.validation.take(np.arange(100)),
        test=digits.test.take(np.arange(100)),
    )


@pytest.fixture(scope="session")
def brief() -> Callable[..., Recipe]:
    """Return fields -> a recipe of a few seconds on the digits."""

    def recipe(**fields: Any) -> Recipe:
        usual = {
            "model": "mlp",
            "arguments": {"hidden": [16]},
            "data": "digits",
            "epochs": 2,
            "batch_size": 64,
            "learning_rate": 0.01,
        }
        return Recipe(**(usual | fields))

    return recipe


@pytest.fixture(scope="session")
def short_run(
    few_digits: Splits, brief: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """A finished run of a perceptron with dropout and batch normalization."""
    recipe = brief(
        arguments={"hidden": [16], "dropout": 0.2, "batch_norm": True}, epochs=3, batch_size=32
    )
    return train(recipe, tmp_path_factory.mktemp("runs") / "short", data=few_digits)


@pytest.fixture(scope="session")
def clouds() -> Splits:
    """Two overlapping clouds of points in a plane, the first of nine times as many points."""
    rng = np.random.default_rng(0)

    def draw(common: int, rare: int) -> Examples:
        targets = np.repeat([0, 1], [common, rare])
        points = rng.normal(size=(common + rare, 2)) + targets[:, None]
        return Examples(points.astype("float32"), targets.astype("int64"))

    return Splits(
        train=draw(450, 50),
        validation=draw(180, 20),
        test=draw(180, 20),
        task="classification",
        labels=("common", "rare"),
        source="clouds",
        preprocessing="none",
    )


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    """Return (counts by class) -> a folder of random pictures, no two of them alike."""

    def make(
        counts: dict[str, int], name: str = "pictures", size: tuple[int, int] = (12, 10)
    ) -> Path:
        rng = np.random.default_rng(len(name))
        folder = tmp_path / name
        for label, count in counts.items():
            (folder / label).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (size[1], size[0], 3), "uint8")
                Image.fromarray(pixels).save(folder / label / f"{number}.png")
        return folder

    return make


@pytest.fixture(scope="session")
def process(tmp_path_factory: pytest.TempPathFactory) -> Process:
    """Return (code, arguments) -> what a fresh Python, in an empty folder, made of it."""

    def run(code: str, *arguments: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            cwd=tmp_path_factory.mktemp("elsewhere"),
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


# Trains or fine-tunes as its arguments say; given an epoch, it kills itself right after that one.
_LEARNING = """
import json, os, signal, sys
import keras
from recipes import Recipe, finetune, train

class Kill(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            os.kill(os.getpid(), signal.SIGKILL)

for job in json.loads(sys.argv[1]):
    callbacks = [] if job["kill"] is None else [Kill(job["kill"])]
    common = {"resume": job["resume"], "callbacks": callbacks}
    if job["source"]:
        finetune(job["source"], "digits", job["out"], **common, **job["fields"])
    else:
        train(Recipe(**job["fields"]), job["out"], **common)
"""


@pytest.fixture(scope="session")
def learning() -> str:
    """A script for `process`; its argument is a JSON list of jobs, done one after the other."""
    return _LEARNING


@pytest.fixture(scope="session")
def assert_same(state_of: Callable[[Run], State]) -> Callable[[Run, Run], None]:
    """Return (run, run) -> nothing, if both went exactly alike."""

    def check(one: Run, other: Run) -> None:
        a, b = state_of(one), state_of(other)
        assert a.history == b.history
        assert (a.epoch, a.best, a.best_epoch) == (b.epoch, b.best, b.best_epoch)
        for name in ("model", "optimizer"):
            arrays = list(zip(getattr(a, name), getattr(b, name), strict=True))
            assert arrays
            for x, y in arrays:
                np.testing.assert_array_equal(x, y)
        for x, y in zip(one.load().get_weights(), other.load().get_weights(), strict=True):
            np.testing.assert_array_equal(x, y)
        assert one.metrics == other.metrics

    return check


@pytest.fixture(scope="session")
def history_of() -> Callable[[Run], list[dict[str, float]]]:
    """Return run -> the rows of its history.csv."""

    def read(run: Run) -> list[dict[str, float]]:
        with (run.path / "history.csv").open(newline="") as stream:
            return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(stream)]

    return read


@pytest.fixture(scope="session")
def state_of() -> Callable[[Run], State]:
    """Return run -> where its training stands."""

    def read(run: Run) -> State:
        state = run.read_state()
        assert state is not None
        return state

    return read


class Spoil(keras.callbacks.Callback):
    """Multiplies all weights by a factor when an epoch begins."""

    def __init__(self, epoch: int, factor: float) -> None:
        super().__init__()
        self.epoch, self.factor = epoch, factor

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == self.epoch:
            self.model.set_weights([w * self.factor for w in self.model.get_weights()])


@pytest.fixture(scope="session")
def spoil() -> type[Spoil]:
    """Return (epoch, factor) -> a callback that makes an epoch, from 0, a bad one."""
    return Spoil
