"""`zoo serve`: models over REST and gRPC."""

import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli import output
from zoo.errors import InputError

_NEEDED = ("grpc", "prometheus_client", "starlette", "tensorflow_serving", "uvicorn")


def serve(
    models: Annotated[
        list[str],
        typer.Argument(
            help="A pretrained model, the path of a run or of an artifact, or a folder with an "
            "artifact in each numbered folder; NAME=WHAT gives it another name."
        ),
    ],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of REST and the page; 0 for any that is free.")
    ] = 8501,
    grpc_port: Annotated[int, typer.Option(min=0, max=65535, help="Of gRPC; 0 for none.")] = 8500,
    quantize: Annotated[
        str, typer.Option(help="Of models that are exported here, to LiteRT.")
    ] = "float32",
    workers: Annotated[int, typer.Option(min=1, help="Processes of each model.")] = 1,
    max_batch: Annotated[int, typer.Option(min=1, help="Examples answered together.")] = 16,
    max_waiting: Annotated[
        int, typer.Option(min=1, help="Requests of a model that wait; more are refused (429).")
    ] = 256,
    max_megabytes: Annotated[int, typer.Option(min=1, help="Of a request.")] = 32,
    seconds: Annotated[float, typer.Option(help="That a request may take.")] = 30.0,
) -> None:
    """Serve models: TensorFlow Serving's REST and gRPC, and a page to try them."""
    import importlib.util

    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"a server needs {', '.join(missing)}: install deepzoo[serving].")
    if not seconds > 0:
        raise InputError(f"seconds must be above 0, not {seconds}.")
    import asyncio
    import logging

    from export.serving.models import Settings
    from export.serving.server import Server

    told = logging.getLogger("zoo.serve")
    told.setLevel(logging.INFO)
    told.addHandler(logging.StreamHandler())
    settings = Settings(
        workers=workers,
        max_batch=max_batch,
        max_waiting=max_waiting,
        max_bytes=max_megabytes << 20,
        seconds=seconds,
    )
    named: dict[str, str] = {}
    for model in models:
        name, what = _named(model)
        if name in named:
            raise InputError(f"two models are called {name!r}: name one of them NAME=WHAT.")
        named[name] = what
    with _ending(), tempfile.TemporaryDirectory(prefix="zoo-serve-") as scratch:
        places = {
            name: _place(what, Path(scratch) / name, quantize) for name, what in named.items()
        }
        asyncio.run(Server(places, settings).run(host, port, grpc_port or None))


def _named(model: str) -> tuple[str, str]:
    """Return the name of what is to be served, and what that is."""
    name, equals, what = model.partition("=")
    if not equals or Path(model).exists():
        name, what = Path(model).resolve().name, model
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise InputError(f"no request could name {name!r}: call it NAME={what}.")
    return name, what


@contextmanager
def _ending() -> Iterator[None]:
    """Let SIGTERM end what is done before the server listens to it, and leave nothing behind."""
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _place(what: str, scratch: Path, quantize: str) -> Path:
    """Return the folder that a model is served from: as it is, or where it is exported to."""
    from export.serving.models import Model
    from zoo.weights import model_folder

    path = Path(what)
    if Model(path.name, path).on_disk():
        return path

    model_folder(what)  # a wrong name is answered at once
    # In a process of its own: a server that has TensorFlow takes ten times the memory.
    command = [sys.executable, "-m", "zoo", "export", what, "--out", str(scratch), "--no-verify"]
    with output.progress.status(f"exporting {what}"):
        made = subprocess.run(
            [*command, "--quantize", quantize], capture_output=True, text=True, check=False
        )
    if made.returncode:
        lines = made.stderr.strip().splitlines() or [f"it could not be exported: {what}"]
        raise InputError(lines[-1].removeprefix("zoo: "))
    return scratch
