"""The processes that hold artifacts, from the server's side: see `worker.py` for theirs."""

import asyncio
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

from export.batches import Arrays
from export.serving.faults import BadRequest, Unavailable
from export.serving.wire import LENGTH, Header, packed, unpacked

_START = 120.0  # seconds that a worker has to load its artifact
_PATIENCE = 5.0  # seconds that a worker has to leave


class Gone(Exception):  # noqa: N818 - of the process, and nobody's mistake
    """A worker's process ended, or does not answer."""


class Worker:
    """A process that holds an artifact, from this side.

    Args:
        folder: of the artifact.
        threads: that it may compute with.

    Attributes:
        loaded: it has loaded the artifact, and no answer of it is missing.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        self.folder, self.threads = folder, threads
        self.process: asyncio.subprocess.Process | None = None
        self.writer: asyncio.StreamWriter | None = None
        self.loaded = False

    @property
    def ready(self) -> bool:
        """Whether it lives, and answers."""
        return self.loaded and self.process is not None and self.process.returncode is None

    async def start(self) -> None:
        """Start the process, in place of another, and wait until it has loaded the artifact.

        Raises:
            Unavailable: it cannot be started, or cannot load the artifact. No process is left.
        """
        await self.kill()
        try:
            async with asyncio.timeout(_START):
                header = await self._started()
        except (TimeoutError, asyncio.IncompleteReadError, OSError) as error:
            await self.kill()
            raise Unavailable(f"{self.folder} could not be loaded: {_words(error)}") from None
        except BaseException:
            await self.kill()
            raise
        if header.error:
            await self.kill()
            raise Unavailable(f"{self.folder} could not be loaded: {header.error}")
        self.loaded = True

    async def _started(self) -> Header:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            try:
                self.process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-m", "export.serving.worker"),
                    *(str(self.folder), str(theirs.fileno()), str(self.threads)),
                    pass_fds=[theirs.fileno()],
                    env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
                    stdin=asyncio.subprocess.DEVNULL,
                )
            except OSError:
                ours.close()
                raise
        self.reader, self.writer = await asyncio.open_connection(sock=ours, limit=1 << 20)
        header, _ = await self._receive()
        return header

    async def ask(self, signature: str, arrays: Arrays, seconds: float) -> Arrays:
        """Return the answers to a batch.

        Raises:
            Fault: the artifact cannot answer this batch.
            Gone: the process ended, or did not answer in time; it is of no use any more.
        """
        if self.writer is None or not self.ready:
            raise Gone("it is not there.")
        try:
            async with asyncio.timeout(seconds):
                self.writer.writelines(packed(Header(signature=signature), arrays))
                await self.writer.drain()
                header, answers = await self._receive()
        except (TimeoutError, asyncio.IncompleteReadError, OSError) as error:
            self.loaded = False
            raise Gone(_words(error)) from None
        except BaseException:  # what it would answer now would be taken for the next answer
            self.loaded = False
            raise
        if header.error:
            raise (Unavailable if header.facts.get("unavailable") else BadRequest)(header.error)
        return answers

    async def _receive(self) -> tuple[Header, Arrays]:
        header, numbers = LENGTH.unpack(await self.reader.readexactly(LENGTH.size))
        return unpacked(
            await self.reader.readexactly(header), await self.reader.readexactly(numbers)
        )

    async def end(self) -> None:
        """End the process in order, or kill it if it does not leave."""
        self.loaded = False
        if self.writer is not None:
            self.writer.close()
        if self.process is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), _PATIENCE)
        await self.kill()

    async def kill(self) -> None:
        """End the process at once."""
        self.loaded = False
        if self.writer is not None:
            self.writer.close()
            self.writer = None
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()
            self.process = None


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
