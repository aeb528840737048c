"""LiteRT (formerly TensorFlow Lite), for phones and small devices: built-in ops only."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from export import saved_model, subprocesses
from export.artifact import SIGNATURE, Manifest
from export.formats import Conversion, threads
from zoo.errors import InputError

MODEL = "model.tflite"

# Part of the name of an op without a built-in form -> what makes it convert.
_CURES = {
    "TensorList": "give the export a fixed batch (batch=1) and the model a fixed length, or build "
    "its LSTM or GRU layers with unroll=True",
    "Random": "take the random layer out of the model: augmentation belongs to the data",
    "String": "turn strings into numbers before the model",
    "Lookup": "turn strings into numbers before the model",
    "Conv3D": "use two-dimensional convolutions",
}


def write(servable: Any, folder: Path, conversion: Conversion) -> None:
    """Convert a `Servable` in a process of its own, which may crash without harm.

    Args:
        servable: the model with its signatures.
        folder: gets `model.tflite`.
        conversion: "float32", "float16", "dynamic" (int8 weights), "int8" (full), or "int4"
            (weights; of depthwise and transposed convolutions int8). A model with `FakeQuantize`
            layers needs no calibration, and is int8 in "dynamic" and "float16" too.

    Raises:
        InputError: an op has no built-in form, no calibration data, the converter crashed or took
            too long; the message says what helps.
    """
    from zoo.surgery import rounds

    quantization = conversion.quantization
    calibrated = rounds(servable.model)
    if quantization == "int8" and not conversion.examples and not calibrated:
        raise InputError("int8 needs real examples to calibrate with: give `calibration`.")
    if quantization == "int4" and calibrated:
        raise InputError("this model learned with the numbers of int8: take that, and not int4.")
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "saved_model"
        saved_model.write(servable, source, Conversion())
        result = subprocesses.run(
            "export.converter",
            {
                "saved_model": str(source),
                "target": str(folder / MODEL),
                "quantization": quantization,
                "signatures": list(servable.functions),
                "batch": servable.inputs[0].shape[0],
                "calibrated": calibrated,
            },
            arrays={} if calibrated else conversion.examples,
            timeout=conversion.timeout,
            crash=(
                "the LiteRT converter crashed on this model. Full int8 of recurrent layers is "
                "known to do so: unroll them, or quantize to 'dynamic'."
            ),
            library="tensorflow",
        ).facts
    if result["unsupported"]:
        ops = result["unsupported"]
        cures = {cure for part, cure in _CURES.items() for op in ops if part in op}
        advice = "; ".join(sorted(cures)) or "replace the layers that need them"
        raise InputError(
            f"LiteRT has no built-in form of {', '.join(ops)}, and no pip package can run others: "
            f"{advice}."
        )
    if result["error"]:
        raise InputError(f"the LiteRT converter refused this model: {result['error']}")


def read(folder: Path, manifest: Manifest) -> Callable[..., Any]:
    """Return its signatures as one function of named arrays and a signature's name.

    TensorFlow is not imported.
    """
    from ai_edge_litert.interpreter import Interpreter

    # By its path it would be mapped, and answer nonsense where somebody writes over it.
    content = (folder / MODEL).read_bytes()
    interpreter = Interpreter(model_content=content, num_threads=threads())
    known = interpreter.get_signature_list()
    for name in (SIGNATURE, *manifest.signatures):
        wanted = sorted(tensor.name for tensor in manifest.signature(name).inputs)
        if name not in known or sorted(known[name]["inputs"]) != wanted:
            raise InputError(f"{folder / MODEL} has not the inputs that its model.json names.")
    if len(known) == 1:
        return _only(interpreter)
    runners = {name: interpreter.get_signature_runner(name) for name in known}

    def call(arrays: dict[str, np.ndarray], signature: str = SIGNATURE) -> dict[str, np.ndarray]:
        return runners[signature](**arrays)

    return call


def _only(interpreter: Any) -> Callable[..., Any]:
    """Return the one signature of a file; set and read by index.

    The runner copies every tensor and costs as much as a small model.
    """
    runner = interpreter.get_signature_runner(SIGNATURE)
    inputs = {n: d["index"] for n, d in runner.get_input_details().items()}
    outputs = {n: d["index"] for n, d in runner.get_output_details().items()}
    shapes: dict[str, tuple[int, ...]] = {}

    def call(arrays: dict[str, np.ndarray], signature: str = SIGNATURE) -> dict[str, np.ndarray]:
        nonlocal shapes
        wanted = {name: value.shape for name, value in arrays.items()}
        if wanted != shapes:
            shapes = {}  # a shape that does not fit leaves the file in none
            for name, shape in wanted.items():
                interpreter.resize_tensor_input(inputs[name], shape)
            interpreter.allocate_tensors()
            shapes = wanted
        for name, value in arrays.items():
            interpreter.set_tensor(inputs[name], value)
        interpreter.invoke()
        return {name: interpreter.get_tensor(index) for name, index in outputs.items()}

    return call
