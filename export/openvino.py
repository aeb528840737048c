"""OpenVINO, for Intel's processors and accelerators: one graph, that of `serving_default`.

OpenVINO computes in whatever precision the device is fastest in (bfloat16, on some processors),
unless it is told: files are held against their models with `INFERENCE_PRECISION_HINT` at "f32".
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from export import saved_model
from export.artifact import SIGNATURE, Manifest
from export.formats import Conversion, asked_threads

MODEL = "model.xml"  # and its weights, `model.bin`


def write(servable: Any, folder: Path, conversion: Conversion) -> None:
    """Convert a `Servable` in a process of its own.

    Args:
        servable: the model with its signatures.
        folder: gets `model.xml` and `model.bin`.
        conversion: "float16" has float16 weights; "int8" rounds weights and activations by ranges
            that were seen in the calibration.

    Raises:
        InputError: an op cannot be said in OpenVINO.
    """
    saved_model.convert(servable, folder / MODEL, conversion, "OpenVINO")


def read(folder: Path, manifest: Manifest) -> Callable[..., Any]:
    """Return its signature as a function of named arrays."""
    import openvino

    hints = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": asked_threads(),  # 0: as it finds best
        "ENABLE_MMAP": False,  # or it answers nonsense where somebody writes over its file
    }
    compiled = openvino.Core().compile_model(str(folder / MODEL), "CPU", hints)
    request = compiled.create_infer_request()

    def call(inputs: dict[str, np.ndarray], signature: str = SIGNATURE) -> dict[str, np.ndarray]:
        found = request.infer(inputs)
        return {tensor.name: np.array(found[tensor.name]) for tensor in manifest.outputs}

    return call
