"""A server that lives: clients, versions, processes that are killed, and an orderly end."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from served import Served, serving

from export import export
from recipes import Run

pytest.importorskip("grpc")
pytest.importorskip("uvicorn")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def inverted(digits_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact that gives its probabilities in reverse."""
    model = digits_run.load()
    outputs = keras.layers.Lambda(lambda x: x[:, ::-1])(model.output)
    place = tmp_path_factory.mktemp("inverted") / "artifact"
    made = export(keras.Model(model.input, outputs), place, verify=False, task="classification")
    return made.path


def test_many_clients_get_each_their_own_answer(
    server: Served, images: np.ndarray, probabilities: np.ndarray
) -> None:
    found: list[tuple[int, float]] = []

    def batches() -> tuple[float, ...]:
        _, text = server.call("GET", "/metrics")
        name = r'zoo_batch_examples_{}{{model="digits"}} (\S+)'
        seen = (re.search(name.format(what), text) for what in ("count", "sum"))
        return tuple(float(one[1]) if one else 0.0 for one in seen)  # none before the first batch

    def ask(number: int) -> None:
        for step in range(10):
            place = (7 * number + step) % len(images)
            status, answer = server.predict({"instances": images[place : place + 1].tolist()})
            given = answer["predictions"][0]["probabilities"] if status == 200 else np.inf
            found.append((status, np.abs(given - probabilities[place]).max()))

    before = batches()
    threads = [threading.Thread(target=ask, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [status for status, _ in found] == [200] * 160
    assert max(difference for _, difference in found) < 1e-4
    count, total = np.subtract(batches(), before)
    assert total == 160
    assert count < total  # some were answered together


def test_a_killed_worker_is_replaced_and_nobody_notices(server: Served, images: np.ndarray) -> None:
    before = server.workers
    assert before
    for process in before:
        os.kill(process, signal.SIGKILL)
    status, answer = server.predict({"instances": images[:2].tolist()})
    assert status == 200, answer
    assert len(answer["predictions"]) == 2
    assert set(server.workers).isdisjoint(before)


def test_a_worker_that_dies_while_nobody_asks_is_replaced(server: Served) -> None:
    before = server.workers
    for process in before:
        os.kill(process, signal.SIGKILL)
    server.until(lambda: bool(server.workers) and set(server.workers).isdisjoint(before))
    server.until(server.ready)


def test_a_new_version_takes_over(
    server: Served, place: Path, inverted: Path, images: np.ndarray, probabilities: np.ndarray
) -> None:
    shutil.copytree(inverted, place / ".2")
    (place / ".2").rename(place / "2")

    def newest() -> str:
        return server.call("GET", "/v1/models/digits")[1]["model_version_status"][0]["version"]

    server.until(lambda: newest() == "2")
    body = {"instances": images[:4].tolist()}
    found = [row["probabilities"] for row in server.predict(body)[1]["predictions"]]
    np.testing.assert_allclose(found, probabilities[:4, ::-1], atol=1e-5)
    # One that cannot be loaded is named, and changes nothing.
    shutil.copytree(inverted, place / ".3")
    (place / ".3" / "model.tflite").write_bytes(b"no model")
    (place / ".3").rename(place / "3")
    server.until(lambda: newest() == "3")
    state = server.call("GET", "/v1/models/digits")[1]["model_version_status"][0]
    assert state["state"] == "END"
    assert "damaged" in state["status"]["error_message"]
    assert server.predict(body)[0] == 200
    # When its files have changed it is tried again, and when it is removed an older one answers.
    shutil.copy(inverted / "model.tflite", place / "3" / "model.tflite")
    available = '"3", "state": "AVAILABLE"'
    server.until(lambda: available in json.dumps(server.call("GET", "/v1/models/digits")[1]))
    shutil.rmtree(place / "3")
    server.until(lambda: newest() == "2")
    assert server.predict(body)[0] == 200


def test_an_artifact_that_is_exported_anew_is_loaded_anew(
    exported: Any, inverted: Path, images: np.ndarray, probabilities: np.ndarray, tmp_path: Path
) -> None:
    place = tmp_path / "digits"
    shutil.copytree(exported("litert", "float32").path, place)
    with serving(str(place)) as served:

        def first() -> list[float]:
            status, answer = served.predict({"instances": images[:1].tolist()})
            assert status == 200, answer
            return answer["predictions"][0]["probabilities"]

        np.testing.assert_allclose(first(), probabilities[0], atol=1e-5)
        for name in ("model.tflite", "model.json"):  # between them it is damaged, and answers on
            shutil.copy(inverted / name, place / name)
            np.testing.assert_allclose(sorted(first()), sorted(probabilities[0]), atol=1e-5)
        served.until(lambda: np.allclose(first(), probabilities[0, ::-1], atol=1e-5))


def test_no_more_is_made_of_nothing_than_could_be_asked_about(exported: Any) -> None:
    from export.serving.faults import BadRequest
    from export.serving.models import Settings, Version

    made = exported("litert", "float32")
    version = Version(1, made.path, made.manifest, (), Settings(), lambda count: None)
    asked = {"seed": np.array(1), "n": np.array(1_000_000)}
    with pytest.raises(BadRequest, match="n is from 1 to 4,096, not 1,000,000"):
        asyncio.run(version.answer("generate_from_seed", asked, 1.0))


def test_requests_are_held_within_a_budget() -> None:
    from export.serving.faults import QueueFull
    from export.serving.models import Settings
    from export.serving.server import Server

    server = Server({}, Settings(max_held=100))
    with server.holding() as one, server.holding() as other:
        one(80)
        with pytest.raises(QueueFull, match="80 bytes are waiting"):
            other(30)
        other(20)
    assert server.held == 0
    with server.holding() as alone:
        alone(200)


def test_a_full_queue_is_429_and_the_end_is_orderly(exported: Any, images: np.ndarray) -> None:
    place = exported("saved_model", "float32").path
    body = {"instances": np.repeat(images, 5, axis=0).tolist()}
    statuses: list[int] = []
    with serving(f"slow={place}", "--max-waiting", "1", "--max-batch", "200") as served:

        def ask() -> None:
            statuses.append(served.predict(body, "slow")[0])

        threads = [threading.Thread(target=ask) for _ in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        workers = served.workers
        assert served.end() == 0
    assert len(statuses) == 24
    assert set(statuses) <= {200, 429}
    assert statuses.count(200) >= 2
    assert 429 in statuses
    for process in workers:
        assert not Path(f"/proc/{process}").exists()


def test_a_worker_that_hangs_is_replaced(exported: Any, images: np.ndarray) -> None:
    place = exported("litert", "float32").path
    body = {"instances": images[:1].tolist()}
    with serving(f"digits={place}", "--seconds", "1") as served:
        for process in served.workers:
            os.kill(process, signal.SIGSTOP)
        status, answer = served.predict(body)
        assert status == 504
        assert "no answer within 1 s" in answer["error"]
        served.until(lambda: served.predict(body)[0] == 200)
        for process in served.workers:
            os.kill(process, signal.SIGSTOP)
        assert served.end() == 0


def test_clients_that_do_not_say_what_they_ask_are_sent_away(server: Served) -> None:
    def connected() -> socket.socket:
        return socket.create_connection(("127.0.0.1", server.port), timeout=30)

    with connected() as slow, connected() as later, connected() as endless:
        slow.sendall(b"GET / HT")
        later.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while not answer.endswith(b"ok\n"):  # it may come in parts
            part = later.recv(1000)
            assert part, answer
            answer += part
        later.sendall(b"G")
        with suppress(ConnectionError):
            endless.sendall(b"GET / HTTP/1.1\r\nHost: " + b"x" * 1_000_000)
            assert endless.recv(100) == b""
        assert slow.recv(100) == b""
        assert later.recv(100) == b""


REFUSED = {
    "an unknown model": (["lenet6"], "no pretrained model"),
    "two of one name": (["lenet5-mnist", "lenet5-mnist"], "two models are called"),
    "no time": (["lenet5-mnist", "--seconds", "0"], "seconds must be above 0"),
    "no name": (["/"], "no request could name ''"),
    "a name with a slash": (["a/b=lenet5-mnist"], "no request could name 'a/b'"),
}


@pytest.mark.parametrize(("arguments", "words"), REFUSED.values(), ids=list(REFUSED))
def test_what_cannot_be_served(
    arguments: list[str], words: str, complaint: Callable[..., str]
) -> None:
    assert words in complaint("serve", *arguments)


def test_a_server_does_without_tensorflow(server: Served) -> None:
    maps = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "numpy" in maps
    assert "tensorflow" not in maps


def test_under_load_and_abuse_nothing_breaks(tmp_path: Path) -> None:
    """Ten minutes of it, in which memory shows, are in benchmarks/results/soak.csv."""
    script = Path(__file__).parents[3] / "benchmarks" / "soak.py"
    found = subprocess.run(
        [
            sys.executable, str(script), "--seconds", "20", "--growth", "2",
            "--out", str(tmp_path / "soak.csv"),
        ],
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout
    assert "valid gRPC,OK" in found.stdout
    assert "worker killed,replaced" in found.stdout


def test_a_port_that_is_taken(place: Path) -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        port = str(one.getsockname()[1])
        found = subprocess.run(
            [
                sys.executable, "-m", "zoo", "serve", str(place), "--port", port,
                "--grpc-port", "0",
            ],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    assert found.returncode == 2
    assert found.stderr.splitlines() == [
        f"zoo: port {port} of 127.0.0.1 cannot be listened on: Address already in use."
    ]
