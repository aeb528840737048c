"""Batches and augmentation: pure functions of the seed, the epoch and their place."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from recipes import Splits
from recipes.data import Examples
from recipes.data.augmentation import AUGMENTATIONS, crop, flip, mixup, noise
from recipes.data.pipeline import balanced_weights, batches, training_batches
from zoo import InputError

STRENGTHS = {
    "flip": 0.5,
    "crop": 2,
    "jitter": 0.4,
    "randaugment": 9,
    "erase": 0.5,
    "mixup": 0.5,
    "cutmix": 1.0,
    "noise": 0.1,
}
SEED = tf.constant([3, 4], tf.int64)

Batch = tuple[np.ndarray, ...]


@pytest.fixture(scope="module")
def images() -> tf.Tensor:
    """32 noisy RGB pictures of 7×9, none of which is its own mirror image."""
    return tf.constant(np.random.default_rng(0).integers(0, 256, (32, 7, 9, 3), "uint8"))


@pytest.fixture(scope="module")
def targets() -> tf.Tensor:
    """A class of its own for each picture."""
    return tf.eye(32)


@pytest.fixture(scope="module")
def fifty(digits: Splits) -> Examples:
    return digits.train.take(np.arange(50))


@pytest.fixture(scope="module")
def numbered(fifty: Examples) -> Examples:
    """The same pictures with their numbers for targets."""
    return replace(fifty, targets=np.arange(50, dtype="float32")[:, None])


def arrays(dataset: tf.data.Dataset) -> list[Batch]:
    return [tuple(map(np.asarray, batch)) for batch in dataset]


def learned(examples: Examples, epochs: range, **options: Any) -> list[Batch]:
    task, classes = options.pop("task", "classification"), options.pop("classes", 10)
    options = {"seed": 0} | options
    return arrays(training_batches(examples, 16, task, classes, epochs=epochs, **options))


def order(numbered: Examples, epoch: int, seed: int = 0) -> list[int]:
    found = learned(numbered, range(epoch, epoch + 1), task="regression", seed=seed)
    return np.concatenate([y[:, 0] for _, y in found]).astype(int).tolist()


def assert_equal(one: list[Batch], other: list[Batch]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


def test_every_augmentation_is_tried_here():
    assert STRENGTHS.keys() == AUGMENTATIONS.keys()


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_shapes_and_dtypes_are_kept(name: str, images: tf.Tensor, targets: tf.Tensor):
    x, y = AUGMENTATIONS[name](images, targets, STRENGTHS[name], SEED)
    assert (x.shape, x.dtype) == (images.shape, images.dtype)
    assert (y.shape, y.dtype) == (targets.shape, targets.dtype)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_augmentation_is_a_function_of_its_seed(
    name: str, images: tf.Tensor, targets: tf.Tensor
):
    function, strength = AUGMENTATIONS[name], STRENGTHS[name]
    one, same = (function(images, targets, strength, SEED) for _ in range(2))
    other = function(images, targets, strength, SEED + 1)
    assert_equal([one], [same])
    assert (one[0] != other[0]).numpy().any()
    assert (one[0] != images).numpy().any()


def test_a_flip_of_all_mirrors_left_and_right(images: tf.Tensor, targets: tf.Tensor):
    x, y = flip(images, targets, 1.0, SEED)
    np.testing.assert_array_equal(x, images.numpy()[:, :, ::-1])
    np.testing.assert_array_equal(y, targets)


def test_a_flip_of_none_changes_nothing(images: tf.Tensor, targets: tf.Tensor):
    np.testing.assert_array_equal(flip(images, targets, 0.0, SEED)[0], images)


def test_a_flip_of_half_mirrors_whole_pictures(images: tf.Tensor, targets: tf.Tensor):
    x = flip(images, targets, 0.5, SEED)[0].numpy()
    kept = (x == images.numpy()).all(axis=(1, 2, 3))
    mirrored = (x == images.numpy()[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (kept ^ mirrored).all()
    assert 6 < kept.sum() < 26


def test_a_crop_moves_by_at_most_its_padding(images: tf.Tensor, targets: tf.Tensor):
    padded = np.pad(images.numpy(), [(0, 0), (2, 2), (2, 2), (0, 0)], mode="reflect")
    moves = []
    for number, picture in enumerate(crop(images, targets, 2, SEED)[0].numpy()):
        found = [
            (down, right)
            for down in range(5)
            for right in range(5)
            if (padded[number, down : down + 7, right : right + 9] == picture).all()
        ]
        assert len(found) == 1
        moves += found
    down, right = zip(*moves, strict=True)
    assert set(down) == set(right) == set(range(5))
    assert down != right


def test_a_crop_without_padding_changes_nothing(images: tf.Tensor, targets: tf.Tensor):
    np.testing.assert_array_equal(crop(images, targets, 0, SEED)[0], images)


def test_mixup_blends_pictures_as_it_blends_targets(images: tf.Tensor, targets: tf.Tensor):
    x, y = (part.numpy() for part in mixup(images, targets, 0.5, SEED))
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-6)
    assert (y >= 0).all()
    assert ((y > 0).sum(axis=1) <= 2).all()
    blended = np.einsum("ij,jhwc->ihwc", y, images.numpy().astype("float32"))
    np.testing.assert_allclose(x, blended, atol=0.51)


def test_mixup_lies_between_the_two_pictures(images: tf.Tensor, targets: tf.Tensor):
    x, y = (part.numpy() for part in mixup(images, targets, 0.5, SEED))
    for number, weights in enumerate(y):
        pair = images.numpy()[np.flatnonzero(weights)]
        assert (pair.min(axis=0) <= x[number]).all()
        assert (x[number] <= pair.max(axis=0)).all()


def test_mixup_stays_finite_at_a_tiny_alpha(images: tf.Tensor, targets: tf.Tensor):
    y = mixup(images, targets, 1e-3, SEED)[1].numpy()
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-6)


def test_noise_has_the_deviation_that_was_asked_for(targets: tf.Tensor):
    grey = tf.fill((32, 40, 40, 1), tf.constant(128, tf.uint8))
    added = noise(grey, targets, 0.1, SEED)[0].numpy().astype(float) - 128
    assert added.std() == pytest.approx(25.5, rel=0.02)
    assert abs(added.mean()) < 0.5


def test_noise_stays_within_the_grey_levels(targets: tf.Tensor):
    white = tf.fill((32, 20, 20, 1), tf.constant(255, tf.uint8))
    noisy = noise(white, targets, 0.05, SEED)[0].numpy()
    assert noisy.min() > 150
    assert 0.4 < (noisy == 255).mean() < 0.6


def test_batches_keep_order_and_all_examples(fifty: Examples):
    found = arrays(batches(fifty, 16, "classification", 10))
    assert [len(x) for x, _ in found] == [16, 16, 16, 2]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in found]), fifty.inputs)
    hot = np.concatenate([y for _, y in found])
    assert hot.dtype == "float32"
    np.testing.assert_array_equal(hot, np.eye(10)[fifty.targets])


@pytest.mark.parametrize(
    ("size", "expected"), [(49, [12, 12, 12, 13]), (50, [12, 13, 12, 13]), (48, [16] * 3), (5, [5])]
)
def test_an_epoch_ends_with_no_small_batch(numbered: Examples, size: int, expected: list[int]):
    some = numbered.take(np.arange(size))
    found = [y[:, 0] for _, y in learned(some, range(3, 4), task="regression")]
    assert [len(y) for y in found] == expected
    assert sorted(np.concatenate(found)) == list(range(size))


def test_an_epoch_is_the_same_however_it_is_reached(fifty: Examples):
    for augment in ({}, STRENGTHS):
        through = learned(fifty, range(3), augment=augment)
        resumed = learned(fifty, range(2, 3), augment=augment)
        assert_equal(through[2 * 4 :], resumed)


def test_every_example_comes_once_in_an_epoch(numbered: Examples):
    for epoch in range(3):
        assert sorted(order(numbered, epoch)) == list(range(50))


def test_inputs_stay_beside_their_targets(numbered: Examples):
    for x, y in learned(numbered, range(2), task="regression"):
        np.testing.assert_array_equal(x, numbered.inputs[y[:, 0].astype(int)])


def test_epochs_and_seeds_have_orders_of_their_own(numbered: Examples):
    orders = [order(numbered, epoch, seed) for epoch in range(3) for seed in range(3)]
    orders.append(list(range(50)))
    assert len(set(map(tuple, orders))) == 10


def test_augmentation_is_drawn_anew_for_each_batch_and_epoch(fifty: Examples):
    inputs = np.repeat(fifty.inputs[:1], 48, axis=0)
    same = replace(fifty, inputs=inputs, targets=fifty.targets[:48])
    found = learned(same, range(2), augment={"noise": 0.1})
    assert len({x.tobytes() for x, _ in found}) == len(found) == 6


def test_class_weights_come_third(fifty: Examples):
    weights = np.linspace(0.5, 2, 10)
    for _, y, w in learned(fifty, range(1), class_weights=weights.tolist()):
        np.testing.assert_allclose(w, weights[y.argmax(axis=1)], rtol=1e-6)


def test_mixed_targets_have_mixed_class_weights(fifty: Examples):
    weights = np.linspace(0.5, 2, 10)
    options = {"class_weights": weights.tolist(), "augment": {"mixup": 1.0}}
    for _, y, w in learned(fifty, range(1), **options):
        np.testing.assert_allclose(w, y @ weights, rtol=1e-5)


def test_balanced_weights_are_inverse_to_the_sizes_and_one_on_average():
    targets = np.repeat([0, 1, 2], [80, 15, 5])
    weights = np.array(balanced_weights(targets, 3))
    np.testing.assert_allclose(weights * [80, 15, 5], weights[0] * 80)
    assert weights[targets].mean() == pytest.approx(1)


def test_a_class_without_examples_has_a_finite_weight():
    assert np.isfinite(balanced_weights(np.array([0, 0, 2]), 3)).all()


def test_a_reconstruction_is_held_against_the_picture_without_noise(fifty: Examples):
    clean = {picture.tobytes() for picture in fifty.inputs}
    for x, y in learned(fifty, range(1), task="reconstruction", augment={"noise": 0.2}):
        assert (x.dtype, y.dtype) == (np.uint8, np.float32)
        assert 0 <= y.min() <= y.max() <= 1
        assert all((255 * p).round().astype("uint8").tobytes() in clean for p in y)
        assert (x != np.round(255 * y)).any(axis=(1, 2, 3)).all()


def test_a_reconstruction_is_held_against_the_moved_picture(fifty: Examples):
    augment = {"noise": 0.2, "flip": 1.0}
    mirrored = {picture[:, ::-1].tobytes() for picture in fifty.inputs}
    for _, y in learned(fifty, range(1), task="reconstruction", augment=augment):
        assert all((255 * p).round().astype("uint8").tobytes() in mirrored for p in y)


def test_a_reconstruction_of_blended_pictures_is_held_against_the_blend(fifty: Examples):
    for x, y in learned(fifty, range(1), task="reconstruction", augment={"mixup": 1.0}):
        np.testing.assert_allclose(y, x / 255, atol=1e-6)


def test_reconstructions_are_measured_against_the_pictures_themselves(fifty: Examples):
    for x, y in arrays(batches(fifty, 16, "reconstruction")):
        np.testing.assert_allclose(y, x / 255, rtol=1e-6)


def test_an_unknown_augmentation_is_answered_with_the_nearest(fifty: Examples):
    with pytest.raises(InputError, match="'flip'"):
        learned(fifty, range(1), augment={"flips": 1.0})


def test_rows_of_a_table_are_not_augmented():
    table = Examples(np.zeros((4, 3), "float32"), np.zeros(4, "int64"))
    with pytest.raises(InputError, match="rows of a table"):
        learned(table, range(1), augment={"noise": 0.1})


def test_rows_of_a_table_are_shuffled():
    table = Examples(np.arange(40, dtype="float32").reshape(20, 2), np.arange(20) % 3)
    (first, _), (second, _) = learned(table, range(1), classes=3)
    rows = np.concatenate([first, second])
    assert not np.array_equal(rows, table.inputs)
    np.testing.assert_array_equal(rows[rows[:, 0].argsort()], table.inputs)


def test_inputs_mapped_from_a_file_give_the_same_batches(fifty: Examples, tmp_path: Path):
    mapped = np.memmap(tmp_path / "inputs", "uint8", "w+", shape=fifty.inputs.shape)
    mapped[:] = fifty.inputs
    one = learned(fifty, range(2), augment={"crop": 1})
    assert_equal(one, learned(replace(fifty, inputs=mapped), range(2), augment={"crop": 1}))
