"""What a generator makes, to be looked at: grids, ways between codes, films of a training."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image

from recipes.adversarial.trainer import make
from zoo.errors import InputError
from zoo.files import whole_file
from zoo.generative.parts import classes_of, latent_of

SAMPLES_SEED = 1_000_003  # of the codes that are shown after every epoch
_SAMPLES, _CALIBRATION = 1_000, 256  # codes that exports are compared on, and calibrated with
_GAP = 2  # pixels between the pictures of a grid


def codes_of(generator: keras.Model, count: int, seed: int) -> np.ndarray:
    """Return standard normal codes `(count, latent)`; equal seeds give equal ones.

    Raises:
        InputError: the seed is negative.
    """
    if seed < 0:
        raise InputError(f"a seed must not be negative, but is {seed}.")
    random = np.random.default_rng(seed)
    return random.standard_normal((count, latent_of(generator))).astype("float32")


def labels_of(classes: int, count: int, label: int | None = None) -> np.ndarray | None:
    """Return the classes that are asked for: one, or all in turn; `None` where there are none.

    Raises:
        InputError: there is no such class.
    """
    if label is not None and not 0 <= label < classes:
        known = f"of 0 to {classes - 1}" if classes else "at all: this model takes none"
        raise InputError(f"there is no class {label} {known}.")
    if not classes:
        return None
    return (np.arange(count) % classes if label is None else np.full(count, label)).astype("int32")


def samples_of(generator: keras.Model) -> tuple[Any, Any]:
    """Return codes to compare exports on, and others to calibrate them with.

    Of a conditional generator each is a `dict` of "code" and "label".
    """
    found = []
    for count, seed in ((_SAMPLES, SAMPLES_SEED + 1), (_CALIBRATION, SAMPLES_SEED + 2)):
        codes = codes_of(generator, count, seed)
        labels = labels_of(classes_of(generator), count)
        found.append(codes if labels is None else {"code": codes, "label": labels})
    return found[0], found[1]


def generate(
    generator: keras.Model, count: int, seed: int = 0, label: int | None = None
) -> np.ndarray:
    """Make pictures.

    Args:
        generator: from codes (and labels) to pictures in 0…1.
        count: their number.
        seed: of the codes.
        label: the class, of a conditional generator; default: all of them in turn.

    Returns:
        uint8 `(count, height, width, channels)`.

    Raises:
        InputError: there is no such class, or `count` is not above 0.

    Example:
        >>> import zoo
        >>> from recipes.adversarial.pictures import generate
        >>> generate(zoo.build("dcgan"), 4).shape
        (4, 28, 28, 1)
    """
    if count < 1:
        raise InputError(f"the number of pictures must be above 0, not {count}.")
    labels = labels_of(classes_of(generator), count, label)
    return make(generator, codes_of(generator, count, seed), labels)


def interpolate(
    generator: keras.Model,
    seeds: Sequence[int],
    steps: int = 10,
    label: int | None = None,
) -> np.ndarray:
    """Make pictures on the way from one code to the next, along great circles.

    Codes of a high dimension lie near a sphere; a straight way would leave it
    (https://arxiv.org/abs/1609.04468).

    Args:
        generator: from codes (and labels) to pictures in 0…1.
        seeds: of the codes; two or more.
        steps: pictures from one to the next, both included.
        label: the class, of a conditional generator; default 0.

    Returns:
        uint8 `(ways, steps, height, width, channels)`.

    Raises:
        InputError: fewer than two seeds or steps, or no such class.

    Example:
        >>> import zoo
        >>> from recipes.adversarial.pictures import interpolate
        >>> interpolate(zoo.build("dcgan"), [3, 8, 5], steps=4).shape
        (2, 4, 28, 28, 1)
    """
    if len(seeds) < 2 or steps < 2:
        raise InputError("a way needs two seeds and two steps at least.")
    ends = [codes_of(generator, 1, seed)[0] for seed in seeds]
    shares = np.linspace(0, 1, steps)[:, None]
    ways = []
    for one, other in pairwise(ends):
        cosine = one @ other / (np.linalg.norm(one) * np.linalg.norm(other))
        angle = np.arccos(np.clip(cosine, -1, 1))
        if angle < 1e-6:  # the same direction
            ways.append(one + shares * (other - one))
        else:
            weights = np.sin((1 - shares) * angle), np.sin(shares * angle)
            ways.append((weights[0] * one + weights[1] * other) / np.sin(angle))
    codes = np.concatenate(ways).astype("float32")
    classes = classes_of(generator)
    labels = labels_of(classes, len(codes), 0 if classes and label is None else label)
    made = make(generator, codes, labels)
    return made.reshape(len(ways), steps, *made.shape[1:])


def grid(pictures: np.ndarray, columns: int | None = None) -> Image.Image:
    """Lay pictures out in rows.

    Args:
        pictures: uint8 `(examples, height, width, channels)`.
        columns: pictures of a row; default: as many as there are rows, or one more.
    """
    count, height, width, channels = pictures.shape
    columns = min(count, columns or int(np.ceil(np.sqrt(count))))
    rows = -(-count // columns)
    sheet = np.full(
        (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, channels), 255, "uint8"
    )
    for number, picture in enumerate(pictures):
        top, left = (height + _GAP) * (number // columns), (width + _GAP) * (number % columns)
        sheet[top : top + height, left : left + width] = picture
    return Image.fromarray(sheet[..., 0] if channels == 1 else sheet)


def save_grid(pictures: np.ndarray, path: Path, columns: int | None = None) -> None:
    """Write pictures in rows as one PNG."""
    with whole_file(path) as temporary:
        grid(pictures, columns).save(temporary, format="PNG")


def save_film(grids: Sequence[Path], path: Path, milliseconds: int = 300) -> None:
    """Write grids, one after the other, as one GIF, if there are any; the last stays longest."""
    if not grids:
        return
    frames = []
    for place in grids:
        with Image.open(place) as image:
            frames.append(image.convert("P"))
    durations = [milliseconds] * (len(frames) - 1) + [5 * milliseconds]
    with whole_file(path) as temporary:
        frames[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=frames[1:],
            duration=durations,
            loop=0,
        )


def diversity(pictures: np.ndarray) -> float:
    """Return the mean distance (0…1, root mean square of pixels) of each picture from its nearest.

    Where the same few are made again and again, it comes near 0, however unlike those few are.
    """
    values = pictures.reshape(len(pictures), -1) / 255  # float64: of equal ones it is 0
    squares = (values**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * values @ values.T
    np.fill_diagonal(distances, np.inf)
    return float(np.sqrt(np.maximum(distances.min(axis=1), 0) / values.shape[1]).mean())
