"""Unbalanced classes: six ways of learning from a long-tailed CIFAR-10, over three seeds.

    python benchmarks/imbalance.py [--model resnet20] [--arguments '{"blocks": 1}'] [--epochs 8]

The training split is thinned: the sizes of the classes fall exponentially, the first class to the
last as 100 to 1; which examples stay, the hash of their content decides. Validation and test stay
balanced. Every method makes about the same number of steps: `--epochs` is the number of epochs over
the thinned split, and a sampled training has as many epochs as come to that. The weights of the
last epoch are measured, so nothing is chosen on balanced examples. "thresholds" takes the outputs
of "none" and divides by the classes' shares of the training examples.

Writes `benchmarks/results/imbalance.csv`: balanced accuracy and the recall of each class on the
test split, a row for each method and seed. What is there already is not trained again.
"""

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn import metrics as sk

from recipes import Recipe, Splits, load_data, train
from recipes.data.sampling import epoch_size
from recipes.data.splits import content_hashes
from recipes.evaluation import answers
from recipes.thresholds import prior_correction

METHODS: dict[str, dict[str, Any]] = {
    "none": {},
    "class weights": {"class_weights": True},
    "over": {"sampling": "over"},
    "under": {"sampling": "under"},
    "focal": {"loss": "categorical_focal_crossentropy"},
}
SETTINGS: dict[str, Any] = {
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "schedule": "one_cycle",
    "weight_decay": 5e-3,
    "keep": "last",
}
AUGMENT = {"crop": 4, "flip": 0.5}
KEYS = ["data", "model", "arguments", "ratio", "method", "seed", "epochs_of_none"]
VALIDATION = 500  # it chooses nothing here


def long_tailed(data: Splits, ratio: float) -> Splits:
    """Return the data with training classes whose sizes fall exponentially by `ratio` in all."""
    targets, classes = data.train.targets, len(data.labels)
    largest = np.bincount(targets, minlength=classes).min()
    by_hash = np.argsort(content_hashes(data.train.inputs), kind="stable")
    kept = []
    for number in range(classes):
        size = max(1, round(largest * ratio ** (-number / (classes - 1))))
        kept.append(by_hash[targets[by_hash] == number][:size])
    few = np.linspace(0, len(data.validation) - 1, min(VALIDATION, len(data.validation)))
    return replace(
        data,
        train=data.train.take(np.sort(np.concatenate(kept))),
        validation=data.validation.take(few.round().astype(int)),
    )


def figures(outputs: np.ndarray, data: Splits) -> dict[str, float]:
    """Return accuracy, balanced accuracy and the recall of each class on the test split."""
    targets, decisions = data.test.targets, outputs.argmax(axis=1)
    numbers = range(len(data.labels))
    recalls = sk.recall_score(targets, decisions, average=None, labels=numbers, zero_division=0)
    found = {"accuracy": (targets == decisions).mean(), "balanced_accuracy": recalls.mean()}
    found |= {f"recall {label}": r for label, r in zip(data.labels, recalls, strict=True)}
    return {name: round(float(value), 4) for name, value in found.items()}


def main() -> None:
    """Train what is missing in the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--arguments", type=json.loads, default={"blocks": 1}, help="JSON")
    parser.add_argument("--epochs", type=int, default=8, help="over the thinned training split")
    parser.add_argument("--ratio", type=float, default=100.0, help="largest class to smallest")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    default = Path(__file__).parent / "results" / "imbalance.csv"
    parser.add_argument("--out", type=Path, default=default)
    options = parser.parse_args()

    data = long_tailed(load_data(options.data), options.ratio)
    counts = np.bincount(data.train.targets, minlength=len(data.labels))
    rows = pd.read_csv(options.out).to_dict("records") if options.out.is_file() else []
    common = {
        "data": options.data,
        "model": options.model,
        "arguments": json.dumps(options.arguments, sort_keys=True),
        "ratio": options.ratio,
        "epochs_of_none": options.epochs,
    }

    def missing(method: str, seed: int) -> bool:
        wanted = common | {"method": method, "seed": seed}
        return not any(all(row[key] == wanted[key] for key in KEYS) for row in rows)

    for seed in options.seeds:
        for method, fields in METHODS.items():
            results = [method, "thresholds"] if method == "none" else [method]
            if not any(missing(name, seed) for name in results):
                continue
            size = epoch_size(data.train.targets, fields.get("sampling", ""))
            epochs = max(1, round(options.epochs * len(data.train) / size))
            recipe = Recipe(
                model=options.model,
                arguments=options.arguments,
                data=options.data,
                epochs=epochs,
                seed=seed,
                augment=AUGMENT if data.shape[0] >= 28 else {},
                **(SETTINGS | fields),
            )
            with tempfile.TemporaryDirectory() as folder:
                run = train(recipe, Path(folder) / "run", data=data)
                outputs = answers(run.load(), data.test.inputs)
                seconds = round(run.card.training.seconds, 1)
            for name in results:
                if missing(name, seed):
                    chosen = prior_correction(outputs, counts) if name == "thresholds" else outputs
                    facts = {"method": name, "seed": seed, "epochs": epochs, "seconds": seconds}
                    rows.append(common | facts | figures(chosen, data))
                    figure = rows[-1]["balanced_accuracy"]
                    print(f"{name}, seed {seed}: balanced accuracy {figure:.4f}", flush=True)
            options.out.parent.mkdir(parents=True, exist_ok=True)
            pd.DataFrame(rows).to_csv(options.out, index=False)
    table = pd.DataFrame(rows)
    print(table.groupby("method", sort=False)["balanced_accuracy"].agg(["mean", "std", "count"]))


if __name__ == "__main__":
    main()
