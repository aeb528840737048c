"""LiteRT: built-in ops alone, one signature, and clear words where a model cannot be converted."""

from pathlib import Path

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import ops

from export import export
from recipes import Run
from zoo.errors import CheckFailed, InputError

QUANTIZATIONS = ("float32", "float16", "dynamic", "int8")


def recurrent(**arguments: object) -> keras.Model:
    inputs = keras.Input((6, 4), name="sequence")
    x = keras.layers.LSTM(8, **arguments)(inputs)
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))


def sequences(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 6, 4)).astype("float32")


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_the_file_runs_on_built_in_ops(exported, quantization: str) -> None:
    path = exported("litert", quantization).path / "model.tflite"
    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    names = {op["op_name"] for op in interpreter._get_ops_details()}
    assert not {name for name in names if name.startswith("Flex")}
    assert interpreter.get_signature_list() == {
        "serving_default": {"inputs": ["image"], "outputs": ["class_index", "probabilities"]}
    }


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
@pytest.mark.parametrize("count", [1, 5])
def test_it_takes_raw_bytes_in_any_batch(
    exported, digits_run: Run, quantization: str, count: int
) -> None:
    path = exported("litert", quantization).path / "model.tflite"
    images = digits_run.samples("test").inputs[:count]
    interpreter = Interpreter(model_path=str(path))
    (detail,) = interpreter.get_input_details()
    assert detail["dtype"] is np.uint8
    interpreter.resize_tensor_input(detail["index"], images.shape)
    interpreter.allocate_tensors()
    got = interpreter.get_signature_runner("serving_default")(image=images)
    expected = digits_run.load().predict(images, verbose=0)
    assert got["probabilities"].dtype == np.float32
    np.testing.assert_allclose(got["probabilities"], expected, atol=0.2)
    np.testing.assert_array_equal(got["class_index"], got["probabilities"].argmax(-1))


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_accuracy_survives_on_real_images(exported, quantization: str) -> None:
    report = exported("litert", quantization).parity
    assert report.reference > 0.9
    assert 100 * (report.reference - report.value) <= 1.0
    assert report.agreement > 0.98
    if quantization == "float32":
        assert report.largest_difference <= 1e-4


def test_quantization_makes_the_file_smaller(exported) -> None:
    full = exported("litert", "float32").parity.bytes
    assert exported("litert", "float16").parity.bytes < 0.6 * full
    assert exported("litert", "dynamic").parity.bytes < 0.35 * full
    assert exported("litert", "int8").parity.bytes < 0.35 * full


@pytest.mark.slow
def test_int8_of_lenet5_is_less_than_a_third(lenet: keras.Model, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (16, 28, 28, 1), "uint8")
    sizes = [
        (export(lenet, tmp_path / q, "litert", q, calibration=images, verify=False).path)
        for q in ("float32", "int8")
    ]
    full, small = ((path / "model.tflite").stat().st_size for path in sizes)
    assert small <= 0.3 * full


def test_int4_is_an_eighth_and_answers_any_batch(digits_run: Run, tmp_path: Path) -> None:
    made = export(digits_run.path, tmp_path / "int4", "litert", "int4", max_drop=3.0)
    assert made.parity.agreement > 0.95
    full = export(digits_run.path, tmp_path / "full", "litert", verify=False)
    sizes = [(one.path / "model.tflite").stat().st_size for one in (made, full)]
    assert sizes[0] < sizes[1] / 6
    interpreter = Interpreter(model_path=str(made.path / "model.tflite"))
    (detail,) = interpreter.get_input_details()
    images = digits_run.samples("test").inputs[:5]
    interpreter.resize_tensor_input(detail["index"], images.shape)
    interpreter.allocate_tensors()
    found = interpreter.get_signature_runner("serving_default")(image=images)
    expected = digits_run.load().predict(images, verbose=0)
    np.testing.assert_array_equal(found["class_index"], expected.argmax(-1))


def test_a_file_that_loses_too_much_is_refused_with_what_helps(
    digits_run: Run, tmp_path: Path
) -> None:
    with pytest.raises(CheckFailed, match=r"loses .* Try another .*'float16'.*max_drop"):
        export(digits_run.path, tmp_path / "out", "litert", "dynamic", max_drop=-100.0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("format", "quantization"), [("litert", "int4"), ("onnx", "float16")])
def test_some_numbers_are_not_for_a_model_that_learned_with_int8(
    format: str, quantization: str, tmp_path: Path
) -> None:
    if format == "onnx":
        pytest.importorskip("onnxruntime")
    with pytest.raises(InputError, match=f"numbers of int8: take that, and not {quantization}"):
        export("dqn-cartpole", tmp_path / "out", format, quantization, verify=False)


def test_int8_without_examples_says_so(lenet: keras.Model, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="calibrate"):
        export(lenet, tmp_path / "out", "litert", "int8", verify=False)
    assert not (tmp_path / "out").exists()


class InverseError(keras.layers.Layer):
    """An op that has no built-in form in LiteRT."""

    def call(self, x):
        return ops.erfinv(x / 10)


def test_an_op_without_built_in_form_is_named(tmp_path: Path) -> None:
    inputs = keras.Input((4,), name="features")
    model = keras.Model(inputs, InverseError()(inputs))
    with pytest.raises(InputError, match=r"Erfinv.*replace the layers"):
        export(model, tmp_path / "out", samples=(np.ones((2, 4), "float32"), None))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_recurrent_layer_of_any_batch_is_refused_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"TensorList.*batch=1.*unroll=True"):
        export(recurrent(), tmp_path / "out", samples=(sequences(4), None))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "unroll"), [(1, False), (None, True)])
def test_a_recurrent_layer_converts_as_the_cure_says(
    tmp_path: Path, batch: int | None, unroll: bool
) -> None:
    artifact = export(
        recurrent(unroll=unroll), tmp_path / "out", samples=(sequences(5), None), batch=batch
    )
    assert artifact.manifest.inputs[0].shape == [batch, 6, 4]
    assert artifact.parity.examples == 5
    assert artifact.parity.largest_difference <= 1e-5


@pytest.mark.slow
def test_a_crash_of_the_converter_is_an_error_message(tmp_path: Path) -> None:
    inputs = sequences(8)
    with pytest.raises(InputError, match=r"dynamic"):
        export(recurrent(), tmp_path / "out", "litert", "int8", samples=(inputs, None), batch=1)
    assert list(tmp_path.iterdir()) == []


def test_a_conversion_that_takes_too_long_is_ended(lenet: keras.Model, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"more than 0\.2 s"):
        export(lenet, tmp_path / "out", "litert", verify=False, timeout=0.2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_mixed_precision_model_converts_in_float32(tmp_path: Path) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        inputs = keras.Input((6,), name="features", dtype="float32")
        x = keras.layers.Dense(16, activation="relu")(inputs)
        model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))
    finally:
        keras.config.set_dtype_policy("float32")
    x = np.random.default_rng(0).normal(size=(9, 6)).astype("float32")
    report = export(model, tmp_path / "out", samples=(x, None)).parity
    assert report.largest_difference <= 1e-5
