"""The fused batch normalization is Keras' own in everything but speed."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.layers import BatchNormalization

SHAPE = (16, 6, 7, 5)


def trained(kind: type, dtype: str, **arguments: object) -> list[np.ndarray]:
    """Return outputs, gradients and statistics of one training step on shifted, scaled inputs."""
    rng = np.random.default_rng(0)
    inputs = tf.constant(rng.normal(3, 2, SHAPE).astype("float32"))
    weighting = rng.normal(size=SHAPE).astype("float32")
    layer = kind(dtype=dtype, momentum=0.9, **arguments)
    layer.build(SHAPE)
    for number, weight in enumerate(layer.trainable_weights):
        weight.assign(np.arange(1.0, 6.0) + number)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = tf.cast(layer(inputs, training=True), "float32")
        loss = tf.reduce_sum(outputs * weighting)
    watched = [inputs, *(weight.value for weight in layer.trainable_weights)]
    gradients = [tf.cast(g, "float32") for g in tape.gradient(loss, watched)]
    return [np.asarray(a) for a in (outputs, *gradients, *layer.non_trainable_weights)]


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("arguments", [{}, {"scale": False}, {"center": False}, {"epsilon": 0.1}])
def test_a_training_step_is_that_of_keras(dtype: str, arguments: dict[str, object]) -> None:
    fused = trained(BatchNormalization, dtype, **arguments)
    keras_own = trained(keras.layers.BatchNormalization, dtype, **arguments)
    tolerance = 1e-5 if dtype == "float32" else 1e-2
    for ours, theirs in zip(fused, keras_own, strict=True):
        assert ours == pytest.approx(
            theirs, rel=tolerance, abs=tolerance * float(np.abs(theirs).max())
        )


def test_training_takes_the_fused_kernel_and_inference_does_not() -> None:
    layer = BatchNormalization()
    layer.build(SHAPE)

    def ops_of(training: bool) -> set[str]:
        function = tf.function(lambda x: layer(x, training=training))
        graph = function.get_concrete_function(tf.TensorSpec(SHAPE)).graph
        return {operation.type for operation in graph.get_operations()}

    assert "FusedBatchNormV3" in ops_of(training=True)
    assert "Mean" not in ops_of(training=True)
    layer.trainable = False
    before = [np.array(w) for w in layer.weights]
    layer(np.ones(SHAPE, "float32"), training=True)
    for old, new in zip(before, layer.weights, strict=True):
        np.testing.assert_array_equal(old, np.asarray(new))


def test_masks_and_other_axes_go_the_way_of_keras() -> None:
    inputs = np.random.default_rng(0).normal(2, 3, SHAPE).astype("float32")
    mask = np.arange(16 * 42).reshape(16, 6, 7) % 3 > 0
    for arguments, call in (({"axis": 1}, {}), ({}, {"mask": mask})):
        ours = BatchNormalization(**arguments)(inputs, training=True, **call)
        theirs = keras.layers.BatchNormalization(**arguments)(inputs, training=True, **call)
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
