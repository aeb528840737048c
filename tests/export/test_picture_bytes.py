"""Encoded pictures into a SavedModel: read in the graph as Pillow reads them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from recipes import Run
from zoo.errors import InputError
from zoo.pictures import read_image

MODES = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}


def picture(mode: str, height: int, width: int) -> Image.Image:
    """Draw something smooth: a photograph has no noise from pixel to pixel."""
    depth = MODES[mode]
    values = np.random.default_rng(height + depth).integers(0, 256, (6, 6, depth), "uint8")
    image = Image.fromarray(values.squeeze(-1) if depth == 1 else values, mode)
    return image.resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def saved(exported: Any) -> Any:
    return tf.saved_model.load(exported("saved_model", "float32").path)


@pytest.mark.parametrize("kind", ["png", "jpeg", "bmp"])
@pytest.mark.parametrize("size", [(8, 8), (50, 80), (300, 200), (3, 40)])
@pytest.mark.parametrize("mode", MODES)
def test_a_picture_is_read_as_from_its_file(
    mode: str, size: tuple[int, int], kind: str, tmp_path: Path
) -> None:
    from export.picture_bytes import _read

    if kind != "png" and mode in ("LA", "RGBA"):
        pytest.skip("has no transparency")
    file = tmp_path / f"picture.{kind}"
    picture(mode, *size).save(file)
    for shape in ((28, 28, 1), (32, 32, 3), (24, 40, 3)):
        found = _read(tf.constant(file.read_bytes()), *shape).numpy()
        expected = read_image(file, shape)
        assert found.shape == expected.shape
        assert np.abs(found.astype(int) - expected).max() <= 2


def test_files_of_any_size_and_kind_make_a_batch(
    saved: Any, digits_run: Run, tmp_path: Path
) -> None:
    contents, expected = [], []
    for number, (kind, size) in enumerate([("png", (9, 30)), ("jpeg", (64, 64)), ("png", (8, 8))]):
        file = tmp_path / f"{number}.{kind}"
        picture("RGB", *size).save(file)
        contents.append(file.read_bytes())
        expected.append(read_image(file, digits_run.load().input_shape[1:]))
    found = saved.signatures["serve_bytes"](image_bytes=tf.constant(contents))
    answers = saved.signatures["serving_default"](image=tf.constant(np.stack(expected)))
    np.testing.assert_allclose(found["probabilities"], answers["probabilities"], atol=0.03)
    assert set(found) == set(answers)


def test_what_is_no_picture_is_an_error(saved: Any) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError):
        saved.signatures["serve_bytes"](image_bytes=tf.constant([b"no picture"]))


def test_the_manifest_names_the_signature(exported: Any, tmp_path: Path) -> None:
    manifest = exported("saved_model", "float32").manifest
    [given] = manifest.signature("serve_bytes").inputs
    assert (given.name, given.shape, given.dtype) == ("image_bytes", [None], "string")
    with pytest.raises(InputError, match="no signature"):
        exported("litert", "float32").manifest.signature("serve_bytes")
