"""The process that converts a SavedModel to LiteRT; see `export.litert`."""

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from export.artifact import SIGNATURE
from export.subprocesses import Result, calibration_parts, first_line, serve

# Bits of a kernel -> what has such kernels, by LiteRT's names.
_INT4 = {
    4: ("CONV_2D", "FULLY_CONNECTED"),
    8: ("DEPTHWISE_CONV_2D", "CONV_2D_TRANSPOSE"),
}


def convert(request: dict[str, Any], calibration: dict[str, np.ndarray]) -> Result:
    """Convert, and return the ops without a built-in form, or the reason of another refusal."""
    import tensorflow as tf

    def examples() -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        for part in calibration_parts(calibration, request["batch"]):
            yield SIGNATURE, part

    int4 = request["quantization"] == "int4"
    converter = tf.lite.TFLiteConverter.from_saved_model(
        request["saved_model"], signature_keys=request["signatures"]
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if request["quantization"] not in ("float32", "int4"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if request["quantization"] == "float16":
        converter.target_spec.supported_types = [tf.float16]
    # Ranges that the model brings are the converter's too; calibration would put others there.
    if request["quantization"] == "int8" and not request["calibrated"]:
        converter.representative_dataset = examples
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    try:
        content = converter.convert()
    except Exception as error:  # the converter raises many kinds, and all mean that it refused
        text = str(error)
        unsupported = sorted(set(re.findall(r"\btf\.(\w+)(?:\(|' op)", text)))
        named = (line.strip() for line in text.splitlines() if "error" in line.lower())
        return Result({"unsupported": unsupported, "error": next(named, first_line(error))})
    Path(request["target"]).write_bytes(_in_int4(content) if int4 else content)
    return Result({"unsupported": [], "error": ""})


def _in_int4(content: bytes) -> bytes:
    """Return a float32 file with kernels of four bits, a scale for each output channel.

    Kernels that LiteRT computes with eight bits only, those of depthwise and transposed
    convolutions, get eight. What goes into a layer is rounded to eight as it comes.
    """
    from litert_quantizer.qtyping import TFLOperationName
    from litert_quantizer.quantizer import Quantizer

    quantizer = Quantizer(bytearray(content))
    for bits, operations in _INT4.items():
        for name in operations:
            quantizer.add_dynamic_config(".*", TFLOperationName(name), num_bits=bits)
    with contextlib.redirect_stdout(io.StringIO()):  # it tells of sizes
        return bytes(quantizer.quantize().quantized_model or b"")


if __name__ == "__main__":
    serve(convert)
