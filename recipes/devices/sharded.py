"""Several devices under JAX, of one machine or of many: batches and weights are divided.

JAX compiles one program for all devices, which computes what one device would, batch normalization
and dropout included; what each does of it follows from how inputs and weights are divided.
"""

import atexit
import json
import shutil
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import keras
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec

from recipes.devices import CLUSTER, Devices, chosen
from zoo.errors import InputError
from zoo.layouts import MODEL, axes_of

if TYPE_CHECKING:
    from recipes.run import Run

BATCH = "batch"
_PART = 1 << 26  # bytes of a file that are sent together


class Sharded(Devices):
    """Devices that share the batches, and if wanted the weights.

    Args:
        devices: their number, "all" of this machine, or "cluster".
        model_shards: over how many the weights are divided.

    Raises:
        InputError: they are not there, or do not divide by `model_shards`.
    """

    def __init__(self, devices: int | str, model_shards: int = 1) -> None:
        if devices == CLUSTER and not jax.distributed.is_initialized():
            try:
                keras.distribution.initialize()
            except (RuntimeError, ValueError) as error:
                raise InputError(
                    "no cluster was found: set KERAS_DISTRIBUTION_JOB_ADDRESSES, "
                    "KERAS_DISTRIBUTION_NUM_PROCESSES and KERAS_DISTRIBUTION_PROCESS_ID "
                    f"({str(error).splitlines()[0]})"
                ) from None
        names = chosen(keras.distribution.list_devices(), devices, jax.default_backend())
        self.count = len(names)
        if self.count % model_shards:
            raise InputError(f"{self.count} devices do not divide into {model_shards} shards.")
        mesh = keras.distribution.DeviceMesh(
            (self.count // model_shards, model_shards), (BATCH, MODEL), names
        )
        self._distribution = _Distribution(mesh)

    def place(self, out: Path, resume: bool) -> Path:
        """Return the folder of this process's run: of all but the first, one that is forgotten."""
        if jax.process_count() == 1:
            return out
        if resume and not multihost_utils.broadcast_one_to_all((out / "config.json").is_file()):
            raise InputError(f"{out} is no run: in the first process, it holds no config.json.")
        if jax.process_index() > 0:
            own = Path(tempfile.mkdtemp(prefix="zoo-"))
            atexit.register(shutil.rmtree, own, ignore_errors=True)
            out = own / out.name
        if resume:
            _give(out)
        return out

    def scope(self) -> AbstractContextManager[Any]:
        """Return the context in which a model is loaded, compiled and trained."""
        return self._distribution.scope()

    def spread(self, model: keras.Model) -> keras.Model:
        """Return what is trained: a model of the same layers, whose batches are divided."""
        return _ShardedModel(model.inputs, model.outputs, name=model.name)

    def values(self, variables: list[Any]) -> list[np.ndarray]:
        """Return the whole values of variables, wherever their parts are."""
        return [_value(variable.value) for variable in variables]

    def whole(self, model: keras.Model, run: "Run") -> keras.Model:
        """Return a model with the same weights that can be saved from here."""
        if all(_is_here(variable.value) for variable in model.variables):
            return model
        values = self.values(model.variables)
        keras.distribution.set_distribution(None)
        try:
            result = run.load_initial()
        finally:
            keras.distribution.set_distribution(self._distribution)
        for variable, value in zip(result.variables, values, strict=True):
            variable.assign(value)
        return result


class _Distribution(keras.distribution.ModelParallel):
    """How Keras divides a model's variables; its data comes whole, and is divided in the model.

    Keras divides batches before they reach the devices, which those that do not divide by the
    number of devices cannot be. In a compiled program they can.
    """

    def __init__(self, mesh: keras.distribution.DeviceMesh) -> None:
        layouts = keras.distribution.LayoutMap(mesh)
        super().__init__(layout_map=layouts, batch_dim_name=BATCH, auto_shard_dataset=False)

    def get_data_layout(self, data_shape: Any) -> keras.distribution.TensorLayout:
        """Return the layout of data: whole, on every device."""
        return keras.distribution.TensorLayout([None] * len(data_shape), self.device_mesh)

    def get_variable_layout(self, variable: Any) -> keras.distribution.TensorLayout:
        """Return the layout of a variable."""
        if variable._layout is not None:  # such as an optimizer's moment: its weight's
            return variable._layout
        shards = dict(zip(self.device_mesh.axis_names, self.device_mesh.shape, strict=True))[MODEL]
        axes = axes_of(variable.path, tuple(variable.shape), shards)
        return keras.distribution.TensorLayout(axes, self.device_mesh)


class _ShardedModel(keras.Model):
    """A model that divides its inputs along the batch; what follows from them is divided alike."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Compute the outputs."""
        mesh = keras.distribution.distribution().device_mesh.backend_mesh
        sharding = NamedSharding(mesh, PartitionSpec(BATCH))
        inputs = keras.tree.map_structure(
            lambda x: (
                jax.lax.with_sharding_constraint(x, sharding)
                if isinstance(x, jax.core.Tracer)
                else x
            ),
            inputs,
        )
        return super().call(inputs, training=training, mask=mask)


def _is_here(value: jax.Array) -> bool:
    return value.is_fully_addressable or value.is_fully_replicated


def _value(value: jax.Array) -> np.ndarray:
    """Return the whole value of an array, of which other processes may hold parts."""
    if not _is_here(value):
        value = multihost_utils.process_allgather(value, tiled=True)
    return np.asarray(value)


def _give(folder: Path) -> None:
    """Give the run in the first process's folder to the folders of all others, file by file."""
    first = jax.process_index() == 0
    paths = [path for path in sorted(folder.iterdir()) if path.is_file()] if first else []
    names = json.dumps([[path.name, path.stat().st_size] for path in paths]).encode()
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(names))))
    known = json.loads(_given(names, size))
    if not first:
        folder.mkdir()
    for name, size in known:
        if Path(name).name != name:
            raise InputError(f"a run holds no file {name!r}.")
        with (folder / name).open("rb" if first else "wb") as file:
            for start in range(0, size, _PART):
                part = min(_PART, size - start)
                content = _given(file.read(part) if first else b"", part)
                if not first:
                    file.write(content)


def _given(content: bytes, size: int) -> bytes:
    """Return what the first process has, in all of them."""
    own = np.frombuffer(content, "uint8") if jax.process_index() == 0 else np.zeros(size, "uint8")
    return np.asarray(multihost_utils.broadcast_one_to_all(own)).astype("uint8").tobytes()
