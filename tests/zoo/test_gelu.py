"""The GELU that trains by XLA: it is Keras' own in outputs and gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.layers import Gelu

X = np.random.default_rng(0).normal(0, 2, (5, 7, 11)).astype("float32")


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("mixed_bfloat16", 2e-2)])
def test_a_training_step_is_that_of_keras(dtype: str, tolerance: float) -> None:
    layer = Gelu(dtype=dtype)
    inputs = tf.cast(X, layer.compute_dtype)
    upstream = tf.cast(np.roll(X, 1), layer.compute_dtype)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        ours = layer(inputs, training=True)
        theirs = keras.activations.gelu(inputs, approximate=True)
    assert ours.dtype == theirs.dtype == inputs.dtype
    pairs = [(ours, theirs), [tape.gradient(y, inputs, upstream) for y in (ours, theirs)]]
    for one, other in pairs:
        one, other = (np.asarray(tf.cast(a, "float32")) for a in (one, other))
        assert one == pytest.approx(other, rel=tolerance, abs=tolerance * float(abs(other).max()))


def test_only_training_is_compiled_by_xla() -> None:
    layer = Gelu()

    def calls(training: bool) -> bool:
        function = tf.function(lambda x: layer(x, training=training))
        graph = function.get_concrete_function(tf.TensorSpec(X.shape)).graph
        return any("Call" in operation.type for operation in graph.get_operations())

    assert calls(training=True)
    assert not calls(training=False)


def test_batches_of_any_size_are_trained(tmp_path) -> None:
    inputs = keras.Input((7, 11))
    model = keras.Model(inputs, Gelu()(inputs))
    model.save(tmp_path / "gelu.keras")
    again = keras.saving.load_model(tmp_path / "gelu.keras")
    for count in (1, 3):
        np.testing.assert_allclose(again(X[:count], training=True), model(X[:count]), atol=1e-6)


def test_the_vision_transformer_takes_it() -> None:
    assert sum(isinstance(layer, Gelu) for layer in zoo.build("vit").layers) == 6
