"""tf-agents on Keras 3 networks; and each shim, for as long as it is needed."""

import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import toy_environments

import zoo
from recipes.control import ControlRecipe, train_control
from recipes.control.environments import Environments, Spaces
from recipes.control.policy import greedy
from recipes.control.run import ControlState
from zoo.errors import InputError

if find_spec("tf_agents") is None:  # not imported here: the bridge has its own way
    pytest.skip("tf-agents is not installed", allow_module_level=True)

from recipes.control import agents, bridge

CARTPOLE = Spaces((4,), "float32", 2, "")


def printed(code: str) -> str:
    """Return what a fresh process prints, and complains of."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return done.stdout + done.stderr


def test_everybody_else_keeps_keras_3():
    bridge.tf_agents()
    assert tf.keras.__version__ == keras.__version__
    assert tf.keras.layers.Dense is keras.layers.Dense
    assert tf.compat.v2.keras.layers.Dense is keras.layers.Dense


def test_no_package_imports_tf_agents_before_it_is_asked_for():
    code = """
import sys, zoo, recipes, export, recipes.control, zoo.cli
from recipes.control import CONTROL_RECIPES
print([name for name in ("tf_agents", "tf_keras", "gymnasium", "gym") if name in sys.modules])
"""
    assert "[]" in printed(code)


# Each shim of the bridge: a test that fails once a release of somebody's makes it needless.


def test_tf_agents_networks_are_still_no_modules_of_tensorflow_under_keras_3():
    code = """
import warnings; warnings.simplefilter("ignore")
import tensorflow as tf
from recipes.control.bridge import _import_probability
_import_probability()  # old releases fail without their own shim
try:
    from tf_agents.networks import network
    print("module:", issubclass(network.Network, tf.Module))
except AttributeError:  # old releases look for what Keras 3 has not
    print("module: False")
"""
    assert "module: False" in printed(code), "needless: keras_2"


def test_gym_still_prints_a_notice():
    assert "unmaintained" in printed("import gym"), "needless: _quiet_gym"
    quiet = "from recipes.control.bridge import tf_agents; tf_agents()"
    assert "unmaintained" not in printed(quiet)


def test_keras_variables_are_still_none_of_tensorflows():
    model = zoo.build("dqn")
    assert not isinstance(model.variables[0], tf.Variable), "needless: variables, _kept"


def test_tf_agents_still_cannot_draw_uint8():
    specs = bridge.tf_agents().specs.tensor_spec
    with pytest.raises(tf.errors.InvalidArgumentError, match="minval < maxval"):
        specs.sample_spec_nest(tf.TensorSpec((2,), tf.uint8))


@pytest.mark.skipif(
    tuple(map(int, metadata.version("tensorflow-probability").split(".")[:2])) >= (0, 24),
    reason="this release of TensorFlow Probability needs no shim",
)
def test_old_releases_of_probability_still_look_for_keras_2():
    code = """
import tensorflow as tf
try:
    import tensorflow_probability as tfp; tfp.distributions
    print("works")
except AttributeError as error:
    print("fails", error)
"""
    assert "fails" in printed(code), "needless: _import_probability"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the standard library has distutils here")
def test_tf_agents_still_asks_for_distutils():
    code = """
import sys; sys.modules["setuptools"] = None
try:
    import distutils.version
    print("there")
except ImportError:
    print("gone")
"""
    assert "gone" in printed(code), "needless: import of setuptools"


# What the bridge does.


@pytest.mark.parametrize("model", ["dqn", "dqn_c51"])
def test_a_network_has_the_models_variables_and_its_copy_has_its_own(model: str):
    network = zoo.build(model)
    wrapped = bridge.network(network, CARTPOLE)
    assert [id(v) for v in wrapped.variables] == [id(v.value) for v in network.variables]
    assert len(wrapped.trainable_variables) == len(network.trainable_variables)
    observations = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    outputs, _ = wrapped(observations)
    expected = network(observations)
    expected = expected["logits"] if isinstance(expected, dict) else expected
    np.testing.assert_allclose(outputs, expected)
    copied = wrapped.copy()
    copied.create_variables()
    np.testing.assert_allclose(copied(observations)[0], expected)
    copied.variables[2].assign(copied.variables[2] * 0)
    np.testing.assert_allclose(wrapped(observations)[0], expected)


@pytest.mark.parametrize(("dtype", "shape"), [("uint8", (6, 6, 2)), ("bool", (6, 6, 2))])
def test_pictures_go_through(dtype: str, shape: tuple[int, ...]):
    network = zoo.build(
        "dqn", input_shape=shape, observation=dtype, convolutions=((4, 3, 1),), hidden=(8,)
    )
    wrapped = bridge.network(network, Spaces(shape, dtype, 2, ""))
    assert wrapped.create_variables().shape == (2,)


@pytest.mark.parametrize(("end", "discount"), [("terminated", 0.0), ("truncated", 1.0)])
def test_an_end_and_the_end_of_time_are_told_apart(end: str, discount: float):
    with Environments("Corridor-v0", 2, {"end": end}) as environments:
        wrapped = bridge.environment(environments)
        step = wrapped.reset()
        kinds, discounts, rewards = [], [], []
        for _ in range(toy_environments.LENGTH + 2):
            kinds.append(int(step.step_type[0]))
            discounts.append(float(step.discount[0]))
            rewards.append(float(step.reward[0]))
            step = wrapped.step(tf.ones(2, tf.int64))
    middle = toy_environments.LENGTH - 1
    assert kinds == [0, *[1] * middle, 2, 0]
    assert discounts == [1.0, *[1.0] * middle, discount, 1.0]
    assert rewards == [0, 1, 2, 3, 4, 5, 0]


QUICK = toy_environments.QUICK | {"trainer": "tf_agents"}


@pytest.mark.parametrize(
    "fields",
    [
        {"environment": "CartPole-v1"},
        {"environment": "CartPole-v1", "priority": 0.5, "reward_range": [0, 0.5]},
        {"environment": "CartPole-v1", "model": "dqn_c51", "double": False},
        {"environment": "MinAtar/Breakout-v1", "model": "dqn_minatar", "double": False},
    ],
    ids=["dueling", "prioritized", "categorical", "pictures"],
)
def test_agents_learn_by_the_same_recipe_and_go_on(tmp_path: Path, fields: dict[str, Any]):
    recipe = ControlRecipe(**QUICK | fields)

    def stop(state: ControlState, _: ControlRecipe) -> None:
        if state.history[-1]["step"] > 600:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_control(recipe, tmp_path / "run", progress=stop)
    run = train_control(recipe, tmp_path / "run", resume=True)
    assert run.finished
    steps = pd.read_csv(run.path / "history.csv")["step"].tolist()
    assert len(steps) >= 3
    assert steps == sorted(set(steps))
    assert steps[-1] >= QUICK["steps"]
    assert run.card.recipe["trainer"] == "tf_agents"


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"double": True}, "not double"), ({"double": False, "priority": 0.5}, "tells no errors")],
)
def test_what_the_categorical_agent_does_not_have_is_refused(
    tmp_path: Path, fields: dict[str, Any], words: str
):
    recipe = ControlRecipe(environment="CartPole-v1", model="dqn_c51", **QUICK | fields)
    with pytest.raises(InputError, match=words):
        train_control(recipe, tmp_path / "run")


def test_a_saved_policy_acts_as_the_network(tmp_path: Path):
    network = zoo.build("dqn_dueling")
    agents.save_policy(network, tmp_path / "policy")
    code = f"""
import numpy as np, tensorflow as tf
from recipes.control.bridge import tf_agents
modules = tf_agents()  # registers what the file names
policy = tf.saved_model.load({str(tmp_path / "policy")!r})
observations = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
step = modules.time_step.restart(tf.constant(observations), 64)
print("actions:", "".join(map(str, policy.action(step).action.numpy())))
"""
    found = printed(code).split("actions: ")[1].split()[0]
    observations = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    assert found == "".join(map(str, greedy(network)(observations)))
    assert len(set(found)) == 2


def test_without_tf_agents_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    bridge.tf_agents.cache_clear()
    real = bridge.find_spec
    monkeypatch.setattr(bridge, "find_spec", lambda n: None if n == "tf_agents" else real(n))
    with pytest.raises(InputError, match=r"deepzoo\[control\]"):
        bridge.tf_agents()
    monkeypatch.undo()
    assert bridge.tf_agents().dqn
