"""`zoo list` and `zoo show`: they read the catalog and cards, and import no Keras."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import typer

from zoo import cards, registry
from zoo.catalog import NAMES
from zoo.cli import output
from zoo.errors import InputError
from zoo.weights import pretrained_names


def list_(
    pattern: Annotated[str, typer.Argument(help='Shell wildcards, such as "*mnist*".')] = "*",
    task: Annotated[str | None, typer.Option(help="Only models of this task.")] = None,
    family: Annotated[str | None, typer.Option(help="Only models of this family.")] = None,
    pretrained: Annotated[
        bool | None, typer.Option("--pretrained/--architectures", help="Only these.")
    ] = None,
    json: output.Json = False,
) -> None:
    """List architectures and pretrained models."""
    names = registry.list_models(pattern, task=task, family=family, pretrained=pretrained)
    if not names:
        raise InputError(f"nothing matches {pattern!r}: `zoo list` shows every name.")
    rows = [_row(name) for name in names]
    if json:
        output.emit(rows)
        return
    output.table(
        "",
        ("name", "task", "parameters", "metric", "", "bytes"),
        [
            (
                row["name"],
                row["task"],
                output.size(row["parameters"]),
                row["metric"],
                output.figure(row["metric"] or "", row["value"]),
                row["bytes"] and output.size(row["bytes"]),
            )
            for row in rows
        ],
    )


def show(
    name: Annotated[str, typer.Argument(help="A name of `zoo list`, or the path of a run.")],
    json: output.Json = False,
) -> None:
    """Show an architecture's row, or the card of a pretrained model or run."""
    if name in NAMES:
        row = NAMES[name]
        variant = row.variants[name]
        facts: dict[str, Any] = {
            "name": name,
            "task": row.task,
            "family": row.family,
            "builder": row.builder,
            "arguments": dict(variant.arguments),
            "trainable": variant.trainable,
            "non_trainable": variant.non_trainable,
            "paper": f"{row.paper} ({row.year})",
            "link": row.link,
            "book": f"section {row.section}",
        }
        if json:
            output.emit(facts)
        else:
            output.table("", ("", ""), [(key, _words(value)) for key, value in facts.items()])
        return
    if name not in pretrained_names() and "/" not in name and not _is_folder(name):
        raise registry.unknown(name, [*NAMES, *pretrained_names()], "model")
    card = cards.card(name)
    if json:
        output.emit(card)
        return
    output.table("", ("", ""), _facts(card))
    output.table(
        "metrics",
        ("metric", "split", "value", "examples"),
        [(m.name, m.split, output.figure(m.name, m.value), m.examples) for m in card.metrics],
    )
    computed: dict[str, dict[str, None]] = {}  # how -> what, in the order of the card
    for metric in card.metrics:
        if metric.signature:
            computed.setdefault(metric.signature, {})[metric.name] = None
    for signature, names in computed.items():
        output.out.print(f"{', '.join(names)}: {signature}")
    if card.exports:
        output.table("exports", output.PARITY, map(output.parity_row, card.exports))


def _row(name: str) -> dict[str, Any]:
    if name in NAMES:
        row = NAMES[name]
        variant = row.variants[name]
        parameters = variant.trainable + variant.non_trainable
        empty = {"metric": None, "value": None, "bytes": None}
        return {"name": name, "task": row.task, "parameters": parameters, **empty}
    card = cards.card(name)
    metric = card.metric()
    return {
        "name": name,
        "task": card.task,
        "parameters": card.parameters.trainable + card.parameters.non_trainable,
        "metric": metric and metric.name,
        "value": metric and metric.value,
        "bytes": card.weights.size,
    }


def _facts(card: cards.Card) -> list[tuple[str, str]]:
    shape = "×".join("?" if n is None else str(n) for n in card.input.shape)
    size = "of unknown size" if card.weights.size is None else f"{card.weights.size:,} bytes"
    rows = [
        ("name", card.name),
        ("architecture", f"{card.architecture} {_words(card.arguments)}".strip()),
        ("task", card.task),
        ("input", f"{card.input.name}: {card.input.dtype} {shape}; {card.input.preprocessing}"),
        ("features", ", ".join(card.input.features)),
        ("labels", _short(card.labels)),
        ("vocabulary", ", ".join(f"{k} {v.file}" for k, v in card.tokenizers.items())),
        ("parameters", f"{card.parameters.trainable:,} + {card.parameters.non_trainable:,} fixed"),
        ("weights", f"{card.weights.file}, {size}"),
        ("address", card.weights.url or ""),
        (card.weights.algorithm, card.weights.digest),
        ("data", f"{card.dataset.source} {card.dataset.version}; {_words(card.dataset.examples)}"),
        ("licence of the data", card.dataset.license),
        ("caveat", card.dataset.caveat),
        ("recipe", _words({k: v for k, v in card.recipe.items() if v not in ("", 0, {}, False)})),
    ]
    if card.training:
        training = card.training
        rows += [
            (
                "training",
                f"{training.epochs} epochs, best {training.best_epoch}, seed {training.seed}",
            ),
            ("time", f"{training.seconds:,.0f} s on {training.hardware}, {training.finished}"),
            ("command", training.command),
            ("commit", training.commit),
            ("versions", _words(training.versions)),
        ]
    if card.reference:
        reference = card.reference
        value = output.figure(reference.metric, reference.value)
        rows.append(("reference", f"{reference.metric} {value}: {reference.source}"))
    return [(key, value) for key, value in rows if value]


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_words(v)}" for k, v in msgspec.to_builtins(value).items())
    return str(value)


def _is_folder(name: str) -> bool:
    from pathlib import Path

    return Path(name).is_dir()


def _short(labels: Sequence[str], most: int = 20) -> str:
    """Return the labels in a line, or the first of them and how many there are."""
    line = ", ".join(labels[:most])
    return line if len(labels) <= most else f"{line}, … {output.size(len(labels))} in all"
