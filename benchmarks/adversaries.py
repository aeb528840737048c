"""What the losses of adversaries come to, over several seeds: same data, same budget.

    python benchmarks/adversaries.py [--contenders NAME ...]

The four losses read as many real pictures, in batches of the same size; their other settings are
those of `recipes.adversarial.METHODS`, near their papers. All keep a moving average of the
generator, which is what is scored, and compute in bfloat16; the optimizer is always Adam. Below
them, dense layers learn by `METHODS["gan"]`, as `zoo train gan` does, for as many epochs as the
packaged generators, whose recipes have smaller batches, a higher rate and a penalty.

The pictures are scored as a card's are, in the features of a classifier of the same data
(`recipes/scores.py`). Writes a row for each run to `benchmarks/results/adversaries.csv`; a run that
stands there is not trained again:

- `contender`, `data`, `seed`, `epochs`, `batch_size`, `critic_steps`, `updates` of the generator;
- `features`, `distance`, `floor`: of that classifier;
- `covered_classes`: those that one picture in a hundred belongs to, or more, by its answers;
- `least_share`, `most_share`: of the pictures, in one class;
- `precision`, `recall`; `diversity`: of the pictures, as a share of the real ones';
- `seconds` of learning, tracing included; `hardware`.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from recipes.adversarial import METHODS, AdversarialRecipe, train_adversarial
from recipes.folder import hardware
from zoo.files import whole_file

RESULTS = Path(__file__).parent / "results" / "adversaries.csv"
SEEDS = range(3)

_BUDGET = {"data": "fashion_mnist", "epochs": 3, "batch_size": 64, "precision": "mixed_bfloat16"}
_DENSE = {**METHODS["gan"], "epochs": 20}
CONTENDERS = {
    "minimax": METHODS["dcgan"] | {"loss": "minimax"} | _BUDGET,
    "non-saturating": METHODS["dcgan"] | _BUDGET,
    "WGAN": METHODS["wgan"] | _BUDGET,
    "WGAN-GP": METHODS["wgan_gp"] | _BUDGET,
    "dense GAN": _DENSE | {"data": "fashion_mnist"},
    "dense GAN of digits": _DENSE | {"data": "mnist"},
}


def trained(contender: str, recipe: AdversarialRecipe) -> dict[str, Any]:
    """Return the row of a run."""
    with tempfile.TemporaryDirectory() as scratch:
        run = train_adversarial(recipe, Path(scratch) / "run")
        state, test = run.read_state(), run.metrics["test"]
        learned = sum(run.config.dataset.examples[split] for split in ("train", "validation"))
    last = state.history[-1]
    return {
        "contender": contender,
        "data": recipe.data,
        "seed": recipe.seed,
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "critic_steps": recipe.critic_steps,
        "updates": recipe.epochs * (learned // (recipe.batch_size * recipe.critic_steps)),
        "features": recipe.judged_by,
        "distance": round(test["feature_distance"], 2),
        "floor": round(test["feature_distance_floor"], 2),
        "covered_classes": int(test["covered_classes"]),
        "least_share": round(test["least_class_share"], 4),
        "most_share": round(test["most_class_share"], 4),
        "precision": round(test["precision"], 3),
        "recall": round(test["recall"], 3),
        "diversity": round(last["diversity"], 3),
        "seconds": round(state.seconds, 1),
        "hardware": hardware(),
    }


def main() -> None:
    """Train what is missing in the table, one run after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    options = parser.parse_args()
    table = pd.read_csv(RESULTS) if RESULTS.exists() else pd.DataFrame()
    keys = ["contender", "seed", "epochs", "batch_size"]
    done = set(table[keys].itertuples(index=False, name=None)) if len(table) else set()
    for seed in SEEDS:
        for contender in options.contenders:
            recipe = msgspec.structs.replace(AdversarialRecipe(**CONTENDERS[contender]), seed=seed)
            if (contender, seed, recipe.epochs, recipe.batch_size) in done:
                continue
            row = trained(contender, recipe)
            print(row, flush=True)
            table = pd.concat([table, pd.DataFrame([row])], ignore_index=True)
            with whole_file(RESULTS) as temporary:
                table.to_csv(temporary, index=False)


if __name__ == "__main__":
    main()
