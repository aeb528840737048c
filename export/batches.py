"""Examples in batches of the size that an artifact takes."""

from collections.abc import Callable

import numpy as np

Arrays = dict[str, np.ndarray]


def examples_in(arrays: Arrays) -> int:
    """Return the number of examples in some arrays: a scalar is for all of them."""
    return next((len(x) for x in arrays.values() if x.ndim), 1)


def taken(arrays: Arrays, places: np.ndarray) -> Arrays:
    """Return the examples at some places, and scalars as they are."""
    return {name: x[places] if x.ndim else x for name, x in arrays.items()}


def in_batches(
    call: Callable[[Arrays], Arrays], arrays: Arrays, size: int | None, filled: bool = True
) -> Arrays:
    """Ask as often as it takes, and return the answers together.

    Args:
        call: from named arrays to named arrays; their first axes count examples.
        arrays: what is asked.
        size: examples of a batch; `None` for all at once.
        filled: repeat the last example until the last batch is full, too.
    """
    count = examples_in(arrays)
    if size is None or size == count:
        return call(arrays)
    parts = []
    for start in range(0, count, size):
        end = start + size if filled else min(start + size, count)
        parts.append(call(taken(arrays, np.minimum(np.arange(start, end), count - 1))))
    return {name: np.concatenate([part[name] for part in parts])[:count] for name in parts[0]}
