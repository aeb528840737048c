"""Published files of Keras 1 and 2: fetched, read without trust, and laid into our models."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import msgspec
import numpy as np
import pytest
from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

import zoo
from zoo import cards, foreign
from zoo.cards import Card, Weights
from zoo.hdf5_files import read_arrays
from zoo.layers.inputs import IMAGENET, raw_input

FILE = "published.h5"
MEAN = np.array([123.68, 116.779, 103.939])  # red, green, blue


def published(model: keras.Model, path: Path) -> Path:
    """Write a model's weights as Keras 2 wrote them."""
    with h5py.File(path, "w") as file:
        save_weights_to_hdf5_group(file, model)
    return path


def shuffled(model: keras.Model, seed: int = 0) -> keras.Model:
    """Give every weight random values, those of a normalization too."""
    random = np.random.default_rng(seed)
    model.set_weights([random.uniform(0.1, 1, w.shape) - 0.3 * (w.ndim > 1)
                       for w in model.get_weights()])  # fmt: skip
    return model


def net(image: keras.KerasTensor, inputs: Any) -> keras.Model:
    """A small net of the layers that the published ones are made of."""
    x = keras.layers.Conv2D(4, 3, padding="same")(inputs)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.Conv2D(5, 1, use_bias=False)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(3)(x))


@pytest.fixture
def lenet() -> keras.Model:
    return shuffled(zoo.build("lenet5", classes=3))


@pytest.fixture
def file(lenet: keras.Model, tmp_path: Path) -> Path:
    return published(lenet, tmp_path / FILE)


def away(card: Card, folder: Path, url: str, content: bytes) -> Path:
    """Write the card of a LeNet-5 whose weights are elsewhere."""
    md5 = hashlib.md5(content).hexdigest()
    weights = Weights(file=FILE, bytes=0, md5=md5, url=url, form="keras")
    record = {"architecture": "lenet5", "arguments": {"classes": 3}, "weights": weights}
    cards.write(msgspec.structs.replace(card, **record), folder / cards.FILE)
    return folder


@pytest.mark.usefixtures("online")
def test_a_published_model_is_fetched_and_loaded(
    serving: Callable[..., Any], card: Card, folder: Path, file: Path, lenet: keras.Model,
    pictures: np.ndarray, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    content = file.read_bytes()
    with serving(content) as site:
        site.then(limit=len(content) // 2)
        loaded = zoo.load(away(card, folder, site.url, content))
    assert len(site.ranges) == 2
    assert np.array_equal(loaded(pictures), lenet(pictures))
    monkeypatch.setenv("ZOO_OFFLINE", "1")  # now it is in the cache
    assert np.array_equal(zoo.load(folder)(pictures), lenet(pictures))


@pytest.mark.usefixtures("online")
def test_other_weights_than_the_published_are_not_loaded(
    serving: Callable[..., Any], card: Card, folder: Path, file: Path
) -> None:
    with (
        serving(b"x" * 1000) as site,
        pytest.raises(zoo.InputError, match="another MD5 than the card"),
    ):
        zoo.load(away(card, folder, site.url, file.read_bytes()))


def test_the_file_s_order_of_layers_holds_not_the_alphabet_s(tmp_path: Path) -> None:
    image = keras.Input((4,))
    model = keras.Model(
        image, keras.layers.Dense(4, name="a")(keras.layers.Dense(4, name="b")(image))
    )
    arrays = read_arrays(published(shuffled(model), tmp_path / FILE))
    assert all(map(np.array_equal, arrays, model.get_weights()))


def test_names_cut_into_pieces_are_joined(lenet: keras.Model, file: Path) -> None:
    with h5py.File(file, "r+") as content:
        names = content.attrs["layer_names"]
        del content.attrs["layer_names"]
        content.attrs["layer_names0"], content.attrs["layer_names1"] = names[:4], names[4:]
        layer = content["c1"]
        for number, name in enumerate(layer.attrs["weight_names"]):
            layer.attrs[f"weight_names{number}"] = [name]
        del layer.attrs["weight_names"]
    assert all(map(np.array_equal, read_arrays(file), lenet.get_weights()))


def test_names_may_be_strings_of_one_length(lenet: keras.Model, file: Path) -> None:
    with h5py.File(file, "r+") as content:
        content.attrs["layer_names"] = np.array(content.attrs["layer_names"], "S")
        assert content.attrs.get_id("layer_names").dtype.kind == "S"
    assert all(map(np.array_equal, read_arrays(file), lenet.get_weights()))


def test_bgr_pixels_less_a_mean_become_rgb_in_standard_units(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    theirs = shuffled(net(image, image))
    ours = net(*raw_input((8, 8, 3), IMAGENET))
    foreign.load_weights(ours, published(theirs, tmp_path / FILE), "keras_caffe")
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3)).astype("uint8")
    expected = np.asarray(theirs((pixels - MEAN)[..., ::-1].astype("float32")))
    assert np.asarray(ours(pixels)) == pytest.approx(expected, rel=1e-4)
    assert np.ptp(expected, axis=0).min() > 0.01 * np.abs(expected).max()


def test_a_first_kernel_for_grey_pixels_is_no_caffe_net(lenet: keras.Model, file: Path) -> None:
    with pytest.raises(zoo.InputError, match="does not begin with a kernel for BGR pixels"):
        foreign.load_weights(lenet, file, "keras_caffe")


@pytest.mark.parametrize("form", ["keras", "keras_caffe"])
def test_another_model_s_file_is_refused(tmp_path: Path, form: str) -> None:
    image = keras.Input((8, 8, 3))
    path = published(net(image, image), tmp_path / FILE)
    before = (model := zoo.build("lenet5")).get_weights()
    with pytest.raises(zoo.InputError, match=rf"{FILE} holds 9 arrays.*'lenet5'.*c1/kernel"):
        foreign.load_weights(model, path, form)
    assert all(map(np.array_equal, model.get_weights(), before))


def test_an_unknown_form_is_refused(lenet: keras.Model, file: Path) -> None:
    with pytest.raises(zoo.InputError, match="of a form 'caffe2' that this zoo cannot read"):
        foreign.load_weights(lenet, file, "caffe2")


def test_weights_that_are_no_numbers_are_refused(lenet: keras.Model, file: Path) -> None:
    with h5py.File(file, "r+") as content:
        layer = content["c1"]
        layer[layer.attrs["weight_names"][0]][0] = np.nan
    with pytest.raises(zoo.InputError, match="no finite numbers"):
        foreign.load_weights(lenet, file, "keras")


def replaced(make: Callable[[h5py.Group, h5py.Dataset], object]) -> Callable[[h5py.File], object]:
    """Return a change to a file that puts something else in the place of its first kernel."""

    def change(content: h5py.File) -> object:
        layer = content["c1"]
        name = layer.attrs["weight_names"][0]
        old = layer[name]
        del layer[name]
        layer["old"] = old
        return make(layer[name.rsplit("/", 1)[0]], old)

    return change


def virtual(group: h5py.Group, old: h5py.Dataset) -> None:
    layout = h5py.VirtualLayout(old.shape, old.dtype)
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", old.shape)
    group.create_virtual_dataset("kernel", layout)


def many(content: h5py.File) -> None:
    layer = content["c1"]
    layer.attrs["weight_names"] = list(layer.attrs["weight_names"]) * 500


ATTACKS: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "no names": (lambda f: f.attrs.pop("layer_names"), "names no layers"),
    "a number for names": (
        lambda f: f.attrs.create("layer_names", 7), "'layer_names' of '/' is no list"),
    "numbers for names": (
        lambda f: f.attrs.create("layer_names", [1, 2]), "'layer_names' of '/' is no list"),
    "names of no text": (lambda f: f.attrs.create("layer_names", [b"\xff"]), "utf-8"),
    "a missing layer": (lambda f: f.pop("c1"), "'c1' in '/' is missing"),
    "an array for a layer": (
        lambda f: (f.pop("c1"), f.create_dataset("c1", data=[1.0])), "'c1' in '/' is no group"),
    "a path upwards": (lambda f: f.attrs.create("layer_names", [b"../c1"]), "is missing"),
    "an empty name": (lambda f: f.attrs.create("layer_names", [b""]), "is missing"),
    "a missing array": (replaced(lambda g, old: None), "kernel' in '/c1' is missing"),
    "a group for an array": (replaced(lambda g, old: g.create_group("kernel")), "is no dataset"),
    "text": (
        replaced(lambda g, old: g.create_dataset("kernel", old.shape, "S4")), "floating-point"),
    "no space": (
        replaced(lambda g, old: g.create_dataset("kernel", data=h5py.Empty("f4"))),
        "floating-point"),
    "objects": (
        replaced(lambda g, old: g.create_dataset("kernel", old.shape, h5py.string_dtype())),
        "floating-point"),
    "a soft link": (
        replaced(lambda g, old: g.__setitem__("kernel", h5py.SoftLink("/c1/old"))), "SoftLink"),
    "a link to another file": (
        replaced(lambda g, old: g.__setitem__("kernel", h5py.ExternalLink("other.h5", "/x"))),
        "ExternalLink"),
    "a layer in another file": (
        lambda f: (f.pop("c1"), f.__setitem__("c1", h5py.ExternalLink("other.h5", "/x"))),
        "ExternalLink"),
    "numbers of another file": (
        replaced(lambda g, old: g.create_dataset(
            "kernel", old.shape, "f4", external=[("/etc/passwd", 0, old.nbytes)])),
        "another file"),
    "a view of other files": (replaced(virtual), "another file"),
    "a terabyte of nothing": (
        replaced(lambda g, old: g.create_dataset("kernel", (1 << 38,), "f4")), "not whole"),
    "a compressed terabyte": (
        replaced(lambda g, old: g.create_dataset(
            "kernel", (1 << 38,), "f4", compression="gzip", chunks=(1 << 20,))),
        "compressed"),
    "a compressed array": (
        replaced(lambda g, old: g.create_dataset("kernel", data=old[()], compression="gzip")),
        "compressed"),
    "an array many times over": (many, "more numbers than it holds"),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_file_that_holds_something_else_is_refused(
    lenet: keras.Model, file: Path, attack: str
) -> None:
    change, message = ATTACKS[attack]
    with h5py.File(file, "r+") as content:
        change(content)
    with pytest.raises(zoo.InputError, match=re.escape(str(file)) + f" cannot be read.*{message}"):
        foreign.load_weights(lenet, file, "keras")


@pytest.mark.parametrize("form", ["keras", "keras_caffe", "torch"])
@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.95])
def test_a_damaged_file_is_refused(lenet: keras.Model, file: Path, form: str, share: float) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(zoo.InputError, match=f"{FILE} cannot be read as"):
        foreign.load_weights(lenet, file, form)


@pytest.mark.parametrize("content", [b"", b"no weights", b"\x89HDF\r\n\x1a\n" + b"\0" * 5000])
def test_what_is_no_hdf5_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(zoo.InputError, match=f"{FILE} cannot be read as weights of Keras"):
        read_arrays(tmp_path / FILE)
