"""The convolution that trains by products of matrices: it is Keras' own in all that it answers."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo import surgery
from zoo.layers import Conv2D


@pytest.fixture(autouse=True)
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.layers.conv2d._without_gpu", lambda: True)


def twins(shape: tuple[int, ...], **arguments: Any) -> tuple[Conv2D, keras.layers.Conv2D]:
    """Return our layer and Keras' own, with the same weights."""
    keras.utils.set_random_seed(1)
    arguments = {"filters": 256, "kernel_size": 3, "padding": "same", "dtype": "mixed_bfloat16"} | (
        arguments
    )
    pair = Conv2D(**arguments), keras.layers.Conv2D(**arguments)
    for layer in pair:
        layer.build((None, *shape))
    pair[0].set_weights([w + 0.1 * (w.ndim == 1) for w in pair[0].get_weights()])
    pair[1].set_weights(pair[0].get_weights())
    return pair


def step(layer: keras.Layer, x: tf.Tensor, **call: Any) -> list[np.ndarray]:
    """Return the outputs, and the gradients of input and weights."""

    @tf.function
    def compiled(x: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, **call)
            weighting = tf.cast(np.random.default_rng(2).normal(size=y.shape), y.dtype)
            total = tf.reduce_sum(y * weighting)
        return [y, *tape.gradient(total, [x, *(w.value for w in layer.trainable_weights)])]

    return [tf.cast(value, "float32").numpy() for value in compiled(x)]


def by_products(layer: keras.Layer, x: tf.Tensor, training: bool) -> bool:
    """Return whether the layer's graph holds a gradient of its own."""
    graph = tf.function(lambda x: layer(x, training=training)).get_concrete_function(x).graph
    return any(op.type == "IdentityN" for op in graph.get_operations())


def pictures(shape: tuple[int, ...], dtype: str = "bfloat16", count: int = 5) -> tf.Tensor:
    return tf.cast(np.random.default_rng(0).normal(size=(count, *shape)), dtype)


@pytest.mark.parametrize("kernel_size", [3, 2, (1, 3), 5])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_bias": False},
        {"activation": "relu"},
        {"padding": "valid"},
        {"strides": 2},
        {"strides": 2, "padding": "valid"},
    ],
)
def test_a_training_step_is_that_of_keras(kernel_size: Any, settings: dict[str, Any]) -> None:
    x = pictures((5, 6, 256))
    ours, theirs = twins((5, 6, 256), kernel_size=kernel_size, **settings)
    assert by_products(ours, x, training=True)
    for one, other in zip(step(ours, x, training=True), step(theirs, x), strict=True):
        # Sums in bfloat16 depend on their order.
        np.testing.assert_allclose(one, other, rtol=0.02, atol=0.04 * np.abs(other).max())


@pytest.mark.parametrize(
    ("shape", "dtype", "settings"),
    [
        ((4, 4, 256), "float32", {"dtype": "float32"}),
        ((9, 9, 256), "bfloat16", {}),
        ((4, 4, 128), "bfloat16", {}),
        ((4, 4, 256), "bfloat16", {"filters": 128}),
        ((4, 4, 256), "bfloat16", {"kernel_size": 1}),
        ((4, 4, 256), "bfloat16", {"dilation_rate": 2}),
    ],
)
def test_everything_else_is_keras_own(
    shape: tuple[int, ...], dtype: str, settings: dict[str, Any]
) -> None:
    ours, theirs = twins(shape, **settings)
    x = pictures(shape, dtype)
    assert not by_products(ours, x, training=True)
    for one, other in zip(step(ours, x, training=True), step(theirs, x), strict=True):
        np.testing.assert_array_equal(one, other)


def test_inference_and_frozen_layers_have_no_gradient_of_their_own() -> None:
    x = pictures((4, 4, 256))
    ours, theirs = twins((4, 4, 256))
    assert not by_products(ours, x, training=False)
    np.testing.assert_array_equal(ours(x), theirs(x))
    ours.trainable = False
    assert not by_products(ours, x, training=True)


def test_a_map_of_unknown_size_is_keras_own() -> None:
    ours, _ = twins((None, None, 256))
    function = tf.function(lambda x: ours(x, training=True))
    spec = tf.TensorSpec((None, None, None, 256), "bfloat16")
    operations = function.get_concrete_function(spec).graph.get_operations()
    assert not any(op.type == "IdentityN" for op in operations)


def test_a_residual_network_learns_the_same_step() -> None:
    keras.utils.set_random_seed(1)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        arguments = {"stem": "small", "input_shape": (16, 16, 3), "classes": 4}
        model = zoo.build("resnet18", blocks=(1, 1, 1, 1), **arguments)
    finally:
        keras.config.set_dtype_policy(before)
    assert all(isinstance(x, Conv2D) for x in model.layers if isinstance(x, keras.layers.Conv2D))

    def plain(layer: keras.Layer) -> keras.Layer:
        kind = keras.layers.Conv2D if isinstance(layer, Conv2D) else type(layer)
        return kind.from_config(layer.get_config())

    twin = surgery.copy(model, clone_function=plain)
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), "uint8")
    changes = []
    for network in (model, twin):
        before = network.get_weights()
        network.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
        network.jit_compile = False
        network.fit(images, np.arange(8) % 4, verbose=0)
        after = network.get_weights()
        changes.append(
            np.concatenate([(a - b).ravel() for a, b in zip(after, before, strict=True)])
        )
    assert np.corrcoef(*changes)[0, 1] > 0.99
    assert np.linalg.norm(changes[0]) == pytest.approx(np.linalg.norm(changes[1]), rel=0.05)
