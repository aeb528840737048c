"""An artifact held against the Keras model that it came from, on real samples."""

import os
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from export import artifact, subprocesses
from export.formats import FORMATS
from export.runner import BATCH, median_seconds, named, of_signature
from zoo.cards import ParityReport
from zoo.errors import CheckFailed, InputError

if TYPE_CHECKING:
    import keras

TOLERANCE = 1e-4  # largest difference of a float32 artifact, relative to outputs above 1
MAX_DROP = 1.0  # points of the task's metric that a quantized artifact may lose: hundredths …
MAX_DROP_OF_BLEU = 0.5  # … but for BLEU, which is counted in points
WRITTEN = ("bleu", "cross_entropy")  # metrics of models whose answers are texts

Samples = tuple[np.ndarray | dict[str, np.ndarray], np.ndarray | None]


def verify(
    folder: str | os.PathLike[str],
    model: "str | os.PathLike[str] | keras.Model",
    samples: Samples,
    timeout: float = 600.0,
) -> ParityReport:
    """Run an artifact in a fresh process, and compare it with its Keras model.

    Args:
        folder: the artifact.
        model: name, run or `keras.Model` that it came from, all of it.
        samples: inputs `(examples, …)` (or a dict by input name) and targets: class numbers,
            values, or `None` where there are none. For a model that reads text, inputs are strings
            `(examples,)`; for a language model they are parts of one text. Targets of a
            translation are strings.
        timeout: seconds for the artifact to answer.

    Returns:
        `ParityReport`. Nothing is judged: see `check`.

    Raises:
        InputError: the artifact is damaged, or does not run.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from export import export, verify
        >>> pictures = np.zeros((4, 28, 28, 1), "uint8")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     artifact = export("lenet5-mnist", f"{folder}/lenet5", verify=False)
        ...     report = verify(artifact.path, "lenet5-mnist", (pictures, None))
        >>> report.largest_difference < 1e-5
        True
    """
    import keras

    from zoo.models import load

    folder = Path(folder)
    manifest = artifact.read(folder)
    network = model if isinstance(model, keras.Model) else load(model)
    if manifest.part:
        from export import parts

        samples = parts.samples_of(network, manifest.part, samples)
        network, _ = parts.part_of(network, manifest.part, "reconstruction")
    wanted = [(t.name, t.dtype, tuple(t.shape[1:])) for t in manifest.inputs]
    taken = [(t.name, t.dtype, tuple(t.shape[1:])) for t in network.inputs]
    if not all(
        one[:2] == other[:2] and fits(one[2], other[2])
        for one, other in zip_longest(wanted, taken, fillvalue=("", "", ()))
    ):
        raise InputError(
            f"{folder} takes {wanted}, the model {taken}: it did not come from this model."
        )
    inputs, targets = samples
    if not len(next(iter(inputs.values())) if isinstance(inputs, dict) else inputs):
        raise InputError("there are no samples to compare the artifact on.")
    if manifest.tokenizers:
        from export import text_parity

        if not isinstance(model, keras.Model):
            text_parity.check_tokenizers(folder, manifest, model)
        return text_parity.verify(folder, manifest, network, samples, timeout)
    by_name = inputs if isinstance(inputs, dict) else {manifest.inputs[0].name: inputs}
    return compare(folder, manifest, network, by_name, targets, timeout)


def compare(
    folder: Path,
    manifest: artifact.Manifest,
    network: "keras.Model",
    inputs: dict[str, np.ndarray],
    targets: np.ndarray | None,
    timeout: float,
    further: dict[str, dict[str, np.ndarray]] | None = None,
) -> ParityReport:
    """Compare an artifact's outputs with those of its Keras model.

    Args:
        folder: the artifact.
        manifest: what it says of itself.
        network: the model that it came from.
        inputs: of `serving_default`, by name.
        targets: class numbers or values, or `None`.
        timeout: seconds for the artifact to answer.
        further: other signatures that must give the same outputs -> their inputs.

    Raises:
        InputError: the artifact does not run, or has other outputs.
    """
    from zoo.surgery import rounds

    reference, reference_milliseconds = _reference(network, inputs, manifest)
    arrays = {artifact.SIGNATURE: inputs, **(further or {})}
    answers, milliseconds = run(folder, arrays, artifact.SIGNATURE, timeout)
    outputs = answers[artifact.SIGNATURE]
    value = _comparable(outputs, manifest)
    if value.shape != reference.shape:
        raise InputError(
            f"{folder} answers with {value.shape[1]} values, the model with {reference.shape[1]}: "
            "it did not come from this model."
        )
    # Relative to the largest output where that is above 1: float32 has seven digits, not decimals.
    scale = max(1.0, float(np.abs(reference).max()))
    others = [_comparable(answers[signature], manifest) for signature in further or {}]
    difference = np.stack(
        [np.abs(x.astype("float64") - reference) / scale for x in (value, *others)]
    )
    classes = manifest.task == "classification" and "probabilities" in outputs
    metric, score = _metric(classes)
    if not classes and len(manifest.outputs) > 1:
        targets = None  # nobody said which output they are for
    if manifest.task == "control":
        metric = "action"
        agreement = float((outputs["action"] == reference.argmax(axis=-1)).mean())
    else:
        agreement = float(score(value, reference.argmax(axis=-1) if classes else reference))
    return ParityReport(
        format=manifest.format,
        quantization=manifest.quantization,
        bytes=artifact.size(folder),
        examples=len(reference),
        largest_difference=float(difference.max()),
        mean_difference=float(difference[0].mean()),
        agreement=agreement,
        metric=metric,
        reference=None if targets is None else float(score(reference, targets)),
        value=None if targets is None else float(score(value, targets)),
        milliseconds=milliseconds,
        reference_milliseconds=reference_milliseconds,
        rounds=rounds(network),
        part=manifest.part,
    )


def run(
    folder: Path, inputs: dict[str, dict[str, np.ndarray]], timed: str, timeout: float
) -> tuple[dict[str, dict[str, np.ndarray]], float]:
    """Run signatures of an artifact in a fresh process.

    Args:
        folder: the artifact.
        inputs: signature -> its inputs by name.
        timed: the signature that is timed.
        timeout: seconds for all of it.

    Returns:
        Signature -> outputs by name, and the milliseconds of the first sample alone.

    Raises:
        InputError: it does not run, or takes too long.
    """
    arrays = {k: v for name, values in inputs.items() for k, v in named(name, values).items()}
    request = {"folder": str(folder.resolve()), "timed": timed}
    library = FORMATS[artifact.read(folder).format].library
    result = subprocesses.run("export.runner", request, arrays, timeout, library=library)
    outputs = {name: of_signature(name, result.arrays) for name in inputs}
    return outputs, result.facts["milliseconds"]


def fits(wanted: Sequence[int | None], own: Sequence[int | None]) -> bool:
    """Return whether a shape is a model's own, or fixes what that leaves open."""
    return len(wanted) == len(own) and all(
        side in (None, given) for side, given in zip(own, wanted, strict=True)
    )


def check(
    report: ParityReport,
    tolerance: float = TOLERANCE,
    max_drop: float | None = None,
) -> None:
    """Judge a report.

    Args:
        report: of `verify`.
        tolerance: largest difference of a float32 artifact, which gives the very same texts, unless
            the model itself rounds.
        max_drop: points that a quantized artifact may lose in the task's metric, and, where there
            are no targets or they are values, in agreement with the Keras model. Default: 0.5 for
            BLEU, else 1. A point is a hundredth, but for BLEU.

    Raises:
        CheckFailed: the artifact is not good enough; the message has the figures.
    """
    kind = f"{report.format} {report.quantization}"
    if not np.isfinite(report.largest_difference):
        raise CheckFailed(f"{kind} gives outputs that are infinite or not numbers.")
    if report.quantization == "float32" and not report.rounds:
        if report.largest_difference > tolerance:
            raise CheckFailed(
                f"{kind} differs from the Keras model by {report.largest_difference:.2g}, more "
                f"than {tolerance:.2g}."
            )
        # An infinite tolerance asks for the figures alone.
        if report.metric in WRITTEN and report.agreement < 1 and np.isfinite(tolerance):
            other = round((1 - report.agreement) * report.examples)
            raise CheckFailed(
                f"{kind} gives other texts than the Keras model for {other} of {report.examples} "
                "examples."
            )
        return
    bleu = report.metric == "bleu"
    most = max_drop if max_drop is not None else MAX_DROP_OF_BLEU if bleu else MAX_DROP
    lost = {}
    if report.reference is not None and report.value is not None:
        drop = report.reference - report.value
        lost[report.metric] = {"bleu": drop, "cross_entropy": -100 * drop}.get(
            report.metric, 100 * drop
        )
    if not lost or report.metric == "r2":
        # Values can drift from the model's and be no worse a guess of the targets, by chance.
        lost["agreement with the Keras model"] = 100 * (1 - report.agreement)
    for what, points in lost.items():
        if points > most:
            raise CheckFailed(
                f"{kind} loses {points:.2f} points of {what} on {report.examples} examples, "
                f"more than {most:g}."
            )


def _reference(
    model: "keras.Model", inputs: dict[str, np.ndarray], manifest: artifact.Manifest
) -> tuple[np.ndarray, float]:
    """Return the Keras model's outputs, and the milliseconds of one sample by `tf.function`."""
    import tensorflow as tf

    from export.servable import Servable

    function = Servable(model, manifest.task, manifest.labels).function
    names = [tensor.name for tensor in manifest.inputs]
    arrays = [tf.constant(inputs[name]) for name in names]
    outputs: list[np.ndarray] = []
    for start in range(0, len(arrays[0]), BATCH):
        part = function([array[start : start + BATCH] for array in arrays])
        outputs.append(_comparable({k: v.numpy() for k, v in part.items()}, manifest))
    one = [array[:1] for array in arrays]
    seconds = median_seconds(lambda: {k: v.numpy() for k, v in function(one).items()})
    return np.concatenate(outputs), seconds * 1e3


def _comparable(outputs: dict[str, np.ndarray], manifest: artifact.Manifest) -> np.ndarray:
    """Return the probabilities of a classifier, or all float outputs side by side."""
    if manifest.task == "classification" and "probabilities" in outputs:
        return outputs["probabilities"]
    floats = [outputs[t.name] for t in manifest.outputs if t.dtype == "float32"]
    return np.concatenate([value.reshape(len(value), -1) for value in floats], axis=1)


def _metric(classes: bool) -> tuple[str, Any]:
    def accuracy(outputs: np.ndarray, targets: np.ndarray) -> float:
        return float((outputs.argmax(axis=-1) == targets).mean())

    def r2(outputs: np.ndarray, targets: np.ndarray) -> float:
        targets = targets.reshape(outputs.shape).astype("float64")
        variance = np.square(targets - targets.mean(axis=0)).sum()
        error = np.square(outputs - targets).sum()
        return float(1 - error / variance) if variance else float(error == 0)

    return ("accuracy", accuracy) if classes else ("r2", r2)
