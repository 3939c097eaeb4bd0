"""What nextpnr says of a design: resources, clocks, and what there was too little of."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quant.errors import SpikeloomError

from .board import BOARDS, Board

__all__ = [
    "RESOURCES",
    "FitError",
    "Timing",
    "Usage",
    "missing",
    "resources_in_log",
    "resources_in_report",
    "timing_in",
]

Usage = dict[str, dict[str, int]]
"""By resource, how many are ``used`` and how many the chip has ``available``."""

#: Resources by nextpnr's name for them.
RESOURCES: Mapping[str, str] = {
    "ICESTORM_LC": "logic_cells",
    "ICESTORM_RAM": "block_rams",
    "ICESTORM_SPRAM": "sprams",
    "ICESTORM_DSP": "dsps",
    "ICESTORM_PLL": "plls",
    "TRELLIS_COMB": "logic_cells",
    "TRELLIS_FF": "flip_flops",
    "DP16KD": "block_rams",
    "MULT18X18D": "dsps",
    "EHXPLLL": "plls",
}
_LINE = re.compile(r"^Info:\s+(\w+):\s+(\d+)/\s*(\d+)\s+\d+%", re.MULTILINE)
_FULL = re.compile(
    r"no BELs remaining|legal placement|utilisation limit|Unable to place|Failed to place", re.IGNORECASE
)


class FitError(SpikeloomError):
    """A network that needs more than the chip has."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Clock that was reached.

    Parameters
    ----------
    fmax_mhz : float
        Fastest clock of the network at which all paths are fast enough.
    met : bool
        Whether every clock of the design is fast enough.
    """

    fmax_mhz: float
    met: bool


def resources_in_report(report: Mapping[str, Any]) -> Usage:
    """Resources of nextpnr's report, those of the chip that a network may use."""
    found = report.get("utilization", {})
    return {RESOURCES[name]: dict(found[name]) for name in RESOURCES if name in found}


def resources_in_log(log: str) -> Usage:
    """Resources of nextpnr's log, which is all there is if placement failed."""
    return {
        RESOURCES[name]: {"used": int(used), "available": int(available)}
        for name, used, available in _LINE.findall(log)
        if name in RESOURCES
    }


def timing_in(report: Mapping[str, Any], clock_hz: float) -> Timing:
    """Timing of nextpnr's report against the clock that the network is to run at.

    Raises
    ------
    ValueError
        If no clock of the report is constrained to that frequency.
    """
    clocks = list(report.get("fmax", {}).values())
    wanted = clock_hz / 1e6
    reached = [clock["achieved"] for clock in clocks if abs(clock["constraint"] - wanted) < 0.01 * wanted]
    if not reached:
        found = ", ".join(f"{clock['constraint']:g}" for clock in clocks)
        raise ValueError(f"Place and route must constrain a clock to {wanted:g} MHz, not to {found or 'none'}")
    return Timing(fmax_mhz=min(reached), met=all(clock["achieved"] >= clock["constraint"] for clock in clocks))


def missing(network: str, board: Board, log: str) -> str | None:
    """What there was too little of, in a sentence; nothing if the log shows no lack."""
    usage = {name: use for name, use in resources_in_log(log).items() if name != "plls"}
    short = {
        name: f"{use['used'] - use['available']} too many"
        for name, use in usage.items()
        if use["used"] > use["available"]
    }
    if not short and not _FULL.search(log):
        return None
    if not short and usage:
        fullest = max(usage, key=lambda name: usage[name]["used"] / max(1, usage[name]["available"]))
        short = {fullest: "too full to place"}
    what = ", ".join(
        f"{name.replace('_', ' ')} {usage[name]['used']} of {usage[name]['available']} ({lack})"
        for name, lack in short.items()
    )
    return f"Network {network} does not fit {board.title}: {what or 'no room is left'}; {_advice(board, usage)}"


def _advice(board: Board, usage: Usage) -> str:
    larger = [
        other.name
        for other in BOARDS.values()
        if other.logic_cells > board.logic_cells
        and other.logic_cells >= usage.get("logic_cells", {}).get("used", 0)
        and other.block_rams >= usage.get("block_rams", {}).get("used", 0)
    ]
    ways = "fewer lanes, fewer weight bits or fewer neurons"
    return f"{ways}, or a larger board ({', '.join(larger)}), would help" if larger else f"{ways} would help"
