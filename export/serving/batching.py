"""Requests that are answered together, and the workers that answer them.

A worker that has nothing to do takes all that waits, up to a batch: nobody waits for others to
come, and the more there are, the larger the batches become.
"""

import asyncio
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from export.formats import FORMATS
from export.serving.faults import BadRequest, Fault, Late, QueueFull, Unavailable
from export.serving.wire import LENGTH, Header, packed, unpacked

Arrays = dict[str, np.ndarray]

_START = 120.0  # seconds that a worker has to load its artifact
_ATTEMPTS = 2  # workers that a batch is given to, if the first one dies of it
_PATIENCE = 5.0  # seconds that a worker has to leave


@dataclass
class Waiting:
    """A request in the queue.

    Attributes:
        signature: that it asks.
        arrays: its inputs; the first axis counts examples.
        count: of those.
        kind: what must be the same of requests that are answered together.
        deadline: `time.monotonic` at which its answer is worth nothing any more.
        answer: that it waits for.
    """

    signature: str
    arrays: Arrays
    count: int
    deadline: float
    answer: asyncio.Future[Arrays]
    kind: tuple[Any, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Note what others must have in common with it."""
        shapes = ((n, x.dtype.str, x.shape[1:]) for n, x in sorted(self.arrays.items()))
        self.kind = (self.signature, *shapes)


class Worker:
    """A process that holds an artifact, from this side.

    Args:
        folder: of the artifact.
        threads: that it may compute with.
    """

    def __init__(self, folder: Path, format: str, threads: int) -> None:
        self.folder, self.threads = folder, threads
        self.environment = {"KERAS_BACKEND": "jax"} if format == "stablehlo" else {}
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the process, and wait until it has loaded the artifact.

        Raises:
            Unavailable: it cannot be loaded.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "export.serving.worker"),
                *(str(self.folder), str(theirs.fileno()), str(self.threads)),
                pass_fds=[theirs.fileno()],
                env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | self.environment,
                stdin=asyncio.subprocess.DEVNULL,
            )
        self.reader, self.writer = await asyncio.open_connection(sock=ours, limit=1 << 20)
        try:
            header, _ = await asyncio.wait_for(self._receive(), _START)
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            raise Unavailable(f"{self.folder} could not be loaded.") from None
        if header.error:
            raise Unavailable(f"{self.folder} could not be loaded: {header.error}")

    async def ask(self, signature: str, arrays: Arrays) -> Arrays:
        """Return the answers to a batch.

        Raises:
            BadRequest: the artifact cannot answer this batch.
            ConnectionError: the process is gone.
        """
        try:
            self.writer.writelines(packed(Header(signature=signature), arrays))
            await self.writer.drain()
            header, answers = await self._receive()
        except (asyncio.IncompleteReadError, OSError) as error:
            raise ConnectionError(str(error)) from None
        if header.error:
            raise BadRequest(header.error)
        return answers

    async def _receive(self) -> tuple[Header, Arrays]:
        header, numbers = LENGTH.unpack(await self.reader.readexactly(LENGTH.size))
        return unpacked(
            await self.reader.readexactly(header), await self.reader.readexactly(numbers)
        )

    async def end(self) -> None:
        """End the process."""
        if self.process is None:
            return
        with suppress(AttributeError, OSError):
            self.writer.close()
        try:
            await asyncio.wait_for(self.process.wait(), _PATIENCE)
        except TimeoutError:
            with suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()


class Batcher:
    """The queue of one version of a model, and its workers.

    Args:
        folder: of the artifact.
        format: of the artifact.
        workers: number of processes.
        threads: of each.
        max_batch: the most examples that are answered together.
        max_waiting: the most requests that wait; what comes then is refused.
        observe: called after each batch with the number of its examples.
    """

    def __init__(
        self,
        folder: Path,
        format: str,
        workers: int,
        threads: int,
        max_batch: int,
        max_waiting: int,
        observe: Callable[[int], None],
    ) -> None:
        self.max_batch, self.max_waiting, self.observe = max_batch, max_waiting, observe
        self.workers = [Worker(folder, format, threads) for _ in range(workers)]
        self.waiting: deque[Waiting] = deque()
        self.arrived = asyncio.Condition()
        self.tasks: list[asyncio.Task[None]] = []
        self.ending = False

    async def start(self) -> None:
        """Start the workers.

        Raises:
            Unavailable: one of them cannot load the artifact.
        """
        try:
            await asyncio.gather(*(worker.start() for worker in self.workers))
        except Unavailable:
            await asyncio.gather(*(worker.end() for worker in self.workers))
            raise
        self.tasks = [asyncio.create_task(self._work(worker)) for worker in self.workers]

    async def ask(self, signature: str, arrays: Arrays, seconds: float) -> Arrays:
        """Return the answers to a request, once a worker has come to it.

        Raises:
            QueueFull: too many wait.
            Late: nobody came to it in time.
            BadRequest: the artifact cannot answer it.
            Unavailable: the workers die of it, or are being ended.
        """
        if self.ending:
            raise Unavailable("this version is being taken away: ask again.")
        if len(self.waiting) >= self.max_waiting:
            raise QueueFull(f"{len(self.waiting)} requests are waiting: ask again later.")
        request = Waiting(
            signature,
            arrays,
            len(next(iter(arrays.values()))),
            time.monotonic() + seconds,
            asyncio.get_running_loop().create_future(),
        )
        async with self.arrived:
            self.waiting.append(request)
            self.arrived.notify()
        try:
            return await asyncio.wait_for(request.answer, seconds)
        except TimeoutError:
            raise Late(f"there was no answer within {seconds:g} s.") from None

    async def end(self) -> None:
        """Answer what waits, and end the workers."""
        self.ending = True
        async with self.arrived:
            self.arrived.notify_all()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await asyncio.gather(*(worker.end() for worker in self.workers))

    async def _work(self, worker: Worker) -> None:
        """Have a worker answer batch after batch."""
        while True:
            async with self.arrived:
                await self.arrived.wait_for(lambda: self.waiting or self.ending)
                batch = self._next()
            if not batch:
                if self.ending:
                    return
                continue
            try:
                answers = await self._answered(worker, batch)
            except Fault as fault:
                await self._refused(worker, batch, fault)
                continue
            self.observe(sum(request.count for request in batch))
            start = 0
            for request in batch:
                part = slice(start, start + request.count)
                start += request.count
                if not request.answer.done():
                    request.answer.set_result({name: x[part] for name, x in answers.items()})

    def _next(self) -> list[Waiting]:
        """Take requests of one kind from the queue, in the order in which they came."""
        now, count = time.monotonic(), 0
        taken: list[Waiting] = []
        left: deque[Waiting] = deque()
        while self.waiting:
            request = self.waiting.popleft()
            if request.answer.done() or request.deadline <= now:
                continue  # it is answered as late where it waits
            alike = not taken or request.kind == taken[0].kind
            if alike and (not taken or count + request.count <= self.max_batch):
                taken.append(request)
                count += request.count
                if count >= self.max_batch:
                    break
            else:
                left.append(request)
        self.waiting.extendleft(reversed(left))
        return taken

    async def _answered(self, worker: Worker, batch: list[Waiting]) -> Arrays:
        """Return the answers to a batch; a worker that dies is replaced, and asked once more."""
        arrays = batch[0].arrays
        if len(batch) > 1:
            arrays = {
                name: np.concatenate([request.arrays[name] for request in batch]) for name in arrays
            }
        for _ in range(_ATTEMPTS):
            try:
                return await worker.ask(batch[0].signature, arrays)
            except ConnectionError:
                await worker.end()
                await worker.start()
        raise Unavailable("the model's process ended twice while it answered.")

    async def _refused(self, worker: Worker, batch: list[Waiting], fault: Fault) -> None:
        """Tell a batch that there is no answer: each alone, for one may have spoiled it for all."""
        alone = isinstance(fault, BadRequest) and len(batch) > 1
        for request in batch:
            if request.answer.done():
                continue
            if not alone:
                request.answer.set_exception(fault)
                continue
            try:
                request.answer.set_result(await self._answered(worker, [request]))
            except Fault as own:
                request.answer.set_exception(own)


def threads_for(workers: int) -> int:
    """Return how many threads each of some workers may compute with."""
    return max(1, (os.cpu_count() or 1) // workers)


def formats() -> list[str]:
    """Return the formats that can be served."""
    return list(FORMATS)
