"""The learning rate range test."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recipes import Recipe, Splits, load_data, lr_find
from recipes.building import fresh_model
from recipes.learning_rate import LearningRates, suggest
from recipes.supervised import recipe_batches
from zoo.errors import CheckFailed, InputError

Brief = Callable[..., Recipe]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_suggestion_learns_and_much_more_diverges(
    brief: Brief, digits: Splits, optimizer: str
) -> None:
    recipe = brief(optimizer=optimizer)
    found = lr_find(recipe, digits, highest=1000, steps=120)
    assert 1e-3 < found.suggestion < 0.3
    assert found.diverged
    assert len(found.rates) == len(found.losses) == len(found.smoothed) < 120
    assert found.losses[-1] > 2 * found.losses[0]
    at = int(np.searchsorted(found.rates, found.suggestion))
    assert 0.3 * found.losses[0] < found.smoothed[at] < found.losses[0]
    assert found.smoothed.min() < 0.75 * found.losses[0]
    assert found.smoothed.argmin() > at
    steady = lr_find(recipe, digits, found.suggestion, found.suggestion * 1.001, 80)
    assert steady.losses[-10:].mean() < 0.4 * steady.losses[0]
    with pytest.raises(CheckFailed):  # it diverges at once, or never falls
        lr_find(recipe, digits, found.suggestion * 1e5, found.suggestion * 1.001e5, 80)


def test_the_rates_grow_by_a_constant_factor(brief: Brief, digits: Splits) -> None:
    found = lr_find(brief(), digits, 1e-5, 1e-2, 31)
    assert not found.diverged
    assert found.rates[0] == pytest.approx(1e-5)
    assert found.rates[-1] == pytest.approx(1e-2)
    np.testing.assert_allclose(found.rates[1:] / found.rates[:-1], 10 ** (3 / 30))


def test_the_losses_are_those_of_single_batches(brief: Brief, digits: Splits) -> None:
    recipe = brief(label_smoothing=0.1)
    found = lr_find(recipe, digits, 1e-12, 1e-11, 30)  # so low that the model stays what it is
    model, task, _ = fresh_model(recipe, digits)
    expected = []
    for inputs, targets in recipe_batches(recipe, digits, task, range(2)).training.take(30):
        outputs = np.asarray(model(inputs), "float64")
        smooth = 0.9 * np.asarray(targets) + 0.1 / 10
        expected.append(-(smooth * np.log(outputs)).sum(axis=-1).mean())
    np.testing.assert_allclose(found.losses, expected, rtol=1e-3)


def test_it_is_deterministic_and_writes_nothing(
    brief: Brief, digits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = digits.fingerprint, digits.train.inputs.copy()
    first, again = (lr_find(brief(), digits, steps=60) for _ in range(2))
    np.testing.assert_array_equal(first.losses, again.losses)
    assert first.suggestion == again.suggestion
    assert list(tmp_path.iterdir()) == []
    np.testing.assert_array_equal(digits.train.inputs, before[1])


def test_a_regression_and_a_reconstruction_have_rates_too(digits: Splits) -> None:
    linear = Recipe(model="linear", data="diabetes", epochs=1, batch_size=32)
    found = lr_find(linear, highest=10)
    assert 1e-3 < found.suggestion < 1
    assert found.losses[0] < 5  # the targets are standardized, as in a training
    coder = Recipe(model="autoencoder", data="digits", epochs=1, arguments={"code": 8})
    assert 1e-4 < lr_find(coder, digits).suggestion < 1


def test_weights_augmentation_and_precision_are_the_recipe_s(brief: Brief, digits: Splits) -> None:
    recipe = brief(
        class_weights=True, augment={"crop": 1}, precision="mixed_float16", clip_norm=1.0, ema=0.9
    )
    found = lr_find(recipe, digits, highest=10)
    assert 1e-4 < found.suggestion < 1
    assert not np.array_equal(found.losses, lr_find(brief(), digits, highest=10).losses)


def test_an_epoch_is_as_long_as_its_sampling_makes_it(brief: Brief, digits: Splits) -> None:
    train = digits.train
    rare = np.flatnonzero(train.targets == 0)[:3]
    common = np.flatnonzero(train.targets != 0)
    few = replace(digits, train=train.take(np.concatenate([rare, common])))
    found = lr_find(brief(sampling="under", batch_size=16), few, steps=30, highest=1e-2)
    assert len(found.losses) == 30


def test_fine_tuning_has_a_rate_too(digits: Splits) -> None:
    few = digits.limited(300)

    def found(strategy: str) -> LearningRates:
        fields = {"model": "lenet5-mnist", "data": "digits", "epochs": 1, "fine_tuning": True}
        return lr_find(Recipe(strategy=strategy, **fields), few, lowest=1e-5, steps=40)

    whole, frozen, slower = map(found, ("all", "frozen", "discriminative"))
    assert 1e-5 < whole.suggestion < 1
    assert whole.losses.min() < whole.losses[0] == frozen.losses[0] == slower.losses[0]
    assert whole.losses.min() < frozen.losses.min()  # what learns is what the strategy says
    assert not np.array_equal(whole.losses, slower.losses)
    np.testing.assert_array_equal(whole.losses, found("all").losses)


def test_the_suggestion_is_the_steepest_descent() -> None:
    rates = np.geomspace(1e-6, 1, 121)
    curve = 2 - np.tanh(2 * (np.log10(rates) + 3.5)) + np.maximum(np.log10(rates) + 1, 0) * 20
    noisy = curve + np.random.default_rng(0).normal(0, 0.02, 121)
    assert suggest(rates, noisy)[1] == pytest.approx(10**-3.5, rel=0.3)


def test_a_descent_after_the_lowest_point_does_not_count() -> None:
    rates = np.geomspace(1e-4, 1, 81)
    losses = np.interp(np.arange(81), [0, 30, 50, 60, 80], [2, 1, 9, 5, 5])
    smoothed, suggestion = suggest(rates, losses)
    assert smoothed.argmin() < 35
    assert suggestion < rates[30]


def test_a_plot_is_a_picture(brief: Brief, digits: Splits, tmp_path: Path) -> None:
    found = lr_find(brief(), digits, steps=50)
    found.plot(tmp_path / "rates.png")
    picture = Image.open(tmp_path / "rates.png")
    assert min(picture.size) > 300
    assert len(set(picture.convert("L").getdata())) > 20


def test_wrong_calls_are_refused(brief: Brief, digits: Splits) -> None:
    for arguments, part in (
        ({"lowest": 1.0, "highest": 0.1}, "must rise"),
        ({"lowest": 0.0}, "must rise"),
        ({"highest": float("inf")}, "must rise"),
        ({"steps": 3}, "steps"),
    ):
        with pytest.raises(InputError, match=part):
            lr_find(brief(), digits, **arguments)
    with pytest.raises(InputError, match="lenet5-mnist"):
        lr_find("lenet5-mnits")


def test_a_range_that_begins_too_high_is_said_to(brief: Brief, digits: Splits) -> None:
    with pytest.raises(CheckFailed, match="begin lower"):
        lr_find(brief(optimizer="sgd"), digits, lowest=1e6, highest=1e12)
    with pytest.raises(CheckFailed, match="does not fall"):
        suggest(np.geomspace(1e-3, 1, 20), np.linspace(1, 2, 20))


def test_a_recipe_by_name_is_the_packaged_one() -> None:
    found = lr_find("logistic-breast_cancer", load_data("breast_cancer"), steps=40)
    assert 1e-5 < found.suggestion <= 1


def test_trembling_before_the_fall_suggests_nothing() -> None:
    rates = np.geomspace(1e-6, 1, 100)
    losses = 2.0 - 1.5 / (1 + np.exp(-6 * (np.log10(rates) + 2)))
    losses[5:11] += 1.5 * np.array([1, 1, 1, -1, -1, -1])
    smoothed, suggestion = suggest(rates, losses)
    slopes = np.gradient(smoothed)
    assert rates[slopes.argmin()] < 1e-5  # the steepest place is there
    assert suggestion == pytest.approx(1e-2, rel=0.5)
