"""Attention, positions and embeddings against a few lines of NumPy and against Keras' own."""

import timeit
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.layers import (
    AdditiveAttention,
    Attention,
    AttentionDecoder,
    Gelu,
    LearnedPositions,
    MultiplicativeAttention,
    SinusoidalPositions,
    TokenEmbedding,
    TransformerBlock,
    causal_bias,
    padding_bias,
)
from zoo.sequence.rnn import CELLS

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(2, 5, 12)).astype("float32")
MEMORY = RANDOM.normal(size=(2, 4, 12)).astype("float32")


def softmax(scores: np.ndarray) -> np.ndarray:
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def spread(layer: keras.Layer) -> None:
    """Give every weight, biases too, a value of its own."""
    random = np.random.default_rng(1)
    for weight in layer.weights:
        weight.assign(random.normal(0, 0.5, weight.shape))


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_a_softmax_of_products_head_by_head(causal: bool) -> None:
    layer = Attention(num_heads=3)
    memory = X if causal else MEMORY
    layer(X, memory)
    spread(layer)
    outputs, weights = layer(X, memory, causal_bias(5) if causal else None, return_weights=True)

    def dense(name: str, x: np.ndarray) -> np.ndarray:
        kernel, bias = getattr(layer, f"{name}_dense").get_weights()
        return x @ kernel + bias

    query, key, value = dense("query", X), dense("key", memory), dense("value", memory)
    heads = []
    for head in range(3):
        part = slice(4 * head, 4 * head + 4)
        scores = query[..., part] @ key[..., part].swapaxes(1, 2) / 2.0  # the root of 4
        if causal:
            scores = np.where(np.tri(5, dtype=bool), scores, -np.inf)
        shares = softmax(scores)
        np.testing.assert_allclose(weights[:, head], shares, atol=1e-5)
        heads.append(shares @ value[..., part])
    expected = dense("output", np.concatenate(heads, axis=-1))
    np.testing.assert_allclose(outputs, expected, atol=1e-4)


def test_attention_is_that_of_keras() -> None:
    ours, theirs = Attention(num_heads=3), keras.layers.MultiHeadAttention(3, 4)
    ours(X, MEMORY)
    theirs(X, MEMORY)
    spread(ours)
    theirs.set_weights(
        [
            w.reshape(shape.shape)
            for w, shape in zip(ours.get_weights(), theirs.weights, strict=True)
        ]
    )
    np.testing.assert_allclose(ours(X, MEMORY), theirs(X, MEMORY), atol=1e-5)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="5 heads do not divide a width of 12"):
        Attention(num_heads=5)(X)


def test_padding_is_seen_by_nobody() -> None:
    layer = Attention(num_heads=2)
    ids = np.array([[3, 4, 0, 0], [5, 6, 7, 8]])
    _, weights = layer(X, MEMORY, padding_bias(ids), return_weights=True)
    weights = np.asarray(weights)
    assert weights[0, ..., 2:].max() == 0
    assert weights[1].min() > 0
    changed = MEMORY.copy()
    changed[0, 2:] += 100
    one, other = (np.asarray(layer(X, m, padding_bias(ids))) for m in (MEMORY, changed))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("pre_norm", [False, True])
def test_a_causal_block_never_looks_ahead(pre_norm: bool) -> None:
    block = TransformerBlock(3, 24, causal=True, pre_norm=pre_norm)
    block(X)
    spread(block)
    changed = X.copy()
    changed[:, 3:] += RANDOM.normal(size=(2, 2, 12))
    one, other = np.asarray(block(X)), np.asarray(block(changed))
    np.testing.assert_array_equal(one[:, :3], other[:, :3])
    assert np.abs(one[:, 3:] - other[:, 3:]).min() > 0


def test_a_causal_bias_costs_no_more_than_another() -> None:
    layer = Attention(num_heads=8)
    x = tf.constant(RANDOM.normal(size=(16, 64, 128)).astype("float32"))
    layer(x)

    def seconds(bias: Any) -> float:
        attend = tf.function(lambda x: layer(x, bias=bias(tf.shape(x)[1])))
        attend(x)
        return min(timeit.repeat(lambda: np.asarray(attend(x)), number=1, repeat=5))

    # TensorFlow's fused kernel takes a hundred times as long.
    assert seconds(causal_bias) < 20 * seconds(lambda length: padding_bias(tf.ones((16, length))))


@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_a_block_is_its_parts_one_after_the_other(pre_norm: bool, activation: str) -> None:
    block = TransformerBlock(3, 24, pre_norm=pre_norm, activation=activation)
    block(X, MEMORY)
    spread(block)
    activate = {"relu": keras.activations.relu, "gelu": Gelu()}[activation]
    x = X
    for name, part in (
        ("self", block.attention),
        ("memory", lambda y: block.memory_attention(y, MEMORY)),
        ("mlp", lambda y: block.narrow(activate(block.wide(y)))),
    ):
        norm = block.norms[name]
        x = x + part(norm(x)) if pre_norm else norm(x + part(x))
    np.testing.assert_allclose(block(X, MEMORY), x, atol=1e-4)


def test_an_unknown_activation_or_cell_is_refused() -> None:
    with pytest.raises(ValueError, match="activation must be 'relu' or 'gelu', not 'swish'"):
        TransformerBlock(3, 24, activation="swish")
    with pytest.raises(ValueError, match="cell must be 'gru' or 'lstm', not 'simple'"):
        AttentionDecoder(7, cell="simple")


def test_a_block_drops_in_training_only() -> None:
    block = TransformerBlock(3, 24, dropout=0.5)
    np.testing.assert_array_equal(block(X), block(X))
    assert np.abs(np.asarray(block(X, training=True)) - np.asarray(block(X))).max() > 0.1


def test_sinusoidal_positions_are_the_paper_s() -> None:
    nothing = np.zeros((1, 7, 6), "float32")
    expected = np.zeros((7, 6))
    for place in range(7):
        for i in range(3):
            expected[place, 2 * i] = np.sin(place / 10000 ** (2 * i / 6))
            expected[place, 2 * i + 1] = np.cos(place / 10000 ** (2 * i / 6))
    layer = SinusoidalPositions()
    np.testing.assert_allclose(layer(nothing)[0], expected, atol=1e-6)
    np.testing.assert_allclose(layer(nothing[:, :2], start=3)[0], expected[3:5], atol=1e-6)


def test_learned_positions_serve_texts_that_are_shorter() -> None:
    layer = LearnedPositions(max_length=9)
    layer(X)
    table = np.asarray(layer.positions)[0]
    np.testing.assert_allclose(layer(X) - X, np.broadcast_to(table[:5], X.shape), atol=1e-6)
    np.testing.assert_allclose((layer(X, start=4) - X)[0], table[4:], atol=1e-6)
    with pytest.raises(ValueError, match="5 places are more than the 4 positions"):
        LearnedPositions(max_length=4)(X)


def test_more_places_than_positions_are_refused_when_a_model_is_built() -> None:
    for name in ("bert", "gpt"):
        with pytest.raises(ValueError, match="8 places are more than the 4 positions"):
            zoo.build(name, max_length=4, length=8)


def test_no_two_tables_begin_alike() -> None:
    model = zoo.build("bert", segments=2, vocabulary_size=9)
    words, segments = (
        model.get_layer(name).get_weights()[0] for name in ("embedding", "segment_embedding")
    )
    assert np.abs(words[:2] - segments).min() > 0


def test_one_table_reads_and_scores_tokens() -> None:
    layer = TokenEmbedding(9, 12, scale=True)
    ids = np.array([[1, 8, 0]])
    vectors = np.asarray(layer(ids))
    table = np.asarray(layer.table)
    np.testing.assert_allclose(vectors, table[ids] * 12**0.5, rtol=1e-6)
    np.testing.assert_allclose(layer(X, reverse=True), X @ table.T, atol=1e-5)
    assert len(layer.weights) == 1


def test_scores_are_computed_in_float32_in_mixed_precision() -> None:
    layer = TokenEmbedding(9, 12, dtype="mixed_bfloat16")
    assert layer(np.array([[1]])).dtype == "bfloat16"
    scores = layer(X, reverse=True)
    assert scores.dtype == "float32"
    rounded = np.asarray(keras.ops.cast(keras.ops.cast(X, "bfloat16"), "float32"))
    np.testing.assert_allclose(scores, rounded @ np.asarray(layer.table).T, atol=1e-6)


def test_additive_attention_is_bahdanau_s_formula() -> None:
    layer = AdditiveAttention(7)
    layer(X, MEMORY)
    spread(layer)
    found, weights = layer(X, MEMORY)
    (kernel, bias), (of_memory,), (score,) = (
        part.get_weights() for part in (layer.of_query, layer.of_memory, layer.score)
    )
    hidden = np.tanh((X @ kernel + bias)[:, :, None] + (MEMORY @ of_memory)[:, None])
    shares = softmax((hidden @ score)[..., 0])
    np.testing.assert_allclose(weights, shares, atol=1e-5)
    np.testing.assert_allclose(found, shares @ MEMORY, atol=1e-5)
    one, one_weights = layer(X[:, 2], MEMORY)  # of a single step
    np.testing.assert_allclose(one, found[:, 2], atol=1e-5)
    np.testing.assert_allclose(one_weights, weights[:, 2], atol=1e-5)


@pytest.mark.parametrize("general", [False, True])
def test_multiplicative_attention_is_luong_s_formula(general: bool) -> None:
    layer = MultiplicativeAttention(general)
    layer(X, MEMORY)
    matrix = layer.of_memory.get_weights()[0] if general else np.eye(12)
    shares = softmax(X @ (MEMORY @ matrix).swapaxes(1, 2))
    found, weights = layer(X, MEMORY)
    np.testing.assert_allclose(weights, shares, atol=1e-5)
    np.testing.assert_allclose(found, shares @ MEMORY, atol=1e-5)


def test_a_product_of_unequal_widths_needs_a_matrix() -> None:
    with pytest.raises(ValueError, match="take 'general'"):
        MultiplicativeAttention()(X, MEMORY[..., :7])


@pytest.mark.parametrize(("cell", "count"), [("simple", 24_704), ("gru", 74_496), ("lstm", 98_816)])
def test_cells_have_the_known_numbers_of_weights(cell: str, count: int) -> None:
    layer = CELLS[cell](128)
    layer.build((None, None, 64))
    assert layer.count_params() == count
