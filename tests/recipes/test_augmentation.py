"""Jitter, RandAugment, erasing and CutMix: against Pillow, and against sums by hand."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from recipes.data import augmentation, enhancements
from recipes.data.augmentation import AUGMENTATIONS, cutmix, erase, jitter, mixup
from recipes.data.randaugment import OPERATIONS, painted, randaugment
from zoo import InputError

SEED = tf.constant([5, 6], tf.int64)
COUNT = 40
NEW = {"jitter": 0.4, "randaugment": 9, "erase": 0.5, "cutmix": 1.0}


@pytest.fixture(scope="module", params=[3, 1], ids=["colour", "grey"])
def images(request: pytest.FixtureRequest) -> tf.Tensor:
    """Smooth and noisy pictures of 12×10, dark and bright ones, one of a single level."""
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(COUNT, 12, 10, request.param)) * rng.uniform(5, 60, (COUNT, 1, 1, 1))
    pixels += rng.uniform(40, 200, (COUNT, 1, 1, request.param)) + np.arange(12)[:, None, None]
    pixels[0] = 77
    return tf.constant(np.clip(pixels, 0, 255).round().astype("uint8"))


@pytest.fixture(scope="module")
def targets() -> tf.Tensor:
    """A class of its own for each picture."""
    return tf.eye(COUNT)


def pillow(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def assert_like_pillow(
    found: tf.Tensor, images: tf.Tensor, function: Callable[[Image.Image], Image.Image]
) -> None:
    """Hold pictures against Pillow's, which cuts off where the batches round."""
    wanted = [np.asarray(function(pillow(image))) for image in images.numpy()]
    np.testing.assert_allclose(
        np.asarray(found, float), np.stack(wanted).reshape(images.shape), atol=1.01
    )


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("count", [1, COUNT])
def test_shapes_and_dtypes_are_kept_inside_a_pipeline(name: str, count: int, images: tf.Tensor):
    hot = tf.eye(count)
    data = tf.data.Dataset.from_tensors((images[:count], hot)).map(
        lambda x, y: AUGMENTATIONS[name](x, y, NEW[name], SEED)
    )
    assert data.element_spec[0].shape == images[:count].shape
    for x, y in data:
        assert (x.shape, x.dtype) == (images[:count].shape, tf.uint8)
        assert (y.shape, y.dtype) == (hot.shape, tf.float32)


@pytest.mark.parametrize("name", NEW)
def test_pictures_are_those_of_their_seed(name: str, images: tf.Tensor, targets: tf.Tensor):
    def drawn(seed: tf.Tensor) -> tuple[bytes, bytes]:
        x, y = AUGMENTATIONS[name](images, targets, NEW[name], seed)
        return x.numpy().tobytes(), y.numpy().tobytes()

    assert drawn(SEED) == drawn(SEED)
    assert len({drawn(SEED + step)[0] for step in range(4)}) == 4


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS.keys() - {"randaugment"}))
def test_a_strength_of_zero_changes_nothing(name: str, images: tf.Tensor, targets: tf.Tensor):
    x, y = AUGMENTATIONS[name](images, targets, 0.0, SEED)
    np.testing.assert_array_equal(x, images)
    np.testing.assert_array_equal(y, targets)


@pytest.mark.parametrize("factor", [0.1, 0.7, 1.0, 1.9])
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("saturation", ImageEnhance.Color),
        ("sharpness", ImageEnhance.Sharpness),
    ],
)
def test_enhancements_are_those_of_pillow(
    name: str, kind: Callable[..., ImageEnhance._Enhance], factor: float, images: tf.Tensor
):
    found = getattr(enhancements, name)(tf.cast(images, tf.float32), tf.fill((COUNT,), factor))
    assert_like_pillow(found, images, lambda image: kind(image).enhance(factor))


def test_equalizing_and_stretching_are_those_of_pillow(images: tf.Tensor):
    x = tf.cast(images, tf.float32)
    assert_like_pillow(enhancements.equalize(x), images, ImageOps.equalize)
    assert_like_pillow(enhancements.autocontrast(x), images, ImageOps.autocontrast)


def test_posterizing_and_solarizing_are_those_of_pillow(images: tf.Tensor):
    x = tf.cast(images, tf.float32)
    for bits in (4, 6, 8):
        found = enhancements.posterize(x, tf.fill((COUNT,), float(bits)))
        assert_like_pillow(found, images, lambda image, bits=bits: ImageOps.posterize(image, bits))
    found = enhancements.solarize(x, tf.fill((COUNT,), 100.0))
    assert_like_pillow(found, images, lambda image: ImageOps.solarize(image, 100))


def test_equalizing_a_picture_of_many_pixels_is_pillows():
    pixels = np.random.default_rng(1).normal(90, 20, (4, 40, 50, 3))
    images = tf.constant(np.clip(pixels, 0, 255).astype("uint8"))
    found = enhancements.equalize(tf.cast(images, tf.float32))
    assert_like_pillow(found, images, ImageOps.equalize)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_of_randaugment_works_at_every_level(name: str, images: tf.Tensor):
    still = {"autocontrast", "equalize", "identity", *(["color"] if images.shape[-1] == 1 else [])}
    for level in (-1.0, -0.3, 0.0, 0.3, 1.0):
        found = painted(OPERATIONS[name], images, tf.fill((COUNT,), level))
        assert (found.shape, found.dtype) == (images.shape, images.dtype)
        if name not in still:
            assert (found != images).numpy().any() == (level != 0)
    empty = painted(OPERATIONS[name], images[:0], tf.zeros((0,)))
    assert len(empty) == 0


@pytest.mark.parametrize(
    ("name", "move"),
    [
        ("translate_x", lambda p: np.pad(p, [(0, 0), (0, 0), (0, 5), (0, 0)])[:, :, 5:]),
        ("translate_y", lambda p: np.pad(p, [(0, 0), (0, 5), (0, 0), (0, 0)])[:, 5:]),
    ],
)
def test_translations_go_so_many_pixels(
    name: str, move: Callable[[np.ndarray], np.ndarray], images: tf.Tensor
):
    axis = 2 if name == "translate_x" else 1
    level = 5 / images.shape[axis] / (150 / 331)
    found = painted(OPERATIONS[name], images, tf.fill((COUNT,), level))
    np.testing.assert_array_equal(found, move(images.numpy()))


@pytest.mark.parametrize("level", [-1.0, 0.5])
def test_a_rotation_is_by_thirty_degrees_at_most(level: float):
    spot = np.zeros((1, 41, 41, 1), "uint8")
    spot[0, 19:22, 34:37] = 255  # 15 pixels to the right of the middle
    found = painted(OPERATIONS["rotate"], tf.constant(spot), tf.constant([level])).numpy()[
        0, ..., 0
    ]
    rows, columns = (np.average(i, weights=found) - 20 for i in np.indices(found.shape))
    assert np.degrees(np.arctan2(-rows, columns)) == pytest.approx(30 * level, abs=0.5)
    assert np.hypot(rows, columns) == pytest.approx(15, abs=0.1)


@pytest.mark.parametrize("name", ["shear_x", "shear_y"])
def test_a_shear_keeps_the_middle_and_leans_the_rest(name: str):
    picture = np.zeros((1, 41, 41, 1), "uint8")
    along = picture[0, :, 20] if name == "shear_x" else picture[0, 20]
    along[:] = 255
    found = painted(OPERATIONS[name], tf.constant(picture), tf.constant([1.0])).numpy()[0, ..., 0]
    found = found if name == "shear_x" else found.T
    places = np.array([np.average(np.arange(41), weights=row) for row in found])
    np.testing.assert_allclose(places, 20 - 0.3 * (np.arange(41) - 20), atol=0.02)


def test_randaugment_changes_pictures_and_keeps_targets(images: tf.Tensor, targets: tf.Tensor):
    x, y = randaugment(images, targets, 15, SEED)
    np.testing.assert_array_equal(y, targets)
    changed = (x != images).numpy().any(axis=(1, 2, 3))
    assert 0.6 < changed.mean() < 1


def test_randaugment_is_stronger_at_a_higher_magnitude(images: tf.Tensor, targets: tf.Tensor):
    def change(magnitude: float) -> float:
        x = randaugment(images, targets, magnitude, SEED)[0]
        return np.abs(x.numpy().astype(float) - images.numpy()).mean()

    assert change(3) < change(15) < change(30)


def test_jitter_multiplies_a_grey_picture_by_one_factor(targets: tf.Tensor):
    flat = tf.fill((COUNT, 6, 6, 1), tf.constant(100, tf.uint8))
    levels = jitter(flat, targets, 0.3, SEED)[0].numpy().reshape(COUNT, -1)
    assert (levels == levels[:, :1]).all()
    assert 70 <= levels.min() < 85
    assert 115 < levels.max() <= 130


def test_jitter_keeps_grey_pixels_grey(targets: tf.Tensor):
    rng = np.random.default_rng(0)
    grey = np.repeat(rng.integers(60, 180, (COUNT, 6, 6, 1), "uint8"), 3, axis=3)
    x = jitter(tf.constant(grey), targets, 0.9, SEED)[0].numpy().astype(int)
    assert np.ptp(x, axis=3).max() <= 1


def holes(share: float, count: int = 400) -> np.ndarray:
    """Return which pixels of black pictures of 20×30 an erasing filled."""
    black = tf.zeros((count, 20, 30, 3), tf.uint8)
    x, y = erase(black, tf.eye(count), share, SEED)
    np.testing.assert_array_equal(y, np.eye(count))
    return x.numpy().any(axis=3)


def test_erasing_takes_its_share_of_the_pictures():
    assert holes(1.0).any(axis=(1, 2)).all()
    assert 0.2 < holes(0.3).any(axis=(1, 2)).mean() < 0.4


def test_an_erased_rectangle_has_the_size_of_the_paper():
    areas, aspects = [], []
    for hole in holes(1.0):
        rows, columns = (np.flatnonzero(hole.any(axis=axis)) for axis in (1, 0))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert hole.sum() >= height * width - 1  # a pixel of noise may be black
        areas.append(height * width / 600)
        aspects.append((height / 20) / (width / 30))
    assert 0.01 < min(areas) < 0.05
    assert 0.35 < max(areas) < 0.43
    assert np.mean(areas) == pytest.approx(0.21, abs=0.02)
    assert min(aspects) > 0.2
    assert max(aspects) < 5
    assert np.median(aspects) == pytest.approx(1, abs=0.2)


def test_an_erased_rectangle_may_lie_anywhere_and_holds_every_level():
    filled = holes(1.0)
    assert (filled.mean(axis=0) > 0.005).all()
    x = erase(tf.zeros((100, 20, 30, 1), tf.uint8), tf.eye(100), 1.0, SEED)[0].numpy()
    assert set(range(1, 256)) <= set(np.unique(x))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_cutmix_mixes_targets_by_the_pixels(alpha: float, targets: tf.Tensor):
    own = np.arange(COUNT, dtype="uint8")[:, None, None, None]
    flat = np.broadcast_to(own, (COUNT, 12, 10, 3)).copy()
    x, y = (part.numpy() for part in cutmix(tf.constant(flat), targets, alpha, SEED))
    for picture, target in zip(x[..., 0], y, strict=True):
        shares = np.bincount(picture.ravel(), minlength=COUNT) / picture.size
        np.testing.assert_allclose(target, shares, atol=1e-6)
    assert len(np.unique(y)) > 5


def test_cutmix_puts_in_rectangles(targets: tf.Tensor):
    own = np.arange(COUNT, dtype="uint8")[:, None, None, None]
    flat = np.broadcast_to(own, (COUNT, 12, 10, 1)).copy()
    x = cutmix(tf.constant(flat), targets, 1.0, SEED)[0].numpy()
    seen = 0
    for hole in (x != own)[..., 0]:
        if hole.any():
            rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
            assert hole.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
            seen += 1
    assert seen > COUNT / 2


def test_the_stream_of_mixup_is_what_trained_the_packaged_models():
    x, y = mixup(tf.constant([[[[0]]], [[[200]]], [[[100]]]], tf.uint8), tf.eye(3), 0.5, SEED)
    seeds = tf.random.split(SEED, 2)
    gamma = tf.random.stateless_gamma((2, 3), seeds[0], 0.5) + 1e-30
    weight = (gamma[0] / (gamma[0] + gamma[1])).numpy()
    other = tf.random.experimental.stateless_shuffle(tf.range(3), seeds[1]).numpy()
    eye = np.eye(3)
    np.testing.assert_allclose(
        y, weight[:, None] * eye + (1 - weight[:, None]) * eye[other], rtol=1e-6
    )
    np.testing.assert_allclose(x.numpy().ravel(), y.numpy() @ [0, 200, 100], atol=0.51)


@pytest.mark.parametrize(
    ("name", "strength", "limit"),
    [
        ("jitter", 1.1, "0 to 1"),
        ("jitter", -0.1, "0 to 1"),
        ("randaugment", 31, "0 to 30"),
        ("erase", 1.5, "0 to 1"),
        ("cutmix", -1.0, "0 to inf"),
        ("cutmix", float("inf"), "0 to inf"),
        ("mixup", float("nan"), "0 to inf"),
    ],
)
def test_a_wrong_strength_is_refused_with_its_limits(name: str, strength: float, limit: str):
    with pytest.raises(InputError, match=f"'{name}' must be from {limit}"):
        augmentation.check({name: strength})


@pytest.mark.parametrize(
    ("name", "near"), [("cutmixx", "'cutmix'"), ("rand_augment", "'randaugment'")]
)
def test_a_wrong_name_is_answered_with_the_nearest(name: str, near: str):
    with pytest.raises(InputError, match=near):
        augmentation.check({name: 1.0})
