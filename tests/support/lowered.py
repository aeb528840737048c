"""Lower every architecture for CUDA and TPU, in one process whose backend is JAX.

    python lowered.py OUT.json [NAME ...]

Writes for each name: "" or the error of its forward and of its train step, and how far the reloaded
program is from Keras on the CPU.
"""

import json
import sys
import traceback
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
from architectures import CLOSELY, PARTICULAR, build, raw
from jax import export

from export.lowering import inference, train_step
from zoo.catalog import NAMES

SEEDED = np.random.default_rng(0)
PLATFORMS = ("cpu", "cuda", "tpu")
# Whose steps are run, too: one of each family, without dropout or draws, so that the loss falls.
RUN = {"lenet5", "resnet20", "gpt", "gru_attention", "dcgan", "dqn"}


def drawn(self: Any, shape: Any, dtype: Any = None, **_: Any) -> np.ndarray:
    """Draw weights by NumPy: JAX would compile a program for each shape."""
    fan = max(1, int(np.prod(shape[:-1])))
    return (SEEDED.normal(size=shape) / fan**0.5).astype(dtype or "float32")


def answered(model: keras.Model, inputs: Any) -> Any:
    """What Keras answers; compiled as a whole, which is sooner done than each operation alone."""
    weights = [
        [x.value for x in kind]
        for kind in (model.trainable_variables, model.non_trainable_variables)
    ]
    return jax.jit(lambda x: model.stateless_call(*weights, x, training=False)[0])(inputs)


def forward(name: str, model: keras.Model) -> dict[str, Any]:
    shapes = {tensor.name: tensor.shape for tensor in model.inputs}
    program = inference(model, NAMES[name].task, shapes, PLATFORMS)
    again = export.deserialize(program.serialize())
    inputs = raw(model, 3)
    told = answered(model, inputs)
    if NAMES[name].task == "control" and isinstance(told, dict):
        told = told["q_values"]  # what they are made of is for training
    outputs = [np.asarray(x) for x in keras.tree.flatten(told)]
    found = [np.asarray(x) for x in jax.jit(again.call)(given(model, inputs)).values()]
    found = [x for x in found if x.dtype == "float32"]
    pairs = zip(sorted(found, key=np.size), sorted(outputs, key=np.size), strict=True)
    scale = max(1.0, *(float(np.abs(x).max()) for x in outputs))
    return {
        "platforms": list(again.platforms),
        "difference": max(float(np.abs(x - y).max()) for x, y in pairs) / scale,
    }


def given(model: keras.Model, inputs: Any) -> dict[str, np.ndarray]:
    return inputs if isinstance(inputs, dict) else {model.inputs[0].name: inputs}


def learning(model: keras.Model, updates: int) -> dict[str, Any]:
    """Lower a step, and where asked to, run it some times on outputs that are to become 0."""
    shapes = {tensor.name: tensor.shape for tensor in model.inputs}
    targets = [(tensor.shape, "float32") for tensor in keras.tree.flatten(model.output)]
    program, state = train_step(
        model, keras.optimizers.Adam(1e-3), keras.losses.MeanSquaredError(), shapes, targets,
        PLATFORMS,
    )  # fmt: skip
    again = export.deserialize(program.serialize())
    inputs = raw(model, 3)
    wanted = [np.zeros_like(x) for x in keras.tree.flatten(answered(model, inputs))]
    step, losses = jax.jit(again.call), []
    for _ in range(updates):
        state, loss = step(state, given(model, inputs), wanted)
        losses.append(float(loss))
    return {"platforms": list(again.platforms), "losses": losses}


def attempt(work: Any, *arguments: Any) -> dict[str, Any]:
    try:
        return work(*arguments)
    except Exception:
        return {"error": traceback.format_exc().strip().splitlines()[-1]}


def main(out: str, names: list[str]) -> None:
    found = {}
    keras.initializers.VarianceScaling.__call__ = drawn
    for name in names or [*CLOSELY, *PARTICULAR]:
        model = build(name)
        updates = 5 if name in RUN else 0
        found[name] = {
            "forward": attempt(forward, name, model), "step": attempt(learning, model, updates),
        }  # fmt: skip
        Path(out).write_text(json.dumps(found))
        keras.utils.clear_session()
        jax.clear_caches()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
