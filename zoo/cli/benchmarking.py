"""`zoo benchmark`: every form of a model side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli import options, output, shipping
from zoo.errors import InputError
from zoo.files import refuse_taken, whole_file
from zoo.weights import model_folder

if TYPE_CHECKING:
    from export import Measured
    from export.parity import Samples


def benchmark(
    model: Annotated[str, typer.Argument(help="A pretrained model, or the path of a run.")],
    formats: Annotated[
        str, typer.Option(help="Such as litert,onnx; default all whose packages are installed.")
    ] = "",
    rounds: Annotated[int, typer.Option(help="How often each form is asked, in turn.")] = 5,
    seconds: Annotated[float, typer.Option(help="Of each turn and batch.")] = 0.2,
    examples: Annotated[
        int, typer.Option(min=0, help="Of the samples, to compare on; 0 for all.")
    ] = 0,
    data: options.Data = None,
    target: options.Target = None,
    task: options.Task = None,
    drop: options.Drop = None,
    text: options.Text = None,
    out: Annotated[Path | None, typer.Option(help="A CSV file for the table.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    json: output.Json = False,
) -> None:
    """Export a model in every form, and measure bytes, times and answers on this machine."""
    from zoo.cards import card

    folder = model_folder(model)  # a wrong name is answered at once
    if out:
        if out.suffix != ".csv":
            raise InputError(f"the table is a CSV file: name it so, not {out} (--out).")
        refuse_taken(out, overwrite)
    found = card(model)
    output.start_tensorflow()
    import export as exporting
    from export.exporting import kept_samples

    names = [name.strip() for name in formats.split(",") if name.strip()]
    given: dict[str, Any] = {}
    if data or not shipping.keeps_samples(model):
        own = options.data_options(target, task, drop, text=text)
        given = shipping.samples_of(model, found, data, own)
    elif examples:
        given = {"samples": kept_samples(folder, found.task)}
    if examples:
        given["samples"] = first_of(given["samples"], examples)
    rows = exporting.benchmark(
        model, formats=names, rounds=rounds, seconds=seconds, progress=output.progress.print,
        **given,
    )  # fmt: skip
    if out:
        import pandas as pd

        with whole_file(out) as temporary:
            pd.DataFrame([flat(row) for row in rows]).to_csv(temporary, index=False)
    if json:
        output.emit({"model": model, "forms": [flat(row) for row in rows]})
        return
    output.table(
        f"{model}: one example and 32, median (95 of 100 are faster than) milliseconds",
        ("format", "bytes", "load", "batch 1", "batch 32", "examples/s", "agreement", "metric"),
        [_cells(row) for row in rows if not row.why_not],
    )
    for row in rows:
        if row.why_not:
            output.progress.print(f"{row.format} {row.quantization}: {row.why_not}")


def first_of(samples: "Samples", count: int) -> "Samples":
    """Return the first of some samples."""
    inputs, targets = samples
    some = (
        {name: values[:count] for name, values in inputs.items()}
        if isinstance(inputs, dict)
        else inputs[:count]
    )
    return some, None if targets is None else targets[:count]


def flat(row: "Measured") -> dict[str, object]:
    """Return a row of the table."""
    from export.benchmarking import BATCHES

    result: dict[str, object] = {
        "format": row.format,
        "quantization": row.quantization,
        "bytes": row.bytes,
        "load_ms": round(row.load_milliseconds, 1),
    }
    for batch in BATCHES:
        for name, values in (("median", row.median), ("p95", row.p95)):
            result[f"{name}_ms_{batch}"] = round(values[batch], 4) if values else None
    return result | {
        "examples_per_second": round(row.throughput, 1),
        "largest_difference": row.largest_difference,
        "agreement": row.agreement,
        "metric": row.metric,
        "value": row.value,
        "why_not": row.why_not,
    }


def _cells(row: "Measured") -> list[str]:
    times = [
        f"{median:.3g} ({p95:.3g})"
        for median, p95 in zip((row.median or {}).values(), (row.p95 or {}).values(), strict=True)
    ]
    share = f"R² {row.agreement:.4f}" if row.metric == "r2" else f"{100 * row.agreement:.2f} %"
    return [
        f"{row.format} {row.quantization}",
        output.size(row.bytes),
        f"{row.load_milliseconds:.0f}",
        *times,
        f"{row.throughput:,.0f}",
        share,
        output.figure(row.metric, row.value),
    ]
