"""Board: samples on a board at a serial port, beside the golden model."""

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from boards.board import BOARDS, find_board
from boards.build import REPORT
from boards.link import Link
from boards.messages import Answer
from quant.errors import CheckError
from quant.ir import Network
from quant.result import Result
from sim import golden

from .samples import Samples
from .source import UsageError, find_source
from .workspace import Workspace, read_report

__all__ = ["BoardRun", "bitstream_place", "built_hash", "run_board", "steps_of"]

_BUILD = "build "


@dataclass(frozen=True, kw_only=True)
class BoardRun:
    """What a board answered.

    Parameters
    ----------
    network : str
    port : str
    build_hash : str
        What is on the board.
    samples : int
    accuracy : float or None
        Share of the board's answers that are right, 0 to 1; None without labels.
    mismatches : int
        Samples whose answer, scores or spike counts are not the golden model's.
    first_difference : str
        In words; empty if there is none.
    cycles : tuple of int
        By sample, as the board counts them: from the end of the frame to the first score.
    clock_hz : int
    """

    network: str
    port: str
    build_hash: str
    samples: int
    accuracy: float | None
    mismatches: int
    first_difference: str
    cycles: tuple[int, ...]
    clock_hz: int

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "cycles": list(self.cycles)}

    def check(self) -> None:
        """Raise a CheckError that names the first difference, if there is one."""
        if self.mismatches:
            raise CheckError(
                f"{self.mismatches} of {self.samples} samples differ on the board; {self.first_difference}"
            )


def bitstream_place(argument: str, board: str | None) -> Path:
    """A bitstream's file, or the folder of a build: of ``board``, or of the only one.

    Parameters
    ----------
    argument : str
        Such a file or folder, or what :func:`spikeloom.source.find_source` takes, or the folder of its files.
    board : str, optional

    Raises
    ------
    UsageError
        If nothing was built, or for several boards.
    """
    place = Path(argument)
    if place.suffix in {item.suffix for item in BOARDS.values()} or place.resolve().name in BOARDS:
        return place
    folder = place if place.is_dir() else find_source(argument).folder
    built = [name for name in BOARDS if (folder / name / REPORT).is_file()]
    if board is None and len(built) == 1:
        return folder / built[0]
    if board is not None and find_board(board).name in built:
        return folder / find_board(board).name
    what = f"one of {', '.join(built)}" if built else "built for first: see `spikeloom build`"
    raise UsageError(f"Board of {folder} must be {what}" + (f", not {board}" if board else ""))


def steps_of(network: Network, workspace: Workspace) -> dict[str, Any]:
    """What the steps have found of this very network."""
    found = read_report(workspace.report) if workspace.report.exists() else {}
    return found if found.get("digest") == network.digest else {}


def built_hash(network: Network, workspace: Workspace, board: str | None) -> str | None:
    """Hash of what was built of the network in the workspace for a board, or for the only one; None if not known.

    Raises
    ------
    UsageError
        If it was not built for ``board``.
    """
    builds = {
        step.removeprefix(_BUILD): values
        for step, values in steps_of(network, workspace).items()
        if step.startswith(_BUILD) and isinstance(values, dict)
    }
    if board is not None and board not in builds:
        built = f"only for {', '.join(builds)}" if builds else "for no board"
        raise UsageError(f"Network {network.name} must be built for {board}; in {workspace.folder} it is {built}")
    if board is None and len(builds) != 1:
        return None
    return str(builds[board or next(iter(builds))].get("build_hash"))


def run_board(
    network: Network,
    samples: Samples,
    link: Link,
    *,
    build_hash: str | None = None,
    weights: Collection[int] = (),
    progress: Callable[[int], None] = lambda done: None,
) -> BoardRun:
    """Run samples on a board, and compare what it answers with the golden model.

    Spike counts are compared too, unless the network stops at its first output spike: then fewer are counted.

    Parameters
    ----------
    network : Network
    samples : Samples
    link : Link
        To the board.
    build_hash : str, optional
        What the board must hold.
    weights : collection of int
        Checksums of weights, one of which it must hold if they can be loaded; any if there are none.
    progress : callable
        Called with the number of samples done.

    Raises
    ------
    LinkError
        If the board holds something else, refuses a sample or does not answer.
    """
    link.check(network, build_hash, weights)
    expected = golden.run(network, samples.inputs)
    answers = []
    for index, sample in enumerate(samples.inputs):
        answers.append(link.run(sample))
        progress(index + 1)
    differences = [_difference(network, index, answer, expected) for index, answer in enumerate(answers)]
    found = [difference for difference in differences if difference]
    right = None if samples.labels is None else [item.answer for item in answers] == samples.labels
    return BoardRun(
        network=network.name,
        port=link.port,
        build_hash=link.info().build_hash,
        samples=len(samples),
        accuracy=None if right is None else float(np.mean(right)),
        mismatches=len(found),
        first_difference=found[0] if found else "",
        cycles=tuple(answer.cycles for answer in answers),
        clock_hz=link.info().clock_hz,
    )


def _difference(network: Network, sample: int, answer: Answer, expected: Result) -> str:
    """The first thing in which the board's answer is not the golden model's, in words."""
    pairs = [("answer", int(expected.answers[sample]), answer.answer)]
    pairs += [
        (f"score of class {index}", int(golden_score), score)
        for index, (golden_score, score) in enumerate(zip(expected.scores[sample], answer.scores, strict=True))
    ]
    if network.readout.kind != "first_spike":
        pairs += [
            (f"spikes of population {name!r}", int(expected.totals[name][sample]), spikes)
            for name, spikes in zip(network.order, answer.spikes, strict=True)
        ]
    for what, wanted, found in pairs:
        if wanted != found:
            return f"sample {sample}, {what}: golden {wanted}, board {found}"
    return ""
