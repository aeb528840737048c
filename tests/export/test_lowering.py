"""Every architecture and its step of training are lowered for GPU and TPU, and run on the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from architectures import CLOSELY, PARTICULAR

pytest.importorskip("jax")

SCRIPT = Path(__file__).parents[1] / "support" / "lowered.py"
NAMED = [*CLOSELY, *PARTICULAR]


@pytest.fixture(scope="module")
def lowered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What became of each architecture: one process, whose backend is JAX, lowers them all."""
    out = tmp_path_factory.mktemp("lowered") / "found.json"
    root = SCRIPT.parents[2]
    environment = os.environ | {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join([str(root), str(SCRIPT.parent)]),
        # What is looked at is what the programs say, not how soon.
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
    }
    subprocess.run([sys.executable, str(SCRIPT), str(out)], env=environment, check=True)
    return json.loads(out.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMED)
def test_a_forward_is_lowered_and_answers_alike(name: str, lowered: dict[str, Any]) -> None:
    found = lowered[name]["forward"]
    assert found.get("platforms") == ["cpu", "cuda", "tpu"], found
    assert found["difference"] <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMED)
def test_a_step_of_training_is_lowered(name: str, lowered: dict[str, Any]) -> None:
    found = lowered[name]["step"]
    assert found.get("platforms") == ["cpu", "cuda", "tpu"], found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lenet5", "resnet20", "gpt", "gru_attention", "dcgan", "dqn"])
def test_a_lowered_step_learns(name: str, lowered: dict[str, Any]) -> None:
    losses = lowered[name]["step"]["losses"]
    assert losses[-1] < losses[0]
