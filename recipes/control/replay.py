"""What an agent remembers: steps of several environments, drawn with n-step returns.

*Self-improving reactive agents based on reinforcement learning, planning and teaching*, Lin 1992,
https://doi.org/10.1007/BF00992699; *Prioritized Experience Replay*, Schaul et al. 2016,
https://arxiv.org/abs/1511.05952 (the proportional variant)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recipes.control.environments import Environments
from recipes.control.recipe import ControlRecipe
from zoo.errors import InputError

_LEAST_PRIORITY = 1e-6
_RING = ("observations", "actions", "rewards", "terminated", "ended", "real")


@dataclass(frozen=True)
class Transitions:
    """Transitions of n steps; every array begins with the same axes.

    Attributes:
        observations: what was observed.
        actions: int32, what was done.
        rewards: float32, the discounted sum of the rewards that followed.
        discounts: float32, of the value of what was observed then; 0 where the task ended.
        next_observations: what was observed after the last of these rewards.
        weights: float32, of the losses; 1 where all are drawn alike.
        places: int64, where they stand in the replay.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    discounts: np.ndarray
    next_observations: np.ndarray
    weights: np.ndarray
    places: np.ndarray


class SumTree:
    """Numbers, one of which is drawn in proportion to its size in logarithmic time.

    Args:
        size: how many.

    Example:
        >>> import numpy as np
        >>> from recipes.control.replay import SumTree
        >>> tree = SumTree(3)
        >>> tree[np.array([0, 1, 2])] = np.array([1.0, 0.0, 3.0])
        >>> tree.find(np.array([0.5, 1.5, 3.9])).tolist()
        [0, 2, 2]
    """

    def __init__(self, size: int) -> None:
        self._leaves = 1 << max(0, (size - 1).bit_length())  # and the node of the first one
        self._sums = np.zeros(2 * self._leaves)

    def __setitem__(self, places: np.ndarray, values: np.ndarray | float) -> None:
        """Set numbers; of a place that is named twice, the last one stands."""
        nodes = places + self._leaves
        self._sums[nodes] = values
        while nodes[0] > 1:
            nodes = np.unique(nodes >> 1)
            self._sums[nodes] = self._sums[2 * nodes] + self._sums[2 * nodes + 1]

    def __getitem__(self, places: np.ndarray) -> np.ndarray:
        """Return numbers."""
        return self._sums[places + self._leaves]

    @property
    def total(self) -> float:
        """The sum of all."""
        return float(self._sums[1])

    def find(self, sums: np.ndarray) -> np.ndarray:
        """Return the places where the running sum goes beyond `sums`, each in [0, total)."""
        nodes, rest = np.ones(sums.shape, "int64"), np.array(sums, "float64")
        for _ in range(self._leaves.bit_length() - 1):
            nodes = 2 * nodes
            left = self._sums[nodes]
            # Rounding may point behind the last number that is not 0.
            right = (rest >= left) & (self._sums[nodes + 1] > 0)
            rest = np.where(right, rest - left, rest)
            nodes = nodes + right
        return nodes - self._leaves


class Replay:
    """A ring of the last steps of several environments.

    Observations are kept once: what follows a step is the next row's. A row is real where an
    action was done; elsewhere it holds what was observed last of an episode.

    Args:
        capacity: steps of all environments together.
        environments: their number.
        shape: of an observation.
        dtype: of an observation.
        n_step: rewards that are added up.
        discount: of rewards.
        priority: exponent of the priorities; 0 draws all alike.
        frames: of an observation, as channels: the last so many pictures of an episode, whose first
            one stands for those before it. Only the newest is kept.

    Example:
        >>> import numpy as np
        >>> from recipes.control.replay import Replay
        >>> replay = Replay(8, 1, (), "float32", n_step=2, discount=0.5)
        >>> for step in range(4):
        ...     replay.add([step], [0], [1.0], [False], [False])
        >>> replay.draw((1,), np.random.default_rng(0)).rewards.tolist()
        [1.5]
    """

    def __init__(
        self,
        capacity: int,
        environments: int,
        shape: Sequence[int],
        dtype: str,
        n_step: int = 1,
        discount: float = 0.99,
        priority: float = 0.0,
        frames: int = 1,
    ) -> None:
        self.frames = frames
        self.rows, self.environments = capacity // environments, environments
        self.n_step, self.discount, self.priority = n_step, discount, priority
        if self.rows <= n_step + frames:
            raise InputError(
                f"a replay of {capacity} steps in {environments} environments cannot hold returns "
                f"of {n_step} steps and {frames} pictures: it is too small."
            )
        size = (self.rows, environments)
        if frames > 1:
            shape = (*shape[:-1], shape[-1] // frames)
        self.observations = np.zeros((*size, *shape), dtype)
        self.actions = np.zeros(size, "int32")
        self.rewards = np.zeros(size, "float32")
        self.terminated, self.ended, self.real = (np.zeros(size, bool) for _ in range(3))
        self.added = 0
        self.tree = SumTree(self.rows * environments) if priority else None
        self.greatest = 1.0  # priority of what was not drawn yet

    def add(
        self,
        observations: np.ndarray,
        actions: np.ndarray,
        rewards: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        real: np.ndarray | bool = True,
    ) -> None:
        """Remember a step of every environment.

        Args:
            observations: before the step `(environments, …)`.
            actions: what was done.
            rewards: what followed.
            terminated: whether the task ended by it: nothing of value comes then.
            truncated: whether the episode was cut off after it.
            real: whether anything was done; not where an episode has only begun again.
        """
        row = self.added % self.rows
        self.observations[row] = self._newest(observations)
        self.actions[row] = actions
        self.rewards[row] = rewards
        self.terminated[row] = terminated
        self.ended[row] = np.logical_or(terminated, truncated)
        self.real[row] = real
        self.added += 1
        if self.tree:
            copies = np.arange(self.environments)
            for later in range(self.frames):  # of what comes next, earlier pictures are lost
                self.tree[(row + later) % self.rows * self.environments + copies] = 0.0
            known = self.added - 1 - self.n_step  # it is known now how this row went on
            if known >= 0:
                start = known % self.rows
                priorities = np.where(self.real[start], self.greatest, 0.0)
                self.tree[start * self.environments + copies] = priorities

    def cut(self, observations: np.ndarray) -> None:
        """End all episodes, as if their time was up: this is what was observed last."""
        self.ended[(self.added - 1) % self.rows] = True
        nothing = np.zeros(self.environments)
        self.add(observations, nothing, nothing, nothing, nothing, real=False)

    def observed(self) -> np.ndarray:
        """Return what is kept of observations `(examples, …)`: of several pictures, the last."""
        kept = self.observations[: min(self.added, self.rows)]
        return kept.reshape(-1, *kept.shape[2:])

    @property
    def known(self) -> int:
        """Number of rows of which it is known how they went on."""
        return max(0, min(self.added, self.rows) - self.n_step - (self._oldest - self._first))

    @property
    def _first(self) -> int:
        """Number of the first step that is kept."""
        return max(0, self.added - self.rows)

    @property
    def _oldest(self) -> int:
        """Number of the first step all of whose pictures are kept."""
        return self._first + (self.frames - 1 if self._first else 0)

    def draw(
        self, shape: tuple[int, ...], random: np.random.Generator, importance: float = 1.0
    ) -> Transitions:
        """Draw transitions, with replacement.

        Args:
            shape: of the result, such as `(updates, batch)`.
            random: decides.
            importance: exponent of the weights that make up for priorities.
        """
        if self.tree is None:
            places = self._uniform(shape, random)
            return self.transitions(places, np.ones(shape, "float32"))
        places = self.tree.find(random.random(shape) * self.tree.total)
        chances = self.tree[places] / self.tree.total
        weights = (self.known * self.environments * chances) ** -importance
        return self.transitions(places, (weights / weights.max()).astype("float32"))

    def _uniform(self, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
        """Return places where something was done, and where it is known how it went on."""
        places = np.zeros(int(np.prod(shape)), "int64")
        left = np.arange(len(places))
        while len(left):
            rows = (self._oldest + random.integers(self.known, size=len(left))) % self.rows
            copies = random.integers(self.environments, size=len(left))
            places[left] = rows * self.environments + copies
            left = left[~self.real[rows, copies]]
        return places.reshape(shape)

    def transitions(self, places: np.ndarray, weights: np.ndarray) -> Transitions:
        """Return what stands at places of the ring, with n-step returns."""
        rows, copies = np.divmod(places, self.environments)
        rewards = np.zeros(places.shape, "float32")
        discounts = np.ones(places.shape, "float32")
        goes_on = np.ones(places.shape, bool)
        now = rows
        for _ in range(self.n_step):
            rewards += np.where(goes_on, discounts * self.rewards[now, copies], 0)
            left = np.where(self.terminated[now, copies], 0, discounts * self.discount)
            discounts = np.where(goes_on, left, discounts).astype("float32")
            ended = self.ended[now, copies]
            now = np.where(goes_on, (now + 1) % self.rows, now)
            goes_on = goes_on & ~ended
        return Transitions(
            observations=self._seen(rows, copies),
            actions=self.actions[rows, copies],
            rewards=rewards,
            discounts=discounts,
            next_observations=self._seen(now, copies),
            weights=weights,
            places=places,
        )

    def _newest(self, observations: np.ndarray) -> np.ndarray:
        """Return what is kept of observations: of several pictures the last one."""
        if self.frames == 1:
            return observations
        return observations[..., -self.observations.shape[-1] :]

    def _seen(self, rows: np.ndarray, copies: np.ndarray) -> np.ndarray:
        """Return what was observed there, of pictures the last ones of the episode."""
        pictures = [self.observations[rows, copies]]
        for _ in range(self.frames - 1):
            before = (rows - 1) % self.rows
            # Where nothing was done before, an episode begins; and nothing is before the first.
            begins = ~self.real[before, copies] | (rows == self._first % self.rows)
            rows = np.where(begins, rows, before)
            pictures.append(self.observations[rows, copies])
        return pictures[0] if self.frames == 1 else np.concatenate(pictures[::-1], axis=-1)

    def prioritize(self, places: np.ndarray, errors: np.ndarray) -> None:
        """Give transitions that were drawn priorities by their errors."""
        if self.tree is None:
            return
        priorities = (np.abs(errors.ravel()) + _LEAST_PRIORITY) ** self.priority
        self.greatest = max(self.greatest, float(priorities.max()))
        self.tree[places.ravel()] = priorities

    def state(self) -> dict[str, np.ndarray]:
        """Return all that it holds, as arrays by name."""
        kept = min(self.added, self.rows)
        arrays = {name: getattr(self, name)[:kept] for name in _RING}
        arrays["counters"] = np.array([self.added, self.greatest])
        if self.tree:
            arrays["priorities"] = self.tree[np.arange(self.rows * self.environments)]
        return arrays

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take back what `state` returned."""
        for name in _RING:
            getattr(self, name)[: len(arrays[name])] = arrays[name]
        self.added, self.greatest = int(arrays["counters"][0]), float(arrays["counters"][1])
        if self.tree:
            self.tree[np.arange(self.rows * self.environments)] = arrays["priorities"]


def replay_of(recipe: ControlRecipe, environments: Environments) -> Replay:
    """Return an empty replay for a recipe's environments."""
    return Replay(
        recipe.replay_capacity,
        environments.count,
        environments.spaces.shape,
        environments.spaces.dtype,
        recipe.n_step,
        recipe.discount,
        recipe.priority,
        environments.spaces.frames,
    )
