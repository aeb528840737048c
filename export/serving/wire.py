"""Arrays between a server and its workers: a length, a header, and the numbers as they lie."""

import math
import struct
from typing import Any

import msgspec
import numpy as np

LENGTH = struct.Struct("<IQ")  # bytes of the header, and of the numbers


class Header(msgspec.Struct):
    """What stands before the numbers.

    Attributes:
        signature: that is asked, or "" of an answer.
        arrays: name, dtype and shape of each array, in the order of their numbers.
        lengths: of the strings of an array of them, by its name.
        error: why there is no answer; "" where there is one.
        facts: whatever else is told.
    """

    signature: str = ""
    arrays: list[tuple[str, str, list[int]]] = []
    lengths: dict[str, list[int]] = {}
    error: str = ""
    facts: dict[str, Any] = {}


_encode, _decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(Header).decode
_STRINGS = "O"


def packed(header: Header, arrays: dict[str, np.ndarray]) -> list[bytes | memoryview]:
    """Return the parts of a message."""
    numbers: list[bytes | memoryview] = []
    for name, value in arrays.items():
        kind = _STRINGS if value.dtype.kind in "OSU" else value.dtype.str
        header.arrays.append((name, kind, list(value.shape)))
        if kind == _STRINGS:
            strings = [x if isinstance(x, bytes) else str(x).encode() for x in value.flat]
            header.lengths[name] = list(map(len, strings))
            numbers += strings
        elif value.size:
            numbers.append(np.ascontiguousarray(value).reshape(-1).view("uint8").data)
    content = _encode(header)
    return [LENGTH.pack(len(content), sum(map(len, numbers))), content, *numbers]


def unpacked(
    header: bytes | bytearray, numbers: bytes | bytearray
) -> tuple[Header, dict[str, np.ndarray]]:
    """Return a message's header and arrays, which share the memory of `numbers`."""
    found, arrays, place = _decode(header), {}, 0
    for name, kind, shape in found.arrays:
        if kind == _STRINGS:
            strings = np.empty(len(found.lengths[name]), object)
            for number, length in enumerate(found.lengths[name]):
                strings[number] = bytes(numbers[place : place + length])
                place += length
            arrays[name] = strings.reshape(shape)
            continue
        count = math.prod(shape)
        arrays[name] = np.frombuffer(numbers, kind, count, place).reshape(shape)
        place += arrays[name].nbytes
    return found, arrays
