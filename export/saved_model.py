"""SavedModel, for TensorFlow Serving and everything else that reads it."""

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from export import subprocesses
from export.artifact import SIGNATURE, Manifest
from export.formats import Conversion, asked_threads
from zoo.errors import InputError


def write(servable: Any, folder: Path, conversion: Conversion) -> None:
    """Write a `Servable` as a SavedModel with its signatures."""
    import tensorflow as tf

    try:
        tf.saved_model.save(servable.module, str(folder), signatures=servable.functions)
    except tf.errors.OpError as error:  # a full disk, for one
        raise InputError(f"{folder} cannot be written: {error.message}") from error


def convert(servable: Any, target: Path, conversion: Conversion, name: str) -> None:
    """Write a `Servable` in another format by way of a SavedModel, in a process of its own.

    Args:
        servable: the model with its signatures.
        target: the file.
        conversion: how it is written.
        name: of the format, for people: `export.NAME_converter` is what converts.

    Raises:
        InputError: there is nothing to calibrate "int8" with, or the converter refused the model.
    """
    if conversion.quantization == "int8" and not conversion.calibration:
        raise InputError("int8 needs real examples to calibrate with: give `calibration`.")
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "saved_model"
        write(servable, source, Conversion())
        error = subprocesses.run(
            f"export.{name.lower()}_converter",
            {
                "saved_model": str(source),
                "target": str(target),
                "quantization": conversion.quantization,
                "inputs": [tensor.name for tensor in servable.inputs],
                "outputs": [tensor.name for tensor in servable.outputs],
                "batch": servable.inputs[0].shape[0],
            },
            arrays=conversion.examples,
            timeout=conversion.timeout,
            crash=f"the {name} converter crashed on this model.",
            library="tensorflow",
        ).facts["error"]
    if error:
        raise InputError(
            f"this model cannot be written as {name} {conversion.quantization}: {error}"
        )


def read(folder: Path, manifest: Manifest) -> Callable[..., Any]:
    """Return its signatures as one function of named arrays and a signature's name."""
    import tensorflow as tf

    if asked := asked_threads():
        with suppress(RuntimeError):  # where TensorFlow has begun, its threads are there
            tf.config.threading.set_intra_op_parallelism_threads(asked)
            tf.config.threading.set_inter_op_parallelism_threads(asked)
    loaded = tf.saved_model.load(str(folder))

    def call(inputs: dict[str, np.ndarray], signature: str = SIGNATURE) -> dict[str, np.ndarray]:
        function = loaded.signatures[signature]
        outputs = function(**{name: tf.constant(value) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}

    return call
