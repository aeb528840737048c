"""Tensors from PyTorch's files, without PyTorch and without running what a pickle may ask for."""

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from zoo.errors import InputError

_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {"FloatStorage": "<f4", "HalfStorage": "<f2", "LongStorage": "<i8", "IntStorage": "<i4"}


class _Storage:
    """Stands for a typed block of numbers that follows the pickle."""

    def __init__(self, dtype: str, size: int) -> None:
        self.dtype, self.size = np.dtype(dtype), size
        self.values = np.zeros(0, dtype)


class _Tensor:
    """A view into a storage, which is read later than the view."""

    def __init__(
        self, storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
    ) -> None:
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides

    def array(self) -> np.ndarray:
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        if self.offset < 0 or min(self.strides, default=0) < 0 or last >= len(self.storage.values):
            raise ValueError("a tensor reaches beyond its storage")
        steps = tuple(s * self.storage.dtype.itemsize for s in self.strides)
        values = self.storage.values[self.offset :]
        return np.lib.stride_tricks.as_strided(values, self.shape, steps).copy()


class _Reader(pickle.Unpickler):
    """Knows tensors and dictionaries, and refuses every other name that a pickle asks for."""

    def __init__(self, stream: BinaryIO, storages: dict[str, _Storage]) -> None:
        super().__init__(stream)
        self.storages = storages

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name of PyTorch's, or raise."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *rest: _Tensor(
                storage, offset, shape, strides
            )
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        """Return the storage that a tensor is a view of."""
        kind, dtype, key, _, size, view = pid
        if kind != "storage" or view is not None:
            raise pickle.UnpicklingError("it holds something that is no plain tensor")
        return self.storages.setdefault(key, _Storage(dtype, size))


def read_state(path: Path) -> dict[str, np.ndarray]:
    """Read the tensors of a `torch.save` file of the form before PyTorch 1.6.

    Args:
        path: of a file that holds a state dictionary: names of tensors to tensors.

    Returns:
        Name -> array, in PyTorch's order of axes.

    Raises:
        InputError: the file is something else, damaged, or holds more than tensors.
    """
    storages: dict[str, _Storage] = {}
    try:
        with path.open("rb") as stream:
            if _Reader(stream, storages).load() != _MAGIC:
                raise ValueError("it does not begin as a file of PyTorch does")
            _Reader(stream, storages).load()  # version of the protocol
            if not _Reader(stream, storages).load()["little_endian"]:
                raise ValueError("it was written on a big-endian machine")
            tensors = _Reader(stream, storages).load()
            for key in _Reader(stream, storages).load():
                storage = storages[key]
                size = int.from_bytes(stream.read(8), "little")
                content = stream.read(size * storage.dtype.itemsize)
                if size != storage.size or len(content) != size * storage.dtype.itemsize:
                    raise ValueError("it ends in the middle of a tensor")
                storage.values = np.frombuffer(content, storage.dtype)
        return {name: tensor.array() for name, tensor in tensors.items()}
    except (pickle.UnpicklingError, ValueError, TypeError, KeyError, AttributeError, EOFError,
            IndexError, OSError, MemoryError) as error:  # fmt: skip
        raise InputError(f"{path} cannot be read as tensors of PyTorch: {error}.") from None
