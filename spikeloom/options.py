"""Options that several commands have."""

from pathlib import Path
from typing import Annotated, Any

import typer

from boards.board import find_board
from quant.ir import Network
from quant.rounding import TERNARY, Width

from .pipeline import integers
from .samples import Samples, dataset_samples, file_samples, random_samples
from .screen import Screen
from .source import Source, UsageError
from .workspace import Workspace

__all__ = [
    "BoardName",
    "Clock",
    "Data",
    "EarlyStop",
    "Inputs",
    "Json",
    "LanesBoard",
    "LanesText",
    "Model",
    "Out",
    "RandomInputs",
    "Reloadable",
    "SpramText",
    "design_options",
    "integers_of",
    "lanes_of",
    "samples_of",
    "storage_of",
    "width_list",
    "widths_of",
    "workspace_of",
]

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="A recipe's name, or the file of a float or an integer network.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the files; default build/NAME.")]
Data = Annotated[Path | None, typer.Option("--data", help="Folder of the data set's files.")]
Inputs = Annotated[
    Path | None, typer.Option("--inputs", help="Samples: a .npy of inputs, or a .npz of inputs and labels.")
]
RandomInputs = Annotated[bool, typer.Option("--random", help="Samples at random instead of the data set's.")]
LanesText = Annotated[
    str | None, typer.Option("--lanes", help="Synaptic operations a cycle: 16, or by population, hidden=32,out=10.")
]
EarlyStop = Annotated[bool, typer.Option(help="With first_spike, stop a sample at its first output spike.")]
Clock = Annotated[float | None, typer.Option("--clock", help="MHz of the network; default: the board's.")]
BoardName = Annotated[str, typer.Option("--board", "-b", help="One of `spikeloom boards`.")]
LanesBoard = Annotated[
    str | None, typer.Option("--board", "-b", help="Take the lanes and banks of a build for this board.")
]
Reloadable = Annotated[bool, typer.Option("--reloadable", help="Weights can be loaded through the link.")]
SpramText = Annotated[
    str | None, typer.Option("--spram", help="Weights of these populations in SPRAM: hidden,out. They must be loaded.")
]


def lanes_of(text: str | None, board: str | None = None) -> int | dict[str, int] | None:
    """Lanes as the user wrote them, else those of a build for ``board``.

    Raises
    ------
    UsageError
        If they are not numbers.
    BoardError
        If the board is not known.
    """
    if text is None:
        return None if board is None else find_board(board).lanes
    try:
        if "=" not in text:
            return int(text)
        pairs = [part.split("=") for part in text.split(",")]
        return {name.strip(): int(number) for name, number in pairs}
    except ValueError:
        raise UsageError(f"Lanes must be a number, or population=number with commas between, not {text!r}") from None


def storage_of(network: Network, *, reloadable: bool, spram: str | None) -> str | dict[str, str]:
    """Where weights lie, as of :func:`hw.plan.plan_network`.

    Raises
    ------
    UsageError
        If a population is not the network's.
    """
    if spram is None:
        return "ram" if reloadable else "rom"
    names = [name.strip() for name in spram.split(",")]
    for name in names:
        if name not in network.order:
            raise UsageError(f"SPRAM must be for one of {', '.join(network.order)}, not {name!r}")
    others = dict.fromkeys(network.order, "ram") if reloadable else {}
    return others | dict.fromkeys(names, "spram")


def design_options(
    network: Network, *, lanes: str | None, board: str | None, reloadable: bool, spram: str | None
) -> dict[str, Any]:
    """Options of :func:`hw.plan.plan_network`: what the user wrote, and what a build for ``board`` has."""
    from hw.port import BLOCK_RAMS

    return {
        "lanes": lanes_of(lanes, board),
        "storage": storage_of(network, reloadable=reloadable, spram=spram),
        "block_ram": None if board is None else BLOCK_RAMS[find_board(board).family],
    }


def widths_of(text: str | None) -> Width | dict[str, Width] | None:
    """Widths of weights as the user wrote them: one, or by population.

    Raises
    ------
    UsageError
        If they are not widths.
    """
    if text is None:
        return None
    if "=" not in text:
        return _width(text)
    pairs = [part.partition("=") for part in text.split(",")]
    widths = {name.strip(): _width(width) for name, _, width in pairs}
    if len(widths) < len(pairs):
        raise UsageError(f"Widths must be given once for each population, not {text!r}")
    return widths


def width_list(text: str) -> list[Width]:
    """Widths with commas between; errors as of :func:`widths_of`."""
    return [_width(part) for part in text.split(",")]


def _width(text: str) -> Width:
    word = text.strip()
    if word == TERNARY:
        return TERNARY
    if not (word.isascii() and word.isdigit() and len(word) < 5):
        raise UsageError(f"Width of weights must be a number of bits or {TERNARY}, not {text!r}")
    return int(word)


def samples_of(
    source: Source, *, inputs: Path | None, data: Path | None, count: int | None, at_random: bool = False, seed: int = 0
) -> Samples:
    """Samples that the user wants: the first ``count`` of a file or of the test set, or as many at random."""
    network = source.named
    if at_random:
        return random_samples(network.input, network.steps, count=100 if count is None else count, seed=seed)
    if inputs is not None:
        return file_samples(inputs).first(count)
    return dataset_samples(network.metadata, network.steps, folder=data).first(count)


def workspace_of(source: Source, out: Path | None) -> Workspace:
    """Where the files go."""
    return Workspace(folder=source.folder if out is None else out)


def integers_of(source: Source, workspace: Workspace, screen: Screen, data: Path | None) -> Network:
    """The integer network, which is made and saved if the user has named another."""
    network = integers(source, workspace, data=data)
    if source.network is None:
        screen.say(f"Integer network: {workspace.network}")
    return network
