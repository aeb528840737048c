"""Models made ready for int8: normalizations folded, tangents bounded; they answer as before."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import zoo
from zoo.folding import bounded, folded


def told(model: keras.Model, examples: int = 6) -> Any:
    random = np.random.default_rng(1)
    given = {
        tensor.name: random.integers(0, 10, examples)
        if tensor.dtype == "int32"
        else random.normal(size=(examples, *tensor.shape[1:])).astype("float32")
        for tensor in model.inputs
    }
    return given if isinstance(model.input, dict) else next(iter(given.values()))


def trained(model: keras.Model) -> keras.Model:
    """Give a model's normalizations weights and moments that matter."""
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            for weight in layer.weights:
                weight.assign(random.uniform(0.5, 2.0, weight.shape))
    return model


def count(model: keras.Model, kind: type) -> int:
    return sum(isinstance(layer, kind) for layer in model.layers)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("dcgan", {}),
        ("cdcgan", {"width": 8}),
        ("dcgan_64", {"width": 4}),
        ("mlp", {"input_shape": (7,), "hidden": (5, 4), "batch_norm": True, "classes": 3}),
    ],
)
def test_normalizations_are_folded_and_change_nothing(name: str, arguments: dict[str, Any]) -> None:
    model = trained(zoo.build(name, **arguments))
    weights = model.get_weights()
    result = folded(model)
    assert count(model, layers.BatchNormalization) > 0
    assert count(result, layers.BatchNormalization) == 0
    inputs = told(model)
    expected = model.predict(inputs, verbose=0)
    np.testing.assert_allclose(result.predict(inputs, verbose=0), expected, atol=2e-5)
    for one, other in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)  # the model itself stays


def test_what_cannot_be_folded_stays() -> None:
    inputs = keras.Input((4,))
    x = layers.Dense(3)(inputs)
    normalized = layers.BatchNormalization()(x)
    both = trained(keras.Model(inputs, layers.Add()([x, normalized])))  # the layer has two readers
    assert folded(both) is both
    active = layers.BatchNormalization()(layers.Dense(3, activation="relu")(inputs))
    model = trained(keras.Model(inputs, active))
    assert folded(model) is model
    assert folded(zoo.build("lenet5")).name == "lenet5"


def test_a_tangent_is_given_nothing_far_from_0() -> None:
    model = trained(zoo.build("dcgan", width=8))
    picture = model.get_layer("picture")
    picture.kernel.assign(300 * picture.kernel)
    result = bounded(model)
    codes = told(model)
    before = keras.Model(model.input, model.get_layer("tanh").input)
    after = keras.Model(result.input, result.get_layer("tanh").input)
    assert np.abs(before.predict(codes, verbose=0)).max() > 10
    assert np.abs(after.predict(codes, verbose=0)).max() == pytest.approx(4.0)
    expected = model.predict(codes, verbose=0)
    np.testing.assert_allclose(result.predict(codes, verbose=0), expected, atol=4e-4)


def test_a_model_without_a_tangent_at_its_end_is_left_alone() -> None:
    model = zoo.build("mlp")
    assert bounded(model) is model


def test_a_layer_whose_output_is_given_is_not_folded() -> None:
    inputs = keras.Input((8,))
    given = keras.layers.Dense(4, name="given")(inputs)
    normal = keras.layers.BatchNormalization(name="normal")(given)
    model = keras.Model(inputs, [given, normal])
    model.get_layer("normal").moving_mean.assign([1.0, 2.0, 3.0, 4.0])
    examples = np.random.default_rng(0).normal(size=(3, 8)).astype("float32")
    for one, other in zip(model(examples), folded(model)(examples), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_model_whose_input_has_no_name_is_folded() -> None:
    inputs = keras.Input((8,))
    x = keras.layers.BatchNormalization()(keras.layers.Dense(4)(inputs))
    model = keras.Model(inputs, keras.layers.Activation("tanh")(x))
    examples = np.random.default_rng(0).normal(size=(3, 8)).astype("float32")
    found = bounded(folded(model))
    assert not any(isinstance(x, keras.layers.BatchNormalization) for x in found.layers)
    np.testing.assert_allclose(model(examples), found(examples), atol=1e-3)


def test_a_reshape_that_keeps_the_channels_apart_is_no_hindrance() -> None:
    inputs = keras.Input((8,))
    x = layers.Reshape((2, 1, 32))(layers.Dense(64)(inputs))
    model = trained(keras.Model(inputs, layers.BatchNormalization()(x)))
    result = folded(model)
    assert count(result, layers.BatchNormalization) == 0
    examples = told(model)
    np.testing.assert_allclose(model(examples), result(examples), atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "layer", "between", "axis"),
    [
        ((4, 3), layers.Dense(8), layers.Reshape((32,)), -1),
        ((3, 3), layers.Dense(8), layers.Reshape((8, 3)), -1),
        ((4, 4, 3), layers.DepthwiseConv2D(1, depth_multiplier=2), layers.Reshape((16, 6)), -1),
        ((2, 3, 4, 5), layers.Dense(4), None, 3),  # of five axes
        ((3, 8, 6), layers.Conv2D(4, 3, data_format="channels_first"), None, -1),
    ],
    ids=["a wider reshape", "a mixing reshape", "a depthwise kernel", "an inner axis", "channels"],
)
def test_a_normalization_of_other_channels_is_left(
    shape: tuple[int, ...], layer: Any, between: Any, axis: int
) -> None:
    inputs = keras.Input(shape)
    x = layer(inputs)
    x = between(x) if between else x
    model = trained(keras.Model(inputs, layers.BatchNormalization(axis=axis)(x)))
    assert folded(model, every=True) is model


def test_a_normalization_of_two_layers_is_left() -> None:
    inputs = keras.Input((4,))
    both = layers.BatchNormalization()
    outputs = [both(layers.Dense(3)(inputs)) for _ in range(2)]
    model = trained(keras.Model(inputs, layers.Add()(outputs)))
    assert folded(model) is model
