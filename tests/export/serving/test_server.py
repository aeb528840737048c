"""A server as its clients see it: answers, refusals, versions, and processes that are killed."""

import asyncio
import base64
import http.client
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import keras
import numpy as np
import pytest
from PIL import Image
from served import Served, serving

from export import export
from recipes import Run

grpc = pytest.importorskip("grpc")
predict_pb2 = pytest.importorskip("tensorflow_serving.apis.predict_pb2")
pytest.importorskip("uvicorn")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(exported: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of versions."""
    folder = tmp_path_factory.mktemp("served") / "digits"
    shutil.copytree(exported("litert", "float32").path, folder / "1")
    return folder


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[Served]:
    with serving(str(place), "--max-megabytes", "1", "--seconds", "20") as served:
        yield served


@pytest.fixture(scope="module")
def images(digits_run: Run) -> np.ndarray:
    return digits_run.samples("test").inputs[:40]


@pytest.fixture(scope="module")
def inverted(digits_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact that gives its probabilities in reverse."""
    model = digits_run.load()
    outputs = keras.layers.Lambda(lambda x: x[:, ::-1])(model.output)
    place = tmp_path_factory.mktemp("inverted") / "artifact"
    made = export(keras.Model(model.input, outputs), place, verify=False, task="classification")
    return made.path


@pytest.fixture(scope="module")
def probabilities(digits_run: Run, images: np.ndarray) -> np.ndarray:
    return digits_run.load().predict(images, verbose=0)


class TestRest:
    def test_rows_and_columns(
        self, server: Served, images: np.ndarray, probabilities: np.ndarray
    ) -> None:
        status, rows = server.predict({"instances": images.tolist()})
        assert status == 200
        found = np.array([row["probabilities"] for row in rows["predictions"]])
        np.testing.assert_allclose(found, probabilities, atol=1e-5)
        assert [row["class_index"] for row in rows["predictions"]] == found.argmax(-1).tolist()
        _, named = server.predict({"instances": [{"image": x.tolist()} for x in images[:2]]})
        assert named["predictions"] == rows["predictions"][:2]
        _, columns = server.predict({"inputs": {"image": images[:3].tolist()}})
        np.testing.assert_allclose(columns["outputs"]["probabilities"], found[:3], atol=1e-6)
        assert server.predict({"inputs": images[:3].tolist()})[1] == columns

    def test_a_picture_as_it_is(self, server: Served, images: np.ndarray, tmp_path: Path) -> None:
        file = tmp_path / "digit.png"
        Image.fromarray(images[0].squeeze(-1)).save(file)
        body = {
            "signature_name": "serve_bytes",
            "instances": [{"b64": base64.b64encode(file.read_bytes()).decode()}],
        }
        assert server.predict(body)[1] == server.predict({"instances": images[:1].tolist()})[1]

    def test_versions_and_what_they_take(self, server: Served) -> None:
        _, states = server.call("GET", "/v1/models/digits")
        assert {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK",
                "error_message": ""}} in states["model_version_status"]  # fmt: skip
        _, found = server.call("GET", "/v1/models/digits/metadata")
        signature = found["metadata"]["signature_def"]["signature_def"]["serving_default"]
        assert signature["inputs"]["image"]["dtype"] == "DT_UINT8"
        assert signature["inputs"]["image"]["tensor_shape"]["dim"][0]["size"] == "-1"
        assert set(signature["outputs"]) == {"probabilities", "class_index"}

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (b"{", "no JSON"),
            (b"\xff\xfe", "no JSON"),
            ({}, "instances"),
            ({"instances": [], "inputs": []}, "instances"),
            ({"instances": []}, "nothing to predict"),
            ({"instances": [[1, 2], [3]]}, "ragged"),
            ({"instances": [[1, 2], [3, 4]]}, "has the shape"),
            ({"instances": ["a"]}, "takes numbers"),
            ({"inputs": {"picture": 1}}, "the inputs are image"),
            ({"instances": [{"image": 1}, {"other": 1}]}, "must name the same inputs"),
            ({"signature_name": "serve_bytes", "instances": [{"b64": "AAAA"}]}, "as a picture"),
            ({"signature_name": "serve_bytes", "instances": [{"b64": "?"}]}, "no base64"),
        ],
        ids=str,
    )
    def test_a_bad_request_is_400_with_a_reason(
        self, server: Served, body: Any, words: str
    ) -> None:
        status, answer = server.predict(body)
        assert status == 400
        assert words in answer["error"]

    def test_booleans_are_no_numbers(self, server: Served, images: np.ndarray) -> None:
        spoiled = images[:1].tolist()
        spoiled[0][0][0][0] = True
        status, answer = server.predict({"instances": spoiled})
        assert status == 400
        assert answer["error"] == "true and false are no values of image."

    def test_a_request_larger_than_a_batch_is_divided(
        self, server: Served, images: np.ndarray, probabilities: np.ndarray
    ) -> None:
        status, answer = server.predict({"instances": np.tile(images, (4, 1, 1, 1)).tolist()})
        assert status == 200
        found = [row["probabilities"] for row in answer["predictions"]]
        np.testing.assert_allclose(found, np.tile(probabilities, (4, 1)), atol=1e-5)

    def test_what_is_small_and_becomes_large_is_refused(self, server: Served) -> None:
        file = io.BytesIO()
        Image.new("L", (1, 1)).save(file, "GIF")
        one = {"b64": base64.b64encode(file.getvalue()).decode()}
        body = {"signature_name": "serve_bytes", "instances": [one] * 14_000}
        status, answer = server.predict(body)
        assert status == 413
        nested = b'{"instances": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
        status, answer = server.predict(nested)
        assert status == 400
        assert "nested too deeply" in answer["error"]

    def test_an_encoded_body_is_refused(self, server: Served) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        path = "/v1/models/digits:predict"
        connection.request("POST", path, b"\x1f\x8b", {"Content-Encoding": "gzip"})
        response = connection.getresponse()
        assert response.status == 400
        assert "not encoded" in json.loads(response.read())["error"]

    def test_numbers_out_of_range(self, server: Served, images: np.ndarray) -> None:
        for value in (300, -1, 0.5, 1e400):
            spoiled = images[:1].tolist()
            spoiled[0][0][0][0] = value
            body = json.dumps({"instances": spoiled}).replace("Infinity", "1e400").encode()
            status, answer = server.predict(body)
            assert status == 400, value
            assert "from 0 to 255" in answer["error"] or "JSON" in answer["error"]

    def test_what_is_not_there_is_404(self, server: Served) -> None:
        assert server.predict({"instances": [1]}, "nobody")[0] == 404
        for number in ("9", "9" * 5_000, "1.0", "-1", "٣"):
            path = f"/v1/models/digits/versions/{quote(number)}"
            assert server.call("POST", f"{path}:predict", {})[0] == 404
            assert server.call("GET", path)[0] == 404
        assert server.predict({"instances": [1], "signature_name": "none"})[0] == 404
        assert server.call("GET", "/nothing")[0] == 404
        assert server.call("GET", "/v1/models/digits:predict")[0] in (404, 405)

    def test_a_body_too_large_is_413(self, server: Served) -> None:
        status, answer = server.predict(b" " * (2 << 20))
        assert status == 413
        assert "the server takes 1,048,576" in answer["error"]

    def test_a_client_that_goes_away_harms_nobody(self, server: Served, images: np.ndarray) -> None:
        for content in (
            b"POST /v1/models/digits:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
            b"GARBAGE\r\n\r\n",
            b"\0" * 300,
        ):
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                connection.sendall(content)
        assert server.predict({"instances": images[:1].tolist()})[0] == 200

    def test_health_metrics_and_page(self, server: Served, images: np.ndarray) -> None:
        assert server.call("GET", "/healthz") == (200, "ok\n")
        server.predict({"instances": images[:5].tolist()})
        _, text = server.call("GET", "/metrics")
        good = r'zoo_requests_total{code="200",model="digits",protocol="rest"} (\S+)'
        assert float(re.search(good, text)[1]) > 0
        assert 'zoo_version{model="digits"}' in text
        _, page = server.call("GET", "/")
        assert "<canvas" in page
        _, every = server.call("GET", "/v1/models")
        assert every["models"][0]["name"] == "digits"


class TestGrpc:
    @pytest.fixture(scope="class")
    def stub(self, server: Served) -> Any:
        from tensorflow_serving.apis import prediction_service_pb2_grpc

        channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}")
        return prediction_service_pb2_grpc.PredictionServiceStub(channel)

    @staticmethod
    def request(images: np.ndarray, name: str = "digits") -> Any:
        import tensorflow as tf

        request = predict_pb2.PredictRequest()
        request.model_spec.name = name
        request.inputs["image"].CopyFrom(tf.make_tensor_proto(images))
        return request

    def test_predict(self, stub: Any, images: np.ndarray, probabilities: np.ndarray) -> None:
        import tensorflow as tf

        response = stub.Predict(self.request(images))
        found = tf.make_ndarray(response.outputs["probabilities"])
        np.testing.assert_allclose(found, probabilities, atol=1e-5)
        assert response.model_spec.version.value >= 1
        one = self.request(images)
        one.output_filter.append("class_index")
        assert list(stub.Predict(one).outputs) == ["class_index"]

    def test_refusals_have_their_codes(self, stub: Any, images: np.ndarray) -> None:
        wrong_type, wrong_shape = self.request(images.astype("float32")), self.request(images[0])
        cut = self.request(images)
        cut.inputs["image"].tensor_content = b"\0"
        none = self.request(images)
        none.inputs["other"].CopyFrom(none.inputs["image"])
        huge, wrapped, over = (predict_pb2.PredictRequest() for _ in range(3))
        for request, sides, value in (
            (huge, (10**6, 8, 8, 1), 1), (wrapped, (2**32, 2**32), 1), (over, (1, 8, 8, 1), 300),
        ):  # fmt: skip
            request.model_spec.name = "digits"
            request.inputs["image"].dtype = 4
            request.inputs["image"].int_val.append(value)
            for side in sides:
                request.inputs["image"].tensor_shape.dim.add().size = side
        filtered, labelled = self.request(images), self.request(images)
        filtered.output_filter.append("nothing")
        labelled.model_spec.version_label = "stable"
        for request, code in [
            (huge, "RESOURCE_EXHAUSTED"),
            (wrapped, "INVALID_ARGUMENT"),
            (over, "INVALID_ARGUMENT"),
            (filtered, "INVALID_ARGUMENT"),
            (labelled, "INVALID_ARGUMENT"),
            (self.request(images, "nobody"), "NOT_FOUND"),
            (wrong_type, "INVALID_ARGUMENT"),
            (wrong_shape, "INVALID_ARGUMENT"),
            (cut, "INVALID_ARGUMENT"),
            (none, "INVALID_ARGUMENT"),
        ]:
            with pytest.raises(grpc.RpcError) as refusal:
                stub.Predict(request)
            assert refusal.value.code().name == code
            assert refusal.value.details()

    def test_metadata_and_status(self, stub: Any, server: Served) -> None:
        from tensorflow_serving.apis import (
            get_model_metadata_pb2,
            get_model_status_pb2,
            model_service_pb2_grpc,
        )

        request = get_model_metadata_pb2.GetModelMetadataRequest()
        request.model_spec.name = "digits"
        found = get_model_metadata_pb2.SignatureDefMap()
        stub.GetModelMetadata(request).metadata["signature_def"].Unpack(found)
        assert "image" in found.signature_def["serving_default"].inputs
        channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}")
        models = model_service_pb2_grpc.ModelServiceStub(channel)
        asked = get_model_status_pb2.GetModelStatusRequest()
        asked.model_spec.name = "digits"
        states = models.GetModelStatus(asked).model_version_status
        assert any(state.state == 30 for state in states)
        asked.model_spec.version.value = 77
        with pytest.raises(grpc.RpcError) as refusal:
            models.GetModelStatus(asked)
        assert refusal.value.code().name == "NOT_FOUND"


def test_many_clients_get_each_their_own_answer(
    server: Served, images: np.ndarray, probabilities: np.ndarray
) -> None:
    found: list[tuple[int, float]] = []

    def batches() -> tuple[float, float]:
        _, text = server.call("GET", "/metrics")
        return tuple(
            float(re.search(rf'zoo_batch_examples_{what}{{model="digits"}} (\S+)', text)[1])
            for what in ("count", "sum")
        )

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
