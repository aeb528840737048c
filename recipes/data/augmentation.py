"""Augmentation of whole batches: vectorized, and a pure function of its seed.

Each function takes a batch of uint8 images `(batch, height, width, channels)`, their targets, one
strength, and a pair of seeds, and returns images and targets of the same shapes and dtypes.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

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


def mixup(images: tf.Tensor, targets: tf.Tensor, alpha: float, seed: tf.Tensor) -> Any:
    """Blend each image and its target with another of the batch (https://arxiv.org/abs/1710.09412).

    The weight is drawn from Beta(alpha, alpha), one for each image.
    """
    count = tf.shape(images)[0]
    seeds = tf.random.split(seed, 2)
    # A Beta variable from two Gamma variables; tiny ones would divide 0 by 0.
    gamma = tf.random.stateless_gamma((2, count), seeds[0], alpha) + 1e-30
    weight = gamma[0] / (gamma[0] + gamma[1])
    other = tf.random.experimental.stateless_shuffle(tf.range(count), seeds[1])
    w = weight[:, None, None, None]
    blend = w * tf.cast(images, tf.float32) + (1 - w) * tf.cast(
        tf.gather(images, other), tf.float32
    )
    w = weight[:, None]
    return tf.cast(tf.round(blend), images.dtype), w * targets + (1 - w) * tf.gather(targets, other)


def noise(images: tf.Tensor, targets: tf.Tensor, deviation: float, seed: tf.Tensor) -> Any:
    """Add Gaussian noise; `deviation` is a share of the whole range of grey levels."""
    added = tf.random.stateless_normal(tf.shape(images), seed, stddev=255.0 * deviation)
    noisy = tf.clip_by_value(tf.cast(images, tf.float32) + added, 0, 255)
    return tf.cast(tf.round(noisy), images.dtype), targets


AUGMENTATIONS: dict[str, Augmentation] = {
    "flip": flip,
    "crop": crop,
    "mixup": mixup,
    "noise": noise,
}
# Strengths that are shares of something.
SHARES = {"flip", "noise"}


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
        highest = 1.0 if name in SHARES else math.inf
        if name == "crop" and shape is not None:
            highest = min(shape[:2]) - 1
        if not 0 <= strength <= highest or not math.isfinite(strength):
            raise InputError(
                f"the strength of the augmentation {name!r} must be from 0 to {highest:g}, not "
                f"{strength}."
            )
