"""Files that appear whole or not at all, and their hashes."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo.errors import InputError

# How the names begin of what a process leaves that was killed before its folder was anything.
_REMAINS = (".part-", ".config.sha256")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's files in the order of their names, as hex.

    Args:
        path: `Path` of a file or a folder. In a folder, the relative name of each file enters the
            hash with its content, so that a renamed file changes it.
    """
    if path.is_file():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\0{sha256_of(file)}\n".encode())
    return digest.hexdigest()


def md5_of(path: Path) -> str:
    """Return the MD5 of a file, as hex: it finds damage, and proves nothing against forgery."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, moved there when the block ends well, removed if not.

    The temporary name keeps the suffixes of `path`, since Keras and others choose a format by them.

    Raises:
        InputError: the folder of `path` cannot be written.
    """
    suffixes = "".join(path.suffixes)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".part-", suffix=suffixes, dir=path.parent)
    except OSError as error:
        raise InputError(f"{path.parent} cannot be written: {error.strerror}.") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def refuse_taken(path: Path, overwrite: bool = False) -> None:
    """Refuse a place that holds something, before work is begun that would end there.

    Raises:
        InputError: `path` is a file, or a folder that is not empty, and `overwrite` is false.
    """
    if overwrite or not path.exists():
        return
    if not path.is_dir() or not all(p.name.startswith(_REMAINS) for p in path.iterdir()):
        raise InputError(
            f"{path} exists already: name another place, or ask to overwrite it or to resume it."
        )


def refuse_unwritable(folder: Path) -> None:
    """Refuse a folder that takes no file, or that could not be made; none is made.

    Raises:
        InputError: it, or the folder above that there is, cannot be written.
    """
    above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        tempfile.TemporaryFile(dir=above).close()
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}.") from error


@contextmanager
def whole_folder(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary folder beside `path`, moved there when the block ends well, removed if not.

    Args:
        path: where the folder shall stand in the end.
        overwrite: replace a folder that stands there already.

    Raises:
        InputError: `path` exists and `overwrite` is false, or its parent cannot be written.
    """
    path = Path(path)
    refuse_taken(path, overwrite)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError as error:
        raise InputError(f"{path.parent} cannot be written: {error.strerror}.") from error
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        if path.is_dir():
            old = Path(tempfile.mkdtemp(prefix=f".{path.name}-old-", dir=path.parent))
            path.replace(old)
            try:
                temporary.replace(path)
            except OSError:
                old.replace(path)
                raise
            shutil.rmtree(old)
        else:
            temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _umask() -> int:
    """Return the process's umask, which mkstemp and mkdtemp do not follow."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
