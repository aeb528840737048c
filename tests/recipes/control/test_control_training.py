"""Agents that learn: runs, their files, interruptions, and what is refused."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
import toy_environments
from PIL import Image
from toy_environments import QUICK

import zoo
from recipes.control import CONTROL_RECIPES, ControlRecipe, ControlRun, play, train_control
from recipes.control.policy import greedy
from zoo.errors import CheckFailed, InputError
from zoo.layers import FakeQuantize, rounded
from zoo.models import built
from zoo.quantization import kernels


def quick(environment: str = "CartPole-v1", **fields: Any) -> ControlRecipe:
    return ControlRecipe(environment=environment, **QUICK | fields)


@pytest.fixture(scope="session")
def cartpole(tmp_path_factory: pytest.TempPathFactory) -> ControlRun:
    return train_control(quick(priority=0.5), tmp_path_factory.mktemp("control") / "cartpole")


def test_a_run_holds_all_that_a_later_step_needs(cartpole: ControlRun):
    files = {path.name for path in cartpole.path.iterdir()}
    assert files >= {
        "config.json", "state.npz", "history.csv", "learning_curve.png", "samples.npz",
        "metrics.json", "model.keras", "card.json", "tensorboard", "episode.gif",
    }  # fmt: skip
    history = pd.read_csv(cartpole.path / "history.csv")
    assert history["step"].tolist() == [384, 512, 768, 1_024]  # one block, at least
    assert history["return"].between(1, 500).all()
    assert history["epsilon"].is_monotonic_decreasing
    with (
        Image.open(cartpole.path / "episode.gif") as film,
        np.load(cartpole.path / "samples.npz") as samples,
    ):
        assert film.n_frames > 8
        assert samples["test_inputs"].shape == (10_000, 4)
        assert len(samples["calibration_inputs"]) == 1_000


def test_the_card_says_what_was_learned_where(cartpole: ControlRun):
    card = zoo.card(str(cartpole.path))
    assert (card.task, card.architecture, card.dataset.source) == (
        "control", "dqn_dueling", "CartPole-v1",
    )  # fmt: skip
    assert card.dataset.examples == {"train": 1_024}
    assert card.input.name == "observation"
    metric = card.metric("return")
    assert metric
    assert metric.examples == QUICK["test_episodes"]
    assert card.recipe["priority"] == 0.5


def test_the_finished_policy_earns_what_its_card_says(cartpole: ControlRun):
    card = cartpole.card
    found = play(cartpole.path, episodes=QUICK["test_episodes"])
    assert found == {metric.name: metric.value for metric in card.metrics}


def test_the_best_evaluation_is_kept(cartpole: ControlRun):
    history = pd.read_csv(cartpole.path / "history.csv")
    best = history["return"].max()
    [kept] = cartpole.path.glob("kept-*.weights.h5")
    step = int(kept.name.split("-")[1].split(".")[0])
    assert history.set_index("step")["return"][step] == best


INTERRUPTED = """
import os, signal, sys
import msgspec
from recipes.control import ControlRecipe, train_control
recipe = msgspec.json.decode(sys.argv[1], type=ControlRecipe)
kill = lambda state, _: state.history[-1]["step"] > 512 and os.kill(os.getpid(), signal.SIGKILL)
train_control(recipe, sys.argv[2], progress=kill)
"""


@pytest.mark.parametrize("priority", [0.0, 0.6])
def test_a_run_that_was_killed_goes_on_as_if_nothing_had_happened(tmp_path: Path, priority: float):
    recipe = quick(priority=priority, schedule="cosine")
    fields = json.dumps(
        {"environment": recipe.environment, "priority": priority, "schedule": "cosine", **QUICK}
    )
    place = str(tmp_path / "killed")
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, fields, place], capture_output=True, check=False
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert len(pd.read_csv(tmp_path / "killed" / "history.csv")) == 2
    resumed = train_control(recipe, place, resume=True)
    whole = train_control(recipe, tmp_path / "whole")
    for one, other in zip(resumed.load().get_weights(), whole.load().get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    a, b = (pd.read_csv(r.path / "history.csv").drop(columns="seconds") for r in (resumed, whole))
    pd.testing.assert_frame_equal(a, b)


def test_a_training_ends_where_its_goal_is_reached(tmp_path: Path):
    run = train_control(quick(steps=4_096, goal=5.0), tmp_path / "run")
    assert len(pd.read_csv(run.path / "history.csv")) == 1
    assert run.card.dataset.examples == {"train": 384}


def test_a_policy_that_rounds_is_known_by_its_card(tmp_path: Path):
    run = train_control(quick(quantize="int8"), tmp_path / "run")
    model = run.load()
    assert run.card.quantization == "int8"
    assert any(isinstance(layer, FakeQuantize) for layer in model.layers)
    assert any(isinstance(layer, FakeQuantize) for layer in built(run.card).layers)
    for kernel, axes in kernels(model):
        np.testing.assert_allclose(kernel, rounded(kernel, axes), rtol=1e-5, atol=1e-7)
    kept = zoo.build("dqn_dueling")
    run.load_kept(kept, run.read_state())
    with np.load(run.path / "samples.npz") as samples:
        inputs = samples["test_inputs"]
    choices = [m.predict(inputs, verbose=0).argmax(axis=-1) for m in (kept, model)]
    assert (choices[0] == choices[1]).mean() > 0.8  # by chance: about a half


@pytest.mark.slow
def test_the_recipe_for_pong_learns_from_pictures(tmp_path: Path):
    short = {"warm_up": 1_000, "block_steps": 200, "evaluate_every": 1_000, "keep_every": 1_000}
    recipe = msgspec.structs.replace(
        CONTROL_RECIPES["dqn-pong"],
        steps=2_000, replay_capacity=2_400, evaluation_episodes=1, test_episodes=1, **short,
    )  # fmt: skip
    run = train_control(recipe, tmp_path / "pong")
    assert -21 <= run.metrics["test"]["return"] <= 21
    state = run.read_state().arrays
    assert state["replay/observations"].shape[2:] == (84, 84, 1)  # each picture once
    with np.load(run.path / "samples.npz") as samples:
        assert samples["test_inputs"].shape[1:] == (84, 84, 4)
        assert samples["test_inputs"].dtype == "uint8"
    assert np.isfinite(pd.read_csv(run.path / "history.csv")["loss"]).all()


def test_a_finished_run_is_returned_as_it_is(cartpole: ControlRun):
    before = (cartpole.path / "card.json").stat().st_mtime_ns
    train_control(cartpole.config.recipe, cartpole.path, resume=True)
    assert (cartpole.path / "card.json").stat().st_mtime_ns == before


def test_a_policy_learns_to_go_right(tmp_path: Path):
    recipe = quick("Corridor-v0", n_step=1, learning_rate=3e-3, steps=2_048, block_updates=64)

    # Every step earns its number, whatever is done: only the way's length differs in value.
    run = train_control(recipe, tmp_path / "corridor")
    assert run.metrics["test"]["return"] == 15
    values = greedy(run.load())(np.zeros((1, 3), "float32"))
    assert values.shape == (1,)


@pytest.mark.parametrize(
    ("environment", "fields"),
    [
        ("MinAtar/Breakout-v1", {"model": "dqn_minatar"}),
        ("Corridor-v0", {"environment_options": {"dtype": "uint8"}, "model": "dqn"}),
        ("CartPole-v1", {"model": "dqn_c51", "double": False}),
        ("CartPole-v1", {"model": "dqn_c51", "arguments": {"value_range": [0, 50]}}),
        ("CartPole-v1", {"reward_range": [0, 0.5], "standardize": False, "n_step": 1}),
    ],
)
def test_every_kind_of_network_and_observation_learns(
    tmp_path: Path, environment: str, fields: dict[str, Any]
):
    run = train_control(quick(environment, **fields), tmp_path / "run")
    assert np.isfinite(pd.read_csv(run.path / "history.csv")["loss"]).all()
    assert run.metrics["test"]["length"] >= 1


def test_time_that_is_up_is_worth_something_and_an_end_is_not(tmp_path: Path):
    """Where the task ends, the last step is worth its reward; where time is up, it goes on."""
    values = {}
    for end in ("terminated", "truncated"):
        recipe = quick(
            "Corridor-v0",
            environment_options={"end": end},
            n_step=1,
            discount=0.5,
            learning_rate=1e-2,
            steps=4_096,
            block_updates=128,
            target_period=32,
            model="dqn",
            evaluate_every=2_048,
            keep_every=2_048,
        )
        model = train_control(recipe, tmp_path / end).load()
        last = np.zeros((1, 3), "float32")
        last[0, 0] = last[0, 1] = toy_environments.LENGTH - 1
        values[end] = float(np.asarray(model(last)).max())
    assert values["terminated"] == pytest.approx(toy_environments.LENGTH, abs=0.7)
    assert values["truncated"] > values["terminated"] + 0.7


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model": "lenet5"}, "'lenet5' is for classification"),
        ({"optimizer": "sgdd"}, "sgd"),
        ({"trainer": "tfagents"}, "tf_agents"),
        ({"discount": 1.5}, "discount must be in"),
        ({"block_steps": 100}, "block_steps must be a multiple of environments"),
        ({"evaluate_every": 500}, "evaluate_every must be a multiple of block_steps"),
        ({"replay_capacity": 16}, "replay_capacity must hold more"),
        ({"reward_range": [1, -1]}, "reward_range"),
        ({"epsilon": 2.0}, "epsilon must be in"),
        ({"steps": 0}, "steps must be above 0"),
        ({"seed": -1}, "seed must not be negative"),
    ],
)
def test_a_recipe_that_cannot_be_trained_is_refused(fields: dict[str, Any], words: str):
    with pytest.raises(InputError, match=words):
        quick(**fields)


@pytest.mark.parametrize(
    ("environment", "fields", "words"),
    [
        ("CartPol-v1", {}, "CartPole-v1"),
        ("Pendulum-v1", {}, "actions"),
        ("CartPole-v1", {"model": "dqn_nature"}, "cannot be built for observations"),
        ("CartPole-v1", {"arguments": {"wings": 2}}, "wings"),
    ],
)
def test_nothing_is_written_of_a_run_that_cannot_begin(
    tmp_path: Path, environment: str, fields: dict[str, Any], words: str
):
    with pytest.raises(InputError, match=words):
        train_control(quick(environment, **fields), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("fault", ["raise", "reward", "observation"])
def test_a_broken_environment_leaves_no_run_to_go_on_from(tmp_path: Path, fault: str):
    with pytest.raises(InputError, match="Corridor-v0"):
        train_control(quick("Corridor-v0", environment_options={"fault": fault}), tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()
    recipe = quick("Corridor-v0")
    assert train_control(recipe, tmp_path / "run").finished  # the place can be used again


def test_an_environment_that_breaks_later_leaves_what_was_kept(tmp_path: Path, monkeypatch):
    steps = 0
    real = toy_environments.Corridor.step

    def step(self: Any, action: int) -> Any:
        nonlocal steps
        steps += 1
        if steps > 700:
            raise RuntimeError("the cable broke")
        return real(self, action)

    monkeypatch.setattr(toy_environments.Corridor, "step", step)
    recipe = quick("Corridor-v0")
    with pytest.raises(InputError, match="the cable broke"):
        train_control(recipe, tmp_path / "run")
    monkeypatch.undo()
    assert len(pd.read_csv(tmp_path / "run" / "history.csv")) == 2
    assert train_control(recipe, tmp_path / "run", resume=True).finished


def test_a_loss_that_is_no_number_ends_the_training(tmp_path: Path):
    recipe = quick(learning_rate=1e30, clip_norm=0, optimizer="sgd")
    with pytest.raises(CheckFailed, match="lower the learning rate"):
        train_control(recipe, tmp_path / "run")


def test_a_damaged_state_is_named(cartpole: ControlRun, tmp_path: Path):
    place = tmp_path / "run"
    place.mkdir()
    (place / "config.json").write_bytes((cartpole.path / "config.json").read_bytes())
    (place / "state.npz").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"state\.npz is damaged"):
        train_control(cartpole.config.recipe, place, resume=True)


def test_a_place_that_is_taken_is_refused(cartpole: ControlRun):
    with pytest.raises(InputError, match="exists already"):
        train_control(quick(), cartpole.path)
