"""Where a training computes: on one device, on several of one machine, or on a cluster's."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from zoo.errors import InputError

if TYPE_CHECKING:
    from recipes.recipe import Recipe
    from recipes.run import Run

ALL = "all"
CLUSTER = "cluster"


class Devices:
    """One device, on which everything is: the others in this package spread over several.

    Attributes:
        count: number of devices that share a batch or the weights.
    """

    count = 1

    def check(self, recipe: "Recipe", task: str, carried: bool) -> None:
        """Refuse a recipe that these devices would not train as one does.

        Args:
            recipe: the recipe.
            task: of its model.
            carried: its model's states go on from one batch to the next.

        Raises:
            InputError: says why, and what does.
        """

    def place(self, out: Path, resume: bool) -> Path:
        """Return the folder of this process's run; with `resume`, the run is in it.

        Args:
            out: folder of the run.
            resume: the run goes on.
        """
        return out

    def scope(self) -> AbstractContextManager[Any]:
        """Return the context in which a model is loaded, compiled and trained."""
        return nullcontext()

    def spread(self, model: keras.Model) -> keras.Model:
        """Return what is trained: a model of the same layers, whose batches are divided."""
        return model

    def values(self, variables: list[Any]) -> list[np.ndarray]:
        """Return the whole values of variables, wherever their parts are."""
        return [np.asarray(variable) for variable in variables]

    def whole(self, model: keras.Model, run: "Run") -> keras.Model:
        """Return a model with the same weights that can be saved from here."""
        return model


ONE = Devices()


def devices_for(devices: int | str | Devices | None, model_shards: int = 1) -> Devices:
    """Return what a number or word for devices means under Keras' backend.

    Args:
        devices: their number, on this machine; "all" of this machine; "cluster" for those of every
            process that `keras.distribution.initialize` finds by its environment variables, or, on
            Cloud TPU and under Slurm, by itself; `None` for one, or with `model_shards` for all.
        model_shards: over how many of them the weights are divided (`zoo.layouts`); the batches are
            over the rest.

    Raises:
        InputError: they are not there, or the backend cannot spread over them.
    """
    if isinstance(devices, Devices):
        return devices
    if model_shards < 1:
        raise InputError(f"model_shards must be at least 1, not {model_shards}.")
    if devices in (None, 1, "1") and model_shards == 1:
        return ONE
    devices = ALL if devices is None else devices
    if isinstance(devices, str) and devices.isdigit():
        devices = int(devices)
    if devices not in (ALL, CLUSTER) and (not isinstance(devices, int) or devices < 1):
        raise InputError(f"devices is a number, {ALL!r} or {CLUSTER!r}, not {devices!r}.")
    backend = keras.backend.backend()
    if backend == "jax":
        from recipes.devices.sharded import Sharded

        return Sharded(devices, model_shards)
    if backend != "tensorflow":
        raise InputError(f"devices are for the backends JAX and TensorFlow, not for {backend}.")
    if devices == CLUSTER or model_shards > 1:
        raise InputError(
            f"{'a cluster' if devices == CLUSTER else 'weights in shards'} wants Keras' backend "
            "JAX (KERAS_BACKEND=jax): under TensorFlow, Keras trains on one machine's devices only."
        )
    from recipes.devices.mirrored import Mirrored

    return Mirrored(devices)


def chosen(found: list[Any], devices: int | str, kind: str) -> list[Any]:
    """Return the devices that were asked for, of those there are.

    Raises:
        InputError: there are fewer.
    """
    count = len(found) if isinstance(devices, str) else devices
    if count > len(found):
        raise InputError(
            f"{count} devices were asked for, and {len(found)} "
            f"{'is' if len(found) == 1 else 'are'} here ({kind})."
        )
    return found[:count]
