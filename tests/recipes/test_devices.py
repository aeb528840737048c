"""Training on several devices: as on one, whatever their number and however the batches divide.

Four virtual devices of this processor stand for accelerators, and two processes for two machines.
"""

import csv
import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recipes import Recipe, Run, train
from recipes.devices import ONE, devices_for
from zoo.errors import InputError

SCRIPT = Path(__file__).parents[1] / "support" / "spread.py"
NO_JAX = pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="JAX is not installed")

# Batches of 239 and 240 examples: of them, four devices and three can each divide only one.
NORMALIZED = {
    "model": "mlp",
    "data": "digits",
    "epochs": 3,
    "batch_size": 250,
    "arguments": {"hidden": [32], "batch_norm": True},
    "learning_rate": 0.01,
}
# Batches of two examples and three, for four devices.
TINY = NORMALIZED | {"examples": 10, "batch_size": 3, "arguments": {"hidden": [32]}}
SETTINGS = NORMALIZED | {
    "optimizer": "adamw",
    "weight_decay": 1e-2,
    "clip_norm": 1.0,
    "schedule": "one_cycle",
    "ema": 0.9,
    "label_smoothing": 0.1,
    "class_weights": True,
}
ROUNDED = {
    "model": "lenet5-mnist",
    "data": "digits",
    "epochs": 1,
    "fine_tuning": True,
    "quantize": "int8",
}
DROPPED = NORMALIZED | {"arguments": {"hidden": [32], "dropout": 0.3}}
ATTENTIVE = {
    "model": "vit",
    "data": "digits",
    "epochs": 2,
    "batch_size": 250,
    "arguments": {"patch_size": 4, "width": 16, "depth": 1, "num_heads": 4},
}


def history(run: Path) -> np.ndarray:
    """Return a run's figures: a row for each epoch."""
    with (run / "history.csv").open() as file:
        return np.array([[float(x) for x in row.values()] for row in csv.DictReader(file)])


def same(one: Path, other: Path) -> None:
    np.testing.assert_allclose(history(one), history(other), rtol=0, atol=1e-4)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def start(folder: Path, jobs: list[dict[str, Any]], **environment: str) -> subprocess.Popen[str]:
    """Start the script on its jobs, whose runs are in the folder."""
    path = folder / f"jobs{len(list(folder.glob('*.json')))}.json"
    path.write_text(json.dumps([job | {"out": str(folder / job["out"])} for job in jobs]))
    with path.with_suffix(".log").open("w") as errors:
        return subprocess.Popen(
            [sys.executable, str(SCRIPT), str(path)],
            env=os.environ | environment | {"PYTHONPATH": str(SCRIPT.parents[2])},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )


def answers(*processes: subprocess.Popen[str]) -> list[list[dict[str, Any]]]:
    """Return what each process said of its jobs, in their order."""
    said = []
    try:
        for process in processes:
            output, _ = process.communicate(timeout=900)
            log = Path(process.args[-1]).with_suffix(".log")
            assert process.returncode == 0, log.read_text()[-3000:]
            lines = output.splitlines()
            said.append([json.loads(line) for line in lines if line.startswith("{")])
    finally:
        for process in processes:
            process.kill()
    return said


def said_of(name: str, said: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what was said of the run of a name."""
    return next(answer for answer in said if Path(answer.get("place", "")).name == name)


def both(name: str, recipe: dict[str, Any], **several: Any) -> list[dict[str, Any]]:
    """Return two jobs: on one device, and on several."""
    return [
        {"recipe": recipe, "out": f"{name}_on_one"},
        {"recipe": recipe, "out": f"{name}_on_several", **several},
    ]


def moved(
    recipe: dict[str, Any], first: int, then: int, name: str = "moved"
) -> list[dict[str, Any]]:
    """Return two jobs: a run that is paused on some devices, and goes on with others."""
    job = {"recipe": recipe, "out": f"{name}_{first}_to_{then}"}
    return [job | {"devices": first, "until": 1}, job | {"devices": then, "resume": True}]


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Runs under TensorFlow, and what the script answered."""
    folder = tmp_path_factory.mktemp("mirrored")
    jobs = [
        *both("normalized", NORMALIZED, devices=4),
        {"recipe": NORMALIZED, "out": "normalized_on_three", "devices": 3},
        *both("tiny", TINY, devices=4),
        *both("settings", SETTINGS, devices="all"),
        *moved(NORMALIZED, 4, 1),
        *moved(NORMALIZED, 1, 2),
        {"recipe": DROPPED, "out": "dropped", "devices": 2},
        *moved(DROPPED, 2, 2, "dropped"),
        {"out": "drawn", "drawn": True, "devices": 4},
        {"recipe": ROUNDED, "out": "rounded", "devices": 2},
        {"recipe": NORMALIZED, "out": "many", "devices": 5},
        {"recipe": NORMALIZED, "out": "shards", "devices": 4, "model_shards": 2},
        {"recipe": NORMALIZED, "out": "cluster", "devices": "cluster"},
    ]
    [said] = answers(start(folder, jobs, KERAS_BACKEND="tensorflow"))
    return folder, said


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Runs under JAX of one process, and what the script answered."""
    folder = tmp_path_factory.mktemp("sharded")
    jobs = [
        *both("normalized", NORMALIZED, devices=4),
        *both("tiny", TINY, devices=4),
        *both("settings", SETTINGS, devices="all"),
        *both("attentive", ATTENTIVE, model_shards=2),
        *moved(NORMALIZED, 4, 1),
        *moved(NORMALIZED, 1, 2),
        {"recipe": NORMALIZED, "out": "many", "devices": 5},
        {"recipe": NORMALIZED, "out": "shards", "devices": 4, "model_shards": 3},
        {"recipe": NORMALIZED, "out": "cluster", "devices": "cluster"},
    ]
    [said] = answers(start(folder, jobs, **jax_with(4)))
    return folder, said


def jax_with(devices: int) -> dict[str, str]:
    # These runs are short: to compile takes longer than what better programs would save.
    flags = f"--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0"
    return {"KERAS_BACKEND": "jax", "XLA_FLAGS": flags}


@pytest.mark.slow
@pytest.mark.parametrize("several", ["normalized_on_several", "normalized_on_three"])
def test_mirrored_devices_learn_as_one_does(
    mirrored: tuple[Path, list[dict[str, Any]]], several: str
) -> None:
    folder, _ = mirrored
    same(folder / "normalized_on_one", folder / several)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny", "settings"])
def test_mirrored_devices_mind_no_empty_parts_and_no_settings(
    mirrored: tuple[Path, list[dict[str, Any]]], name: str
) -> None:
    folder, _ = mirrored
    same(folder / f"{name}_on_one", folder / f"{name}_on_several")


@pytest.mark.slow
@NO_JAX
@pytest.mark.parametrize("name", ["normalized", "tiny", "settings", "attentive"])
def test_sharded_devices_learn_as_one_does(
    sharded: tuple[Path, list[dict[str, Any]]], name: str
) -> None:
    folder, said = sharded
    same(folder / f"{name}_on_one", folder / f"{name}_on_several")
    one, several = (said_of(f"{name}_on_{count}", said) for count in ("one", "several"))
    assert (one["card"], one["batches"], one["weights"]) == (1, False, 0)
    assert (several["card"], several["batches"]) == (4, True)
    assert several["weights"] > 0.5 if name == "attentive" else several["weights"] == 0


@pytest.mark.slow
def test_each_mirrored_device_draws_its_own_dropout(
    mirrored: tuple[Path, list[dict[str, Any]]],
) -> None:
    folder, said = mirrored
    [draws] = [answer["drawn"] for answer in said if "drawn" in answer]
    assert len(set(map(tuple, draws))) == 4
    same(folder / "dropped", folder / "dropped_2_to_2")


@pytest.mark.slow
@pytest.mark.parametrize("runs", ["mirrored", pytest.param("sharded", marks=NO_JAX)])
def test_a_run_goes_on_with_another_number_of_devices(
    request: pytest.FixtureRequest, runs: str
) -> None:
    folder, _ = request.getfixturevalue(runs)
    for name in ("moved_4_to_1", "moved_1_to_2"):
        same(folder / "normalized_on_one", folder / name)
    assert Run(folder / "moved_1_to_2").card.training.devices == 2
    assert Run(folder / "normalized_on_several").card.training.devices == 4


@pytest.mark.slow
def test_what_tensorflow_cannot_spread_over_is_refused(
    mirrored: tuple[Path, list[dict[str, Any]]],
) -> None:
    folder, said = mirrored
    rounded, many, shards, cluster = (answer["error"] for answer in said[-4:])
    assert rounded.startswith("quantize is of a whole batch")
    assert many == "5 devices were asked for, and 4 are here (CPU)."
    assert "KERAS_BACKEND=jax" in shards
    assert "KERAS_BACKEND=jax" in cluster
    assert not {"rounded", "many", "shards", "cluster"} & {path.name for path in folder.iterdir()}


@pytest.mark.slow
@NO_JAX
def test_what_jax_cannot_spread_over_is_refused(
    sharded: tuple[Path, list[dict[str, Any]]],
) -> None:
    many, shards, cluster = (answer["error"] for answer in sharded[1][-3:])
    assert many == "5 devices were asked for, and 4 are here (cpu)."
    assert shards == "4 devices do not divide into 3 shards."
    assert "KERAS_DISTRIBUTION_JOB_ADDRESSES" in cluster


@pytest.mark.slow
@NO_JAX
def test_two_processes_learn_as_one_device_does(tmp_path: Path) -> None:
    """Over gloo: batches shared by four devices; then weights in shards, within and across."""
    alone = start(
        tmp_path,
        [
            {"recipe": NORMALIZED, "out": "normalized"},
            {"recipe": ATTENTIVE, "out": "attentive"},
            {"recipe": NORMALIZED, "out": "moved", "until": 1},
        ],
        **jax_with(1),
    )
    answers(alone)
    missing = {"recipe": NORMALIZED, "out": "missing", "devices": "cluster", "resume": True}
    jobs: list[dict[str, Any]] = [
        missing,
        {"recipe": NORMALIZED, "out": "shared", "devices": "cluster"},
        {"recipe": ATTENTIVE, "out": "within", "devices": "cluster", "model_shards": 2},
        {"recipe": ATTENTIVE, "out": "across", "devices": "cluster", "model_shards": 4},
        {"recipe": NORMALIZED, "out": "moved", "devices": "cluster", "resume": True},
    ]
    address = f"127.0.0.1:{free_port()}"
    processes = [
        start(
            tmp_path,
            jobs,
            **jax_with(2),
            KERAS_DISTRIBUTION_JOB_ADDRESSES=address,
            KERAS_DISTRIBUTION_NUM_PROCESSES="2",
            KERAS_DISTRIBUTION_PROCESS_ID=str(number),
        )
        for number in range(2)
    ]
    (refused, *first), (again, *second) = answers(*processes)
    assert refused == again
    assert "missing is no run" in refused["error"]
    same(tmp_path / "normalized", tmp_path / "shared")
    same(tmp_path / "normalized", tmp_path / "moved")
    for name in ("within", "across"):
        same(tmp_path / "attentive", tmp_path / name)
        metrics = [Run(tmp_path / run).metrics["test"] for run in (name, "attentive")]
        assert metrics[0] == pytest.approx(metrics[1], abs=1e-3)
    divided = [said_of(name, second) for name in ("shared", "within", "across")]
    assert [answer["batches"] for answer in divided] == [True, True, False]
    assert [answer["weights"] > 0.5 for answer in divided] == [False, True, True]
    assert all(Path(answer["place"]).parent == tmp_path for answer in first)
    assert not any(Path(answer["place"]).exists() for answer in second)


def test_one_device_is_what_nothing_said_means() -> None:
    assert devices_for(None) is ONE
    assert devices_for(1) is ONE
    assert devices_for("1") is ONE


def test_shards_are_looked_at_before_devices_and_mean_all_of_them() -> None:
    with pytest.raises(InputError, match="model_shards must be at least 1, not 0"):
        devices_for(None, model_shards=0)
    with pytest.raises(InputError, match="weights in shards wants Keras' backend JAX"):
        devices_for(None, model_shards=2)


def test_jax_is_no_cure_for_carried_states() -> None:
    recipe = Recipe(model="lstm_language_model", data="text", epochs=1)
    with pytest.raises(InputError, match=r"carries its states .* take one device\.$"):
        devices_for("all").check(recipe, "language_modeling", True)
    with pytest.raises(InputError, match=r"a loss of tokens .* take one device, or JAX"):
        devices_for("all").check(recipe, "language_modeling", False)


@pytest.mark.parametrize("devices", [0, -1, "some", 1.5])
def test_a_wrong_number_of_devices_is_refused(devices: Any) -> None:
    with pytest.raises(InputError, match="devices is a number, 'all' or 'cluster'"):
        devices_for(devices)


def test_devices_that_are_not_here_are_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    with pytest.raises(InputError, match="99 devices were asked for"):
        train(Recipe(model="softmax", data="iris", epochs=1), tmp_path / "run", devices=99)
    assert not (tmp_path / "run").exists()
