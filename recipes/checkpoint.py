"""What a training keeps after each epoch, so that it can go on from there."""

import math
import time

import keras

from recipes.devices import Devices
from recipes.run import Run, State
from zoo.errors import CheckFailed
from zoo.files import sha256_of, whole_file


class Checkpoint(keras.callbacks.Callback):
    """After each epoch, keeps the best weights and the whole state; decides when to stop.

    Args:
        run: where they are kept.
        state: as it was read; it is updated.
        epochs: numbers of the phase's epochs.
        devices: that hold the weights.
        averaged: the callback that exchanges the weights for their moving average, if there is one.
    """

    def __init__(
        self,
        run: Run,
        state: State,
        epochs: range,
        devices: Devices,
        averaged: keras.callbacks.SwapEMAWeights | None = None,
    ) -> None:
        super().__init__()
        self.run, self.state, self.epochs = run, state, epochs
        self.devices, self.averaged = devices, averaged

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Start the clock."""
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Keep everything; the best weights first, so that the state never promises too much."""
        logs = {name: float(value) for name, value in (logs or {}).items()}
        state, recipe = self.state, self.run.config.recipe
        if not all(map(math.isfinite, logs.values())):
            raise CheckFailed(
                f"the loss became infinite or not a number in epoch {epoch + 1}: lower the "
                f"learning rate, or clip the gradients."
            )
        state.epoch = epoch + 1
        state.seconds += time.perf_counter() - self.started
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        state.history.append({"epoch": epoch + 1, **logs, "learning_rate": rate})
        figure = [logs.get("val_accuracy", 0.0), -logs["val_loss"]]
        before = state.kept_epoch
        better = not state.best or figure > state.best
        if better:
            state.best, state.best_epoch = figure, epoch + 1
        if better or recipe.keep == "last":
            self._write_weights(epoch + 1)
        waited = epoch + 1 - max(state.best_epoch, self.epochs.start)
        if recipe.patience and waited >= recipe.patience:
            state.epoch = self.epochs.stop  # what is left of this phase is left out
            self.model.stop_training = True
        state.model = self.devices.values(self.model.variables)
        state.optimizer = self.devices.values(self.model.optimizer.variables)
        self.run.write_state(state)
        if before != state.kept_epoch:  # not earlier: the state on disk named them until now
            self.run.kept_weights(before).unlink(missing_ok=True)

    def _write_weights(self, epoch: int) -> None:
        if self.averaged:
            self.averaged.on_test_begin()
        with whole_file(self.run.kept_weights(epoch)) as temporary:
            self.devices.whole(self.model, self.run).save_weights(temporary)
            self.state.kept_epoch, self.state.kept_sha256 = epoch, sha256_of(temporary)
        if self.averaged:
            self.averaged.on_test_end()
