"""`zoo quickstart`: the main job, end to end, on data that is already on the machine."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli import output
from zoo.errors import InputError

MODEL, DATA = "lenet5-mnist", "digits"
FORMS = (("saved_model", "float32"), ("litert", "float32"), ("litert", "int8"))


def quickstart(
    out: Annotated[Path, typer.Option(help="Folder for the run and the artifacts.")] = Path(
        "runs/quickstart"
    ),
    json: output.Json = False,
) -> None:
    """Load a model, fine-tune it on handwritten digits, export it, and compare the exports."""
    if out.exists() and not (out / "run" / "config.json").is_file() and any(out.iterdir()):
        raise InputError(f"{out} is not from an earlier quickstart: name another place (--out).")
    say = output.progress.print
    with output.progress.status("starting TensorFlow"):
        output.start_tensorflow()
        import recipes
        from export import export
        from recipes.evaluation import measure
        from zoo.cli.progress import Epochs, interrupts_count
        from zoo.models import load
        from zoo.surgery import with_input_shape

    data = recipes.load_data(DATA)
    say(f"1. load {MODEL}, and {sum(data.sizes.values()):,} handwritten digits of 8×8 pixels")
    source = load(MODEL)
    before = measure(with_input_shape(source, data.shape), data.test, data.task)["accuracy"]
    say(f"   accuracy on {len(data.test)} test digits before: {100 * before:.2f} %")
    if out.exists():
        shutil.rmtree(out)
    say("2. fine-tune it")
    with interrupts_count():
        run = recipes.finetune(
            MODEL, data, out / "run", epochs=12, schedule="cosine", callbacks=[Epochs(15)]
        )
    after = run.metrics["test"]["accuracy"]
    say(f"   accuracy after: {100 * after:.2f} %")
    reports = []
    for number, (format, quantization) in enumerate(FORMS, start=3):
        say(f"{number}. export as {format} {quantization}, and compare with the Keras model")
        artifact = export(run.path, out / f"{format}-{quantization}", format, quantization)
        if artifact.parity:
            reports.append(artifact.parity)
    places = {name: str(out / name) for name in ("run", *(f"{f}-{q}" for f, q in FORMS))}
    if json:
        output.emit({"before": before, "after": after, "parity": reports, "files": places})
        return
    keras_row = (
        "Keras",
        output.size(run.card.weights.bytes),
        "",
        "",
        output.figure("accuracy", after),
        f"{reports[0].reference_milliseconds:.3f}",
    )
    output.table(
        f"{MODEL} fine-tuned on {DATA}, {len(data.test)} test images",
        ("format", "bytes", "largest difference", "agreement", "accuracy", "ms per image"),
        [keras_row, *map(output.parity_row, reports)],
    )
    for name, place in places.items():
        output.out.print(f"{name}: {place}")
