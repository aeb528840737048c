"""Every packaged model in every form, on this machine: `zoo benchmark` for one after the other.

    python benchmarks/deploy.py [MODEL ...]

Each model is compared on the first 2,000 examples of its test split, all where it has fewer, 200
sentences where it translates, and up to 200 parts of the text where it writes on. The rows go to
`benchmarks/results/deploy.csv`, from which docs and README take their tables; those of models that
are not named are kept.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

import zoo
from zoo.cards import card
from zoo.weights import model_folder

RESULTS = Path(__file__).parent / "results" / "deploy.csv"
EXAMPLES = {"translation": 200, "language_modeling": 200 * 256}  # of one text, each letter is one
MOST = 2_000


def rows_of(model: str) -> pd.DataFrame:
    """Measure a model, and return its rows."""
    examples = EXAMPLES.get(card(model).task, MOST)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.csv"
        command = [sys.executable, "-m", "zoo", "benchmark", model, "--out", str(out),
                   "--rounds", "3", "--seconds", "0.1", "--examples", str(examples)]  # fmt: skip
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            raise SystemExit(f"{model}: {made.stderr.strip().splitlines()[-1]}")
        rows = pd.read_csv(out)
    rows.insert(0, "model", model)
    return rows


def main(models: list[str]) -> None:
    """Measure models, and put their rows into the table after each."""
    for model in models:
        rows = rows_of(model)
        known = pd.read_csv(RESULTS) if RESULTS.is_file() else rows[:0]
        every = pd.concat([known[known.model != model], rows])
        every.sort_values("model", kind="stable").to_csv(RESULTS, index=False)
        print(rows[["format", "quantization", "bytes", "median_ms_1", "value"]].to_string())


def packaged() -> list[str]:
    """Return the models whose weights come with the zoo."""
    names = zoo.list_models(pretrained=True)
    return [name for name in names if (model_folder(name) / card(name).weights.file).is_file()]


if __name__ == "__main__":
    main(sys.argv[1:] or packaged())
