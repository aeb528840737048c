"""Training steps of vision models: our recipes against plain Keras and PyTorch, in one run.

    python benchmarks/train_vision.py [--torch-python PYTHON]

Random uint8 pictures of 32×32×3, batches of 128, ten classes; SGD with momentum for the residual
networks, AdamW for the transformer; float32 and bfloat16. The contenders:

- `recipe`: `recipes.train` itself, with its pipeline, crop and flip, and its deterministic ops;
- `keras`: `fit` with the same model, where Keras' own layers stand for ours;
- `keras-xla` (only if asked for): the same with `jit_compile`, as Keras chooses by itself;
- `torch` and `torch-compile`: the twins in `torch_models.py`.

All but the first are given eight batches that lie ready in memory, and augment nothing. Plain Keras
runs without XLA, which is slower for convolutions on CPUs. PyTorch is optional, and best lives in
an environment of its own (`python -m venv`, then `pip install torch==2.13.0 numpy`), whose
interpreter `--torch-python` names; without it its rows are left out.

Each contender in each precision is a process (`turns.py`). The processes of one model take turns:
in every round each makes its steps while the others wait, and then shows the peak of its framework
by products of matrices. Compilation and one whole round come before and are not counted. Parameters
must be equal, and the two frameworks must count the same work.

Writes `benchmarks/results/train_vision.csv`; medians are over the rounds:

- `images_per_second`, `slowest_round`, `fastest_round`: `fit` sometimes runs its ops one after the
  other, which shows as a slow round in which few cores are busy;
- `times_keras`, `times_keras_lowest`, `times_keras_highest`: how many times as fast as `keras` in
  the same precision and round; `times_keras_float32`: the median against its float32;
- `gflop_per_image`: three times the products of one forward pass, counted from the layers;
- `share_of_peak`: that work per second, by the highest median `peak_gflops` of both frameworks in
  this precision;
- `cores_busy`, `cores_busy_lowest`: core seconds by seconds, of `cores`;
- `input_share`: seconds of the input pipeline alone by those of the step, for `recipe`;
- `parameters` that are trained, `batch`, `steps` in a round, `rounds`, `framework`, `hardware`.
"""

import argparse
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from turns import Contender, Turns

from recipes import Recipe, Splits, train
from recipes.data import Examples
from recipes.folder import hardware
from recipes.recipe import optimizer
from recipes.supervised import compile_model, recipe_batches
from zoo import registry, surgery
from zoo.files import whole_file
from zoo.layers import BatchNormalization, Conv2D, Gelu

HERE = Path(__file__).parent
BATCH, CLASSES, SHAPE = 128, 10, (32, 32, 3)
PICTURES = 50_000  # no epoch ends before the last round
READY = 8  # batches that lie ready for the contenders without a pipeline
MATRIX, MATMULS, DRAWN = 2048, 4, 64  # side and number of the products, batches of the input alone
PRECISIONS = {"float32": "float32", "bf16": "mixed_bfloat16"}
WAYS = ("recipe", "keras", "torch", "torch-compile")
_KERAS_OWN = {
    BatchNormalization: keras.layers.BatchNormalization,
    Conv2D: keras.layers.Conv2D,
}
_SGD = {"optimizer": "sgd", "learning_rate": 0.01}
_ADAMW = {"optimizer": "adamw", "learning_rate": 1e-3, "weight_decay": 0.05}


@dataclass(frozen=True)
class Case:
    """A model: what its builder and its recipe are given, and its share of the steps."""

    arguments: dict[str, Any]
    training: dict[str, Any]
    share: float

    def recipe(self, name: str, precision: str) -> Recipe:
        """Return the recipe that is measured."""
        return Recipe(
            model=name,
            data="random pictures",
            epochs=1,
            arguments=self.arguments,
            batch_size=BATCH,
            augment={"crop": 4, "flip": 0.5},
            precision=PRECISIONS[precision],
            **self.training,
        )


MODELS = {
    "resnet20": Case({}, _SGD, 1.0),
    "resnet18": Case({"stem": "small"}, _SGD, 0.25),
    "vit": Case({"width": 192, "depth": 6, "num_heads": 3, "patch_size": 4}, _ADAMW, 0.5),
}


# What a contender's process does.


class TakesTurns(keras.callbacks.Callback):
    """Lets `fit` go on only when it is this process's turn."""

    def __init__(self, precision: str, actions: dict[str, Callable[[int], None]]) -> None:
        super().__init__()
        matrix = tf.cast(tf.random.uniform((MATRIX, MATRIX)), PRECISIONS[precision].split("_")[-1])

        def matmul(count: int) -> None:
            for _ in range(count):
                tf.linalg.matmul(matrix, matrix)

        self.actions, self.left = {"matmul": matmul, **actions}, 0

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Say what is trained."""
        facts = {
            "framework": f"tensorflow {tf.__version__}, keras {keras.__version__}",
            "parameters": sum(math.prod(w.shape) for w in self.model.trainable_weights),
            "forward_flops": forward_flops(self.model),
        }
        self.turns = Turns(facts, self.actions)

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Wait for the next turn."""
        if not self.left:
            self.left = self.turns.begin()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """End the turn."""
        self.left -= 1
        if not self.left:
            self.turns.end()


def forward_flops(model: keras.Model) -> int:
    """Return the FLOPs of the products of matrices and convolutions for one picture."""
    total = 0
    for layer in model.layers:
        positions = math.prod(layer.output.shape[1:-1])
        if isinstance(layer, keras.layers.MultiHeadAttention):
            kernels = [w for w in layer.weights if len(w.shape) == 3]
            total += 4 * positions**2 * layer.output.shape[-1]  # queries by keys, and by values
        else:
            kernels = [layer.kernel] if hasattr(layer, "kernel") else []
        total += sum(2 * positions * math.prod(kernel.shape) for kernel in kernels)
    return total


def random_pictures(count: int) -> Examples:
    """Return pictures and classes that teach nothing."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (count, *SHAPE), "uint8")
    return Examples(pictures, rng.integers(0, CLASSES, count))


def run_recipe(name: str, precision: str) -> None:
    """Train by a recipe, step by step as it is told."""
    few, many = random_pictures(BATCH), random_pictures(PICTURES)
    labels = tuple(map(str, range(CLASSES)))
    data = Splits(many, few, few, "classification", labels, "random pictures", "none")
    recipe = MODELS[name].recipe(name, precision)
    alone = iter(recipe_batches(recipe, data, data.task, range(1000)))

    def draw(count: int) -> None:
        for _ in islice(alone, count):
            pass

    with tempfile.TemporaryDirectory() as folder:
        turns = TakesTurns(precision, {"input": draw})
        train(recipe, Path(folder) / "run", data=data, callbacks=[turns])


def run_keras(name: str, precision: str, xla: bool = False) -> None:
    """Train an equal model of Keras's own layers with `fit`, step by step as it is told."""
    keras.utils.set_random_seed(0)
    case = MODELS[name]
    recipe = case.recipe(name, precision)
    own = registry.build(name, input_shape=SHAPE, classes=CLASSES, **case.arguments)

    def gelu(x: keras.KerasTensor) -> keras.KerasTensor:
        return keras.activations.gelu(x, approximate=True)

    def plain(layer: keras.Layer) -> keras.Layer:
        if isinstance(layer, Gelu):
            return keras.layers.Activation(gelu, name=layer.name)
        kind = _KERAS_OWN.get(type(layer), type(layer))
        return kind.from_config(layer.get_config())

    model = surgery.with_precision(surgery.copy(own, clone_function=plain), PRECISIONS[precision])
    rate, steps = recipe.learning_rate, PICTURES // BATCH
    compile_model(model, recipe, "classification", optimizer(recipe, rate, recipe.schedule, steps))
    model.jit_compile = xla
    examples = random_pictures(READY * BATCH)
    targets = np.eye(CLASSES, dtype="float32")[examples.targets]
    batches = tf.data.Dataset.from_tensor_slices((examples.inputs, targets)).batch(BATCH)
    batches = batches.cache().repeat().prefetch(tf.data.AUTOTUNE)
    model.fit(batches, steps_per_epoch=steps, verbose=0, callbacks=[TakesTurns(precision, {})])


# What the measuring process does.


@dataclass
class Entry:
    """A contender, and what it answered in each round."""

    way: str
    precision: str
    process: Contender
    facts: dict[str, Any] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)
    inputs: list[float] = field(default_factory=list)

    @classmethod
    def start(cls, name: str, way: str, precision: str, torch_python: str) -> "Entry":
        """Start its process."""
        if way.startswith("torch"):
            mode = "compile" if way == "torch-compile" else "eager"
            command = [torch_python, str(HERE / "torch_models.py"), name, precision, mode]
        else:
            command = [sys.executable, __file__, "--contender", way, name, precision]
        return cls(way, precision, Contender(command))

    def turn(self, steps: int) -> None:
        """Take one turn."""
        answer = self.process.ask("steps", steps)
        self.seconds.append(answer["seconds"] / steps)
        self.busy.append(answer["core_seconds"] / answer["seconds"])
        seconds = self.process.ask("matmul", MATMULS)["seconds"]
        self.peaks.append(2e-9 * MATRIX**3 * MATMULS / seconds)
        if self.way == "recipe":
            self.process.ask("input", READY)  # some of these had been fetched while it waited
            self.inputs.append(self.process.ask("input", DRAWN)["seconds"] / DRAWN)

    def forget(self) -> None:
        """Leave out what was measured so far."""
        for figures in (self.seconds, self.busy, self.peaks, self.inputs):
            figures.clear()


def measured(
    name: str, ways: list[str], precisions: list[str], steps: int, rounds: int, torch_python: str
) -> list[Entry]:
    """Return the contenders for one model after their rounds."""
    entries = [Entry.start(name, way, p, torch_python) for p in precisions for way in ways]
    try:
        for entry in entries:
            entry.facts = entry.process.answer()
            entry.process.tell("steps", 2)  # compiles
        for entry in entries:
            entry.process.answer()
        check(name, entries)
        for number in range(rounds + 1):
            first = number % len(entries)
            for entry in entries[first:] + entries[:first]:
                entry.turn(steps)
            if not number:  # a round to warm up
                for entry in entries:
                    entry.forget()
    finally:
        for entry in entries:
            entry.process.close()
    return entries


def check(name: str, entries: list[Entry]) -> None:
    """Refuse models that are not equal."""
    for fact in ("parameters", "forward_flops"):
        found = {entry.way: entry.facts[fact] for entry in entries}
        if len(set(found.values())) > 1:
            raise SystemExit(f"the contenders for {name} differ in {fact}: {found}")


def row(name: str, entry: Entry, entries: list[Entry], steps: int) -> dict[str, Any]:
    """Return a contender's row of the table."""
    keras_of = {other.precision: other.seconds for other in entries if other.way == "keras"}

    def times(precision: str) -> list[float]:
        base = keras_of.get(precision, [math.nan] * len(entry.seconds))
        return [theirs / ours for theirs, ours in zip(base, entry.seconds, strict=True)]

    alike = times(entry.precision)
    peak = max(median(other.peaks) for other in entries if other.precision == entry.precision)
    work = 3e-9 * entry.facts["forward_flops"]
    rate = BATCH / median(entry.seconds)
    inputs = median(entry.inputs) / median(entry.seconds) if entry.inputs else math.nan
    return {
        "model": name,
        "precision": entry.precision,
        "contender": entry.way,
        "images_per_second": round(rate, 1),
        "slowest_round": round(BATCH / max(entry.seconds), 1),
        "fastest_round": round(BATCH / min(entry.seconds), 1),
        "times_keras": round(median(alike), 3),
        "times_keras_lowest": round(min(alike), 3),
        "times_keras_highest": round(max(alike), 3),
        "times_keras_float32": round(median(times("float32")), 3),
        "gflop_per_image": round(work, 4),
        "share_of_peak": round(rate * work / peak, 3),
        "peak_gflops": round(median(entry.peaks), 1),
        "cores_busy": round(median(entry.busy), 2),
        "cores_busy_lowest": round(min(entry.busy), 2),
        "input_share": round(inputs, 4),
        "parameters": entry.facts["parameters"],
        "batch": BATCH,
        "steps": steps,
        "rounds": len(entry.seconds),
        "framework": entry.facts["framework"],
        "hardware": hardware(),
    }


def main() -> None:
    """Measure the models one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--contenders", nargs="+", choices=(*WAYS, "keras-xla"), default=list(WAYS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="of ResNet-20 in a round")
    parser.add_argument("--torch-python", default=sys.executable, help="interpreter with PyTorch")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "train_vision.csv")
    parser.add_argument("--contender", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        way, name, precision = options.contender
        if way == "recipe":
            return run_recipe(name, precision)
        return run_keras(name, precision, xla=way == "keras-xla")

    if (options.rounds + 1) * options.steps + 2 > PICTURES // BATCH:
        parser.error("so many rounds and steps are more than one epoch.")
    ways = options.contenders
    if any(way.startswith("torch") for way in ways):
        command = [options.torch_python, "-c", "import torch"]
        if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode:
            print("PyTorch is not there, and its rows are left out: see --torch-python.")
            ways = [way for way in ways if not way.startswith("torch")]
    if not ways:
        parser.error("nothing is left to measure.")
    rows = []
    for name in options.models:
        steps = max(1, round(options.steps * MODELS[name].share))
        entries = measured(
            name, ways, options.precisions, steps, options.rounds, options.torch_python
        )
        rows += [row(name, entry, entries, steps) for entry in entries]
        part = pd.DataFrame(rows[-len(entries) :])
        print(part.iloc[:, : part.columns.get_loc("parameters")].to_string(index=False), flush=True)
    with whole_file(options.out) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)


if __name__ == "__main__":
    main()
