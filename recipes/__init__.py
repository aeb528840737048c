"""How models learn: data, training, fine-tuning, evaluation."""

from recipes.cross_validation import CrossValidation, cross_validate
from recipes.data import Splits, load_data
from recipes.evaluation import evaluate
from recipes.finetuning import finetune
from recipes.generation import Generator
from recipes.inputs import data_for
from recipes.learning_rate import LearningRates, lr_find
from recipes.minimization import minimize
from recipes.pretrained import RECIPES
from recipes.recipe import Recipe
from recipes.run import Run
from recipes.supervised import train
from recipes.translation import Translator
from recipes.tuning import Search, resume_tuning, tune

__all__ = [
    "RECIPES",
    "CrossValidation",
    "Generator",
    "LearningRates",
    "Recipe",
    "Run",
    "Search",
    "Splits",
    "Translator",
    "cross_validate",
    "data_for",
    "evaluate",
    "finetune",
    "load_data",
    "lr_find",
    "minimize",
    "resume_tuning",
    "train",
    "tune",
]
