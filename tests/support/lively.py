"""Networks with random weights whose answers nevertheless depend on what they are shown."""

import keras
import numpy as np


def lively(model: keras.Model, pictures: np.ndarray) -> keras.Model:
    """Give every weight a random value, so that each matters and no answer is certain."""
    random = np.random.default_rng(0)
    for layer in model.layers:
        for weight in layer.weights:
            match weight.name:
                case "kernel":
                    deviation = np.sqrt(2 / np.prod(weight.shape[:-1]))
                    weight.assign(random.normal(0, deviation, weight.shape))
                case "gamma":
                    weight.assign(random.uniform(0.5, 1.5, weight.shape))
                case "bias":
                    weight.assign(random.normal(0, 0.2, weight.shape))
                case "beta":  # most units are on, or rounding would grow from layer to layer
                    weight.assign(random.normal(1, 0.5, weight.shape))
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    first = next(layer for layer in model.layers if layer.weights)
    first.kernel.assign(first.kernel / pictures.std())
    model(pictures, training=True)  # the statistics of each normalization become those of its input
    head = model.layers[-1]
    features = np.asarray(keras.Model(model.input, head.input)(pictures))
    head.kernel.assign(head.kernel / np.sqrt(2 * np.square(features).mean()))
    return model
