"""Training steps of models that translate: ours against plain Keras and PyTorch, in one run.

    python benchmarks/train_sequence.py [--torch-python PYTHON]

An LSTM encoder–decoder, a GRU with additive attention, and a transformer of four blocks on each
side: all 256 wide, with 8,000 tokens; batches of 96 pairs of 12 to 18 random tokens, padded to 18.
Cross-entropy of each next token but padding, and Adam; with and without dropout; float32 and
bfloat16. The contenders:

- `zoo`: the zoo's model as recipes train it, with their loss, optimizer, accuracy of the tokens and
  deterministic ops;
- `keras`: the twins in `keras_sequences.py` and Keras' own loss and optimizer;
- `keras-xla` (only if asked for): the same with `jit_compile`, as Keras chooses for a transformer;
- `torch` and `torch-compile`: the twins in `torch_sequences.py`.

All are given batches that lie ready in memory, and `fit` trains the first two. PyTorch is optional,
and best lives in an environment of its own, whose interpreter `--torch-python` names.

Each contender is a process (`turns.py`), and those of one model, precision and dropout take turns.
Compilation and one whole round come before and are not counted. Parameters must be equal.

Writes `benchmarks/results/train_sequence.csv`; medians are over the rounds:

- `sequences_per_second`, `slowest_round`, `fastest_round`;
- `times_torch`, `times_torch_lowest`, `times_torch_highest`: how many times as fast as the faster
  of the two `torch` by their medians, in the same round;
- `without_dropout`: how many times as fast as without dropout;
- `cores_busy`: core seconds by seconds, of `cores`;
- `parameters` that are trained, `batch`, `steps` in a round, `rounds`, `framework`, `hardware`.
"""

import argparse
import math
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from keras_sequences import MODELS as PLAIN
from turns import Contender, Turns

from recipes import Recipe
from recipes.building import seed_everything
from recipes.folder import hardware
from recipes.recipe import optimizer
from recipes.supervised import compile_model
from zoo import registry, surgery
from zoo.files import whole_file

HERE = Path(__file__).parent
BATCH, LENGTH, SHORTEST, READY = 96, 18, 12, 8
VOCABULARY, WIDTH = 8_000, 256
STEPS_OF_FIT = 100_000  # no epoch ends before the last round
RATE = 1e-4
PRECISIONS = {"float32": "float32", "bf16": "mixed_bfloat16"}
WAYS = ("zoo", "keras", "torch", "torch-compile")
_BOTH = {"source_vocabulary_size": VOCABULARY, "target_vocabulary_size": VOCABULARY}
_RECURRENT = {"embedding_dim": WIDTH, "units": WIDTH, **_BOTH}
# Name -> what its builder is given, and the dropout beside 0.
MODELS: dict[str, tuple[dict[str, Any], float]] = {
    "lstm_seq2seq": (_RECURRENT, 0.3),
    "gru_attention": (_RECURRENT, 0.3),
    "transformer": ({"vocabulary_size": VOCABULARY, "width": WIDTH, "depth": 4}, 0.1),
}


# What a contender's process does.


class TakesTurns(keras.callbacks.Callback):
    """Lets `fit` go on only when it is this process's turn."""

    left = 0

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Say what is trained."""
        facts = {
            "framework": f"tensorflow {tf.__version__}, keras {keras.__version__}",
            "parameters": sum(math.prod(w.shape) for w in self.model.trainable_weights),
        }
        self.turns = Turns(facts, {})

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Wait for the next turn."""
        if not self.left:
            self.left = self.turns.begin()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """End the turn."""
        self.left -= 1
        if not self.left:
            self.turns.end()


def pairs() -> tf.data.Dataset:
    """Return batches of random tokens, with padding behind, without end."""
    rng = np.random.default_rng(0)

    def tokens(places: int) -> np.ndarray:
        ids = rng.integers(4, VOCABULARY, (READY * BATCH, places), "int32")
        lengths = rng.integers(SHORTEST, places + 1, (len(ids), 1))
        return np.where(np.arange(places) < lengths, ids, 0).astype("int32")

    source, text = tokens(LENGTH), tokens(LENGTH + 1)
    inputs = {"source": source, "target": text[:, :-1]}
    batches = tf.data.Dataset.from_tensor_slices((inputs, text[:, 1:])).batch(BATCH)
    return batches.cache().repeat().prefetch(tf.data.AUTOTUNE)


def run_zoo(name: str, precision: str, dropout: float) -> keras.Model:
    """Return the zoo's model, ready to learn as in a recipe."""
    seed_everything(0)
    arguments = {**MODELS[name][0], "dropout": dropout}
    recipe = Recipe(
        model=name,
        data="random tokens",
        epochs=1,
        arguments=arguments,
        learning_rate=RATE,
        batch_size=BATCH,
        precision=PRECISIONS[precision],
    )
    model = registry.build(name, **arguments)
    model = surgery.with_precision(model, recipe.precision)
    compile_model(model, recipe, "translation", optimizer(recipe, RATE, "constant", STEPS_OF_FIT))
    return model


def run_keras(name: str, precision: str, dropout: float, xla: bool = False) -> keras.Model:
    """Return its twin of Keras' own layers."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(PRECISIONS[precision])
    model = PLAIN[name](VOCABULARY, WIDTH, LENGTH, dropout)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0)
    model.compile(keras.optimizers.Adam(RATE), loss, jit_compile=xla)
    return model


# What the measuring process does.


@dataclass
class Entry:
    """A contender, and what it answered in each round."""

    way: str
    process: Contender
    facts: dict[str, Any] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)

    @classmethod
    def start(cls, name: str, way: str, precision: str, drop: float, torch_python: str) -> "Entry":
        """Start its process."""
        if way.startswith("torch"):
            mode = "compile" if way == "torch-compile" else "eager"
            script = str(HERE / "torch_sequences.py")
            command = [torch_python, script, name, precision, str(drop), mode]
        else:
            command = [sys.executable, __file__, "--contender", way, name, precision, str(drop)]
        return cls(way, Contender(command))

    def turn(self, steps: int) -> None:
        """Take one turn."""
        answer = self.process.ask("steps", steps)
        self.seconds.append(answer["seconds"] / steps)
        self.busy.append(answer["core_seconds"] / answer["seconds"])


def measured(
    name: str, ways: list[str], precision: str, drop: float, torch_python: str, *turns: int
) -> list[Entry]:
    """Return the contenders after their rounds; `turns` are the steps and the rounds."""
    entries = []
    try:
        for way in ways:  # one after the other, as each compiles with all cores
            entry = Entry.start(name, way, precision, drop, torch_python)
            entries.append(entry)
            entry.facts = entry.process.answer()
            entry.process.ask("steps", 2)
        found = {entry.way: entry.facts["parameters"] for entry in entries}
        if len(set(found.values())) > 1:
            raise SystemExit(f"the contenders for {name} differ in parameters: {found}")
        take_turns(entries, *turns)
    finally:
        for entry in entries:
            entry.process.close()
    return entries


def take_turns(entries: list[Entry], steps: int, rounds: int) -> None:
    """Have each make its steps in every round, and forget the first."""
    for number in range(rounds + 1):
        first = number % len(entries)
        for entry in entries[first:] + entries[:first]:
            entry.turn(steps)
    for entry in entries:
        del entry.seconds[0], entry.busy[0]


def rows(
    name: str, precision: str, drop: float, entries: list[Entry], steps: int
) -> list[dict[str, Any]]:
    """Return the contenders' rows of the table."""
    rivals = [entry.seconds for entry in entries if entry.way.startswith("torch")]
    rival = min(rivals, key=median, default=[math.nan] * len(entries[0].seconds))
    found = []
    for entry in entries:
        times = [theirs / ours for theirs, ours in zip(rival, entry.seconds, strict=True)]
        found.append(
            {
                "model": name,
                "precision": precision,
                "dropout": drop,
                "contender": entry.way,
                "sequences_per_second": round(BATCH / median(entry.seconds), 1),
                "slowest_round": round(BATCH / max(entry.seconds), 1),
                "fastest_round": round(BATCH / min(entry.seconds), 1),
                "times_torch": round(median(times), 3),
                "times_torch_lowest": round(min(times), 3),
                "times_torch_highest": round(max(times), 3),
                "without_dropout": math.nan,
                "cores_busy": round(median(entry.busy), 2),
                "parameters": entry.facts["parameters"],
                "batch": BATCH,
                "steps": steps,
                "rounds": len(entry.seconds),
                "framework": entry.facts["framework"],
                "hardware": hardware(),
            }
        )
    return found


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the shares of the speed without dropout."""
    cell = ["model", "precision", "contender"]
    base = table[table.dropout == 0].set_index(cell).sequences_per_second
    without = [base.get(tuple(row), math.nan) for row in table[cell].itertuples(index=False)]
    return table.assign(without_dropout=(table.sequences_per_second / without).round(3))


def main() -> None:
    """Measure the models one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--contenders", nargs="+", choices=(*WAYS, "keras-xla"), default=list(WAYS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="in a round")
    parser.add_argument("--torch-python", default=sys.executable, help="interpreter with PyTorch")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "train_sequence.csv")
    parser.add_argument("--contender", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        way, name, precision, drop = options.contender
        if way == "zoo":
            model = run_zoo(name, precision, float(drop))
        else:
            model = run_keras(name, precision, float(drop), xla=way == "keras-xla")
        turns = TakesTurns()
        model.fit(pairs(), steps_per_epoch=STEPS_OF_FIT, verbose=0, callbacks=[turns])
        return

    ways = options.contenders
    if any(way.startswith("torch") for way in ways):
        command = [options.torch_python, "-c", "import torch"]
        if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode:
            print("PyTorch is not there, and its rows are left out: see --torch-python.")
            ways = [way for way in ways if not way.startswith("torch")]
    if not ways:
        parser.error("nothing is left to measure.")
    found: list[dict[str, Any]] = []
    for name, precision in product(options.models, options.precisions):
        for drop in (0.0, MODELS[name][1]):
            entries = measured(
                name, ways, precision, drop, options.torch_python, options.steps, options.rounds
            )
            found += rows(name, precision, drop, entries, options.steps)
        table = compared(pd.DataFrame(found))
        part = table.tail(2 * len(ways))
        print(part.iloc[:, : part.columns.get_loc("batch")].to_string(index=False), flush=True)
        with whole_file(options.out) as temporary:
            table.to_csv(temporary, index=False)


if __name__ == "__main__":
    main()
