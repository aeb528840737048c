"""The command line: it parses, calls the three packages, and prints. Commands import what they use.

Exit codes: 0 done, 1 a check failed, 2 the call or the input was wrong, 130 interrupted.
"""

import sys
from collections.abc import Sequence

import typer

from zoo.cli import learning, listing, predicting, quickstart, shipping
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
    learning.train,
    learning.evaluate,
    learning.finetune,
    shipping.export,
    shipping.verify,
    learning.reproduce,
    quickstart.quickstart,
):
    app.command(command.__name__.rstrip("_"))(command)


_INTERRUPTED = 130  # as Typer leaves after Ctrl-C


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code; errors become one line."""
    try:
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


def _say(message: object, code: int) -> int:
    sys.stderr.write(f"zoo: {' '.join(str(message).split())}\n")
    return code
