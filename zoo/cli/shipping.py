"""`zoo export` and `zoo verify`."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli import options, output
from zoo.errors import InputError
from zoo.files import refuse_taken

if TYPE_CHECKING:
    from export import Artifact, Choice
    from export.stablehlo import TrainStep
    from zoo.cards import Card

Tolerance = Annotated[float, typer.Option(help="Largest difference of a float32 artifact.")]
MaxDrop = Annotated[
    float | None,
    typer.Option(help="Points that a quantized artifact may lose; default 1, of BLEU 0.5."),
]


def export(
    model: Annotated[str, typer.Argument(help="A pretrained model, or the path of a run.")],
    out: Annotated[Path, typer.Option(help="Folder of the artifact.")],
    format: Annotated[
        str, typer.Option(help="saved_model, litert, onnx, openvino or stablehlo.")
    ] = "litert",
    quantize: Annotated[
        str,
        typer.Option(
            help="float32 (default); for litert and onnx also float16, dynamic, int8; for litert "
            "int4; for openvino float16, int8. With a budget, several, or by default all to choose "
            "among."
        ),
    ] = "",
    max_bytes: Annotated[
        str, typer.Option(help="Budget: the most bytes, such as 500k, 2M or 512KiB.")
    ] = "",
    max_ms: Annotated[
        float | None, typer.Option(help="Budget: the most milliseconds for one example, here.")
    ] = None,
    data: options.Data = None,
    target: options.Target = None,
    task: options.Task = None,
    drop: options.Drop = None,
    text: options.Text = None,
    part: Annotated[
        str, typer.Option(help="Of an autoencoder: encoder or decoder; default: all of it.")
    ] = "",
    batch: Annotated[int | None, typer.Option(help="A fixed batch; default: any.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Compare with the Keras model.")
    ] = True,
    tolerance: Tolerance = 1e-4,
    max_drop: MaxDrop = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds for the conversion.")] = 600.0,
    max_length: Annotated[
        int, typer.Option(help="Of text: greatest number of tokens of an answer.")
    ] = 64,
    source_length: Annotated[
        int | None, typer.Option(help="Of text: greatest number of tokens read; default: any.")
    ] = None,
    beam: Annotated[int, typer.Option(help="Of text: width of the beam search.")] = 5,
    length_penalty: Annotated[float, typer.Option(help="Of text: of the beam search.")] = 0.6,
    platforms: Annotated[
        str, typer.Option(help="Of stablehlo: what it is lowered for, of cpu, cuda and tpu.")
    ] = "cpu,cuda,tpu",
    weights_beside: Annotated[
        bool, typer.Option("--weights-beside", help="Of stablehlo: weights in a file of their own.")
    ] = False,
    serving: Annotated[
        Path | None,
        typer.Option(
            help="Of saved_model: a folder that gets the next version of the model for TensorFlow "
            "Serving, and for Triton."
        ),
    ] = None,
    train_step: Annotated[
        bool,
        typer.Option("--train-step", help="Of stablehlo: a step of training, too, by its recipe."),
    ] = False,
    json: output.Json = False,
) -> None:
    """Export a model, and hold the artifact against it before it appears."""
    from export.formats import format_of
    from zoo.cards import card

    names = [name.strip() for name in quantize.split(",") if name.strip()]
    for name in names:
        format_of(format, name)
    if serving and format != "saved_model":
        raise InputError("--serving is of --format saved_model.")
    chosen = bool(max_bytes) or max_ms is not None
    if len(names) > 1 and not chosen:
        raise InputError("several quantizations are for a budget: --max-bytes or --max-ms.")
    if serving and chosen:
        raise InputError("--serving takes no budget: leave out --max-bytes and --max-ms.")
    if chosen and not verify:
        raise InputError("a choice within a budget compares: leave out --no-verify.")
    most = _bytes(max_bytes) if max_bytes else None
    refuse_taken(out, overwrite)
    found = card(model)
    output.start_tensorflow()
    import export as exporting

    given: dict[str, Any] = {}
    calibrated = chosen or quantize == "int8"
    if (verify or calibrated) and (data or not keeps_samples(model)):
        given = samples_of(model, found, data, options.data_options(target, task, drop, text=text))
    given |= {
        "part": part,
        "batch": batch,
        "overwrite": overwrite,
        "tolerance": tolerance,
        "timeout": timeout,
        "max_length": max_length,
        "source_length": source_length,
        "beam_width": beam,
        "length_penalty": length_penalty,
        "platforms": [platform.strip() for platform in platforms.split(",")],
        "weights_beside": weights_beside,
        "train_step": _train_step(found) if train_step else None,
    }
    with output.progress.status(f"exporting {model} as {format}"):
        if chosen:
            choice = exporting.export_within(
                model, out, exporting.Budget(most, max_ms, max_drop), format,
                quantizations=names, **given,
            )  # fmt: skip
            _print_choice(choice, json)
            return
        artifact = exporting.export(
            model, out, format, names[0] if names else "float32",
            verify=verify, max_drop=max_drop, **given,
        )  # fmt: skip
        places = _to_repositories(artifact, serving, model, given) if serving else []
    if json:
        served = {"repositories": [str(place) for place in places]} if places else {}
        output.emit({"path": str(artifact.path), "manifest": artifact.manifest, **served})
        return
    for place in places:
        output.out.print(f"{place}: to be served.")
    if artifact.parity:
        _print(f"{artifact.path}", artifact.parity)
    else:
        output.out.print(f"{artifact.path}: written, not compared with the model.")
    if artifact.manifest.hardware:
        output.out.print(f"{artifact.path}: {artifact.manifest.hardware}.")


def _to_repositories(
    artifact: "Artifact", folder: Path, model: str, given: dict[str, Any]
) -> list[Path]:
    """Add a SavedModel, and where ONNX can hold it the like of it, to a folder of repositories."""
    import tempfile

    import export as exporting
    from export.exporting import kept_samples
    from export.formats import FORMATS, missing_packages
    from export.repository import add_to_repository

    manifest = artifact.manifest
    samples = given.get("samples") or kept_samples(model, manifest.task)
    numbers = samples[0] if samples and not manifest.tokenizers else None
    places = [add_to_repository(artifact, folder, numbers)]
    if missing_packages(FORMATS["onnx"]):
        output.progress.print("nothing for Triton: it takes ONNX (install deepzoo[onnx]).")
        return places
    with tempfile.TemporaryDirectory() as scratch:
        own = {key: given[key] for key in ("part", "batch", "samples") if key in given}
        other = exporting.export(
            model, f"{scratch}/onnx", "onnx", verify=samples is not None, **own
        )
        return [*places, add_to_repository(other, folder)]


def _bytes(text: str) -> int:
    """Return the number of bytes that is meant, such as by 500k, 1.5MB or 512KiB."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:([kMG])(i?))?B?\s*", text, re.IGNORECASE)
    if not found:
        raise InputError(f"--max-bytes wants a number such as 500k, 2M or 512KiB, not {text!r}.")
    step = 1024 if found[3] else 1000
    return int(float(found[1]) * step ** " kmg".index((found[2] or " ").lower()))


def _print_choice(choice: "Choice", json: bool) -> None:
    """Print what was chosen, and among what."""
    artifact = choice.artifact
    if json:
        output.emit(
            {
                "path": str(artifact.path),
                "manifest": artifact.manifest,
                "candidates": choice.candidates,
            }
        )
        return
    output.table(
        f"{artifact.path}: {artifact.manifest.quantization}",
        (*output.PARITY, "not chosen because"),
        [
            [
                *(output.parity_row(c.report) if c.report else [c.quantization, *[""] * 5]),
                c.refusal or _beaten(c.quantization, artifact),
            ]
            for c in choice.candidates
        ],
    )


def _beaten(quantization: str, chosen: "Artifact") -> str:
    return "" if quantization == chosen.manifest.quantization else "another answers better"


def _train_step(card: "Card") -> "TrainStep":
    """Return a step by which a model could be trained on: by its recipe's optimizer and rate."""
    import keras

    from export.stablehlo import TrainStep
    from recipes.recipe import OPTIMIZERS, TOKENS
    from zoo.special_tokens import PADDING

    name = card.recipe.get("optimizer", "adam")
    config = {**OPTIMIZERS[name], "learning_rate": card.recipe.get("learning_rate", 1e-3)}
    optimizer = keras.optimizers.get({"class_name": name, "config": config})
    if card.task in TOKENS:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=PADDING)
        return TrainStep(optimizer, loss, "int32")
    if card.task == "classification":
        return TrainStep(optimizer, keras.losses.SparseCategoricalCrossentropy(), "int32")
    return TrainStep(optimizer, keras.losses.MeanSquaredError())


def verify(
    artifact: Annotated[Path, typer.Argument(help="Folder of the artifact.")],
    model: Annotated[
        str | None, typer.Option(help="What it came from; default: what its model.json names.")
    ] = None,
    data: options.Data = None,
    target: options.Target = None,
    task: options.Task = None,
    drop: options.Drop = None,
    text: options.Text = None,
    tolerance: Tolerance = 1e-4,
    max_drop: MaxDrop = None,
    json: output.Json = False,
) -> None:
    """Hold an artifact against the model that it came from."""
    from export import artifact as artifacts
    from zoo.cards import card

    manifest = artifacts.read(artifact)
    source = model or manifest.source
    if not source:
        raise InputError(f"{artifact} does not name the model that it came from (--model).")
    try:
        found = card(source)
    except InputError as error:
        cure = "" if model else " Name the model that the artifact came from (--model)."
        raise InputError(f"{error}{cure}") from None
    if manifest.source_sha256 not in ("", found.weights.sha256):
        output.progress.print(f"{artifact} was exported from other weights than {source} has now.")
    output.start_tensorflow()
    import export as exporting
    from export.exporting import kept_samples

    with output.progress.status(f"comparing {artifact} with {source}"):
        samples = None if data else kept_samples(source, found.task)
        if samples is None:
            given = options.data_options(target, task, drop, text=text)
            samples = samples_of(source, found, data, given)["samples"]
        report = exporting.verify(artifact, source, samples)
    if json:
        output.emit(report)
    else:
        _print(f"{artifact} against {source}", report)
    exporting.check(report, tolerance, max_drop)


def keeps_samples(model: str) -> bool:
    """Return whether a model comes with samples of its own."""
    from zoo.weights import model_folder

    return (model_folder(model) / "samples.npz").is_file()


def samples_of(model: str, card: "Card", data: str | None, given: dict[str, Any]) -> dict[str, Any]:
    """Return test samples and calibration inputs, from the data named or the card's own.

    Those of an agent are observed where it has learned.
    """
    if card.task == "control":
        if data or given:
            raise InputError(f"{card.name!r} is compared on what it observes, not on data.")
        from recipes.control.playing import samples_of as observed
        from recipes.control.policy import greedy
        from zoo.models import load

        kept, calibration = observed(
            greedy(load(model)), card.dataset.source, card.recipe.get("environment_options")
        )
        return {"samples": (kept, None), "calibration": calibration}
    if card.task == "generation":
        if data or given:
            raise InputError(f"{card.name!r} is compared on codes, not on data.")
        from recipes.adversarial.pictures import samples_of as codes_for
        from zoo.models import load

        codes, calibration = codes_for(load(model))
        return {"samples": (codes, None), "calibration": calibration}
    from export.exporting import targets_of
    from recipes.inputs import data_for
    from recipes.run import some

    splits = data_for(model, data, **given)
    options.report_skipped(splits)
    if splits.holds_text != bool(card.tokenizers) or (
        splits.holds_text and splits.task != card.task
    ):
        raise InputError(f"{splits.source!r} is no data for {card.name!r}.")
    if not splits.holds_text and list(splits.shape) != card.input.shape:
        raise InputError(
            f"{card.name!r} takes inputs of shape {tuple(card.input.shape)}; {splits.source!r} "
            f"holds {splits.shape}."
        )
    test = splits.test
    targets: Any = targets_of(test.inputs, test.targets, card.task)
    if card.task == "classification" and list(splits.labels) != card.labels:
        targets = None  # other classes: the answers can be compared, not judged
    return {"samples": (test.inputs, targets), "calibration": some(splits.train, 256).inputs}


def _print(title: str, report: Any) -> None:
    output.table(title, output.PARITY, [output.parity_row(report)])
