"""Recipes: everything that makes a trained network, by name."""

from quant.errors import SpikeloomError

from .base import Recipe
from .digits import DIGITS
from .events import EVENTS
from .images import IMAGES
from .spide import SPIDE, SpideRecipe
from .study import STUDY
from .surrogate import SurrogateRecipe
from .ttfs import TTFS, TtfsRecipe

__all__ = ["RECIPES", "Recipe", "RecipeError", "SpideRecipe", "SurrogateRecipe", "TtfsRecipe", "find"]

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (*DIGITS, *IMAGES, *EVENTS, *STUDY, *TTFS, *SPIDE)}


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
