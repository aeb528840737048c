"""Generators at the command line: trained on a folder, asked for pictures; and what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo.cli import run

pytestmark = pytest.mark.filterwarnings("ignore::recipes.adversarial.Collapse")

SMALL = [
    "--set", "shape=[8,8,1]", "--set", 'generator_arguments={"width":4,"latent":5}',
    "--set", 'discriminator_arguments={"width":4}', "--set", "score_examples=16",
    "--set", "judge=resnet20-cifar10", "--epochs", "1", "--batch-size", "4",
]  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place, random = tmp_path_factory.mktemp("noise"), np.random.default_rng(0)
    for number in range(40):
        Image.fromarray(random.integers(0, 256, (9, 11), "uint8")).save(place / f"{number}.png")
    return place


@pytest.fixture(scope="module")
def generator(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("generators") / "noise"
    arguments = ["train", "wgan_gp", "--data", str(pictures), *SMALL, "--out", str(place)]
    assert run(arguments) == 0
    return place


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert run(list(arguments)) == 2
    found = capsys.readouterr().err
    assert found.startswith("zoo: ")
    assert "Traceback" not in found
    return found


def test_training_shows_every_epoch_and_the_scores(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = str(tmp_path / "run")
    assert run(["train", "dcgan", "--data", str(pictures), *SMALL, "--out", place]) == 0
    out, err = capsys.readouterr()
    assert "epoch 1/1  critic " in err
    assert "feature distance" in out
    assert "resnet20-cifar10" in out
    assert run(["train", "--resume", "--out", place, "--json"]) == 0  # it is finished
    assert json.loads(capsys.readouterr().out)["metrics"]["feature_distance"] > 0


@pytest.mark.parametrize(
    ("options", "size"),
    [
        (["--n", "9", "--seed", "7"], (28, 28)),
        (["--interpolate", "3", "4"], (98, 8)),
        ([], (78, 78)),
    ],
)
def test_pictures_are_made(
    options: list[str],
    size: tuple[int, int],
    generator: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "grid.png"
    assert run(["generate", str(generator), *options, "--out", str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    with Image.open(out) as sheet:
        assert sheet.size == size
        first = np.asarray(sheet)
    assert run(["generate", str(generator), *options, "--out", str(out)]) == 0
    with Image.open(out) as sheet:
        np.testing.assert_array_equal(np.asarray(sheet), first)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["generate", "RUN"], "--out"),
        (["generate", "RUN", "--out", "a.jpg"], "PNG"),
        (["generate", "RUN", "--class", "3", "--out", "a.png"], "knows no class '3'"),
        (["generate", "RUN", "--class", "cat", "--out", "a.png"], "no class 'cat'"),
        (["generate", "RUN", "--prompt", "To be", "--out", "a.png"], "--prompt"),
        (["generate", "RUN", "--interpolate", "1", "2", "--n", "3", "--out", "a.png"], "--n"),
        (["generate", "RUN", "--interpolate", "1", "2", "--seed", "7", "--out", "a.png"], "--seed"),
        (["generate", "lenet5-mnist", "--out", "a.png"], "neither writes"),
        (["generate", "gpt-shakespeare", "--out", "a.png"], "--out is not for it"),
        (["finetune", "RUN", "--data", "digits"], "reads no data"),
        (["evaluate", "RUN", "--data", "digits"], "its own data"),
        (["predict", "RUN", "a.png"], "zoo generate"),
        (["train", "dcgan"], "--data"),
        (["train", "residual_gan", "--data", "RUN"], "half of a pair"),
        (["train", "dcgan", "--data", "iris"], "no pictures"),
        (["train", "dcgan", "--data", "RUN", "--set", "critic_step=2"], "critic_steps"),
    ],
)
def test_a_wrong_call_is_one_line(
    arguments: list[str],
    words: str,
    generator: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given: list[Any] = [str(generator) if word == "RUN" else word for word in arguments]
    place = ["--out", str(tmp_path / "run")] if arguments[0] == "train" else []
    assert words in complaint(capsys, *given, *place)
    assert not (tmp_path / "run").exists()


def test_a_variational_autoencoder_makes_pictures_too(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classes = tmp_path / "classes"
    for number, path in enumerate(sorted(pictures.iterdir())):
        parent = classes / ("even", "odd")[number % 2]
        parent.mkdir(parents=True, exist_ok=True)
        (parent / path.name).write_bytes(path.read_bytes())
    arguments = ["--set", 'arguments={"hidden":[8],"code":3}']
    arguments += ["--set", "loss=binary_crossentropy", "--epochs", "1", "--batch-size", "8"]
    place, out = str(tmp_path / "vae"), tmp_path / "grid.png"
    assert run(["train", "vae", "--data", str(classes), *arguments, "--out", place]) == 0
    assert run(["generate", place, "--n", "4", "--out", str(out)]) == 0
    with Image.open(out) as sheet:
        assert sheet.size == (130, 130)


def test_a_variational_autoencoder_learns_from_loose_pictures_and_makes_more(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, grid = str(tmp_path / "vae"), tmp_path / "grid.png"
    settings = [
        "--set", 'data_options={"shape": [12, 12, 3]}', "--set", 'arguments={"hidden": [16]}',
    ]  # fmt: skip
    call = ["train", "vae", "--data", str(pictures), "--epochs", "2", *settings, "--out", place]
    assert run(call) == 0, capsys.readouterr().err
    assert run(["generate", place, "--n", "4", "--out", str(grid)]) == 0
    with Image.open(grid) as sheet:
        assert sheet.size == (26, 26)
    capsys.readouterr()
    assert run(["evaluate", place, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["mse"] < 0.2
    decoder = str(tmp_path / "decoder")
    assert run(["export", place, "--part", "decoder", "--out", decoder]) == 0
    assert run(["verify", decoder]) == 0, capsys.readouterr().err


def test_what_was_left_out_is_named(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "pictures"
    shutil.copytree(pictures, copy)
    (copy / "broken.png").write_bytes(b"no picture")
    place = str(tmp_path / "run")
    assert run(["train", "dcgan", "--data", str(copy), *SMALL, "--out", place]) == 0
    err = capsys.readouterr().err.replace("\n", "")  # lines are broken to the terminal's width
    assert "broken.png" in err
    assert "trainer.py" not in err  # of a warning, the words alone
    (copy / "another.png").write_bytes(next(copy.glob("*.png")).read_bytes()[:-9])
    next(path for path in copy.glob("*.png") if "broken" not in path.name).unlink()
    assert run(["evaluate", place]) == 2
    assert "has changed since" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["dcgan", "dcgan-mnist", "dqn"])
def test_no_rate_is_sought_for_what_has_no_targets(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "rate.png")
    assert "targets" in complaint(capsys, "lr-find", name, "--out", out)
