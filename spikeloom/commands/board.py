"""Verbs around a board, and what is known: flash, load, run, report, boards."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ..options import Data, Inputs, Json, Model, Out, integers_of, samples_of, workspace_of
from ..planning import PlanOptions, design_options, network_for, planning
from ..screen import Screen
from ..source import UsageError, find_source
from ..workspace import REPORT_FILE, read_report

__all__ = ["boards", "flash", "load", "report", "run"]

# A sample of a large network, cell by cell.
_SIMULATED_S = 300.0


def flash(
    place: Annotated[
        str, typer.Argument(metavar="BITSTREAM", help="A bitstream, the folder of a build, or a model that was built.")
    ],
    board: Annotated[str | None, typer.Option("--board", "-b", help="Default: the one that it was built for.")] = None,
    permanent: Annotated[
        bool | None, typer.Option("--permanent/--temporary", help="Into the board's memory, or its chip alone.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, and say what would be run.")] = False,
    as_json: Json = False,
) -> None:
    """Load a bitstream onto a board."""
    from boards.flash import flash as flash_board

    from ..board import bitstream_place
    from ..tables import facts

    screen = Screen(as_json=as_json)
    with screen.busy("Flashing"):
        result = flash_board(bitstream_place(place, board), board, permanent=permanent, dry_run=dry_run)
    words = {"bitstream": result.bitstream, "command": result.shell, "done": "yes" if result.done else "dry run"}
    screen.show(result.as_dict(), facts(f"Flash of {result.board}", words))
    if result.to_load:
        screen.say("Weights must be loaded now, and after every configuration: see spikeloom load")


def load(
    model: Model,
    port: Annotated[str, typer.Option("--port", "-p", help="Serial port of the board.")],
    build: Annotated[
        Path | None, typer.Option("--build", help="Folder of the build that is on the board; default: MODEL's own.")
    ] = None,
    board: Annotated[str | None, typer.Option("--board", "-b", help="Of MODEL's builds, the one for this.")] = None,
    baud: Annotated[int | None, typer.Option("--baud", help="As built.")] = None,
    data: Data = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Load weights into a board that was built with --reloadable or --spram."""
    from boards.link import DEFAULT_BAUD, Link

    from ..board import bitstream_place
    from ..loading import built_image, load_board
    from ..tables import facts

    screen = Screen(as_json=as_json)
    source = find_source(model)
    workspace = workspace_of(source, out)
    network = integers_of(source, workspace, screen, data)
    image = built_image(network, bitstream_place(str(workspace.folder), board) if build is None else build)
    with screen.progress() as advance, Link(port, baud=DEFAULT_BAUD if baud is None else baud) as link:
        result = load_board(image, link, progress=lambda done, total: advance("Loading weights", done, total))
    workspace.record(network, "load", result.as_dict())
    words = {"weights": f"{result.bytes} bytes", "checksum": f"{result.weights_crc:08x}, read back"}
    screen.show(result.as_dict(), facts(f"{result.network} at {result.port}", words))


@planning
def run(
    model: Model,
    port: Annotated[str | None, typer.Option("--port", "-p", help="Serial port of the board.")] = None,
    simulate: Annotated[bool, typer.Option("--simulate", help="On a simulated board instead.")] = False,
    netlist: Annotated[
        bool, typer.Option("--netlist", help="Simulate what Yosys makes of it for --board, cell by cell.")
    ] = False,
    board: Annotated[str | None, typer.Option("--board", "-b", help="Board that was built for.")] = None,
    baud: Annotated[int | None, typer.Option("--baud", help="As built.")] = None,
    *,
    wanted: PlanOptions,
    samples: Annotated[int | None, typer.Option("--samples", help="So many; default: 100, or all of a file.")] = None,
    inputs: Inputs = None,
    data: Data = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Run samples on a board, and compare its answers with the golden model."""
    from boards.board import find_board
    from boards.link import DEFAULT_BAUD, Link
    from boards.netlist import synthesise
    from sim.board import generated, simulated_board

    from ..board import run_board
    from ..loading import check_built, known_weights
    from ..tables import board_run_table

    if simulate == (port is not None):
        raise UsageError("Board must be given by --port, or else --simulate")
    if netlist and (board is None or not simulate):
        raise UsageError("Netlist must be for a simulated board: give --simulate and --board, too")
    screen = Screen(as_json=as_json)
    source = find_source(model)
    workspace = workspace_of(source, out)
    count = 100 if samples is None and inputs is None else samples
    chosen = samples_of(source, inputs=inputs, data=data, count=count)
    network = network_for(source, workspace, screen, wanted, board=board, data=data)
    if simulate:
        hardware, _ = design_options(network, board, screen, wanted, data=data)
        sources = partial(synthesise, board=find_board(board)) if netlist and board else generated
    else:
        check_built(network, workspace, board)
    with screen.progress() as advance, ExitStack() as stack:
        place = str(port)
        build_hash: str | None
        if simulate:
            advance("Synthesis of the simulated board" if netlist else "Compiling the simulated board", 0, 1)
            simulated = stack.enter_context(simulated_board(network, sources=sources, **hardware))
            place = simulated.port
        patience = {"timeout_s": _SIMULATED_S} if simulate else {}
        link = stack.enter_context(Link(place, baud=DEFAULT_BAUD if baud is None else baud, **patience))
        if simulate:
            build_hash, weights = simulated.build_hash, [simulated.image.crc]
            if link.info().image_bytes:
                link.load(simulated.image, progress=lambda done, total: advance("Loading weights", done, total))
        else:
            build_hash, weights = known_weights(network, workspace, link.info(), board)
        result = run_board(
            network,
            chosen,
            link,
            build_hash=build_hash,
            weights=weights,
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
