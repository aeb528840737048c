"""A server on this machine that fails as it is told to, and a file that it serves."""

import hashlib
import re
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from zoo import weights
from zoo.cards import Weights

# Several blocks of 64 KiB and a rest.
CONTENT = bytes(range(256)) * 1000 + b"the end"
HALF = len(CONTENT) // 2
FILE = "model.weights.h5"


@dataclass
class Answer:
    """How the server answers one request.

    Attributes:
        status: another status than 200, with an empty body.
        limit: bytes after which it stops.
        stalls: it then keeps the connection open.
        resumes: it heeds a Range header.
        resets: it then drops the connection without a farewell.
        offset: bytes that it leaves out of a range that it was asked for.
        content: what it holds.
    """

    status: int = 200
    limit: int | None = None
    stalls: bool = False
    resumes: bool = True
    resets: bool = False
    offset: int = 0
    content: bytes = CONTENT


@dataclass
class Site:
    """A server on this machine: what it will answer, and what it was asked."""

    address: str = ""
    answers: deque[Answer] = field(default_factory=deque)
    ranges: list[str | None] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    gate: threading.Event | None = None

    @property
    def url(self) -> str:
        return f"{self.address}/{FILE}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Serve one request by the next answer, or well if none is left."""
        answer = self.answers.popleft() if self.answers else Answer()
        wanted = request.headers["Range"]
        self.ranges.append(wanted)
        if self.gate:
            self.gate.wait(10)
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and answer.resumes else 0
        if answer.status == 200 and start and start >= len(answer.content):
            answer = Answer(status=416)
        if answer.status != 200:
            self.sent.append(0)
            request.send_response(answer.status)
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        start += answer.offset
        body = answer.content[start:]
        request.send_response(206 if start else 200)
        if start:
            last = len(answer.content) - 1
            request.send_header("Content-Range", f"bytes {start}-{last}/{len(answer.content)}")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        body = body[: answer.limit]
        self.sent.append(len(body))
        request.wfile.write(body)
        request.wfile.flush()
        if answer.stalls:
            self.released.wait(10)
        if answer.resets:
            # Closed without lingering, a socket sends RST in place of FIN.
            request.connection.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            socket.close(request.connection.detach())


@contextmanager
def serving() -> Iterator[Site]:
    """Run a server on a free port of this machine."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.answer(self)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    site.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        site.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def entry(url: str | None, content: bytes = CONTENT) -> Weights:
    """Return the card's entry for a file."""
    sha256 = hashlib.sha256(content).hexdigest()
    return Weights(file=FILE, bytes=len(content), sha256=sha256, url=url)


def place(content: bytes = CONTENT) -> Path:
    """Return where the cache keeps a file."""
    return weights.home() / "weights" / hashlib.sha256(content).hexdigest() / FILE


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def flipped(content: bytes) -> bytes:
    """Return the content with one bit changed."""
    return content[:-1] + bytes([content[-1] ^ 1])


def left() -> list[str]:
    """Return the names of what lies in the cache, apart from lock files."""
    files = (path for path in weights.home().rglob("*") if path.is_file())
    return sorted(path.name for path in files if path.suffix != ".lock")
