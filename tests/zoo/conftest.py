"""A valid card, folders that look like packaged models, and a server to download them from."""

import hashlib
import re
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from weight_files import CONTENT

from zoo import cards, weights
from zoo.cards import (
    Card,
    Dataset,
    Input,
    Metric,
    Parameters,
    ParityReport,
    Reference,
    TokenizerFile,
    Training,
    Weights,
)

if TYPE_CHECKING:
    import keras

Packer = Callable[..., Path]


@pytest.fixture
def card() -> Card:
    """A card in which no field has its default."""
    return Card(
        name="lenet5-mnist",
        architecture="lenet5",
        arguments={"classes": 3, "activation": "tanh"},
        task="classification",
        input=Input(
            name="image",
            shape=[28, 28, 1],
            dtype="uint8",
            preprocessing="grey pictures, white on black",
            features=["pixels"],
        ),
        labels=["zero", "one", "two"],
        parameters=Parameters(trainable=61_111, non_trainable=0),
        weights=Weights(
            file="model.weights.h5",
            bytes=7,
            sha256=hashlib.sha256(b"weights").hexdigest(),
            url="https://example.org/model.weights.h5",
        ),
        dataset=Dataset(
            source="mnist",
            version="3.0.1",
            license="CC BY-SA 3.0",
            caveat="none",
            examples={"train": 50_000, "validation": 10_000, "test": 10_000},
            fingerprint="0123abcd",
        ),
        recipe={"model": "lenet5", "epochs": 20, "augment": {"crop": 2}},
        metrics=[Metric(name="accuracy", split="test", value=0.99, examples=10_000)],
        training=Training(
            command="zoo train lenet5-mnist",
            seed=1,
            epochs=20,
            best_epoch=19,
            seconds=12.5,
            finished="2025-11-23T21:25:56+00:00",
            commit="824f752",
            hardware="two cores",
            versions={"keras": "3.15.1"},
        ),
        reference=Reference(metric="accuracy", value=0.9905, source="LeCun et al. 1998"),
        tokenizers={"ids": TokenizerFile(file="tokenizer.json", sha256="0" * 64)},
        exports=[
            ParityReport(
                format="litert",
                quantization="int8",
                bytes=70_000,
                examples=100,
                largest_difference=0.01,
                mean_difference=0.001,
                agreement=1.0,
                metric="accuracy",
                reference=0.99,
                value=0.99,
                milliseconds=0.1,
                reference_milliseconds=0.2,
            )
        ],
    )


@pytest.fixture
def card_file(card: Card, tmp_path: Path) -> Path:
    """The card, written by the library."""
    path = tmp_path / "card.json"
    cards.write(card, path)
    return path


@pytest.fixture
def pack(card: Card, tmp_path: Path) -> Packer:
    """Return a function from a model to a folder with its weights and its card."""

    def packer(
        model: "keras.Model", architecture: str = "", file: str = "model.weights.h5", **changes: Any
    ) -> Path:
        folder = tmp_path / "packed"
        folder.mkdir()
        path = folder / file
        model.save(path) if path.suffix == ".keras" else model.save_weights(path)
        content = path.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        weights = Weights(file=file, bytes=len(content), sha256=sha256)
        record = {"architecture": architecture, "arguments": {}, "weights": weights} | changes
        cards.write(msgspec.structs.replace(card, **record), folder / cards.FILE)
        return folder

    return packer


@pytest.fixture
def pictures() -> np.ndarray:
    """Random grey pictures, some of them darker or emptier than others."""
    random = np.random.default_rng(0)
    levels = random.integers(0, 256, (16, 28, 28, 1))
    kept = random.random((16, 28, 28, 1)) < random.random((16, 1, 1, 1))
    return (levels * kept).astype("uint8")


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
        content: other content than the site's.
        states: it says how many bytes there are.
        location: the address that it sends the caller on to.
    """

    status: int = 200
    limit: int | None = None
    stalls: bool = False
    resumes: bool = True
    resets: bool = False
    offset: int = 0
    content: bytes | None = None
    states: bool = True
    location: str = ""


@dataclass
class Site:
    """A server on this machine: what it holds and will answer, and what it was asked."""

    content: bytes = b""
    address: str = ""
    answers: deque[Answer] = field(default_factory=deque)
    ranges: list[str | None] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    gate: threading.Event | None = None

    @property
    def url(self) -> str:
        return f"{self.address}/model.weights.h5"

    def then(self, times: int = 1, **how: Any) -> None:
        """Answer the next requests in this way; see `Answer`."""
        self.answers.extend([Answer(**how)] * times)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Serve one request by the next answer, or well if none is left."""
        answer = self.answers.popleft() if self.answers else Answer()
        wanted = request.headers["Range"]
        self.ranges.append(wanted)
        content = self.content if answer.content is None else answer.content
        if self.gate:
            self.gate.wait(10)
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and answer.resumes else 0
        if answer.status == 200 and start and start >= len(content):
            answer = Answer(status=416)
        if answer.status != 200:
            self.sent.append(0)
            request.send_response(answer.status)
            request.send_header("Content-Length", "0")
            if answer.location:
                request.send_header("Location", answer.location)
            request.end_headers()
            return
        start += answer.offset
        body = content[start:]
        request.send_response(206 if start else 200)
        if start:
            last = len(content) - 1
            request.send_header("Content-Range", f"bytes {start}-{last}/{len(content)}")
        if answer.states:
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
def run_server(content: bytes) -> Iterator[Site]:
    """Run a server on a free port of this machine."""
    site = Site(content)

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


@pytest.fixture(scope="session")
def serving() -> Callable[[bytes], AbstractContextManager[Site]]:
    """Return content -> a context in which a server on this machine has it."""
    return run_server


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the download would have slept between its tries."""
    slept: list[float] = []
    monkeypatch.setattr(weights, "time", SimpleNamespace(sleep=slept.append))
    return slept


@pytest.fixture
def online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> None:
    """Allow the network, keep the cache in this test's folder, and waste no time."""
    monkeypatch.delenv("ZOO_OFFLINE", raising=False)
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The card's folder, without weights."""
    result = tmp_path / "model"
    result.mkdir()
    return result


@pytest.fixture
def site(serving: Callable[..., Any]) -> Iterator[Any]:
    """A server that has the weight file."""
    with serving(CONTENT) as result:
        yield result
