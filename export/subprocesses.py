"""Work that runs in a fresh process: it may crash or hang, and sees nothing but its files."""

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from export import forkserver
from zoo.errors import InputError

_REQUEST, _ARRAYS_IN = "request.json", "inputs.npz"
_RESULT, _ARRAYS_OUT = "result.json", "outputs.npz"
_ERRORS = "errors.txt"


@dataclass
class Result:
    """What a process gave back: JSON facts and named arrays."""

    facts: dict[str, Any]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


def run(
    module: str,
    request: dict[str, Any],
    arrays: dict[str, np.ndarray] | None = None,
    timeout: float = 600.0,
    crash: str = "",
    environment: Mapping[str, str] | None = None,
    library: str = "",
) -> Result:
    """Run a module of this package in a fresh process.

    Args:
        module: it calls `serve` with its work.
        request: facts for it.
        arrays: arrays for it.
        timeout: seconds after which it is killed.
        crash: what to say when a signal ended it.
        environment: variables that it gets beside those of this process.
        library: what it spends its first seconds importing; see `export.forkserver`.

    Raises:
        InputError: it crashed, took too long, or failed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / _REQUEST).write_text(json.dumps(request))
        np.savez(folder / _ARRAYS_IN, allow_pickle=False, **(arrays or {}))
        errors = folder / _ERRORS
        errors.touch()
        try:
            status = _finished([module, str(folder)], errors, environment, timeout, library)
        except subprocess.TimeoutExpired:
            raise InputError(f"{module} took more than {timeout:g} s and was ended.") from None
        if status < 0:
            name = signal.Signals(-status).name
            raise InputError(f"{crash or f'{module} crashed.'} ({name})")
        if status:
            said = errors.read_text(errors="replace").splitlines()
            lines = [line for line in said if line.strip()]
            raise InputError(f"{module} failed: {lines[-1] if lines else status}")
        with np.load(folder / _ARRAYS_OUT, allow_pickle=False) as file:
            return Result(json.loads((folder / _RESULT).read_text()), dict(file))


def _finished(
    command: list[str],
    errors: Path,
    own: Mapping[str, str] | None,
    timeout: float,
    library: str,
) -> int:
    """Run a module in a process of its own to its end, and return its exit status."""
    variables = forkserver.environment(own)
    if library:
        status = forkserver.run(command, str(errors), variables, timeout, library)
        if status is not None:
            return status
    with errors.open("wb") as said:
        # -P: a file of the user's working folder must not stand in for a module.
        return subprocess.run(
            [sys.executable, "-P", "-m", *command],
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            timeout=timeout,
        ).returncode


def serve(work: Callable[[dict[str, Any], dict[str, np.ndarray]], Result]) -> None:
    """Do `work` on what `run` sent; the last argument of the command line is the folder."""
    folder = Path(sys.argv[-1])
    with np.load(folder / _ARRAYS_IN, allow_pickle=False) as file:
        arrays = dict(file)
    result = work(json.loads((folder / _REQUEST).read_text()), arrays)
    np.savez(folder / _ARRAYS_OUT, allow_pickle=False, **result.arrays)
    (folder / _RESULT).write_text(json.dumps(result.facts))


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or its kind if it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def calibration_parts(
    arrays: Mapping[str, np.ndarray], batch: int | None, together: int = 1
) -> Iterator[dict[str, np.ndarray]]:
    """Divide the examples that a converter takes ranges of.

    What does not fill a last part is left out; too few for a fixed batch are repeated.

    Args:
        arrays: examples, by the inputs' names.
        batch: how many the model takes; `None` for any number.
        together: how many a part has at most where it takes any.
    """
    count = len(next(iter(arrays.values())))
    size = batch or min(together, count)
    for start in range(0, max(1, count - size + 1), size):
        places = np.arange(start, start + size) % count
        yield {name: values[places] for name, values in arrays.items()}
