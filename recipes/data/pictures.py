"""Pictures to learn to make: a named set's, or those of a folder of whatever kind."""

import inspect
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recipes.data import load_data
from recipes.data.images import has_class_folders, loose_pictures
from recipes.data.named import SOURCES
from recipes.data.splits import Splits
from zoo.errors import InputError
from zoo.registry import unknown

_OPTIONS = [name for name in inspect.signature(load_data).parameters if name != "source"]
_OF_LOOSE = {"strict"}  # options that mean something where there are no classes
_SPLITS = {"train", "test", "validation", "val"}


def load_pictures(
    source: str | os.PathLike[str], shape: Sequence[int] | None = None, **options: Any
) -> Splits:
    """Load pictures to learn to make.

    A folder with one folder for each class has classes. Any other folder is searched in depth, and
    has none. Mixed sizes, grey ones, transparent ones: see `recipes.data.images.read_image`.

    Args:
        source: what `recipes.load_data` takes, or a folder of pictures.
        shape: `(height, width, channels)` that a folder's pictures are brought to; default 64×64×3.
        **options: of `recipes.load_data`.

    Returns:
        `Splits`; without classes all targets are 0, and nothing is in the validation split.

    Raises:
        InputError: there are no pictures, or fewer than two; or a wrong option.
    """
    for name in options:
        if name not in _OPTIONS:
            raise unknown(name, _OPTIONS, "option of the data")
    path = Path(source)
    if path.is_dir() and not (isinstance(source, str) and source in SOURCES):
        inside = {folder.name.lower() for folder in path.iterdir() if folder.is_dir()}
        if len(inside) > 1 and inside <= _SPLITS and not has_class_folders(path / "train"):
            raise InputError(
                f"{path} divides pictures that have no classes: name the folder to learn from, "
                f"such as {path / 'train'}."
            )
        if not has_class_folders(path):
            given = sorted(name for name, value in options.items() if value)
            strange = [name for name in given if name not in _OF_LOOSE]
            if strange:
                raise InputError(
                    f"{path} holds pictures without classes, and takes no {strange[0]}."
                )
            return loose_pictures(path, shape, bool(options.get("strict")))
    data = load_data(source, shape=shape, **options)
    if len(data.shape) != 3:
        raise InputError(f"{str(source)!r} holds no pictures: there is nothing to learn to make.")
    return data
