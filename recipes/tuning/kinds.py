"""The kinds of recipes that can be searched, and the trials of each."""

from typing import Any

from recipes.adversarial.pretrained import ADVERSARIAL_RECIPES
from recipes.adversarial.recipe import AdversarialRecipe
from recipes.control.pretrained import CONTROL_RECIPES
from recipes.control.recipe import ControlRecipe
from recipes.data import Splits
from recipes.pretrained import RECIPES
from recipes.recipe import Recipe
from recipes.tuning.adversarial import AdversarialTrials
from recipes.tuning.control import ControlTrials
from recipes.tuning.supervised import SupervisedTrials
from recipes.tuning.trials import Trials
from zoo.errors import InputError
from zoo.registry import unknown

AnyRecipe = Recipe | AdversarialRecipe | ControlRecipe

KINDS: dict[str, tuple[type[AnyRecipe], type[Trials[Any, Any]]]] = {
    "supervised": (Recipe, SupervisedTrials),
    "adversarial": (AdversarialRecipe, AdversarialTrials),
    "control": (ControlRecipe, ControlTrials),
}


def kind_of(recipe: AnyRecipe) -> str:
    """Return the kind of a recipe.

    Raises:
        InputError: it is no recipe.
    """
    for kind, (its_type, _) in KINDS.items():
        if isinstance(recipe, its_type):
            return kind
    raise InputError(f"a recipe, or the name of one, can be searched, and not {recipe!r}.")


def trials_of(recipe: AnyRecipe, data: Splits | None = None) -> Trials[Any, Any]:
    """Return the trials of a recipe, on its own data by default."""
    made: Any = KINDS[kind_of(recipe)][1]
    return made(recipe, data)


def recipe_of(name: str) -> AnyRecipe:
    """Return the recipe of a packaged model of any kind.

    Raises:
        InputError: there is none of that name; the nearest ones are given.
    """
    every: dict[str, AnyRecipe] = {**RECIPES, **ADVERSARIAL_RECIPES, **CONTROL_RECIPES}
    if name not in every:
        raise unknown(name, every, "recipe")
    return every[name]
