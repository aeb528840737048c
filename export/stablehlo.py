"""StableHLO, by JAX: one program for CPU, CUDA and TPU.

The same Keras model is built in a process whose backend is JAX, and `jax.export` lowers it for each
platform. On a machine without an accelerator, lowering is the proof that there is: the file is
loaded again and run on the CPU, and `model.json` says for which platforms it was lowered.

A step of training is lowered in the same way. It is called with a state (the arrays of `state.npz`
in their order: what is learned, what is not, the optimizer's), named inputs and a list of targets,
and gives the next state and the loss.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from export import subprocesses
from export.artifact import SIGNATURE, Manifest
from export.formats import PLATFORMS, Conversion
from zoo.errors import InputError
from zoo.registry import unknown

if TYPE_CHECKING:
    import keras

MODEL, WEIGHTS = "model.stablehlo", "weights.npz"
STEP, STATE = "train_step.stablehlo", "state.npz"
JAX = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}


@dataclass(frozen=True)
class TrainStep:
    """A step of training, to be lowered beside the model.

    Attributes:
        optimizer: of Keras; fresh.
        loss: of Keras; of each output and its target, added up.
        target_dtype: "float32" for targets in the shape of the outputs, "int32" for numbers of
            classes, in the shape of the outputs without their last axis.
    """

    optimizer: "keras.Optimizer"
    loss: "keras.losses.Loss"
    target_dtype: str = "float32"


def write(servable: Any, folder: Path, conversion: Conversion) -> None:
    """Lower the model of a `Servable` in a process of its own.

    Args:
        servable: the model; the batch and the lengths of its `serving_default`.
        folder: gets `model.stablehlo`, and `weights.npz` if they are beside it; of a step of
            training `train_step.stablehlo`, and `state.npz`, what it begins from.
        conversion: with the platforms, and the step.

    Raises:
        InputError: a platform is unknown, or JAX cannot lower the model.
    """
    if not conversion.platforms:
        raise InputError(f"name a platform at least: {', '.join(PLATFORMS)}.")
    for platform in conversion.platforms:
        if platform not in PLATFORMS:
            raise unknown(platform, PLATFORMS, "platform")
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "model.keras"
        servable.model.save(source)
        error = subprocesses.run(
            "export.lowering",
            {
                "model": str(source),
                "task": servable.task,
                "target": str(folder / MODEL),
                "weights": str(folder / WEIGHTS) if conversion.weights_beside else "",
                "platforms": list(conversion.platforms),
                "shapes": {tensor.name: tensor.shape for tensor in servable.inputs},
                "step": _step(servable.model, conversion.train_step),
            },
            timeout=conversion.timeout,
            crash="JAX crashed on this model.",
            environment=JAX,
            library="keras",
        ).facts["error"]
    if error:
        raise InputError(f"this model cannot be lowered to StableHLO: {error}")


def _step(model: "keras.Model", step: TrainStep | None) -> dict[str, Any] | None:
    """Return what a process is told of a step of training."""
    import keras

    if step is None:
        return None
    outputs = [tensor.shape for tensor in keras.tree.flatten(model.output)]
    classes = step.target_dtype.startswith("int")
    return {
        "optimizer": keras.optimizers.serialize(step.optimizer),
        "loss": keras.losses.serialize(step.loss),
        "targets": [(list(x[:-1] if classes else x), step.target_dtype) for x in outputs],
        "program": STEP,
        "state": STATE,
    }


def read(folder: Path, manifest: Manifest) -> Callable[..., Any]:
    """Return its signature as a function of named arrays."""
    import jax
    from jax import export

    program = export.deserialize(bytearray((folder / MODEL).read_bytes()))
    run = jax.jit(program.call)
    beside: tuple[Any, ...] = ()
    if (folder / WEIGHTS).is_file():
        with np.load(folder / WEIGHTS, allow_pickle=False) as file:
            beside = ([jax.numpy.asarray(file[f"{n:05}"]) for n in range(len(file.files))],)

    def call(inputs: dict[str, np.ndarray], signature: str = SIGNATURE) -> dict[str, np.ndarray]:
        return {name: np.asarray(value) for name, value in run(*beside, inputs).items()}

    return call
