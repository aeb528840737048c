"""The tables of what is shipped: formats, quantizations, every model in every form, servers."""

from pathlib import Path

import pandas as pd

from export.formats import FORMATS
from zoo.cards import card

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
SHOWN = "resnet20-cifar10"  # in README; docs/deploy.md has all models


def formats() -> str:
    """Return the table of export formats, from export/formats.py."""
    rows = ["| format | quantizations | of texts | needs |", "|---|---|---|---|"]
    for row in FORMATS.values():
        needs = f"`deepzoo[{row.extra}]`" if row.extra else ""
        cells = (row.name, ", ".join(row.quantizations), ", ".join(row.of_texts), needs)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def quantized() -> str:
    """Return what small files cost, from benchmarks/results/quantized.csv."""
    rows = [
        "| model | form | accuracy | decisions equal to its Keras model | bytes | ms |",
        "|---|---|---|---|---|---|",
    ]
    rows += [
        f"| {row.model} | {row.form} | {100 * row.accuracy:.2f} % | "
        f"{100 * row.equal_decisions:.2f} % | {row.bytes:,} | {row.milliseconds:.3g} |"
        for row in pd.read_csv(RESULTS / "quantized.csv").itertuples()
    ]
    return "\n".join(rows)


def servers() -> str:
    """Return requests a second of servers, from benchmarks/results/serving.csv."""
    table = pd.read_csv(RESULTS / "serving.csv")
    counts = sorted(table.clients.unique())
    rows = [
        "| server | " + " | ".join(f"{n} client{'' if n == 1 else 's'}" for n in counts) + " |",
        "|---" * (len(counts) + 1) + "|",
    ]
    for server in table.server.unique():
        cells = []
        for count in counts:
            [row] = table[(table.server == server) & (table.clients == count)].itertuples()
            cells.append(
                f"{row.requests_per_second:,.0f}/s ({row.p50_ms:.1f}, {row.p99_ms:.1f} ms)"
            )
        rows.append(f"| {server} | {' | '.join(cells)} |")
    return "\n".join(rows)


def forms() -> str:
    """Return one model in every form, from benchmarks/results/deploy.csv."""
    return _forms_of(SHOWN, _deployed())


def deploy() -> str:
    """Return every packaged model in every form, from benchmarks/results/deploy.csv."""
    table = _deployed()
    parts = [f"### {model}\n\n{_forms_of(model, table)}" for model in table.model.unique()]
    return "\n\n".join(parts)


def _deployed() -> pd.DataFrame:
    return pd.read_csv(RESULTS / "deploy.csv", keep_default_na=False, na_values=[""])


def _forms_of(model: str, table: pd.DataFrame) -> str:
    own = table[table.model == model]
    measured = own[own.why_not.isna()]
    metric = measured.metric.dropna().iloc[0] if len(measured.metric.dropna()) else ""
    rows = [
        "| form | bytes | load, ms | batch 1, ms | batch 32, ms | examples/s | agreement "
        f"| {metric or 'metric'} |",
        "|---|---|---|---|---|---|---|---|",
    ]
    shares = card(model).task in ("classification", "control", "translation", "language_modeling")
    for row in measured.itertuples():
        agreement = f"{100 * row.agreement:.2f} %" if shares else f"R² {row.agreement:.4f}"
        value = "" if pd.isna(row.value) else f"{row.value:.4g}"
        if row.metric != metric:  # a format that writes no texts is judged by its scores
            value += f" ({row.metric})"
        rows.append(
            f"| {row.format} {row.quantization} | {int(row.bytes):,} | {row.load_ms:.0f} "
            f"| {row.median_ms_1:.3g} ({row.p95_ms_1:.3g}) | {row.median_ms_32:.3g} "
            f"({row.p95_ms_32:.3g}) | {row.examples_per_second:,.0f} | {agreement} | {value} |"
        )
    refused = [
        f"- {row.format} {row.quantization}: {row.why_not}"
        for row in own[own.why_not.notna()].itertuples()
    ]
    return "\n".join(rows + (["", *refused] if refused else []))


TABLES = {
    "formats": formats,
    "quantized": quantized,
    "servers": servers,
    "forms": forms,
    "deploy": deploy,
}
