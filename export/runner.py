"""The process that runs an artifact on samples and times it; see `export.parity`."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from export import artifact
from export.formats import FORMATS, resolve
from export.subprocesses import Result, serve

BATCH = 64


def answer(request: dict[str, Any], inputs: dict[str, np.ndarray]) -> Result:
    """Run the artifact in `request["folder"]`, and time it on the first sample alone."""
    folder = Path(request["folder"])
    manifest = artifact.read(folder)
    call = resolve(FORMATS[manifest.format].reader)(folder, manifest)
    fixed = manifest.inputs[0].shape[0]
    parts = [
        call(_padded(part, fixed))
        for part in _parts(inputs, fixed or BATCH)
    ]  # fmt: skip
    count = len(next(iter(inputs.values())))
    outputs = {name: np.concatenate([part[name] for part in parts])[:count] for name in parts[0]}
    one = _padded({name: value[:1] for name, value in inputs.items()}, fixed)
    seconds = median_seconds(lambda: call(one))
    strings = {name: value.astype("S") for name, value in outputs.items() if value.dtype == object}
    return Result({"milliseconds": seconds * 1e3}, outputs | strings)


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


def _parts(inputs: dict[str, np.ndarray], size: int) -> Any:
    for start in range(0, len(next(iter(inputs.values()))), size):
        yield {name: value[start : start + size] for name, value in inputs.items()}


def _padded(inputs: dict[str, np.ndarray], size: int | None) -> dict[str, np.ndarray]:
    """Repeat the last example up to a fixed batch."""
    if size is None:
        return inputs
    return {n: v[np.minimum(np.arange(size), len(v) - 1)] for n, v in inputs.items()}


if __name__ == "__main__":
    serve(answer)
