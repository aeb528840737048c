"""An iteration of `recipes.minimize` against one value and gradient in PyTorch, in one run.

    python benchmarks/lbfgs.py [--torch-python PYTHON] [--rounds N]

The course's perceptron, 784-128-64-10, on the 60,000 pictures of MNIST at once, by L-BFGS. The
contenders are processes that take turns (`turns.py`):

- `zoo`: iterations of `minimize(…, method="l-bfgs")`, line search and all;
- `torch`: the loss over all pictures and its gradient, once, by the twin in `torch_lbfgs.py`.

Writes `benchmarks/results/lbfgs.csv`; medians are over the rounds: `seconds` of one of them,
`times_torch` in the same round with its lowest and highest, `evaluations` in an iteration.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
from turns import Contender, Turns

HERE = Path(__file__).parent
HIDDEN = (128, 64)


def run_zoo() -> None:
    """Be the contender that iterates."""
    import keras
    import numpy as np

    import zoo
    from recipes import load_data, minimize

    data = load_data("mnist")
    learned = data.train.joined(data.validation)
    keras.utils.set_random_seed(0)
    model = zoo.build("mlp", hidden=HIDDEN)

    class Taking(keras.callbacks.Callback):
        """Goes on for as many iterations as it is told to."""

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 0:  # the beginning: all is compiled
                self.turns = Turns(
                    {
                        "framework": f"keras {keras.__version__}",
                        "parameters": model.count_params(),
                        "examples": len(learned),
                    },
                    {},
                )
            else:
                self.left -= 1
            if epoch == 0 or not self.left:
                if epoch:
                    self.turns.end()
                self.left = self.turns.begin()

    targets = np.asarray(learned.targets)
    minimize(
        model, "sparse_categorical_crossentropy", (learned.inputs, targets), method="l-bfgs",
        iterations=100_000, gradient_tolerance=0.0, callbacks=[Taking()],
    )  # fmt: skip


def main(python: str, rounds: int, steps: int) -> None:
    """Let the two take turns, and write their rows."""
    from recipes.folder import hardware
    from zoo.files import whole_file

    contenders = {
        "zoo": Contender([sys.executable, __file__, "--be"]),
        "torch": Contender([python, str(HERE / "torch_lbfgs.py"), *map(str, HIDDEN)]),
    }
    facts = {name: contender.answer() for name, contender in contenders.items()}
    if facts["zoo"]["parameters"] != facts["torch"]["parameters"]:
        raise SystemExit("the two networks differ")
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, contender in contenders.items():
            spent = contender.ask("steps", steps)["seconds"] / steps
            if number:  # the first round is to warm up
                seconds[name].append(spent)
    for contender in contenders.values():
        contender.close()
    ratios = [a / b for a, b in zip(seconds["zoo"], seconds["torch"], strict=True)]
    rows = [
        {
            "contender": name,
            "seconds": round(median(seconds[name]), 4),
            "times_torch": round(median(ratios), 3) if name == "zoo" else 1.0,
            "times_torch_lowest": round(min(ratios), 3) if name == "zoo" else 1.0,
            "times_torch_highest": round(max(ratios), 3) if name == "zoo" else 1.0,
            "parameters": facts[name]["parameters"],
            "examples": facts["zoo"]["examples"],
            "rounds": rounds,
            "steps": steps,
            "framework": facts[name]["framework"],
            "hardware": hardware(),
        }
        for name in contenders
    ]
    with whole_file(HERE / "results" / "lbfgs.csv") as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)
    print(pd.DataFrame(rows)[["contender", "seconds", "times_torch"]])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--torch-python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--be", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.be:
        run_zoo()
    else:
        try:
            subprocess.run([given.torch_python, "-c", "import torch"], check=True)
        except subprocess.CalledProcessError:
            raise SystemExit("PyTorch is not there: name its Python (--torch-python).") from None
        main(given.torch_python, given.rounds, given.steps)
