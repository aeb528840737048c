"""The export formats as one table."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from zoo.registry import unknown


@dataclass(frozen=True, slots=True)
class Format:
    """One export format.

    Attributes:
        name: as in `export(…, format=name)`.
        writer: "module:function"; called with a `Servable`, a folder and the other options.
        reader: "module:function"; called in a fresh process with the artifact's folder and its
            manifest, returns a function from named arrays (and a signature's name) to named arrays.
        quantizations: what it can quantize to.
        of_texts: what it can quantize models that read text to: not to full int8, of which the
            converter crashes at recurrent layers, and which makes transformers slower.
        all_ops: whether it holds all that TensorFlow has: strings, chance, loops of any size.
    """

    name: str
    writer: str
    reader: str
    quantizations: tuple[str, ...]
    of_texts: tuple[str, ...]
    all_ops: bool = False


ROWS = (
    Format(
        name="saved_model",
        writer="export.saved_model:write",
        reader="export.saved_model:read",
        quantizations=("float32",),
        of_texts=("float32",),
        all_ops=True,
    ),
    Format(
        name="litert",
        writer="export.litert:write",
        reader="export.litert:read",
        quantizations=("float32", "float16", "dynamic", "int8"),
        of_texts=("float32", "float16", "dynamic"),
    ),
)

FORMATS = {row.name: row for row in ROWS}


def format_of(name: str, quantization: str = "float32") -> Format:
    """Return the row of a format.

    Raises:
        InputError: there is no such format, or it has no such quantization.
    """
    if name not in FORMATS:
        raise unknown(name, FORMATS, "format")
    row = FORMATS[name]
    if quantization not in row.quantizations:
        raise unknown(quantization, row.quantizations, f"quantization of {name}")
    return row


def resolve(place: str) -> Callable[..., Any]:
    """Import "module:function"."""
    module, function = place.split(":")
    return getattr(importlib.import_module(module), function)
