"""Generative adversarial networks: recipes, training, what they make."""

from recipes.adversarial.losses import LOSSES
from recipes.adversarial.pictures import generate, interpolate
from recipes.adversarial.pretrained import ADVERSARIAL_RECIPES, METHODS
from recipes.adversarial.recipe import AdversarialRecipe
from recipes.adversarial.run import AdversarialRun
from recipes.adversarial.training import Collapse, Divergence, train_adversarial

__all__ = [
    "ADVERSARIAL_RECIPES",
    "LOSSES",
    "METHODS",
    "AdversarialRecipe",
    "AdversarialRun",
    "Collapse",
    "Divergence",
    "generate",
    "interpolate",
    "train_adversarial",
]
