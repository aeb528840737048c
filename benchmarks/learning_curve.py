"""What a pretrained start is worth: fine-tuning on flowers with few and with many pictures.

    python benchmarks/learning_curve.py [--per-class 10 50 200 0] [--seeds 0 1 2] [--steps 200]

Three starts: weights of ImageNet, weights of CIFAR-10, and random weights of the second one's
architecture, whose batch normalization learns, too. For each, the training split is thinned to so
many pictures a class, and validation and test stay as they are; the seed draws the pictures, too.
Every training makes about the same number of steps, however few its pictures are: an epoch goes
round them until it has at least 20 batches. The weights of the last epoch are measured, so nothing
is chosen; validation is thinned to what Keras needs to run.

Pictures are read at `--size`. A start that was trained on larger ones is built for that size; one
that was trained on smaller ones gets a layer that resizes.

Writes `benchmarks/results/learning_curve.csv`, a row for each start, number of pictures, strategy
and seed, and `learning_curve.png` beside it. What is in the table already is not trained again. A
start that is not packaged is left out with a message.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import zoo
from recipes import Run, Splits, finetune, load_data
from recipes.data.splits import content_hashes
from recipes.recipe import STRATEGIES
from zoo.weights import pretrained_names

BATCH = 32
EPOCH = 20 * BATCH  # examples that an epoch has at least
VALIDATION = 50  # it chooses nothing here
AUGMENT = {"crop": 8, "flip": 0.5}
COMMON: dict[str, Any] = {"batch_size": BATCH, "schedule": "one_cycle", "keep": "last"}
NOTHING = "nothing"
KEYS = ["data", "size", "steps", "start", "per_class", "strategy", "seed"]


def thinned(data: Splits, per_class: int, seed: int) -> Splits:
    """Return the data with so many training pictures of each class, or with all of them for 0."""
    targets = data.train.targets
    order = np.argsort(content_hashes(data.train.inputs), kind="stable")
    order = np.random.default_rng(seed).permutation(order)
    count = per_class or len(targets)
    kept = [order[targets[order] == n][:count] for n in range(len(data.labels))]
    few = np.linspace(0, len(data.validation) - 1, min(VALIDATION, len(data.validation)))
    return replace(
        data,
        train=data.train.take(np.sort(np.concatenate(kept))),
        validation=data.validation.take(few.round().astype(int)),
    )


def repeated(data: Splits) -> Splits:
    """Return the data with its training pictures repeated until they fill an epoch."""
    count = len(data.train)
    times = -(-EPOCH // count)
    return replace(data, train=data.train.take(np.tile(np.arange(count), times)))


def trained(
    start: str, architecture: str, data: Splits, strategy: str, seed: int, steps: int, out: Path
) -> Run:
    """Train from a start and return the run."""
    pictures = repeated(data)
    batches = -(-len(pictures.train) // BATCH)
    head, epochs = (max(1, round(n / batches)) for n in (steps / 4, steps))
    common = COMMON | {"seed": seed, "augment": AUGMENT}
    if start == NOTHING:
        keras.utils.set_random_seed(seed)
        return finetune(
            zoo.build(architecture),
            pictures,
            out,
            epochs=head + epochs,
            head_epochs=0,
            learning_rate=2e-3,
            train_normalization=True,
            **common,
        )
    larger = zoo.card(start).input.shape[0] > data.shape[0]
    return finetune(
        start,
        pictures,
        out,
        arguments={"input_shape": data.shape} if larger else {},
        epochs=epochs,
        head_epochs=head,
        learning_rate=1e-3,
        head_learning_rate=3e-3,
        strategy=strategy,
        **common,
    )


def plot(table: pd.DataFrame, path: Path) -> None:
    """Draw the accuracy over the pictures of a class: a line for each start and strategy."""
    figure = Figure(figsize=(6.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    several = table.loc[table["start"] != NOTHING, "strategy"].nunique() > 1
    for (start, strategy), rows in table.groupby(["start", "strategy"], sort=False):
        found = rows.groupby("per_class")["accuracy"].agg(["mean", "min", "max"])
        label = f"{start}, {strategy}" if several and start != NOTHING else str(start)
        axes.plot(found.index, 100 * found["mean"], marker="o", label=label)
        axes.fill_between(found.index, 100 * found["min"], 100 * found["max"], alpha=0.2)
    ticks = sorted(table["per_class"].unique())
    axes.set(xscale="log", xlabel="training pictures of a class", ylabel="test accuracy in %")
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Train what is missing in the table, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="flowers")
    parser.add_argument("--size", type=int, default=128, help="side of the pictures")
    parser.add_argument("--imagenet", default="efficientnet_lite0-imagenet")
    parser.add_argument("--cifar", default="resnet20-cifar10")
    parser.add_argument("--per-class", type=int, nargs="+", default=[10, 50, 200, 0], help="0: all")
    parser.add_argument("--strategies", nargs="+", default=["all"], choices=STRATEGIES)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=200, help="and a quarter more for the head")
    default = Path(__file__).parent / "results" / "learning_curve.csv"
    parser.add_argument("--out", type=Path, default=default)
    options = parser.parse_args()

    starts = [options.imagenet, options.cifar, NOTHING]
    for name in set(starts) - {NOTHING, *pretrained_names()}:
        print(f"{name} is not packaged: left out")
        starts.remove(name)
    architecture = options.cifar.split("-")[0]
    whole = load_data(options.data, shape=(options.size, options.size, 3))
    rows = pd.read_csv(options.out).to_dict("records") if options.out.is_file() else []
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:
        for per_class in options.per_class:
            data = thinned(whole, per_class, seed)
            for start in starts:
                for strategy in ["none"] if start == NOTHING else options.strategies:
                    facts = {
                        "data": options.data,
                        "size": options.size,
                        "steps": options.steps,
                        "start": start,
                        "per_class": round(len(data.train) / len(data.labels)),
                        "strategy": strategy,
                        "seed": seed,
                    }
                    if any(all(row[key] == facts[key] for key in KEYS) for row in rows):
                        continue
                    with tempfile.TemporaryDirectory() as folder:
                        place = Path(folder) / "run"
                        run = trained(
                            start, architecture, data, strategy, seed, options.steps, place
                        )
                        accuracy = round(run.metrics["test"]["accuracy"], 4)
                        seconds = round(run.card.training.seconds, 1)
                    keras.backend.clear_session()
                    rows.append(facts | {"accuracy": accuracy, "seconds": seconds})
                    print(*facts.values(), accuracy, seconds, flush=True)
                    pd.DataFrame(rows).to_csv(options.out, index=False)
    table = pd.DataFrame(rows)
    plot(table, options.out.with_suffix(".png"))
    print(table.pivot_table("accuracy", ["start", "strategy"], "per_class", sort=False))


if __name__ == "__main__":
    main()
