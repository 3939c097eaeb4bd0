"""Options that several commands have."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from boards.board import find_board
from quant.ir import Network
from quant.rounding import TERNARY, Width

from .pipeline import integers, plan
from .samples import Samples, dataset_samples, file_samples, random_samples
from .screen import Screen
from .source import Source, UsageError
from .workspace import Workspace

if TYPE_CHECKING:
    from boards.planner import Choice

__all__ = [
    "BoardName",
    "Clock",
    "Data",
    "EarlyStop",
    "Inputs",
    "Json",
    "LanesText",
    "Model",
    "Out",
    "PlanBoard",
    "RandomInputs",
    "Reloadable",
    "Smallest",
    "SpramText",
    "TargetLatency",
    "design_options",
    "integers_of",
    "lanes_of",
    "plan_for",
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
PlanBoard = Annotated[
    str | None, typer.Option("--board", "-b", help="Take the lanes and memories of a build for this board.")
]
Smallest = Annotated[bool, typer.Option("--smallest", help="A lane a core: the smallest plan.")]
TargetLatency = Annotated[
    str | None, typer.Option("--target-latency", help="No more lanes than this takes: 1ms, 500us, or 2000 cycles.")
]
Reloadable = Annotated[bool, typer.Option("--reloadable", help="Weights can be loaded through the link.")]
SpramText = Annotated[
    str | None, typer.Option("--spram", help="Weights of these populations in SPRAM: hidden,out. They must be loaded.")
]

_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def lanes_of(text: str | None) -> int | dict[str, int] | None:
    """Lanes as the user wrote them.

    Raises
    ------
    UsageError
        If they are not numbers.
    """
    if text is None:
        return None
    try:
        if "=" not in text:
            return int(text)
        pairs = [part.split("=") for part in text.split(",")]
        return {name.strip(): int(number) for name, number in pairs}
    except ValueError:
        raise UsageError(f"Lanes must be a number, or population=number with commas between, not {text!r}") from None


def plan_for(
    network: Network,
    board: str,
    screen: Screen,
    *,
    lanes: str | None,
    storage: str | dict[str, str] = "rom",
    smallest: bool = False,
    target: str | None = None,
    clock: float | None = None,
    early_stop: bool = True,
    data: Path | None = None,
) -> "Choice":
    """The plan of a network on a board, as the user wants it; a message says what limits it.

    Raises
    ------
    SpikeloomError
        If an option is wrong, or no plan fits.
    """
    if smallest and target is not None:
        raise UsageError("Plan must be steered by --smallest or by --target-latency, not by both")
    clock_hz = find_board(board).default_clock_hz if clock is None else clock * 1e6
    with screen.busy("Planning"):
        choice = plan(
            network,
            board,
            lanes=lanes_of(lanes),
            storage=storage,
            smallest=smallest,
            target_cycles=None if target is None else _cycles(target, clock_hz),
            early_stop=early_stop,
            data=data,
        )
    lanes_found = ", ".join(f"{core.name} {core.lanes}" for core in choice.plan.cores)
    screen.say(f"Lanes: {lanes_found}; {choice.interval:,.0f} cycles between samples: {choice.reason}")
    return choice


def design_options(
    network: Network,
    board: str | None,
    screen: Screen,
    *,
    lanes: str | None,
    storage: str | dict[str, str],
    smallest: bool = False,
    target: str | None = None,
    early_stop: bool = True,
    data: Path | None = None,
) -> "tuple[dict[str, Any], Choice | None]":
    """Options of :func:`hw.plan.plan_network`: what the user wrote; or those of a build for ``board``, and its plan.

    Errors are those of :func:`plan_for`.
    """
    if board is not None:
        choice = plan_for(
            network,
            board,
            screen,
            lanes=lanes,
            storage=storage,
            smallest=smallest,
            target=target,
            early_stop=early_stop,
            data=data,
        )
        return choice.options, choice
    if smallest or target is not None:
        raise UsageError(
            f"Plan must be for a board, with --board, to take {'--smallest' if smallest else '--target-latency'}"
        )
    return {"lanes": lanes_of(lanes), "storage": storage}, None


def _cycles(text: str, clock_hz: float) -> float:
    """Cycles of a latency as the user wrote it: a number of cycles, or a time."""
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*(s|ms|us|ns|cycles)", text.strip())
    if not found or not float(found[1]):
        raise UsageError(f"Latency must be a time such as 1ms or 500us, or 2000cycles, not {text!r}")
    number, unit = float(found[1]), found[2]
    return number if unit == "cycles" else number * _UNITS[unit] * clock_hz


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
