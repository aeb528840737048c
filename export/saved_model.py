"""SavedModel, for TensorFlow Serving and everything else that reads it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from export.artifact import Manifest
from zoo.errors import InputError

SIGNATURE = "serving_default"


def write(servable: Any, folder: Path, quantization: str, calibration: Any, timeout: float) -> None:
    """Write a `Servable` as a SavedModel with one signature, `serving_default`."""
    import tensorflow as tf

    try:
        tf.saved_model.save(servable.module, str(folder), signatures={SIGNATURE: servable.function})
    except tf.errors.OpError as error:  # a full disk, for one
        raise InputError(f"{folder} cannot be written: {error.message}") from error


def read(folder: Path, manifest: Manifest) -> Callable[[dict[str, np.ndarray]], Any]:
    """Return the signature as a function of named arrays."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder))
    signature = loaded.signatures[SIGNATURE]

    def call(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = signature(**{name: tf.constant(value) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}

    call.keep_alive = loaded  # type: ignore[attr-defined]  # the signature does not hold it
    return call
