"""A weight file of made-up bytes, and where the cache keeps it."""

import hashlib
from pathlib import Path

from zoo import weights
from zoo.cards import Weights

# Several blocks of 64 KiB and a rest.
CONTENT = bytes(range(256)) * 1000 + b"the end"
FILE = "model.weights.h5"


def entry(url: str | None, content: bytes = CONTENT) -> Weights:
    """Return the card's entry for a file."""
    sha256 = hashlib.sha256(content).hexdigest()
    return Weights(file=FILE, bytes=len(content), sha256=sha256, url=url)


def place(content: bytes = CONTENT) -> Path:
    """Return where the cache keeps a file."""
    return weights.home() / "weights" / hashlib.sha256(content).hexdigest() / FILE


def entry_of_md5(url: str | None, content: bytes = CONTENT) -> Weights:
    """Return the entry for a file of which an MD5 was published, and no size."""
    return Weights(file=FILE, bytes=0, md5=hashlib.md5(content).hexdigest(), url=url)


def place_of_md5(content: bytes = CONTENT) -> Path:
    """Return where the cache keeps such a file."""
    return weights.home() / "weights" / hashlib.md5(content).hexdigest() / FILE


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def flipped(content: bytes) -> bytes:
    """Return the content with one bit changed."""
    return content[:-1] + bytes([content[-1] ^ 1])


def left() -> list[str]:
    """Return the names of what lies in the cache, apart from lock files."""
    files = (path for path in weights.home().rglob("*") if path.is_file())
    return sorted(path.name for path in files if path.suffix != ".lock")
