"""Arrays from the weight files that Keras wrote before its third version, which trust nothing.

Such a file names its layers in an attribute `layer_names`, and each layer's group names its arrays
in `weight_names`; an attribute that is too long is cut into `layer_names0`, `layer_names1` …
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoo.errors import InputError

if TYPE_CHECKING:
    import h5py


def read_arrays(path: Path) -> list[np.ndarray]:
    """Read the arrays of a legacy weight file, in the order in which the file names them.

    Only plain arrays of floating-point numbers are read, and no more of them than the file is
    large. Links, arrays that lie in other files, and compressed ones (they may grow to any size)
    are refused before memory is taken for them.

    Args:
        path: of a file whose hash was checked.

    Raises:
        InputError: the file is something else, or damaged, or holds more than arrays.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            datasets = [
                _dataset(layer, name)
                for layer in (_child(file, name, h5py.Group) for name in _names(file, "layer"))
                for name in _names(layer, "weight")
            ]
            if not datasets:
                raise ValueError("it names no layers with weights")
            if sum(dataset.nbytes for dataset in datasets) > path.stat().st_size:
                raise ValueError("it names more numbers than it holds")
            return [np.asarray(dataset[()]) for dataset in datasets]
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError,
            MemoryError) as error:  # fmt: skip
        raise InputError(f"{path} cannot be read as weights of Keras: {error}.") from None


def _names(group: "h5py.Group", kind: str) -> list[str]:
    """Return the names in the attribute `KIND_names`, or in its numbered pieces."""
    attribute = f"{kind}_names"
    if attribute in group.attrs:
        return _strings(group, attribute)
    names: list[str] = []
    for number in range(len(group.attrs)):
        if f"{attribute}{number}" in group.attrs:
            names += _strings(group, f"{attribute}{number}")
    return names


def _strings(group: "h5py.Group", attribute: str) -> list[str]:
    """Return an attribute's strings; its size is looked at before it is read."""
    import h5py

    entry = group.attrs.get_id(attribute)
    if entry.shape == (0,):
        return []
    bytes_ = entry.dtype.kind == "S" or h5py.check_string_dtype(entry.dtype) is not None
    if len(entry.shape) != 1 or not bytes_ or entry.get_storage_size() > 1 << 20:
        raise ValueError(f"the attribute {attribute!r} of {group.name!r} is no list of names")
    return [n.decode() if isinstance(n, bytes) else str(n) for n in group.attrs[attribute]]


def _child(group: "h5py.Group", name: str, kind: type) -> "h5py.Group | h5py.Dataset":
    """Return what a path within a group leads to, by hard links alone."""
    import h5py

    here = group
    for part in name.split("/"):
        link = here.get(part, getlink=True) if part and isinstance(here, h5py.Group) else None
        if not isinstance(link, h5py.HardLink):
            what = "missing" if link is None else f"a {type(link).__name__}"
            raise ValueError(f"{name!r} in {group.name!r} is {what}")
        here = here[part]
    if not isinstance(here, kind):
        raise ValueError(f"{name!r} in {group.name!r} is no {kind.__name__.lower()}")
    return here


def _dataset(group: "h5py.Group", name: str) -> "h5py.Dataset":
    import h5py

    dataset = _child(group, name, h5py.Dataset)
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{name!r} in {group.name!r} lies in another file")
    if dataset.dtype.kind != "f" or dataset.shape is None:
        raise ValueError(f"{name!r} in {group.name!r} is no array of floating-point numbers")
    if (
        dataset.id.get_create_plist().get_nfilters()
        or dataset.id.get_storage_size() != dataset.nbytes
    ):
        raise ValueError(f"{name!r} in {group.name!r} is compressed, or not whole")
    return dataset
