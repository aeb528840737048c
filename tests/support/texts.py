"""What the tests of exported texts share: small models whose answers differ from text to text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from export import Artifact
from export.formats import FORMATS, resolve


def decided(model: keras.Model, deviation: float = 0.3) -> keras.Model:
    """Give a model weights so large that its answers differ."""
    random = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(np.asarray(weight) + random.normal(0, deviation, weight.shape))
    return model


def reading(artifact: Artifact) -> Callable[..., dict[str, np.ndarray]]:
    """Return an artifact as a function of named arrays and a signature's name."""
    return resolve(FORMATS[artifact.manifest.format].reader)(artifact.path, artifact.manifest)


def described(artifact: Artifact) -> dict[str, Any]:
    """Return signature -> the shapes and dtypes of what goes in, and the names that come out."""
    signatures = ("serving_default", *artifact.manifest.signatures)
    return {
        name: (
            {t.name: (t.dtype, t.shape) for t in artifact.manifest.signature(name).inputs},
            [t.name for t in artifact.manifest.signature(name).outputs],
        )
        for name in signatures
    }


def texts(values: np.ndarray) -> list[str]:
    """Return strings of TensorFlow as Python's."""
    return [value.decode() for value in values.tolist()]


def operations(path: Path) -> set[str]:
    """Return the names of the operations of a LiteRT file, of all its signatures."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    names = {value: key for key, value in vars(schema.BuiltinOperator).items()}
    return {names[model.OperatorCodes(i).BuiltinCode()] for i in range(model.OperatorCodesLength())}
