"""TensorFlow Serving's gRPC: `PredictionService` and `ModelService`."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import any_pb2

from export.artifact import SIGNATURE, Signature, Tensor
from export.batches import Arrays
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
_MOST_WORDS = 1000  # characters of a refusal
_CODES = {"OK": 0, "INTERNAL": 13}  # of tensorflow.error.Code
_STATES = {"AVAILABLE": 30, "END": 50}  # of ModelVersionStatus


def add_services(server: "Server", to: grpc.aio.Server) -> None:
    """Have a gRPC server answer for a server."""
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_Prediction(server), to)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_Models(server), to)


async def _refuse(context: Any, fault: Fault) -> None:
    words = str(fault)[:_MOST_WORDS]  # more than a client takes would hide the code
    await context.abort(getattr(grpc.StatusCode, fault.code), words)


def _guarded(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Return a method whose refusals have their code, and whose errors a word."""

    @wraps(method)
    async def guarded(self: Any, request: Any, context: Any) -> Any:
        try:
            return await method(self, request, context)
        except Fault as fault:
            await _refuse(context, fault)
        except Exception:
            log.exception("a request could not be answered")
            await _refuse(context, Fault("the server failed at this request."))

    return guarded


def _version(server: "Server", spec: Any) -> Version:
    if spec.version_label:
        raise BadRequest("versions have no labels here: name a number, or none for the newest.")
    number = spec.version.value if spec.HasField("version") else None
    return server.model(spec.name).version(number)


class _Prediction(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, server: "Server") -> None:
        self.server = server

    @_guarded
    async def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802 - as the service says
        started, code = time.perf_counter(), Fault.code
        try:
            with self.server.holding() as hold:
                hold(request.ByteSize())
                response = await self.server.answered(
                    lambda: _version(self.server, request.model_spec),
                    lambda version: self._predicted(version, request, context),
                )
            code = "OK"
            return response
        except Fault as fault:
            code = fault.code
            raise
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        finally:
            seconds = time.perf_counter() - started
            self.server.noted(request.model_spec.name, "grpc", code, seconds)

    async def _predicted(self, version: Version, request: Any, context: Any) -> Any:
        name = request.model_spec.signature_name
        signature = version.signature(name)
        for wanted in request.output_filter:
            known = [t.name for t in signature.outputs]
            if wanted not in known:
                raise BadRequest(f"there is no output {wanted!r}; there are {', '.join(known)}.")
        most = self.server.settings.max_bytes
        arrays = await codec.beside(request.ByteSize(), _read, request, signature, most)
        left = context.time_remaining()
        seconds = min(self.server.settings.seconds, left if left is not None else float("inf"))
        outputs = await version.answer(name, arrays, seconds)
        response = predict_pb2.PredictResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version.number
        response.model_spec.signature_name = name or SIGNATURE
        for key in request.output_filter or outputs:
            codec.to_proto(outputs[key], response.outputs[key])
        return response

    @_guarded
    async def GetModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        version = _version(self.server, request.model_spec)
        every = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in version.signatures.items():
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


def _read(request: Any, signature: Signature, most: int) -> Arrays:
    """Return what a request asks a signature."""
    names = [t.name for t in signature.inputs]
    if len(request.inputs) != len(names) or not all(n in request.inputs for n in names):
        codec.check_names(dict(request.inputs), names)  # says what is wrong
    found = {t.name: codec.from_proto(request.inputs[t.name], t, most) for t in signature.inputs}
    return codec.checked(found, signature)


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

    @_guarded
    async def GetModelStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        spec = request.model_spec
        asked = spec.version.value if spec.HasField("version") else None
        states = self.server.states(self.server.model(spec.name), asked)
        response = get_model_status_pb2.GetModelStatusResponse()
        for number, state, code, message in states:
            status = response.model_version_status.add(version=number, state=_STATES[state])
            status.status.error_code = _CODES[code]
            status.status.error_message = message
        return response
