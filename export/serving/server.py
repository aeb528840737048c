"""A server: models, REST, gRPC, new versions, and an orderly end."""

import asyncio
import logging
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from export.serving.faults import NotFound
from export.serving.metrics import Metrics
from export.serving.models import Model, Settings
from export.serving.rest import application
from export.serving.rpc import add_services
from zoo.errors import InputError

log = logging.getLogger("zoo.serve")
_GRACE = 15.0  # seconds that requests have to be answered at the end
_MOST_CONNECTIONS = 1024  # of REST, and calls of gRPC; more are answered that it is full
_HEADER_SECONDS = 15.0  # that a client has to begin its first request


class Server:
    """Serves models until it is told to end.

    Args:
        places: name of each model -> an artifact, or a folder with one in each numbered folder.
        settings: what it allows.
    """

    def __init__(self, places: Mapping[str, Path], settings: Settings | None = None) -> None:
        self.settings, self.counted = settings or Settings(), Metrics()
        self.models = {name: Model(name, place) for name, place in places.items()}
        self.ending = False

    def model(self, name: str) -> Model:
        """Return a model.

        Raises:
            NotFound: there is none of that name.
        """
        if name not in self.models:
            raise NotFound(f"there is no model {name!r}; there are {', '.join(self.models)}.")
        return self.models[name]

    def states(self, model: Model, asked: int | None = None) -> list[tuple[int, str, str, str]]:
        """Return number, state, error code and message of a model's versions, newest first.

        Args:
            model: the model.
            asked: of this version alone.

        Raises:
            NotFound: there is no such version.
        """
        found = [
            (number, "AVAILABLE", "OK", "")
            if number in model.versions
            else (number, "END", "INTERNAL", model.failed[number].reason)
            for number in sorted({*model.versions, *model.failed}, reverse=True)
            if asked in (None, number)
        ]
        if asked is not None and not found:
            model.version(asked)  # says which there are
        return found

    def noted(self, name: str, protocol: str, code: str, seconds: float) -> None:
        """Count a request."""
        own = name if name in self.models else ""  # a stranger's names are no series
        count, took = self._series(own, protocol, code)
        count.inc()
        took.observe(seconds)

    @cache  # noqa: B019 - a server lives as long as its process
    def _series(self, name: str, protocol: str, code: str) -> tuple[Any, Any]:
        """Return what counts and times requests; to look it up takes longer than to count."""
        return (
            self.counted.requests.labels(name, protocol, code),
            self.counted.seconds.labels(name, protocol),
        )

    def measured(self) -> bytes:
        """Return what Prometheus reads."""
        for model in self.models.values():
            waiting = sum(len(v.batcher.waiting) for v in model.versions.values())
            self.counted.waiting.labels(model.name).set(waiting)
            self.counted.version.labels(model.name).set(max(model.versions, default=0))
        return self.counted.text()

    def _batched(self, name: str, count: int) -> None:
        self.counted.batches.labels(name).observe(count)

    async def load(self) -> None:
        """Load the newest version of each model.

        Raises:
            InputError: one has none that can be loaded.
        """
        renewed = (m.renew(self.settings, self._batched) for m in self.models.values())
        await asyncio.gather(*renewed)
        for model in self.models.values():
            if not model.versions:
                why = (
                    "; ".join(x.reason for x in model.failed.values())
                    or f"there is no artifact in {model.place}"
                )
                raise InputError(f"{model.name!r} cannot be served: {why}")

    async def _renew(self) -> None:
        """Look for new versions, again and again."""
        while True:
            await asyncio.sleep(self.settings.reload_seconds)
            for model in self.models.values():
                try:
                    await model.renew(self.settings, self._batched)
                except Exception:  # the others must not end with it
                    log.exception("%s could not be renewed", model.name)

    async def run(self, host: str, port: int, grpc_port: int | None) -> None:
        """Load, serve, and end in order when told to (SIGINT, SIGTERM).

        Args:
            host: address that is listened on.
            port: of REST.
            grpc_port: of gRPC, or `None` for none.

        Raises:
            InputError: a model cannot be loaded, or a port is taken.
        """
        try:
            await self.load()
            await self._serve(host, port, grpc_port)
        finally:
            self.ending = True
            await asyncio.gather(*(model.end() for model in self.models.values()))

    async def _serve(self, host: str, port: int, grpc_port: int | None) -> None:
        config = uvicorn.Config(
            application(self), host=host, port=port, log_level="warning", access_log=False,
            timeout_keep_alive=30, timeout_graceful_shutdown=int(_GRACE), lifespan="off",
            limit_concurrency=_MOST_CONNECTIONS, http=_Impatient,
        )  # fmt: skip
        try:  # uvicorn would end the process
            listening = socket.create_server((host, port), backlog=1024)
        except OSError:
            raise InputError(f"the port {port} of {host} is taken, or not ours.") from None
        # Inherited by every connection: an answer's second packet is not to wait for a receipt.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        web = _Uvicorn(config)
        calls = None
        if grpc_port is not None:
            most = self.settings.max_bytes
            calls = grpc.aio.server(
                options=[
                    ("grpc.max_receive_message_length", most),
                    ("grpc.max_send_message_length", -1),
                    ("grpc.so_reuseport", 0),
                ],
                maximum_concurrent_rpcs=_MOST_CONNECTIONS,
            )
            add_services(self, calls)
            try:
                calls.add_insecure_port(f"{host}:{grpc_port}")
            except RuntimeError:
                raise InputError(f"the port {grpc_port} of {host} is taken, or not ours.") from None
            await calls.start()
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, told.set)
        renewing = asyncio.create_task(self._renew())
        serving = asyncio.create_task(web.serve(sockets=[listening]))
        waiting = asyncio.create_task(told.wait())
        log.warning("serving %s at http://%s:%d", ", ".join(self.models), host, port)
        try:
            await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.ending = True
            renewing.cancel()
            web.should_exit = True
            await asyncio.gather(serving, return_exceptions=True)
            if calls:
                await calls.stop(_GRACE)
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                await renewing


class _Impatient(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """HTTP, as uvicorn speaks it, to clients whose first request begins in time."""

    def connection_made(self, transport: Any) -> None:
        """Look after a while whether a request has come."""
        super().connection_made(transport)
        self._look = self.loop.call_later(_HEADER_SECONDS, self._look_for_request)

    def connection_lost(self, error: Exception | None) -> None:
        """Stop looking."""
        self._look.cancel()
        super().connection_lost(error)

    def _look_for_request(self) -> None:
        if self.cycle is None:
            self.transport.close()


class _Uvicorn(uvicorn.Server):
    """Uvicorn, which leaves signals to the server that it is a part of."""

    def install_signal_handlers(self) -> None:
        """Do nothing."""

    def capture_signals(self):  # type: ignore[no-untyped-def]
        """Do nothing, in its later way."""
        from contextlib import nullcontext

        return nullcontext()
