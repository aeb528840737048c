"""The Gaussian process that searches, beside KerasTuner's, and against closed forms."""

import contextlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
import pytest
from scipy import stats

from recipes.tuning import gaussian_process
from recipes.tuning.gaussian_process import (
    ACQUISITIONS,
    GaussianProcessOracle,
    Surrogate,
    expected_improvement,
    probability_of_improvement,
)
from recipes.tuning.oracles import ORACLES, oracle
from zoo.errors import InputError

Score = Callable[[dict[str, Any]], float]


def search(
    asked: keras_tuner.Oracle, score: Score, trials: int, folder: Path
) -> list[dict[str, Any]]:
    """Return the configurations that an oracle asks for, as long as it does."""
    asked.verbose = 0
    asked._set_project_dir(folder, "search")
    found = []
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(trials):
            trial = asked.create_trial("one")
            if trial.status == "STOPPED":
                break
            values = dict(trial.hyperparameters.values)
            found.append(values)
            value = score(values)
            if np.isfinite(value):
                asked.update_trial(trial.trial_id, {"val_loss": value})
                trial.status = "COMPLETED"
            else:
                trial.status = "FAILED"
            asked.end_trial(trial)
    return found


def ours(space: keras_tuner.HyperParameters, **options: Any) -> GaussianProcessOracle:
    return GaussianProcessOracle(
        objective=keras_tuner.Objective("val_loss", "min"),
        hyperparameters=space,
        max_trials=100,
        max_consecutive_failed_trials=100,
        **{"seed": 1} | options,
    )


def theirs(space: keras_tuner.HyperParameters, **options: Any) -> keras_tuner.Oracle:
    return keras_tuner.oracles.BayesianOptimizationOracle(
        objective=keras_tuner.Objective("val_loss", "min"),
        hyperparameters=space,
        max_trials=100,
        **{"seed": 1} | options,
    )


def plane() -> keras_tuner.HyperParameters:
    space = keras_tuner.HyperParameters()
    space.Float("x", -5.0, 10.0)
    space.Float("y", 0.0, 15.0)
    return space


def branin(values: dict[str, Any]) -> float:
    """Return Branin's function, whose three minima are 0.397887."""
    x, y = values["x"], values["y"]
    bowl = (y - 5.1 * x**2 / (4 * np.pi**2) + 5 * x / np.pi - 6) ** 2
    return float(bowl + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x) + 10)


def few() -> keras_tuner.HyperParameters:
    space = keras_tuner.HyperParameters()
    space.Int("width", 1, 4)
    space.Choice("kind", ["a", "b", "c"])
    return space


def test_keras_tuners_search_repeats_a_configuration_and_ours_does_not(tmp_path: Path) -> None:
    """keras-team/keras-tuner#608: it stays where it is best, with nothing new to learn."""

    def score(values: dict[str, Any]) -> float:
        return float(values["width"] + (values["kind"] != "b"))

    repeated = search(theirs(few()), score, 12, tmp_path / "theirs")
    assert len({str(values) for values in repeated}) < len(repeated)
    found = search(ours(few()), score, 100, tmp_path / "ours")
    assert len({str(values) for values in found}) == len(found) == 12  # all there are, and an end


def test_keras_tuners_search_ends_at_a_singular_matrix_and_ours_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """keras-team/keras-tuner#658: trials alike, without noise, make no positive matrix."""

    def score(values: dict[str, Any]) -> float:
        return float(values["width"] + (values["kind"] != "b"))

    with pytest.raises(np.linalg.LinAlgError):
        search(theirs(few(), alpha=0.0, num_initial_points=2), score, 12, tmp_path / "theirs")
    # Nothing is tried twice by ours; where a search holds such trials all the same, jitter helps.
    monkeypatch.setattr(gaussian_process, "_NOISE", (1e-300, 1e-299))
    monkeypatch.setattr(gaussian_process, "_JITTERS", (0.0, 1e-6))
    rows = np.array([[0.2, 0.7]] * 6 + [[0.9, 0.1]] * 6)
    mean, _ = Surrogate().fit(rows, np.repeat([1.0, 2.0], 6)).predict(rows)
    np.testing.assert_allclose(mean, np.repeat([1.0, 2.0], 6), atol=1e-3)


def test_a_process_that_cannot_be_fitted_is_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def singular(*_: Any) -> None:
        raise np.linalg.LinAlgError("not positive definite")

    monkeypatch.setattr(Surrogate, "fit", singular)
    found = search(ours(plane()), branin, 12, tmp_path)
    assert len({str(values) for values in found}) == 12


@pytest.mark.parametrize("acquisition", sorted(ACQUISITIONS))
@pytest.mark.parametrize("kernel", ["matern", "rbf"])
def test_branins_minimum_is_found(acquisition: str, kernel: str, tmp_path: Path) -> None:
    found = search(ours(plane(), acquisition=acquisition, kernel=kernel), branin, 25, tmp_path)
    chance = np.random.default_rng(0).uniform((-5, 0), (10, 15), (30, 2))
    best = min(map(branin, found))
    assert best < 1.0
    assert best < min(branin({"x": x, "y": y}) for x, y in chance)


def test_a_condition_is_kept_and_whole_numbers_are_whole(tmp_path: Path) -> None:
    space = keras_tuner.HyperParameters()
    space.Choice("schedule", ["constant", "cosine"])
    space.Float("warmup", 0.0, 0.5, parent_name="schedule", parent_values=["cosine"])
    space.Int("width", 8, 512, sampling="log")
    space.Boolean("norm")

    def score(values: dict[str, Any]) -> float:
        away = abs(np.log2(values["width"]) - 6)
        return float(away + (values["schedule"] != "cosine") + values.get("warmup", 0.0))

    found = search(ours(space), score, 30, tmp_path)
    for values in found:
        assert ("warmup" in values) == (values["schedule"] == "cosine")
        assert isinstance(values["width"], int)
        assert 8 <= values["width"] <= 512
    best = min(found, key=score)
    assert best["schedule"] == "cosine"
    assert abs(np.log2(best["width"]) - 6) < 0.3


def test_failed_and_infinite_trials_are_kept_away_from(tmp_path: Path) -> None:
    def score(values: dict[str, Any]) -> float:
        return float("nan") if values["x"] > 0 else branin(values)

    found = search(ours(plane()), score, 40, tmp_path)
    assert len(found) == 40
    late = found[20:]
    assert np.mean([values["x"] > 0 for values in late]) < 0.4  # two thirds of the plane by chance


def test_workers_at_the_same_time_are_sent_to_different_places(tmp_path: Path) -> None:
    asked = ours(plane())
    search(asked, branin, 12, tmp_path)
    together = [asked.create_trial(f"worker-{n}").hyperparameters.values for n in range(4)]
    places = np.array([[v["x"] / 15, v["y"] / 15] for v in together])
    apart = np.linalg.norm(places[:, None] - places, axis=-1)[np.triu_indices(4, 1)]
    assert apart.min() > 1e-3


@pytest.mark.parametrize("tuner", sorted(ORACLES))
def test_a_search_goes_on_as_if_it_had_not_stopped(tuner: str, tmp_path: Path) -> None:
    def made() -> keras_tuner.Oracle:
        objective = keras_tuner.Objective("val_loss", "min")
        return oracle(tuner, objective, plane(), max_trials=40, epochs=9, seed=1)

    whole = search(made(), branin, 14, tmp_path / "whole")
    begun = search(made(), branin, 9, tmp_path / "parts")
    again = made()
    again._set_project_dir(tmp_path / "parts", "search")
    again.reload()
    assert begun + search(again, branin, 5, tmp_path / "parts") == whole
    assert len(again.trials) == len(whole) == 14


def test_a_trial_that_was_cut_off_is_run_again(tmp_path: Path) -> None:
    def made() -> keras_tuner.Oracle:
        objective = keras_tuner.Objective("val_loss", "min")
        return oracle("random", objective, plane(), max_trials=40, epochs=9, seed=1)

    first = made()
    search(first, branin, 3, tmp_path)
    before = (tmp_path / "search" / "oracle.json").read_bytes()
    cut_off = first.create_trial("one")
    for state in ((tmp_path / "search" / "oracle.json").read_bytes(), before):
        # Killed while the trial ran; or between the trial's own file and the oracle's.
        (tmp_path / "search" / "oracle.json").write_bytes(state)
        again = made()
        again._set_project_dir(tmp_path, "search")
        again.reload()
        trial = again.create_trial("one")
        assert trial.trial_id == cut_off.trial_id
        assert trial.hyperparameters.values == cut_off.hyperparameters.values


def test_larger_is_better_where_it_is_said_so(tmp_path: Path) -> None:
    asked = GaussianProcessOracle(
        objective=keras_tuner.Objective("val_loss", "max"),
        hyperparameters=plane(),
        max_trials=50,
        seed=1,
    )
    found = search(asked, lambda v: -branin(v), 25, tmp_path)
    assert min(map(branin, found)) < 1.0


def test_the_acquisitions_are_those_of_the_book() -> None:
    random = np.random.default_rng(0)
    mean, deviation, best = np.array([0.3, -0.2, 1.0]), np.array([0.5, 0.1, 2.0]), 0.1
    draws = mean + deviation * random.normal(size=(400_000, 3))
    gain = np.maximum(best - draws, 0).mean(axis=0)
    np.testing.assert_allclose(expected_improvement(mean, deviation, best), gain, rtol=0.02)
    share = (draws < best - 0.01 * mean.std()).mean(axis=0)
    found = probability_of_improvement(mean, deviation, best)
    np.testing.assert_allclose(found, share, atol=0.005)
    assert ACQUISITIONS["ucb"](mean, deviation, best).argmax() == 2


@pytest.mark.parametrize("acquisition", sorted(ACQUISITIONS))
def test_what_promises_most_does_not_hang_on_the_units(acquisition: str) -> None:
    mean, deviation = np.array([0.011, 0.0098, 0.012]), np.array([1e-3, 1e-4, 5e-3])
    small = ACQUISITIONS[acquisition](mean, deviation, 0.01)
    large = ACQUISITIONS[acquisition](1e3 * mean, 1e3 * deviation, 10.0)
    assert small.argsort().tolist() == large.argsort().tolist()


def test_the_end_of_a_range_is_proposed_once(tmp_path: Path) -> None:
    space = keras_tuner.HyperParameters()
    space.Float("rate", 1e-4, 1.0, sampling="log")
    found = search(ours(space), lambda values: -np.log(values["rate"]), 16, tmp_path)
    rates = np.log10([values["rate"] for values in found])
    assert (
        np.abs(np.subtract.outer(rates, rates))[np.triu_indices(16, 1)].min() >= 4 * 9.99e-4
    )  # of four decades
    assert rates.max() > -0.05
    assert (rates > -0.05).sum() < 8  # and goes elsewhere, too


def test_the_surrogate_knows_what_it_has_seen_and_doubts_the_rest() -> None:
    x = np.linspace(0, 1, 9)[:, None]
    surrogate = Surrogate().fit(x, np.sin(7 * x[:, 0]))
    mean, deviation = surrogate.predict(x)
    np.testing.assert_allclose(mean, np.sin(7 * x[:, 0]), atol=0.02)
    assert surrogate.predict(np.array([[2.0]]))[1][0] > 5 * deviation.max()
    between = np.linspace(0, 1, 50)[:, None]
    mean, deviation = surrogate.predict(between)
    outside = np.abs(mean - np.sin(7 * between[:, 0])) > stats.norm.ppf(0.995) * deviation + 1e-3
    assert outside.mean() < 0.1


def test_equal_scores_and_one_point_alone_can_be_fitted() -> None:
    mean, deviation = Surrogate().fit(np.zeros((4, 2)), np.ones(4)).predict(np.zeros((1, 2)))
    assert mean[0] == pytest.approx(1.0)
    assert np.isfinite(deviation).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [({"kernel": "matren"}, "did you mean 'matern'"), ({"acquisition": "eii"}, "'ei'")],
)
def test_an_unknown_part_is_refused(options: dict[str, str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        ours(plane(), **options)
