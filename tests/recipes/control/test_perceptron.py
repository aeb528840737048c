"""Perceptrons in NumPy, against Keras."""

import keras
import numpy as np
import pytest
from keras import layers

import zoo
from recipes.control.perceptron import Perceptron


@pytest.mark.parametrize("name", ["dqn", "dqn_dueling"])
@pytest.mark.parametrize("hidden", [[5], [7, 3], [16, 16, 16]])
def test_it_answers_like_keras_and_follows_its_weights(name: str, hidden: list[int]) -> None:
    model = zoo.build(name, hidden=hidden, actions=3, input_shape=(6,))
    network = Perceptron(model)
    random = np.random.default_rng(0)
    inputs = random.normal(size=(9, 6)).astype("float32")
    np.testing.assert_allclose(network(inputs), model.predict(inputs, verbose=0), atol=1e-5)
    weights = [random.uniform(0.1, 1, size=w.shape) for w in model.get_weights()]
    model.set_weights(weights)
    network.refresh()
    expected = model.predict(inputs, verbose=0)
    np.testing.assert_allclose(network(inputs), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["dqn_minatar", "dqn_nature", "dqn_c51"])
def test_other_networks_are_left_to_tensorflow(name: str) -> None:
    with pytest.raises(TypeError):
        Perceptron(zoo.build(name))


@pytest.mark.parametrize(
    "layer", [layers.Dense(2, activation="tanh"), layers.ReLU(max_value=6), layers.Softmax()]
)
def test_a_layer_of_another_kind_is_not_taken_for_a_known_one(layer: keras.Layer) -> None:
    inputs = keras.Input((3,))
    with pytest.raises(TypeError, match=layer.name):
        Perceptron(keras.Model(inputs, layer(inputs)))
