"""OpenVINO, for Intel's processors and accelerators: one graph, that of `serving_default`.

OpenVINO computes in whatever precision the device is fastest in (bfloat16, on some processors),
unless it is told: files are held against their models with `INFERENCE_PRECISION_HINT` at "f32".
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from export import saved_model, subprocesses
from export.artifact import SIGNATURE, Manifest
from export.formats import Conversion
from zoo.errors import InputError

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
    if conversion.quantization == "int8" and not conversion.calibration:
        raise InputError("int8 needs real examples to calibrate with: give `calibration`.")
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "saved_model"
        saved_model.write(servable, source, Conversion())
        error = subprocesses.run(
            "export.openvino_converter",
            {
                "saved_model": str(source),
                "target": str(folder / MODEL),
                "quantization": conversion.quantization,
                "inputs": [tensor.name for tensor in servable.inputs],
                "outputs": [tensor.name for tensor in servable.outputs],
                "batch": servable.inputs[0].shape[0],
            },
            arrays=conversion.examples,
            timeout=conversion.timeout,
            crash="the OpenVINO converter crashed on this model.",
        ).facts["error"]
    if error:
        raise InputError(
            f"this model cannot be written as OpenVINO {conversion.quantization}: {error}"
        )


def read(folder: Path, manifest: Manifest) -> Callable[..., Any]:
    """Return its signature as a function of named arrays."""
    import openvino

    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(folder / MODEL), "CPU", hints)
    request = compiled.create_infer_request()

    def call(inputs: dict[str, np.ndarray], signature: str = SIGNATURE) -> dict[str, np.ndarray]:
        found = request.infer(inputs)
        return {tensor.name: np.array(found[tensor.name]) for tensor in manifest.outputs}

    return call
