"""Augmentation that gradients pass through, of the pictures that a critic sees.

*Differentiable Augmentation for Data-Efficient GAN Training*, Zhao et al. 2020,
https://arxiv.org/abs/2006.10738, section 3.2

Deviation: what comes in from beyond the picture is black; there it is the grey between -1 and 1.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

_SHIFT = 1 / 8  # of a side
_HOLE = 1 / 2


def augmented(pictures: tf.Tensor, names: Sequence[str], seed: tf.Tensor) -> tf.Tensor:
    """Return pictures, each changed in its own way.

    Args:
        pictures: float32 in 0…1 `(batch, height, width, channels)`.
        names: of `AUGMENTATIONS`, in order.
        seed: int `(2,)`; equal seeds change alike.

    Example:
        >>> import tensorflow as tf
        >>> from recipes.adversarial.augmentation import augmented
        >>> augmented(tf.ones((2, 8, 8, 1)), ["cutout"], tf.constant([0, 1])).shape
        TensorShape([2, 8, 8, 1])
    """
    for number, name in enumerate(names):
        pictures = AUGMENTATIONS[name](pictures, seed + tf.constant([number, 0], seed.dtype))
    return pictures


def _translation(pictures: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Move each picture by up to an eighth of its sides; what comes in is black."""
    count, height, width = tf.shape(pictures)[0], pictures.shape[1], pictures.shape[2]
    reach = (round(height * _SHIFT), round(width * _SHIFT))
    moves = [
        tf.random.stateless_uniform(
            (count, 1), seed + tf.constant([0, n], seed.dtype), -r, r + 1, dtype=tf.int32
        )
        for n, r in enumerate(reach)
    ]
    rows = tf.range(height)[None] + moves[0] + reach[0]  # of the padded picture
    columns = tf.range(width)[None] + moves[1] + reach[1]
    padded = tf.pad(pictures, [[0, 0], [reach[0]] * 2, [reach[1]] * 2, [0, 0]])
    taken = tf.gather(padded, rows, axis=1, batch_dims=1)
    return tf.gather(taken, columns, axis=2, batch_dims=1)


def _cutout(pictures: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Blacken a square of half the sides, which may reach over the edge."""
    count, height, width = tf.shape(pictures)[0], pictures.shape[1], pictures.shape[2]
    inside = []
    for number, side in enumerate((height, width)):
        middle = tf.random.stateless_uniform(
            (count, 1), seed + tf.constant([0, number], seed.dtype), 0, side, tf.int32
        )
        distance, reach = tf.range(side)[None] - middle, round(side * _HOLE / 2)
        inside.append(tf.logical_and(distance >= -reach, distance < reach))
    hole = tf.logical_and(inside[0][:, :, None], inside[1][:, None, :])
    return pictures * tf.cast(tf.logical_not(hole), pictures.dtype)[..., None]


def _color(pictures: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Change brightness, saturation (of colours) and contrast."""
    count = tf.shape(pictures)[0]
    draws = tf.random.stateless_uniform((3, count, 1, 1, 1), seed)
    pictures = pictures + (draws[0] - 0.5) / 2  # half as far as in -1…1
    if pictures.shape[-1] > 1:
        grey = tf.reduce_mean(pictures, axis=-1, keepdims=True)
        pictures = grey + (pictures - grey) * 2 * draws[1]
    mean = tf.reduce_mean(pictures, axis=(1, 2, 3), keepdims=True)
    return mean + (pictures - mean) * (0.5 + draws[2])


AUGMENTATIONS: dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "translation": _translation,
    "cutout": _cutout,
    "color": _color,
}
