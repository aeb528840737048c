"""Acting: decision processes solved exactly and by tables, and networks that learn to act."""

from recipes.control.playing import play
from recipes.control.pretrained import CONTROL_RECIPES
from recipes.control.recipe import ControlRecipe
from recipes.control.run import ControlRun
from recipes.control.training import train_control

__all__ = ["CONTROL_RECIPES", "ControlRecipe", "ControlRun", "play", "train_control"]
