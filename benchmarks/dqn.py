"""DQN on CartPole: our trainers against Stable-Baselines3 and a CleanRL-style loop, in one run.

    python benchmarks/dqn.py [--torch-python PYTHON]

Every contender trains the same perceptron (4-120-84-2) by Adam on batches of 64, one update for two
environment steps, with the same replay, warm-up and exploration, for the same number of steps:

- `compiled` and `tf_agents`: our two trainers; 8 environments, blocks of 256 steps and 128 updates,
  double, returns of 3 steps;
- `sb3`: Stable-Baselines3's DQN, 1 environment; `sb3-8`: 8 of them;
- `cleanrl`: a loop in the manner of CleanRL's dqn.py, 1 environment (`torch_dqn.py`).

A run is a process; contenders take turns, once for each seed. Seconds count from the first
environment step to the last, tracing and compilation included, imports and evaluations left out.
Every 512 steps the greedy policy plays 20 episodes, which stops the clock.

PyTorch and Stable-Baselines3 are optional, and best live in an environment of their own, whose
interpreter `--torch-python` names.

Writes `benchmarks/results/dqn.csv`, a row for each run:

- `contender`, `seed`, `environments`, `steps`, `updates`, `parameters`;
- `seconds`, `steps_per_second`;
- `seconds_to_475`, `steps_to_475`: to the first evaluation with a mean of 475; empty without one;
- `best_return` of an evaluation; `framework`, `hardware`.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

HERE = Path(__file__).parent
OURS, THEIRS = ("compiled", "tf_agents"), ("sb3", "sb3-8", "cleanrl")
EVALUATE_EVERY, SOLVED = 512, 475.0


def run_ours(trainer: str, seed: int, steps: int) -> dict[str, Any]:
    """Train by one of our trainers."""
    import keras

    import zoo
    from recipes.control import ControlRecipe
    from recipes.control.environments import Environments
    from recipes.control.playing import play_episodes
    from recipes.control.training import seed_of, trainer_of

    recipe = ControlRecipe(
        environment="CartPole-v1", model="dqn", steps=steps, trainer=trainer, seed=seed
    )
    keras.utils.set_random_seed(seed)
    model = zoo.build(recipe.model)
    curve, spent = [], 0.0
    with Environments(recipe.environment, recipe.environments) as environments:
        began = time.perf_counter()
        agent = trainer_of(model, recipe, environments)
        agent.begin(seed_of(seed, 0, 0))
        agent.play(recipe.warm_up)
        updates = 0
        while agent.step < steps:
            agent.play(recipe.block_steps)
            agent.learn()
            updates += recipe.block_updates
            spent += time.perf_counter() - began
            if agent.step % EVALUATE_EVERY < recipe.block_steps:
                place = seed_of(seed, 1, agent.step)
                played = play_episodes(agent.act, recipe.environment, 20, place)
                curve.append((agent.step, spent, float(played.returns.mean())))
            began = time.perf_counter()
        taken = agent.step
    return {
        "environments": recipe.environments,
        "steps": taken,
        "updates": updates,
        "parameters": sum(int(w.size) for w in model.get_weights()) - 8,
        "seconds": spent,
        "curve": curve,
        "framework": f"keras {keras.__version__}",
    }


def row(contender: str, seed: int, found: dict[str, Any]) -> dict[str, Any]:
    """Return the table's row of a run."""
    from recipes.folder import hardware

    curve = found.pop("curve")
    solved = next(((s, t) for s, t, mean in curve if mean >= SOLVED), (None, None))
    return {
        "contender": contender,
        "seed": seed,
        **{k: v for k, v in found.items() if k not in ("seconds", "framework")},
        "seconds": round(found["seconds"], 2),
        "steps_per_second": round(found["steps"] / found["seconds"], 1),
        "seconds_to_475": None if solved[1] is None else round(solved[1], 2),
        "steps_to_475": solved[0],
        "best_return": max(mean for *_, mean in curve),
        "framework": found["framework"],
        "hardware": hardware(),
    }


def main() -> None:
    """Let the contenders take turns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--contenders", nargs="+", choices=OURS + THEIRS, default=OURS + THEIRS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=15_104)
    parser.add_argument("--torch-python", default=sys.executable, help="interpreter with PyTorch")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "dqn.csv")
    parser.add_argument("--contender", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        name, seed, steps = options.contender
        print(json.dumps(run_ours(name, int(seed), int(steps))))
        return
    command = [options.torch_python, "-c", "import torch, stable_baselines3"]
    contenders = list(options.contenders)
    if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode:
        print("Stable-Baselines3 is not there, and its rows are left out: see --torch-python.")
        contenders = [name for name in contenders if name in OURS]
    from zoo.files import whole_file

    found: list[dict[str, Any]] = []
    for number, seed in enumerate(options.seeds):
        first = number % len(contenders)
        for name in contenders[first:] + contenders[:first]:
            script = HERE / "dqn.py" if name in OURS else HERE / "torch_dqn.py"
            python = sys.executable if name in OURS else options.torch_python
            job = [python, str(script), "--contender", name, str(seed), str(options.steps)]
            printed = subprocess.run(job, capture_output=True, text=True, check=True).stdout
            found.append(row(name, seed, json.loads(printed.splitlines()[-1])))
            print(pd.DataFrame(found[-1:]).iloc[:, :11].to_string(index=False), flush=True)
            with whole_file(options.out) as temporary:
                pd.DataFrame(found).to_csv(temporary, index=False)


if __name__ == "__main__":
    main()
