"""Report: what a co-simulation compared, and found."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

from quant.errors import CheckError

from .compare import Comparison
from .shards import Rig, ShardResult

__all__ = ["CosimReport", "add_up"]


@dataclass(frozen=True, kw_only=True)
class CosimReport:
    """What a co-simulation compared, and found.

    Parameters
    ----------
    network : str
        Its name.
    samples : int
    populations : tuple of str
    spikes, membranes, currents : int
        How many spikes of the golden model, membranes and, of second order, currents were compared with the hardware's.
    spike_mismatches, membrane_mismatches, current_mismatches : int
        Neurons and steps in which they differ, or in which the hardware's are missing.
    answer_mismatches : int
        Samples whose scores or answer differ.
    stream_mismatches : int
        Streams with missing, repeated or disordered words, by shard.
    first_difference : str
        In words; empty if there is none.
    cycles : tuple of int
        By sample: from the transfer of its first input beat to that of its answer, both included.
    cycles_predicted : tuple of int
        By sample: what the cycle model says of a sample alone and without stalls. Empty if samples were not isolated.
    total_cycles : int
        Cycles of all simulators.
    simulator, version : str
    isolate : bool
        Whether a sample was sent after the answer of the one before.
    stall : float
        Share of the cycles in which a stream stalled.
    seed : int
    seconds : float
        Time of the simulation, golden model and comparison included, compilation not.
    jobs : int
        Simulators at a time.
    resumed : int
        Samples that an earlier run has done: these are in no time.
    """

    network: str
    samples: int
    populations: tuple[str, ...]
    spikes: int
    membranes: int
    currents: int = 0
    spike_mismatches: int
    membrane_mismatches: int
    current_mismatches: int = 0
    answer_mismatches: int
    stream_mismatches: int
    first_difference: str
    cycles: tuple[int, ...]
    cycles_predicted: tuple[int, ...]
    total_cycles: int
    simulator: str
    version: str
    isolate: bool
    stall: float
    seed: int
    seconds: float
    jobs: int = 1
    resumed: int = 0

    @property
    def mismatches(self) -> int:
        """All of them; 0 if hardware and golden model are equal."""
        neurons = self.spike_mismatches + self.membrane_mismatches + self.current_mismatches
        return neurons + self.answer_mismatches + self.stream_mismatches

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        values = {**asdict(self), "mismatches": self.mismatches}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}

    def check(self) -> None:
        """Raise a CheckError that names the first difference, if there is one."""
        if self.mismatches:
            raise CheckError(f"{self.mismatches} mismatches on {self.simulator}; {self.first_difference}")


def add_up(rig: Rig, results: Iterable[ShardResult], *, seconds: float, jobs: int, resumed: int) -> CosimReport:
    """Report of all shards; the last three are its fields."""
    ordered = sorted(results, key=lambda result: result.start)
    comparisons = [result.comparison for result in ordered]
    names = [item.name for item in fields(Comparison) if item.name != "first_difference"]
    return CosimReport(
        **{name: sum(getattr(item, name) for item in comparisons) for name in names},
        network=rig.network.name,
        samples=len(rig.inputs),
        populations=rig.network.order,
        first_difference=next((item.first_difference for item in comparisons if item.first_difference), ""),
        cycles=tuple(cycles for result in ordered for cycles in result.cycles),
        cycles_predicted=tuple(cycles for result in ordered for cycles in result.cycles_predicted),
        total_cycles=sum(result.total_cycles for result in ordered),
        simulator=rig.simulator.name,
        version=rig.simulator.version,
        isolate=rig.options.isolate,
        stall=rig.options.stall,
        seed=rig.options.seed,
        seconds=seconds,
        jobs=jobs,
        resumed=resumed,
    )
