"""Clocks: dividers of a chip's PLL for a wanted frequency."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from quant.errors import SpikeloomError

__all__ = ["ClockError", "Ecp5Pll", "Ice40Pll", "ecp5_pll", "ice40_pll"]


class ClockError(SpikeloomError, ValueError):
    """A clock that the board cannot make."""


@dataclass(frozen=True, kw_only=True)
class Ice40Pll:
    """Settings of an SB_PLL40 with simple feedback.

    The oscillator runs at ``reference * (divf + 1) / (divr + 1)``, 533 to 1066 MHz; the output is that over
    ``2**divq``, 16 to 275 MHz. The phase detector sees ``reference / (divr + 1)``, 10 to 133 MHz.

    Parameters
    ----------
    divr, divf, divq : int
        0 to 15, 0 to 127, 1 to 6. (Lattice's guide says 63; with simple feedback the chip takes 127.)
    filter_range : int
        Loop filter for the phase detector's frequency.
    clock_hz : float
        The output.
    """

    divr: int
    divf: int
    divq: int
    filter_range: int
    clock_hz: float


@dataclass(frozen=True, kw_only=True)
class Ecp5Pll:
    """Settings of an EHXPLLL with feedback from its primary output.

    The output is ``reference * clkfb_div / clki_div``, 3.125 to 400 MHz; the oscillator runs ``clkop_div`` times
    faster, at 400 to 800 MHz. The phase detector sees ``reference / clki_div``, 3.125 to 400 MHz.

    Parameters
    ----------
    clki_div, clkfb_div, clkop_div : int
        1 to 128 each.
    clock_hz : float
        The output.
    """

    clki_div: int
    clkfb_div: int
    clkop_div: int
    clock_hz: float


Settings = TypeVar("Settings", Ice40Pll, Ecp5Pll)

# Upper ends, in MHz, of the phase detector's frequencies for the loop filters 1 to 5; 6 above.
_FILTERS = (17, 26, 44, 66, 101)


def ice40_pll(reference_hz: float, wanted_hz: float) -> Ice40Pll:
    """Settings for the fastest clock that is not above ``wanted_hz``.

    Raises
    ------
    ClockError
        If the PLL cannot run as slowly, or never so fast.
    """
    return _fastest(_ice40_settings(reference_hz), wanted_hz)


def ecp5_pll(reference_hz: float, wanted_hz: float) -> Ecp5Pll:
    """Settings for the fastest clock that is not above ``wanted_hz``.

    Raises
    ------
    ClockError
        If the PLL cannot run as slowly, or never so fast.
    """
    return _fastest(_ecp5_settings(reference_hz), wanted_hz)


def _ice40_settings(reference_hz: float) -> Iterator[Ice40Pll]:
    for divr in range(16):
        compared = reference_hz / (divr + 1)
        if not 10e6 <= compared <= 133e6:
            continue
        filter_range = 1 + sum(compared >= edge * 1e6 for edge in _FILTERS)
        for divf in range(128):
            oscillator = compared * (divf + 1)
            for divq in range(1, 7):
                clock_hz = oscillator / 2**divq
                if 533e6 <= oscillator <= 1066e6 and 16e6 <= clock_hz <= 275e6:
                    yield Ice40Pll(divr=divr, divf=divf, divq=divq, filter_range=filter_range, clock_hz=clock_hz)


def _ecp5_settings(reference_hz: float) -> Iterator[Ecp5Pll]:
    for clki_div in range(1, 129):
        if not 3.125e6 <= reference_hz / clki_div <= 400e6:
            continue
        for clkfb_div in range(1, 129):
            clock_hz = reference_hz * clkfb_div / clki_div
            # The oscillator nearest to the middle of its range.
            clkop_div = min(128, round(600e6 / clock_hz))
            if 1 <= clkop_div <= 128 and 400e6 <= clock_hz * clkop_div <= 800e6 and 3.125e6 <= clock_hz <= 400e6:
                yield Ecp5Pll(clki_div=clki_div, clkfb_div=clkfb_div, clkop_div=clkop_div, clock_hz=clock_hz)


def _fastest(settings: Iterator[Settings], wanted_hz: float) -> Settings:
    found = sorted(settings, key=lambda item: item.clock_hz)
    slowest, fastest = found[0].clock_hz, found[-1].clock_hz
    if not slowest <= wanted_hz <= fastest:
        raise ClockError(
            f"Clock must be between {slowest / 1e6:g} and {fastest / 1e6:g} MHz from this board's PLL, "
            f"not {wanted_hz / 1e6:g}"
        )
    # Of equal clocks the first: the smallest dividers before the phase detector.
    return max((item for item in found if item.clock_hz <= wanted_hz), key=lambda item: item.clock_hz)
