"""RandAugment, for whole batches.

*RandAugment: Practical automated data augmentation with a reduced search space*, Cubuk, Zoph,
Shlens & Le 2019, https://arxiv.org/abs/1909.13719

Each image goes through two operations, drawn for it from the paper's fourteen; all images that drew
the same one go through it together. The magnitude is one for all, on the paper's scale of 0…30, on
which 30 is:

| operation | at 30 |
|---|---|
| rotate | 30 degrees |
| shear_x, shear_y | 0.3 |
| translate_x, translate_y | 150/331 of the image, in whole pixels |
| brightness, contrast, color, sharpness | factor 0.1 or 1.9 |
| posterize | 4 of 8 bits |
| solarize | all grey levels inverted |
| identity, autocontrast, equalize | as at any other |

Which way an operation goes is drawn for each image. What comes in from outside is black. Deviations
from the paper's code: moved pixels are interpolated linearly; `solarize` inverts nothing at 0.
"""

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from recipes.data import enhancements as enhance

Operation = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

HIGHEST = 30
_DRAWN = 2


def randaugment(images: tf.Tensor, targets: tf.Tensor, magnitude: float, seed: tf.Tensor) -> Any:
    """Change each image by two operations drawn for it; the magnitude is on a scale of 0…30."""
    count, operations = tf.shape(images)[0], list(OPERATIONS.values())
    seeds = tf.random.split(seed, 2 * _DRAWN)
    for turn in range(_DRAWN):
        drawn = tf.random.stateless_uniform((count,), seeds[2 * turn], 0, len(operations), tf.int32)
        side = tf.random.stateless_uniform((count,), seeds[2 * turn + 1]) < 0.5
        level = tf.where(side, -1.0, 1.0) * (magnitude / HIGHEST)
        places = tf.dynamic_partition(tf.range(count), drawn, len(operations))
        parts = [
            painted(operation, tf.gather(images, place), tf.gather(level, place))
            for operation, place in zip(operations, places, strict=True)
        ]
        images = tf.ensure_shape(tf.dynamic_stitch(places, parts), images.shape)
    return images, targets


def painted(operation: Operation, images: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    """Apply one operation to uint8 images, each at its level in −1…1."""
    return tf.cast(tf.round(operation(tf.cast(images, tf.float32), level)), images.dtype)


def _identity(images: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    return images


def _autocontrast(images: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    return enhance.autocontrast(images)


def _equalize(images: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    return enhance.equalize(images)


def _posterize(images: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    return enhance.posterize(images, 8 - tf.round(4 * tf.abs(level)))


def _solarize(images: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    return enhance.solarize(images, 256 * (1 - tf.abs(level)))


def _enhanced(function: Operation) -> Operation:
    return lambda images, level: function(images, 1 + 0.9 * level)


def _rotate(images: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    cosine, sine = tf.cos(level * math.pi / 6), tf.sin(level * math.pi / 6)
    x, y = _center(images)
    return _moved(
        images,
        (cosine, -sine, x - cosine * x + sine * y),
        (sine, cosine, y - sine * x - cosine * y),
    )


def _shear_x(images: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    return _moved(images, (1.0, 0.3 * level, -0.3 * level * _center(images)[1]), (0.0, 1.0, 0.0))


def _shear_y(images: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    return _moved(images, (1.0, 0.0, 0.0), (0.3 * level, 1.0, -0.3 * level * _center(images)[0]))


def _translate_x(images: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    return _moved(images, (1.0, 0.0, _way(images, level, 2)), (0.0, 1.0, 0.0))


def _translate_y(images: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    return _moved(images, (1.0, 0.0, 0.0), (0.0, 1.0, _way(images, level, 1)))


def _way(images: tf.Tensor, level: tf.Tensor, axis: int) -> tf.Tensor:
    """Return the pixels by which each image is moved."""
    return tf.round(150 / 331 * level * tf.cast(tf.shape(images)[axis], tf.float32))


def _center(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return x and y of the middle of the images."""
    size = tf.cast(tf.shape(images)[1:3] - 1, tf.float32) / 2
    return size[1], size[0]


def _moved(
    images: tf.Tensor, x: tuple[tf.Tensor | float, ...], y: tuple[tf.Tensor | float, ...]
) -> tf.Tensor:
    """Fetch each pixel from elsewhere in its image: from x₀·column + x₁·row + x₂, and y alike."""
    count = tf.shape(images)[0]
    rows = [tf.broadcast_to(value, (count,)) for value in (*x, *y, 0.0, 0.0)]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack(rows, 1),
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


OPERATIONS: dict[str, Operation] = {
    "identity": _identity,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "rotate": _rotate,
    "solarize": _solarize,
    "color": _enhanced(enhance.saturation),
    "posterize": _posterize,
    "contrast": _enhanced(enhance.contrast),
    "brightness": _enhanced(enhance.brightness),
    "sharpness": _enhanced(enhance.sharpness),
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
}
