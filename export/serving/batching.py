"""Requests that are answered together.

A worker that has nothing to do takes all that waits, up to a batch: nobody waits for others to
come, and the more there are, the larger the batches become.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from export.batches import Arrays, examples_in
from export.formats import threads
from export.serving.faults import (
    BadRequest,
    Fault,
    Late,
    Leaving,
    QueueFull,
    TooLarge,
    Unavailable,
)
from export.serving.processes import Gone, Worker

log = logging.getLogger("zoo.serve")

_GRACE = 10.0  # seconds after a batch's last deadline in which its worker may still come back
_PAUSE = 1.0  # seconds between two tries to start a worker, or two looks whether it lives
_LEAVING = "this version is being taken away: ask again."


@dataclass
class Waiting:
    """A request in the queue.

    Attributes:
        signature: that it asks.
        arrays: its inputs; the first axis counts examples.
        deadline: `time.monotonic` at which its answer is worth nothing any more.
        answer: that it waits for.
        count: of its examples.
        kind: what must be the same of requests that are answered together.
    """

    signature: str
    arrays: Arrays
    deadline: float
    answer: asyncio.Future[Arrays]
    count: int = field(init=False)
    kind: tuple[Any, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Note what others must have in common with it."""
        self.count = examples_in(self.arrays)
        shapes = ((n, x.dtype.str, x.shape[1:]) for n, x in sorted(self.arrays.items()))
        scalar = any(x.ndim == 0 for x in self.arrays.values())
        self.kind = (self.signature, id(self)) if scalar else (self.signature, *shapes)

    def finish(self, result: Arrays | Fault) -> None:
        """Give the answer, if somebody still waits for it."""
        if self.answer.done():
            return
        if isinstance(result, Fault):
            self.answer.set_exception(result)
        else:
            self.answer.set_result(result)


class Batcher:
    """The queue of one version of a model, and its workers.

    Args:
        folder: of the artifact.
        workers: number of processes.
        threads: of each.
        max_batch: the most examples that are answered together.
        max_waiting: the most requests that wait; what comes then is refused.
        observe: called after each batch with the number of its examples.
    """

    def __init__(
        self,
        folder: Path,
        workers: int,
        threads: int,
        max_batch: int,
        max_waiting: int,
        observe: Callable[[int], None],
    ) -> None:
        self.max_batch, self.max_waiting, self.observe = max_batch, max_waiting, observe
        self.workers = [Worker(folder, threads) for _ in range(workers)]
        self.waiting: deque[Waiting] = deque()
        self.arrived = asyncio.Condition()
        self.tasks: list[asyncio.Task[None]] = []
        self.ending = False

    @property
    def most(self) -> int:
        """The most examples of a request."""
        return self.max_waiting * self.max_batch

    @property
    def ready(self) -> bool:
        """Whether a worker answers."""
        return not self.ending and any(worker.ready for worker in self.workers)

    async def start(self) -> None:
        """Start the workers.

        Raises:
            Unavailable: one of them cannot load the artifact. No process is left.
        """
        try:
            await asyncio.gather(*(worker.start() for worker in self.workers))
        except BaseException:
            await asyncio.gather(*(worker.kill() for worker in self.workers))
            raise
        self.tasks = [asyncio.create_task(self._work(worker)) for worker in self.workers]

    def admit(self, requests: int = 1) -> None:
        """Refuse requests that there is no room for.

        Args:
            requests: how many batches, at most, they will be.

        Raises:
            QueueFull: too many wait.
            Leaving: the workers are being ended.
        """
        if self.ending:
            raise Leaving(_LEAVING)
        if len(self.waiting) + requests > self.max_waiting:  # some may wait no more
            self.waiting = deque(x for x in self.waiting if not x.answer.done())
        if self.waiting and len(self.waiting) + requests > self.max_waiting:
            raise QueueFull(f"{len(self.waiting)} requests are waiting: ask again later.")

    def check_size(self, arrays: Arrays) -> None:
        """Refuse a request of more examples than all batches that may wait.

        Raises:
            TooLarge: it has more.
        """
        if examples_in(arrays) > self.most:
            raise TooLarge(
                f"{examples_in(arrays):,} examples are more than {self.most:,}: send fewer."
            )

    async def ask(self, signature: str, arrays: Arrays, seconds: float) -> Arrays:
        """Return the answers to a request, once workers have come to it.

        A request of more examples than go into a batch is divided into batches.

        Args:
            signature: that is asked.
            arrays: its inputs; the first axis counts examples.
            seconds: after which the answers are worth nothing any more.

        Raises:
            TooLarge: it has more examples than all batches that may wait.
            QueueFull: too many wait.
            Late: nobody came to it in time.
            BadRequest: the artifact cannot answer it.
            Unavailable: the workers die of it, or are being ended.
        """
        self.check_size(arrays)
        parts = self._divided(arrays)
        self.admit(len(parts))
        loop, deadline = asyncio.get_running_loop(), time.monotonic() + seconds
        requests = [Waiting(signature, part, deadline, loop.create_future()) for part in parts]
        async with self.arrived:
            self.waiting.extend(requests)
            self.arrived.notify(len(requests))
        try:
            async with asyncio.timeout(seconds):
                answers = [await request.answer for request in requests]
        except TimeoutError:
            raise Late(f"there was no answer within {seconds:g} s.") from None
        finally:
            for request in requests:
                request.answer.cancel()
        if len(answers) == 1:
            return answers[0]
        return {name: np.concatenate([x[name] for x in answers]) for name in answers[0]}

    def _divided(self, arrays: Arrays) -> list[Arrays]:
        count = examples_in(arrays)
        if count <= self.max_batch:
            return [arrays]
        return [
            {name: x[start : start + self.max_batch] if x.ndim else x for name, x in arrays.items()}
            for start in range(0, count, self.max_batch)
        ]

    async def end(self, seconds: float = 0.0) -> None:
        """Answer what waits, and end the workers; those that hang are killed.

        Args:
            seconds: that what waits may take.
        """
        self.ending = True
        async with self.arrived:
            self.arrived.notify_all()
        if self.tasks:
            _, hanging = await asyncio.wait(self.tasks, timeout=seconds + _GRACE)
            for task in hanging:
                task.cancel()
            await asyncio.gather(*hanging, return_exceptions=True)
        self._refuse_waiting(Leaving(_LEAVING))
        await asyncio.gather(*(worker.end() for worker in self.workers))

    async def _work(self, worker: Worker) -> None:
        """Have a worker answer batch after batch, and replace it when it is gone."""
        while self.waiting or not self.ending:
            if not worker.ready and not self.ending:
                try:
                    await self._start(worker)
                except Unavailable as fault:
                    log.error("%s", fault)
                    if not self.ready:
                        self._refuse_waiting(fault)
                    continue
            batch = await self._arrived()
            try:
                if batch:
                    await self._serve(worker, batch)
            except asyncio.CancelledError:
                for request in batch:
                    request.finish(Leaving(_LEAVING))
                raise
            except Exception:  # the next batch may be a better one
                log.exception("a batch could not be answered")
                await worker.kill()
            finally:
                for request in batch:
                    request.finish(Fault("the server failed at this request."))

    async def _start(self, worker: Worker) -> None:
        """Start a worker; what is wrong may pass, and is not to take a core meanwhile."""
        try:
            await worker.start()
        except Unavailable:
            await asyncio.sleep(_PAUSE)
            raise

    async def _arrived(self) -> list[Waiting]:
        """Return the next requests; nothing if none come for a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_PAUSE), self.arrived:
                await self.arrived.wait_for(lambda: self.waiting or self.ending)
                return self._next()
        return []

    def _refuse_waiting(self, fault: Fault) -> None:
        for request in self.waiting:
            request.finish(fault)
        self.waiting.clear()

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

    async def _serve(self, worker: Worker, batch: list[Waiting]) -> None:
        """Answer a batch; if there is no answer to all, each alone: one may have spoiled it."""
        try:
            answers = await self._answers(worker, batch)
        except (BadRequest, Gone) as error:
            if len(batch) > 1:
                for request in batch:
                    if not request.answer.done():
                        await self._serve(worker, [request])
            elif isinstance(error, Gone):
                if not batch[0].answer.done():
                    await self._again(worker, batch[0])
            else:
                batch[0].finish(error)
            return
        except Fault as fault:
            for request in batch:
                request.finish(fault)
            return
        self.observe(sum(request.count for request in batch))
        start = 0
        for request in batch:
            part = slice(start, start + request.count)
            start += request.count
            whole = len(batch) == 1
            request.finish(answers if whole else {name: x[part] for name, x in answers.items()})

    async def _again(self, worker: Worker, request: Waiting) -> None:
        """Ask a request once more, of whose batch a worker has died."""
        try:
            request.finish(await self._answers(worker, [request]))
        except Gone:
            request.finish(Unavailable("the model's process ended twice while it answered."))
        except Fault as fault:
            request.finish(fault)

    async def _answers(self, worker: Worker, batch: list[Waiting]) -> Arrays:
        """Return the answers to a batch, by a worker that is started again if it is gone.

        Raises:
            Fault: the artifact cannot answer, or the worker cannot be started.
            Gone: the worker ended, or hung until nobody waited any more.
        """
        arrays = batch[0].arrays
        if len(batch) > 1:
            arrays = {
                name: np.concatenate([request.arrays[name] for request in batch]) for name in arrays
            }
        if not worker.ready:
            await self._start(worker)
        left = max(request.deadline for request in batch) - time.monotonic()
        return await worker.ask(batch[0].signature, arrays, max(left, 0) + _GRACE)


def threads_for(workers: int) -> int:
    """Return how many threads each of some workers may compute with."""
    return max(1, threads() // workers)
