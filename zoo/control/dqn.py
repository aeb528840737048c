"""Deep Q-network: what each action is worth, from what is observed.

*Human-level control through deep reinforcement learning*, Mnih et al. 2015,
https://doi.org/10.1038/nature14236

The convolutions of 2015 and of 2013 (https://arxiv.org/abs/1312.5602, section 4.1), the small one
of MinAtar (https://arxiv.org/abs/1903.03176, section 4), and a perceptron for observations that are
vectors. Two heads from later papers: dueling (https://arxiv.org/abs/1511.06581), and distributional
(C51, https://arxiv.org/abs/1707.06887). Deviations: frames are scaled inside the model, and
pictures come channels last; He initialization; a dueling network does not scale the gradients that
meet where its streams part.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from zoo.layers import Standardize
from zoo.spaces import Choice, Int, Space, Widths

OBSERVATIONS = ("float32", "uint8", "bool")
_STREAMS = ("value", "advantage")
_HE = "he_normal"


@keras.saving.register_keras_serializable(package="zoo")
class Expectation(layers.Layer):
    """The mean of distributions over evenly spaced values.

    *A Distributional Perspective on Reinforcement Learning*, Bellemare et al. 2017,
    https://arxiv.org/abs/1707.06887, section 4.1

    - input: logits `(..., atoms)`
    - output: float32 `(...)`

    Args:
        value_range: the least value and the greatest.
        **kwargs: of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> from zoo.control.dqn import Expectation
        >>> float(Expectation((0, 4))(np.zeros((1, 5)))[0])
        2.0
    """

    def __init__(self, value_range: Sequence[float], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.value_range = tuple(map(float, value_range))

    def call(self, logits: Any) -> Any:
        """Return the means."""
        least, greatest = self.value_range
        values = np.linspace(least, greatest, logits.shape[-1], dtype="float32")
        return ops.sum(ops.softmax(ops.cast(logits, "float32"), axis=-1) * values, axis=-1)

    def compute_output_spec(self, logits: Any) -> Any:
        """Return the means' shape."""
        return keras.KerasTensor(logits.shape[:-1], dtype="float32")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {**super().get_config(), "value_range": list(self.value_range)}


SPACES: dict[str, Space] = {
    "dqn": {
        "hidden": Widths(1, 3, Int(32, 512, "log")),
        "dueling": Choice((False, True)),
    }
}


def dqn(
    input_shape: Sequence[int] = (4,),
    actions: int = 2,
    observation: str = "float32",
    convolutions: Sequence[Sequence[int]] = (),
    hidden: Sequence[int] = (120, 84),
    dueling: bool = False,
    atoms: int = 0,
    value_range: Sequence[float] = (-10.0, 10.0),
    name: str = "dqn",
) -> keras.Model:
    """Build a Q-network.

    Args:
        input_shape: of an observation: `(features,)`, or `(height, width, channels)`.
        actions: number of actions.
        observation: dtype of what is observed: "float32" in physical units, which is standardized
            column by column with statistics that the training takes from its first observations;
            "uint8" in 0…255, scaled to 0…1; or "bool".
        convolutions: filters, side of the kernel and stride of each, all with valid padding; their
            outputs are named "stage1" … and those of the hidden layers go on from there.
        hidden: widths of the hidden layers.
        dueling: the last hidden layer twice: for the value of what is observed, and for the
            advantage of each action.
        atoms: number of values in each action's distribution; 0 for none, 51 for C51.
        value_range: the least of these values and the greatest, in units of the return.
        name: name of the model.

    Returns:
        `keras.Model` from "observation" to float32 values `(batch, actions)`; with `atoms`, to a
        `dict` of these "q_values" and of the "logits" `(batch, actions, atoms)`.

    Raises:
        ValueError: the observation is of no such dtype, or too small for the convolutions.

    Example:
        >>> import zoo
        >>> zoo.build("dqn").count_params()
        10942
        >>> zoo.build("dqn", atoms=51).output["logits"].shape
        (None, 2, 51)
    """
    if observation not in OBSERVATIONS:
        raise ValueError(f"an observation is {', '.join(OBSERVATIONS)}, not {observation!r}.")
    inputs = keras.Input(input_shape, dtype=observation, name="observation")
    x = _scaled(inputs)
    for number, (filters, kernel_size, strides) in enumerate(convolutions, start=1):
        x = layers.Conv2D(
            filters, kernel_size, strides, kernel_initializer=_HE, name=f"conv{number}"
        )(x)
        x = layers.ReLU(name=f"stage{number}")(x)  # (batch, height, width, filters)
    if len(x.shape) > 2:
        x = layers.Flatten(name="flatten")(x)
    shared = hidden[:-1] if dueling else hidden
    for number, units in enumerate(shared, start=len(convolutions) + 1):
        x = _dense_relu(x, units, f"dense{number}", f"stage{number}")
    outputs = actions * max(1, atoms)
    if dueling:
        streams = [_dense_relu(x, hidden[-1], f"{s}_dense", f"{s}_stream") for s in _STREAMS]
        value = _linear(streams[0], max(1, atoms), "value")
        advantage = _linear(streams[1], outputs, "advantage")
        if atoms:
            value = layers.Reshape((1, atoms), name="value_logits")(value)
            advantage = layers.Reshape((actions, atoms), name="advantage_logits")(advantage)
        x = value + (advantage - ops.mean(advantage, axis=1, keepdims=True))
    else:
        x = _linear(x, outputs, "values")
        if atoms:
            x = layers.Reshape((actions, atoms), name="value_logits")(x)
    if not atoms:
        return keras.Model(inputs, layers.Identity(name="q_values", dtype="float32")(x), name=name)
    logits = layers.Identity(name="logits", dtype="float32")(x)  # (batch, actions, atoms)
    q_values = Expectation(value_range, name="q_values", dtype="float32")(logits)
    return keras.Model(inputs, {"q_values": q_values, "logits": logits}, name=name)


def _scaled(inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Return what is observed as numbers that a network learns from well."""
    if inputs.dtype == "float32":
        if len(inputs.shape) > 2:
            return inputs
        return Standardize(name="standardize", dtype="float32")(inputs)
    scale = 1 / 255 if inputs.dtype == "uint8" else 1.0
    return layers.Rescaling(scale, name="rescale")(inputs)


def _dense_relu(x: keras.KerasTensor, units: int, name: str, stage: str) -> keras.KerasTensor:
    x = layers.Dense(units, kernel_initializer=_HE, name=name)(x)
    return layers.ReLU(name=stage)(x)


def _linear(x: keras.KerasTensor, units: int, name: str) -> keras.KerasTensor:
    """Apply an output layer, which is float32 in any dtype policy."""
    return layers.Dense(units, name=name, dtype="float32")(x)
