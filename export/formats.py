"""The export formats as one table."""

import importlib
import importlib.util
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zoo.errors import InputError
from zoo.registry import unknown

if TYPE_CHECKING:
    import numpy as np

    from export.stablehlo import TrainStep

PLATFORMS = ("cpu", "cuda", "tpu")


@dataclass(frozen=True, slots=True)
class Format:
    """One export format.

    Attributes:
        name: as in `export(…, format=name)`.
        writer: "module:function"; called with a `Servable`, a folder and a `Conversion`.
        reader: "module:function"; called in a fresh process with the artifact's folder and its
            manifest, returns a function from named arrays (and a signature's name) to named arrays.
        quantizations: what it can quantize to.
        of_texts: what it can quantize models that read text to: not to full int8, of which the
            converter crashes at recurrent layers, and which makes transformers slower.
        extra: the extra of this package that it needs; "" for none.
        packages: what that extra installs, by the names that are imported.
        all_ops: whether it holds all that TensorFlow has: strings, chance, loops of any size.
        decodes: whether it holds the ways in which a model writes texts, beside the model.
        loops: whether it holds loops of any length, such as of recurrent layers.
        library: what its reader is slow to import; "" for nothing.
    """

    name: str
    writer: str
    reader: str
    quantizations: tuple[str, ...]
    of_texts: tuple[str, ...]
    extra: str = ""
    packages: tuple[str, ...] = ()
    all_ops: bool = False
    decodes: bool = True
    loops: bool = True
    library: str = ""


ROWS = (
    Format(
        name="saved_model",
        writer="export.saved_model:write",
        reader="export.saved_model:read",
        quantizations=("float32",),
        of_texts=("float32",),
        all_ops=True,
        library="tensorflow",
    ),
    Format(
        name="litert",
        writer="export.litert:write",
        reader="export.litert:read",
        quantizations=("float32", "float16", "dynamic", "int8", "int4"),
        of_texts=("float32", "float16", "dynamic"),
        loops=False,
    ),
    Format(
        name="onnx",
        writer="export.onnx:write",
        reader="export.onnx:read",
        quantizations=("float32", "float16", "dynamic", "int8"),
        of_texts=("float32", "dynamic"),
        extra="onnx",
        packages=("onnx", "onnxruntime", "tf2onnx"),
        decodes=False,
    ),
    Format(
        name="openvino",
        writer="export.openvino:write",
        reader="export.openvino:read",
        quantizations=("float32", "float16", "int8"),
        of_texts=("float32", "float16"),
        extra="openvino",
        packages=("openvino", "nncf"),
        decodes=False,
    ),
    Format(
        name="stablehlo",
        writer="export.stablehlo:write",
        reader="export.stablehlo:read",
        quantizations=("float32",),
        of_texts=("float32",),
        extra="stablehlo",
        packages=("jax",),
        decodes=False,
        library="jax",
    ),
)

FORMATS = {row.name: row for row in ROWS}


@dataclass(frozen=True, slots=True)
class Conversion:
    """How a model is written in a format.

    Attributes:
        quantization: one of the format's.
        calibration: for "int8": real examples by the inputs' names.
        timeout: seconds after which a converter is ended.
        platforms: that a StableHLO program is lowered for.
        weights_beside: whether a StableHLO program takes its weights from a file beside it.
        train_step: a step of training that is lowered beside it, or `None`.
    """

    quantization: str = "float32"
    calibration: "Mapping[str, np.ndarray] | None" = None
    timeout: float = 600.0
    platforms: tuple[str, ...] = PLATFORMS
    weights_beside: bool = False
    train_step: "TrainStep | None" = None

    @property
    def examples(self) -> "dict[str, np.ndarray]":
        """What "int8" calibrates with; nothing for other quantizations."""
        return dict(self.calibration or {}) if self.quantization == "int8" else {}


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


def missing_packages(row: Format) -> list[str]:
    """Return the packages that a format needs, and that are not there."""
    return [name for name in row.packages if importlib.util.find_spec(name) is None]


def check_installed(row: Format) -> None:
    """Refuse a format whose packages are not there.

    Raises:
        InputError: names the extra to install.
    """
    missing = missing_packages(row)
    if missing:
        raise InputError(
            f"the format {row.name} needs {', '.join(missing)}: install deepzoo[{row.extra}]."
        )


def asked_threads() -> int:
    """Return how many threads a reader computes with by ZOO_THREADS; 0 if it says nothing."""
    return int(os.environ.get("ZOO_THREADS") or 0)


def threads() -> int:
    """Return how many threads a reader computes with: as ZOO_THREADS says, or one for each core."""
    if hasattr(os, "sched_getaffinity"):  # a container may have fewer than the machine
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return asked_threads() or cores


def resolve(place: str) -> Callable[..., Any]:
    """Import "module:function"."""
    module, function = place.split(":")
    return getattr(importlib.import_module(module), function)
