"""The process that converts a SavedModel to OpenVINO; see `export.openvino`."""

from typing import Any

import numpy as np

from export.subprocesses import Result, calibration_parts, first_line, serve

_CALIBRATED = 32  # examples that ranges are taken of at a time


def convert(request: dict[str, Any], calibration: dict[str, np.ndarray]) -> Result:
    """Convert and quantize, and return the reason of a refusal."""
    try:
        _convert(request, calibration)
    except Exception as error:  # of many kinds, and all mean that it cannot be
        return Result({"error": _reason(error)})
    return Result({"error": ""})


def _reason(error: Exception) -> str:
    """Return the line of an error that says what is wrong.

    OpenVINO's begin with places in its own source, and may end with advice on writing extensions.
    """
    lines = [line.strip(" -") for line in str(error).splitlines()]
    said = [x for x in lines if x and not x.startswith(("Exception from", "Check '", "To "))]
    return said[-1] if said else first_line(error)


def _convert(request: dict[str, Any], calibration: dict[str, np.ndarray]) -> None:
    import openvino

    model = openvino.convert_model(request["saved_model"])
    for kind, tensors in (("inputs", model.inputs), ("outputs", model.outputs)):
        for tensor in tensors:  # each keeps the name of TensorFlow's graph alone, or among others
            own = {name.removesuffix(":0") for name in tensor.get_names()}
            tensor.set_names(own & set(request[kind]))
    if request["quantization"] == "int8":
        import nncf

        parts = list(calibration_parts(calibration, request["batch"], _CALIBRATED))
        model = nncf.quantize(model, nncf.Dataset(parts), subset_size=len(parts))
    openvino.save_model(
        model, request["target"], compress_to_fp16=request["quantization"] == "float16"
    )


if __name__ == "__main__":
    serve(convert)
