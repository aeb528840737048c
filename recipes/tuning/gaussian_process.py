"""Bayesian search with a Gaussian process, as an oracle of KerasTuner.

*Practical Bayesian Optimization of Machine Learning Algorithms*, Snoek, Larochelle & Adams 2012,
https://arxiv.org/abs/1206.2944. Appendix C of the book.

KerasTuner's own `BayesianOptimization` may propose the same configuration again and again
(keras-team/keras-tuner#608), and ends with an error where its kernel matrix is not positive
definite (#658). Here no configuration is proposed that lies within a thousandth of one that was
tried, the matrix gets as much jitter as it needs, and a search whose process cannot be fitted goes
on at random. Deviations from the paper: candidates are drawn and compared, which serves whole
numbers, choices and conditions alike, where the paper follows gradients; and the hyperparameters of
the kernel are those of the largest likelihood.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import TrialStatus
from scipy import stats
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor, kernels

from recipes.tuning.space import decoded
from zoo.registry import unknown

_LENGTHS = (0.05, 20.0)  # of the kernel, where every parameter goes from 0 to 1
_NOISE = (1e-6, 0.5)  # of standardized scores
_JITTERS = (1e-8, 1e-6, 1e-4, 1e-2, 1.0)
_DRAWN, _NEAR, _BEST = 1024, 64, 5  # candidates: from everywhere, and around the best so far
_STEP = 0.15
_SAME = 1e-3  # of each parameter's range: what lies nearer to a configuration is that one again
COMPLETED, FAILED = TrialStatus.COMPLETED, TrialStatus.FAILED
_BOUND = 2.6  # deviations below the mean

KERNELS: dict[str, Callable[..., kernels.Kernel]] = {
    "matern": lambda lengths: kernels.Matern(lengths, _LENGTHS, nu=2.5),
    "rbf": lambda lengths: kernels.RBF(lengths, _LENGTHS),
}


def expected_improvement(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    """Return by how much each score is expected to fall below the best."""
    z = (best - mean) / deviation
    return (best - mean) * stats.norm.cdf(z) + deviation * stats.norm.pdf(z)


def probability_of_improvement(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    """Return how probably each score falls below the best, by a hundredth of the means' spread."""
    margin = 0.01 * float(np.std(mean))  # or the surest, and no better, would be the best
    return stats.norm.cdf((best - margin - mean) / deviation)


def confidence_bound(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    """Return how low each score may be, with the sign turned: the upper bound of a maximum."""
    return _BOUND * deviation - mean


# Name -> how much a candidate promises: of mean and deviation of its score, and the lowest so far.
ACQUISITIONS: dict[str, Callable[[np.ndarray, np.ndarray, float], np.ndarray]] = {
    "ei": expected_improvement,
    "ucb": confidence_bound,
    "pi": probability_of_improvement,
}


class Surrogate:
    """A Gaussian process that stands in for what is expensive to know.

    Args:
        kernel: one of `KERNELS`; each feature has a length of its own.
        seed: of the restarts of its fit.

    Raises:
        InputError: there is no such kernel.

    Example:
        >>> import numpy as np
        >>> from recipes.tuning.gaussian_process import Surrogate
        >>> x = np.linspace(0, 1, 8)[:, None]
        >>> mean, deviation = Surrogate().fit(x, np.sin(6 * x[:, 0])).predict(x)
        >>> bool(np.abs(mean - np.sin(6 * x[:, 0])).max() < 0.02)
        True
    """

    def __init__(self, kernel: str = "matern", seed: int = 0) -> None:
        if kernel not in KERNELS:
            raise unknown(kernel, KERNELS, "kernel")
        self.kernel, self.seed = kernel, seed

    def fit(self, features: np.ndarray, scores: np.ndarray) -> "Surrogate":
        """Fit the process to scores `(examples,)` at features `(examples, dimensions)`.

        Raises:
            numpy.linalg.LinAlgError: the matrix is not positive definite with any jitter.
        """
        self._mean, spread = float(scores.mean()), float(scores.std())
        self._spread = spread if spread > 0 else 1.0
        targets = (scores - self._mean) / self._spread
        lengths = np.full(features.shape[1], 0.5)
        kernel = kernels.ConstantKernel(1.0, (0.1, 10.0)) * KERNELS[self.kernel](lengths)
        kernel += kernels.WhiteKernel(1e-2, _NOISE)
        for jitter in _JITTERS:
            process = GaussianProcessRegressor(
                kernel, alpha=jitter, n_restarts_optimizer=1, random_state=self.seed
            )
            try:
                with warnings.catch_warnings():
                    # A length at its bound says that a parameter does not matter.
                    warnings.simplefilter("ignore", ConvergenceWarning)
                    self._process = process.fit(features, targets)
                break
            except np.linalg.LinAlgError:
                if jitter == _JITTERS[-1]:
                    raise
        # What is searched is the function, without the noise of its measurement.
        self._noise = float(self._process.kernel_.k2.noise_level)
        return self

    def predict(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of the function at some features."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a variance of -1e-17 is set to 0, and told
            mean, deviation = self._process.predict(features, return_std=True)
        deviation = np.sqrt(np.maximum(deviation**2 - self._noise, 1e-12))
        return mean * self._spread + self._mean, deviation * self._spread


class GaussianProcessOracle(keras_tuner.Oracle):
    """Proposes the configuration that promises most by a Gaussian process over those so far.

    Args:
        initial_points: number of trials, spread evenly, before the process is asked; 0 for one
            and a half for each parameter, from 4 to 10.
        kernel: one of `KERNELS`.
        acquisition: one of `ACQUISITIONS`.
        **arguments: of `keras_tuner.Oracle`.

    Raises:
        InputError: there is no such kernel or acquisition.
    """

    def __init__(
        self,
        initial_points: int = 0,
        kernel: str = "matern",
        acquisition: str = "ei",
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        for name, known in ((kernel, KERNELS), (acquisition, ACQUISITIONS)):
            if name not in known:
                raise unknown(name, known, "kernel" if known is KERNELS else "acquisition")
        size = len(self.hyperparameters.space)
        self.initial_points = initial_points or min(10, max(4, round(1.5 * size)))
        self.kernel, self.acquisition = kernel, acquisition

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Return the status, and the values of the next trial."""
        random = np.random.default_rng(self._seed_state)
        self._seed_state += 1
        size = len(self.hyperparameters.space)
        known = self._ended(COMPLETED)
        positions = random.random((_DRAWN, size))
        if len(known) < self.initial_points:
            even = stats.qmc.LatinHypercube(size, rng=self.seed).random(self.initial_points)
            candidates = self._fresh([*even[len(self.trials) :][:1], *positions])
            return _answer(candidates[0] if candidates else None)
        best = sorted(known, key=self._loss)[:_BEST]
        near = [self._around(t.hyperparameters.values, _NEAR, random) for t in best]
        candidates = self._fresh(np.concatenate([positions, *near]))
        if not candidates:
            return _answer(None)
        try:
            return _answer(self._most_promising(candidates))
        except (np.linalg.LinAlgError, ValueError):
            return _answer(candidates[0])  # drawn at random

    def _most_promising(self, candidates: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return the candidate with the largest acquisition."""
        ended, failed = self._ended(COMPLETED), self._ended(FAILED)
        worst = max(map(self._loss, ended))
        features = self._features([t.hyperparameters.values for t in ended + failed])
        losses = np.array([*map(self._loss, ended), *[worst] * len(failed)])
        # What is far worse than the half that is better says no more than that it is.
        middle, low = np.median(losses), losses.min()
        losses = np.minimum(losses, middle + 2 * max(middle - low, 1e-12))
        surrogate = Surrogate(self.kernel, self.seed).fit(features, losses)
        under_way = [t.hyperparameters.values for t in self.ongoing_trials.values()]
        if under_way:  # as if they had come out as expected: others are looked for elsewhere
            more = self._features(under_way)
            features = np.concatenate([features, more])
            losses = np.concatenate([losses, surrogate.predict(more)[0]])
            surrogate = Surrogate(self.kernel, self.seed).fit(features, losses)
        mean, deviation = surrogate.predict(self._features(candidates))
        lowest = float(surrogate.predict(features)[0].min())
        promise = ACQUISITIONS[self.acquisition](mean, deviation, lowest)
        return candidates[int(np.argmax(promise))]

    def _ended(self, status: str) -> list[Any]:
        """Return the trials that ended so, in the order of their numbers."""
        found = [t for _, t in sorted(self.trials.items()) if t.status == status]
        return [t for t in found if status != COMPLETED or np.isfinite(t.score)]

    def _loss(self, trial: Any) -> float:
        return -trial.score if self.objective.direction == "max" else trial.score

    def _fresh(self, positions: Any) -> list[dict[str, Any]]:
        """Return the configurations at some positions that were not tried yet, each once."""
        drawn = [decoded(self.hyperparameters, position) for position in positions]
        each = {str(sorted(values.items())): values for values in drawn}
        drawn = list(each.values())
        tried = [trial.hyperparameters.values for trial in self.trials.values()]
        if not tried:
            return drawn
        features = self._features(tried + drawn)
        known, found = features[: len(tried)], features[len(tried) :]
        apart = np.abs(found[:, None] - known).max(axis=-1).min(axis=1)
        return [values for values, far in zip(drawn, apart >= _SAME, strict=True) if far]

    def _around(
        self, values: dict[str, Any], count: int, random: np.random.Generator
    ) -> np.ndarray:
        """Return positions `(count, parameters)` that differ from a configuration in a few."""
        space = self.hyperparameters.space
        here = np.array([p.value_to_prob(values.get(p.name, p.default)) for p in space])
        moved = random.random((count, len(space))) < 1.5 / len(space)
        moved[np.arange(count), random.integers(len(space), size=count)] = True
        steps = here + random.normal(scale=_STEP, size=(count, len(space)))
        drawn = random.random((count, len(space)))
        ordered = np.array([_ordered(p) for p in space])
        steps = np.abs(steps)  # what leaves a range comes back into it: its ends draw nothing
        steps = np.where(steps > 1, np.maximum(0, 2 - steps), steps)
        return np.clip(np.where(moved, np.where(ordered, steps, drawn), here), 0, 1 - 1e-9)

    def _features(self, configurations: Sequence[dict[str, Any]]) -> np.ndarray:
        """Return configurations as numbers in 0…1 `(configurations, dimensions)`.

        A choice without order has a number for each of its values. A parameter that plays no part
        lies in the middle of its range.
        """
        columns = []
        for this in self.hyperparameters.space:
            values = [values.get(this.name) for values in configurations]
            if _ordered(this):
                columns.append([0.5 if v is None else this.value_to_prob(v) for v in values])
            else:  # so that two of its values are as far apart as both ends of a range
                columns += [[(v == one) / 2**0.5 for v in values] for one in this.values]
        return np.array(columns, dtype="float64").T

    def get_state(self) -> dict[str, Any]:
        """Return what is kept beside KerasTuner's own."""
        own = ("initial_points", "kernel", "acquisition")
        return super().get_state() | {name: getattr(self, name) for name in own}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take a state up again."""
        super().set_state(state)
        for name in ("initial_points", "kernel", "acquisition"):
            setattr(self, name, state[name])


def _ordered(this: Any) -> bool:
    return getattr(this, "ordered", True)


def _answer(values: dict[str, Any] | None) -> dict[str, Any]:
    status = TrialStatus.STOPPED if values is None else TrialStatus.RUNNING
    return {"status": status, "values": values}
