"""The user's own pictures: one folder per class, any mix of sizes, modes and formats."""

import hashlib
import mimetypes
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from recipes.data.splits import Examples, Splits, divide, mapped
from zoo.errors import InputError
from zoo.pictures import checked, faults_named, fitted, opened
from zoo.registry import natural_key

SHAPE = (64, 64, 3)  # where neither the caller nor a model says another
_IN_MEMORY = 1 << 30  # bytes; a larger set goes to a temporary file that is mapped into memory
_GIVEN = {"train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "test": 2}


def image_folder(
    folder: Path,
    shape: Sequence[int] | None = None,
    strict: bool = False,
    fractions: tuple[float, float] = (0.15, 0.15),
) -> Splits:
    """Load `folder/CLASS/*.jpg`, or `folder/train/CLASS/…` beside `test` and `validation`.

    Args:
        folder: holds one folder for each class; deeper folders are searched too. Files whose
            names say that they are no pictures, such as notes.txt, are passed over.
        shape: `(height, width, channels)` that every picture is brought to; default 64×64×3.
        strict: raise at the first file that cannot be read, in place of leaving it out.
        fractions: shares of validation and test, where they do not have folders of their own.

    Raises:
        InputError: fewer than two classes, a class with too few pictures to divide, or, if
            `strict`, a file that cannot be read.
    """
    shape = checked(SHAPE if shape is None else shape)
    roots = _roots(folder)
    labels = sorted({c.name for root in roots.values() for c in _folders(root)}, key=natural_key)
    if len(labels) < 2:
        found = f"only the class {labels[0]!r}" if labels else "no class folders"
        raise InputError(
            f"{folder} holds {found}: put the pictures of each class into a folder of its own, "
            "and name at least two classes."
        )
    files = [
        (part, number, file)
        for part, root in roots.items()
        for number, label in enumerate(labels)
        for file in sorted(p for p in (root / label).rglob("*") if p.is_file())
        if not any(name.startswith(".") for name in file.relative_to(root / label).parts)
        and may_be_picture(file)
    ]
    inputs, hashes, skipped = _read_all([file for *_, file in files], shape, strict)
    kept = np.flatnonzero(hashes != b"")
    part, targets = (np.array([f[i] for f in files], "int64")[kept] for i in (0, 1))
    inputs, hashes = inputs[: len(kept)], hashes[kept]
    for number, label in enumerate(labels):
        _enough(label, hashes[targets == number], folder, skipped)
    part = _without_copies(part, hashes, [files[i][2] for i in kept], skipped)
    examples = Examples(inputs, targets)
    # Where a part has a folder of its own, nothing is taken from the training pictures for it.
    shares = [0.0 if number in roots else f for number, f in enumerate(fractions, start=1)]
    given = [np.flatnonzero(part == number) for number in range(3)]
    drawn = [given[0][i] for i in divide(hashes[given[0]], targets[given[0]], shares)]
    indices = [drawn[0], *(given[n] if n in roots else drawn[n] for n in (1, 2))]
    for number, label in enumerate(labels):
        if number not in targets[indices[0]]:
            raise InputError(f"the class {label!r} in {folder} has no pictures to learn from.")
    for name, chosen in zip(("train", "validation", "test"), indices, strict=True):
        if not len(chosen):
            raise InputError(f"{folder} leaves no picture for the {name} split.")
    return Splits.of(
        examples,
        indices,
        task="classification",
        labels=tuple(labels),
        source=str(folder),
        preprocessing=_preprocessing(shape),
        skipped=tuple(skipped),
    )


def has_class_folders(folder: Path) -> bool:
    """Return whether a folder's pictures lie in folders of classes, or of splits."""
    if _roots(folder) != {0: folder}:
        return True
    loose = any(path.is_file() and _is_picture(path) for path in folder.iterdir())
    return not loose and len(list(_folders(folder))) > 1


def _is_picture(file: Path) -> bool:
    """Return whether a file's name says that it is a picture."""
    kind = mimetypes.guess_type(file.name)[0] or ""
    return kind.startswith("image/") and not file.name.startswith(".")


def loose_pictures(
    folder: Path,
    shape: Sequence[int] | None = None,
    strict: bool = False,
    validation: float = 0.0,
    test: float = 0.1,
) -> Splits:
    """Load all pictures in a folder and its folders, which belong to no class.

    Args:
        folder: holds the pictures; what stands there twice is taken once.
        shape: `(height, width, channels)` that every picture is brought to; default 64×64×3.
        strict: raise at the first file that cannot be read, in place of leaving it out.
        validation: share of the validation split, by the hash of the content.
        test: the same of the test split.

    Returns:
        `Splits` whose targets are all 0.

    Raises:
        InputError: fewer than two different pictures, or, if `strict`, a file that cannot be read.
    """
    shape = checked(SHAPE if shape is None else shape)
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and may_be_picture(path)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    inputs, hashes, skipped = _read_all(files, shape, strict)
    hashes = hashes[hashes != b""]
    first = np.sort(np.unique(hashes, return_index=True)[1])
    if len(first) < 2:
        raise InputError(
            f"{folder} holds {len(first)} different pictures that can be read: two at least are "
            "needed, and good ones take thousands."
        )
    examples = Examples(inputs[: len(hashes)], np.zeros(len(hashes), "int64")).take(first)
    return Splits.of(
        examples,
        divide(hashes[first], examples.targets, [validation, test]),
        task="generation",
        labels=(),
        source=str(folder),
        preprocessing=_preprocessing(shape),
        skipped=tuple(skipped),
    )


def _preprocessing(shape: Sequence[int]) -> str:
    """Return in words what happens to the user's pictures."""
    return (
        f"pictures turned by their orientation tag, transparency laid on white, the shorter side "
        f"scaled and the middle cut out to {shape[0]}×{shape[1]}, "
        + ("grey" if shape[2] == 1 else "RGB")
    )


def _roots(folder: Path) -> dict[int, Path]:
    """Return the folders of the parts by their numbers; the folder itself where it has none."""
    roots: dict[int, Path] = {}
    for path in sorted(_folders(folder)):
        number = _GIVEN.get(path.name.lower())
        if number is None:
            continue
        if number in roots:
            raise InputError(f"{roots[number]} and {path} are the same split: leave one of them.")
        roots[number] = path
    # Without classes in the training folder, these names are classes themselves.
    return roots if 0 in roots and any(_folders(roots[0])) else {0: folder}


def _read_all(
    files: list[Path], shape: tuple[int, ...], strict: bool
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return the readable pictures without gaps, a hash per file (b"" if none), and complaints."""
    size = (len(files), *shape)
    inputs = mapped(size) if np.prod(size, dtype="int64") > _IN_MEMORY else np.empty(size, "uint8")
    hashes = np.zeros(len(files), "S32")
    skipped: list[str] = []

    def read(file: Path) -> tuple[np.ndarray, bytes] | InputError:
        try:
            with faults_named(file):
                picture = opened(file)
                facts = f"{picture.mode} {picture.size}".encode()  # pixels alone know no width
                content = hashlib.blake2b(facts + picture.tobytes(), digest_size=16).hexdigest()
                return fitted(picture, shape), content.encode()
        except InputError as error:
            return error

    count = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, result in enumerate(pool.map(read, files)):
            if isinstance(result, InputError):
                if strict:
                    raise result
                skipped.append(str(result))
                continue
            inputs[count], hashes[number] = result
            count += 1
    return inputs, hashes, skipped


def _without_copies(
    part: np.ndarray, hashes: np.ndarray, files: list[Path], skipped: list[str]
) -> np.ndarray:
    """Leave out, as part −1, what also stands in a part that is there to measure with."""
    part = part.copy()
    for measuring, others in ((2, (0, 1)), (1, (0,))):
        copies = np.isin(hashes, hashes[part == measuring]) & np.isin(part, others)
        skipped += [f"{files[i]}: the same picture stands in another split" for i in
                    np.flatnonzero(copies)]  # fmt: skip
        part[copies] = -1
    return part


def _enough(label: str, hashes: np.ndarray, folder: Path, skipped: list[str]) -> None:
    different = len(np.unique(hashes))
    if different < 3:
        raise InputError(
            f"the class {label!r} in {folder} has {different} different readable picture(s): "
            "training, validation and test need one each, so give it at least three."
            + (f" Left out: {skipped[0]}" if skipped else "")
        )


def may_be_picture(file: Path) -> bool:
    """Return whether the name does not say that it is something else, such as notes.txt."""
    kind, _ = mimetypes.guess_type(file.name)
    return kind is None or kind.startswith("image/")


def _folders(path: Path) -> list[Path]:
    return [p for p in path.iterdir() if p.is_dir() and not p.name.startswith(".")]
