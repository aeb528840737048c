"""`zoo tune`: a search by the command line, and the calls that it refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from recipes import Run, Search
from zoo.cli import run as zoo_command

CALL = [
    "tune", "mlp", "--data", "iris", "--epochs", "2", "--trials", "2",
    "--set", "batch_size=16", "--set", 'arguments={"hidden": [8]}',
]  # fmt: skip


def test_a_search_by_the_command_line(
    answer: Callable[..., Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    place = tmp_path / "search"
    found = answer(*CALL, "--space", "learning_rate=1e-3:1e-1:log", "--out", str(place))
    search = Search(place)
    assert found["objective"] == "val_accuracy"
    assert [trial["trial"] for trial in found["trials"]] == [int(n) for n in search.ranked]
    best = found["trials"][0]
    assert 1e-3 <= best["settings"]["learning_rate"] <= 1e-1
    assert not {"batch_size", "epochs", "arguments.hidden.1"} & set(best["settings"])
    assert found["best"]["learning_rate"] == best["settings"]["learning_rate"]
    assert found["metrics"] == search.run.metrics
    # All of it is there, and nothing is trained again to print it.
    assert zoo_command(["tune", "--resume", "--out", str(place)]) == 0
    printed = capsys.readouterr()
    assert "trial 1, " not in printed.err
    assert "2 trials, 0 of them pruned or failed" in printed.out
    assert "learning_rate" in printed.out
    # And one more.
    more = answer("tune", "--resume", "--out", str(place), "--trials", "3", "--no-retrain")
    assert len(more["trials"]) == 3
    same = more["best"] == found["best"]  # of a better one nothing has been measured yet
    assert more["metrics"] == (found["metrics"] if same else None)
    assert len(json.loads((place / "config.json").read_text())["space"]) == len(search.space)


def test_an_agents_search_by_the_command_line(answer: Callable[..., Any], tmp_path: Path) -> None:
    found = answer(
        *("tune", "dqn", "--env", "CartPole-v1", "--steps", "2048", "--trials", "2"),
        *("--set", "test_episodes=2", "--set", "evaluation_episodes=2"),
        *("--space", "learning_rate=1e-4:1e-2:log", "--out", str(tmp_path / "search")),
    )
    assert found["objective"] == "val_return"
    assert found["best"]["steps"] == 2048
    assert found["metrics"]["test"]["return"] > 0


def test_the_best_recipe_can_be_trained_from_its_file(
    answer: Callable[..., Any], complaint: Callable[..., str], tmp_path: Path
) -> None:
    answer(*CALL, "--no-retrain", "--out", str(tmp_path / "search"))
    file = tmp_path / "search" / "best.json"
    answer("train", str(file), "--epochs", "1", "--out", str(tmp_path / "run"))
    best = Search(tmp_path / "search").best
    assert Run(tmp_path / "run").config.recipe == msgspec.structs.replace(best, epochs=1)
    assert "'learning_rate'" in complaint("train", str(file), "--set", "learning_rat=1")
    assert "holds no recipe" in complaint("train", str(tmp_path / "search" / "config.json"))
    assert "there is no file" in complaint("train", str(tmp_path / "best.json"))
    file.write_text("[1]")
    assert "holds no recipe" in complaint("train", str(file))


REFUSED = {
    "no name": (["tune"], "name a recipe or an architecture"),
    "no data": (["tune", "mlp"], "--data"),
    "no such model": (["tune", "mlpp", "--data", "iris"], "'mlp'"),
    "no such tuner": ([*CALL, "--tuner", "byesian"], "did you mean 'bayesian'"),
    "no such objective": ([*CALL, "--objective", "val_los"], "did you mean 'val_loss'"),
    "no such setting": ([*CALL, "--space", "dropuot=0.0:0.5"], "dropout"),
    "a space without a place": ([*CALL, "--space", "dropout"], "--space wants NAME=WHERE"),
    "twice": ([*CALL, "--space", "optimizer=adam,sgd", "--space", "optimizer=sgd,lion"], "twice"),
    "one value": ([*CALL, "--space", "optimizer=adam"], "nothing to search in adam"),
    "set and searched": ([*CALL, "--space", "batch_size=16,32"], "batch_size is set"),
    "a circle": (
        [
            *CALL,
            *("--space", "patience=1,2 if head_epochs=1"),
            *("--space", "head_epochs=1,2 if patience=1"),
        ],
        "in a circle",
    ),
    "no trials": ([*CALL, "--trials", "0"], "max_trials is a whole number"),
    "resume with a name": (["tune", "mlp", "--resume", "--out", "s"], "leave out name"),
    "resume with a space": (
        ["tune", "--resume", "--out", "s", "--space", "optimizer=adam,sgd"],
        "leave out optimizer",
    ),
    "resume with another tuner": (
        ["tune", "--resume", "--out", "s", "--tuner", "grid", "--executions", "3"],
        "leave out tuner, executions",
    ),
    "too few for hyperband": ([*CALL, "--tuner", "hyperband", "--epochs", "27"], "of 40 trials"),
    "resume nowhere": (["tune", "--resume"], "--out"),
    "resume what is no search": (["tune", "--resume", "--out", "s"], "holds no config.json"),
    "an agent without an environment": (["tune", "dqn"], "--env"),
    "an agent with data": (["tune", "dqn-cartpole", "--data", "iris"], "takes no data"),
    "an agent's loss": (
        ["tune", "dqn-cartpole", "--objective", "val_loss"], "known: val_return"
    ),
    "half of a pair": (["tune", "dcgan_discriminator", "--data", "mnist"], "half of a pair"),
    "resume elsewhere": (
        ["tune", "--resume", "--out", "s", "--env", "CartPole-v1"], "leave out env"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "words"), REFUSED.values(), ids=list(REFUSED))
def test_a_call_that_cannot_be_meant_is_one_line(
    arguments: list[str], words: str, complaint: Callable[..., str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert words in complaint(*arguments)
    assert not list(tmp_path.iterdir())
