"""What the commands print: results to standard output, progress to standard error."""

import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

out = Console(highlight=False, markup=False, soft_wrap=True)
progress = Console(stderr=True, highlight=False, markup=False)

_FIGURE = re.compile(r"[-+]?[\d.,]+(e[-+]?\d+)?( %)?")

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def emit(value: Any) -> None:
    """Print a value as JSON."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def plain(line: str) -> None:
    """Print a line as it is: Rich would make spaces of its tabs."""
    sys.stdout.write(f"{line}\n")


def table(title: str, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; columns of numbers are set to the right."""
    cells = [[("" if cell is None else str(cell)) for cell in row] for row in rows]
    grid = Table()
    for number, heading in enumerate(headings):
        figures = [row[number] for row in cells if row[number]]
        numeric = bool(figures) and all(map(_FIGURE.fullmatch, figures))
        grid.add_column(heading, justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        grid.add_row(*row)
    # A pipe has no width: nothing is folded there.
    console = Console(highlight=False, markup=False, width=None if out.is_terminal else 160)
    if title:
        console.print(title)
    console.print(grid)


def start_tensorflow() -> None:
    """Import TensorFlow and let it look at its devices, without the chatter of its C++ side.

    What was said is shown after all if the import fails.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.filterwarnings("ignore", module=r"(keras|tensorflow|tensorflow_datasets)\b")
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as chatter:
        os.dup2(chatter.fileno(), 2)
        try:
            import tensorflow as tf

            tf.constant(0)
            # Of functions that are traced several times: each is, for another model or length.
            tf.get_logger().setLevel("ERROR")
        except BaseException:
            chatter.seek(0)
            os.write(saved, chatter.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def figure(name: str, value: float | None) -> str:
    """Return a metric for people: shares as percent, the rest with four digits."""
    if value is None:
        return ""
    if name.split(" (")[0] in {"accuracy", "balanced_accuracy"}:
        return f"{100 * value:.2f} %"
    return f"{value:.4g}"


def size(count: int) -> str:
    """Return a number of bytes or parameters with separators."""
    return f"{count:,}"


def parity_row(report: Any) -> list[object]:
    """Return a `ParityReport` as the cells under `PARITY`."""
    share = f"{100 * report.agreement:.2f} %"
    named = f"{report.metric} " if report.metric in ("bleu", "cross_entropy") else ""
    return [
        " ".join(filter(None, (report.part, report.format, report.quantization))),
        size(report.bytes),
        f"{report.largest_difference:.1e}",
        f"R² {report.agreement:.4f}" if report.metric == "r2" else share,
        f"{named}{figure(report.metric, report.value)}",
        f"{report.milliseconds:.3f}",
    ]


PARITY = ("format", "bytes", "largest difference", "agreement", "metric", "ms per sample")
