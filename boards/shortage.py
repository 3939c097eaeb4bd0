"""Shortage: what a board has too little of, and what would help."""

from collections.abc import Mapping
from dataclasses import replace

from hw.plan import NetworkPlan
from hw.port import BLOCK_RAMS

from .board import BOARDS, Board
from .estimate import Estimate, core_parts, shared_parts, total

__all__ = ["DSP_SHARE", "LOGIC_SHARE", "misfit", "shortage"]

#: Share of a chip's logic that is planned with: what is fuller is hard to place, and slow.
LOGIC_SHARE: Mapping[str, float] = {"ice40": 0.9, "ecp5": 0.85}

#: Likewise of its multipliers: they stand all over an ECP5, and what goes to all of them is slow.
DSP_SHARE: Mapping[str, float] = {"ice40": 1.0, "ecp5": 0.45}


def shortage(expected: Estimate, board: Board) -> str:
    """What a board has too little of, in words; empty if nothing is."""
    logic, share = int(board.logic_cells * LOGIC_SHARE[board.family]), DSP_SHARE[board.family]
    what = [
        f"{needed - there:,} {name} too few ({needed:,} of {there:,}{of})"
        for name, needed, there, of in (
            ("logic cells", expected.logic_cells, logic, f", {LOGIC_SHARE[board.family]:.0%} of the chip's"),
            ("block RAMs", expected.block_rams, board.block_rams, ""),
            ("DSPs", expected.dsps, int(board.dsps * share), "" if share == 1 else f", {share:.0%} of the chip's"),
            ("SPRAMs", expected.sprams, board.sprams, ""),
        )
        if needed > there
    ]
    return " and ".join(what)


def misfit(plan: NetworkPlan, board: Board, short: str) -> str:
    """Why a network does not fit, whatever its lanes, and what would make it fit, tried."""
    ways = [_narrower(plan, board), _elsewhere(plan)]
    helps = (
        " or ".join(way for way in ways if way) or "fewer neurons would help; no board that is known is large enough"
    )
    return (
        f"Network {plan.network.name} does not fit {board.title}, whatever its lanes: {short}, by the estimate; {helps}"
    )


def _narrower(plan: NetworkPlan, board: Board) -> str:
    """Widest weights that would fit, in words."""
    widest = max(port.weight_bits for core in plan.cores for port in core.ports)
    for bits in range(widest - 1, 1, -1):
        if not _short(plan, board, most_bits=bits):
            return f"{bits} weight bits would fit"
    return ""


def _elsewhere(plan: NetworkPlan) -> str:
    """The first board that would do, in words."""
    return next((f"board {board.name} would do" for board in BOARDS.values() if not _short(plan, board)), "")


def _short(plan: NetworkPlan, board: Board, most_bits: int | None = None) -> str:
    """What a board has too little of for a plan, perhaps with narrower weights."""
    cores = []
    for core in plan.cores:
        ports = [
            replace(
                port,
                block_ram=BLOCK_RAMS[board.family],
                weight_bits=port.weight_bits if most_bits is None else min(port.weight_bits, most_bits),
            )
            for port in core.ports
        ]
        cores.append(replace(core, ports=tuple(ports)))
    parts = [shared_parts(plan, board.family), *(core_parts(core, board.family) for core in cores)]
    return shortage(total(parts, board.family), board)
