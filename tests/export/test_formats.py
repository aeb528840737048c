"""ONNX, OpenVINO and StableHLO: files that other readers open, and that answer like the model."""

import importlib.util
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from architectures import LENGTH, build, raw

from export import artifact, export
from export.formats import FORMATS, format_of, resolve, threads
from export.subprocesses import calibration_parts
from recipes import Run
from zoo.catalog import NAMES
from zoo.errors import InputError

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")
pytest.importorskip("jax")

FURTHER = ("onnx", "openvino", "stablehlo")
# One of each builder whose graph has something of its own.
VARIED = [
    "mlp", "autoencoder", "vae", "lenet5", "googlenet_auxiliary", "resnet50_v2",
    "mobilenet_v2_half",
    "vit_ti16", "lstm_classifier", "transformer", "bert", "gpt", "cdcgan",
    "dqn_c51",
]  # fmt: skip
# All architectures are lowered in `test_lowering`; here, some go the whole way.
LOWERED = ["mlp", "lenet5", "lstm_classifier", "transformer", "cdcgan"]
EXPORTED = [(f, name) for f in FURTHER for name in (LOWERED if f == "stablehlo" else VARIED)]
QUANTIZED = [(f, q) for f in FURTHER for q in FORMATS[f].quantizations if q != "float32"]


@pytest.mark.slow
@pytest.mark.parametrize(("format", "name"), EXPORTED)
def test_architectures_answer_alike(name: str, format: str, tmp_path: Path) -> None:
    model = build(name)
    made = export(
        model, tmp_path / "out", format, samples=(raw(model, 5), None), task=NAMES[name].task
    )
    assert made.parity.largest_difference <= (1e-5 if format == "stablehlo" else 1e-4)
    assert made.parity.agreement >= 0.999
    assert made.manifest.inputs[0].shape == [None, *model.inputs[0].shape[1:]]
    assert set(FORMATS[format].packages) <= set(made.manifest.versions)


@pytest.mark.slow
def test_a_decoder_with_a_loop_of_its_own_goes_to_stablehlo_alone(tmp_path: Path) -> None:
    model = build("gru_attention")
    options = {"samples": (raw(model, 5), None), "task": "translation"}
    made = export(model, tmp_path / "out", "stablehlo", **options)
    assert made.parity.largest_difference <= 1e-5
    for format in ("onnx", "openvino"):
        with pytest.raises(InputError, match="cannot be written as"):
            export(model, tmp_path / format, format, **options)
        assert not (tmp_path / format).exists()


@pytest.mark.parametrize(("format", "quantization"), QUANTIZED)
def test_accuracy_survives_quantization(exported: Any, format: str, quantization: str) -> None:
    report = exported(format, quantization).parity
    assert report.reference > 0.9
    assert 100 * (report.reference - report.value) <= 1.0
    assert report.agreement > 0.98


def test_quantization_makes_files_smaller(exported: Any) -> None:
    for format, quantization in QUANTIZED:
        share = 0.6 if quantization == "float16" else 0.4
        full = exported(format, "float32").parity.bytes
        assert exported(format, quantization).parity.bytes < share * full, (format, quantization)


def test_onnx_runtime_takes_raw_bytes_in_any_batch(exported: Any, digits_run: Run) -> None:
    session = onnxruntime.InferenceSession(str(exported("onnx", "float32").path / "model.onnx"))
    assert [(x.name, x.shape, x.type) for x in session.get_inputs()] == [
        ("image", ["batch", 8, 8, 1], "tensor(uint8)")
    ]
    assert [x.name for x in session.get_outputs()] == ["probabilities", "class_index"]
    for count in (1, 5):
        images = digits_run.samples("test").inputs[:count]
        probabilities, index = session.run(None, {"image": images})
        expected = digits_run.load().predict(images, verbose=0)
        np.testing.assert_allclose(probabilities, expected, atol=1e-5)
        np.testing.assert_array_equal(index, expected.argmax(axis=-1))


def test_openvino_takes_inputs_by_name(exported: Any, digits_run: Run) -> None:
    import openvino

    path = exported("openvino", "float32").path / "model.xml"
    model = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    images = digits_run.samples("test").inputs[:3]
    found = model({"image": images})["probabilities"]
    np.testing.assert_allclose(found, digits_run.load().predict(images, verbose=0), atol=1e-5)


def test_a_program_says_what_it_was_lowered_for(digits_run: Run, tmp_path: Path) -> None:
    made = export(digits_run.path, tmp_path / "all", "stablehlo")
    assert made.manifest.platforms == ["cpu", "cuda", "tpu"]
    assert made.manifest.hardware == "lowered for cuda, tpu; run on cpu"
    far = export(digits_run.path, tmp_path / "far", "stablehlo", platforms=["tpu"])
    assert far.manifest.platforms == ["tpu", "cpu"]
    assert far.manifest.hardware == "lowered for tpu; run on cpu"
    blind = export(digits_run.path, tmp_path / "not", "stablehlo", platforms=["tpu"], verify=False)
    assert blind.manifest.platforms == ["tpu"]
    assert blind.manifest.hardware == "lowered for tpu; not run"
    beside = export(
        digits_run.path, tmp_path / "beside", "stablehlo", platforms=["cpu", "tpu"],
        weights_beside=True,
    )  # fmt: skip
    assert beside.manifest.platforms == ["cpu", "tpu"]
    assert set(beside.manifest.files) == {"model.stablehlo", "weights.npz"}
    program = (beside.path / "model.stablehlo").stat().st_size
    assert program < 0.3 * (made.path / "model.stablehlo").stat().st_size
    assert beside.parity.largest_difference <= 1e-5


def test_a_step_of_training_goes_with_its_program(digits_run: Run, tmp_path: Path) -> None:
    import jax

    from export.stablehlo import TrainStep

    step = TrainStep(
        keras.optimizers.SGD(0.01), keras.losses.SparseCategoricalCrossentropy(), "int32"
    )
    made = export(digits_run.path, tmp_path / "out", "stablehlo", train_step=step)
    program = jax.export.deserialize(bytearray((made.path / "train_step.stablehlo").read_bytes()))
    with np.load(made.path / "state.npz") as file:
        state = [file[name] for name in sorted(file.files)]
    samples = digits_run.samples("test")
    update, losses = jax.jit(program.call), []
    for _ in range(4):
        targets = samples.targets[:50].astype("int32")
        state, loss = update(state, {"image": samples.inputs[:50]}, [targets])
        losses.append(float(loss))
    expected = keras.losses.SparseCategoricalCrossentropy()(
        targets, digits_run.load()(samples.inputs[:50], training=False)
    )
    assert losses[0] == pytest.approx(float(expected), rel=1e-4)  # LeNet-5 has no dropout
    assert losses[-1] < losses[0]


def test_models_that_read_text_give_their_scores(tmp_path: Path) -> None:
    """A fixed length is not needed: what is open stays open."""
    model = build("gpt")
    made = export(
        model, tmp_path / "out", "onnx", samples=(raw(model, 4), None), task="language_modeling"
    )
    assert made.manifest.inputs[0].shape == [None, None]
    session = onnxruntime.InferenceSession(str(made.path / "model.onnx"))
    ids = np.ones((2, LENGTH - 2), "int32")
    (logits,) = session.run(None, {"ids": ids})
    np.testing.assert_allclose(logits, model(ids, training=False), atol=1e-5)


def test_a_format_without_its_packages_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tf2onnx" else known(name)
    )
    with pytest.raises(InputError, match=r"needs tf2onnx: install deepzoo\[onnx\]"):
        export("lenet5-mnist", tmp_path / "out", "onnx", verify=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"format": "onxx"}, "did you mean 'onnx'"),
        ({"format": "stablehlo", "quantization": "int8"}, "no quantization of stablehlo"),
        ({"format": "stablehlo", "platforms": ["gpu"]}, "no platform 'gpu'"),
        ({"format": "stablehlo", "platforms": []}, "name a platform"),
        ({"format": "onnx", "platforms": ["cpu"]}, "of the format stablehlo"),
        ({"format": "onnx", "quantization": "int8", "verify": False}, "int8 needs real examples"),
    ],
)
def test_what_cannot_be_asked_for(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        export("lenet5-mnist", tmp_path / "out", **{"verify": False} | options)
    assert not (tmp_path / "out").exists()


def test_a_model_that_cannot_be_said_is_refused_with_the_reason(tmp_path: Path) -> None:
    inputs = keras.Input((8,), name="row")

    @keras.saving.register_keras_serializable(package="tests")
    class Beta(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            import tensorflow as tf

            return tf.math.betainc(1.0 + x, 2.0 + x, tf.sigmoid(x))

    model = keras.Model(inputs, Beta()(inputs))
    for format in ("onnx", "openvino"):
        with pytest.raises(InputError, match="cannot be written"):
            export(model, tmp_path / "out", format, verify=False)
        assert not (tmp_path / "out").exists()


def test_a_changed_file_is_not_read(exported: Any, tmp_path: Path) -> None:
    import shutil

    for format, name in (("onnx", "model.onnx"), ("openvino", "model.bin")):
        folder = tmp_path / format
        shutil.copytree(exported(format, "float32").path, folder)
        with (folder / name).open("r+b") as stream:
            stream.seek(100)
            stream.write(b"\0\1")
        with pytest.raises(InputError, match=f"{name} is not what was exported"):
            artifact.read(folder)


def test_every_row_names_what_it_needs() -> None:
    for name, row in FORMATS.items():
        assert format_of(name) is row
        assert bool(row.extra) == bool(row.packages)


def test_readers_compute_with_as_many_threads_as_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZOO_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 2, 5}, raising=False)
    assert threads() == 3
    monkeypatch.setenv("ZOO_THREADS", "2")
    assert threads() == 2


def test_openvino_computes_with_as_many_threads_as_are_asked_for(
    exported: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import openvino

    compile_model, found = openvino.Core.compile_model, []

    def watched(*arguments: Any) -> Any:
        compiled = compile_model(*arguments)
        found.append(compiled.get_property("INFERENCE_NUM_THREADS"))
        return compiled

    monkeypatch.setattr(openvino.Core, "compile_model", watched)
    monkeypatch.setenv("ZOO_THREADS", "1")
    made = exported("openvino", "float32")
    resolve(FORMATS["openvino"].reader)(made.path, made.manifest)
    assert found == [1]


@pytest.mark.parametrize(
    ("count", "batch", "parts"),
    [
        (5, 2, [[0, 1], [2, 3]]),
        (3, 8, [[0, 1, 2, 0, 1, 2, 0, 1]]),
        (3, None, [[0], [1], [2]]),
    ],
)
def test_calibration_fills_a_fixed_batch(
    count: int, batch: int | None, parts: list[list[int]]
) -> None:
    found = calibration_parts({"x": np.arange(count)}, batch)
    assert [part["x"].tolist() for part in found] == parts


def test_a_model_of_any_batch_is_calibrated_on_many_examples_at_a_time() -> None:
    for count, sizes in ((3, [3]), (70, [32, 32])):
        found = calibration_parts({"x": np.arange(count)}, None, together=32)
        assert [len(part["x"]) for part in found] == sizes


@pytest.mark.slow
@pytest.mark.parametrize("format", ["litert", "onnx", "openvino"])
def test_fewer_examples_than_a_fixed_batch_calibrate_it(
    digits_run: Run, tmp_path: Path, format: str
) -> None:
    samples = digits_run.samples("test")
    made = export(
        digits_run.path, tmp_path / "out", format, "int8", batch=4, max_drop=100.0,
        calibration=samples.inputs[:3],
    )  # fmt: skip
    assert made.manifest.inputs[0].shape == [4, 8, 8, 1]
    assert made.parity.examples == len(samples)
