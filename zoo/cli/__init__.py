"""The command line: it parses, calls the three packages, and prints. Commands import what they use.

Exit codes: 0 done, 1 a check failed, 2 the call or the input was wrong, 130 interrupted.
"""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event
from types import FrameType

import typer

from zoo.cli import (
    benchmarking,
    control,
    evaluating,
    explaining,
    generating,
    listing,
    predicting,
    quickstart,
    rates,
    reproducing,
    serving,
    shipping,
    texts,
    training,
    tuning,
)
from zoo.errors import CheckFailed, InputError

app = typer.Typer(
    name="zoo",
    help="Small pretrained models: load, fine-tune, ship, and know that the export answers alike.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    listing.list_,
    listing.show,
    predicting.predict,
    texts.translate,
    generating.generate,
    explaining.explain,
    training.train,
    evaluating.evaluate,
    control.play,
    training.finetune,
    rates.lr_find,
    tuning.tune,
    shipping.export,
    shipping.verify,
    benchmarking.benchmark,
    serving.serve,
    reproducing.reproduce,
    quickstart.quickstart,
):
    app.command(command.__name__.rstrip("_").replace("_", "-"))(command)


_INTERRUPTS = [signal.SIGINT, *([signal.SIGALRM] if hasattr(signal, "SIGALRM") else [])]
_INTERRUPTED = 130  # as Typer leaves after Ctrl-C


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code; errors become one line."""
    try:
        with _insistent_interrupts():
            app(list(arguments), standalone_mode=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
        return _say("interrupted.", code) if code == _INTERRUPTED else code
    except CheckFailed as error:
        return _say(error, 1)
    except InputError as error:
        return _say(error, 2)
    except OSError as error:  # a full disk, a folder that may not be read
        place = f"{error.filename}: " if error.filename else ""
        return _say(f"{place}{error.strerror or error}", 2)
    return 0


@contextmanager
def _insistent_interrupts() -> Iterator[None]:
    """Raise KeyboardInterrupt again a second later, until it has ended the command.

    Python drops one that happens to be raised in a finalizer, of which TensorFlow has many; and
    libraries hand one on as an error of their own.
    """
    interrupted = Event()

    def interrupt(number: int, frame: FrameType | None) -> None:
        interrupted.set()
        signal.setitimer(signal.ITIMER_REAL, 1.0)
        raise KeyboardInterrupt

    if not hasattr(signal, "setitimer"):  # Windows
        yield
        return
    before = [(number, signal.signal(number, interrupt)) for number in _INTERRUPTS]
    try:
        yield
    except Exception:
        if interrupted.is_set():
            raise SystemExit(_INTERRUPTED) from None
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before:
            signal.signal(number, handler)


def _say(message: object, code: int) -> int:
    sys.stderr.write(f"zoo: {' '.join(str(message).split())}\n")
    return code
