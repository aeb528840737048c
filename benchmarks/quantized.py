"""What a small file costs: float32, int8 after training, int8 trained with, and int4 weights.

    python benchmarks/quantized.py [MODEL ...]

A model is fine-tuned on its own data with rounded numbers (`quantize="int8"`) in
`runs/quantized-MODEL`, by the settings below; it goes on there if it was interrupted. Then each
form becomes a LiteRT file, which is held against the Keras model that it came from on the whole
test split: the share of equal decisions, and the accuracy. All files of a model are timed in turn,
with batches of one.
"""

import csv
import math
import sys
import tempfile
from pathlib import Path

from export import export
from export.benchmarking import time_artifacts
from recipes import Run, data_for, finetune
from recipes.data import Splits

RESULTS = Path(__file__).parent / "results" / "quantized.csv"
RUNS = Path("runs")
# How each model learns with rounded numbers.
SETTINGS = {
    "resnet20-cifar10": {
        "epochs": 2,
        "head_epochs": 0,
        "batch_size": 128,
        "learning_rate": 3e-5,
        "schedule": "cosine",
        "augment": {"crop": 4.0, "flip": 0.5},
    },
    "efficientnet_lite0-flowers": {
        "epochs": 2,
        "head_epochs": 0,
        "batch_size": 32,
        "learning_rate": 3e-5,
        "schedule": "cosine",
    },
}
COLUMNS = ("model", "form", "accuracy", "keras_accuracy", "equal_decisions", "bytes",
           "milliseconds", "training_seconds")  # fmt: skip


def trained(model: str, data: Splits) -> Run:
    """Return the run of a model that learned with rounded numbers."""
    out = RUNS / f"quantized-{model}"
    started = (out / "config.json").is_file()
    if started:
        begun = Run(out).config.recipe
        if any(getattr(begun, field) != value for field, value in SETTINGS[model].items()):
            raise SystemExit(f"{out} began with other settings than these: remove it.")
    return finetune(model, data, out, resume=started, quantize="int8", **SETTINGS[model])


def rows(model: str) -> list[tuple[object, ...]]:
    """Return the rows of a model."""
    data = data_for(model)
    samples = (data.test.inputs, data.test.targets)
    run = trained(model, data)
    calibration = run.samples("calibration").inputs
    forms = {
        "float32": (model, "float32"),
        "int8, after training": (model, "int8"),
        "int8, trained with": (run.path, "int8"),
        "int4 weights": (model, "int4"),
    }
    with tempfile.TemporaryDirectory() as folder:
        made = {
            form: export(
                source, Path(folder) / form, "litert", quantization, samples=samples,
                calibration=calibration, tolerance=math.inf, max_drop=math.inf,
            )
            for form, (source, quantization) in forms.items()
        }  # fmt: skip
        name = next(iter(made.values())).manifest.inputs[0].name
        times = time_artifacts(list(made.values()), {name: data.test.inputs[:1]})
    found = []
    for (form, one), milliseconds in zip(made.items(), times, strict=True):
        report = one.parity
        seconds = run.card.training.seconds if form == "int8, trained with" else ""
        found.append(
            (model, form, report.value, report.reference, report.agreement, report.bytes,
             round(milliseconds, 3), seconds)
        )  # fmt: skip
        print(*found[-1], flush=True)
    return found


def main(models: list[str]) -> None:
    """Measure some models, and put their rows into the table."""
    kept: list[list[object]] = []
    if RESULTS.is_file():
        with RESULTS.open(newline="") as file:
            kept = [row for row in csv.reader(file) if row[0] not in (*models, "model")]
    for model in models:
        kept += map(list, rows(model))
    with RESULTS.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerows(kept)


if __name__ == "__main__":
    main(sys.argv[1:] or list(SETTINGS))
