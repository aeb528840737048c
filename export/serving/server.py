"""A server: models, REST, gRPC, new versions, and an orderly end."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import grpc
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from export.serving.faults import Leaving, NotFound, QueueFull
from export.serving.metrics import Metrics
from export.serving.models import Model, Settings, Version
from export.serving.rest import application
from export.serving.rpc import add_services
from zoo.errors import InputError

log = logging.getLogger("zoo.serve")
_GRACE = 15.0  # seconds that requests have to be answered at the end
_MOST_CONNECTIONS = 1024  # of REST, and calls of gRPC; more are answered that it is full
_HEADER_SECONDS = 15.0  # that a client has to say what it asks
_MOST_HEADER = 64 << 10  # bytes of it

Answer = TypeVar("Answer")


class Server:
    """Serves models until it is told to end.

    Args:
        places: name of each model -> an artifact, or a folder with one in each numbered folder.
        settings: what it allows.
    """

    def __init__(self, places: Mapping[str, Path], settings: Settings | None = None) -> None:
        self.settings, self.counted = settings or Settings(), Metrics()
        self.models = {name: Model(name, place) for name, place in places.items()}
        self.held = 0  # bytes of requests that are being answered
        self.ending = False

    def model(self, name: str) -> Model:
        """Return a model.

        Raises:
            NotFound: there is none of that name.
        """
        if name not in self.models:
            raise NotFound(f"there is no model {name!r}; there are {', '.join(self.models)}.")
        return self.models[name]

    async def answered(
        self, version: Callable[[], Version], answer: Callable[[Version], Awaitable[Answer]]
    ) -> Answer:
        """Return what a version answers; if it is just being taken away, what the next one does.

        Args:
            version: gives the version that is asked for.
            answer: asks it.

        Raises:
            Fault: there is no answer, and why.
        """
        asked = version()
        try:
            return await answer(asked)
        except Leaving:
            later = version()
            if later is asked:
                raise
            return await answer(later)

    @contextmanager
    def holding(self) -> Iterator[Callable[[int], None]]:
        """Give a function that is told of a request's bytes, which count until it is answered.

        Raises:
            QueueFull: by that function, of a request that has no room beside the others.
        """
        own = 0

        def hold(count: int) -> None:
            nonlocal own
            if self.held > own and self.held + count > self.settings.max_held:
                raise QueueFull(f"requests of {self.held:,} bytes are waiting: ask again later.")
            self.held, own = self.held + count, own + count

        try:
            yield hold
        finally:
            self.held -= own

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
            InputError: a model cannot be loaded, or it cannot listen there.
        """
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, told.set)
        with _listening(host, port) as listening:
            try:
                loading, waiting = map(asyncio.create_task, (self.load(), told.wait()))
                await asyncio.wait({loading, waiting}, return_when=asyncio.FIRST_COMPLETED)
                if loading.done():
                    await loading
                    await self._serve(host, listening, grpc_port, waiting)
                else:
                    loading.cancel()
                    await asyncio.gather(loading, return_exceptions=True)
                waiting.cancel()
            finally:
                self.ending = True
                await asyncio.gather(*(model.end() for model in self.models.values()))

    async def _serve(
        self, host: str, listening: socket.socket, grpc_port: int | None, told: asyncio.Task[Any]
    ) -> None:
        port = listening.getsockname()[1]
        config = uvicorn.Config(
            application(self), host=host, port=port, log_level="warning", access_log=False,
            timeout_keep_alive=30, timeout_graceful_shutdown=int(_GRACE), lifespan="off",
            limit_concurrency=_MOST_CONNECTIONS, http=_Impatient,
        )  # fmt: skip
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
                calls.add_insecure_port(f"{_in_url(host)}:{grpc_port}")
            except RuntimeError:
                raise InputError(f"the port {grpc_port} of {host} is taken, or not ours.") from None
            await calls.start()
        renewing = asyncio.create_task(self._renew())
        serving = asyncio.create_task(web.serve(sockets=[listening]))
        log.warning("serving %s at http://%s:%d", ", ".join(self.models), _in_url(host), port)
        try:
            await asyncio.wait({serving, told}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.ending = True
            renewing.cancel()
            web.should_exit = True
            ends = [serving, calls.stop(_GRACE)] if calls else [serving]
            await asyncio.gather(*ends, return_exceptions=True)
            with suppress(asyncio.CancelledError):
                await renewing


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """Give a socket that listens: uvicorn would end the process where it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:  # of which a host that nobody knows has no number of the system's
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else error.strerror or error
        raise InputError(f"port {port} of {host} cannot be listened on: {reason}.") from None
    with listening:
        # Inherited by every connection: an answer's second packet is not to wait for a receipt.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield listening


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class _Impatient(HttpToolsProtocol):
    """HTTP, as uvicorn speaks it, to clients that say in time, and shortly, what they ask."""

    _timer: asyncio.TimerHandle | None = None
    _begun = False  # a header, that has not ended yet
    _bytes = 0  # of it

    def connection_made(self, transport: Any) -> None:
        """Expect a request."""
        super().connection_made(transport)
        self._expect()

    def on_message_begin(self) -> None:
        """Expect the end of the header."""
        self._begun, self._bytes = True, 0
        self._expect()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Expect nothing more."""
        self._begun = False
        self._forget()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Count the bytes of a header, of which there may be any number."""
        super().data_received(data)
        self._bytes += len(data)
        if self._begun and self._bytes > _MOST_HEADER:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        self._forget()
        super().connection_lost(exc)

    def _expect(self) -> None:
        self._forget()
        self._timer = self.loop.call_later(_HEADER_SECONDS, self.transport.close)

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Uvicorn(uvicorn.Server):
    """Uvicorn, which leaves signals to the server that it is a part of."""

    def capture_signals(self):  # type: ignore[no-untyped-def]
        """Do nothing."""
        return nullcontext()
