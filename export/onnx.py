"""ONNX, for ONNX Runtime and whatever else reads it: one graph, that of `serving_default`.

tf2onnx writes some graphs that no reader accepts, and says nothing: each file is opened by ONNX
Runtime before it counts, and held against its model like every artifact.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from export import saved_model
from export.artifact import SIGNATURE, Manifest
from export.formats import Conversion, threads
from zoo.errors import InputError

MODEL = "model.onnx"


def write(servable: Any, folder: Path, conversion: Conversion) -> None:
    """Convert a `Servable` in a process of its own.

    Args:
        servable: the model with its signatures.
        folder: gets `model.onnx`.
        conversion: "float16" has float16 weights and computes with them; "dynamic" int8 weights,
            and activations that are rounded as they come; "int8" both, by ranges that were seen
            in the calibration.

    Raises:
        InputError: an op cannot be said in ONNX, no reader takes what was written, or a model that
            learned with int8 is asked for in float16.
    """
    from zoo.surgery import rounds

    if conversion.quantization == "float16" and rounds(servable.model):
        raise InputError("this model learned with the numbers of int8: take that, and not float16.")
    saved_model.convert(servable, folder / MODEL, conversion, "ONNX")


def read(folder: Path, manifest: Manifest) -> Callable[..., Any]:
    """Return its signature as a function of named arrays."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    session = onnxruntime.InferenceSession(
        str(folder / MODEL), options, providers=["CPUExecutionProvider"]
    )
    names = [tensor.name for tensor in manifest.outputs]

    def call(inputs: dict[str, np.ndarray], signature: str = SIGNATURE) -> dict[str, np.ndarray]:
        return dict(zip(names, session.run(names, inputs), strict=True))

    return call
