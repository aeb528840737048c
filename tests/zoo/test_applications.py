"""Our landmark networks against keras.applications', weight by weight."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from lively import lively

import zoo

published = keras.applications

PEERS: dict[str, tuple[Callable[..., keras.Model], int, dict[str, Any]]] = {
    "vgg16": (published.VGG16, 64, {}),
    "vgg19": (published.VGG19, 64, {}),
    "resnet50": (published.ResNet50, 64, {"use_bias": True}),
    "resnet101": (published.ResNet101, 64, {"use_bias": True}),
    "resnet152": (published.ResNet152, 64, {"use_bias": True}),
    "resnet50_v2": (published.ResNet50V2, 64, {"use_bias": True}),
    "resnet101_v2": (published.ResNet101V2, 64, {"use_bias": True}),
    "resnet152_v2": (published.ResNet152V2, 64, {"use_bias": True}),
    "inception_v3": (published.InceptionV3, 107, {}),
    "mobilenet_v2": (published.MobileNetV2, 96, {}),
}
SLOW = {"resnet101", "resnet152", "resnet101_v2", "resnet152_v2"}


def photographs(side: int) -> np.ndarray:
    """Return three pictures of other brightness and grain each, `(3, side, side, 3)`."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (3, 8, 8, 3)).astype("float32")
    smooth = np.asarray(keras.ops.image.resize(coarse, (side, side)))
    light = np.array([0.3, 0.7, 1.0])[:, None, None, None]
    return np.clip(smooth * light + rng.normal(0, 12, smooth.shape), 0, 255).astype("uint8")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in PEERS]
)
def test_the_weights_of_keras_applications_give_their_answers(name: str) -> None:
    make, side, arguments = PEERS[name]
    shape = (side, side, 3)
    peer = make(weights=None, input_shape=shape, classes=10, classifier_activation=None)
    model = zoo.build(name, input_shape=shape, classes=10, classifier_activation=None, **arguments)
    images = photographs(side)
    scaled = keras.Model(model.input, model.get_layer("rescale").output)(images)
    model.set_weights(lively(peer, np.asarray(scaled)).get_weights())
    expected = keras.ops.convert_to_numpy(peer(scaled))
    logits = keras.ops.convert_to_numpy(model(images))
    size = np.abs(expected).max()
    assert np.abs(expected[0] - expected[1]).max() > 1e-2 * size  # it tells the pictures apart
    assert np.abs(logits - expected).max() <= 1e-5 * size


@pytest.mark.parametrize("name", ["vgg16", "resnet50", "resnet50_v2", "inception_v3"])
def test_the_published_form_has_as_many_parameters_as_keras_applications(name: str) -> None:
    make, _, arguments = PEERS[name]
    with keras.StatelessScope(initialize_variables=False):
        assert zoo.build(name, **arguments).count_params() == make(weights=None).count_params()
