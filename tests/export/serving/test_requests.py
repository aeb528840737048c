"""What a server answers, and what it refuses and why, over REST and gRPC."""

import base64
import http.client
import io
import json
import re
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image
from served import Served

grpc = pytest.importorskip("grpc")
predict_pb2 = pytest.importorskip("tensorflow_serving.apis.predict_pb2")
pytest.importorskip("uvicorn")

pytestmark = pytest.mark.slow


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
