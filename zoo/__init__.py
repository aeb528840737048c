"""deepzoo: small pretrained Keras models to load, fine-tune and ship.

Importing this package imports neither Keras nor TensorFlow; building or loading a model does.
"""

from zoo.cards import Card, card
from zoo.errors import CheckFailed, InputError
from zoo.models import features, load, load_tokenizers
from zoo.registry import build, list_models

__all__ = [
    "Card",
    "CheckFailed",
    "InputError",
    "build",
    "card",
    "features",
    "list_models",
    "load",
    "load_tokenizers",
]
