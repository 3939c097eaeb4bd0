"""The verb that measures every network."""

from pathlib import Path
from typing import Annotated

import typer

from ..options import Json
from ..screen import Screen
from ..source import UsageError

__all__ = ["results"]


def results(
    only: Annotated[
        list[str] | None, typer.Option("--only", help="A recipe; may be given again. Default: all with checkpoints.")
    ] = None,
    data: Annotated[
        list[str] | None, typer.Option("--data", help="DATASET=FOLDER of a data set's files; may be given again.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of results.md, results.json and studies/.")] = Path(
        "docs"
    ),
    as_json: Json = False,
) -> None:
    """Measure the networks that come with the package on their whole test sets."""
    from ..results import JSON_FILE, PAGE_FILE
    from ..results import results as measure
    from ..tables import results_table

    screen = Screen(as_json=as_json)
    with screen.progress() as advance:
        found = measure(out, only=only or (), data=_folders(data or []), progress=advance, say=screen.say)
    screen.show(found.as_dict(), results_table(found.rows), f"Files: {out / PAGE_FILE}, {out / JSON_FILE}")


def _folders(texts: list[str]) -> dict[str, Path]:
    pairs = [text.partition("=") for text in texts]
    for text, (name, mark, folder) in zip(texts, pairs, strict=True):
        if not (name and mark and folder):
            raise UsageError(f"Data must be DATASET=FOLDER, not {text!r}")
    return {name: Path(folder) for name, _, folder in pairs}
