"""Train by a recipe on several virtual devices of this processor, in a process of its own.

    python spread.py JOBS.json

A job has a recipe's fields, the folder of the run, its devices, and where it pauses or goes on.
The environment names Keras' backend, and how many devices JAX is to see; TensorFlow gets four.
"""

import json
import sys
from pathlib import Path

import keras
import tensorflow as tf

if keras.backend.backend() == "tensorflow":
    processor = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration()] * 4
    tf.config.set_logical_device_configuration(processor, parts)

from recipes import Recipe, train
from recipes.devices import devices_for
from recipes.supervised import begin, learn
from zoo.errors import InputError


def run(job: dict) -> dict:
    devices = devices_for(job.get("devices"), job.get("model_shards", 1))
    out = Path(job["out"])
    if job.get("until"):
        started, data = begin(Recipe(**job["recipe"]), devices.place(out, False))
        learn(started, data, until=job["until"], devices=devices)
        return {}
    if job.get("resume"):
        found = train(Recipe(**job["recipe"]), out, resume=True, devices=devices)
    else:
        found = train(Recipe(**job["recipe"]), out, devices=devices)
    return {"card": found.card.training.devices, "place": str(found.path)}


if __name__ == "__main__":
    for job in json.loads(Path(sys.argv[1]).read_text()):
        try:
            answer = run(job)
        except InputError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)
