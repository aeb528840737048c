"""Agents at the command line: trained, played, measured, exported; and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from zoo.cli import run

QUICK = [
    "--steps", "1024", "--set", "block_steps=128", "--set", "block_updates=16",
    "--set", "warm_up=256", "--set", "evaluate_every=512", "--set", "keep_every=512",
    "--set", "evaluation_episodes=3", "--set", "test_episodes=4",
]  # fmt: skip


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    assert run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert run(list(arguments)) == 2
    found = capsys.readouterr().err
    assert found.startswith("zoo: ")
    assert "Traceback" not in found
    return found


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("agents") / "cartpole"
    rounding = ["--set", "quantize=int8"]
    assert (
        run(["train", "dqn", "--env", "CartPole-v1", *QUICK, *rounding, "--out", str(place)]) == 0
    )
    return place


def test_training_shows_every_evaluation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = str(tmp_path / "run")
    assert run(["train", "dqn", "--env", "CartPole-v1", *QUICK, "--out", place]) == 0
    out, err = capsys.readouterr()
    assert "step 512/1,024  return " in err
    assert "step 1,024/1,024  return " in err
    assert "test episodes" in out
    assert run(["train", "--resume", "--out", place]) == 0  # it is finished


def test_an_agent_plays_and_is_filmed(
    agent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = tmp_path / "out.gif"
    found = answer(capsys, "play", str(agent), "--episodes", "3", "--video", str(film))
    assert found["metrics"]["return"] == found["metrics"]["length"]
    with Image.open(film) as picture:
        assert picture.n_frames > 5


def test_an_evaluation_comes_to_what_the_card_says(
    agent: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = json.loads((agent / "card.json").read_text())
    assert run(["evaluate", str(agent), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["metrics"]
    # 100 episodes in place of the four that the recipe asked for
    assert set(found) == {metric["name"] for metric in card["metrics"]}


@pytest.mark.parametrize(
    ("format", "quantization"),
    [("saved_model", "float32"), ("litert", "float32"), ("litert", "int8")],
)
def test_the_policy_leaves_python(
    agent: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    format: str,
    quantization: str,
) -> None:
    out = tmp_path / "artifact"
    arguments = ["--format", format, "--quantize", quantization, "--out", str(out)]
    found = answer(capsys, "export", str(agent), *arguments)
    manifest = found["manifest"]
    assert [t["name"] for t in manifest["inputs"]] == ["observation"]
    assert {t["name"]: t["dtype"] for t in manifest["outputs"]} == {
        "q_values": "float32",
        "action": "int32",
    }
    assert manifest["parity"]["metric"] == "action"
    assert manifest["parity"]["examples"] == 10_000
    assert manifest["parity"]["agreement"] >= 0.99
    assert run(["verify", str(out)]) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "dqn"], "--env"),
        (["train", "dqn", "--env", "CartPol-v1"], "CartPole-v1"),
        (["train", "lenet5", "--env", "CartPole-v1"], "is for classification"),
        (["train", "dqn", "--env", "Pendulum-v1"], "actions"),
        (["train", "dqn", "--env", "CartPole-v1", "--data", "mnist"], "takes no data"),
        (["train", "dqn", "--env", "CartPole-v1", "--set", "epoch=3"], "epoch"),
        (["train", "softmax", "--data", "digits", "--steps", "9"], "steps"),
        (["play", "lenet5-mnist"], "plays nothing"),
        (["play", "nothing"], "nothing"),
    ],
)
def test_a_wrong_call_is_one_line(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--out", str(tmp_path / "run")] if arguments[0] == "train" else []
    assert words in complaint(capsys, *arguments, *place)
    assert not (tmp_path / "run").exists()


def test_an_agent_is_not_asked_for_what_it_cannot_do(
    agent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "reads" in complaint(capsys, "play", str(agent), "--env", "Acrobot-v1")
    assert "above 0" in complaint(capsys, "play", str(agent), "--episodes", "0")
    assert "gif" in complaint(capsys, "play", str(agent), "--video", str(tmp_path / "a.mov"))
    assert "test episodes" in complaint(capsys, "evaluate", str(agent), "--data", "digits")
    table = tmp_path / "table.csv"
    table.write_text("a,b,c,d\n1,2,3,4\n")
    assert "zoo play" in complaint(capsys, "predict", str(agent), str(table))
    assert "reads no data" in complaint(capsys, "finetune", str(agent), "--data", "digits")
    assert "exists already" in complaint(
        capsys, "train", "dqn", "--env", "CartPole-v1", "--out", str(agent)
    )
