"""Colour operations on whole batches, each image by a factor of its own.

Each takes images `(batch, height, width, channels)` with values 0…255 as float32, most of them a
factor `(batch,)`, and returns float32 of the same shape in 0…255. They follow Pillow's
`ImageEnhance` and `ImageOps`, which the published policies were tuned with.
"""

import tensorflow as tf


def brightness(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Scale the grey levels: 0 is black, 1 changes nothing."""
    return blend(tf.zeros_like(images), images, factor)


def contrast(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Scale the distance from the mean grey of each image."""
    mean = tf.floor(tf.reduce_mean(grey(images), (1, 2, 3), keepdims=True) + 0.5)
    return blend(mean, images, factor)


def saturation(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Scale the distance from the grey image; a grey one stays as it is."""
    return blend(grey(images), images, factor)


def sharpness(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Scale the distance from the smoothed image; the outermost pixels stay as they are."""
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    rows, columns = tf.range(height)[:, None, None], tf.range(width)[:, None]
    inner = (rows > 0) & (rows < height - 1) & (columns > 0) & (columns < width - 1)
    # A 3×3 kernel of ones with 5 in the middle.
    smooth = tf.round((9 * tf.nn.avg_pool2d(images, 3, 1, "SAME") + 4 * images) / 13)
    return blend(tf.where(inner, smooth, images), images, factor)


def posterize(images: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Keep so many of the eight bits of each grey level."""
    step = tf.pow(2.0, 8 - bits)[:, None, None, None]
    return tf.floor(images / step) * step


def solarize(images: tf.Tensor, threshold: tf.Tensor) -> tf.Tensor:
    """Invert the grey levels from the threshold upwards."""
    return tf.where(images >= threshold[:, None, None, None], 255 - images, images)


def autocontrast(images: tf.Tensor) -> tf.Tensor:
    """Stretch each channel of each image over the whole range."""
    lowest = tf.reduce_min(images, (1, 2), keepdims=True)
    reach = tf.reduce_max(images, (1, 2), keepdims=True) - lowest
    return tf.where(reach > 0, (images - lowest) * tf.math.divide_no_nan(255.0, reach), images)


def equalize(images: tf.Tensor) -> tf.Tensor:
    """Give each channel of each image a flat histogram."""
    count, height, width, channels = tf.unstack(tf.shape(images))
    plane = tf.range(count)[:, None, None, None] * channels + tf.range(channels)
    places = 256 * plane + tf.cast(images, tf.int32)  # a bin for each image, channel and level
    size = 256 * count * channels
    histogram = tf.reshape(
        tf.math.bincount(tf.reshape(places, [-1]), minlength=size, maxlength=size), (-1, 256)
    )
    levels = tf.range(256)
    brightest = tf.reduce_max(tf.where(histogram > 0, levels, 0), 1)
    step = (height * width - tf.gather(histogram, brightest, batch_dims=1))[:, None] // 255
    below = tf.cumsum(histogram, axis=1, exclusive=True)
    # Without a step, an image has too few levels to spread.
    table = tf.minimum((below + step // 2) // tf.maximum(step, 1), 255)
    table = tf.where(step > 0, table, levels)
    return tf.cast(tf.gather(tf.reshape(table, [-1]), places), tf.float32)


def grey(images: tf.Tensor) -> tf.Tensor:
    """Return the luminance of coloured images, `(batch, height, width, 1)`."""
    if images.shape[-1] != 3:
        return tf.reduce_mean(images, -1, keepdims=True)
    return tf.round(tf.reduce_sum(images * [0.299, 0.587, 0.114], -1, keepdims=True))


def blend(start: tf.Tensor, images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Go from `start` at factor 0 to the images at 1, and beyond; clipped to 0…255."""
    return tf.clip_by_value(start + factor[:, None, None, None] * (images - start), 0, 255)
