"""Whole episodes, played by a policy: their returns, what was observed, and a picture of one."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from recipes.control.environments import Environments, Spaces, single
from zoo import cards
from zoo.errors import InputError
from zoo.files import whole_file
from zoo.models import load
from zoo.registry import unknown

if TYPE_CHECKING:
    import keras

Policy = Callable[[np.ndarray], np.ndarray]

TEST_SEED = 2_000_000_000  # of test episodes, whatever a recipe's seed
SAMPLES = 10_000  # observations that an exported policy is held against
CALIBRATION = 1_000  # and those that it is calibrated with
_MOST_BYTES = 2**26  # of observations together; fewer are kept of large pictures
_EXPLORING = 0.1  # random actions where observations are gathered: a policy alone sees little
_SIDE_BY_SIDE = 20  # copies of an environment, at most
_VIDEOS = (".gif", ".webp", ".png")  # what Pillow writes in many frames
_LONGEST = 5_000  # frames of a video


@dataclass(frozen=True)
class Episodes:
    """Episodes that were played to their end.

    Attributes:
        returns: float `(episodes,)`, undiscounted sums of rewards.
        lengths: int `(episodes,)`, numbers of steps.
        observations: of all steps, if they were asked for; else none.
    """

    returns: np.ndarray
    lengths: np.ndarray
    observations: np.ndarray


def play_episodes(
    policy: Policy,
    environment: str,
    episodes: int,
    seed: int,
    options: dict[str, Any] | None = None,
    epsilon: float = 0.0,
    observed: bool = False,
) -> Episodes:
    """Play episodes to their end, several at a time.

    Every copy of the environment plays as many as the others, or one more; so short episodes do
    not count more often than long ones.

    Args:
        policy: observations `(batch, …)` -> actions `(batch,)`.
        environment: a Gymnasium id.
        episodes: their number.
        seed: of the environments, and of random actions.
        options: arguments of the environment.
        epsilon: share of random actions.
        observed: whether to return all observations.

    Raises:
        InputError: see `Environments`.

    Example:
        >>> import numpy as np
        >>> from recipes.control.playing import play_episodes
        >>> def right(observations):
        ...     return np.ones(len(observations), "int64")
        >>> played = play_episodes(right, "CartPole-v1", 3, seed=0)
        >>> bool((played.returns == played.lengths).all())
        True
    """
    count = min(episodes, _SIDE_BY_SIDE)
    left = np.full(count, episodes // count) + (np.arange(count) < episodes % count)
    random = np.random.default_rng(seed)
    returns: list[float] = []
    lengths: list[int] = []
    seen: list[np.ndarray] = []
    with Environments(environment, count, options) as environments:
        observations = environments.reset(seed)
        total, length = np.zeros(count), np.zeros(count, int)
        over = np.zeros(count, bool)
        while left.any():
            if observed:
                seen.append(observations[~over & (left > 0)])
            actions = policy(observations)
            if epsilon:
                explores = random.random(count) < epsilon
                drawn = random.integers(environments.spaces.actions, size=count)
                actions = np.where(explores, drawn, actions)
            observations, rewards, terminated, truncated = environments.step(actions)
            total = np.where(over, 0, total + rewards)
            length = np.where(over, 0, length + 1)
            over = terminated | truncated
            ended = over & (left > 0)
            returns += total[ended].tolist()
            lengths += length[ended].tolist()
            left[ended] -= 1
    nothing = np.zeros((0, *observations.shape[1:]), observations.dtype)
    return Episodes(np.array(returns), np.array(lengths), np.concatenate([nothing, *seen]))


def play(
    model: "str | os.PathLike[str] | keras.Model",
    environment: str | None = None,
    episodes: int = 100,
    seed: int = TEST_SEED,
    options: dict[str, Any] | None = None,
    video: str | os.PathLike[str] | None = None,
) -> dict[str, float]:
    """Play episodes by a model's greedy policy, and measure them.

    Args:
        model: name of a pretrained model, path of a run, or a Q-network.
        environment: a Gymnasium id. Default: the one that the model learned in.
        episodes: their number.
        seed: of the environments. Default: of the test episodes that a card tells of.
        options: arguments of the environment. Default: those that the model learned with.
        video: file for the first episode of the seed, ".gif", ".webp" or ".png" (animated).

    Returns:
        "return" (mean of the undiscounted returns), "return_deviation", "return_least", and
        "length" (mean number of steps).

    Raises:
        InputError: no such model or environment, or one that does not fit the other.

    Example:
        >>> from recipes.control import play
        >>> play("dqn-cartpole", episodes=1)["return"]
        500.0
    """
    import keras

    from recipes.control.policy import greedy

    if isinstance(model, keras.Model):
        network = model
    else:
        card = cards.card(os.fspath(model))
        if card.task != "control":
            raise InputError(f"{card.name!r} is for {card.task}: it plays nothing.")
        if environment is None:
            environment = card.dataset.source
            options = options or card.recipe.get("environment_options")
        network = load(model)
    if environment is None:
        raise InputError("name the environment: this model has no card that says where it learned.")
    with Environments(environment, 1, options) as environments:
        check_fit(network, environments.spaces, environment)
    policy = greedy(network)
    if video is not None:
        film(policy, environment, Path(video), seed, options)
    return figures(play_episodes(policy, environment, episodes, seed, options))


def figures(played: Episodes) -> dict[str, float]:
    """Return the figures of some episodes by name."""
    return {
        "return": float(played.returns.mean()),
        "return_deviation": float(played.returns.std()),
        "return_least": float(played.returns.min()),
        "length": float(played.lengths.mean()),
    }


def check_fit(model: "keras.Model", spaces: Spaces, name: str) -> None:
    """Refuse a network that does not read what is observed, or values other actions.

    Raises:
        InputError: says what both have.
    """
    source, output = model.inputs[0], model.output
    values = output["q_values"] if isinstance(output, dict) else output
    own = (tuple(source.shape[1:]), source.dtype, values.shape[-1])
    wanted = (spaces.shape, spaces.dtype, spaces.actions)
    if own != wanted:
        raise InputError(
            f"{model.name!r} reads {own[1]} of shape {own[0]} and values {own[2]} actions; "
            f"{name!r} shows {wanted[1]} of shape {wanted[0]} and has {wanted[2]}."
        )


def observations_of(
    policy: Policy,
    environment: str,
    count: int,
    options: dict[str, Any] | None = None,
    seed: int = TEST_SEED + 1,
) -> np.ndarray:
    """Return what is observed in episodes in which now and then something random is done.

    Args:
        policy: observations `(batch, …)` -> actions `(batch,)`.
        environment: a Gymnasium id.
        count: number of observations, drawn from more; fewer of large pictures.
        options: arguments of the environment.
        seed: of the first episodes, and of the draw.

    Returns:
        `(count, …)`, in no order.
    """
    with Environments(environment, 1, options) as environments:
        spaces = environments.spaces
    size = int(np.prod(spaces.shape)) * np.dtype(spaces.dtype).itemsize
    count = min(count, max(2, _MOST_BYTES // size))
    seen: list[np.ndarray] = []
    while sum(map(len, seen)) < count:
        played = play_episodes(
            policy,
            environment,
            _SIDE_BY_SIDE,
            seed + len(seen),
            options,
            epsilon=_EXPLORING,
            observed=True,
        )
        seen.append(played.observations)
    found = np.concatenate(seen)
    return found[np.random.default_rng(seed).permutation(len(found))[:count]]


def samples_of(
    policy: Policy, environment: str, options: dict[str, Any] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return observations to compare exports on, and others to calibrate them with.

    Args:
        policy: observations `(batch, …)` -> actions `(batch,)`.
        environment: a Gymnasium id.
        options: arguments of the environment.
    """
    found = observations_of(policy, environment, SAMPLES + CALIBRATION, options)
    kept = len(found) * SAMPLES // (SAMPLES + CALIBRATION)
    return found[:kept], found[kept:]


def film(
    policy: Policy,
    environment: str,
    path: Path,
    seed: int = 0,
    options: dict[str, Any] | None = None,
) -> float:
    """Play an episode, keep its pictures as one animation, and return its return.

    Args:
        policy: observations `(batch, …)` -> actions `(batch,)`.
        environment: a Gymnasium id.
        path: of the file; ".gif", ".webp" or ".png" (animated).
        seed: of the environment.
        options: arguments of the environment.

    Raises:
        InputError: another suffix, or an environment that cannot be drawn.
    """
    if path.suffix.lower() not in _VIDEOS:
        raise unknown(path.suffix, _VIDEOS, "kind of video")
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # no window is opened, nor looked for
    env = single(environment, options, render_mode="rgb_array")
    try:
        observation, _ = env.reset(seed=seed)
        frames, total, over = [_frame(env, environment)], 0.0, False
        while not over and len(frames) < _LONGEST:
            action = policy(np.asarray(observation)[None])[0]
            observation, reward, terminated, truncated, _ = env.step(action)
            total += float(reward)
            over = bool(terminated or truncated)
            frames.append(_frame(env, environment))
        rate = env.metadata.get("render_fps") or 30
    finally:
        env.close()
    with whole_file(path) as temporary:
        frames[0].save(
            temporary,
            format=path.suffix[1:],
            save_all=True,
            append_images=frames[1:],
            duration=max(
                20, round(1000 / rate)
            ),  # of a frame, in milliseconds; viewers know no less
            loop=0,
        )
    return total


def _frame(env: Any, name: str) -> Image.Image:
    try:
        picture = env.render()
    except Exception as error:  # any: it is code of the environment's
        raise InputError(f"{name!r} cannot be drawn: {error}") from error
    if picture is None:
        raise InputError(f"{name!r} cannot be drawn: it has no render mode 'rgb_array'.")
    picture = np.asarray(picture)
    if picture.dtype.kind == "f":  # of MinAtar, in 0…1
        picture = (255 * picture).astype("uint8")
    return Image.fromarray(picture).quantize(64)
