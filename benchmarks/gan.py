"""Training steps of adversaries at 32×32: ours against the same networks in PyTorch, in one run.

    python benchmarks/gan.py [--torch-python PYTHON]

DCGAN's generator and critic, 64 channels wide, on batches of 128 random pictures; by the
non-saturating loss, and without normalization by Wasserstein's with a penalty on gradients. A step
updates the critic once, and then the generator. The contenders:

- `zoo`: as adversarial recipes train, without a moving average;
- `torch` and `torch-compile`: the twins in `torch_gan.py`; with a penalty only the first, since
  what is compiled has no second derivatives.

Each contender is a process (`turns.py`), and those of one method and precision take turns.
Compilation and one whole round come before and are not counted. Parameters must be equal. PyTorch
is optional, and best lives in an environment of its own, whose interpreter `--torch-python` names.

Writes `benchmarks/results/gan.csv`; medians are over the rounds:

- `pictures_per_second`, `slowest_round`, `fastest_round`: real ones;
- `times_torch`, `times_torch_lowest`, `times_torch_highest`: how many times as fast as the faster
  of the two `torch` by their medians, in the same round;
- `cores_busy`: core seconds by seconds;
- `parameters` of both networks, `batch`, `steps` in a round, `rounds`, `framework`, `hardware`.
"""

import argparse
import math
import subprocess
import sys
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
from turns import Contender, Turns

HERE = Path(__file__).parent
BATCH, READY = 128, 16
METHODS, PRECISIONS = ("dcgan", "wgan_gp"), ("float32", "bf16")
WAYS = ("zoo", "torch", "torch-compile")


def run_zoo(method: str, precision: str) -> None:
    """Be the contender that trains as recipes do."""
    import keras
    import numpy as np

    from recipes.adversarial import METHODS as FIELDS
    from recipes.adversarial import AdversarialRecipe
    from recipes.adversarial.trainer import AdversarialTrainer
    from recipes.adversarial.training import built

    full = {"float32": "float32", "bf16": "mixed_bfloat16"}[precision]
    fields = FIELDS[method] | {"critic_steps": 1, "ema": 0.0, "precision": full}
    recipe = AdversarialRecipe(**fields, data="cifar10", epochs=1, batch_size=BATCH)
    networks = built(recipe, {"output_shape": [32, 32, 3]}, {"input_shape": [32, 32, 3]})
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (READY * BATCH, 32, 32, 3), "uint8")
    trainer = AdversarialTrainer(*networks, recipe, pictures, np.zeros(len(pictures), "int32"))
    parameters = sum(net.count_params() - _fixed(net) for net in networks)
    turns = Turns({"framework": f"keras {keras.__version__}", "parameters": parameters}, {})
    while True:
        count = turns.begin()
        places = np.arange(count * BATCH) % len(pictures)
        trainer.learn(places.reshape(count, 1, BATCH).astype("int32"))
        turns.end()


def _fixed(network: Any) -> int:
    return sum(math.prod(weight.shape) for weight in network.non_trainable_weights)


def measured(
    method: str, precision: str, ways: list[str], python: str, steps: int, rounds: int
) -> list[dict[str, Any]]:
    """Let the contenders take turns, and return their rows."""
    from recipes.folder import hardware

    entries = {}
    for way in ways:
        command = [sys.executable, str(HERE / "gan.py"), "--contender", method, precision]
        if way != "zoo":
            form = "compile" if way == "torch-compile" else "eager"
            command = [python, str(HERE / "torch_gan.py"), method, precision, form]
        entries[way] = Contender(command)
    facts = {way: entry.answer() for way, entry in entries.items()}
    if len({fact["parameters"] for fact in facts.values()}) != 1:
        raise SystemExit(f"the networks differ: {facts}")
    times: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        first = number % len(ways)
        for way in ways[first:] + ways[:first]:
            answer = entries[way].ask("steps", steps)
            if number:  # the first round compiles
                times[way].append(answer)
    for entry in entries.values():
        entry.close()
    seconds = {way: [t["seconds"] / steps for t in found] for way, found in times.items()}
    rival = min(
        (seconds[way] for way in ways if way != "zoo"), key=median, default=[math.nan] * rounds
    )
    rows = []
    for way in ways:
        ratios = [theirs / ours for theirs, ours in zip(rival, seconds[way], strict=True)]
        busy = [t["core_seconds"] / t["seconds"] for t in times[way]]
        rows.append(
            {
                "method": method,
                "precision": precision,
                "contender": way,
                "pictures_per_second": round(BATCH / median(seconds[way]), 1),
                "slowest_round": round(BATCH / max(seconds[way]), 1),
                "fastest_round": round(BATCH / min(seconds[way]), 1),
                "times_torch": round(median(ratios), 3),
                "times_torch_lowest": round(min(ratios), 3),
                "times_torch_highest": round(max(ratios), 3),
                "cores_busy": round(median(busy), 2),
                "parameters": facts[way]["parameters"],
                "batch": BATCH,
                "steps": steps,
                "rounds": rounds,
                "framework": facts[way]["framework"],
                "hardware": hardware(),
            }
        )
    return rows


def main() -> None:
    """Measure the methods one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="in a round")
    parser.add_argument("--torch-python", default=sys.executable, help="interpreter with PyTorch")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "gan.csv")
    parser.add_argument("--contender", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        run_zoo(*options.contender)
    ways = list(WAYS)
    command = [options.torch_python, "-c", "import torch"]
    if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode:
        print("PyTorch is not there, and its rows are left out: see --torch-python.")
        ways = ["zoo"]
    from zoo.files import whole_file

    found: list[dict[str, Any]] = []
    for method, precision in product(options.methods, options.precisions):
        own = [way for way in ways if method == "dcgan" or way != "torch-compile"]
        found += measured(
            method, precision, own, options.torch_python, options.steps, options.rounds
        )
        print(pd.DataFrame(found).tail(len(own)).iloc[:, :11].to_string(index=False), flush=True)
        with whole_file(options.out) as temporary:
            pd.DataFrame(found).to_csv(temporary, index=False)


if __name__ == "__main__":
    main()
