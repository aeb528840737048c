"""Pictures of any size and mode, as models take them."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from zoo.errors import InputError

# What is read: of the rest, some are handed to other programs, such as EPS to Ghostscript.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
Source = str | os.PathLike[str] | BinaryIO  # a file, or what is read from one


def read_image(source: Source, shape: Sequence[int]) -> np.ndarray:
    """Read a picture of any size and mode: a JPEG, PNG, GIF, BMP, WebP, TIFF or PPM file.

    Its orientation tag is followed, transparency is laid on white, the shorter side is scaled to
    the wanted size, and what then juts out is cut off on both sides alike.

    Args:
        source: the file, or a stream of its bytes.
        shape: `(height, width, channels)`, the channels 1 (grey) or 3 (RGB).

    Returns:
        uint8 array of `shape`.

    Raises:
        InputError: the file is missing, no picture, or damaged.
    """
    sizes = checked(shape)
    with faults_named(source):
        return fitted(opened(source), sizes)


@contextmanager
def faults_named(source: Source) -> Iterator[None]:
    """Say of whatever goes wrong with a picture in the block, which one it is.

    Raises:
        InputError: the file is missing, no picture, or damaged.
    """
    path = source if isinstance(source, str | os.PathLike) else "what was given"
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"there is no picture at {path}.") from None
    except Image.DecompressionBombError as error:
        raise InputError(f"{path} is too large a picture: {error}") from None
    except UnidentifiedImageError:
        known = ", ".join(FORMATS)
        raise InputError(f"{path} cannot be read as a picture: it is none of {known}.") from None
    except Exception as error:  # damaged files raise many kinds
        why = str(error) or type(error).__name__
        raise InputError(f"{path} cannot be read as a picture: {why}") from None


def opened(source: Source) -> Image.Image:
    """Decode a picture to 8 bits, the right way up: call it within `faults_named`."""
    with Image.open(source, formats=FORMATS) as file:
        if Image.MAX_IMAGE_PIXELS and file.width * file.height > Image.MAX_IMAGE_PIXELS:
            raise Image.DecompressionBombError(f"{file.width}×{file.height}.")
        return eight_bits(ImageOps.exif_transpose(file))


def checked(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape as a tuple, if pictures can have it."""
    sizes = tuple(shape) if isinstance(shape, Sequence) else ()
    if len(sizes) != 3 or not all(isinstance(n, int | np.integer) and n > 0 for n in sizes):
        raise InputError(
            "the shape of pictures is height, width and channels, such as (64, 64, 3), not "
            f"{shape!r}."
        )
    if sizes[2] not in (1, 3):
        raise InputError(f"pictures have 1 or 3 channels; a model with {sizes[2]} cannot read one.")
    return sizes


def fitted(image: Image.Image, shape: Sequence[int]) -> np.ndarray:
    """Bring a picture to a shape: call it within `faults_named`."""
    height, width, channels = shape
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (width, height):
        image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype="uint8").reshape(shape)


def eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit and floating grey pictures to 8 bits, which `convert` would clip."""
    if image.mode.startswith(("I", "F")):
        values = np.nan_to_num(np.asarray(image, "float32"))
        deep = image.mode.startswith("I;16") or values.max(initial=0) > 255
        top = 65535.0 if deep else 255.0 if values.max() > 1 else 1.0
        return Image.fromarray(np.clip(values / top * 255, 0, 255).round().astype("uint8"))
    return image.copy() if image.readonly else image
