"""The process that converts a SavedModel to LiteRT; see `export.litert`."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from export.artifact import SIGNATURE
from export.subprocesses import Result, serve


def convert(request: dict[str, Any], calibration: dict[str, np.ndarray]) -> Result:
    """Convert, and return the ops without a built-in form, or the reason of another refusal."""
    import tensorflow as tf

    def examples() -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        size = request["batch"] or 1
        count = len(next(iter(calibration.values())))
        for i in range(0, count - size + 1, size):
            yield SIGNATURE, {name: values[i : i + size] for name, values in calibration.items()}

    converter = tf.lite.TFLiteConverter.from_saved_model(
        request["saved_model"], signature_keys=request["signatures"]
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if request["quantization"] != "float32":
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
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        reason = next((li for li in lines if "error" in li.lower()), lines[-1] if lines else "")
        return Result({"unsupported": unsupported, "error": reason or type(error).__name__})
    Path(request["target"]).write_bytes(content)
    return Result({"unsupported": [], "error": ""})


if __name__ == "__main__":
    serve(convert)
