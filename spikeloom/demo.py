"""Demo: from a trained network to a bitstream, with every proof on the way, in one table."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from rich.table import Table

from hw.lanes import Lanes
from quant.errors import CheckError

from . import pipeline
from .samples import dataset_samples
from .screen import Advance
from .source import find_source
from .tables import estimate_words, facts, lanes_words, percent, resource_words, span
from .workspace import Workspace

__all__ = ["DemoResult", "demo", "demo_table"]

_STALL = 0.3


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What the demo found.

    Parameters
    ----------
    recipe : str
    float_accuracy, accuracy : float
        Of the float and of the integer network on all test samples, 0 to 1.
    test_samples : int
        Number of them.
    samples : int
        Samples co-simulated.
    spikes, membranes, mismatches : int
        What was compared of them, and how much of that differs.
    stalled_mismatches : int
        The same of a second run in which every stream stalls at random.
    cycles_predicted, cycles_measured : tuple of int
        By sample.
    board : str
    fmax_mhz, clock_mhz : float
    timing_met : bool
    resources : mapping
        By name, how many are ``used`` and ``available``.
    plan : mapping
        As of :meth:`boards.planner.Choice.as_dict`.
    estimate_off : mapping
        By how much of what is used the estimate was too high, by resource.
    bitstream : Path
    """

    recipe: str
    float_accuracy: float
    accuracy: float
    test_samples: int
    samples: int
    spikes: int
    membranes: int
    mismatches: int
    stalled_mismatches: int
    first_difference: str
    cycles_predicted: tuple[int, ...]
    cycles_measured: tuple[int, ...]
    board: str
    fmax_mhz: float
    clock_mhz: float
    timing_met: bool
    resources: Mapping[str, Mapping[str, int]]
    plan: Mapping[str, Any]
    estimate_off: Mapping[str, float]
    bitstream: Path

    def as_dict(self) -> dict[str, Any]:
        """As JSON values; cycles are means over the samples, mismatches those of both runs. The report has the plan."""
        return {
            "float_accuracy": self.float_accuracy,
            "accuracy": self.accuracy,
            "samples": self.samples,
            "spikes": self.spikes,
            "mismatches": self.mismatches + self.stalled_mismatches,
            "cycles_predicted": mean(self.cycles_predicted),
            "cycles_measured": mean(self.cycles_measured),
            "board": self.board,
            "fmax_mhz": self.fmax_mhz,
            "clock_mhz": self.clock_mhz,
            "timing_met": self.timing_met,
            "resources": self.resources,
            "bitstream": str(self.bitstream),
        }

    def check(self) -> None:
        """Raise a CheckError if hardware and golden model differ, or the timing is not met."""
        mismatches = self.mismatches + self.stalled_mismatches
        if mismatches:
            raise CheckError(f"{mismatches} mismatches; {self.first_difference}")
        if self.cycles_predicted != self.cycles_measured:
            raise CheckError("Cycles are not those that were predicted")
        if not self.timing_met:
            raise CheckError(f"Timing must be met at {self.clock_mhz:g} MHz, but {self.fmax_mhz:.2f} MHz was reached")


def demo(
    recipe: str,
    *,
    board: str = "icebreaker",
    samples: int = 100,
    lanes: Lanes = None,
    clock_hz: float | None = None,
    folder: Path | None = None,
    progress: Advance = lambda stage, done, total: None,
) -> DemoResult:
    """Quantize a recipe's checkpoint, measure it, co-simulate it, and build it for a board.

    Parameters
    ----------
    recipe : str
        With a checkpoint that comes with the package.
    board : str
    samples : int
        Test samples to co-simulate: once with stalls, and once one after the other, which gives the cycles.
    lanes : int or mapping of str to int, optional
        As of :func:`boards.planner.choose`. What is simulated is what is built.
    clock_hz : float, optional
        Default: the board's.
    folder : Path, optional
        Where the files go; default ``build/<recipe>``.
    progress : callable
    """
    from boards.board import find_board

    find_board(board)
    source = find_source(recipe)
    workspace = Workspace(folder=source.folder if folder is None else folder)
    progress("Quantizing and measuring", 0, 1)
    network, _ = pipeline.quantize(source, workspace)
    everything = dataset_samples(network.metadata, network.steps)
    evaluation = pipeline.evaluate(network, everything, workspace, reference=source.reference)
    choice = pipeline.plan(network, board, lanes=lanes)
    hardware = choice.options
    pipeline.generate(network, workspace, **hardware)

    def simulating(stage: str, done: int, total: int) -> None:
        progress(f"{stage}, sample by sample", done, total)

    def stalling(stage: str, done: int, total: int) -> None:
        progress(f"{stage}, with stalls", done, total)

    chosen = everything.first(samples)
    stalled = pipeline.cosim(network, chosen, workspace, **hardware, stall=_STALL, progress=stalling)
    alone = pipeline.cosim(network, chosen, workspace, **hardware, isolate=True, progress=simulating)
    built = pipeline.build(
        network,
        board,
        workspace,
        choice=choice,
        clock_hz=clock_hz,
        progress=lambda stage, line: progress(f"{stage.capitalize()}\n{line}", 0, 1),
    )
    comparison = evaluation.comparison
    assert comparison is not None
    assert comparison.float_accuracy is not None
    assert comparison.accuracy is not None
    return DemoResult(
        recipe=recipe,
        float_accuracy=comparison.float_accuracy,
        accuracy=comparison.accuracy,
        test_samples=len(everything),
        samples=alone.samples,
        spikes=alone.spikes,
        membranes=alone.membranes,
        mismatches=alone.mismatches,
        stalled_mismatches=stalled.mismatches,
        first_difference=alone.first_difference or stalled.first_difference,
        cycles_predicted=alone.cycles_predicted,
        cycles_measured=alone.cycles,
        board=built.board,
        fmax_mhz=built.fmax_mhz,
        clock_mhz=built.clock_mhz,
        timing_met=built.timing_met,
        resources=built.resources,
        plan=built.plan,
        estimate_off=built.estimate_off,
        bitstream=built.bitstream,
    )


def demo_table(result: DemoResult) -> Table:
    """The demo for a terminal."""
    seconds = mean(result.cycles_measured) / result.clock_mhz / 1e6
    return facts(
        f"Spikeloom, {result.recipe}",
        {
            "accuracy, float network": f"{percent(result.float_accuracy)} of {result.test_samples} held-out samples",
            "accuracy, integer network": percent(result.accuracy),
            "samples co-simulated": f"{result.samples}, and the same with stalls on every stream",
            "spikes compared": f"{result.spikes}",
            "membranes compared": f"{result.membranes}",
            "differences": f"{result.mismatches}, with stalls {result.stalled_mismatches}",
            "cycles a sample, predicted": span(result.cycles_predicted),
            "cycles a sample, measured": span(result.cycles_measured),
            "board": result.board,
            "lanes": lanes_words(result.plan),
            "resources": resource_words(result.resources),
            "estimated before": estimate_words(result.plan, result.estimate_off),
            "clock": f"{result.clock_mhz:g} MHz used, {result.fmax_mhz:.2f} MHz reached, timing "
            f"{'met' if result.timing_met else 'NOT MET'}",
            "time a sample": f"{seconds * 1e6:.1f} us",
            "bitstream": result.bitstream,
        },
    )
