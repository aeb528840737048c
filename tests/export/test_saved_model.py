"""SavedModel: what the plain Keras call gets wrong in silence, and what a server relies on."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from export import export, saved_model
from export.servable import without_cudnn
from recipes import Run


def signature(path: Path) -> Any:
    loaded = tf.saved_model.load(str(path))
    call = loaded.signatures["serving_default"]
    call.owner = loaded
    return call


def answers(path: Path, name: str, inputs: np.ndarray) -> dict[str, np.ndarray]:
    outputs = signature(path)(**{name: tf.constant(inputs)})
    return {key: value.numpy() for key, value in outputs.items()}


@pytest.mark.parametrize("count", [1, 7])
def test_any_batch_of_raw_bytes_gives_named_answers(exported, digits_run: Run, count: int) -> None:
    images = digits_run.samples("test").inputs[:count]
    got = answers(exported("saved_model", "float32").path, "image", images)
    expected = digits_run.load().predict(images, verbose=0)
    assert set(got) == {"probabilities", "class_index", "label"}
    assert got["probabilities"].dtype == np.float32
    np.testing.assert_allclose(got["probabilities"], expected, atol=1e-5)
    np.testing.assert_array_equal(got["class_index"], expected.argmax(-1))
    assert [label.decode() for label in got["label"]] == [
        digits_run.card.labels[i] for i in got["class_index"]
    ]


def test_augmentation_and_dropout_are_off(tmp_path: Path) -> None:
    images = keras.Input((8, 8, 3), dtype="uint8", name="image")
    x = keras.layers.Rescaling(1 / 255)(images)
    x = keras.layers.RandomRotation(0.5)(keras.layers.RandomFlip()(x))
    x = keras.layers.GaussianNoise(1.0)(keras.layers.Dropout(0.5)(x))
    model = keras.Model(images, keras.layers.Dense(4)(keras.layers.Flatten()(x)))
    inputs = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), "uint8")
    artifact = export(model, tmp_path / "out", "saved_model", samples=(inputs, None))
    assert artifact.parity is not None
    assert artifact.parity.largest_difference < 1e-5
    got = answers(artifact.path, "image", inputs)["prediction"]
    np.testing.assert_allclose(got, model.predict(inputs, verbose=0), atol=1e-5)


def test_each_weight_is_stored_once(tmp_path: Path) -> None:
    model = zoo.build("mlp_book", dropout=0.1)
    path = export(model, tmp_path / "out", "saved_model", verify=False).path
    stored = sum(file.stat().st_size for file in (path / "variables").iterdir())
    assert stored <= 1.05 * 4 * model.count_params()


def test_outputs_of_a_mixed_precision_model_are_float32(tmp_path: Path) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        inputs = keras.Input((6,), name="features", dtype="float32")
        outputs = {"scores": keras.layers.Dense(3)(inputs)}
        model = keras.Model(inputs, outputs)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.output["scores"].dtype == "bfloat16"
    path = export(model, tmp_path / "out", "saved_model", verify=False).path
    assert answers(path, "features", np.ones((2, 6), "float32"))["scores"].dtype == np.float32


def test_several_inputs_and_outputs_keep_their_names(tmp_path: Path) -> None:
    left, right = (keras.Input((3,), name=name) for name in ("left", "right"))
    total = keras.layers.Add(name="total")([left, right])
    model = keras.Model([left, right], {"total": total, "double": total * 2})
    rng = np.random.default_rng(0)
    inputs = {name: rng.normal(size=(4, 3)).astype("float32") for name in ("left", "right")}
    artifact = export(model, tmp_path / "out", "saved_model", samples=(inputs, None))
    assert [t.name for t in artifact.manifest.inputs] == ["left", "right"]
    outputs = signature(artifact.path)(**{n: tf.constant(v) for n, v in inputs.items()})
    np.testing.assert_allclose(outputs["total"], inputs["left"] + inputs["right"], rtol=1e-6)
    np.testing.assert_allclose(outputs["double"], 2 * outputs["total"], rtol=1e-6)


def test_no_layer_asks_for_cudnn() -> None:
    inputs = keras.Input((5, 4))
    recurrent = keras.layers.Bidirectional(keras.layers.LSTM(3))(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(recurrent))
    portable = without_cudnn(model)
    assert portable.layers[1].forward_layer.use_cudnn is False
    assert portable.layers[1].backward_layer.use_cudnn is False
    assert model.layers[1].forward_layer.use_cudnn == "auto"
    x = np.random.default_rng(0).normal(size=(2, 5, 4)).astype("float32")
    np.testing.assert_allclose(portable(x), model(x), atol=1e-6)


def test_it_computes_with_as_many_threads_as_are_asked_for(
    exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = exported("saved_model", "float32")
    code = (
        "import sys; from pathlib import Path; import tensorflow as tf\n"
        "from export import artifact, saved_model\n"
        "saved_model.read(Path(sys.argv[1]), artifact.read(sys.argv[1]))\n"
        "found = tf.config.threading\n"
        "print(found.get_intra_op_parallelism_threads(), found.get_inter_op_parallelism_threads())"
    )
    monkeypatch.setenv("ZOO_THREADS", "3")
    process = subprocess.run(
        [sys.executable, "-c", code, str(made.path)], capture_output=True, text=True, check=True
    )
    assert process.stdout.split() == ["3", "3"]
    tf.constant(0)  # from here on the threads of this process are there
    saved_model.read(made.path, made.manifest)
