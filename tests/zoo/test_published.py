"""The published networks, with random weights in the publisher's form, answer as theirs do."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import msgspec
import numpy as np
import pytest
from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group
from lively import lively

import zoo
from zoo import cards

# One of each publisher's preprocessing and way to end; test_applications.py holds the others
# against theirs. The first has the size of the real pictures, the others a small one.
NETWORKS: dict[str, tuple[str, int]] = {
    "resnet50-imagenet": ("resnet.ResNet50", 224),
    "inception_v3-imagenet": ("inception_v3.InceptionV3", 96),
    "vgg16-imagenet": ("vgg16.VGG16", 32),
}


@pytest.mark.slow
@pytest.mark.usefixtures("online")
@pytest.mark.parametrize("name", NETWORKS)
def test_weights_in_the_publisher_s_form_give_the_publisher_s_answers(
    name: str, serving: Callable[..., Any], tmp_path: Path
) -> None:
    path, size = NETWORKS[name]
    module, network = path.split(".")
    theirs = getattr(getattr(keras.applications, module), network)
    preprocess = getattr(keras.applications, module).preprocess_input
    shape = (size, size, 3)
    pictures = np.random.default_rng(1).integers(0, 256, (4, *shape)).astype("uint8")
    pictures //= np.array([1, 2, 3, 4], "uint8")[:, None, None, None]
    ready = preprocess(pictures.astype("float32"))
    model = lively(theirs(weights=None, input_shape=shape), ready)
    expected = np.asarray(model(ready))
    assert np.abs(expected - expected[:1]).max() > 2e-4  # the pictures matter
    assert expected.max() < 0.9

    file = tmp_path / "theirs.h5"
    with h5py.File(file, "w") as group:
        save_weights_to_hdf5_group(group, model)
    content = file.read_bytes()
    card = zoo.card(name)
    with serving(content) as site:
        weights = msgspec.structs.replace(
            card.weights, md5=hashlib.md5(content).hexdigest(), url=site.url
        )
        arguments = {**card.arguments, "input_shape": list(shape)}
        away = msgspec.structs.replace(card, weights=weights, arguments=arguments)
        cards.write(away, tmp_path / "away" / cards.FILE)
        ours = zoo.load(tmp_path / "away")
    assert np.asarray(ours(pictures)) == pytest.approx(expected, abs=1e-5)
    assert ours.count_params() == model.count_params()
