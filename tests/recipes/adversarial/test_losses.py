"""Losses of adversaries against their formulas, and augmentation that both of them see."""

import numpy as np
import pytest
import tensorflow as tf

from recipes.adversarial.augmentation import AUGMENTATIONS, augmented
from recipes.adversarial.losses import LOSSES

REAL, MADE = np.array([2.0, -1.0], "float32"), np.array([0.5, -3.0], "float32")


def probability(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


CRITICS = {
    "minimax": -np.log(probability(REAL)).mean() - np.log(1 - probability(MADE)).mean(),
    "non_saturating": -np.log(probability(REAL)).mean() - np.log(1 - probability(MADE)).mean(),
    "least_squares": ((REAL - 1) ** 2).mean() / 2 + (MADE**2).mean() / 2,
    "hinge": np.maximum(0, 1 - REAL).mean() + np.maximum(0, 1 + MADE).mean(),
    "wasserstein": MADE.mean() - REAL.mean(),
}
GENERATORS = {
    "minimax": np.log(1 - probability(MADE)).mean(),
    "non_saturating": -np.log(probability(MADE)).mean(),
    "least_squares": ((MADE - 1) ** 2).mean() / 2,
    "hinge": -MADE.mean(),
    "wasserstein": -MADE.mean(),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_those_of_their_papers(name: str) -> None:
    loss = LOSSES[name]
    assert float(loss.critic(REAL, MADE, 0.0)) == pytest.approx(CRITICS[name], rel=1e-5)
    assert float(loss.generator(MADE)) == pytest.approx(GENERATORS[name], rel=1e-5)


def test_a_smoothed_target_is_met_by_a_critic_that_is_less_sure() -> None:
    logits = np.linspace(-6, 6, 1_201).astype("float32")[:, None]
    nothing = np.full(1, -50.0, "float32")
    losses = [float(LOSSES["non_saturating"].critic(x, nothing, 0.1)) for x in logits]
    assert probability(logits[np.argmin(losses)])[0] == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_augmentation_changes_each_picture_in_its_way_and_lets_gradients_through(
    name: str, channels: int
) -> None:
    pictures = tf.constant(np.random.default_rng(0).random((16, 16, 16, channels)), tf.float32)
    one, other = tf.constant([3, 4], tf.int64), tf.constant([3, 5], tf.int64)
    with tf.GradientTape() as tape:
        tape.watch(pictures)
        changed = augmented(pictures, [name], one)
        total = tf.reduce_sum(changed**2)
    assert changed.shape == pictures.shape
    assert np.abs(tape.gradient(total, pictures)).max() > 0
    np.testing.assert_array_equal(augmented(pictures, [name], one), changed)
    assert np.abs(augmented(pictures, [name], other) - changed).max() > 0.01
    alike = augmented(tf.repeat(pictures[:1], 16, 0), [name], one)
    assert len(np.unique(np.round(np.asarray(alike).reshape(16, -1), 5), axis=0)) > 1


def test_translation_moves_a_pixel_by_an_eighth_at_most() -> None:
    pictures = np.zeros((200, 16, 16, 1), "float32")
    pictures[:, 8, 8] = 1
    moved = np.asarray(augmented(tf.constant(pictures), ["translation"], tf.constant([1, 2])))
    places = np.argwhere(moved[..., 0] == 1)
    assert len(places) == 200
    assert set(places[:, 1]) == set(places[:, 2]) == {6, 7, 8, 9, 10}
