"""Every form of a model side by side on this machine: bytes, times, and what of the model is left.

Each artifact is held by a process of its own, and they are asked in turn, round after round: a
machine that becomes slower meanwhile is slower for all of them.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from export.artifact import Decoding
from export.exporting import Artifact, export, kept_samples
from export.forkserver import environment
from export.formats import FORMATS, check_installed, format_of, missing_packages
from export.parity import Samples
from export.stablehlo import JAX
from zoo import cards, weights
from zoo.errors import CheckFailed, InputError
from zoo.models import load, load_tokenizers

if TYPE_CHECKING:
    import keras

    from zoo.tokenizer import Tokenizer

BATCHES = (1, 32)
KERAS = "keras"
_PATIENCE = 300.0  # seconds for an answer of a form that is timed


@dataclass(frozen=True)
class Measured:
    """How one form of a model does.

    Attributes:
        format: its format; "keras" for the model itself, by `tf.function`.
        quantization: its quantization.
        bytes: of all its files.
        load_milliseconds: until its first answer.
        median: batch -> median milliseconds of a call.
        p95: batch -> the milliseconds that one call in twenty takes longer than.
        throughput: examples a second, in the largest batches.
        largest_difference: of an output from the model's, relative where it is above 1.
        agreement: share of the answers that are the model's, or R² against them.
        metric: name of the task's figure.
        value: of it, or `None` where there are no targets.
        why_not: why there is no such form, or why it does not count; "" where all is well.
    """

    format: str
    quantization: str
    bytes: int = 0
    load_milliseconds: float = math.nan
    median: dict[int, float] | None = None
    p95: dict[int, float] | None = None
    throughput: float = math.nan
    largest_difference: float = math.nan
    agreement: float = math.nan
    metric: str = ""
    value: float | None = None
    why_not: str = ""


def benchmark(
    model: "str | os.PathLike[str] | keras.Model",
    *,
    formats: Sequence[str] = (),
    samples: Samples | None = None,
    rounds: int = 5,
    seconds: float = 0.2,
    progress: Callable[[str], None] | None = None,
    **options: Any,
) -> list[Measured]:
    """Export a model in every form, and measure them all in turn.

    Args:
        model: as in `export`.
        formats: to measure; default all whose packages are installed.
        samples: as in `export`; the first of them are what is timed. Where a format reads texts of
            a fixed length alone (LiteRT, of recurrent models), no form reads more tokens.
        rounds: how often each is asked, in turn.
        seconds: of each turn and batch.
        progress: called with what is at work.
        **options: further arguments of `export`, such as `calibration`.

    Returns:
        `Measured` of Keras and each form, in the order of the formats.

    Raises:
        InputError: the model, a format or an option is wrong.
        CheckFailed: no form of the model could be written.

    Example:
        >>> import numpy as np
        >>> from export import benchmark
        >>> pictures = np.random.default_rng(0).integers(0, 256, (32, 28, 28, 1), "uint8")
        >>> rows = benchmark("lenet5-mnist", formats=["saved_model"], samples=(pictures, None),
        ...                  rounds=1, seconds=0.01)
        >>> [row.format for row in rows]
        ['keras', 'saved_model']
    """
    import keras

    for name in formats:
        check_installed(format_of(name))
    if not (rounds > 0 and seconds > 0):
        raise InputError("rounds and seconds must be above 0.")
    say = progress or (lambda words: None)
    if isinstance(model, keras.Model):
        network, tokenizers = model, options.get("tokenizers") or {}
    else:
        network, tokenizers = load(model), load_tokenizers(model)
    known = [name for name, row in FORMATS.items() if not missing_packages(row)]
    rows = [FORMATS[name] for name in formats or known]
    forms = [
        (row.name, quantization)
        for row in rows
        for quantization in (row.of_texts if tokenizers else row.quantizations)
    ]
    if tokenizers and not all(row.loops for row in rows):
        options = _same_length(network, options)
    if samples is None and not isinstance(model, keras.Model):
        folder = weights.model_folder(model)
        samples = kept_samples(folder, cards.read(folder / cards.FILE).task)
    if samples is None:
        raise InputError("there are no samples to compare and to time on: give some.")
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        made: dict[tuple[str, str], Artifact | str] = {}
        for form in forms:
            say(f"exporting {' '.join(form)}")
            made[form] = _exported(model, place / "-".join(form), *form, samples, options)
        network.save(place / "model.keras")
        inputs = _timed_on(network, tokenizers, samples, options.get("source_length"))
        np.savez(place / "inputs.npz", allow_pickle=False, **inputs)
        folders = {(KERAS, "float32"): place / "model.keras"}
        folders |= {form: x.path for form, x in made.items() if isinstance(x, Artifact)}
        return _measured(folders, made, place / "inputs.npz", rounds, seconds, say)


def _same_length(network: "keras.Model", options: dict[str, Any]) -> dict[str, Any]:
    """Return options by which all forms read as much of a text as those of a fixed length."""
    from export.text_servable import is_recurrent

    if not is_recurrent(network) or options.get("source_length") is not None:
        return options
    return options | {"source_length": options.get("max_length") or Decoding().max_length}


def _exported(
    model: Any, folder: Path, format: str, quantization: str, samples: Samples, options: Any
) -> Artifact | str:
    """Return an artifact, or why there is none."""
    try:
        return export(
            model, folder, format, quantization, samples=samples,
            **{**options, "tolerance": math.inf, "max_drop": math.inf},
        )  # fmt: skip
    except (InputError, CheckFailed) as error:
        return str(error)


def _timed_on(
    network: "keras.Model",
    tokenizers: "Mapping[str, Tokenizer]",
    samples: Samples,
    source_length: int | None,
) -> dict[str, np.ndarray]:
    """Return a batch of inputs, as often repeated as it takes."""
    given = samples[0]
    if tokenizers:
        from export.text_parity import numbers_of

        given = numbers_of(network, tokenizers, np.asarray(given).tolist(), source_length)
    if not isinstance(given, dict):
        given = {network.inputs[0].name: given}
    count = len(next(iter(given.values())))
    places = np.arange(max(BATCHES)) % count
    return {name: np.asarray(values)[places] for name, values in given.items()}


def time_artifacts(
    artifacts: Sequence[Artifact],
    inputs: dict[str, np.ndarray],
    *,
    rounds: int = 5,
    seconds: float = 0.2,
) -> list[float]:
    """Return the median milliseconds of a call of each artifact, all asked in turn.

    Args:
        artifacts: of one model.
        inputs: of a call, by name; the first axis counts examples.
        rounds: how often each is asked, in turn.
        seconds: of each turn.

    Raises:
        InputError: an artifact cannot be loaded, or fails while it is timed.
    """
    batch = len(next(iter(inputs.values())))
    processes: list[_Process] = []
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "inputs.npz"
        np.savez(file, allow_pickle=False, **inputs)
        try:
            for one in artifacts:  # those that have started are ended, whatever comes
                processes.append(_Process(one.path, file, one.manifest.format))  # noqa: PERF401
            times = _in_turn(processes, (batch,), rounds, seconds, lambda words: None)
            for process in processes:
                if process.failure:
                    raise InputError(process.failure)
        finally:
            for process in processes:
                process.end()
    return [float(np.median(of_batches[batch])) for of_batches in times]


def _in_turn(
    processes: "Sequence[_Process]",
    sizes: Sequence[int],
    rounds: int,
    seconds: float,
    say: Callable[[str], None],
) -> list[dict[int, list[float]]]:
    """Ask processes in turn, and return the milliseconds of each one's calls by batch.

    One that fails says so, and is not asked again.
    """
    times: list[dict[int, list[float]]] = [{size: [] for size in sizes} for _ in processes]
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for size in sizes:
            for process, own in zip(processes, times, strict=True):
                if not process.failure:
                    own[size] += process.ask(size, seconds)
    return times


def _measured(
    folders: dict[tuple[str, str], Path],
    made: dict[tuple[str, str], Artifact | str],
    inputs: Path,
    rounds: int,
    seconds: float,
    say: Callable[[str], None],
) -> list[Measured]:
    """Have each form timed in turn."""
    processes: dict[tuple[str, str], _Process] = {}
    lost: dict[tuple[str, str], str] = {}
    try:
        for form, folder in folders.items():
            say(f"loading {' '.join(form)}")
            try:
                processes[form] = _Process(folder, inputs, form[0])
            except InputError as error:
                lost[form] = str(error)
        turns = _in_turn(list(processes.values()), BATCHES, rounds, seconds, say)
        times = dict(zip(processes, turns, strict=True))
        lost |= {form: x.failure for form, x in processes.items() if x.failure}
    finally:
        for process in processes.values():
            process.end()
    result = []
    for form in [(KERAS, "float32"), *made]:
        found = made.get(form)
        why_not = found if isinstance(found, str) else lost.get(form, "")
        if why_not or isinstance(found, str):
            result.append(Measured(*form, why_not=why_not))
            continue
        parity = found.parity if found else None
        taken = times[form]
        median = {batch: float(np.median(taken[batch])) for batch in BATCHES}
        result.append(
            Measured(
                *form,
                bytes=parity.bytes if parity else folders[form].stat().st_size,
                load_milliseconds=processes[form].load,
                median=median,
                p95={batch: float(np.quantile(taken[batch], 0.95)) for batch in BATCHES},
                throughput=1e3 * max(BATCHES) / median[max(BATCHES)],
                largest_difference=parity.largest_difference if parity else 0.0,
                agreement=parity.agreement if parity else 1.0,
                metric=parity.metric if parity else _any_parity(made).metric,
                value=parity.value if parity else _any_parity(made).reference,
            )
        )
    return result


def _any_parity(made: dict[tuple[str, str], Artifact | str]) -> Any:
    """Return a report on the model that they all came from."""
    for found in made.values():
        if isinstance(found, Artifact) and found.parity:
            return found.parity
    raise CheckFailed(f"no form of this model could be written: {next(iter(made.values()))}")


class _Process:
    """A process that holds one form of a model."""

    def __init__(self, folder: Path, inputs: Path, format: str) -> None:
        self.folder, self.failure = folder, ""
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # `end` closes it
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "export.timing", str(folder), str(inputs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=environment(JAX if format == "stablehlo" else None),
        )
        try:
            self.load: float = self._answer("")["load"]
        except BaseException:  # Ctrl-C, too
            self.end()
            raise

    def ask(self, batch: int, seconds: float) -> list[float]:
        """Return the milliseconds of calls with so many examples; none if it fails."""
        words = json.dumps({"batch": batch, "seconds": seconds})
        try:
            return list(self._answer(f"{words}\n")["milliseconds"])
        except InputError as error:
            self.failure = str(error)
            return []

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def _answer(self, request: str) -> dict[str, Any]:
        asked, answers = self.process.stdin, self.process.stdout
        line = ""
        hanging = threading.Timer(_PATIENCE, self.process.kill)
        hanging.daemon = True
        hanging.start()
        try:
            if asked is not None and answers is not None:  # both are pipes
                with suppress(BrokenPipeError):
                    asked.write(request)
                    asked.flush()
                line = answers.readline()
        finally:
            hanging.cancel()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            why = (self.errors.read().strip().splitlines() or ["it was ended"])[-1]
            raise InputError(f"{self.folder.name} ended while it was being timed: {why}")
        return json.loads(line)
