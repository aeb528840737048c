"""Signatures that a server adds to an artifact: pictures as files, and texts as they are written.

| signature | takes | asks |
|---|---|---|
| `serve_bytes` | `image_bytes`, JPEG, PNG and so on | `serving_default` |
| `texts` | `texts` | `serving_default` of a classifier |
| `translate` | `source` | `greedy` |
"""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from export.artifact import SIGNATURE, Manifest, Signature, Tensor
from export.batches import Arrays
from export.serving.faults import BadRequest, TooLarge

if TYPE_CHECKING:
    from zoo.tokenizer import Tokenizer


_MOST_READ = 256 << 20  # bytes of a request's pictures or texts, when they are read


@dataclass(frozen=True)
class Way:
    """A signature of the server's own.

    Attributes:
        signature: what it takes and gives.
        asks: the artifact's signature behind it.
        read: what was given -> what that takes.
        write: what that gave -> what is given back, if that is not the same.
    """

    signature: Signature
    asks: str
    read: Callable[[Arrays], Arrays]
    write: Callable[[Arrays], Arrays] | None = None


def further_signatures(folder: Path, manifest: Manifest) -> dict[str, Way]:
    """Return the signatures that a server adds."""
    inputs = manifest.inputs
    if manifest.tokenizers:
        return _of_texts(folder, manifest)
    picture = (
        len(inputs) == 1
        and inputs[0].dtype == "uint8"
        and len(inputs[0].shape) == 4
        and inputs[0].shape[3] in (1, 3)
    )
    if not picture or None in inputs[0].shape[1:] or "serve_bytes" in manifest.signatures:
        return {}
    [tensor] = inputs
    given = Tensor(name="image_bytes", shape=[None], dtype="string")
    signature = Signature(inputs=[given], outputs=manifest.outputs)
    return {"serve_bytes": Way(signature, SIGNATURE, _pictures(tensor))}


def _check_size(size: int) -> None:
    """Refuse what would be many bytes when it is read: a picture of one colour is a small file."""
    if size > _MOST_READ:
        raise TooLarge(f"these would be {size:,} bytes when read, more than {_MOST_READ:,}.")


def _pictures(tensor: Tensor) -> Callable[[Arrays], Arrays]:
    from zoo.errors import InputError
    from zoo.pictures import read_image

    shape = [side or 0 for side in tensor.shape[1:]]

    def read(arrays: Arrays) -> Arrays:
        _check_size(len(arrays["image_bytes"]) * math.prod(shape))
        try:
            found = [read_image(io.BytesIO(content), shape) for content in arrays["image_bytes"]]
        except InputError as error:
            raise BadRequest(str(error)) from None
        return {tensor.name: np.stack(found)}

    return read


def _of_texts(folder: Path, manifest: Manifest) -> dict[str, Way]:
    from zoo.models import read_tokenizers

    tokenizers = read_tokenizers(folder, manifest.tokenizers)
    strings = lambda name: Tensor(name=name, shape=[None], dtype="string")  # noqa: E731
    if manifest.task == "classification" and "texts" not in manifest.signatures:
        signature = Signature(inputs=[strings("texts")], outputs=manifest.outputs)
        read = _numbers(tokenizers["ids"], "texts", "ids", manifest.inputs[0])
        return {"texts": Way(signature, SIGNATURE, read)}
    if manifest.task == "translation" and "greedy" in manifest.signatures:
        own = manifest.signature("greedy")
        if own.inputs[0].dtype == "string":
            return {}
        signature = Signature(inputs=[strings("source")], outputs=[strings("text")])
        read = _numbers(tokenizers["source"], "source", "source", own.inputs[0])
        target = tokenizers["target"]

        def write(arrays: Arrays) -> Arrays:
            return {"text": np.array(target.decode(arrays["answers"]), object)}

        return {"translate": Way(signature, "greedy", read, write)}
    return {}


def _numbers(
    tokenizer: "Tokenizer", given: str, name: str, tensor: Tensor
) -> Callable[[Arrays], Arrays]:
    from zoo.texts import read as numbers

    length = tensor.shape[1]

    def read(arrays: Arrays) -> Arrays:
        try:
            texts = [content.decode() for content in arrays[given]]
        except UnicodeDecodeError:
            raise BadRequest(f"{given} must be UTF-8.") from None
        # No token is shorter than a character; rows are as long as the longest.
        _check_size(4 * len(texts) * (length or max(map(len, texts), default=0)))
        return {name: numbers(tokenizer, texts, name, length, length)}

    return read
