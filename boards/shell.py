"""Shell: what stands between a board's pins and the top level."""

from typing import Any

from amaranth import ClockDomain, ClockSignal, Instance, Module, ResetSignal, Signal
from amaranth.hdl import Elaboratable
from amaranth.lib import io
from amaranth.lib.cdc import ResetSynchronizer

from hw.top import Top

from .board import Board
from .clocks import Ecp5Pll, Ice40Pll, ecp5_pll, ice40_pll

__all__ = ["Shell", "clock_of"]

# Block RAMs of iCE40 read as 0 for some microseconds after configuration.
_ICE40_RESET_S = 15e-6


def clock_of(board: Board, wanted_hz: float | None) -> Ice40Pll | Ecp5Pll | float:
    """PLL settings for a wanted clock, or the clock itself if it is the board's own.

    Raises
    ------
    ClockError
        If the PLL cannot make it.
    """
    wanted_hz = board.default_clock_hz if wanted_hz is None else wanted_hz
    if wanted_hz == board.reference_hz:
        return float(board.reference_hz)
    return (ice40_pll if board.family == "ice40" else ecp5_pll)(board.reference_hz, wanted_hz)


class Shell(Elaboratable):
    """A top level on a board: clock, reset, serial line and two lamps.

    The clock has no constraint of its own: nextpnr derives it from the reference's, through the PLL.

    Parameters
    ----------
    top : Top
    board : Board
    clock : Ice40Pll or Ecp5Pll, or float
        As :func:`clock_of` gives it.
    """

    def __init__(self, top: Top, board: Board, clock: Ice40Pll | Ecp5Pll | float):
        self.top = top
        self.board = board
        self.clock = clock

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        if isinstance(self.clock, Ice40Pll):
            self._ice40_clock(m, platform, self.clock)
        elif isinstance(self.clock, Ecp5Pll):
            self._ecp5_clock(m, platform, self.clock)

        m.submodules.top = top = self.top
        uart = platform.request("uart", dir={pin.name: "-" for pin in platform.lookup("uart").ios})
        m.submodules.rx = rx = io.Buffer(io.Direction.Input, uart.rx)
        m.submodules.tx = tx = io.Buffer(io.Direction.Output, uart.tx)
        m.d.comb += [top.rx.eq(rx.i), tx.o.eq(top.tx)]
        for bit, (name, number) in enumerate(self.board.leds):
            m.submodules[f"led_{bit}"] = led = io.Buffer(io.Direction.Output, platform.request(name, number, dir="-"))
            m.d.comb += led.o.eq(top.leds[bit])
        return m

    def _ice40_clock(self, m: Module, platform: Any, pll: Ice40Pll) -> None:
        clock, locked = Signal(name="pll_clock"), Signal(name="pll_locked")
        # The PLL's own pad: it must be the only one that uses the pin.
        m.submodules.pll = Instance(
            "SB_PLL40_PAD",
            p_FEEDBACK_PATH="SIMPLE",
            p_DIVR=pll.divr,
            p_DIVF=pll.divf,
            p_DIVQ=pll.divq,
            p_FILTER_RANGE=pll.filter_range,
            i_PACKAGEPIN=platform.request(platform.default_clk, dir="-").io,
            i_RESETB=1,
            i_BYPASS=0,
            o_PLLOUTGLOBAL=clock,
            o_LOCK=locked,
        )

        # Reset until some time after the clock is right.
        m.domains += [ClockDomain("start", reset_less=True, local=True), ClockDomain("sync")]
        bits = int(_ICE40_RESET_S * pll.clock_hz).bit_length()
        passed, reset = Signal(bits + 1), Signal(init=1)
        m.d.comb += [ClockSignal("start").eq(clock), ClockSignal("sync").eq(clock), ResetSignal("sync").eq(reset)]
        with m.If(~locked):
            m.d.start += passed.eq(0)
        with m.Elif(~passed[bits]):
            m.d.start += passed.eq(passed + 1)
        m.d.start += reset.eq(~passed[bits])

    def _ecp5_clock(self, m: Module, platform: Any, pll: Ecp5Pll) -> None:
        clock, locked = Signal(name="pll_clock"), Signal(name="pll_locked")
        m.submodules.reference = reference = io.Buffer(
            io.Direction.Input, platform.request(platform.default_clk, dir="-")
        )
        m.submodules.pll = Instance(
            "EHXPLLL",
            a_FREQUENCY_PIN_CLKI=f"{self.board.reference_hz / 1e6:.6f}",
            a_FREQUENCY_PIN_CLKOP=f"{pll.clock_hz / 1e6:.6f}",
            a_ICP_CURRENT="12",
            a_LPF_RESISTOR="8",
            a_MFG_ENABLE_FILTEROPAMP="1",
            a_MFG_GMCREF_SEL="2",
            p_FEEDBK_PATH="CLKOP",
            p_CLKI_DIV=pll.clki_div,
            p_CLKFB_DIV=pll.clkfb_div,
            p_CLKOP_ENABLE="ENABLED",
            p_CLKOP_DIV=pll.clkop_div,
            p_CLKOP_CPHASE=pll.clkop_div // 2,
            p_CLKOP_FPHASE=0,
            i_CLKI=reference.i,
            i_CLKFB=clock,
            i_RST=0,
            i_STDBY=0,
            i_PHASESEL0=0,
            i_PHASESEL1=0,
            i_PHASEDIR=1,
            i_PHASESTEP=1,
            i_PHASELOADREG=1,
            i_PLLWAKESYNC=0,
            i_ENCLKOP=0,
            o_CLKOP=clock,
            o_LOCK=locked,
        )
        m.domains += ClockDomain("sync")
        m.d.comb += ClockSignal("sync").eq(clock)
        m.submodules.reset_sync = ResetSynchronizer(~locked, domain="sync")
