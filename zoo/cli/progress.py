"""Progress of a training: a bar in a terminal, a line per epoch elsewhere."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType
from typing import Any

import keras
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from zoo.cli.output import progress as console

_interrupted = Event()
_open: set[Progress] = set()


@contextmanager
def interrupts_count() -> Iterator[None]:
    """Make Ctrl-C end a training for certain.

    Python drops a KeyboardInterrupt that happens to be raised in a finalizer, of which TensorFlow
    has many; `Epochs` raises it again after the step.
    """
    before = signal.getsignal(signal.SIGINT)

    def remember(number: int, frame: FrameType | None) -> None:
        _interrupted.set()
        if callable(before):
            before(number, frame)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        _interrupted.clear()
        signal.signal(signal.SIGINT, before)
        for bar in list(_open):  # Keras ends no callback when a training ends in an error
            bar.stop()
            _open.discard(bar)


class Epochs(keras.callbacks.Callback):
    """Shows a training that consists of so many epochs.

    Args:
        epochs: number of epochs of all phases together.
    """

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self.epochs = epochs
        self.text = ""
        self.bar: Progress | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Open the bar."""
        if console.is_terminal:
            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )
            self.steps = self.params.get("steps") or 1
            self.job = self.bar.add_task("training", total=self.epochs * self.steps)
            self.bar.start()
            _open.add(self.bar)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Remember where the epoch starts."""
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Move the bar."""
        if _interrupted.is_set():
            raise KeyboardInterrupt
        if self.bar:
            description = f"epoch {self.epoch + 1}/{self.epochs}{self.text}"
            done = self.epoch * self.steps + batch + 1
            self.bar.update(self.job, completed=done, description=description)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Show the figures."""
        logs = logs or {}
        shown = {"loss": "loss", "val_loss": "val loss", "val_accuracy": "val accuracy"}
        self.text = "".join(f"  {t} {logs[k]:.4f}" for k, t in shown.items() if k in logs)
        if not self.bar:
            console.print(f"epoch {epoch + 1}/{self.epochs}{self.text}")

    def on_train_end(self, logs: Any = None) -> None:
        """Close the bar."""
        if self.bar:
            self.bar.stop()
            _open.discard(self.bar)
