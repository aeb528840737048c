"""The process that converts a SavedModel to ONNX; see `export.onnx`."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from export.artifact import SIGNATURE
from export.subprocesses import Result, calibration_parts, first_line, serve

_OPSET = 18
_CALIBRATED = 32  # examples that ranges are taken of at a time
# Of weights: processors without dot products of bytes (VNNI) add two products in 16 bits, which do
# not hold those of eight bits, and a file is to answer alike on all.
_SEVEN_BITS = True


def convert(request: dict[str, Any], calibration: dict[str, np.ndarray]) -> Result:
    """Convert and quantize, and return the reason of a refusal."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as scratch:
        plain, done = Path(scratch) / "plain.onnx", Path(scratch) / "done.onnx"
        try:
            _write(request, plain)
            quantized = {
                "float32": _as_it_is,
                "float16": _halved,
                "dynamic": _dynamic,
                "int8": _static,
            }[request["quantization"]]
            quantized(plain, done, calibration, request)
            onnxruntime.InferenceSession(str(done), providers=["CPUExecutionProvider"])
        except Exception as error:  # of many kinds, and all mean that it cannot be
            # ONNX Runtime begins with the name of our scratch file.
            return Result({"error": first_line(error).split(f"{done} failed:")[-1]})
        shutil.move(done, request["target"])
    return Result({"error": ""})


def _write(request: dict[str, Any], path: Path) -> None:
    """Write the graph of `serving_default` in float32."""
    import onnx
    import tensorflow as tf
    import tf2onnx
    from tf2onnx import optimizer

    # After it, reshapes that follow each other are merged wrongly where batch and length are open.
    optimizer._optimizers.pop("reshape_optimizer", None)
    loaded = tf.saved_model.load(request["saved_model"])
    signature = loaded.signatures[SIGNATURE]
    specs = [
        tf.TensorSpec(spec.shape, spec.dtype, name=name)
        for name, spec in signature.structured_input_signature[1].items()
    ]

    def call(*arrays: Any) -> Any:
        return signature(**{spec.name: x for spec, x in zip(specs, arrays, strict=True)})

    proto, _ = tf2onnx.convert.from_function(
        tf.function(call, input_signature=specs),
        input_signature=specs,
        opset=_OPSET,
        custom_op_handlers={"Erfc": (_erfc, [])},
    )
    graph = proto.graph
    outputs = {output.name: output for output in graph.output}
    del graph.output[:]
    graph.output.extend(outputs[name] for name in request["outputs"])
    if request["batch"] is None:  # a name of the axis, in place of one number for each tensor
        for tensor in (*graph.input, *graph.output):
            if tensor.type.tensor_type.shape.dim:
                tensor.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.checker.check_model(proto)
    onnx.save(proto, str(path))


def _erfc(context: Any, node: Any, name: str, args: Any) -> Any:
    """Say the complementary error function, which ONNX lacks, by the other one."""
    error = context.make_node("Erf", node.input, name=f"{name}_erf")
    one = context.make_const(f"{name}_one", np.array(1.0, "float32"))
    shapes, dtypes = node.output_shapes, node.output_dtypes
    outputs = node.output
    context.remove_node(name)
    return context.make_node(
        "Sub", [one.output[0], error.output[0]], name=name, outputs=outputs, shapes=shapes,
        dtypes=dtypes,
    )  # fmt: skip


def _as_it_is(source: Path, target: Path, *_: Any) -> None:
    shutil.move(source, target)


def _halved(source: Path, target: Path, *_: Any) -> None:
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    proto = convert_float_to_float16(onnx.load(str(source)), keep_io_types=True)
    onnx.save(proto, str(target))


def _dynamic(source: Path, target: Path, *_: Any) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # Convolutions whose inputs are rounded as they come take unsigned numbers alone.
    quantize_dynamic(
        _optimized(source), target, per_channel=True, weight_type=QuantType.QInt8,
        reduce_range=_SEVEN_BITS,
        op_types_to_quantize=["MatMul", "Gemm", "Attention", "LSTM", "GRU"],
    )  # fmt: skip


def _static(
    source: Path, target: Path, calibration: dict[str, np.ndarray], request: dict[str, Any]
) -> None:
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Examples(CalibrationDataReader):
        def __init__(self) -> None:
            self.parts = calibration_parts(calibration, request["batch"], _CALIBRATED)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.parts, None)

    quantize_static(
        _optimized(source), target, Examples(), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, reduce_range=_SEVEN_BITS,
    )  # fmt: skip


def _optimized(source: Path) -> Path:
    """Return the same graph with its normalizations folded, and its shapes named."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    target = source.with_name("optimized.onnx")
    quant_pre_process(str(source), str(target), skip_symbolic_shape=True)
    return target


if __name__ == "__main__":
    serve(convert)
