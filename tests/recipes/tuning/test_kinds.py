"""Searches over generators and agents: what they are measured by, and that nothing else is seen."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recipes import Search, Splits, resume_tuning, tune
from recipes.adversarial import AdversarialRecipe, AdversarialRun
from recipes.control import ControlRecipe, ControlRun
from recipes.data import Examples
from recipes.tuning.kinds import trials_of
from zoo.errors import InputError

# Generators that have hardly learned make the same few pictures.
pytestmark = pytest.mark.filterwarnings("ignore::recipes.adversarial.Collapse")


@pytest.fixture(scope="module")
def squares() -> Splits:
    """Pictures of a bright square somewhere."""
    random = np.random.default_rng(0)

    def some(count: int) -> Examples:
        pictures = np.zeros((count, 16, 16, 1), "uint8")
        for picture, (top, left) in zip(pictures, random.integers(0, 9, (count, 2)), strict=True):
            picture[top : top + 8, left : left + 8] = random.integers(100, 256)
        return Examples(pictures, np.zeros(count, "int64"))

    return Splits(
        some(64), some(24), some(24), "classification", ("square",), "squares", "as they are"
    )


def adversaries(**fields: Any) -> AdversarialRecipe:
    usual: dict[str, Any] = {
        "generator": "dcgan", "discriminator": "dcgan_discriminator", "data": "squares",
        "epochs": 3, "batch_size": 16, "score_examples": 24, "judge": "resnet20-cifar10",
        "generator_arguments": {"width": 8, "latent": 6}, "discriminator_arguments": {"width": 8},
    }  # fmt: skip
    return AdversarialRecipe(**usual | fields)


def agent(**fields: Any) -> ControlRecipe:
    usual: dict[str, Any] = {
        "environment": "CartPole-v1", "steps": 3 * 1_024, "arguments": {"hidden": [16]},
        "warm_up": 512, "evaluate_every": 512, "keep_every": 1_024, "evaluation_episodes": 2,
        "test_episodes": 4,
    }  # fmt: skip
    return ControlRecipe(**usual | fields)


FIXED: dict[str, Any] = {
    "batch_size": 16,
    "generator_arguments": {"width": 8},
    "discriminator_arguments": {"width": 8},
}


@pytest.fixture(scope="module")
def of_generators(squares: Splits, tmp_path_factory: pytest.TempPathFactory) -> Search:
    place = tmp_path_factory.mktemp("searches") / "generators"
    return tune(adversaries(), squares, out=place, max_trials=3, fixed=FIXED)


@pytest.fixture(scope="module")
def of_agents(tmp_path_factory: pytest.TempPathFactory) -> Search:
    place = tmp_path_factory.mktemp("searches") / "agents"
    space = {"learning_rate": (1e-4, 1e30, "log")}
    return tune(agent(), out=place, max_trials=4, space=space, tuner="random", seed=1)


def test_generators_are_compared_by_their_distance_to_validation(
    of_generators: Search, squares: Splits
) -> None:
    config = of_generators.config
    assert (config.objective, config.direction) == ("val_distance", "min")
    table = pd.read_csv(of_generators.path / "trials.csv")
    assert (table["status"] == "done").all()
    assert int(of_generators.ranked[0]) == table["val_distance"].idxmin()
    runs = [AdversarialRun(p) for p in sorted(of_generators.trials.glob("*/execution-0"))]
    assert [run.config.dataset.examples for run in runs] == 3 * [
        {"train": 64, "validation": 0, "test": 24}
    ]
    best = of_generators.run
    assert best.finished
    assert best.config.recipe == of_generators.best
    assert best.config.dataset.examples == squares.sizes
    assert {"learning_rate", "discriminator_learning_rate", "label_smoothing"} <= set(table)
    assert "generator_arguments.latent" in table
    assert not {"batch_size", "generator_arguments.width", "gradient_penalty"} & set(table)


def test_no_trial_of_a_generator_sees_the_test_pictures(
    of_generators: Search, squares: Splits, tmp_path: Path
) -> None:
    dark = replace(squares, test=Examples(0 * squares.test.inputs, squares.test.targets))
    again = tune(
        adversaries(), dark, out=tmp_path / "dark", max_trials=3, fixed=FIXED, retrain=False
    )
    figures = [[o.figures for o in search.outcomes.values()] for search in (of_generators, again)]
    assert figures[0] == figures[1]


def test_batches_are_no_larger_than_the_pictures_allow(squares: Splits) -> None:
    assert trials_of(adversaries(), squares).space["batch_size"].values == (32, 64)
    few = replace(squares, train=squares.train.take(np.arange(40)))
    assert "batch_size" not in trials_of(adversaries(), few).space


def test_a_folder_without_validation_gives_a_tenth_of_its_pictures(squares: Splits) -> None:
    trials: Any = trials_of(
        adversaries(), replace(squares, validation=squares.validation.take(np.arange(0)))
    )
    assert trials.data.sizes == {"train": 58, "validation": 0, "test": 6}
    joined = trials.data.train.joined(trials.data.test).inputs
    assert sorted(map(bytes, joined)) == sorted(map(bytes, squares.train.inputs))


def test_agents_are_compared_by_episodes_of_their_kept_policies(of_agents: Search) -> None:
    config = of_agents.config
    assert (config.objective, config.direction) == ("val_return", "max")
    ended = of_agents.outcomes
    assert {outcome.status for outcome in ended.values()} == {"done", "pruned"}
    assert all("infinite or not a number" in o.message for o in ended.values() if o.message)
    assert of_agents.ranked[0] == max(
        (key for key, o in ended.items() if o.status == "done"),
        key=lambda key: ended[key].figures["val_return"],
    )
    run = of_agents.run
    assert run.finished
    assert run.config.recipe == of_agents.best
    for folder in of_agents.trials.glob("*/execution-0"):
        assert not (folder / "metrics.json").exists()  # no test episode was played


@pytest.mark.parametrize("kind", ["adversaries", "agent"])
def test_a_training_that_paused_comes_to_the_same_as_one_that_did_not(
    kind: str, squares: Splits, tmp_path: Path
) -> None:
    made = adversaries() if kind == "adversaries" else agent()
    trials = trials_of(made, squares if kind == "adversaries" else None)
    assert trials.rounds == 3
    first = trials.learn(made, tmp_path / "first", until=1)
    then = trials.learn(made, tmp_path / "then", until=3, before=tmp_path / "first")
    straight = trials.learn(made, tmp_path / "straight")
    assert first.epochs < then.epochs == straight.epochs
    assert then.best == straight.best
    histories = [
        pd.read_csv(tmp_path / name / "history.csv").drop(columns="seconds")
        for name in ("then", "straight")
    ]
    pd.testing.assert_frame_equal(*histories)


def test_hyperband_gives_all_steps_to_few_agents(tmp_path: Path) -> None:
    search = tune(
        agent(), out=tmp_path / "s", tuner="hyperband", max_trials=5, retrain=False,
        space={"learning_rate": (1e-4, 1e-2, "log")},
    )  # fmt: skip
    evaluations = [outcome.epochs for outcome in search.outcomes.values()]
    assert set(evaluations) == {2, 6}
    assert ControlRun(next(search.trials.glob("*/execution-0"))).config.task == "control"
    more = resume_tuning(tmp_path / "s", max_trials=6, retrain=False)
    assert len(more.outcomes) == 6


def test_what_is_of_both_networks_must_be_said_of_which(squares: Splits, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"generator_arguments\.width or disc"):
        tune(adversaries(), squares, out=tmp_path / "s", space={"width": [8, 16]})
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"space": {"generator": ["dcgan", "gan_generator"]}}, "nothing that a search can vary"),
        ({"space": {"augment": ["cutout"]}}, "nothing that a search can vary"),
        ({"space": {"augment.crop": (0, 4)}}, "no parameter"),
        ({"objective": "val_distanc"}, "did you mean 'val_distance'"),
        ({"fixed": {"discriminator_arguments": {"width": 1.5}}}, "can be trained"),
        ({"fixed": {"gradient_penalty": 10.0, "batch_size": 16}}, "normalizes by batch"),
        ({"fixed": {"batch_size": 65}}, "64 pictures to learn from, fewer than an update takes"),
    ],
)
def test_what_no_generator_can_be_searched_for(
    change: dict[str, Any], words: str, squares: Splits, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words):
        tune(adversaries(), squares, out=tmp_path / "s", **change)
    assert not (tmp_path / "s").exists()


def test_agents_take_no_data(squares: Splits, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="takes no data"):
        tune(agent(), squares, out=tmp_path / "s")
    with pytest.raises(InputError, match="hyperband chooses the steps itself"):
        tune(agent(), out=tmp_path / "s", tuner="hyperband", space={"steps": [1024, 2048]})
