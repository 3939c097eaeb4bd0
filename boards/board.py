"""Boards: what is on them, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from types import MappingProxyType
from typing import Any

from quant.errors import SpikeloomError

__all__ = ["BOARDS", "Board", "BoardError", "find_board"]


class BoardError(SpikeloomError):
    """A board that is not known."""


@dataclass(frozen=True, kw_only=True)
class Board:
    """A board that can be built for.

    Parameters
    ----------
    name : str
        As on the command line.
    title : str
        As its makers call it.
    platform : str
        Class of its platform, ``module:class``.
    family : str
        ``"ice40"`` or ``"ecp5"``.
    device : str
        The chip.
    reference_hz : int
        Clock that comes into the chip.
    default_clock_hz : int
        Clock of the network, if the user wants no other.
    leds : (tuple, tuple)
        Resources of the lamps for "busy" and for "bad frame": name and number.
    logic_cells, block_rams, dsps : int
        What the chip has.
    block_ram_bits : int
        Size of one block RAM.
    sprams : int
        Single-port RAMs of 16384 words of 16 bits.
    tools : tuple of str
        Tools of a build, in order.
    suffix : str
        Of the bitstream's file name.
    programmers : tuple of str
        Tools that load a bitstream, the first choice first.
    """

    name: str
    title: str
    platform: str
    family: str
    device: str
    reference_hz: int
    default_clock_hz: int
    leds: tuple[tuple[str, int], tuple[str, int]]
    logic_cells: int
    block_rams: int
    block_ram_bits: int
    dsps: int
    tools: tuple[str, ...]
    suffix: str
    programmers: tuple[str, ...]
    sprams: int = 0

    def make_platform(self) -> Any:
        """A new platform of Amaranth's; each serves one build."""
        module, _, name = self.platform.partition(":")
        return getattr(import_module(module), name)()

    @property
    def memory_bits(self) -> int:
        """Bits that fit into all block RAMs, and into all logic cells as tables of 16."""
        return self.block_rams * self.block_ram_bits + 16 * self.logic_cells


_ICEBREAKER = Board(
    name="icebreaker",
    title="iCEBreaker",
    platform="amaranth_boards.icebreaker:ICEBreakerPlatform",
    family="ice40",
    device="iCE40UP5K-SG48",
    reference_hz=12_000_000,
    default_clock_hz=24_000_000,
    leds=(("led_g", 0), ("led_r", 0)),
    logic_cells=5280,
    block_rams=30,
    block_ram_bits=4096,
    dsps=8,
    tools=("yosys", "nextpnr-ice40", "icepack"),
    suffix=".bin",
    programmers=("iceprog",),
    sprams=4,
)


def _ulx3s(size: str, *, logic_cells: int, block_rams: int, dsps: int) -> Board:
    return Board(
        name=f"ulx3s-{size.lower()}",
        title=f"ULX3S {size}",
        platform=f"amaranth_boards.ulx3s:ULX3S_{size}_Platform",
        family="ecp5",
        device=f"LFE5U-{size}-6BG381C",
        reference_hz=25_000_000,
        default_clock_hz=62_500_000,
        leds=(("led", 0), ("led", 1)),
        logic_cells=logic_cells,
        block_rams=block_rams,
        block_ram_bits=18432,
        dsps=dsps,
        tools=("yosys", "nextpnr-ecp5", "ecppack"),
        suffix=".bit",
        programmers=("openFPGALoader", "fujprog"),
    )


#: Boards by name.
BOARDS: Mapping[str, Board] = MappingProxyType(
    {
        board.name: board
        for board in (
            _ICEBREAKER,
            # The 12F is a 25F sold under another name; the tools use all of it.
            _ulx3s("12F", logic_cells=24288, block_rams=56, dsps=28),
            _ulx3s("25F", logic_cells=24288, block_rams=56, dsps=28),
            _ulx3s("45F", logic_cells=43848, block_rams=108, dsps=72),
            _ulx3s("85F", logic_cells=83640, block_rams=208, dsps=156),
        )
    }
)


def find_board(name: str) -> Board:
    """The board of this name, in any case.

    Raises
    ------
    BoardError
        If there is none; names those that are nearest.
    """
    board = BOARDS.get(name.lower())
    if board is None:
        near = get_close_matches(name.lower(), BOARDS, n=5, cutoff=0.5) or list(BOARDS)
        raise BoardError(f"Board must be one of {', '.join(near)}, not {name!r}")
    return board
