"""Decoding with a transformer: ours against the way of the prefix and Hugging Face's, in one run.

    python benchmarks/decode.py [--torch-python PYTHON]

A transformer of four blocks on each side, 256 wide, with 8,000 tokens and random weights, answers
sources of 18 tokens in float32. No answer may end before its last token. The contenders:

- `cache`: `zoo.sequence.decoding`, token by token with keys and values kept, in one `tf.function`;
- `cache-xla`: the same compiled by XLA;
- `prefix`: the encoder once, and then at every step the decoder over all tokens so far, as it is
  trained; in one `tf.function`, too;
- `transformers`: `generate` of a Marian of the same sizes, with its cache (`torch_decode.py`).

PyTorch and `transformers` are optional, and best live in an environment of their own, whose
interpreter `--torch-python` names. Each contender is a process (`turns.py`); all take turns.
Compilation comes before and is not counted.

Writes `benchmarks/results/decode.csv`; medians are over the rounds:

- `search`: "greedy", or "beam" of width 5; `batch` of sources; `length` of the answers;
- `tokens_per_second`, `slowest_round`, `fastest_round`: tokens of the answers, of a beam the best;
- `milliseconds`: of one batch of answers;
- `times_prefix`, `times_transformers`: how many times as fast as these, in the same round;
- `first_seconds`: of the first batch, with its compilation;
- `cores_busy`: core seconds by seconds;
- `parameters`, `rounds`, `framework`, `hardware`.
"""

import argparse
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from turns import Contender, Turns

import zoo
from recipes.folder import hardware
from zoo.files import whole_file
from zoo.sequence.decoding import beam, greedy
from zoo.sequence.steps import Constants, State, Steps, steps_of
from zoo.special_tokens import END, START

HERE = Path(__file__).parent
SOURCE, WIDTH_OF_BEAM = 18, 5
MODEL = {"vocabulary_size": 8_000, "width": 256, "depth": 4, "num_heads": 8}
WAYS = {
    "greedy": ("cache", "cache-xla", "prefix", "transformers"),
    "beam": ("cache", "cache-xla", "transformers"),
}


# What a contender's process does.


class Endless:
    """The steps of a model that never says END."""

    def __init__(self, steps: Steps) -> None:
        self.steps, self.vocabulary_size = steps, steps.vocabulary_size
        self.bias = np.where(np.arange(self.vocabulary_size) == END, -1e9, 0).astype("float32")

    def start(self, source: Any, length: int) -> tuple[State, Constants]:
        """Return what is known before the first token."""
        return self.steps.start(source, length)

    def step(self, ids: Any, place: Any, state: State, constants: Constants) -> tuple[Any, State]:
        """Read a token, and score the next one."""
        logits, state = self.steps.step(ids, place, state, constants)
        return logits + self.bias, state


def prefix(model: keras.Model, source: tf.Tensor, length: int) -> tf.Tensor:
    """Answer by the whole decoder over the tokens so far, again and again."""
    memory = model.get_layer("encoder_norm").output
    encoder = keras.Model(model.input["source"], memory)
    decoder = keras.Model([model.input["source"], memory, model.input["target"]], model.output)
    bias = Endless(steps_of(model)).bias
    seen = encoder(source, training=False)
    texts = tf.fill((tf.shape(source)[0], 1), START)

    def body(texts: tf.Tensor) -> tuple[tf.Tensor]:
        logits = decoder([source, seen, texts], training=False)[:, -1] + bias
        ids = tf.argmax(logits, axis=-1, output_type=tf.int32)
        return (tf.concat([texts, ids[:, tf.newaxis]], axis=1),)

    shape = tf.TensorShape((source.shape[0], None))
    [texts] = tf.while_loop(
        lambda texts: tf.shape(texts)[1] <= length, body, (texts,), (shape,), parallel_iterations=1
    )
    return texts[:, 1:]


def answers_of(way: str, search: str) -> tuple[keras.Model, Callable[[tf.Tensor, int], Any]]:
    """Return a model, and a function (source, length) -> answers that is to be compiled."""
    keras.utils.set_random_seed(0)
    model = zoo.build("transformer", **MODEL)
    if way == "prefix":
        return model, partial(prefix, model)
    steps = Endless(steps_of(model))
    if search == "beam":
        return model, lambda source, length: beam(steps, source, length, WIDTH_OF_BEAM)[0]
    return model, lambda source, length: greedy(steps, source, length)


def contend(way: str, search: str, cases: list[str]) -> None:
    """Answer when it is this process's turn."""
    model, answers = answers_of(way, search)
    rng = np.random.default_rng(0)

    def action(batch: int, length: int) -> Callable[[int], None]:
        source = tf.constant(rng.integers(4, MODEL["vocabulary_size"], (batch, SOURCE)), "int32")
        compiled = tf.function(
            lambda source: answers(source, length), jit_compile=way == "cache-xla", autograph=False
        )

        def repeat(count: int) -> None:
            for _ in range(count):
                assert (np.asarray(compiled(source)) != END).all()

        return repeat

    facts = {
        "framework": f"tensorflow {tf.__version__}, keras {keras.__version__}",
        "parameters": model.count_params(),
    }
    Turns(facts, {case: action(*map(int, case.split("x"))) for case in cases}).begin()


# What the measuring process does.


@dataclass
class Entry:
    """A contender, and what it answered in each round of each case."""

    way: str
    process: Contender
    facts: dict[str, Any] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    first: float = math.nan

    @classmethod
    def start(cls, way: str, search: str, cases: list[str], torch_python: str) -> "Entry":
        """Start its process."""
        if way == "transformers":
            command = [torch_python, str(HERE / "torch_decode.py"), search, *cases]
        else:
            command = [sys.executable, __file__, "--contender", way, search, *cases]
        return cls(way, Contender(command))

    def turn(self, case: str, count: int) -> None:
        """Take one turn."""
        answer = self.process.ask(case, count)
        self.seconds.append(answer["seconds"] / count)
        self.busy.append(answer["core_seconds"] / answer["seconds"])

    def count(self, case: str, seconds: float) -> int:
        """Return how many answers take about so many seconds."""
        return max(1, round(seconds / self.process.ask(case, 1)["seconds"]))


def row(search: str, case: str, entry: Entry, entries: list[Entry]) -> dict[str, Any]:
    """Return a contender's row of the table."""
    batch, length = map(int, case.split("x"))
    others = {other.way: other.seconds for other in entries}

    def times(way: str) -> float:
        theirs = others.get(way, [math.nan] * len(entry.seconds))
        return round(median(a / b for a, b in zip(theirs, entry.seconds, strict=True)), 2)

    rates = [batch * length / seconds for seconds in entry.seconds]
    return {
        "search": search,
        "batch": batch,
        "length": length,
        "contender": entry.way,
        "tokens_per_second": round(median(rates), 1),
        "slowest_round": round(min(rates), 1),
        "fastest_round": round(max(rates), 1),
        "milliseconds": round(1e3 * median(entry.seconds), 2),
        "times_prefix": times("prefix"),
        "times_transformers": times("transformers"),
        "first_seconds": round(entry.first, 2),
        "cores_busy": round(median(entry.busy), 2),
        "parameters": entry.facts["parameters"],
        "rounds": len(entry.seconds),
        "framework": entry.facts["framework"],
        "hardware": hardware(),
    }


def measured(
    search: str, ways: list[str], cases: list[str], seconds: float, rounds: int, torch_python: str
) -> list[dict[str, Any]]:
    """Return the rows of all contenders in a kind of search."""
    found, entries = [], []
    try:
        for way in ways:
            entries.append(Entry.start(way, search, cases, torch_python))
            entries[-1].facts = entries[-1].process.answer()
        for case in cases:
            for entry in entries:
                entry.seconds, entry.busy = [], []
                entry.first = entry.process.ask(case, 1)["seconds"]
            counts = {entry.way: entry.count(case, seconds) for entry in entries}
            for number in range(rounds):
                first = number % len(entries)
                for entry in entries[first:] + entries[:first]:
                    entry.turn(case, counts[entry.way])
            found += [row(search, case, entry, entries) for entry in entries]
    finally:
        for entry in entries:
            entry.process.close()
    return found


def main() -> None:
    """Measure the kinds of search one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--searches", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32])
    parser.add_argument("--lengths", nargs="+", type=int, default=[16, 32, 64, 128])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.7, help="of a turn, about")
    parser.add_argument("--torch-python", default=sys.executable, help="interpreter with PyTorch")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "decode.csv")
    parser.add_argument("--contender", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        way, search, *cases = options.contender
        return contend(way, search, cases)
    command = [options.torch_python, "-c", "import transformers, torch"]
    without = subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode
    if without:
        print("Hugging Face's transformers are not there, and are left out: see --torch-python.")
    cases = [f"{batch}x{length}" for batch in options.batches for length in options.lengths]
    found: list[dict[str, Any]] = []
    for search in options.searches:
        ways = [way for way in WAYS[search] if not (without and way == "transformers")]
        found += measured(
            search, ways, cases, options.seconds, options.rounds, options.torch_python
        )
        table = pd.DataFrame(found)
        part = table[table.search == search]
        print(part.iloc[:, : part.columns.get_loc("rounds")].to_string(index=False), flush=True)
        with whole_file(options.out) as temporary:
            table.to_csv(temporary, index=False)


if __name__ == "__main__":
    main()
