"""Arrays between a server and its workers: a length, a header, and the numbers as they lie."""

import struct
from typing import Any

import msgspec
import numpy as np

LENGTH = struct.Struct("<II")  # bytes of the header, and of the numbers


class Header(msgspec.Struct):
    """What stands before the numbers.

    Attributes:
        signature: that is asked, or "" of an answer.
        arrays: name, dtype and shape of each array, in the order of their numbers.
        error: why there is no answer; "" where there is one.
        facts: whatever else is told.
    """

    signature: str = ""
    arrays: list[tuple[str, str, list[int]]] = []
    error: str = ""
    facts: dict[str, Any] = {}


_encode, _decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(Header).decode


def packed(header: Header, arrays: dict[str, np.ndarray]) -> list[bytes | memoryview]:
    """Return the parts of a message."""
    contiguous = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    header.arrays = [(name, x.dtype.str, list(x.shape)) for name, x in contiguous.items()]
    content = _encode(header)
    numbers = [x.reshape(-1).view("uint8").data for x in contiguous.values() if x.size]
    return [LENGTH.pack(len(content), sum(map(len, numbers))), content, *numbers]


def unpacked(header: bytes, numbers: bytes) -> tuple[Header, dict[str, np.ndarray]]:
    """Return a message's header and arrays, which share the memory of `numbers`."""
    found, arrays, place = _decode(header), {}, 0
    for name, dtype, shape in found.arrays:
        kind = np.dtype(dtype)
        count = int(np.prod(shape, dtype="int64"))
        arrays[name] = np.frombuffer(numbers, kind, count, place).reshape(shape)
        place += count * kind.itemsize
    return found, arrays
