"""Unbalanced classes: sampling, focal loss, and decisions that are moved."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics as sk

from recipes import Recipe, Run, Splits, evaluate, train
from recipes.data import Examples
from recipes.data.pipeline import training_batches
from recipes.data.sampling import balanced_order, epoch_size
from recipes.recipe import check
from recipes.thresholds import best_threshold, prior_correction
from zoo import InputError

SIZES = (20, 7, 3)
TARGETS = np.repeat([0, 1, 2], SIZES)
SAMPLINGS = ("over", "under")


@pytest.fixture(scope="module")
def numbered() -> Examples:
    """Thirty rows of three classes; each row is its own number."""
    return Examples(np.arange(30, dtype="float32")[:, None], TARGETS)


def epochs_of(examples: Examples, epochs: range, seed: int = 0, **options: Any) -> list[list[int]]:
    """Return the numbers of the rows in each epoch's order."""
    batch, size = 8, epoch_size(examples.targets, options.get("sampling", ""))
    data = training_batches(
        examples, batch, "classification", 3, epochs=epochs, seed=seed, **options
    )
    rows = [(np.asarray(x), np.asarray(y)) for x, y in data]
    assert len(rows) == len(epochs) * math.ceil(size / batch)
    for x, y in rows:
        np.testing.assert_array_equal(y.argmax(axis=1), examples.targets[x[:, 0].astype(int)])
    flat = np.concatenate([x[:, 0] for x, _ in rows]).astype(int)
    return flat.reshape(len(epochs), size).tolist()


@pytest.mark.parametrize(("sampling", "each"), [("over", 20), ("under", 3)])
def test_every_class_comes_equally_often(numbered: Examples, sampling: str, each: int):
    assert epoch_size(TARGETS, sampling) == 3 * each
    for epoch in epochs_of(numbered, range(3), sampling=sampling):
        assert np.bincount(TARGETS[epoch]).tolist() == [each] * 3


def test_oversampling_goes_round_the_examples_of_a_class(numbered: Examples):
    for epoch in epochs_of(numbered, range(3), sampling="over"):
        times = np.bincount(epoch, minlength=30)
        assert (times[:20] == 1).all()
        assert set(times[20:27]) == {2, 3}
        assert set(times[27:]) == {6, 7}


def test_undersampling_draws_others_in_each_epoch_and_none_twice(numbered: Examples):
    epochs = epochs_of(numbered, range(12), sampling="under")
    assert all(len(set(epoch)) == 9 for epoch in epochs)
    assert len({i for epoch in epochs for i in epoch}) > 20


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_sampled_epoch_is_the_same_however_it_is_reached(numbered: Examples, sampling: str):
    through = epochs_of(numbered, range(4), sampling=sampling)
    assert epochs_of(numbered, range(3, 4), sampling=sampling) == through[3:]
    other = epochs_of(numbered, range(4), sampling=sampling, seed=1)
    assert len({tuple(epoch) for epoch in through + other}) == 8


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_classes_are_mixed_within_an_epoch(sampling: str):
    targets = np.repeat([0, 1], [300, 100])
    order = targets[balanced_order(targets, sampling, seed=0, epoch=0)]
    assert 0.35 < order[: len(order) // 2].mean() < 0.65


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_class_without_examples_stays_without(sampling: str):
    targets = np.array([0, 0, 0, 2])
    counts = np.bincount(targets[balanced_order(targets, sampling, 0, 0)], minlength=3)
    assert counts.tolist() == ([3, 0, 3] if sampling == "over" else [1, 0, 1])
    assert epoch_size(targets, sampling) == counts.sum()


def test_without_sampling_an_epoch_is_all_examples_in_the_order_of_before(numbered: Examples):
    assert epoch_size(TARGETS) == 30
    found = epochs_of(numbered, range(2, 3))
    key = tf.constant([0, 2], tf.int64)
    shuffled = tf.random.experimental.stateless_shuffle(tf.range(30, dtype=tf.int64), key)
    assert found == [shuffled.numpy().tolist()]


def learner(**fields: Any) -> Recipe:
    """Return a recipe that learns the clouds in a second."""
    usual = {"model": "softmax", "data": "clouds", "epochs": 6, "batch_size": 32}
    return Recipe(**(usual | {"optimizer": "sgd", "learning_rate": 0.3, "keep": "last"} | fields))


@pytest.fixture(scope="module")
def plain(clouds: Splits, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that does nothing about the unequal classes."""
    return train(learner(), tmp_path_factory.mktemp("runs") / "plain", data=clouds)


@pytest.mark.parametrize(
    ("fields", "steps"),
    [({}, 16), ({"sampling": "over"}, 29), ({"sampling": "under"}, 4)],
    ids=["plain", "over", "under"],
)
def test_an_epoch_has_the_steps_of_its_examples(
    clouds: Splits, tmp_path: Path, fields: dict[str, Any], steps: int
):
    seen: list[int] = []
    counter = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda step, logs: seen.append(step)
    )
    train(learner(epochs=2, **fields), tmp_path / "run", data=clouds, callbacks=[counter])
    assert seen == [*range(steps), *range(steps)]


@pytest.mark.parametrize(
    "fields",
    [
        {"sampling": "over"},
        {"sampling": "under", "epochs": 20},
        {"sampling": "over", "loss": "categorical_focal_crossentropy", "learning_rate": 2.0},
    ],
    ids=["over", "under", "over with focal loss"],
)
def test_sampling_turns_the_answers_to_the_rare_class(
    clouds: Splits, plain: Run, tmp_path: Path, fields: dict[str, Any]
):
    even = train(learner(**fields), tmp_path / "even", data=clouds)
    figure = "balanced_accuracy"
    assert even.metrics["test"][figure] > plain.metrics["test"][figure] + 0.05


class Stop(keras.callbacks.Callback):
    """Interrupts a training after its second epoch."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == 1:
            raise KeyboardInterrupt


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_sampled_training_is_resumed_exactly(
    clouds: Splits, tmp_path: Path, sampling: str, assert_same: Callable[[Run, Run], None]
):
    recipe = learner(epochs=4, sampling=sampling, optimizer="adam", learning_rate=0.05)
    whole = train(recipe, tmp_path / "whole", data=clouds)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "parts", data=clouds, callbacks=[Stop()])
    assert_same(train(recipe, tmp_path / "parts", data=clouds, resume=True), whole)


def test_the_focal_loss_is_the_papers(clouds: Splits, tmp_path: Path):
    still = learner(loss="categorical_focal_crossentropy", epochs=1, learning_rate=1e-30)
    run = train(still, tmp_path / "run", data=clouds)
    state = run.read_state()
    assert state is not None
    found = run.load().predict(clouds.train.inputs, verbose=0).astype("float64")
    right = found[np.arange(len(found)), clouds.train.targets]
    expected = (-0.25 * (1 - right) ** 2 * np.log(right)).mean()
    assert state.history[0]["loss"] == pytest.approx(expected, rel=1e-2)


def test_the_focal_loss_goes_with_weights_smoothing_and_mixing(digits: Splits, tmp_path: Path):
    recipe = Recipe(
        model="softmax",
        data="digits",
        epochs=3,
        learning_rate=0.05,
        loss="categorical_focal_crossentropy",
        label_smoothing=0.1,
        class_weights=True,
        augment={"crop": 1, "cutmix": 1.0},
    )
    run = train(recipe, tmp_path / "run", data=digits)
    assert run.metrics["validation"]["accuracy"] > 0.7


def test_label_smoothing_of_the_focal_loss_changes_it(clouds: Splits, tmp_path: Path):
    def loss(name: str, smoothing: float) -> float:
        recipe = learner(loss="categorical_focal_crossentropy", label_smoothing=smoothing, epochs=1)
        state = train(recipe, tmp_path / name, data=clouds).read_state()
        assert state is not None
        return state.history[-1]["loss"]

    assert loss("sharp", 0.0) != loss("smooth", 0.2)


def test_sampling_and_class_weights_together_are_refused():
    with pytest.raises(InputError, match="take one of them"):
        learner(sampling="over", class_weights=True)


def test_an_unknown_sampling_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="there is no sampling 'ovre'; did you mean 'over'"):
        learner(sampling="ovre")


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"sampling": "over"}, "sampling 'over' is"),
        ({"class_weights": True}, "class weights are"),
        ({"label_smoothing": 0.1}, "label smoothing is"),
        ({"loss": "categorical_focal_crossentropy"}, "'categorical_focal_crossentropy' is"),
    ],
)
@pytest.mark.parametrize("task", ["regression", "reconstruction"])
def test_what_is_for_classes_is_refused_elsewhere(fields: dict[str, Any], what: str, task: str):
    with pytest.raises(InputError, match=f"{what} for classes, not for {task}"):
        check(learner(**fields), task, (8, 8, 1))


def test_label_smoothing_needs_a_loss_that_takes_it():
    with pytest.raises(InputError, match="'hinge'"):
        check(learner(loss="hinge", label_smoothing=0.1), "classification", (2,))


def random_outputs(count: int, classes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(classes), count).astype("float32")


def test_the_correction_is_the_adjustment_of_the_logits():
    outputs, counts = random_outputs(50, 4), np.array([100, 40, 7, 1])
    adjusted = np.log(outputs.astype("float64")) - np.log(counts / counts.sum())
    expected = np.exp(adjusted) / np.exp(adjusted).sum(axis=1, keepdims=True)
    found = prior_correction(outputs, counts)
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_correction_undoes_the_prior_of_true_probabilities():
    rng = np.random.default_rng(0)
    likelihood = rng.uniform(size=(20, 3))
    prior = np.array([0.7, 0.2, 0.1])
    posterior = likelihood * prior / (likelihood * prior).sum(axis=1, keepdims=True)
    even = likelihood / likelihood.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(prior_correction(posterior, 1000 * prior), even, rtol=1e-5)


def test_equal_counts_correct_nothing():
    outputs = random_outputs(20, 3).astype("float64")
    before = outputs.copy()
    np.testing.assert_allclose(prior_correction(outputs, [5, 5, 5]), outputs, rtol=1e-5)
    np.testing.assert_array_equal(outputs, before)


@pytest.mark.parametrize("counts", [[1, 2], [[1, 2, 3]], [1, 2, 0]])
def test_counts_that_do_not_fit_are_refused(counts: list[Any]):
    with pytest.raises(InputError, match=r"count|prior"):
        prior_correction(random_outputs(5, 3), counts)


@pytest.mark.parametrize("metric", ["balanced_accuracy", "f1"])
@pytest.mark.parametrize("seed", range(5))
def test_no_other_threshold_is_better(metric: str, seed: int):
    rng = np.random.default_rng(seed)
    targets = (rng.uniform(size=60) < 0.2).astype(int)
    rare = np.round(np.clip(rng.normal(0.2 + 0.2 * targets, 0.15), 0, 1), 2)  # with ties
    outputs = np.stack([1 - rare, rare], axis=1)
    score: Callable[..., float] = {"balanced_accuracy": sk.balanced_accuracy_score}.get(
        metric, sk.f1_score
    )
    found = best_threshold(outputs, targets, metric)
    all_scores = [score(targets, rare >= t) for t in np.linspace(0, 1.005, 202)]
    assert score(targets, rare >= found) == pytest.approx(max(all_scores))


def test_of_equally_good_thresholds_the_nearest_to_a_half_is_taken():
    rare = np.array([0.1, 0.2, 0.3, 0.6, 0.7])
    outputs = np.stack([1 - rare, rare], axis=1)
    assert best_threshold(outputs, np.array([0, 0, 0, 1, 1])) == pytest.approx(0.45)


def test_a_threshold_is_for_two_classes_that_are_there():
    with pytest.raises(InputError, match="two classes"):
        best_threshold(random_outputs(5, 3), np.array([0, 1, 2, 0, 1]))
    with pytest.raises(InputError, match="examples of both"):
        best_threshold(random_outputs(5, 2), np.zeros(5, int))


def test_an_unknown_metric_of_a_threshold_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="'balanced_accuracy'"):
        best_threshold(random_outputs(4, 2), np.array([0, 1, 0, 1]), "balanced_acuracy")


def test_the_threshold_of_an_unbalanced_training_is_below_a_half(clouds: Splits, plain: Run):
    model = plain.load()
    chosen = best_threshold(
        model.predict(clouds.validation.inputs, verbose=0), clouds.validation.targets
    )
    assert 0 < chosen < 0.4
    outputs = model.predict(clouds.test.inputs, verbose=0)
    moved = sk.balanced_accuracy_score(clouds.test.targets, outputs[:, 1] >= chosen)
    corrected = prior_correction(outputs, np.bincount(clouds.train.targets)).argmax(axis=1)
    before = evaluate(model, clouds)["balanced_accuracy"]
    assert moved > before + 0.05
    assert sk.balanced_accuracy_score(clouds.test.targets, corrected) > before + 0.05
