"""Encoder and decoder of an autoencoder, exported each by itself."""

import functools
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

import zoo
from export import Artifact, export, verify
from export.saved_model import read
from recipes import load_data
from recipes.data import Splits
from zoo.dense.autoencoder import decoder, encoder

Halves = Callable[[str, str], Artifact]


@pytest.fixture(scope="module")
def digits() -> Splits:
    return load_data("digits")


@pytest.fixture(scope="module")
def pictures(digits: Splits) -> np.ndarray:
    return digits.test.inputs[:80]


@pytest.fixture(scope="module")
def model(digits: Splits) -> keras.Model:
    """Return a small variational autoencoder that has learned."""
    keras.utils.set_random_seed(0)
    seen = digits.train.inputs
    result = zoo.build("vae", input_shape=seen.shape[1:], hidden=(64,), code=4)
    result.compile(keras.optimizers.Adam(3e-3), "binary_crossentropy", jit_compile=False)
    result.fit(seen, seen / seen.max(), batch_size=32, epochs=30, verbose=0)
    return result


@pytest.fixture(scope="module")
def halves(model, pictures, tmp_path_factory: pytest.TempPathFactory) -> Halves:
    """Return (part, format) -> the artifact, which is made once."""
    folder = tmp_path_factory.mktemp("halves")

    @functools.cache
    def half(part: str, format: str) -> Artifact:
        return exported(model, pictures, folder / f"{part}-{format}", part, format)

    return half


def exported(model, pictures, out: Path, part: str, *form: str, **options) -> Artifact:
    samples = (pictures, pictures / 255.0)
    return export(model, out, *form, part=part, task="reconstruction", samples=samples, **options)


@pytest.mark.parametrize("format", ["saved_model", "litert"])
@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_a_half_answers_like_the_model_s(model, halves: Halves, part: str, format: str) -> None:
    report, manifest = halves(part, format).parity, halves(part, format).manifest
    assert report.part == manifest.part == part
    assert report.examples == 80
    assert report.largest_difference <= 1e-5
    assert report.agreement == pytest.approx(1.0)
    [given], [found] = manifest.inputs, manifest.outputs
    names = {"encoder": (model.inputs[0].name, "code"), "decoder": ("code", "image")}
    assert (given.name, found.name) == names[part]
    assert (found.shape[1:] if part == "encoder" else given.shape[1:]) == [4]


def test_a_decoder_is_judged_by_the_pictures_whose_codes_it_is_given(halves: Halves) -> None:
    report = halves("decoder", "litert").parity
    assert report.metric == "r2"
    assert 0.1 < report.reference < 1
    assert report.value == pytest.approx(report.reference, abs=1e-5)


def test_the_decoder_of_a_variational_autoencoder_draws_its_codes(
    model, pictures, halves: Halves
) -> None:
    artifact = halves("decoder", "saved_model")
    assert set(artifact.manifest.signatures) == {"generate", "generate_from_seed"}
    call = read(artifact.path, artifact.manifest)
    one, again, other = (
        call({"seed": np.int32(seed), "n": np.int32(5)}, "generate_from_seed")["image"]
        for seed in (1, 1, 2)
    )
    assert one.shape == (5, *pictures.shape[1:])
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0.01
    codes = np.random.default_rng(0).standard_normal((5, 4)).astype("float32")
    made = call({"code": codes}, "generate")["image"]
    np.testing.assert_allclose(made, decoder(model).predict(codes, verbose=0), atol=1e-5)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_eight_bits_are_calibrated_on_what_a_half_is_given(
    model, pictures, tmp_path: Path, part: str
) -> None:
    report = exported(
        model, pictures, tmp_path / "half", part, "litert", "int8", max_drop=5.0
    ).parity
    assert report.agreement > 0.95
    assert report.largest_difference > 0


def test_a_plain_decoder_has_no_codes_to_draw(pictures, tmp_path: Path) -> None:
    plain = zoo.build("autoencoder", input_shape=pictures.shape[1:], code=4)
    artifact = exported(plain, pictures, tmp_path / "half", "decoder", "saved_model")
    assert not artifact.manifest.signatures
    assert artifact.manifest.task == "reconstruction"
    assert artifact.parity.largest_difference <= 1e-5


def test_a_half_is_held_against_its_own_model(model, pictures, halves: Halves) -> None:
    artifact = halves("encoder", "litert")
    assert verify(artifact.path, model, (pictures, None)).largest_difference <= 1e-5
    other = zoo.build("vae", input_shape=pictures.shape[1:], hidden=(32,), code=5)
    with pytest.raises(zoo.InputError, match="did not come from this model"):
        verify(artifact.path, other, (pictures, None))
    plain = zoo.build("lenet5", input_shape=(32, 32, 1))
    with pytest.raises(zoo.InputError, match="only autoencoders"):
        verify(artifact.path, plain, (pictures, None))


@pytest.mark.parametrize(
    ("part", "name", "complaint"),
    [
        ("encodr", "autoencoder", r"'encodr'.*encoder"),
        ("encoder", "lenet5", "only autoencoders"),
    ],
)
def test_what_has_no_such_half_is_refused(tmp_path: Path, part, name, complaint) -> None:
    network = zoo.build(name)
    with pytest.raises(zoo.InputError, match=complaint):
        export(network, tmp_path / "half", part=part, task="reconstruction", verify=False)
    assert not (tmp_path / "half").exists()


def test_an_encoder_s_codes_are_the_means(model, pictures, halves: Halves) -> None:
    artifact = halves("encoder", "saved_model")
    name = artifact.manifest.inputs[0].name
    found = read(artifact.path, artifact.manifest)({name: pictures})["code"]
    np.testing.assert_allclose(found, encoder(model).predict(pictures, verbose=0), atol=1e-4)
