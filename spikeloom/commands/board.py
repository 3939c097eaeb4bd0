"""Verbs around a board, and what is known: flash, run, report, boards."""

from pathlib import Path
from typing import Annotated

import typer

from ..options import Data, Inputs, Json, Model, Out, integers_of, samples_of, workspace_of
from ..screen import Screen
from ..source import find_source
from ..workspace import REPORT_FILE, read_report

__all__ = ["boards", "report", "run"]


def run(
    model: Model,
    port: Annotated[str, typer.Option("--port", "-p", help="Serial port of the board.")],
    board: Annotated[str | None, typer.Option("--board", "-b", help="Board that was built for.")] = None,
    baud: Annotated[int | None, typer.Option("--baud", help="As built.")] = None,
    samples: Annotated[int | None, typer.Option("--samples", help="So many; default: 100, or all of a file.")] = None,
    inputs: Inputs = None,
    data: Data = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Run samples on a board, and compare its answers with the golden model."""
    from boards.link import DEFAULT_BAUD, Link

    from ..board import built_hash, run_board
    from ..tables import board_run_table

    screen = Screen(as_json=as_json)
    source = find_source(model)
    workspace = workspace_of(source, out)
    count = 100 if samples is None and inputs is None else samples
    chosen = samples_of(source, inputs=inputs, data=data, count=count)
    network = integers_of(source, workspace, screen, data)
    build_hash = built_hash(network, workspace, board)
    with Link(port, baud=DEFAULT_BAUD if baud is None else baud) as link, screen.progress() as advance:
        result = run_board(
            network,
            chosen,
            link,
            build_hash=build_hash,
            progress=lambda done: advance("Running on the board", done, len(chosen)),
        )
    workspace.record(network, "run", result.as_dict())
    screen.show(result.as_dict(), board_run_table(result))
    result.check()


def report(
    place: Annotated[str, typer.Argument(metavar="FOLDER", help="Folder of a network, or a recipe's name.")],
    as_json: Json = False,
) -> None:
    """What the steps have found of a network."""
    from ..tables import report_table

    folder = find_source(place).folder if not Path(place).exists() else Path(place)
    path = folder if folder.is_file() else folder / REPORT_FILE
    found = read_report(path)
    Screen(as_json=as_json).show(found, report_table(found))


def boards(as_json: Json = False) -> None:
    """Boards that can be built for."""
    from ..tables import boards_rows, table

    rows = boards_rows()
    columns = ("name", "title", "device", "logic cells", "block RAMs", "DSPs", "MHz")
    keys = ("name", "title", "device", "logic_cells", "block_rams", "dsps", "default_clock_mhz")
    made = table("Boards", columns, [[row[key] for key in keys] for row in rows], left=("title", "device"))
    Screen(as_json=as_json).show({"boards": rows}, made)
