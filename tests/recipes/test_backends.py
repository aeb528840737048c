"""Training where Keras computes by another backend than TensorFlow, which feeds it."""

import importlib.util
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recipes import Run
from recipes.folder import hardware
from recipes.run import State

StateOf = Callable[[Run], State]

FIELDS = {
    "model": "mlp",
    "data": "digits",
    "epochs": 3,
    "arguments": {"hidden": [16], "dropout": 0.2, "batch_norm": True},
    "optimizer": "adamw",
    "weight_decay": 1e-2,
    "learning_rate": 0.01,
    "schedule": "one_cycle",
    "ema": 0.9,
    "augment": {"crop": 1, "erase": 0.3},
}


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="JAX is not installed")
def test_a_run_under_jax_resumes_exactly_and_is_read_under_tensorflow(
    process: Callable[..., Any],
    learning: str,
    assert_same: Callable[[Run, Run], None],
    state_of: StateOf,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")

    def job(name: str, **changes: Any) -> dict[str, Any]:
        usual = {"source": None, "resume": False, "fields": FIELDS, "kill": None}
        return usual | {"out": str(tmp_path / name)} | changes

    killed = process(learning, json.dumps([job("straight"), job("resumed", kill=1)]))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    resumed = process(learning, json.dumps([job("resumed", resume=True)]))
    assert resumed.returncode == 0, resumed.stderr

    straight = Run(tmp_path / "straight")
    assert_same(Run(tmp_path / "resumed"), straight)
    losses = [row["loss"] for row in state_of(straight).history]
    assert losses == sorted(losses, reverse=True)
    assert "jax" in straight.card.training.versions
    samples = straight.samples("test")
    decisions = np.asarray(straight.load()(samples.inputs)).argmax(axis=-1)
    accuracy = straight.metrics["test"]["accuracy"]
    assert (decisions == samples.targets).mean() == pytest.approx(accuracy, abs=0.01)


def test_the_accelerators_that_keras_sees_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = hardware()
    monkeypatch.setattr("recipes.folder._accelerators", lambda: ["a fast one", "a fast one"])
    assert hardware() == f"{alone}, a fast one, a fast one"
