"""The process that holds an artifact, and answers batches: it may be killed, and another comes.

python -m export.serving.worker FOLDER DESCRIPTOR THREADS
"""

import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from export import artifact
from export.batches import examples_in, in_batches
from export.formats import FORMATS, resolve
from export.serving.wire import LENGTH, Header, packed, unpacked
from export.subprocesses import first_line


def main(folder: str, descriptor: str, threads: str) -> None:
    """Load the artifact, and answer until the connection ends."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the server says when it is over
        signal.signal(number, signal.SIG_IGN)
    os.environ["ZOO_THREADS"] = threads
    with socket.socket(fileno=int(descriptor)) as connection:
        try:
            call = _loaded(Path(folder))
        except Exception as error:
            _send(connection, Header(error=f"{type(error).__name__}: {error}"))
            return
        _send(connection, Header(facts={"process": os.getpid()}))
        while (message := _receive(connection)) is not None:
            header, arrays = message
            try:
                answer = packed(Header(), call(arrays, header.signature))
            except Exception as error:  # the next batch may be a better one
                facts = {"unavailable": isinstance(error, MemoryError)}
                answer = packed(Header(error=first_line(error), facts=facts), {})
            connection.sendall(b"".join(answer))


def _loaded(folder: Path) -> Callable[[dict[str, np.ndarray], str], dict[str, np.ndarray]]:
    """Return what answers a batch of any size."""
    manifest = artifact.read(folder)
    call = resolve(FORMATS[manifest.format].reader)(folder, manifest)
    fixed = {name: manifest.signature(name).inputs[0].shape for name in manifest.signatures}
    fixed[artifact.SIGNATURE] = manifest.inputs[0].shape

    def answer(arrays: dict[str, np.ndarray], signature: str) -> dict[str, np.ndarray]:
        size, count = fixed[signature][0] if fixed[signature] else None, examples_in(arrays)
        if size is None and manifest.format == "stablehlo":  # compiles for each size, and keeps it
            size = 1 << (count - 1).bit_length()
        return in_batches(partial(call, signature=signature), arrays, size)

    return answer


def _send(connection: socket.socket, header: Header) -> None:
    connection.sendall(b"".join(packed(header, {})))


def _receive(connection: socket.socket) -> tuple[Header, dict[str, np.ndarray]] | None:
    """Return the next message; `None` at the end."""
    start = _exactly(connection, LENGTH.size)
    if not start:
        return None
    header, numbers = LENGTH.unpack(start)
    return unpacked(_exactly(connection, header), _exactly(connection, numbers))


def _exactly(connection: socket.socket, count: int) -> bytearray:
    """Return so many bytes; none if the connection ends."""
    content = bytearray(count)
    view, place = memoryview(content), 0
    while place < count:
        found = connection.recv_into(view[place:])
        if not found:
            return bytearray()
        place += found
    return content


if __name__ == "__main__":
    main(*sys.argv[1:])
