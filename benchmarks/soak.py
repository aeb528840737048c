"""A server under load and abuse: no crash, no leak, no wrong answer, every refusal with a reason.

    python benchmarks/soak.py [--seconds 600] [--model lenet5-mnist]

Several clients of each kind ask one `zoo serve` over loopback: valid requests over REST and gRPC,
whose answers are held against the Keras model's, broken JSON, wrong types, wrong shapes, bodies of
100 MB, bodies that come a byte at a time, connections that are cut; and now and then one of two
workers is killed, while the other grows old. What came of it goes to `benchmarks/results/soak.csv`,
a row for each kind; the exit code is 1 if anything was not as it should be.
"""

import argparse
import csv
import http.client
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from export.serving.codec import to_proto
from export.serving.protos import predict_pb2, prediction_service_pb2_grpc

RESULTS = Path(__file__).parent / "results" / "soak.csv"
PATH = "/v1/models/model:predict"
TOLERANCE = 1e-4
WORKERS = 2
KILL_EVERY = 15.0  # seconds
BODY = 100 << 20


class Soak:
    """The clients of a server, and what they were answered.

    Args:
        port: of REST.
        grpc_port: of gRPC.
        pictures: that are asked for.
        expected: the probabilities of each.
    """

    def __init__(
        self, port: int, grpc_port: int, pictures: np.ndarray, expected: np.ndarray
    ) -> None:
        self.port, self.grpc_port = port, grpc_port
        self.pictures, self.expected = pictures, expected
        self.ending = threading.Event()
        self.lock = threading.Lock()
        self.answers: Counter[tuple[str, str]] = Counter()
        self.wrong: list[str] = []

    def count(self, kind: str, status: Any, allowed: set[Any], reason: Any) -> None:
        """Note an answer; one that is not allowed, or without a reason, is wrong."""
        with self.lock:
            self.answers[kind, str(status)] += 1
            refused = status not in (200, "OK", "cut")
            if status not in allowed or (refused and not reason):
                self.wrong.append(f"{kind}: {status} {reason!r}")

    def post(self, body: bytes, timeout: float = 60.0) -> tuple[int, Any]:
        """Return the status and the JSON of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent
                connection.request("POST", PATH, body)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def some(self, random: random.Random) -> np.ndarray:
        """Return places of pictures to ask for."""
        return np.array(random.sample(range(len(self.pictures)), random.choice((1, 2, 5))))

    def compare(self, kind: str, places: np.ndarray, found: np.ndarray) -> None:
        """Note an answer that is not the model's."""
        if found.shape != self.expected[places].shape or (
            np.abs(found - self.expected[places]).max() > TOLERANCE
        ):
            with self.lock:
                self.wrong.append(f"{kind}: another answer than the model's")

    def rest(self, random: random.Random) -> None:
        """Ask as one should."""
        places = self.some(random)
        status, answer = self.post(
            json.dumps({"instances": self.pictures[places].tolist()}).encode()
        )
        self.count("valid REST", status, {200, 429}, answer.get("error"))
        if status == 200:
            rows = [row["probabilities"] for row in answer["predictions"]]
            self.compare("valid REST", places, np.array(rows))

    def rpc(self, random: random.Random) -> None:
        """Ask as one should, over gRPC."""
        places = self.some(random)
        self._call("valid gRPC", self.pictures[places], {"OK", "RESOURCE_EXHAUSTED"}, places)

    def rpc_type(self, random: random.Random) -> None:
        """Ask for a picture of another type."""
        self._call("wrong type, gRPC", self.pictures[:1].astype("float32"), {"INVALID_ARGUMENT"})

    def _call(self, kind: str, pictures: np.ndarray, allowed: set[Any], places: Any = None) -> None:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "model"
        to_proto(pictures, request.inputs["image"])
        with grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            try:
                response = stub.Predict(request, timeout=60)
            except grpc.RpcError as error:
                self.count(kind, error.code().name, allowed, error.details())
                return
        self.count(kind, "OK", allowed, "")
        found = np.array(response.outputs["probabilities"].float_val, "float32")
        if response.outputs["probabilities"].tensor_content:
            found = np.frombuffer(response.outputs["probabilities"].tensor_content, "float32")
        self.compare(kind, places, found.reshape(len(pictures), -1))

    def malformed(self, random: random.Random) -> None:
        """Send what is no JSON."""
        body = random.choice([b"{", b"\xff\xfe\0", b"[1, 2", b'{"instances": [NaN]}', b""])
        status, answer = self.post(body)
        self.count("malformed JSON", status, {400}, answer.get("error"))

    def typed(self, random: random.Random) -> None:
        """Send values of a wrong type."""
        value = random.choice(["a", None, 300, -1, 0.5, {"b64": "?"}, True])
        spoiled = self.pictures[:1].tolist()
        spoiled[0][0][0][0] = value
        body = {"instances": spoiled}
        status, answer = self.post(json.dumps(body).encode())
        self.count("wrong type", status, {400}, answer.get("error"))

    def shaped(self, random: random.Random) -> None:
        """Send values of a wrong shape."""
        body = {"instances": random.choice([[[1, 2], [3]], [[[1]]], [], [[[[1]] * 5] * 5]])}
        status, answer = self.post(json.dumps(body).encode())
        self.count("wrong shape", status, {400}, answer.get("error"))

    def large(self, random: random.Random) -> None:
        """Send 100 MB, whose size is said before or not."""
        if random.random() < 0.5:
            status, answer = self.post(bytes(BODY))
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            chunks = (bytes(1 << 20) for _ in range(BODY >> 20))
            try:
                with suppress(BrokenPipeError, ConnectionResetError):
                    connection.request("POST", PATH, chunks, encode_chunked=True)
                response = connection.getresponse()
                status, answer = response.status, json.loads(response.read())
            finally:
                connection.close()
        self.count("100 MB", status, {413}, answer.get("error"))
        self.ending.wait(2)

    def slow(self, random: random.Random) -> None:
        """Send a body a byte at a time."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(
                f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n".encode()
            )
            connection.settimeout(1.0)
            for _ in range(40):
                try:
                    connection.sendall(b" ")
                    answer = connection.recv(65_536)
                    connection.settimeout(60)
                    while more := connection.recv(65_536):
                        answer += more
                    break
                except TimeoutError:
                    if self.ending.is_set():
                        return
            else:
                answer = b"HTTP/1.1 000"
        self.count("slow body", int(answer.split()[1]), {408}, answer.partition(b"\r\n\r\n")[2])

    def cut(self, random: random.Random) -> None:
        """Go away in the midst of a request, or of its answer."""
        body = json.dumps({"instances": self.pictures[:5].tolist()}).encode()
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        content = head + body
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(content[: random.randrange(1, len(content) + 1)])
        self.count("cut connection", "cut", {"cut"}, "")

    def client(self, ask: Callable[[random.Random], None], seed: int, pause: float) -> None:
        """Ask until the end."""
        own = random.Random(seed)
        while not self.ending.is_set():
            try:
                ask(own)
            except Exception as error:
                with self.lock:
                    self.wrong.append(f"{ask.__name__}: {type(error).__name__}: {error}")
            self.ending.wait(pause)

    def run(self, seconds: float, process: int) -> dict[str, list[float]]:
        """Ask for some time, and return MB of the server and its oldest worker."""
        kinds = [(self.rest, 0.0)] * 3 + [(self.rpc, 0.0)] * 3 + [(self.slow, 0.1)] * 2
        for ask in (self.malformed, self.typed, self.shaped, self.rpc_type, self.cut, self.large):
            kinds.append((ask, 0.05))
        threads = [
            threading.Thread(target=self.client, args=(ask, seed, pause))
            for seed, (ask, pause) in enumerate(kinds)
        ]
        for thread in threads:
            thread.start()
        memory: dict[str, list[float]] = {"server": [], "oldest worker": []}
        oldest, victim = workers_of(process)[0], 0
        end, killed = time.monotonic() + seconds, time.monotonic()
        try:
            while time.monotonic() < end:
                time.sleep(1)
                workers = workers_of(process)
                memory["server"].append(megabytes(process))
                memory["oldest worker"].append(megabytes(oldest))
                whole = len(workers) == WORKERS
                if victim and whole and victim not in workers:
                    victim = 0
                    with self.lock:
                        self.answers["worker killed", "replaced"] += 1
                if not victim and whole and time.monotonic() - killed > KILL_EVERY:
                    killed, victim = time.monotonic(), workers[-1]
                    os.kill(victim, signal.SIGKILL)
        finally:
            self.ending.set()
            for thread in threads:
                thread.join()
        return memory


def workers_of(process: int) -> list[int]:
    """Return the processes that hold models."""
    call = ["pgrep", "-P", str(process), "-f", "serving.worker"]
    return list(map(int, subprocess.run(call, capture_output=True, text=True).stdout.split()))


def megabytes(process: int) -> float:
    """Return the memory that a process has to itself and shares; 0 if it is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(x.split()[1]) / 1024 for x in lines if x.startswith("VmRSS")), 0.0)


def growth(samples: list[float]) -> float:
    """Return by how much memory grew, as a share: of the last tenth against the second.

    In the first tenth a server meets each kind of request for the first time.
    """
    part = max(1, len(samples) // 10)
    return statistics.median(samples[-part:]) / statistics.median(samples[part : 2 * part]) - 1


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def served(model: str) -> Iterator[tuple[subprocess.Popen[bytes], int, int]]:
    """Serve a model, and give the process and its ports."""
    port, grpc_port = free_port(), free_port()
    command = [sys.executable, "-m", "zoo", "serve", f"model={model}",
               "--port", str(port), "--grpc-port", str(grpc_port),
               "--workers", str(WORKERS)]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with suppress(OSError):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", "/readyz")
                if connection.getresponse().status == 200:
                    break
            if process.poll() is not None:
                raise SystemExit(f"{model} could not be served.")
            time.sleep(0.2)
        yield process, port, grpc_port
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def main(seconds: float, model: str, most: float, out: Path) -> int:
    """Load a server, write what came of it, and return the number of what was wrong."""
    import zoo

    network = zoo.load(model)
    shape = network.input_shape[1:]
    pictures = np.random.default_rng(0).integers(0, 256, (40, *shape)).astype("uint8")
    expected = network.predict(pictures, verbose=0)
    with served(model) as (process, port, grpc_port):
        soak = Soak(port, grpc_port, pictures, expected)
        memory = soak.run(seconds, process.pid)
        alive = process.poll() is None
        status, _ = soak.post(json.dumps({"instances": pictures[:1].tolist()}).encode())
        process.terminate()
        code = process.wait(60)
    grown = {name: growth(samples) for name, samples in memory.items()}
    wrong = list(soak.wrong)
    wrong += [] if alive and status == 200 else ["the server did not answer at the end"]
    wrong += [] if code == 0 else [f"the server ended with {code}"]
    wrong += [
        f"the memory of the {name} grew by {100 * share:.1f} %"
        for name, share in grown.items()
        if share > most
    ]
    out.parent.mkdir(exist_ok=True, parents=True)
    with out.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("kind", "answer", "count"))
        table.writerows((*key, count) for key, count in sorted(soak.answers.items()))
        for name, samples in memory.items():
            table.writerow((f"memory of the {name}", "MB", round(samples[-1])))
            table.writerow((f"memory of the {name}", "growth %", round(100 * grown[name], 1)))
        table.writerow(("all", "seconds", round(seconds)))
        table.writerow(("all", "wrong", len(wrong)))
    for words, count in Counter(wrong).most_common(20):
        print(f"{count} times {words}")
    print(out.read_text())
    return len(wrong)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=float, default=600.0)
    options.add_argument("--model", default="lenet5-mnist")
    options.add_argument("--growth", type=float, default=0.05, help="Of memory, at most.")
    options.add_argument("--out", type=Path, default=RESULTS)
    given = options.parse_args()
    sys.exit(main(given.seconds, given.model, given.growth, given.out) > 0)
