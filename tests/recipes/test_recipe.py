"""Recipes as data: what they refuse, their schedules and their optimizers."""

import math
from typing import Any

import keras
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipes import Recipe
from recipes.phases import Phase, phases
from recipes.recipe import OPTIMIZERS, check, optimizer
from recipes.schedules import SCHEDULES, learning_rates
from zoo import InputError
from zoo.cards import Reference

rates = st.floats(1e-5, 10)
lengths = st.integers(10, 2000)


def rate_at(schedule: str, rate: float, steps: int, step: int, warmup: float = 0.0) -> float:
    value = learning_rates(schedule, rate, steps, warmup)
    return float(value(step)) if callable(value) else value


def recipe(**fields: Any) -> Recipe:
    return Recipe(**({"model": "mlp", "data": "digits", "epochs": 1} | fields))


def step(settings: Recipe, *values: np.ndarray, gradients: list[np.ndarray]) -> list[np.ndarray]:
    """Return what one step of the recipe's optimizer makes of some variables."""
    variables = [keras.Variable(value, dtype="float32") for value in values]
    own = optimizer(settings, settings.learning_rate, settings.schedule, 10)
    own.apply([keras.ops.convert_to_tensor(g, "float32") for g in gradients], variables)
    return [np.asarray(variable) for variable in variables]


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(SCHEDULES), rates, lengths, st.floats(0, 0.5), st.floats(0, 1))
def test_no_rate_of_a_schedule_is_above_the_learning_rate(
    schedule: str, rate: float, steps: int, warmup: float, place: float
):
    value = rate_at(schedule, rate, steps, round(place * steps), warmup)
    assert 0 <= value <= rate * (1 + 1e-5)


@settings(deadline=None, max_examples=20)
@given(rates, lengths, st.floats(0, 0.5))
def test_a_constant_rate_is_constant(rate: float, steps: int, warmup: float):
    assert rate_at("constant", rate, steps, steps, warmup) == rate


@settings(deadline=None, max_examples=20)
@given(rates, lengths)
def test_steps_go_down_by_tens_at_one_half_and_three_quarters(rate: float, steps: int):
    for share, expected in ((0, 1), (0.45, 1), (0.6, 0.1), (0.7, 0.1), (0.85, 0.01), (1, 0.01)):
        value = rate_at("step", rate, steps, math.floor(share * steps))
        assert value == pytest.approx(rate * expected, rel=1e-5)


@settings(deadline=None, max_examples=20)
@given(rates, lengths, st.floats(0, 0.5))
def test_exponential_goes_from_the_rate_to_a_hundredth(rate: float, steps: int, warmup: float):
    assert rate_at("exponential", rate, steps, 0, warmup) == pytest.approx(rate, rel=1e-5)
    assert rate_at("exponential", rate, steps, steps, warmup) == pytest.approx(rate / 100, rel=1e-4)


@settings(deadline=None, max_examples=20)
@given(rates, lengths)
def test_cosine_goes_from_the_rate_over_its_half_to_zero(rate: float, steps: int):
    values = [rate_at("cosine", rate, 2 * steps, place * steps) for place in range(3)]
    assert values == pytest.approx([rate, rate / 2, 0], rel=1e-4, abs=rate * 1e-5)


@settings(deadline=None, max_examples=20)
@given(rates, st.integers(20, 2000), st.floats(0.1, 0.5))
def test_cosine_rises_from_zero_through_its_warm_up(rate: float, steps: int, warmup: float):
    rising = round(steps * warmup)
    values = [rate_at("cosine", rate, steps, at, warmup) for at in (0, rising, steps)]
    assert values == pytest.approx([0, rate, 0], rel=1e-4, abs=rate * 1e-5)
    assert rate_at("cosine", rate, steps, 1, warmup) == pytest.approx(rate / rising, rel=1e-3)


@settings(deadline=None, max_examples=20)
@given(rates, lengths)
def test_one_cycle_rises_through_three_tenths_and_falls(rate: float, steps: int):
    steps *= 10
    values = [rate_at("one_cycle", rate, steps, steps * tenths // 10) for tenths in (0, 3, 10)]
    assert values == pytest.approx([rate / 25, rate, rate * 1e-4], rel=1e-3)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_schedule_of_few_steps_is_finite(schedule: str, steps: int):
    for at in range(steps + 1):
        assert 0 <= rate_at(schedule, 0.1, steps, at, 0.3) <= 0.1001


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_makes_a_step_against_the_gradient(name: str):
    settings = recipe(optimizer=name, learning_rate=0.1)
    matrix, vector = np.full((4, 3), 0.5), np.full(3, -0.5)
    rng = np.random.default_rng(0)
    gradients = [rng.uniform(0.5, 1, (4, 3)), rng.uniform(-1, -0.5, 3)]
    for before, after, gradient in zip(
        (matrix, vector),
        step(settings, matrix, vector, gradients=gradients),
        gradients,
        strict=True,
    ):
        assert np.isfinite(after).all()
        assert ((after - before) * gradient).sum() < 0


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_no_optimizer_decays_weights_unless_it_is_told_to(name: str):
    matrix, vector = np.full((4, 3), 0.5, "float32"), np.full(3, -0.5, "float32")
    settings = recipe(optimizer=name, learning_rate=0.1)
    after = step(settings, matrix, vector, gradients=[0 * matrix, 0 * vector])
    np.testing.assert_array_equal(after[0], matrix)
    np.testing.assert_array_equal(after[1], vector)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_decays_weights_by_rate_times_decay(name: str):
    matrix, vector = np.full((4, 3), 0.5, "float32"), np.full(3, -0.5, "float32")
    settings = recipe(optimizer=name, learning_rate=0.1, weight_decay=0.5)
    after = step(settings, matrix, vector, gradients=[0 * matrix, 0 * vector])
    np.testing.assert_allclose(after[0], matrix * 0.95, rtol=1e-5)
    np.testing.assert_allclose(after[1], vector * 0.95, rtol=1e-5)


def test_clipping_bounds_the_norm_of_all_gradients_together():
    settings = recipe(optimizer="sgd", learning_rate=1.0, clip_norm=0.5)
    gradients = [np.full((4, 3), 30.0), np.full(3, -40.0)]
    norm = math.sqrt(sum(np.square(g).sum() for g in gradients))
    clipped = step(settings, np.zeros((4, 3)), np.zeros(3), gradients=gradients)
    scaled = [g * 0.5 / norm for g in gradients]
    free = recipe(optimizer="sgd", learning_rate=1.0)
    expected = step(free, np.zeros((4, 3)), np.zeros(3), gradients=scaled)
    for one, other in zip(clipped, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("optimizer", "adamx"),
        ("schedule", "cosin"),
        ("precision", "float16"),
        ("keep", "first"),
        ("epochs", 0),
        ("epochs", -1),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("learning_rate", -1e-3),
        ("learning_rate", math.nan),
        ("head_learning_rate", 0.0),
        ("ema", 1.0),
        ("ema", -0.1),
        ("label_smoothing", 1.0),
        ("warmup", 1.0),
        ("warmup", -0.1),
        ("patience", -1),
        ("head_epochs", -1),
        ("clip_norm", -1.0),
        ("weight_decay", -1e-4),
        ("examples", -5),
        ("seed", -1),
    ],
)
def test_what_cannot_be_trained_is_refused_by_the_name_of_its_field(field: str, value: Any):
    with pytest.raises(InputError, match=field):
        recipe(**{field: value})


@pytest.mark.parametrize(
    ("field", "value", "near"),
    [
        ("optimizer", "adamx", "'adam'"),
        ("schedule", "cosin", "'cosine'"),
        ("augment", {"flop": 0.5}, "augmentation 'flop'; did you mean 'flip'"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(field: str, value: Any, near: str):
    with pytest.raises(InputError, match=near):
        recipe(**{field: value})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"head_epochs": 1}, "head_epochs is for fine-tuning"),
        ({"seed": 2**32}, "seed must be below 4294967296"),
        (
            {"warmup": 0.1, "schedule": "one_cycle"},
            "warmup is for the schedules cosine",
        ),
        ({"loss": "sparse_categorical_crossentropy"}, "takes class numbers"),
        ({"augment": {"crop": 0.5}}, "moves by whole pixels, not by 0.5"),
    ],
)
def test_a_field_that_would_do_nothing_or_harm_is_refused(fields: dict[str, Any], words: str):
    with pytest.raises(InputError, match=words):
        recipe(**fields)


@pytest.mark.parametrize(
    ("name", "strength", "limits"),
    [
        ("crop", -1, "from 0 to inf, not -1"),
        ("crop", math.inf, "from 0 to inf, not inf"),
        ("flip", 2, "from 0 to 1, not 2"),
        ("flip", -0.5, "from 0 to 1, not -0.5"),
        ("flip", math.nan, "from 0 to 1, not nan"),
        ("noise", 1.01, "from 0 to 1, not 1.01"),
        ("noise", math.nan, "from 0 to 1, not nan"),
        ("mixup", -0.1, "from 0 to inf, not -0.1"),
        ("mixup", math.nan, "from 0 to inf, not nan"),
    ],
)
def test_a_strength_that_makes_no_sense_is_refused(name: str, strength: float, limits: str):
    with pytest.raises(InputError, match=f"augmentation {name!r} must be {limits}"):
        recipe(augment={name: strength})


@pytest.mark.parametrize("strength", [0, 0.5, 1])
def test_a_strength_may_be_a_limit(strength: float):
    full = recipe(augment={"flip": strength, "noise": strength, "crop": 0, "mixup": 0})
    assert full.augment["flip"] == strength


@pytest.mark.parametrize("shape", [(8, 12, 1), (12, 8, 1)])
def test_a_crop_must_be_smaller_than_the_picture(shape: tuple[int, int, int]):
    check(recipe(augment={"crop": 7}), "classification", shape)
    with pytest.raises(InputError, match="'crop' must be from 0 to 7, not 8"):
        check(recipe(augment={"crop": 8}), "classification", shape)


def test_a_recipe_goes_through_json_unchanged():
    full = recipe(
        arguments={"hidden": [8, 4], "dropout": 0.1},
        data_options={"target": "y", "drop": ["a"]},
        augment={"crop": 2, "noise": 0.1},
        optimizer="lion",
        schedule="one_cycle",
        ema=0.9,
        reference=Reference(metric="accuracy", value=0.9, source="a book"),
    )
    assert msgspec.json.decode(msgspec.json.encode(full), type=Recipe) == full


def test_the_order_of_augmentations_goes_through_json():
    full = recipe(augment={"noise": 0.1, "flip": 0.5, "crop": 1})
    again = msgspec.json.decode(msgspec.json.encode(full), type=Recipe)
    assert list(again.augment) == ["noise", "flip", "crop"]


@pytest.mark.parametrize(
    "text",
    [
        '{"model": "mlp", "data": "digits", "epochs": 1, "epoch": 2}',
        '{"model": "mlp", "data": "digits", "epochs": "1"}',
        '{"model": "mlp", "data": "digits", "epochs": 0}',
        '{"model": "mlp", "epochs": 1}',
    ],
    ids=["unknown field", "wrong type", "out of range", "missing field"],
)
def test_json_of_a_wrong_recipe_is_refused(text: str):
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Recipe)


def test_epochs_of_the_head_come_first_and_are_counted():
    rates = {"learning_rate": 0.1, "head_learning_rate": 0.2}
    full = recipe(epochs=4, head_epochs=2, fine_tuning=True, **rates)
    assert full.all_epochs == 6
    head, whole = phases(full, stages=3)
    assert (head.epochs, head.thawed, head.learning_rate) == (range(2), 0, 0.2)
    assert (whole.epochs, whole.thawed, whole.learning_rate) == (range(2, 6), 3, 0.1)


def test_without_epochs_of_the_head_there_is_one_phase():
    (whole,) = phases(recipe(epochs=4), stages=3)
    assert (whole.epochs, whole.thawed) == (range(4), 3)


def test_frozen_stages_are_never_thawed():
    whole = phases(recipe(epochs=4, head_epochs=1, strategy="frozen", fine_tuning=True), 3)
    assert [(phase.epochs, phase.thawed) for phase in whole] == [(range(1), 0), (range(1, 5), 0)]


@given(st.integers(1, 20), st.integers(0, 5), st.integers(0, 12))
def test_gradual_phases_thaw_more_and_more_and_cover_every_epoch(
    epochs: int, head_epochs: int, stages: int
):
    fields = {"strategy": "gradual", "fine_tuning": True}
    found = phases(recipe(epochs=epochs, head_epochs=head_epochs, **fields), stages)
    covered = [epoch for phase in found for epoch in phase.epochs]
    assert covered == list(range(epochs + head_epochs))
    thawed = [phase.thawed for phase in found]
    assert thawed == sorted(thawed)
    assert thawed[-1] == stages
    lengths = [len(phase.epochs) for phase in found[bool(head_epochs) : -1]]
    assert lengths == [1] * len(lengths)
    if stages:
        assert len(set(thawed)) == len(thawed)


def test_gradual_phases_have_the_recipes_rate_and_schedule():
    fields = {"learning_rate": 0.1, "schedule": "cosine"}
    found = phases(recipe(epochs=3, strategy="gradual", fine_tuning=True, **fields), 2)
    assert found == [Phase(range(1), 0.1, "cosine", 1), Phase(range(1, 3), 0.1, "cosine", 2)]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"strategy": "gradul", "fine_tuning": True}, "did you mean 'gradual'"),
        ({"strategy": "gradual"}, "'gradual' is for fine-tuning"),
        ({"keep_classes": True}, "keep_classes is for fine-tuning"),
        ({"stage_factor": 2.0}, "stage_factor is for fine-tuning"),
        ({"stage_factor": 0.5, "fine_tuning": True}, "at least 1"),
        ({"stage_factor": math.nan, "fine_tuning": True}, "at least 1"),
        ({"stage_factor": 2.0, "strategy": "frozen", "fine_tuning": True}, "'frozen'"),
    ],
)
def test_a_strategy_that_cannot_be_meant_is_refused(fields: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        recipe(**fields)


def test_classes_are_kept_by_what_has_classes():
    with pytest.raises(InputError, match="keep_classes is for classes, not for regression"):
        check(recipe(keep_classes=True, fine_tuning=True), "regression", (4,))


def test_the_factor_of_the_rate_is_the_strategys_unless_it_is_given():
    def factor(**fields: Any) -> float:
        return recipe(fine_tuning=True, **fields).rate_factor

    assert factor() == factor(strategy="gradual") == 1.0
    assert factor(strategy="discriminative") == 2.6
    assert factor(strategy="gradual", stage_factor=3.0) == 3.0
