"""The cross-entropy that XLA computes, and the product that learns in bfloat16."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.layers import TokenEmbedding, TokenLogits, token_hits, token_losses

RNG = np.random.default_rng(0)
VOCABULARY = 37
LABELS = RNG.integers(0, VOCABULARY, (4, 5))
LOGITS = (10 * RNG.normal(size=(4, 5, VOCABULARY))).astype("float32")


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("jit", [False, True])
def test_losses_and_gradients_are_those_of_keras(smoothing: float, jit: bool) -> None:
    one_hot = keras.ops.one_hot(LABELS, VOCABULARY)
    upstream = tf.constant(RNG.uniform(size=LABELS.shape).astype("float32"))

    @tf.function(jit_compile=jit)
    def step(logits: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(logits)
            ours = token_losses(LABELS, logits, smoothing)
            theirs = keras.losses.categorical_crossentropy(
                one_hot, logits, from_logits=True, label_smoothing=smoothing
            )
        return [ours, theirs, *(tape.gradient(y, logits, upstream) for y in (ours, theirs))]

    ours, theirs, our_gradient, their_gradient = step(tf.constant(LOGITS))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(our_gradient, their_gradient, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_other_backends_compute_the_same(smoothing: float, monkeypatch) -> None:
    ours = token_losses(LABELS, LOGITS, smoothing)
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    np.testing.assert_allclose(ours, token_losses(LABELS, LOGITS, smoothing), rtol=1e-5, atol=1e-5)


def test_great_logits_overflow_nothing() -> None:
    logits = np.array([[[1e4, 0, -1e4]]], "float32")
    for label, loss in enumerate((0.0, 1e4, 2e4)):
        assert np.asarray(token_losses(np.array([[label]]), logits)) == pytest.approx(loss)


def test_batches_of_any_length_are_scored() -> None:
    score = tf.function(
        token_losses,
        input_signature=[
            tf.TensorSpec((None, None), "int64"),
            tf.TensorSpec((None, None, VOCABULARY)),
        ],
    )
    whole = score(LABELS, LOGITS)
    np.testing.assert_allclose(score(LABELS[:3, :2], LOGITS[:3, :2]), whole[:3, :2], rtol=1e-6)


def test_hits_are_where_the_likeliest_is_right() -> None:
    np.testing.assert_array_equal(token_hits(LABELS, LOGITS), LOGITS.argmax(-1) == LABELS)
    np.testing.assert_array_equal(token_hits(LOGITS.argmax(-1), LOGITS), 1)


@pytest.mark.parametrize("tied", [False, True])
def test_scores_are_float32_and_learn_in_bfloat16(tied: bool) -> None:
    x = RNG.normal(size=(3, 4, 16)).astype("float32")
    upstream = tf.constant(RNG.normal(size=(3, 4, VOCABULARY)).astype("float32"))
    low = tf.cast(x, "bfloat16")

    def answer(inputs: tf.Tensor, policy: str, training: bool = True) -> list[np.ndarray]:
        keras.utils.set_random_seed(0)
        if tied:
            layer = TokenEmbedding(VOCABULARY, 16, dtype=policy)
            layer.build((None, None))
        else:
            layer = TokenLogits(VOCABULARY, bias_initializer="random_normal")
            layer.build((None, None, 16))
        settings = {"reverse": True} if tied else {}
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = layer(inputs, training=training, **settings)
        assert y.dtype == "float32"
        found = tape.gradient(y, [inputs, *layer.trainable_variables], upstream)
        return [np.asarray(tf.cast(part, "float32")) for part in (y, *found)]

    exact = answer(tf.cast(low, "float32"), "float32")
    mixed = answer(low, "mixed_bfloat16")
    for ours, theirs in zip(mixed, exact, strict=True):
        assert np.abs(ours - theirs).max() < 0.01 * np.abs(theirs).max()
    untrained = answer(low, "mixed_bfloat16", training=False)[0]
    np.testing.assert_allclose(untrained, exact[0], rtol=1e-5, atol=1e-6)


def test_a_float32_network_learns_in_float32() -> None:
    layer = TokenLogits(VOCABULARY)
    x = tf.constant(RNG.normal(size=(3, 4, 16)).astype("float32"))
    plain = keras.layers.Dense(VOCABULARY)
    for each in (layer, plain):
        each.build(x.shape)
    plain.set_weights(layer.get_weights())
    np.testing.assert_array_equal(layer(x, training=True), plain(x, training=True))


def test_recurrent_networks_take_it_and_keep_it(tmp_path) -> None:
    model = zoo.build("lstm_seq2seq", target_vocabulary_size=9, embedding_dim=4, units=4)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    layer = again.get_layer("logits")
    assert type(layer) is TokenLogits
    assert layer.compute_dtype == "float32"
    assert not layer.autocast
