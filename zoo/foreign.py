"""Published weights in other projects' files, laid into the models of this zoo.

Every form is a list of arrays in the order in which our builder makes the layers; a shape that does
not fit is refused, and nothing is guessed.

| form | file |
|---|---|
| `torch` | `torch.save`: convolutions `(out, in, h, w)`, dense kernels `(out, in)` |
| `keras` | HDF5 of Keras 1 and 2, as `keras.applications` fetches it |
| `keras_caffe` | the same, of a net that takes BGR pixels less the mean of ImageNet's pictures |

None of them is unpickled, and nothing in them is run: a publisher's hash may be weak.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoo.errors import InputError
from zoo.hdf5_files import read_arrays
from zoo.torch_files import read_state

if TYPE_CHECKING:
    import keras


def load_weights(model: "keras.Model", path: Path, form: str) -> None:
    """Lay published weights into a model.

    Args:
        model: as its builder makes it.
        path: a file whose hash was checked.
        form: one of the table above.

    Raises:
        InputError: the file does not hold this model's weights.
    """
    readers = {"torch": _torch, "keras": read_arrays, "keras_caffe": _keras_caffe}
    if form not in readers:
        raise InputError(f"the weight file {path} is of a form {form!r} that this zoo cannot read.")
    arrays = readers[form](path)
    wanted = [tuple(weight.shape) for weight in model.weights]
    found = [array.shape for array in arrays]
    if wanted != found:
        first = next((i for i, (w, f) in enumerate(zip(wanted, found, strict=False)) if w != f), -1)
        where = f"; the first that differs is {model.weights[first].path}" if first >= 0 else ""
        raise InputError(
            f"{path} holds {len(found)} arrays, and they are not the {len(wanted)} weights of "
            f"{model.name!r}{where}."
        )
    if not all(np.isfinite(array).all() for array in arrays):
        raise InputError(f"{path} holds weights that are no finite numbers.")
    model.set_weights(arrays)


def _torch(path: Path) -> list[np.ndarray]:
    arrays = [
        array
        for name, array in read_state(path).items()
        if not name.endswith("num_batches_tracked")
    ]
    return [_keras_axes(array) for array in arrays]


def _keras_axes(array: np.ndarray) -> np.ndarray:
    """Turn a kernel of PyTorch's to the order of axes that Keras has."""
    if array.ndim == 4:
        depthwise = array.shape[1] == 1
        return array.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
    return array.T if array.ndim == 2 else array


def _keras_caffe(path: Path) -> list[np.ndarray]:
    """Turn the first kernel from blue, green, red to red, green, blue, in units of deviations."""
    from zoo.layers.inputs import IMAGENET

    kernel, *rest = read_arrays(path)
    if kernel.ndim != 4 or kernel.shape[2] != 3:
        raise InputError(f"{path} does not begin with a kernel for BGR pixels.")
    black, white = map(np.asarray, IMAGENET)
    deviations = 255 / (white - black)
    return [(kernel[:, :, ::-1] * deviations[:, None]).astype(kernel.dtype), *rest]
