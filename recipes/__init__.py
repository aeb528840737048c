"""How models learn: data, training, fine-tuning, evaluation."""

from recipes.data import Splits, load_data
from recipes.evaluation import evaluate
from recipes.finetuning import finetune
from recipes.inputs import data_for
from recipes.learning_rate import LearningRates, lr_find
from recipes.pretrained import RECIPES
from recipes.recipe import Recipe
from recipes.run import Run
from recipes.supervised import train

__all__ = [
    "RECIPES",
    "LearningRates",
    "Recipe",
    "Run",
    "Splits",
    "data_for",
    "evaluate",
    "finetune",
    "load_data",
    "lr_find",
    "train",
]
