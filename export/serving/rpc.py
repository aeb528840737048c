"""TensorFlow Serving's gRPC: `PredictionService` and `ModelService`."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import any_pb2

from export.artifact import Tensor
from export.serving import codec
from export.serving.faults import BadRequest, Fault
from export.serving.models import Version
from export.serving.protos import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

if TYPE_CHECKING:
    from export.serving.server import Server

log = logging.getLogger("zoo.serve")
_CODES = {"OK": 0, "INTERNAL": 13}  # of tensorflow.error.Code
_STATES = {"AVAILABLE": 30, "LOADING": 20, "END": 50}  # of ModelVersionStatus


def add_services(server: "Server", to: grpc.aio.Server) -> None:
    """Have a gRPC server answer for a server."""
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_Prediction(server), to)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_Models(server), to)


async def _refuse(context: Any, fault: Fault) -> None:
    await context.abort(getattr(grpc.StatusCode, fault.code), str(fault))


def _version(server: "Server", spec: Any) -> Version:
    if spec.version_label:
        raise BadRequest("versions have no labels here: name a number, or none for the newest.")
    number = spec.version.value if spec.HasField("version") else None
    return server.model(spec.name).version(number)


class _Prediction(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, server: "Server") -> None:
        self.server = server

    async def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802 - as the service says
        started, code = time.perf_counter(), "OK"
        try:
            return await self._predicted(request, context)
        except Fault as fault:
            code = fault.code
            await _refuse(context, fault)
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        except Exception:
            code = Fault.code
            log.exception("a request could not be answered")
            await _refuse(context, Fault("the server failed at this request."))
        finally:
            seconds = time.perf_counter() - started
            self.server.noted(request.model_spec.name, "grpc", code, seconds)

    async def _predicted(self, request: Any, context: Any) -> Any:
        version = _version(self.server, request.model_spec)
        name = request.model_spec.signature_name
        signature = version.signature(name)
        names = [t.name for t in signature.inputs]
        if len(request.inputs) != len(names) or not all(n in request.inputs for n in names):
            codec.check_names(dict(request.inputs), names)  # says what is wrong
        most = self.server.settings.max_bytes
        arrays = {
            t.name: codec.from_proto(request.inputs[t.name], t, most) for t in signature.inputs
        }
        for wanted in request.output_filter:
            known = [t.name for t in signature.outputs]
            if wanted not in known:
                raise BadRequest(f"there is no output {wanted!r}; there are {', '.join(known)}.")
        codec.checked(arrays, signature)
        left = context.time_remaining()
        seconds = min(self.server.settings.seconds, left if left is not None else float("inf"))
        outputs = await version.answer(name, arrays, seconds)
        response = predict_pb2.PredictResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version.number
        response.model_spec.signature_name = name or "serving_default"
        for key in request.output_filter or outputs:
            codec.to_proto(outputs[key], response.outputs[key])
        return response

    async def GetModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        try:
            version = _version(self.server, request.model_spec)
        except Fault as fault:
            await _refuse(context, fault)
            return None
        every = get_model_metadata_pb2.SignatureDefMap()
        further = {name: way.signature for name, way in version.further.items()}
        for name, signature in {**version.signatures, **further}.items():
            own = every.signature_def[name]
            own.method_name = "tensorflow/serving/predict"
            _describe(own.inputs, signature.inputs)
            _describe(own.outputs, signature.outputs)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version.number
        packed = any_pb2.Any()
        packed.Pack(every)
        response.metadata["signature_def"].CopyFrom(packed)
        return response


def _describe(which: Any, tensors: Sequence[Tensor]) -> None:
    """Write what tensors are like into a signature's inputs or outputs."""
    for tensor in tensors:
        found = which[tensor.name]
        found.name, found.dtype = tensor.name, codec.TYPES[tensor.dtype]
        for side in tensor.shape:
            found.tensor_shape.dim.add().size = -1 if side is None else side


class _Models(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, server: "Server") -> None:
        self.server = server

    async def GetModelStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        try:
            model = self.server.model(request.model_spec.name)
            spec = request.model_spec
            asked = spec.version.value if spec.HasField("version") else None
            states = self.server.states(model, asked)
        except Fault as fault:
            await _refuse(context, fault)
            return None
        response = get_model_status_pb2.GetModelStatusResponse()
        for number, state, code, message in states:
            status = response.model_version_status.add(version=number, state=_STATES[state])
            status.status.error_code = _CODES[code]
            status.status.error_message = message
        return response
