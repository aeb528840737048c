"""A server in a process of its own, as its clients see it."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@dataclass
class Served:
    """A running server, from outside."""

    process: subprocess.Popen[bytes]
    port: int
    grpc_port: int

    def call(
        self, method: str, path: str, body: Any = None, timeout: float = 30.0
    ) -> tuple[int, Any]:
        """Return the status and the JSON (or text) of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        content = body if isinstance(body, bytes | None) else json.dumps(body)
        connection.request(method, path, content)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        kind = response.headers.get("content-type", "")
        return response.status, json.loads(text) if "json" in kind else text

    def predict(self, body: Any, name: str = "digits") -> tuple[int, Any]:
        return self.call("POST", f"/v1/models/{name}:predict", body)

    def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until something is so."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it did not come to be so"
            assert self.process.poll() is None, "the server ended"
            time.sleep(0.1)

    def ready(self) -> bool:
        try:
            return self.call("GET", "/readyz")[0] == 200
        except OSError:
            return False

    @property
    def workers(self) -> list[int]:
        """Processes that hold artifacts."""
        found = subprocess.run(
            ["pgrep", "-P", str(self.process.pid), "-f", "serving.worker"],
            capture_output=True, text=True,
        )  # fmt: skip
        return [int(line) for line in found.stdout.split()]

    def end(self) -> int:
        """Ask the server to end, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextmanager
def serving(*arguments: str) -> Iterator[Served]:
    """Serve, give the server once it answers, and end it whatever happens."""
    ports = free_port(), free_port()
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "zoo", "serve", *arguments,
                "--port", str(ports[0]), "--grpc-port", str(ports[1]),
            ],
            stdout=subprocess.DEVNULL, stderr=told, start_new_session=True,
        )  # fmt: skip
        served = Served(process, *ports)
        try:
            end = time.monotonic() + 120
            while not served.ready():
                told.seek(0)
                assert process.poll() is None, told.read().decode()
                assert time.monotonic() < end
                time.sleep(0.2)
            yield served
            if process.poll() is None:
                served.end()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # its workers, too
                process.wait()
