"""The process that runs an artifact on samples and times it; see `export.parity`."""

import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from export import artifact
from export.batches import in_batches, taken
from export.formats import FORMATS, resolve
from export.subprocesses import Result, serve

BATCH = 64


def answer(request: dict[str, Any], arrays: dict[str, np.ndarray]) -> Result:
    """Run signatures of the artifact in `request["folder"]`, and time one on its first sample.

    Args:
        request: with the folder, and which signature is "timed".
        arrays: "signature/input" -> an input of that signature; see `named`.

    Returns:
        As fact the milliseconds, and the outputs, named in the same way.
    """
    folder = Path(request["folder"])
    manifest = artifact.read(folder)
    call = resolve(FORMATS[manifest.format].reader)(folder, manifest)
    outputs: dict[str, np.ndarray] = {}
    for signature in dict.fromkeys(key.split("/")[0] for key in arrays):
        inputs = of_signature(signature, arrays)
        fixed = manifest.signature(signature).inputs[0].shape[0]
        asked = partial(call, signature=signature)
        found = in_batches(asked, inputs, fixed or BATCH, filled=fixed is not None)
        for name, values in found.items():
            strings = values.dtype == object
            outputs |= named(signature, {name: values.astype("S") if strings else values})
    timed = request["timed"]
    fixed = manifest.signature(timed).inputs[0].shape[0]
    one = taken(of_signature(timed, arrays), np.zeros(fixed or 1, "int64"))
    seconds = median_seconds(lambda: call(one, timed))
    return Result({"milliseconds": seconds * 1e3}, outputs)


def named(signature: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return arrays under the names by which the process gets them, and gives them back."""
    return {f"{signature}/{name}": value for name, value in arrays.items()}


def of_signature(signature: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays of a signature, under their own names."""
    start = f"{signature}/"
    return {k.removeprefix(start): value for k, value in arrays.items() if k.startswith(start)}


def median_seconds(call: Any, budget: float = 1.0) -> float:
    """Return the median time of a call: after a warm-up, over 1,000 calls or `budget` seconds."""
    for _ in range(5):
        call()
    times: list[float] = []
    end = time.perf_counter() + budget
    while len(times) < 1000 and (len(times) < 5 or time.perf_counter() < end):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


if __name__ == "__main__":
    serve(answer)
