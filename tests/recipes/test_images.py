"""The user's own pictures: every mode, format, size and fault."""

import errno
import io
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from PIL import Image
from PIL.Image import Transpose

from recipes import Splits, load_data
from recipes.data.splits import SPLITS
from zoo import InputError
from zoo.pictures import read_image

Pictures = Callable[..., Path]

COLOUR = (200, 40, 90)
RGB = Image.new("RGB", (24, 16), COLOUR)
SAMPLES = {
    "1": (Image.new("1", (24, 16), 1), (255, 255, 255)),
    "L": (Image.new("L", (24, 16), 90), (90, 90, 90)),
    "LA": (Image.new("LA", (24, 16), (90, 255)), (90, 90, 90)),
    "P": (RGB.quantize(4), COLOUR),
    "RGB": (RGB, COLOUR),
    "RGBA": (Image.new("RGBA", (24, 16), (*COLOUR, 255)), COLOUR),
    "CMYK": (RGB.convert("CMYK"), COLOUR),
    "I;16": (Image.new("I;16", (24, 16), 100 * 257), (100, 100, 100)),
    "I": (Image.new("I", (24, 16), 100 * 257), (100, 100, 100)),
    "F": (Image.new("F", (24, 16), 100 / 255), (100, 100, 100)),
}
FORMATS = {
    "png": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "jpg": ("L", "RGB", "CMYK"),
    "gif": ("L", "P", "RGB"),
    "webp": ("L", "RGB", "RGBA"),
    "bmp": ("1", "L", "P", "RGB", "RGBA"),
    "tiff": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"),
    "ppm": ("1", "L", "RGB"),
}
# Orientation tag -> how an upright picture has to be stored for it.
STORED = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}


def contents(data: Splits) -> list[set[bytes]]:
    return [{image.tobytes() for image in data[split].inputs} for split in SPLITS]


@pytest.mark.parametrize(
    ("suffix", "mode"), [(suffix, mode) for suffix, modes in FORMATS.items() for mode in modes]
)
def test_every_mode_in_every_format_becomes_its_colour(tmp_path: Path, suffix: str, mode: str):
    image, colour = SAMPLES[mode]
    image.save(tmp_path / f"a.{suffix}")
    pixels = read_image(tmp_path / f"a.{suffix}", (8, 8, 3))
    assert (pixels.shape, pixels.dtype) == ((8, 8, 3), np.uint8)
    np.testing.assert_allclose(pixels.reshape(-1, 3).astype(int), [colour] * 64, atol=6)
    grey = read_image(tmp_path / f"a.{suffix}", (8, 8, 1))
    expected = np.dot(colour, [0.299, 0.587, 0.114])
    np.testing.assert_allclose(grey.astype(float), np.full((8, 8, 1), expected), atol=6)


@pytest.mark.parametrize("orientation", STORED)
def test_the_orientation_tag_is_followed(tmp_path: Path, orientation: int):
    grey = np.zeros((16, 24), "uint8")
    grey[:8, :8], grey[8:, :8] = 255, 128  # no two of the eight orientations look alike
    upright = Image.fromarray(grey)
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright.transpose(STORED[orientation]).save(tmp_path / "a.png", exif=exif)
    read = read_image(tmp_path / "a.png", (16, 24, 1))[..., 0]
    np.testing.assert_array_equal(read, grey)


def test_the_middle_of_an_oblong_picture_is_kept_undistorted(tmp_path: Path):
    wide = np.zeros((10, 30, 3), "uint8")
    for third in range(3):
        wide[:, 10 * third : 10 * (third + 1), third] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    Image.fromarray(wide.transpose(1, 0, 2)).save(tmp_path / "high.png")
    for name in ("wide", "high"):
        middle = read_image(tmp_path / f"{name}.png", (10, 10, 3))
        np.testing.assert_array_equal(middle, np.full((10, 10, 3), (0, 255, 0)))


def test_a_picture_of_the_wanted_size_keeps_every_pixel(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), "uint8")
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", (9, 7, 3)), pixels)


@pytest.mark.parametrize(("alpha", "expected"), [(0, (255, 255, 255)), (128, (255, 127, 127))])
def test_transparency_is_laid_on_white(tmp_path: Path, alpha: int, expected: tuple[int, int, int]):
    Image.new("RGBA", (8, 8), (255, 0, 0, alpha)).save(tmp_path / "a.png")
    pixels = read_image(tmp_path / "a.png", (8, 8, 3))
    np.testing.assert_allclose(pixels.astype(int), np.full((8, 8, 3), expected), atol=1)


def test_a_transparent_palette_colour_becomes_white(tmp_path: Path):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.paste(0, (0, 0, 8, 4))
    for suffix in ("png", "gif"):
        image.save(tmp_path / f"a.{suffix}", transparency=0)
        pixels = read_image(tmp_path / f"a.{suffix}", (8, 8, 3))
        assert (pixels[:4] == 255).all()
        assert (pixels[4:] == (10, 20, 30)).all()


def test_transparent_grey_becomes_white(tmp_path: Path):
    Image.new("LA", (8, 8), (0, 0)).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png", (8, 8, 1)) == 255).all()


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bits_are_scaled_and_not_clipped(tmp_path: Path, suffix: str):
    values = np.linspace(0, 65535, 64).astype("uint16").reshape(8, 8)
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    pixels = read_image(tmp_path / f"a.{suffix}", (8, 8, 1))[..., 0]
    np.testing.assert_allclose(pixels.astype(float), values / 257, atol=0.51)


def test_a_dark_picture_of_16_bits_stays_dark(tmp_path: Path):
    Image.fromarray(np.full((8, 8), 200, "uint16")).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", (8, 8, 1)).max() <= 1


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_floating_grey_is_scaled_by_its_range(tmp_path: Path, top: float):
    values = np.linspace(0, top, 64).astype("float32").reshape(8, 8)
    Image.fromarray(values).save(tmp_path / "a.tiff")
    pixels = read_image(tmp_path / "a.tiff", (8, 8, 1))[..., 0]
    np.testing.assert_allclose(pixels.astype(float), values / top * 255, atol=0.51)


def test_a_point_that_is_not_a_number_spoils_no_other(tmp_path: Path):
    values = np.full((8, 8), 0.5, "float32")
    values[0, 0] = np.nan
    Image.fromarray(values).save(tmp_path / "a.tiff")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = read_image(tmp_path / "a.tiff", (8, 8, 1))
    assert (pixels[1:] == 128).all()


def test_sizes_modes_and_formats_mix_in_a_folder(tmp_path: Path):
    rng = np.random.default_rng(0)
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for number, (suffix, modes) in enumerate(FORMATS.items()):
            for mode in modes:
                width, height = rng.integers(5, 40, 2)
                grey = Image.fromarray(rng.integers(0, 256, (height, width), "uint8"))
                image = grey if mode in ("I;16", "I", "F") else grey.convert(mode)
                image.save(tmp_path / label / f"{number}-{mode.replace(';', '')}.{suffix}")
    data = load_data(tmp_path, shape=(12, 14, 3))
    assert data.skipped == ()
    assert data.shape == (12, 14, 3)
    assert data.train.inputs.dtype == "uint8"
    assert sum(data.sizes.values()) == 2 * sum(map(len, FORMATS.values()))


def test_pictures_get_64_by_64_rgb_where_nothing_else_is_said(pictures: Pictures):
    data = load_data(pictures({"a": 4, "b": 4}))
    assert data.shape == (64, 64, 3)
    assert "64×64, RGB" in data.preprocessing


def test_a_folder_is_divided_with_every_class_in_every_split(pictures: Pictures):
    data = load_data(pictures({"a": 40, "b": 20}), shape=(10, 12, 3))
    assert data.task == "classification"
    assert data.sizes == {"train": 42, "validation": 9, "test": 9}
    for split in SPLITS:
        assert set(data[split].targets) == {0, 1}
    assert sum(map(len, contents(data))) == len(set.union(*contents(data))) == 60


def test_a_picture_comes_with_the_label_of_its_folder(tmp_path: Path):
    for number, label in enumerate(("dark", "light")):
        (tmp_path / label).mkdir()
        for grey in range(10):
            image = Image.new("L", (8, 8), 200 * number + grey)
            image.save(tmp_path / label / f"{grey}.png")
    data = load_data(tmp_path, shape=(8, 8, 1))
    assert data.labels == ("dark", "light")
    for split in SPLITS:
        means = data[split].inputs.mean(axis=(1, 2, 3))
        np.testing.assert_array_equal(means > 100, data[split].targets == 1)


def test_labels_stand_in_natural_order(pictures: Pictures):
    data = load_data(pictures({"class 10": 3, "class 2": 3, "class 1": 3}), shape=(4, 4, 3))
    assert data.labels == ("class 1", "class 2", "class 10")


def test_names_and_order_of_the_files_do_not_matter(pictures: Pictures, tmp_path: Path):
    folder = pictures({"a": 30, "b": 30})
    for file in sorted(folder.rglob("*.png")):
        other = tmp_path / "other" / file.parent.name / "deeper" / f"z{99 - int(file.stem)}.png"
        other.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, other)
    one = load_data(folder, shape=(10, 12, 3))
    assert contents(one) == contents(load_data(tmp_path / "other", shape=(10, 12, 3)))


def test_a_picture_kept_twice_stays_in_one_split_even_over_classes(pictures: Pictures):
    folder = pictures({"a": 30, "b": 30})
    for file in (folder / "a").glob("*.png"):
        shutil.copy(file, file.with_name(f"copy of {file.name}"))
        shutil.copy(file, folder / "b" / f"from a {file.name}")
    found = contents(load_data(folder, shape=(10, 12, 3)))
    assert sum(map(len, found)) == len(set.union(*found)) == 60


def test_loading_twice_gives_the_same_fingerprint(pictures: Pictures):
    folder = pictures({"a": 10, "b": 10})
    one, other = (load_data(folder, shape=(10, 12, 3)) for _ in range(2))
    assert one.fingerprint == other.fingerprint


@pytest.mark.parametrize("names", [("train", "validation", "test"), ("Training", "VAL", "Test")])
def test_folders_named_after_the_splits_are_the_splits(
    pictures: Pictures, tmp_path: Path, names: tuple[str, ...]
):
    for name, count in zip(names, (6, 3, 2), strict=True):
        pictures({"a": count, "b": count}, f"set/{name}")
    data = load_data(tmp_path / "set", shape=(10, 12, 3))
    assert data.labels == ("a", "b")
    assert data.sizes == {"train": 12, "validation": 6, "test": 4}
    given = {np.asarray(Image.open(p)).tobytes() for p in (tmp_path / "set").glob("[tT]est/*/*")}
    assert contents(data)[2] == given


def test_validation_is_taken_from_training_where_only_test_has_a_folder(
    pictures: Pictures, tmp_path: Path
):
    pictures({"a": 20, "b": 20}, "set/train")
    pictures({"a": 5, "b": 5}, "set/test")
    data = load_data(tmp_path / "set", shape=(10, 12, 3))
    assert data.sizes == {"train": 34, "validation": 6, "test": 10}


def test_split_names_are_classes_where_there_is_no_training_folder(pictures: Pictures):
    data = load_data(pictures({"test": 5, "val": 5}), shape=(4, 4, 3))
    assert data.labels == ("test", "val")


def test_a_class_may_be_named_train(pictures: Pictures):
    data = load_data(pictures({"train": 5, "car": 5, "bus": 5}), shape=(4, 4, 3))
    assert data.labels == ("bus", "car", "train")


def test_two_folders_of_one_split_are_refused(pictures: Pictures, tmp_path: Path):
    for split in ("train", "val", "validation"):
        pictures({"a": 3, "b": 3}, f"set/{split}")
    with pytest.raises(InputError, match=r"val and .*validation are the same split"):
        load_data(tmp_path / "set", shape=(4, 4, 3))


def test_a_class_without_training_pictures_is_refused(pictures: Pictures, tmp_path: Path):
    pictures({"a": 9, "b": 9}, "set/train")
    pictures({"a": 4, "b": 4, "never": 4}, "set/test")
    with pytest.raises(InputError, match="never"):
        load_data(tmp_path / "set", shape=(10, 12, 3))


@pytest.mark.parametrize("shape", [64, "64", (), (64, 64), (64, 64, 3, 1), (0, 64, 3), (8, 8.5, 3)])
def test_a_shape_that_no_picture_has_is_refused(pictures: Pictures, shape: Any):
    folder = pictures({"a": 3, "b": 3})
    with pytest.raises(InputError, match="height, width and channels, such as"):
        load_data(folder, shape=shape)


def broken(folder: Path) -> list[str]:
    """Put four files that are no whole pictures into a class, and return their names."""
    (folder / "text.png").write_text("this is no picture")
    (folder / "empty.jpg").touch()
    whole = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(whole, "jpeg")
    (folder / "cut.jpg").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    whole = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(whole, "png")
    (folder / "cut.png").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    return ["text.png", "empty.jpg", "cut.jpg", "cut.png"]


def test_broken_pictures_are_left_out_and_named(pictures: Pictures):
    folder = pictures({"a": 6, "b": 6})
    whole = contents(load_data(folder, shape=(10, 12, 3)))
    names = broken(folder / "a")
    data = load_data(folder, shape=(10, 12, 3))
    assert sorted(Path(line.split(" cannot be read")[0]).name for line in data.skipped) == sorted(
        names
    )
    assert contents(data) == whole


def test_strict_stops_at_a_broken_picture(pictures: Pictures):
    folder = pictures({"a": 6, "b": 6})
    (folder / "b" / "text.png").write_text("this is no picture")
    with pytest.raises(InputError, match=r"b.text\.png cannot be read"):
        load_data(folder, shape=(10, 12, 3), strict=True)


@pytest.mark.parametrize("suffix", ["eps", "ico"])
def test_what_is_no_usual_picture_is_not_tried(tmp_path: Path, suffix: str):
    RGB.save(tmp_path / f"a.{suffix}")
    with pytest.raises(InputError, match=rf"a\.{suffix} cannot be read .* it is none of JPEG, PNG"):
        read_image(tmp_path / f"a.{suffix}", (8, 8, 3))


def test_a_picture_of_odd_tags_is_a_broken_one(pictures: Pictures):
    folder = pictures({"a": 6, "b": 6})
    RGB.save(folder / "a" / "odd.png", exif=b"Exif\0\0II*\0")  # half of a header
    with pytest.raises(InputError, match=r"odd\.png cannot be read as a picture"):
        read_image(folder / "a" / "odd.png", (8, 8, 3))
    (line,) = load_data(folder).skipped
    assert "odd.png cannot be read as a picture" in line


def test_a_picture_that_memory_is_too_small_for_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: Any, **__: Any) -> None:
        raise MemoryError

    RGB.save(tmp_path / "a.png")
    monkeypatch.setattr("PIL.ImageOps.fit", full)
    with pytest.raises(InputError, match=r"a\.png cannot be read as a picture: MemoryError"):
        read_image(tmp_path / "a.png", (8, 8, 3))


def test_a_missing_picture_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"no picture at .*nowhere\.png"):
        read_image(tmp_path / "nowhere.png", (8, 8, 3))


def test_too_few_readable_pictures_are_counted_and_the_first_broken_one_named(
    pictures: Pictures,
):
    folder = pictures({"a": 2, "b": 6})
    (folder / "a" / "text.png").write_text("this is no picture")
    with pytest.raises(InputError, match=r"(?s)'a' .* has 2 .*Left out: .*text\.png"):
        load_data(folder)


def test_an_empty_folder_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="no class folders"):
        load_data(tmp_path)


def test_one_class_is_refused(pictures: Pictures):
    with pytest.raises(InputError, match="only the class 'a'"):
        load_data(pictures({"a": 5}))


def test_one_picture_in_a_class_is_refused(pictures: Pictures):
    with pytest.raises(InputError, match=r"'b' .* has 1 different"):
        load_data(pictures({"a": 5, "b": 1}))


def test_copies_of_one_picture_are_one_picture(pictures: Pictures):
    folder = pictures({"a": 5, "b": 1})
    for number in range(5):
        shutil.copy(folder / "b" / "0.png", folder / "b" / f"copy{number}.png")
    with pytest.raises(InputError, match=r"'b' .* has 1 different"):
        load_data(folder)


def test_an_empty_class_folder_is_refused(pictures: Pictures):
    folder = pictures({"a": 5, "b": 5})
    (folder / "c").mkdir()
    with pytest.raises(InputError, match=r"'c' .* has 0 different"):
        load_data(folder)


def test_a_file_in_place_of_a_folder_is_refused(pictures: Pictures):
    folder = pictures({"a": 1})
    with pytest.raises(InputError, match="neither a folder of pictures nor"):
        load_data(folder / "a" / "0.png")


def test_four_channels_are_refused(pictures: Pictures):
    with pytest.raises(InputError, match="channels"):
        load_data(pictures({"a": 4, "b": 4}), shape=(8, 8, 4))


def test_hidden_files_and_folders_are_left_out(pictures: Pictures):
    folder = pictures({"a": 6, "b": 6})
    whole = load_data(folder, shape=(10, 12, 3)).fingerprint
    (folder / ".cache").mkdir()
    (folder / "a" / ".DS_Store").write_text("this is no picture")
    (folder / "notes.txt").write_text("this is no class")
    (folder / "a" / ".checkpoints").mkdir()
    Image.new("L", (8, 8)).save(folder / "a" / ".checkpoints" / "old.png")
    data = load_data(folder, shape=(10, 12, 3), strict=True)
    assert data.fingerprint == whole


@pytest.mark.parametrize("side", [12, 40], ids=["above the limit", "far above the limit"])
def test_a_decompression_bomb_is_refused(
    pictures: Pictures, monkeypatch: pytest.MonkeyPatch, side: int
):
    folder = pictures({"a": 30, "b": 30}, size=(9, 9))
    for number in range(20):
        Image.new("L", (side, side), number).save(folder / "a" / f"bomb{number}.png")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match="too large a picture"):
        read_image(folder / "a" / "bomb0.png", (8, 8, 1))
    data = load_data(folder, shape=(8, 8, 1))
    assert len(data.skipped) == 20
    assert all("bomb" in line and "too large" in line for line in data.skipped)


def test_loading_leaves_the_warning_filters_as_they_were(pictures: Pictures):
    folder = pictures({"a": 150, "b": 150})
    before = list(warnings.filters)
    load_data(folder, shape=(8, 8, 1))
    assert list(warnings.filters) == before


@pytest.mark.parametrize("validation", [0, 2])
def test_a_set_too_large_for_memory_goes_to_a_mapped_file(
    pictures: Pictures, monkeypatch: pytest.MonkeyPatch, validation: int
):
    folder = pictures({"a": 10, "b": 10})
    in_memory = load_data(folder, shape=(10, 12, 3), validation=validation)
    monkeypatch.setattr("recipes.data.images._IN_MEMORY", 1)
    mapped = load_data(folder, shape=(10, 12, 3), validation=validation)
    assert isinstance(mapped.train.inputs, np.memmap)
    assert mapped.fingerprint == in_memory.fingerprint


def test_a_full_disk_is_one_clear_error_and_no_crash(
    pictures: Pictures, monkeypatch: pytest.MonkeyPatch
):
    def full(*arguments: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder = pictures({"a": 10, "b": 10})
    monkeypatch.setattr("recipes.data.images._IN_MEMORY", 1)
    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(OSError, match="No space left on device"):
        load_data(folder, shape=(10, 12, 3))


@pytest.mark.parametrize("strict", [False, True])
def test_files_whose_names_say_that_they_are_no_pictures_are_passed_over(
    pictures: Pictures, strict: bool
):
    folder = pictures({"a": 4, "b": 4})
    for name in ("notes.txt", "labels.csv", "meta.json", "film.mp4"):
        (folder / "a" / name).write_text("no picture")
    data = load_data(folder, strict=strict)
    assert data.skipped == ()
    assert sum(data.sizes.values()) == 8


@pytest.mark.parametrize("name", ["text.png", "text.jpg", "text", "text.unheard-of"])
def test_a_text_that_is_named_like_a_picture_is_an_error(pictures: Pictures, name: str):
    folder = pictures({"a": 4, "b": 4})
    (folder / "a" / name).write_text("no picture")
    with pytest.raises(InputError, match=rf"a/{name} cannot be read as a picture"):
        load_data(folder, strict=True)
    (line,) = load_data(folder).skipped
    assert f"a/{name} cannot be read as a picture" in line
