"""The process that holds an artifact, and times it when it is asked to; see `export.benchmarking`.

    python -m export.timing FOLDER INPUTS.npz

It writes a line of JSON when it has loaded the artifact, and one for each line that it reads: a
request `{"batch": 32, "seconds": 0.2}`, answered by `{"milliseconds": […]}`, of each call.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_FEWEST = 3  # calls that are timed, however long they take


def main(folder: str, inputs: str) -> None:
    """Load the artifact, and answer until the input ends."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # what a library prints is no answer
    with np.load(inputs, allow_pickle=False) as file:
        arrays = dict(file)
    started = time.perf_counter()
    call = _loaded(Path(folder))
    first = {name: values[:1] for name, values in arrays.items()}
    call(first)
    _say(answers, {"load": 1e3 * (time.perf_counter() - started)})
    for line in sys.stdin:
        request = json.loads(line)
        part = {name: values[: request["batch"]] for name, values in arrays.items()}
        _say(answers, {"milliseconds": _times(call, part, request["seconds"])})


def _loaded(folder: Path) -> Callable[[dict[str, np.ndarray]], Any]:
    """Return what an artifact answers with, or a Keras model by `tf.function`."""
    if folder.suffix == ".keras":
        return _keras(folder)
    from export import artifact
    from export.batches import in_batches
    from export.formats import FORMATS, resolve

    manifest = artifact.read(folder)
    answer = resolve(FORMATS[manifest.format].reader)(folder, manifest)
    lengths = {t.name: t.shape[1] for t in manifest.inputs if manifest.tokenizers}

    def call(arrays: dict[str, np.ndarray]) -> Any:
        return answer({name: _fitted(x, lengths.get(name)) for name, x in arrays.items()})

    return lambda arrays: in_batches(call, arrays, manifest.inputs[0].shape[0])


def _fitted(values: np.ndarray, length: int | None) -> np.ndarray:
    """Return rows of token numbers in the length that a file is fixed to."""
    if length is None or values.shape[1] == length:
        return values
    return np.pad(values[:, :length], ((0, 0), (0, max(0, length - values.shape[1]))))


def _keras(path: Path) -> Callable[[dict[str, np.ndarray]], Any]:
    import keras
    import tensorflow as tf

    from zoo.models import load_file

    model = load_file(path)
    names = [tensor.name for tensor in model.inputs]

    @tf.function(reduce_retracing=True)
    def run(arrays: list[Any]) -> Any:
        return model(keras.tree.pack_sequence_as(model.input, arrays), training=False)

    def call(arrays: dict[str, np.ndarray]) -> Any:
        outputs = run([tf.constant(arrays[name]) for name in names])
        return keras.tree.map_structure(lambda x: x.numpy(), outputs)

    return call


def _times(
    call: Callable[[dict[str, np.ndarray]], Any], inputs: dict[str, np.ndarray], seconds: float
) -> list[float]:
    call(inputs)  # in this shape for the first time
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < _FEWEST or time.perf_counter() < end:
        started = time.perf_counter()
        call(inputs)
        times.append(1e3 * (time.perf_counter() - started))
    return times


def _say(stream: Any, words: dict[str, Any]) -> None:
    stream.write(json.dumps(words) + "\n")
    stream.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
