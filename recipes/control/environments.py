"""Gymnasium's environments as an agent plays them: several copies side by side, checked."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from zoo.errors import InputError
from zoo.registry import unknown

EXTRA = 'pip install "deepzoo[control]"'
RENDERING = 'pip install "deepzoo[render]"'
_FRAMES = 4  # that a network for Atari sees at once
# Beginning of an id -> what registers its environments, and their licence.
_COLLECTIONS = {"ALE/": ("ale_py", "GPL-2.0"), "MinAtar/": ("minatar.gym", "GPL-3.0")}


@dataclass(frozen=True)
class Spaces:
    """What is observed in an environment, and what can be done.

    Attributes:
        shape: of an observation.
        dtype: "float32", "uint8" or "bool".
        actions: number of actions.
        preprocessing: in words, what happens to an observation before the network.
        frames: number of pictures, one after the other, that an observation's channels are.
    """

    shape: tuple[int, ...]
    dtype: str
    actions: int
    preprocessing: str
    frames: int = 1


class Environments:
    """Copies of an environment, played side by side.

    A copy whose episode has ended takes one step that does nothing but begin the next one
    (Gymnasium's "next step" mode): its action is ignored, and its reward is 0.

    Args:
        name: a Gymnasium id.
        count: number of copies.
        options: arguments of the environment.
        learning: in Atari, a lost life ends an episode.

    Raises:
        InputError: no such environment, one that lacks a package, or one that a Q-network cannot
            play: with continuous actions, or observations that are no arrays.

    Example:
        >>> from recipes.control.environments import Environments
        >>> with Environments("CartPole-v1", 2) as environments:
        ...     environments.reset(seed=0).shape, environments.spaces.actions
        ((2, 4), 2)
    """

    def __init__(
        self,
        name: str,
        count: int,
        options: dict[str, Any] | None = None,
        learning: bool = False,
    ) -> None:
        self.name, self.count = name, count
        self._environment = _vectorized(name, count, options or {}, learning)
        try:
            self.spaces = _spaces(name, self._environment)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Environments":
        """Return itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Close all copies."""
        self.close()

    def reset(self, seed: int) -> np.ndarray:
        """Begin an episode in every copy, and return what is observed `(copies, …)`."""
        return self._checked(self._asked(lambda: self._environment.reset(seed=seed))[0])

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Take a step in every copy.

        Args:
            actions: int `(copies,)`.

        Returns:
            Observations `(copies, …)`, float32 rewards, and two arrays of bool: whether the task
            came to an end, and whether the time did.

        Raises:
            InputError: the environment raised an error, or gave what is no number.
        """
        observations, rewards, terminated, truncated, _ = self._asked(
            lambda: self._environment.step(actions)
        )
        rewards = np.asarray(rewards, "float32")
        if not np.isfinite(rewards).all():
            raise InputError(f"the environment {self.name!r} gave a reward that is no number.")
        return self._checked(observations), rewards, np.asarray(terminated), np.asarray(truncated)

    def close(self) -> None:
        """Close all copies."""
        self._environment.close()

    def _asked(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:  # any: it is code of the user's
            raise InputError(
                f"the environment {self.name!r} raised {type(error).__name__}: {error}"
            ) from error

    def _checked(self, observations: Any) -> np.ndarray:
        result = np.array(observations, self.spaces.dtype)  # a copy: the next step overwrites it
        if self.spaces.dtype == "float32" and not np.isfinite(result).all():
            raise InputError(f"the environment {self.name!r} shows something that is no number.")
        return result


def gymnasium() -> ModuleType:
    """Import Gymnasium.

    Raises:
        InputError: it is not installed; names the extra.
    """
    try:
        return importlib.import_module("gymnasium")
    except ImportError:
        raise InputError(f"control needs Gymnasium, which is not installed: {EXTRA}.") from None


def single(name: str, options: dict[str, Any] | None = None, **arguments: Any) -> Any:
    """Make one copy of an environment, as Gymnasium has it.

    Args:
        name: a Gymnasium id.
        options: arguments of the environment.
        **arguments: of `gymnasium.make`, such as `render_mode`.

    Raises:
        InputError: no such environment, or one that lacks a package.

    Example:
        >>> from recipes.control.environments import single
        >>> single("CartPole-v1").action_space
        Discrete(2)
    """
    gym = gymnasium()
    _register(name)

    def make() -> Any:
        made = gym.make(name, **_own_options(name), **(options or {}), **arguments)
        for wrapper in _wrappers(name, learning=False):
            made = wrapper(made)
        return made

    return _made(name, make)


def _vectorized(name: str, count: int, options: dict[str, Any], learning: bool) -> Any:
    gym = gymnasium()
    _register(name)
    wrappers = _wrappers(name, learning)
    environment = _made(
        name,
        lambda: gym.make_vec(
            name,
            num_envs=count,
            vectorization_mode="sync" if wrappers else None,  # None: the environment's own, if any
            wrappers=wrappers,
            **_own_options(name),
            **options,
        ),
    )
    mode = environment.metadata.get("autoreset_mode", gym.vector.AutoresetMode.NEXT_STEP)
    if mode != gym.vector.AutoresetMode.NEXT_STEP:
        environment.close()
        raise InputError(f"{name!r} begins its episodes by {mode}, not by a step of its own.")
    return environment


def _made(name: str, make: Callable[[], Any]) -> Any:
    """Return what `make` makes; what Gymnasium says of a failure becomes one line."""
    gym = gymnasium()
    try:
        return make()
    except gym.error.DependencyNotInstalled as error:
        cure = RENDERING if "pygame" in str(error) else EXTRA
        raise InputError(f"{name!r} lacks a package: {error}. {cure}") from None
    except (gym.error.NameNotFound, gym.error.VersionNotFound, gym.error.NamespaceNotFound):
        raise unknown(name, list(gym.registry), "environment") from None
    except (gym.error.Error, ImportError) as error:
        raise InputError(f"{name!r} cannot be made: {error}") from None
    except TypeError as error:
        raise InputError(f"{name!r} does not take these options: {error}") from None


def _register(name: str) -> None:
    """Import what registers the environments of a collection."""
    for beginning, (module, _) in _COLLECTIONS.items():
        there = any(known.startswith(beginning) for known in gymnasium().registry)
        if there or not name.startswith(beginning):
            continue
        try:
            imported = importlib.import_module(module)
        except ImportError:
            raise InputError(f"{name!r} needs {module}, which is not installed: {EXTRA}.") from None
        if hasattr(imported, "register_envs"):
            imported.register_envs()


def license_of(name: str) -> str:
    """Return the licence of an environment of Gymnasium or a known collection, else ""."""
    for beginning, (_, license) in _COLLECTIONS.items():
        if name.startswith(beginning):
            return license
    spec = gymnasium().registry.get(name)
    own = spec is not None and str(spec.entry_point).startswith("gymnasium.")
    return "MIT" if own else ""


def _own_options(name: str) -> dict[str, Any]:
    """Return what the wrappers of Atari need: they skip frames themselves."""
    return {"frameskip": 1} if name.startswith("ALE/") else {}


def _wrappers(name: str, learning: bool) -> list[Callable[[Any], Any]]:
    """Return the wrappers of Atari: four grey frames in one picture, channels last.

    *Revisiting the Arcade Learning Environment*, Machado et al. 2018,
    https://arxiv.org/abs/1709.06009
    """
    if not name.startswith("ALE/"):
        return []
    wrappers = gymnasium().wrappers
    box = gymnasium().spaces.Box(0, 255, (84, 84, _FRAMES), "uint8")
    return [
        lambda env: wrappers.AtariPreprocessing(env, terminal_on_life_loss=learning),
        lambda env: wrappers.FrameStackObservation(env, _FRAMES),
        lambda env: wrappers.TransformObservation(env, _channels_last, box),
    ]


def _channels_last(frames: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.asarray(frames), 0, -1)


def _spaces(name: str, environment: Any) -> Spaces:
    spaces = gymnasium().spaces
    action = environment.single_action_space
    observation = environment.single_observation_space
    if not isinstance(action, spaces.Discrete) or action.start != 0:
        raise InputError(
            f"a Q-network chooses among actions 0, 1, …; those of {name!r} are {action}."
        )
    if isinstance(observation, spaces.Discrete):
        raise InputError(
            f"{name!r} has numbered states ({observation}): learn it by a table, with "
            "`recipes.control.tabular`."
        )
    if not isinstance(observation, spaces.Box) or not observation.shape:
        raise InputError(f"a Q-network reads arrays; {name!r} shows {observation}.")
    kind = observation.dtype.name
    words, frames = "none", 1
    if name.startswith("ALE/"):
        frames = _FRAMES
        words = (
            "every fourth frame, the greater of the last two, in grey at 84×84; "
            f"{_FRAMES} of them are one picture"
        )
    return Spaces(
        shape=tuple(observation.shape),
        dtype=kind if kind in ("uint8", "bool") else "float32",
        actions=int(action.n),
        preprocessing=words,
        frames=frames,
    )
