"""Environments side by side, and what is said of those that cannot be played."""

from pathlib import Path

import numpy as np
import pytest
import toy_environments
from PIL import Image

import zoo
from recipes.control import play
from recipes.control.environments import Environments
from recipes.control.playing import film, play_episodes
from zoo.errors import InputError

LENGTH = toy_environments.LENGTH


def right(observations: np.ndarray) -> np.ndarray:
    return np.ones(len(observations), int)


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "actions"),
    [
        ("CartPole-v1", (4,), "float32", 2),
        ("Acrobot-v1", (6,), "float32", 3),
        ("LunarLander-v3", (8,), "float32", 4),
        ("MinAtar/Breakout-v1", (10, 10, 4), "bool", 3),
        ("ALE/Pong-v5", (84, 84, 4), "uint8", 6),
    ],
)
def test_what_is_observed_fits_what_is_said(
    name: str, shape: tuple[int, ...], dtype: str, actions: int
):
    with Environments(name, 2, learning=True) as environments:
        spaces = environments.spaces
        assert (spaces.shape, spaces.dtype, spaces.actions) == (shape, dtype, actions)
        observations = environments.reset(seed=0)
        for step in range(3):
            assert observations.shape == (2, *shape)
            assert observations.dtype == dtype
            observations, rewards, ended, cut = environments.step(np.full(2, step % actions))
            assert rewards.dtype == "float32"
            assert rewards.shape == ended.shape == cut.shape == (2,)


def test_the_same_seed_begins_the_same_episodes():
    with Environments("CartPole-v1", 3) as environments:
        first, other, again = (environments.reset(seed) for seed in (1, 2, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("CartPol-v1", "CartPole-v1"),
        ("CartPole-v9", "CartPole-v1"),
        ("Pendulum-v1", "those of 'Pendulum-v1' are Box"),
        ("FrozenLake-v1", "recipes.control.tabular"),
        ("Blackjack-v1", "reads arrays"),
        ("MinAtar/Chess-v1", "MinAtar/"),
        ("nowhere:Own-v0", "nowhere"),
    ],
)
def test_an_environment_that_cannot_be_played_is_refused(name: str, words: str):
    with pytest.raises(InputError, match=words):
        Environments(name, 1)


def test_options_of_an_environment_are_its_own():
    with Environments("Corridor-v0", 1, {"actions": 7}) as environments:
        assert environments.spaces.actions == 7
    with pytest.raises(InputError, match="colour"):
        Environments("Corridor-v0", 1, {"colour": "red"})


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("raise", "RuntimeError: the floor gave way"),
        ("reward", "a reward that is no number"),
        ("observation", "shows something that is no number"),
    ],
)
def test_a_fault_in_mid_episode_is_one_clear_error(fault: str, words: str):
    options = {"fault": fault}
    with pytest.raises(InputError, match=words):
        play_episodes(right, "Corridor-v0", 2, seed=0, options=options)


@pytest.mark.parametrize("end", ["terminated", "truncated"])
@pytest.mark.parametrize("episodes", [1, 7, 47])
def test_episodes_are_counted_whole(end: str, episodes: int):
    played = play_episodes(right, "Corridor-v0", episodes, seed=0, options={"end": end})
    assert played.returns.tolist() == [LENGTH * (LENGTH + 1) / 2] * episodes
    assert played.lengths.tolist() == [LENGTH] * episodes


def test_what_is_observed_is_what_was_acted_on():
    played = play_episodes(right, "Corridor-v0", 4, seed=0, observed=True)
    assert played.observations.shape == (4 * LENGTH, 3)
    assert sorted(set(played.observations[:, 1].tolist())) == list(range(LENGTH))


def test_random_actions_are_mixed_in():
    played = play_episodes(right, "Corridor-v0", 40, seed=0, epsilon=0.5, observed=True)
    last = played.observations[played.observations[:, 0] == LENGTH - 1][:, 1]
    assert 2 < last.mean() < LENGTH - 1  # three of four go right


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_an_episode_becomes_a_film(tmp_path: Path, suffix: str):
    path = tmp_path / f"episode{suffix}"
    assert film(right, "Corridor-v0", path) == LENGTH * (LENGTH + 1) / 2
    with Image.open(path) as picture:
        assert picture.size == (16, 16)
        assert picture.n_frames == LENGTH + 1


def test_a_film_needs_a_kind_that_can_be_written(tmp_path: Path):
    with pytest.raises(InputError, match="gif"):
        film(right, "CartPole-v1", tmp_path / "episode.mov")


def test_a_network_that_does_not_fit_is_refused():
    network = zoo.build("dqn")
    with pytest.raises(InputError, match="has 3"):
        play(network, "Acrobot-v1", episodes=1)
    with pytest.raises(InputError, match="name the environment"):
        play(network, episodes=1)


def test_a_model_that_is_no_agent_plays_nothing():
    with pytest.raises(InputError, match="it plays nothing"):
        play("lenet5-mnist", episodes=1)
