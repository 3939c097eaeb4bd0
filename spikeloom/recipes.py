"""Recipes: what can be trained by name, and what the checkpoints that come with the package reach."""

from typing import Any

from rich.table import Table

from quant.model import load_model
from snn.recipes import RECIPES, Recipe

from .source import checkpoint
from .tables import percent, table

__all__ = ["recipe_rows", "recipes_table"]


def recipe_rows() -> list[dict[str, Any]]:
    """All recipes, as JSON values."""
    return [_row(recipe) for recipe in RECIPES.values()]


def _row(recipe: Recipe) -> dict[str, Any]:
    path = checkpoint(recipe, integers=True)
    metadata = load_model(path).metadata if path.is_file() else {}
    return {
        "name": recipe.name,
        "summary": recipe.summary,
        "dataset": recipe.dataset,
        "neuron": recipe.neuron,
        "layers": recipe.layers,
        "steps": recipe.steps,
        "weight_bits": recipe.weight_bits,
        "readout": recipe.readout,
        "checkpoint": str(path) if path.is_file() else None,
        "float_accuracy": metadata.get("float_accuracy"),
        "accuracy": metadata.get("accuracy"),
    }


def recipes_table(rows: list[dict[str, Any]]) -> Table:
    """The rows for a terminal."""
    columns = ("recipe", "what it is", "data set", "steps", "weights", "float", "integer")
    cells = [
        (
            row["name"],
            row["summary"],
            row["dataset"],
            row["steps"],
            f"{row['weight_bits']} bits",
            percent(row["float_accuracy"]) if row["checkpoint"] else "to train",
            percent(row["accuracy"]),
        )
        for row in rows
    ]
    return table("Recipes", columns, cells, left=("what it is", "data set"))
