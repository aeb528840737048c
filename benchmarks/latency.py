"""Exported models against the ways of calling them in Python, one sample at a time, in one run.

    python benchmarks/latency.py [NAME …]

Writes `benchmarks/results/latency.csv`: median milliseconds per sample, and how many times faster
than `tf.function`. Ways take turns, so that a drift of the machine's speed meets all alike.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

import zoo
from export import export
from export.formats import FORMATS, resolve
from export.runner import median_seconds
from recipes import load_data

FORMS = (
    ("saved_model", "float32"),
    ("litert", "float32"),
    ("litert", "dynamic"),
    ("litert", "int8"),
)
ROUNDS = 5


def ways(name: str, folder: Path) -> dict[str, Callable[[], Any]]:
    """Return way of calling -> a function that answers for one sample."""
    model, card = zoo.load(name), zoo.card(name)
    inputs = load_data(card.dataset.source).train.inputs[:256]
    one = inputs[:1]
    tensor = tf.constant(one)
    function = tf.function(lambda x: model(x, training=False))
    compiled = tf.function(lambda x: model(x, training=False), jit_compile=True)
    result: dict[str, Callable[[], Any]] = {
        "keras.Model.predict": lambda: model.predict(one, verbose=0),
        "tf.function": lambda: function(tensor).numpy(),
        "tf.function, XLA": lambda: compiled(tensor).numpy(),
    }
    for format, quantization in FORMS:
        artifact = export(
            name,
            folder / f"{name}-{format}-{quantization}",
            format,
            quantization,
            calibration=inputs,
            verify=False,
        )
        read = resolve(FORMATS[format].reader)
        call = read(artifact.path, artifact.manifest)
        feed = {card.input.name: one}
        result[f"{format} {quantization}"] = lambda call=call, feed=feed: call(feed)
    return result


def main() -> None:
    """Time every way of calling each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=["lenet5-mnist", "mlp-mnist", "convnet-mnist"])
    rows = []
    for name in parser.parse_args().names:
        with tempfile.TemporaryDirectory() as folder:
            calls = ways(name, Path(folder))
            times: dict[str, list[float]] = {way: [] for way in calls}
            for _ in range(ROUNDS):
                for way, call in calls.items():
                    times[way].append(median_seconds(call, budget=0.5))
        base = np.median(times["tf.function"])
        for way, seconds in times.items():
            rows.append(
                {
                    "model": name,
                    "way": way,
                    "milliseconds": round(1e3 * float(np.median(seconds)), 4),
                    "times_faster_than_tf_function": round(float(base / np.median(seconds)), 2),
                    "cores": os.cpu_count(),
                }
            )
    table = pd.DataFrame(rows)
    table.to_csv(Path(__file__).parent / "results" / "latency.csv", index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
