"""TensorFlow Serving's REST, and the server's own pages.

| call | answer |
|---|---|
| `POST /v1/models/NAME[/versions/N]:predict` | predictions |
| `GET /v1/models/NAME[/versions/N]` | which versions there are, and how they are |
| `GET /v1/models/NAME[/versions/N]/metadata` | what they take and give |
| `GET /v1/models` | all models, for the page |
| `GET /metrics`, `/healthz`, `/readyz`, `/` | Prometheus, health, a page to try the models |
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from export.batches import Arrays
from export.serving import codec
from export.serving.faults import BadRequest, Fault, NotFound, TooLarge, TooSlow
from export.serving.metrics import CONTENT_TYPE
from export.serving.models import Model, Version, described

if TYPE_CHECKING:
    from export.serving.server import Server

Handler = Callable[[Request], Awaitable[Response]]
# The page is one file, and asks nobody but this server.
_POLICY = {
    "Content-Security-Policy": "default-src 'self'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src 'self' blob: data:"
}
_BODY_SECONDS = 15.0  # that a client has to send a body
log = logging.getLogger("zoo.serve")


def application(server: "Server") -> Starlette:
    """Return the application of a server."""
    rest = _Rest(server)
    both = ("/v1/models/{name}", "/v1/models/{name}/versions/{number}")
    routes = [
        *(Route(f"{path}:predict", rest.predict, methods=["POST"]) for path in both),
        *(Route(f"{path}/metadata", rest.guarded(rest.metadata)) for path in both),
        *(Route(path, rest.guarded(rest.status)) for path in both),
        Route("/v1/models", rest.guarded(rest.every)),
        Route("/metrics", rest.metrics),
        Route("/healthz", rest.alive),
        Route("/readyz", rest.ready),
        Route("/", rest.page),
    ]
    handlers: Any = {404: _unknown, 405: _unknown, 500: _failed}
    return Starlette(routes=routes, exception_handlers=handlers)


async def _unknown(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    return _json({"error": f"there is no {request.method} {request.url.path} here."}, status)


async def _failed(request: Request, error: Exception) -> Response:
    return _json({"error": "the server failed at this request."}, 500)


def _json(content: Any, status: int = 200) -> Response:
    encoded = content if isinstance(content, bytes) else msgspec.json.encode(content)
    return Response(encoded, status, media_type="application/json")


def _number(request: Request) -> int | None:
    """Return the version in a path."""
    given = request.path_params.get("number")
    if given is not None and not (given.isascii() and given.isdecimal() and len(given) < 20):
        raise NotFound(f"a version is a number, and not {given[:20]!r}.")
    return given and int(given)


def _read(version: Version, content: bytes) -> tuple[str, bool, Arrays]:
    """Return what a body asks: a signature, whether by rows, and its arrays."""
    body = codec.body_of(content)
    arrays = codec.arrays_of(body, version.signature(body.signature_name), content)
    return body.signature_name, body.instances is not None, arrays


class _Rest:
    """The answers."""

    def __init__(self, server: "Server") -> None:
        self.server = server

    def guarded(self, handler: Callable[[Request], Any]) -> Handler:
        """Return a handler that turns refusals into answers."""

        async def guarded(request: Request) -> Response:
            try:
                return _json(handler(request))
            except Fault as fault:
                return _json({"error": str(fault)}, fault.status)

        return guarded

    def _asked(self, request: Request) -> tuple[Model, Version]:
        model = self.server.model(request.path_params["name"])
        return model, model.version(_number(request))

    async def predict(self, request: Request) -> Response:
        """Answer a prediction."""
        name, started = request.path_params["name"], time.perf_counter()
        try:
            response = _json(await self._predicted(request))
        except Fault as fault:
            response = _json({"error": str(fault)}, fault.status)
        except ClientDisconnect:
            response = _json({"error": "the client is gone."}, 499)
        except Exception:
            log.exception("a request could not be answered")
            response = _json({"error": "the server failed at this request."}, 500)
        self.server.noted(name, "rest", str(response.status_code), time.perf_counter() - started)
        return response

    async def _predicted(self, request: Request) -> bytes:
        self._asked(request)  # what is not there is said before the body is read
        with self.server.holding() as hold:
            content = await self._content(request, hold)
            return await self.server.answered(
                lambda: self._asked(request)[1], lambda version: self._answered(version, content)
            )

    async def _answered(self, version: Version, content: bytes) -> bytes:
        name, by_rows, arrays = await codec.beside(len(content), _read, version, content)
        outputs = await version.answer(name, arrays, self.server.settings.seconds)
        size = sum(value.nbytes for value in outputs.values())
        return await codec.beside(size, codec.response_of, outputs, by_rows)

    async def _content(self, request: Request, hold: Callable[[int], None]) -> bytes:
        """Return a body, if it is not too large, there is room for it, and it comes in time."""
        most = self.server.settings.max_bytes
        said = request.headers.get("content-length", "0")
        if request.headers.get("content-encoding", "identity") != "identity":
            raise BadRequest("the body must come as it is, and not encoded.")
        if not said.isdecimal():
            raise BadRequest("Content-Length is no number.")
        if int(said) > most:
            raise TooLarge(f"the body has {int(said):,} bytes; the server takes {most:,}.")
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                content = bytearray()
                async for chunk in request.stream():
                    hold(len(chunk))
                    content += chunk
                    if len(content) > most:
                        raise TooLarge(f"the body is larger than {most:,} bytes.")
                return bytes(content)
        except TimeoutError:
            raise TooSlow(f"the body did not come within {_BODY_SECONDS:g} s.") from None

    def status(self, request: Request) -> dict[str, Any]:
        """Return the state of a model's versions."""
        model = self.server.model(request.path_params["name"])
        number = _number(request)
        states = [
            {
                "version": str(version),
                "state": state,
                "status": {"error_code": code, "error_message": message},
            }
            for version, state, code, message in self.server.states(model, number)
        ]
        return {"model_version_status": states}

    def metadata(self, request: Request) -> dict[str, Any]:
        """Return what a model takes and gives."""
        model, version = self._asked(request)
        return {
            "model_spec": {
                "name": model.name, "signature_name": "", "version": str(version.number),
            },
            "metadata": {"signature_def": {"signature_def": described(version)}},
        }  # fmt: skip

    def every(self, request: Request) -> dict[str, Any]:
        """Return all models that can answer, with what a page needs to know of them."""
        found = []
        for model in self.server.models.values():
            if model.versions:
                version = model.version()
                found.append(
                    {
                        "name": model.name,
                        "version": version.number,
                        "task": version.manifest.task,
                        "labels": version.manifest.labels,
                        "inputs": version.manifest.inputs,
                        "signatures": list(version.signatures),
                    }
                )
        return {"models": found}

    async def metrics(self, request: Request) -> Response:
        """Return what Prometheus reads."""
        return Response(self.server.measured(), media_type=CONTENT_TYPE)

    async def alive(self, request: Request) -> Response:
        """Say that the server runs."""
        return Response("ok\n", media_type="text/plain")

    async def ready(self, request: Request) -> Response:
        """Say whether every model can answer."""
        missing = [m.name for m in self.server.models.values() if not m.ready]
        if missing or self.server.ending:
            return Response(f"not ready: {', '.join(missing)}\n", 503, media_type="text/plain")
        return Response("ready\n", media_type="text/plain")

    async def page(self, request: Request) -> Response:
        """Return the page on which each model can be tried."""
        content = (files("export.serving") / "page.html").read_bytes()
        return Response(content, media_type="text/html", headers=_POLICY)
