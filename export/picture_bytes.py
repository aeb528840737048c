"""Pictures as their files have them, read in the graph: a server need not decode them before."""

from typing import Any

import tensorflow as tf

from export.servable import Servable

SIGNATURE_OF_BYTES = "serve_bytes"
# Parts of 65,536 that red, green and blue have in a grey level (ITU-R BT.601), as in Pillow.
_GREY = (19595, 38470, 7471)


def takes_pictures(servable: Servable) -> bool:
    """Return whether a model reads one picture of a known size, in uint8."""
    shapes = [(tensor.shape, tensor.dtype) for tensor in servable.inputs]
    return (
        len(shapes) == 1
        and len(shapes[0][0]) == 4
        and None not in shapes[0][0][1:]
        and shapes[0][0][3] in (1, 3)
        and shapes[0][1] == "uint8"
    )


def add_bytes(servable: Servable) -> None:
    """Add a signature that takes encoded JPEG, PNG, GIF or BMP files of any size.

    They are read as `recipes.data.images.read_image` does, but for rounding and for orientation
    tags, which TensorFlow does not know: transparency is laid on white, the shorter side is scaled
    to the model's, and what then juts out is cut off on both sides alike.

    Args:
        servable: for which `takes_pictures` holds.
    """
    [tensor] = servable.inputs
    batch = tensor.shape[0]
    height, width, channels = (n or 0 for n in tensor.shape[1:])

    def serve(given: list[Any]) -> dict[str, Any]:
        pictures = tf.map_fn(
            lambda content: _read(content, height, width, channels),
            given[0],
            fn_output_signature=tf.TensorSpec((height, width, channels), tf.uint8),
            parallel_iterations=8,
        )
        return servable.inference([tf.ensure_shape(pictures, (batch, height, width, channels))])

    contents = tf.TensorSpec((batch,), tf.string, name="image_bytes")
    servable.add(SIGNATURE_OF_BYTES, serve, [contents])


def _read(content: tf.Tensor, height: int, width: int, channels: int) -> tf.Tensor:
    """Return a picture `(height, width, channels)` in uint8."""
    pixels = tf.cond(tf.io.is_jpeg(content), lambda: _jpeg(content), lambda: _others(content))
    pixels.set_shape((None, None, None))
    pixels = _opaque(pixels)
    pixels = _grey(pixels) if channels == 1 else _coloured(pixels)
    return _fitted(pixels, height, width)


def _jpeg(content: tf.Tensor) -> tf.Tensor:
    # As libjpeg decodes by itself, and so Pillow does: TensorFlow's usual way is off by a level.
    return tf.io.decode_jpeg(content, dct_method="INTEGER_ACCURATE")


def _others(content: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_image(content, expand_animations=False)


def _opaque(pixels: tf.Tensor) -> tf.Tensor:
    """Lay what has an alpha channel, the last of two or four, on white."""
    depth = tf.shape(pixels)[2]
    exact = tf.cast(pixels, tf.float32)
    alpha = exact[..., -1:] / 255
    laid = exact[..., :-1] * alpha + 255 * (1 - alpha)
    has_alpha = tf.equal(depth % 2, 0)
    return tf.cond(has_alpha, lambda: tf.cast(tf.round(laid), tf.uint8), lambda: pixels)


def _grey(pixels: tf.Tensor) -> tf.Tensor:
    def of_colours() -> tf.Tensor:
        parts = tf.reduce_sum(tf.cast(pixels[..., :3], tf.int32) * _GREY, axis=-1, keepdims=True)
        return tf.cast((parts + 0x8000) // 0x10000, tf.uint8)

    return tf.cond(tf.equal(tf.shape(pixels)[2], 1), lambda: pixels, of_colours)


def _coloured(pixels: tf.Tensor) -> tf.Tensor:
    return tf.cond(
        tf.equal(tf.shape(pixels)[2], 1), lambda: tf.repeat(pixels, 3, axis=2), lambda: pixels
    )


def _fitted(pixels: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Scale a picture so that it covers the size, and cut off what juts out, in one pass."""
    size = tf.cast(tf.shape(pixels)[:2], tf.float32)
    wanted = tf.constant([height, width], tf.float32)
    scale = tf.reduce_max(wanted / size)
    found = tf.raw_ops.ScaleAndTranslate(
        images=tf.cast(pixels, tf.float32)[None],
        size=(height, width),
        scale=tf.stack([scale, scale]),
        translation=(wanted - size * scale) / 2,
        kernel_type="triangle",
        antialias=True,
    )[0]
    return tf.cast(tf.clip_by_value(tf.round(found), 0, 255), tf.uint8)
