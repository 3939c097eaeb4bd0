"""Options that several commands have."""

from pathlib import Path
from typing import Annotated, Any

import typer
from numpy.typing import NDArray

from quant.ir import Network
from quant.rounding import TERNARY, Width

from .pipeline import integers
from .samples import Samples, dataset_samples, file_samples, random_samples
from .screen import Screen
from .source import Source, UsageError
from .workspace import Workspace

__all__ = [
    "BoardName",
    "Calibration",
    "Clock",
    "Data",
    "EarlyStop",
    "Inputs",
    "Json",
    "Model",
    "Out",
    "PlanBoard",
    "RandomInputs",
    "calibration_of",
    "integers_of",
    "samples_of",
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
Calibration = Annotated[
    Path | None,
    typer.Option("--calibration", help="Samples to calibrate on, a .npy or .npz of inputs; default: training samples."),
]
RandomInputs = Annotated[bool, typer.Option("--random", help="Samples at random instead of the data set's.")]
EarlyStop = Annotated[bool, typer.Option(help="With first_spike, stop a sample at its first output spike.")]
Clock = Annotated[float | None, typer.Option("--clock", help="MHz of the network; default: the board's.")]
BoardName = Annotated[str, typer.Option("--board", "-b", help="One of `spikeloom boards`.")]
PlanBoard = Annotated[
    str | None, typer.Option("--board", "-b", help="Take the lanes and memories of a build for this board.")
]


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


def calibration_of(source: Source, path: Path | None) -> NDArray[Any] | None:
    """Samples of a file to calibrate a float network on, if the user has named one.

    Raises
    ------
    UsageError
        If the network is already in integers.
    """
    if path is not None and source.model is None:
        raise UsageError(f"Option --calibration must be given with a float network, not with {source.argument}")
    return None if path is None else file_samples(path).inputs


def workspace_of(source: Source, out: Path | None) -> Workspace:
    """Where the files go."""
    return Workspace(folder=source.folder if out is None else out)


def integers_of(
    source: Source, workspace: Workspace, screen: Screen, data: Path | None, calibration: Path | None = None
) -> Network:
    """The integer network, which is made and saved if the user has named another."""
    network = integers(source, workspace, data=data, inputs=calibration_of(source, calibration))
    if source.network is None:
        screen.say(f"Integer network: {workspace.network}")
    return network
