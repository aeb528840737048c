"""What a request says as arrays that a model takes, and answers as a protocol has them."""

import asyncio
import base64
import binascii
import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from export.artifact import SIGNATURE, Signature, Tensor
from export.batches import Arrays
from export.serving.faults import BadRequest, Fault, TooLarge, Unavailable

# Numbers of a TensorProto's types, as in tensorflow/core/framework/types.proto.
TYPES = {
    "float32": 1, "float64": 2, "int32": 3, "uint8": 4, "int16": 5, "int8": 6, "string": 7,
    "int64": 9, "bool": 10, "uint16": 17, "float16": 19, "uint32": 22, "uint64": 23,
}  # fmt: skip
_NAMES = {number: name for name, number in TYPES.items()}
_NUMBERS = {np.dtype(name): number for name, number in TYPES.items() if name != "string"}
_DTYPES = {
    name: np.dtype(name) for name in TYPES if name != "string"
}  # made once: it takes a while
_VALUES = {
    "float32": "float_val", "float64": "double_val", "float16": "half_val", "int8": "int_val",
    "int16": "int_val", "int32": "int_val", "int64": "int64_val", "uint8": "int_val",
    "uint16": "int_val", "uint32": "uint32_val", "uint64": "uint64_val", "bool": "bool_val",
}  # fmt: skip
_LARGE = 1 << 17  # bytes whose reading would keep other requests waiting


async def beside(size: int, function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function makes of so many bytes; of many in a thread, for others wait."""
    if size < _LARGE:
        return function(*arguments)
    return await asyncio.to_thread(function, *arguments)


class Body(msgspec.Struct):
    """The body of `:predict`, by rows ("instances") or by columns ("inputs")."""

    instances: list[Any] | None = None
    inputs: Any = None
    signature_name: str = SIGNATURE


_decode = msgspec.json.Decoder(Body).decode


def body_of(content: bytes) -> Body:
    """Read a body of JSON.

    Raises:
        BadRequest: it is none, or says neither `instances` nor `inputs`.
    """
    try:
        body = _decode(content)
    except RecursionError:
        raise BadRequest("the body is nested too deeply.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body is no JSON that a prediction takes: {error}") from None
    if (body.instances is None) == (body.inputs is None):
        raise BadRequest('the body says "instances" (a list, by examples) or "inputs" (by names).')
    return body


def arrays_of(body: Body, signature: Signature, content: bytes) -> Arrays:
    """Return what a signature takes from a body.

    Args:
        body: the request.
        signature: that it asks.
        content: the body as it came.

    Raises:
        BadRequest: a name, a shape or a value is wrong.
    """
    names = [tensor.name for tensor in signature.inputs]
    if body.instances is not None:
        columns = _columns(body.instances, names)
    elif isinstance(body.inputs, dict) and "b64" not in body.inputs:
        columns = body.inputs
    else:
        columns = {names[0]: body.inputs} if len(names) == 1 else {}
    check_names(columns, names)
    # To look at every value takes a while; strings that are names are no more than these.
    rows = body.instances or []
    named = len(rows) if rows and isinstance(rows[0], dict) else 1
    strings = content.count(b'"') > 6 + 2 * named * len(names)
    mixed = strings or b"true" in content or b"false" in content
    found = {t.name: array_of(columns[t.name], t, mixed) for t in signature.inputs}
    return checked(found, signature)


def _columns(instances: list[Any], names: list[str]) -> dict[str, Any]:
    """Return the values of each input over all instances."""
    if not instances:
        raise BadRequest('"instances" is empty: there is nothing to predict.')
    if isinstance(instances[0], dict) and "b64" not in instances[0]:
        for instance in instances:
            if not isinstance(instance, dict) or instance.keys() != instances[0].keys():
                raise BadRequest("all instances must name the same inputs.")
        return {name: [instance[name] for instance in instances] for name in instances[0]}
    if len(names) > 1:
        raise BadRequest(f"an instance names its inputs here: {', '.join(names)}.")
    return {names[0]: instances}


def check_names(columns: dict[str, Any], names: list[str]) -> None:
    """Refuse inputs of other names.

    Raises:
        BadRequest: one is missing, or too many.
    """
    if columns.keys() != set(names):
        given = ", ".join(map(str, columns)) or "none"
        raise BadRequest(f"the inputs are {', '.join(names)}, and given are {given}.")


def array_of(value: Any, tensor: Tensor, mixed: bool = True) -> np.ndarray:
    """Return a value of JSON as a tensor.

    Args:
        value: the JSON.
        tensor: what it is to be.
        mixed: there may be other things than numbers in it.

    Raises:
        BadRequest: it is ragged, or no numbers of the tensor's type.
    """
    if tensor.dtype == "string":
        return _strings(value, tensor)
    kinds = _kinds(value) if mixed else set()
    if str in kinds:  # NumPy would make all values as wide as the longest
        raise BadRequest(f"{tensor.name} takes numbers of the type {tensor.dtype}.")
    if bool in kinds and tensor.dtype != "bool":  # NumPy would take them for ones and zeros
        raise BadRequest(f"true and false are no values of {tensor.name}.")
    try:
        found = np.asarray(value)
    except ValueError:
        raise BadRequest(f"{tensor.name} is ragged: its rows are of different lengths.") from None
    return typed(found, tensor)


def _kinds(value: Any) -> set[type]:
    """Return the types of all that is somewhere in a value of JSON."""
    kinds, left = {type(value)}, [value]
    while left:
        items = left.pop()
        items = list(items.values()) if isinstance(items, dict) else items
        if isinstance(items, list):
            inside = set(map(type, items))
            kinds |= inside
            if inside & {list, dict}:
                left += [item for item in items if isinstance(item, list | dict)]
    return kinds


def typed(found: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Return numbers in a tensor's type, if nothing is lost.

    Raises:
        BadRequest: they are none, or do not fit the type.
    """
    wanted = np.dtype(tensor.dtype)
    if found.dtype == wanted:
        return found
    if found.dtype.kind not in "biuf" or (wanted.kind == "b") != (found.dtype.kind == "b"):
        raise BadRequest(f"{tensor.name} takes numbers of the type {tensor.dtype}.")
    if wanted.kind in "iu":
        limits = np.iinfo(wanted)
        whole = found.dtype.kind in "iu" or bool((found == np.floor(found)).all())
        # The greatest of 64 bits has no like among floats: the next is one too many.
        above = float(limits.max) + 1 if found.dtype.kind == "f" else int(limits.max) + 1
        if not whole or (found.size and (found.min() < limits.min or found.max() >= above)):
            raise BadRequest(
                f"{tensor.name} takes whole numbers from {limits.min} to {limits.max}."
            )
    with np.errstate(over="ignore"):
        result = found.astype(wanted)
    if wanted.kind == "f" and not np.isfinite(result).all():
        raise BadRequest(f"{tensor.name} holds what is infinite or not a number.")
    return result


def _strings(value: Any, tensor: Tensor) -> np.ndarray:
    def one(item: Any) -> bytes:
        if isinstance(item, str):
            return item.encode()
        if isinstance(item, dict) and item.keys() == {"b64"} and isinstance(item["b64"], str):
            try:
                return base64.b64decode(item["b64"], validate=True)
            except (binascii.Error, ValueError):
                raise BadRequest(f"{tensor.name}: b64 is no base64.") from None
        raise BadRequest(f'{tensor.name} takes strings, or {{"b64": …}} for bytes.')

    values = value if isinstance(value, list) else [value]
    result = np.empty(len(values), object)
    result[:] = [one(item) for item in values]
    return result


def checked(arrays: Arrays, signature: Signature) -> Arrays:
    """Return arrays whose shapes are those of a signature.

    Raises:
        BadRequest: one has another shape, or there are different numbers of examples.
    """
    for tensor in signature.inputs:
        shape = arrays[tensor.name].shape
        check_shape(list(shape), tensor)
    counts = {len(x) for x in arrays.values() if x.ndim}
    if len(counts) > 1 or 0 in counts:
        raise BadRequest("all inputs must hold the same number of examples, one at least.")
    return arrays


def check_shape(shape: list[int], tensor: Tensor) -> None:
    """Refuse a shape that is not a tensor's; a batch may be of any size.

    Raises:
        BadRequest: says what the tensor takes.
    """
    wanted = tensor.shape
    fits = len(shape) == len(wanted) and all(
        side in (None, given) for side, given in zip(wanted[1:], shape[1:], strict=True)
    )
    if not fits:
        known = ["any" if n is None else str(n) for n in [None, *wanted[1:]]] if wanted else []
        raise BadRequest(f"{tensor.name} has the shape {shape}; it takes [{', '.join(known)}].")


def response_of(outputs: Arrays, by_rows: bool) -> bytes:
    """Return the answer to a body, by rows or by columns as it asked."""
    columns = {name: _plain(x) for name, x in outputs.items()}
    if not by_rows:
        only = next(iter(columns.values())) if len(columns) == 1 else columns
        return msgspec.json.encode({"outputs": only})
    if len(columns) == 1:
        return msgspec.json.encode({"predictions": next(iter(columns.values()))})
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return msgspec.json.encode({"predictions": rows})


def _plain(values: np.ndarray) -> list[Any]:
    """Return an array as JSON has it."""
    if values.dtype.kind in "OS":
        words = np.empty(values.size, object)
        words[:] = [_word(x) for x in values.flat]
        return words.reshape(values.shape).tolist()
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise Unavailable(
            "the model's answer is infinite or not a number, which JSON has no word for."
        )
    return values.tolist()


def _word(value: Any) -> Any:
    """Return a string as JSON has it; bytes that are no text as TensorFlow Serving writes them."""
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}


def from_proto(proto: Any, tensor: Tensor, most: int) -> np.ndarray:
    """Return a `TensorProto` as an array.

    Args:
        proto: the message.
        tensor: what it is to be.
        most: bytes of the array: one value of a message may stand for many.

    Raises:
        BadRequest: its type or shape is not the tensor's, or it holds less than its shape says.
        TooLarge: it would have more bytes.
    """
    name = _NAMES.get(proto.dtype, "")
    if name != tensor.dtype:
        raise BadRequest(f"{tensor.name} takes the type {tensor.dtype}, not {name or proto.dtype}.")
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if any(side < 0 for side in shape):
        raise BadRequest(f"{tensor.name} has a shape that is not known: {shape}.")
    check_shape(shape, tensor)
    count = math.prod(shape)
    size = 1 if name == "string" else _DTYPES[name].itemsize
    if count * size > most:
        raise TooLarge(
            f"{tensor.name} would have {count * size:,} bytes; the server takes {most:,}."
        )
    content = b"" if name == "string" else proto.tensor_content  # a copy each time
    if content:
        kind = _DTYPES[name]
        if len(content) != count * kind.itemsize:
            raise BadRequest(f"{tensor.name} holds another number of bytes than {shape} has.")
        return np.frombuffer(content, kind).reshape(shape)
    given = proto.string_val if name == "string" else getattr(proto, _VALUES[name])
    one_for_all = len(given) == 1 and name != "string"
    if len(given) != count and not one_for_all:
        raise BadRequest(f"{tensor.name} holds {len(given)} values, and {shape} has {count}.")
    if name == "string":
        values = np.empty(count, object)
        values[:] = list(given)
    elif name == "float16":  # its bits, as whole numbers
        values = np.array(given, "int64").astype("uint16").view(name)
    else:
        values = typed(np.array(given), tensor)
    return (np.repeat(values, count) if one_for_all else values).reshape(shape)


def to_proto(values: np.ndarray, proto: Any) -> None:
    """Write an array into a `TensorProto`.

    Raises:
        Fault: there is no such type among its types.
    """
    number = TYPES["string"] if values.dtype.kind in "OSU" else _NUMBERS.get(values.dtype)
    if number is None:
        raise Fault(f"an answer of the type {values.dtype} cannot be sent.")
    proto.dtype = number
    for side in values.shape:
        proto.tensor_shape.dim.add().size = side
    if number == TYPES["string"]:
        proto.string_val.extend(x if isinstance(x, bytes) else str(x).encode() for x in values.flat)
    else:
        proto.tensor_content = np.ascontiguousarray(values).tobytes()
