"""Options that several commands share."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.errors import InputError

if TYPE_CHECKING:
    from recipes import Splits

Data = Annotated[
    str | None,
    typer.Option(
        help="A data set's name, a folder of class folders of pictures, a .csv, .tsv or .txt file."
    ),
]
Target = Annotated[str | None, typer.Option(help="The column of a table that is to be predicted.")]
Task = Annotated[
    str | None,
    typer.Option(
        help="classification or regression, where a table's target leaves it open; translation."
    ),
]
Drop = Annotated[list[str] | None, typer.Option(help="A column of a table to leave out.")]
Text = Annotated[
    str | None, typer.Option(help="The column of a table that holds the texts to learn from.")
]
Env = Annotated[str | None, typer.Option(help="The Gymnasium id of where an agent is to learn.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Stop at a broken picture or row, in place of skipping it.")
]
Download = Annotated[bool, typer.Option("--download", help="Allow a data set to be downloaded.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Any field of the recipe, such as --set schedule=cosine, --set augment='{\"crop\":2}'",
    ),
]


# Fields that the command itself decides.
_NAMED = {
    "model": "the model is the command's first word",
    "data": "the data has an option of its own (--data)",
    "fine_tuning": "zoo finetune does, and zoo train does not",
}


def data_options(
    target: str | None,
    task: str | None = None,
    drop: list[str] | None = None,
    strict: bool = False,
    download: bool = False,
    fields: dict[str, Any] | None = None,
    text: str | None = None,
) -> dict[str, Any]:
    """Return the arguments of `load_data` that were given; those of `--set` leave `fields`."""
    given = {
        "target": target,
        "task": task,
        "drop": drop,
        "text": text,
        "strict": strict,
        "download": download,
    }
    further = {} if fields is None else fields.pop("data_options", {})
    if not isinstance(further, dict):
        raise InputError(f"--set data_options wants a JSON object, not {further!r}.")
    return further | {name: value for name, value in given.items() if value}


def settings(assignments: list[str] | None, **given: Any) -> dict[str, Any]:
    """Return recipe fields: the named options that were given, and every `--set`."""
    result = {name: value for name, value in given.items() if value is not None}
    for assignment in assignments or []:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise InputError(f"--set wants FIELD=VALUE, not {assignment!r}.")
        if name.strip() in _NAMED:
            raise InputError(f"--set {name.strip()} is not possible: {_NAMED[name.strip()]}.")
        try:
            result[name.strip()] = json.loads(text)
        except json.JSONDecodeError:
            result[name.strip()] = text.strip()
    return result


def default_out(out: Path | None, name: str) -> Path:
    """Return the folder of a run: as given, or below `runs/`."""
    return out or Path("runs") / name.replace("/", "_").strip("_.")


def report_skipped(data: "Splits") -> None:
    """Say what was left out, and how much of it."""
    from zoo.cli.output import progress

    for line in data.skipped[:10]:
        progress.print(f"left out: {line}")
    if len(data.skipped) > 10:
        progress.print(f"… and {len(data.skipped) - 10} more")
    if data.skipped:
        progress.print(f"{len(data.skipped)} left out in all; {sum(data.sizes.values())} used.")
