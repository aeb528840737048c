"""Export: a model becomes an artifact that was held against it before it stands in its place."""

import importlib.metadata
import math
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import msgspec
import numpy as np

from export import artifact, parity, parts
from export.artifact import Decoding
from export.formats import PLATFORMS, Conversion, Format, check_installed, format_of, resolve
from export.parity import TOLERANCE, Samples
from zoo import cards, weights
from zoo.cards import ParityReport
from zoo.errors import CheckFailed, InputError
from zoo.files import whole_folder
from zoo.models import load, read_tokenizers, write_tokenizers

if TYPE_CHECKING:
    import keras

    from export.servable import Servable
    from export.stablehlo import TrainStep
    from zoo.tokenizer import Tokenizer


@dataclass(frozen=True)
class Artifact:
    """An exported model.

    Attributes:
        path: its folder.
        manifest: what stands in its `model.json`.
    """

    path: Path
    manifest: artifact.Manifest

    def __fspath__(self) -> str:
        """Return the path, so that an artifact goes where a path goes."""
        return str(self.path)

    @property
    def parity(self) -> ParityReport | None:
        """How it compares with its source, or `None` if that was not measured."""
        return self.manifest.parity


def export(
    model: "str | os.PathLike[str] | keras.Model",
    out: str | os.PathLike[str],
    format: str = "litert",
    quantization: str = "float32",
    *,
    samples: Samples | None = None,
    calibration: np.ndarray | dict[str, np.ndarray] | None = None,
    labels: list[str] | None = None,
    task: str | None = None,
    part: str = "",
    batch: int | None = None,
    verify: bool = True,
    tolerance: float = TOLERANCE,
    max_drop: float | None = None,
    overwrite: bool = False,
    timeout: float = 600.0,
    tokenizers: "Mapping[str, Tokenizer] | None" = None,
    max_length: int = 64,
    source_length: int | None = None,
    beam_width: int = 5,
    length_penalty: float = 0.6,
    platforms: Sequence[str] = PLATFORMS,
    weights_beside: bool = False,
    train_step: "TrainStep | None" = None,
) -> Artifact:
    """Export a model, and hold the artifact against it before it appears at `out`.

    A model that reads text has further signatures, by which it is asked for texts, and its
    vocabulary beside it: see `export.text_servable`.

    Args:
        model: name of a pretrained model, path of a run, or a built `keras.Model`.
        out: folder of the artifact. It appears whole, or not at all.
        format: "saved_model", "litert" (default), "onnx", "openvino" or "stablehlo"; the last three
            need extras of the same names.
        quantization: "float32"; for LiteRT and ONNX also "float16", "dynamic" (int8 weights) and
            "int8" (full), for LiteRT "int4" (weights); for OpenVINO "float16" (weights) and "int8".
        samples: inputs and targets (or `None`) to compare on; see `verify`. Default: a run's own.
        calibration: inputs for "int8". Default: a run's own, or the samples' inputs.
        labels: names of the classes. Default: the card's.
        task: of a `keras.Model`; default "classification" if it ends in a softmax.
        part: "encoder" or "decoder" of an autoencoder, by itself; samples and calibration are those
            of the whole. Default: all of the model.
        batch: a fixed number of examples per call; default: any. One text where a recurrent model
            goes to LiteRT.
        verify: compare and judge; `False` leaves it to you.
        tolerance: largest difference of a float32 artifact, relative to outputs above 1.
        max_drop: points of the task's metric that a quantized artifact may lose; see `check`.
        overwrite: replace an artifact that stands at `out`.
        timeout: seconds for the conversion.
        tokenizers: of a `keras.Model` that reads text: name of each input -> its `Tokenizer`.
        max_length: greatest number of tokens of an answer; a language model's prompt counts.
        source_length: greatest number of tokens that are read of a text, the special ones included.
            Default: any; `max_length` where a recurrent model goes to LiteRT.
        beam_width: number of beginnings of the beam search, and of its answers.
        length_penalty: of the beam search: 0 prefers short answers, 1 long ones.
        platforms: of "stablehlo", what the program is lowered for: "cpu", "cuda", "tpu" (all three
            by default). One that is compared is lowered for the CPU, too, on which it is run.
        weights_beside: of "stablehlo", keep the weights in a file beside the program, which takes
            them as its first argument.
        train_step: of "stablehlo", a step of training that is lowered beside it; see
            `export.stablehlo.TrainStep`.

    Returns:
        The `Artifact`; `parity` is its report.

    Raises:
        InputError: the model cannot be exported so; the message says what helps.
        CheckFailed: the artifact does not answer like the model. Nothing is left at `out`.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from export import export
        >>> pictures = np.zeros((4, 28, 28, 1), "uint8")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     artifact = export("lenet5-mnist", f"{folder}/lenet5", samples=(pictures, None))
        ...     artifact.parity.agreement
        1.0
    """
    import keras

    from export.servable import Servable, task_of
    from zoo.folding import bounded, folded
    from zoo.quantization import settled

    row = format_of(format, quantization)
    check_installed(row)
    if format != "stablehlo" and (tuple(platforms) != PLATFORMS or weights_beside or train_step):
        raise InputError("platforms, weights beside and a train step are of the format stablehlo.")
    limits = {
        "batch": 1 if batch is None else batch,
        "timeout": timeout,
        "max_length": max_length,
        "source_length": 1 if source_length is None else source_length,
        "beam_width": beam_width,
    }
    for option, value in limits.items():
        if not value > 0:
            raise InputError(f"{option} must be above 0, not {value}.")
    out = Path(out)
    artifact.refuse_place(out, overwrite)
    card, folder = None, None
    if isinstance(model, keras.Model):
        network = model
    else:
        folder = weights.model_folder(model)
        card = cards.read(folder / cards.FILE)
        network = load(model)
    if format == "litert":
        network = _in_float32(network)
    if tokenizers is None:
        tokenizers = read_tokenizers(folder, card.tokenizers) if folder and card else {}
    task = task or (card.task if card else task_of(network))
    whole = network
    if part:
        network, own_task = parts.part_of(whole, part, task)
    labels = labels if labels is not None else (list(card.labels) if card else [])
    single = isinstance(network.output_shape, tuple)
    if labels and task == "classification" and single and len(labels) != network.output_shape[-1]:
        raise InputError(f"{len(labels)} labels for {network.output_shape[-1]} classes.")
    samples = samples or (kept_samples(folder, task) if folder else None)
    if verify and samples is None:
        raise InputError(
            "there are no samples to compare the artifact on: give some real inputs "
            "(`samples`, --data), or turn the check off (`verify=False`, --no-verify)."
        )
    if quantization == "int8" and calibration is None:
        kept = (kept_samples(folder, task, "calibration") if folder else None) or samples
        calibration = kept[0] if kept else None
    if part == parts.DECODER and calibration is not None:
        calibration = parts.codes_of(whole, calibration)
    if isinstance(calibration, np.ndarray):
        calibration = {network.inputs[0].name: calibration}
    if tokenizers:
        decoding = Decoding(
            max_length=max_length,
            source_length=source_length,
            beam_width=beam_width,
            length_penalty=length_penalty,
        )
        servable = _of_texts(network, task, tokenizers, decoding, row, quantization, labels, batch)
        task = servable.task
    else:
        task = own_task if part else task
        exported = settled(folded(network) if format == "litert" else network)
        if quantization == "int8" and format == "litert":
            exported = bounded(exported)
        servable = Servable(exported, task, labels, row.all_ops, batch)
        if task == "generation" and row.all_ops:
            from export.picture_servable import add_generation

            add_generation(servable)
        elif row.all_ops:
            from export.picture_bytes import add_bytes, takes_pictures

            if takes_pictures(servable):
                add_bytes(servable)
    if format == "stablehlo" and verify and "cpu" not in platforms:
        platforms = (*platforms, "cpu")
    conversion = Conversion(
        quantization, calibration, timeout, tuple(platforms), weights_beside, train_step
    )
    with whole_folder(out, overwrite) as temporary:
        resolve(row.writer)(servable, temporary, conversion)
        files = write_tokenizers(tokenizers, temporary)
        manifest = artifact.Manifest(
            name=card.name if card else whole.name,
            task=task,
            part=part,
            format=format,
            quantization=quantization,
            inputs=servable.inputs,
            outputs=servable.outputs,
            labels=labels,
            preprocessing=servable.reading
            or (card.input.preprocessing if card and part != parts.DECODER else ""),
            features=list(card.input.features) if card else [],
            source="" if isinstance(model, keras.Model) else str(model),
            source_sha256=card.weights.sha256 if card else "",
            tokenizers=files,
            decoding=servable.decoding,
            signatures={k: v for k, v in servable.signatures.items() if k != artifact.SIGNATURE},
            files=artifact.hashes(temporary),
            platforms=list(platforms) if format == "stablehlo" else [],
            hardware=_hardware(platforms, verify) if format == "stablehlo" else "",
            versions={
                name: importlib.metadata.version(name)
                for name in ("tensorflow", "keras", "ai-edge-litert", "deepzoo", *row.packages)
            },
        )
        artifact.write(manifest, temporary)
        if verify and samples is not None:
            report = parity.verify(temporary, whole, samples, timeout)
            try:
                parity.check(report, tolerance, max_drop)
            except CheckFailed as error:
                if quantization == "float32" or not math.isfinite(report.largest_difference):
                    raise
                known = row.of_texts if tokenizers else row.quantizations
                others = ", ".join(repr(x) for x in known if x != quantization)
                cure = f"Try another quantization ({others}), or allow the loss (max_drop)."
                raise CheckFailed(f"{error} {cure}") from None
            manifest = msgspec.structs.replace(manifest, parity=report)
            artifact.write(manifest, temporary)
    return Artifact(out, manifest)


def _of_texts(
    model: "keras.Model",
    task: str,
    tokenizers: "Mapping[str, Tokenizer]",
    decoding: Decoding,
    row: Format,
    quantization: str,
    labels: list[str],
    batch: int | None,
) -> "Servable":
    """Return a model that reads text, as a format can hold it."""
    from export.text_servable import TextServable, is_recurrent, task_of_texts

    recurrent = is_recurrent(model)
    if quantization not in row.of_texts:
        why = (
            "the converter crashes at recurrent layers"
            if recurrent
            else "transformers become slower by it than they are in float32"
        )
        raise InputError(f"{quantization} is not for models that read text: {why}. Take 'dynamic'.")
    fixed = recurrent and not row.loops
    if fixed:
        if batch not in (None, 1):
            raise InputError(f"in {row.name}, recurrent models read one text, not {batch}.")
        length = decoding.source_length or decoding.max_length
        batch, decoding = 1, msgspec.structs.replace(decoding, source_length=length)
    task = task_of_texts(tokenizers, task)
    return TextServable(
        model, task, tokenizers, decoding, labels, row.all_ops, batch, fixed, row.decodes
    )


def _hardware(platforms: Sequence[str], run: bool) -> str:
    """Return in words what a program is lowered for, and where it was run."""
    others = [name for name in platforms if name != "cpu"] or ["cpu"]
    return f"lowered for {', '.join(others)}; {'run on cpu' if run else 'not run'}"


def _in_float32(model: "keras.Model") -> "keras.Model":
    """Return a model of mixed precision in float32, in which alone LiteRT computes."""
    from zoo import surgery

    if all(layer.compute_dtype in {"float32", "uint8"} for layer in model.layers):
        return model
    return surgery.with_precision(model, "float32")


def kept_samples(folder: str | os.PathLike[str], task: str, part: str = "test") -> Samples | None:
    """Return the samples that a run keeps, "test" or "calibration"; `None` where there are none.

    Raises:
        InputError: the file that they are kept in is damaged.
    """
    path = Path(folder) / "samples.npz"
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            inputs, targets = file[f"{part}_inputs"], file[f"{part}_targets"]
            if f"{part}_label" in file.files:  # of a generator that is asked for classes
                return {"code": inputs, "label": file[f"{part}_label"]}, None
    except (OSError, ValueError, KeyError, BadZipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path} is damaged: {error}") from None
    return inputs, targets_of(inputs, targets, task)


def targets_of(inputs: np.ndarray, targets: np.ndarray, task: str) -> np.ndarray | None:
    """Return what the outputs are held against: for a reconstruction, the inputs in 0…1.

    There is nothing for what an agent does, nor for what a generator makes.
    """
    if task in ("control", "generation"):
        return None
    return inputs.astype("float32") / 255 if task == "reconstruction" else targets
