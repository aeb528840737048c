"""Augmentation of whole batches: vectorized, and a pure function of its seed.

Each function takes a batch of uint8 images `(batch, height, width, channels)`, their targets, one
strength, and a pair of seeds, and returns images and targets of the same shapes and dtypes.

| name | strength |
|---|---|
| `flip` | share of the images that are mirrored |
| `crop` | largest way that an image is moved, in pixels |
| `jitter` | largest change of brightness, contrast and saturation, 0…1 |
| `randaugment` | magnitude of the two operations that each image goes through, 0…30 |
| `erase` | share of the images that lose a rectangle |
| `noise` | deviation, as a share of the range of grey levels |
| `mixup`, `cutmix` | alpha of the Beta distribution of the mixing weight, such as 0.2 or 1 |
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from recipes.data.enhancements import brightness, contrast, saturation
from recipes.data.randaugment import HIGHEST, randaugment
from zoo.errors import InputError
from zoo.registry import unknown

Augmentation = Callable[[tf.Tensor, tf.Tensor, float, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def flip(images: tf.Tensor, targets: tf.Tensor, share: float, seed: tf.Tensor) -> Any:
    """Mirror a share of the images left to right."""
    chosen = tf.random.stateless_uniform((tf.shape(images)[0], 1, 1, 1), seed) < share
    return tf.where(chosen, tf.reverse(images, [2]), images), targets


def crop(images: tf.Tensor, targets: tf.Tensor, padding: float, seed: tf.Tensor) -> Any:
    """Move each image by up to `padding` pixels in both directions; what comes in is its mirror.

    Black in its place would be a brightness that no picture has at its border when it is measured.
    """
    padding = int(padding)
    count, height, width, _ = tf.unstack(tf.shape(images))
    sides = [[0, 0], [padding, padding], [padding, padding], [0, 0]]
    padded = tf.pad(images, sides, "REFLECT")
    offsets = tf.random.stateless_uniform((2, count, 1), seed, 0, 2 * padding + 1, tf.int32)
    padded = tf.gather(padded, offsets[0] + tf.range(height), axis=1, batch_dims=1)
    return tf.gather(padded, offsets[1] + tf.range(width), axis=2, batch_dims=1), targets


def jitter(images: tf.Tensor, targets: tf.Tensor, strength: float, seed: tf.Tensor) -> Any:
    """Scale brightness, contrast and saturation, in this order, by up to 1 ± `strength` each.

    A grey image has no saturation to change.
    """
    factors = tf.random.stateless_uniform(
        (3, tf.shape(images)[0]), seed, 1 - strength, 1 + strength
    )
    x = tf.cast(images, tf.float32)
    for number, change in enumerate((brightness, contrast, saturation)):
        x = change(x, factors[number])
    return tf.cast(tf.round(x), images.dtype), targets


def erase(images: tf.Tensor, targets: tf.Tensor, share: float, seed: tf.Tensor) -> Any:
    """Fill a rectangle of a share of the images with noise (https://arxiv.org/abs/1708.04896).

    It takes 0.02…0.4 of the image, and its sides are to each other, each as a share of the image's
    own, as 0.3 to 1 at most. Deviation from the paper: where the paper draws again until a
    rectangle fits, only fitting ones are drawn here.
    """
    count, height, width, _ = tf.unstack(tf.shape(images))
    seeds = tf.random.split(seed, 2)
    u = tf.random.stateless_uniform((5, count), seeds[0])
    area = 0.02 + 0.38 * u[0]
    # The logarithm of the aspect: a side is not longer than the image's.
    limit = -tf.math.log(tf.maximum(area, 0.3))
    aspect = tf.exp(limit * (2 * u[1] - 1))
    sides = tf.stack([tf.sqrt(area * aspect), tf.sqrt(area / aspect)])
    size = tf.stack([height, width])[:, None]
    sides = tf.maximum(tf.cast(tf.round(sides * tf.cast(size, tf.float32)), tf.int32), 1)
    start = tf.cast(tf.floor(u[2:4] * tf.cast(size - sides + 1, tf.float32)), tf.int32)
    box = _inside(start, start + sides, height, width) & (u[4] < share)[:, None, None, None]
    filling = tf.random.stateless_uniform(tf.shape(images), seeds[1], 0, 256, tf.int32)
    return tf.where(box, tf.cast(filling, images.dtype), images), targets


def mixup(images: tf.Tensor, targets: tf.Tensor, alpha: float, seed: tf.Tensor) -> Any:
    """Blend each image and its target with another of the batch (https://arxiv.org/abs/1710.09412).

    The weight is drawn from Beta(alpha, alpha), one for each image.
    """
    weight, other = _mixed(tf.shape(images)[0], alpha, seed)
    w = weight[:, None, None, None]
    blend = w * tf.cast(images, tf.float32) + (1 - w) * tf.cast(
        tf.gather(images, other), tf.float32
    )
    w = weight[:, None]
    return tf.cast(tf.round(blend), images.dtype), w * targets + (1 - w) * tf.gather(targets, other)


def cutmix(images: tf.Tensor, targets: tf.Tensor, alpha: float, seed: tf.Tensor) -> Any:
    """Put a rectangle of another image of the batch in each (https://arxiv.org/abs/1905.04899).

    The share that is kept is drawn from Beta(alpha, alpha), one for each image; what of the
    rectangle lies outside the image is lost, and targets are mixed by the pixels that are there.
    """
    count, height, width, _ = tf.unstack(tf.shape(images))
    weight, other = _mixed(count, alpha, seed)
    size = tf.cast(tf.stack([height, width])[:, None], tf.float32)
    middle = tf.floor(size * tf.random.stateless_uniform((2, count), tf.random.fold_in(seed, 2)))
    half = tf.floor(tf.floor(size * tf.sqrt(1 - weight)) / 2)
    start, stop = (tf.cast(middle + side * half, tf.int32) for side in (-1, 1))
    box = _inside(start, stop, height, width)
    w = 1 - tf.reduce_mean(tf.cast(box, targets.dtype), (1, 2, 3))[:, None]
    images = tf.where(box, tf.gather(images, other), images)
    return images, w * targets + (1 - w) * tf.gather(targets, other)


def _mixed(count: tf.Tensor, alpha: float, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return for each image its weight, from Beta(alpha, alpha), and the number of its partner."""
    if not alpha:  # each alone
        return tf.ones((count,)), tf.range(count)
    seeds = tf.random.split(seed, 2)
    # A Beta variable from two Gamma variables; tiny ones would divide 0 by 0.
    gamma = tf.random.stateless_gamma((2, count), seeds[0], alpha) + 1e-30
    weight = gamma[0] / (gamma[0] + gamma[1])
    return weight, tf.random.experimental.stateless_shuffle(tf.range(count), seeds[1])


def _inside(start: tf.Tensor, stop: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Return which pixels lie in each image's rectangle, `(batch, height, width, 1)`.

    Args:
        start: `(2, batch)` first row and column.
        stop: `(2, batch)` row and column behind the last.
        height: of the images.
        width: of the images.
    """
    rows, columns = tf.range(height), tf.range(width)
    rows = (rows >= start[0][:, None]) & (rows < stop[0][:, None])
    columns = (columns >= start[1][:, None]) & (columns < stop[1][:, None])
    return (rows[:, :, None] & columns[:, None, :])[..., None]


def noise(images: tf.Tensor, targets: tf.Tensor, deviation: float, seed: tf.Tensor) -> Any:
    """Add Gaussian noise; `deviation` is a share of the whole range of grey levels."""
    added = tf.random.stateless_normal(tf.shape(images), seed, stddev=255.0 * deviation)
    noisy = tf.clip_by_value(tf.cast(images, tf.float32) + added, 0, 255)
    return tf.cast(tf.round(noisy), images.dtype), targets


AUGMENTATIONS: dict[str, Augmentation] = {
    "flip": flip,
    "crop": crop,
    "jitter": jitter,
    "randaugment": randaugment,
    "erase": erase,
    "mixup": mixup,
    "cutmix": cutmix,
    "noise": noise,
}
# The highest strengths; the others have none.
LIMITS = {"flip": 1, "jitter": 1, "randaugment": HIGHEST, "erase": 1, "noise": 1}
# What a reconstruction shall undo: these change its input and not its target.
INPUT_ONLY = {"erase", "noise"}


def check(augment: Mapping[str, float], shape: Sequence[int] | None = None) -> None:
    """Refuse augmentations that do not exist, or whose strength makes no sense.

    Args:
        augment: name -> strength.
        shape: `(height, width, channels)` of the images, where it is known.

    Raises:
        InputError: says which one, and what its limits are.
    """
    for name, strength in augment.items():
        if name not in AUGMENTATIONS:
            raise unknown(name, AUGMENTATIONS, "augmentation")
        highest = LIMITS.get(name, math.inf)
        if name == "crop" and shape is not None:
            highest = min(shape[:2]) - 1
        if not 0 <= strength <= highest or not math.isfinite(strength):
            raise InputError(
                f"the strength of the augmentation {name!r} must be from 0 to {highest:g}, not "
                f"{strength}."
            )
        if name == "crop" and strength != int(strength):
            raise InputError(f"the augmentation 'crop' moves by whole pixels, not by {strength}.")
