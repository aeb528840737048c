"""Loading: from a folder of weights and a card, and what is refused in words."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import msgspec
import numpy as np
import pytest

import zoo
from zoo import cards, surgery
from zoo.cards import Weights

Packer = Callable[..., Path]

ARGUMENTS = {"classes": 3, "activation": "tanh"}


@pytest.fixture
def model() -> keras.Model:
    return zoo.build("lenet5", **ARGUMENTS)


@pytest.fixture
def packed(model: keras.Model, pack: Packer) -> Path:
    """A folder with that model's weights and its card."""
    return pack(model, "lenet5", arguments=ARGUMENTS)


def recorded(folder: Path, **changes: object) -> None:
    """Write the folder's card anew, with changes."""
    path = folder / cards.FILE
    cards.write(msgspec.structs.replace(cards.read(path), **changes), path)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_folder_with_a_card_is_loaded(
    packed: Path, model: keras.Model, pictures: np.ndarray, kind: type
) -> None:
    loaded = zoo.load(kind(packed))
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    assert np.array_equal(loaded(pictures), model(pictures))


def test_a_model_is_built_with_other_arguments_around_the_same_weights(
    packed: Path, model: keras.Model, pictures: np.ndarray
) -> None:
    features = keras.Model(model.input, model.layers[-1].input)
    headless = zoo.load(packed, include_top=False)
    np.testing.assert_array_equal(headless(pictures), features(pictures))
    assert zoo.load(packed, activation="relu", classes=5).output_shape == (None, 5)


def test_a_convolutional_model_is_built_for_larger_pictures() -> None:
    own = zoo.load("resnet20-fashion")
    large = zoo.load("resnet20-fashion", input_shape=(40, 60, 1), classifier_activation=None)
    assert large.input_shape == (None, 40, 60, 1)
    assert large.layers[-1].activation is keras.activations.linear
    for ours, theirs in zip(large.weights, own.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            {"input_shape": (40, 40, 1)},
            "the weights of 'lenet5-mnist' do not fit a model with input_shape",
        ),
        ({"depth": 5}, "cannot be built with depth=5: "),
        ({"input_shape": (4,)}, r"cannot be built with input_shape=\(4,\): "),
    ],
)
def test_arguments_that_the_weights_do_not_fit_are_refused(
    packed: Path, arguments: dict[str, object], told: str
) -> None:
    with pytest.raises(zoo.InputError, match=told):
        zoo.load(packed, **arguments)


def test_a_model_without_a_builder_takes_no_arguments(model: keras.Model, pack: Packer) -> None:
    folder = pack(model, file="model.keras")
    with pytest.raises(zoo.InputError, match="no builder makes its model"):
        zoo.load(folder, include_top=False)


def test_a_folder_in_the_working_directory_is_loaded(
    packed: Path, model: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(packed.parent)
    assert zoo.load(packed.name).count_params() == model.count_params()


def test_a_packaged_model_is_loaded_by_its_name(
    packed: Path, model: keras.Model, pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.weights.PRETRAINED", packed.parent)
    assert np.array_equal(zoo.load("packed")(pictures), model(pictures))
    assert zoo.card("packed") == cards.read(packed / cards.FILE)


def test_a_loaded_model_can_be_trained(packed: Path, pictures: np.ndarray) -> None:
    loaded = zoo.load(packed)
    assert all(layer.trainable for layer in loaded.layers)
    loaded.compile("sgd", "sparse_categorical_crossentropy")
    before = loaded.get_weights()
    loaded.fit(pictures, np.arange(16) % 3, verbose=0)
    assert not any(map(np.array_equal, loaded.get_weights(), before))


def test_a_standardization_is_loaded_with_its_statistics(pack: Packer) -> None:
    rows = np.random.default_rng(0).normal(5, 3, size=(50, 4)).astype("float32")
    model = zoo.build("linear", input_shape=(4,))
    model.get_layer("standardize").adapt(rows)
    loaded = zoo.load(pack(model, "linear", arguments={"input_shape": [4]}))
    assert np.array_equal(loaded(rows), model(rows))


def test_other_classes_stand_on_the_old_features(
    packed: Path, model: keras.Model, pictures: np.ndarray
) -> None:
    loaded = zoo.load(packed, classes=5)
    assert loaded.output_shape == (None, 5)
    old, new = (keras.Model(m.input, m.get_layer("f6_activation").output) for m in (model, loaded))
    assert np.array_equal(new(pictures), old(pictures))
    assert np.asarray(loaded(pictures)).sum(axis=1) == pytest.approx(1, abs=1e-6)


def test_a_new_head_may_answer_with_logits(pack: Packer) -> None:
    folder = pack(zoo.build("mlp", hidden=(8,)), "mlp", arguments={"hidden": [8]})
    head = zoo.load(folder, classes=5, classifier_activation=None).layers[-1]
    assert (head.units, head.activation) == (5, keras.activations.linear)


def test_a_model_that_resizes_still_does_with_other_arguments(
    pack: Packer, pictures: np.ndarray
) -> None:
    model = zoo.build("mlp", hidden=(8,))
    resizing = surgery.with_input_shape(model, (8, 8, 1))
    folder = pack(resizing, "mlp", file="model.keras", arguments={"hidden": [8]})
    loaded = zoo.load(folder, classifier_activation=None)
    small = pictures[:, :8, :8]
    answers = np.asarray(keras.ops.softmax(loaded(small)))
    np.testing.assert_allclose(answers, resizing(small), atol=1e-6)
    assert zoo.load(folder, include_top=False).input_shape == (None, 8, 8, 1)


def test_a_head_that_cannot_be_exchanged_is_told(pack: Packer) -> None:
    folder = pack(zoo.build("logistic"), "logistic")
    with pytest.raises(zoo.InputError, match="'logistic' does not end in a Dense layer"):
        zoo.load(folder, classes=5)


@pytest.mark.parametrize("name", ["lenet5_1998", "autoencoder_deep", "logistic", "mlp_practical"])
def test_a_whole_model_in_a_keras_file_is_loaded(name: str, pack: Packer) -> None:
    model = zoo.build(name)
    random = np.random.default_rng(0)
    inputs = random.integers(0, 256, (3, *model.input_shape[1:])).astype(model.inputs[0].dtype)
    loaded = zoo.load(pack(model, file="model.keras"))
    assert np.asarray(loaded(inputs)) == pytest.approx(np.asarray(model(inputs)), abs=1e-6)


def test_a_keras_file_with_the_zoo_s_layers_is_loaded_in_a_fresh_process(
    pack: Packer, pictures: np.ndarray
) -> None:
    model = zoo.build("lenet5_1998")
    folder = pack(model, file="model.keras")
    np.save(folder / "pictures.npy", pictures)
    program = (
        "import sys, numpy as np, zoo\n"
        "outputs = zoo.load(sys.argv[1])(np.load(sys.argv[1] + '/pictures.npy'))\n"
        "np.save(sys.argv[1] + '/outputs.npy', outputs)"
    )
    command = [sys.executable, "-c", program, str(folder)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    outputs = np.load(folder / "outputs.npy")
    assert outputs == pytest.approx(np.asarray(model(pictures)), abs=1e-6)


def test_code_in_a_keras_file_is_refused(pack: Packer) -> None:
    image = keras.Input((28, 28, 1))
    output = keras.layers.Lambda(lambda x: x * 2)(image)
    folder = pack(keras.Model(image, output), file="model.keras")
    with pytest.raises(zoo.InputError, match=r"model\.keras .*(?i:lambda)"):
        zoo.load(folder)


def test_an_unknown_layer_in_a_keras_file_is_refused(pack: Packer) -> None:
    class Private(keras.layers.Layer):
        def call(self, x: object) -> object:
            return x

    image = keras.Input((4,))
    folder = pack(keras.Model(image, Private()(image)), file="model.keras")
    with pytest.raises(zoo.InputError, match=r"model\.keras holds a layer .* does not know"):
        zoo.load(folder)


@pytest.mark.parametrize("content", [b"", b"cut", None], ids=["empty", "cut", "flipped"])
@pytest.mark.parametrize("file", ["model.weights.h5", "model.keras"])
def test_a_damaged_weight_file_is_refused_before_it_is_read(
    model: keras.Model,
    pack: Packer,
    file: str,
    content: bytes | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forbidden(*arguments: object, **options: object) -> None:
        raise AssertionError("the file was read")

    path = pack(model, "lenet5", file=file, arguments=ARGUMENTS) / file
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]) if content is None else content)
    monkeypatch.setattr(keras.Model, "load_weights", forbidden)
    monkeypatch.setattr(keras.saving, "load_model", forbidden)
    with pytest.raises(zoo.InputError, match=f"{path} is damaged"):
        zoo.load(path.parent)


def test_a_damaged_card_is_refused_before_the_weights_are_read(packed: Path) -> None:
    path = packed / cards.FILE
    content = json.loads(path.read_text())
    content["weights"]["sha256"] = "0" * 64
    path.write_text(json.dumps(content))
    with pytest.raises(zoo.InputError, match="field `weights` does not match its seal"):
        zoo.load(packed)


def test_weights_of_another_model_than_the_card_s_are_refused(packed: Path) -> None:
    recorded(packed, arguments=ARGUMENTS | {"classes": 4})
    with pytest.raises(ValueError, match="shape"):
        zoo.load(packed)


def test_a_card_of_an_architecture_from_another_zoo_is_refused(packed: Path) -> None:
    recorded(packed, architecture="lenet6")
    with pytest.raises(zoo.InputError, match="no architecture 'lenet6'; did you mean 'lenet5'"):
        zoo.load(packed)


def test_missing_weights_are_told_by_their_path(packed: Path) -> None:
    (packed / "model.weights.h5").unlink()
    with pytest.raises(zoo.InputError, match=rf"{packed}/model\.weights\.h5 is missing"):
        zoo.load(packed)


def test_weights_that_were_never_fetched_are_not_asked_for_offline(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    kept = cards.read(packed / cards.FILE).weights
    (packed / kept.file).unlink()
    away = Weights(file=kept.file, bytes=kept.bytes, sha256=kept.sha256, url="http://127.0.0.1:9/x")
    recorded(packed, weights=away)
    with pytest.raises(zoo.InputError, match="ZOO_OFFLINE"):
        zoo.load(packed)


def test_a_folder_without_a_card_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(zoo.InputError, match=r"holds no card\.json: it is not a run"):
        zoo.load(tmp_path)


def test_an_unfinished_run_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(zoo.InputError, match=f"{tmp_path} .*the run is not finished; resume it"):
        zoo.load(tmp_path)


def test_a_path_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    with pytest.raises(zoo.InputError, match=f"there is no run at {tmp_path}/nowhere"):
        zoo.load(tmp_path / "nowhere")


@pytest.mark.parametrize("call", [zoo.load, zoo.card])
def test_an_unknown_name_is_answered_with_the_nearest(
    packed: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[[str], object]
) -> None:
    monkeypatch.setattr("zoo.weights.PRETRAINED", packed.parent)
    with pytest.raises(zoo.InputError, match="'pakced'; did you mean 'packed'"):
        call("pakced")


def test_an_architecture_without_weights_cannot_be_loaded() -> None:
    with pytest.raises(zoo.InputError, match="no pretrained model or run 'mlp_practical'"):
        zoo.load("mlp_practical")
