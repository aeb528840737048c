"""What the recipes of control earn, over several seeds.

    python benchmarks/control.py [--tasks NAME ...]

Trains each recipe (`recipes/control/pretrained.py`) with other seeds, from the environment's first
step to its last; the weights of the best evaluation play episodes on seeds of their own.

Writes a row for each run to `benchmarks/results/control.csv`:

- `recipe`, `trainer`, `seed`, `steps`, `updates`;
- `return`, `deviation`, `least`, `episodes`: of the test episodes;
- `best_evaluation`, `kept_step`;
- `seconds` of playing, learning and evaluating, tracing included; `hardware`.

The evaluations of all runs go to `control_curves.csv`, and are drawn in `control_curves.png`.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from recipes.control import CONTROL_RECIPES, ControlRecipe, train_control
from recipes.folder import hardware
from zoo.files import whole_file

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Task:
    """How a recipe is measured: by which trainers, over which seeds, in how many test episodes."""

    trainers: tuple[str, ...]
    seeds: range
    episodes: int


TASKS = {
    "dqn-cartpole": Task(("compiled", "tf_agents"), range(5), 20),
    "dqn-lunarlander": Task(("compiled",), range(3), 100),
    "dqn-breakout-minatar": Task(("compiled",), range(3), 100),
}


def trained(name: str, recipe: ControlRecipe) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return the row of a run, and its evaluations."""
    with tempfile.TemporaryDirectory() as scratch:
        run = train_control(recipe, Path(scratch) / name)
        history = pd.read_csv(run.path / "history.csv")
        test, state = run.metrics["test"], run.read_state()
    facts = {"recipe": name, "trainer": recipe.trainer, "seed": recipe.seed}
    row = facts | {
        "steps": state.step,
        "updates": recipe.block_updates * -(-(state.step - recipe.warm_up) // recipe.block_steps),
        "return": round(test["return"], 2),
        "deviation": round(test["return_deviation"], 2),
        "least": round(test["return_least"], 2),
        "episodes": recipe.test_episodes,
        "best_evaluation": round(state.best, 2),
        "kept_step": state.kept_step,
        "seconds": round(state.seconds, 1),
        "hardware": hardware(),
    }
    return row, history.assign(**facts)


def plot(curves: pd.DataFrame, path: Path) -> None:
    """Draw the evaluations of every run, a panel for each recipe and trainer."""
    groups = list(curves.groupby(["recipe", "trainer"], sort=False))
    figure = Figure(figsize=(5 * len(groups), 3.5), layout="constrained")
    panels = figure.subplots(1, len(groups), squeeze=False)[0]
    for axes, ((recipe, trainer), found) in zip(panels, groups, strict=True):
        for seed, curve in found.groupby("seed"):
            axes.plot(curve["step"], curve["return"], label=f"seed {int(seed)}")
        axes.set(title=f"{recipe}, {trainer}", xlabel="environment steps", ylabel="return")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.grid(alpha=0.3)
        axes.legend()
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=120)


def main() -> None:
    """Train one run after the other; what other tasks were measured before stays."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    options = parser.parse_args()
    tables = {}
    for name in ("control", "control_curves"):
        path = RESULTS / f"{name}.csv"
        before = pd.read_csv(path) if path.exists() else pd.DataFrame({"recipe": []})
        tables[name] = before[~before["recipe"].isin(options.tasks)]
    for name in options.tasks:
        task = TASKS[name]
        for trainer in task.trainers:
            for seed in task.seeds:
                recipe = msgspec.structs.replace(
                    CONTROL_RECIPES[name], seed=seed, trainer=trainer, test_episodes=task.episodes
                )
                row, history = trained(name, recipe)
                print(row, flush=True)
                for table, rows in (("control", pd.DataFrame([row])), ("control_curves", history)):
                    both = [part for part in (tables[table], rows) if len(part)]
                    tables[table] = pd.concat(both, ignore_index=True)
                    with whole_file(RESULTS / f"{table}.csv") as temporary:
                        tables[table].to_csv(temporary, index=False)
    plot(tables["control_curves"], RESULTS / "control_curves.png")


if __name__ == "__main__":
    main()
