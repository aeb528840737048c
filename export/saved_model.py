"""SavedModel, for TensorFlow Serving and everything else that reads it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from export.artifact import SIGNATURE, Manifest
from export.formats import Conversion
from zoo.errors import InputError


def write(servable: Any, folder: Path, conversion: Conversion) -> None:
    """Write a `Servable` as a SavedModel with its signatures."""
    import tensorflow as tf

    try:
        tf.saved_model.save(servable.module, str(folder), signatures=servable.functions)
    except tf.errors.OpError as error:  # a full disk, for one
        raise InputError(f"{folder} cannot be written: {error.message}") from error


def read(folder: Path, manifest: Manifest) -> Callable[..., Any]:
    """Return its signatures as one function of named arrays and a signature's name."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder))

    def call(inputs: dict[str, np.ndarray], signature: str = SIGNATURE) -> dict[str, np.ndarray]:
        function = loaded.signatures[signature]
        outputs = function(**{name: tf.constant(value) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}

    return call
