"""Verbs that hand a network to other tools: export."""

from pathlib import Path
from typing import Annotated

import typer

from ..options import Json, Model
from ..screen import Screen
from ..source import UsageError, find_source

__all__ = ["export"]


def export(
    model: Model,
    nir: Annotated[Path, typer.Option("--nir", help="The NIR file to write.")],
    as_json: Json = False,
) -> None:
    """Write a float network as a NIR file, with metadata for what NIR does not say."""
    from quant.importers.nir_export import to_nir

    screen = Screen(as_json=as_json)
    source = find_source(model)
    if source.model is None:
        raise UsageError(f"Model must be a recipe or a float network, and {source.argument} is already in integers")
    to_nir(source.model, nir)
    populations = [item.name for item in source.model.populations]
    values = {"network": source.model.name, "nir": str(nir), "populations": populations}
    screen.show(values, f"NIR file of {source.model.name}: {nir}, populations {', '.join(populations)}")
