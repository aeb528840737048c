"""tf-agents beside Keras 3: every shim that it needs, with the reason for each.

tf-agents' last release was made for Keras 2. Its agents, policies, drivers and buffers work on
Keras 3 networks all the same, with what stands here; nothing changes for the rest of the process.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module, metadata
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recipes.control.environments import EXTRA, Environments, Spaces
from zoo.errors import InputError

_MODULES = {
    "agents": "tf_agents.agents",
    "categorical": "tf_agents.agents.categorical_dqn.categorical_dqn_agent",
    "dqn": "tf_agents.agents.dqn.dqn_agent",
    "drivers": "tf_agents.drivers.dynamic_step_driver",
    "metrics": "tf_agents.metrics.tf_metrics",
    "network": "tf_agents.networks.network",
    "policy_saver": "tf_agents.policies.policy_saver",
    "py_environment": "tf_agents.environments.py_environment",
    "replay": "tf_agents.replay_buffers.tf_uniform_replay_buffer",
    "specs": "tf_agents.specs",
    "tf_environment": "tf_agents.environments.tf_py_environment",
    "time_step": "tf_agents.trajectories.time_step",
    "trajectory": "tf_agents.trajectories.trajectory",
    "common": "tf_agents.utils.common",
}


@cache
def tf_agents() -> SimpleNamespace:
    """Import tf-agents' modules.

    Returns:
        The modules by the short names of `_MODULES`.

    Raises:
        InputError: it is not installed; names the extra.

    Example:
        >>> from recipes.control.bridge import tf_agents
        >>> tf_agents().dqn.DqnAgent.__name__
        'DqnAgent'
    """
    for name in ("tf_agents", "tf_keras"):
        if find_spec(name) is None:
            raise InputError(
                f"this trainer needs {name}, which is not installed: {EXTRA}; or take the trainer "
                "'compiled', which needs neither."
            )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old escapes in strings, at their first compilation
        _quiet_gym()
        # Before Python 3.12 the standard library had it, and tf-agents asks for it still.
        import_module("setuptools")
        _import_probability()
        with keras_2():
            import_module("tf_agents.agents")
            modules = {short: import_module(name) for short, name in _MODULES.items()}
    return SimpleNamespace(**modules)


@contextmanager
def keras_2() -> Iterator[None]:
    """Have `tf.keras` be Keras 2 while a package is imported whose classes derive from it.

    tf-agents' networks would else be Keras 3 layers that track none of a model's variables, and a
    policy saved from one would be without weights.
    """
    import tf_keras

    places = [tf, tf.compat.v1, tf.compat.v2]
    before = [place.__dict__.get("keras") for place in places]
    for place in places:
        place.__dict__["keras"] = tf_keras
    try:
        yield
    finally:
        for place, module in zip(places, before, strict=True):
            if module is None:
                del place.__dict__["keras"]
            else:
                place.__dict__["keras"] = module


def _import_probability() -> None:
    """Import TensorFlow Probability, whose releases before 0.24 look for Keras 2 in `tf.keras`."""
    version = tuple(map(int, metadata.version("tensorflow-probability").split(".")[:2]))
    if version < (0, 24):
        with keras_2():
            import_module("tensorflow_probability").distributions  # noqa: B018  loads lazily
    else:
        import_module("tensorflow_probability").distributions  # noqa: B018


def _quiet_gym() -> None:
    """Empty the notices of the old gym, which tf-agents imports: it prints them at its import."""
    if find_spec("gym_notices"):
        import_module("gym_notices.notices").notices.clear()


def network(model: keras.Model, spaces: Spaces) -> Any:
    """Return a Keras 3 Q-network as a network of tf-agents, which shares its weights."""
    return _network_class()(model, spaces)


@cache
def _network_class() -> type:
    base: Any = tf_agents().network.Network

    class KerasNetwork(base):
        """A Keras 3 functional model as tf-agents looks at networks."""

        _network_output_spec: Any

        def __init__(self, model: keras.Model, spaces: Spaces, name: str = "KerasNetwork") -> None:
            super().__init__(input_tensor_spec=tf.TensorSpec(spaces.shape, spaces.dtype), name=name)
            self._model, self._spaces = model, spaces
            # What a SavedModel keeps is found through attributes, and Keras 3's are no tf.Variable.
            self._kept = [v.value for v in model.variables]
            if isinstance(model.output, dict):
                self.num_atoms = model.output["logits"].shape[-1]

        def call(
            self,
            observation: Any,
            step_type: Any = None,
            network_state: Any = (),
            training: bool = False,
        ) -> tuple[Any, Any]:
            outputs = self._model(observation, training=training)
            return (outputs["logits"] if isinstance(outputs, dict) else outputs), network_state

        def create_variables(self, input_tensor_spec: Any = None, **kwargs: Any) -> Any:
            """Return the outputs' specs: zeros go in, for tf-agents can draw no uint8."""
            if self._network_output_spec is None:
                nothing = tf.zeros((1, *self._spaces.shape), self._spaces.dtype)
                outputs, _ = self(nothing, step_type=tf.zeros((1,), tf.int32), **kwargs)
                self._network_output_spec = tf.TensorSpec(outputs.shape[1:], outputs.dtype)
            return self._network_output_spec

        def copy(self, **kwargs: Any) -> Any:
            """Return a network with weights of its own: the target."""
            copied = keras.models.clone_model(self._model)
            copied.set_weights(self._model.get_weights())
            return type(self)(copied, self._spaces, **kwargs)

        # tf-agents trains and copies tf.Variables, which Keras 3 keeps inside its own.

        @property
        def variables(self) -> list[tf.Variable]:
            return [v.value for v in self._model.variables]

        @property
        def trainable_variables(self) -> list[tf.Variable]:
            return [v.value for v in self._model.trainable_variables]

        @property
        def non_trainable_variables(self) -> list[tf.Variable]:
            return [v.value for v in self._model.non_trainable_variables]

        weights = variables
        trainable_weights = trainable_variables
        non_trainable_weights = non_trainable_variables

        @property
        def losses(self) -> list[Any]:
            return self._model.losses

    return KerasNetwork


def environment(environments: Environments) -> Any:
    """Return environments side by side as one of tf-agents."""
    agents = tf_agents()
    return agents.tf_environment.TFPyEnvironment(_environment_class()(environments))


@cache
def _environment_class() -> type:
    agents = tf_agents()
    first, middle, last = (agents.time_step.StepType.__dict__[n] for n in ("FIRST", "MID", "LAST"))

    base: Any = agents.py_environment.PyEnvironment

    class GymnasiumEnvironments(base):
        """Gymnasium's environments by tf-agents' rules, which are the same but for their words.

        Where the time was up, the last step has a discount of 1, and where the task ended, of 0.
        """

        def __init__(self, environments: Environments) -> None:
            super().__init__()
            self.environments, self.seed_of_reset = environments, 0
            self.over = np.zeros(environments.count, bool)

        @property
        def batched(self) -> bool:
            return True

        @property
        def batch_size(self) -> int:
            return self.environments.count

        def observation_spec(self) -> Any:
            spaces = self.environments.spaces
            return agents.specs.ArraySpec(spaces.shape, np.dtype(spaces.dtype), "observation")

        def action_spec(self) -> Any:
            greatest = self.environments.spaces.actions - 1
            return agents.specs.BoundedArraySpec((), np.int64, 0, greatest, "action")

        def _reset(self) -> Any:
            self.over[:] = False
            observations = self.environments.reset(self.seed_of_reset)
            return agents.time_step.restart(observations, self.batch_size)

        def _step(self, action: np.ndarray) -> Any:
            begins = self.over
            observations, rewards, terminated, truncated = self.environments.step(action)
            self.over = terminated | truncated
            kind = np.where(self.over, last, np.where(begins, first, middle)).astype("int32")
            discounts = np.where(terminated, 0, 1).astype("float32")
            return agents.time_step.TimeStep(kind, rewards, discounts, observations)

    return GymnasiumEnvironments
