"""Requests a second, and how long they take: `zoo serve` beside Triton and FastAPI.

    python benchmarks/serving.py PEERS_PYTHON [MODEL]

PEERS_PYTHON is the Python of an environment for `serving_peers.py`. All serve the same float32
LiteRT file, a picture a request, over loopback; h2load (Debian's nghttp2-client) is every server's
client, of 1, 8 and 64 connections that each wait for an answer before they ask again. The servers
take turns, and each combination is measured three times: the median run counts.
"""

import csv
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results" / "serving.csv"
CLIENTS = (1, 8, 64)
REPEATS = 3
SECONDS = 6.0  # of each measurement, about
GRPC = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
JSON = ["-H", "content-type: application/json", "--h1"]
_PORTS = itertools.count(18_500, 10)  # the last server's may not be free yet
# Name -> (kind, protocol, path).
SERVERS = {
    "deepzoo gRPC": ("zoo", "grpc", "/tensorflow.serving.PredictionService/Predict"),
    "Triton (PyTriton) gRPC": ("triton", "grpc", "/inference.GRPCInferenceService/ModelInfer"),
    "deepzoo REST": ("zoo", "rest", "/v1/models/model:predict"),
    "FastAPI REST": ("fastapi", "rest", "/v1/models/model:predict"),
}


@contextmanager
def served(kind: str, python: str, artifact: Path, scratch: Path) -> Iterator[dict[str, int]]:
    """Serve, and give the port of each protocol."""
    body = scratch / f"{kind}.body"
    port = next(_PORTS)
    if kind == "zoo":
        command = [sys.executable, "-m", "zoo", "serve", f"model={artifact}", "--port",
                   str(port), "--grpc-port", str(port + 1)]  # fmt: skip
        ports, word = {"rest": port, "grpc": port + 1}, "serving"
    else:
        file = next(artifact.glob("*.tflite"))
        script = Path(__file__).with_name("serving_peers.py")
        command = [python, str(script), kind, str(file), str(port), str(body)]
        ports, word = {"rest": port, "grpc": port}, "ready"
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        for line in process.stdout:
            if line.startswith(word):
                break
        else:
            raise SystemExit(f"{kind} does not start: {' '.join(command)}")
        yield ports
    finally:
        process.stdin.close()
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def own_bodies(artifact: Path, scratch: Path) -> None:
    """Write what `zoo serve` is sent for the peers' picture."""
    from export.artifact import read
    from export.serving.codec import to_proto
    from export.serving.protos import predict_pb2

    shape = read(artifact).inputs[0].shape[1:]
    picture = np.random.default_rng(0).integers(0, 256, shape).astype("uint8")
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "model"
    to_proto(picture[None], request.inputs[read(artifact).inputs[0].name])
    message = request.SerializeToString()
    framed = b"\0" + len(message).to_bytes(4, "big") + message
    (scratch / "zoo.grpc").write_bytes(framed)
    (scratch / "zoo.rest").write_text(json.dumps({"instances": [picture.tolist()]}))


def load(
    url: str, body: Path, headers: list[str], clients: int, count: int
) -> tuple[list[float], float]:
    """Send requests, and return the milliseconds of each answer, and the seconds of all."""
    with tempfile.NamedTemporaryFile() as log:
        call = ["h2load", "-n", str(count), "-c", str(clients), "-m", "1", "-t", "1",
                f"--data={body}", f"--log-file={log.name}", *headers, url]  # fmt: skip
        output = subprocess.run(call, capture_output=True, text=True, check=True).stdout
        rows = [line.split() for line in Path(log.name).read_text().splitlines()]
    if len(rows) != count or any(row[1] != "200" for row in rows):
        raise SystemExit(f"{url} did not answer all requests:\n{output[-2000:]}")
    begun, took = ([int(row[column]) for row in rows] for column in (0, 2))  # microseconds
    last = max(map(sum, zip(begun, took, strict=True)))
    return [time / 1000 for time in took], (last - min(begun)) / 1e6


def main(python: str, model: str = "resnet20-cifar10") -> None:
    """Measure all servers, and write the table."""
    import export

    found: dict[tuple[str, int], list[tuple[float, float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        artifact = export.export(model, scratch / "artifact", "litert", verify=False).path
        own_bodies(artifact, scratch)
        for _ in range(REPEATS):
            for name, (kind, protocol, path) in SERVERS.items():
                with served(kind, python, artifact, scratch) as ports:
                    url = f"http://127.0.0.1:{ports[protocol]}{path}"
                    body = scratch / (f"zoo.{protocol}" if kind == "zoo" else f"{kind}.body")
                    headers = GRPC if protocol == "grpc" else JSON
                    for clients in CLIENTS:
                        _, took = load(url, body, headers, clients, 200)
                        count = max(200, int(200 / took * SECONDS))
                        times, took = load(url, body, headers, clients, count)
                        median, late = np.percentile(times, (50, 99))
                        found.setdefault((name, clients), []).append((count / took, median, late))
                        print(name, clients, found[name, clients][-1], flush=True)
    with RESULTS.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("server", "clients", "requests_per_second", "p50_ms", "p99_ms"))
        for (name, clients), runs in found.items():
            middle = sorted(runs)[len(runs) // 2]
            table.writerow((name, clients, *(round(value, 2) for value in middle)))
    rates = {key: statistics.median(run[0] for run in runs) for key, runs in found.items()}
    for clients in CLIENTS:
        ratio = rates["deepzoo gRPC", clients] / rates["Triton (PyTriton) gRPC", clients]
        print(f"{clients} clients: {ratio:.2f} times Triton's requests")


if __name__ == "__main__":
    main(*sys.argv[1:])
