"""Recipes: everything that makes a trained network, by name."""

from quant.errors import SpikeloomError

from .base import Recipe
from .digits import DIGITS
from .images import IMAGES
from .surrogate import SurrogateRecipe
from .ttfs import TtfsRecipe

__all__ = ["RECIPES", "Recipe", "RecipeError", "SurrogateRecipe", "TtfsRecipe", "find"]

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (*DIGITS, *IMAGES)}


class RecipeError(SpikeloomError, ValueError):
    """A recipe that does not exist."""


def find(name: str) -> Recipe:
    """Recipe of that name.

    Raises
    ------
    RecipeError
        If there is none.
    """
    if name not in RECIPES:
        raise RecipeError(f"Recipe must be one of {', '.join(RECIPES)}, not {name!r}")
    return RECIPES[name]
