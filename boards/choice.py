"""Choice: a plan of the cores for a board, and what is expected of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hw.plan import CorePlan, NetworkPlan
from hw.port import BLOCK_RAMS

from .board import BOARDS
from .estimate import Estimate
from .loads import Load

__all__ = ["Choice", "overlaps"]


def overlaps(board: str) -> bool:
    """Whether sums are worth a second set of registers: on iCE40 every register is a logic cell."""
    return BOARDS[board].family != "ice40"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A plan, what is expected of it, and why it is not faster.

    Parameters
    ----------
    plan : NetworkPlan
    lanes, units : dict of str to int
        Of every core, as :func:`hw.plan.plan_network` takes them to make the plan.
    storage : dict of str to str
    skips : dict of str to bool
        Likewise.
    board : str
    loads : tuple of Load
        Of the input, of every core and of the answer, in an average sample.
    memories : dict of str to int
        Block RAMs of every core.
    expected : Estimate
        Of the chip's resources.
    interval, latency : float
        Cycles between two samples, and from the first beat of a sample alone to its answer.
    reason : str
        What limits it.
    origin : str
        Where the activity comes from.
    """

    plan: NetworkPlan
    lanes: Mapping[str, int]
    units: Mapping[str, int]
    storage: Mapping[str, str]
    skips: Mapping[str, bool]
    board: str
    loads: tuple[Load, ...]
    memories: Mapping[str, int]
    expected: Estimate
    interval: float
    latency: float
    reason: str
    origin: str

    @property
    def sizes(self) -> dict[str, Any]:
        """What :func:`hw.plan.plan_network` must be told to make the same cores, as JSON values."""
        return {
            "lanes": dict(self.lanes),
            "units": dict(self.units),
            "overlap": overlaps(self.board),
            "storage": dict(self.storage),
            "skips": dict(self.skips),
        }

    @property
    def options(self) -> dict[str, Any]:
        """What it must be told to make the same hardware."""
        return {**self.sizes, "block_ram": BLOCK_RAMS[BOARDS[self.board].family]}

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        cores = {core.name: core for core in self.plan.cores}
        return {
            "board": self.board,
            "interval_cycles": round(self.interval, 1),
            "latency_cycles": round(self.latency, 1),
            "limit": self.reason,
            "activity": self.origin,
            "estimate": self.expected.as_dict(),
            "parts": [
                {
                    **load.as_dict(),
                    "share": round(load.cycles / self.interval, 4),
                    "steps": self.plan.network.steps,
                    **(_sizes(cores[load.name], self.memories[load.name]) if load.name in cores else {}),
                }
                for load in self.loads
            ],
        }


def _sizes(core: CorePlan, block_rams: int) -> dict[str, int]:
    return {
        "lanes": core.lanes,
        "units": core.units,
        "rows": core.rows,
        "sweeps": core.sweeps,
        "skip_groups": core.skip_groups,
        "block_rams": block_rams,
    }
