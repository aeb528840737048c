"""Train by a recipe on several virtual devices of this processor, in a process of its own.

    python spread.py JOBS.json

A job has a recipe's fields, the folder of the run, its devices, and where it pauses or goes on; or
it asks what each device draws.
The environment names Keras' backend, and how many devices JAX is to see; TensorFlow gets four.
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

if keras.backend.backend() == "tensorflow":
    processor = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration()] * 4
    tf.config.set_logical_device_configuration(processor, parts)

from recipes import Recipe, train
from recipes.devices import Devices, devices_for
from recipes.supervised import begin, learn
from zoo.errors import InputError


class Divided(keras.callbacks.Callback):
    """Looks what share of the weights JAX divides, and whether it divides batches."""

    weights, batches = 0.0, False

    def on_train_begin(self, logs: object = None) -> None:
        if keras.backend.backend() != "jax":
            return
        import jax

        parts = [weight.value for weight in self.model.weights]
        divided = sum(x.size for x in parts if not x.sharding.is_fully_replicated)
        self.weights = divided / sum(x.size for x in parts)
        kinds = self.model.trainable_variables, self.model.non_trainable_variables
        values = [[variable.value for variable in kind] for kind in kinds]
        examples = np.zeros((8, *self.model.input_shape[1:]), self.model.inputs[0].dtype)
        answer, _ = jax.jit(self.model.stateless_call)(*values, examples)
        self.batches = not answer.sharding.is_fully_replicated


def drawn(devices: Devices) -> list[list[float]]:
    """Return what each device makes of ones by dropout."""
    with devices.scope():
        inputs = keras.Input((16,))
        model = devices.spread(keras.Model(inputs, keras.layers.Dropout(0.5, seed=0)(inputs)))
        strategy = tf.distribute.get_strategy()
        parts = strategy.run(lambda: model(tf.ones((1, 16)), training=True))
        return [part.numpy()[0].tolist() for part in strategy.experimental_local_results(parts)]


def run(job: dict) -> dict:
    devices = devices_for(job.get("devices"), job.get("model_shards", 1))
    if job.get("drawn"):
        return {"drawn": drawn(devices)}
    out, divided = Path(job["out"]), Divided()
    if job.get("until"):
        started, data = begin(Recipe(**job["recipe"]), devices.place(out, False))
        learn(started, data, until=job["until"], devices=devices)
        return {}
    found = train(
        Recipe(**job["recipe"]),
        out,
        resume=job.get("resume", False),
        devices=devices,
        callbacks=[divided],
    )
    return {
        "card": found.card.training.devices,
        "place": str(found.path),
        "weights": divided.weights,
        "batches": divided.batches,
    }


if __name__ == "__main__":
    for job in json.loads(Path(sys.argv[1]).read_text()):
        try:
            answer = run(job)
        except InputError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)
