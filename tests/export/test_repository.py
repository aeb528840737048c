"""Model repositories for TensorFlow Serving and Triton: what stands in them, and versions."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from export import repository as repositories
from export.repository import add_to_repository
from recipes import Run
from zoo.errors import InputError

prediction_log_pb2 = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")


@pytest.fixture(scope="module")
def repository(exported: Any, digits_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    saved, samples = exported("saved_model", "float32"), digits_run.samples("test").inputs
    add_to_repository(saved, folder, samples, name="digits")
    add_to_repository(saved, folder, samples, name="digits")
    add_to_repository(saved, folder, name="again")
    add_to_repository(exported("onnx", "float32"), folder, name="digits")
    return folder


def test_versions_are_numbered_and_whole(repository: Path, exported: Any) -> None:
    place = repository / "tensorflow_serving"
    assert sorted(p.name for p in place.iterdir()) == ["again", "digits", "model.config"]
    assert sorted(p.name for p in (place / "digits").iterdir()) == ["1", "2"]
    labels = (place / "digits/2/assets.extra/labels.txt").read_text().split()
    assert labels == exported("saved_model", "float32").manifest.labels
    again = tf.saved_model.load(str(place / "digits/2"))
    assert {"serving_default", "serve_bytes"} <= set(again.signatures)


def test_the_server_is_told_of_every_model(repository: Path) -> None:
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    text = (repository / "tensorflow_serving" / "model.config").read_text()
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    found = {one.name: one.base_path for one in config.model_config_list.config}
    assert found == {"again": "/models/again", "digits": "/models/digits"}


def test_warm_up_requests_are_answered(repository: Path) -> None:
    place = repository / "tensorflow_serving" / "digits" / "1"
    served = tf.saved_model.load(str(place))
    sizes = []
    for record in tf.data.TFRecordDataset(str(place / "assets.extra/tf_serving_warmup_requests")):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        assert request.model_spec.name == "digits"
        given = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
        signature = served.signatures[request.model_spec.signature_name]
        answers = signature(**{name: tf.constant(value) for name, value in given.items()})
        sizes.append(len(answers["probabilities"]))
    assert sizes == [1, 32]


def test_triton_is_told_of_shapes_types_and_labels(repository: Path) -> None:
    import onnxruntime

    place = repository / "triton" / "digits"
    text = (place / "config.pbtxt").read_text()
    session = onnxruntime.InferenceSession(str(place / "1" / "model.onnx"))
    for tensor in (*session.get_inputs(), *session.get_outputs()):
        assert f'name: "{tensor.name}"' in text
    assert 'backend: "onnxruntime"' in text
    assert "max_batch_size: 64" in text
    assert "data_type: TYPE_UINT8\n    dims: [ 28, 28, 1 ]" in text or "dims: [ 8, 8, 1 ]" in text
    assert "dims: [ 1 ]\n    reshape: { shape: [ ] }" in text  # class_index
    assert text.count("{") == text.count("}")
    assert text.count("[") == text.count("]")
    assert len((place / "labels.txt").read_text().split()) == 10


def test_a_version_that_fails_leaves_nothing(
    exported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(OSError, match="No space"):
        add_to_repository(exported("saved_model", "float32"), tmp_path, name="digits")
    assert list((tmp_path / "tensorflow_serving" / "digits").iterdir()) == []
    assert not (tmp_path / "tensorflow_serving" / "model.config").exists()


def test_triton_finds_no_version_before_what_it_is_told_of_it(
    exported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> str:
        raise OSError("No space left on device")

    monkeypatch.setattr(repositories, "triton_config", full)
    with pytest.raises(OSError, match="No space"):
        add_to_repository(exported("onnx", "float32"), tmp_path, name="digits")
    assert [path.name for path in (tmp_path / "triton" / "digits").iterdir()] == ["labels.txt"]


def test_what_no_repository_takes(exported: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a repository takes saved_model"):
        add_to_repository(exported("litert", "float32"), tmp_path)
    for name in ("../up", ".hidden", "a/b"):
        with pytest.raises(InputError, match="no name that a model can have"):
            add_to_repository(exported("saved_model", "float32"), tmp_path, name=name)
    assert list(tmp_path.iterdir()) == []


def test_by_the_command_line(
    digits_run: Run, answer: Callable[..., Any], complaint: Callable[..., str], tmp_path: Path
) -> None:
    call = ["export", str(digits_run.path), "--out", str(tmp_path / "out")]
    found = answer(*call, "--format", "saved_model", "--serving", str(tmp_path / "models"))
    name = digits_run.card.name
    assert found["repositories"] == [
        str(tmp_path / "models" / "tensorflow_serving" / name / "1"),
        str(tmp_path / "models" / "triton" / name / "1"),
    ]
    assert "--serving is of --format saved_model" in complaint(
        *call[:-1], str(tmp_path / "x"), "--serving", str(tmp_path / "models")
    )
    assert "--serving takes no budget" in complaint(
        *("export", str(digits_run.path), "--out", str(tmp_path / "x"), "--format", "saved_model"),
        *("--serving", str(tmp_path / "models"), "--max-bytes", "1M"),
    )
