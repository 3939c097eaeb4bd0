# amaranth: UnusedElaboratable=no
from types import SimpleNamespace

import pytest
from amaranth import ClockSignal, Module, Signal
from amaranth.hdl import Elaboratable
from amaranth.lib import io
from amaranth.sim import Simulator

from boards import shell as shell_module
from boards.board import BOARDS
from boards.shell import Shell, clock_of

BOARD = BOARDS["icebreaker"]
LEAST_S = 15e-6  # so long do block RAMs of an iCE40 read as 0, at most


class Counter(Elaboratable):
    """Top level that counts its cycles out of reset."""

    def __init__(self):
        self.rx, self.tx, self.leds = Signal(), Signal(), Signal(2)
        self.cycles = Signal(16)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.cycles.eq(self.cycles + 1)
        return m


class Platform:
    """Pins in a simulation."""

    default_clk = "clk12"

    def lookup(self, name):
        return SimpleNamespace(ios=[SimpleNamespace(name="rx"), SimpleNamespace(name="tx")])

    def request(self, name, number=0, *, dir):
        if name == "uart":
            return SimpleNamespace(rx=io.SimulationPort("i", 1), tx=io.SimulationPort("o", 1))
        return SimpleNamespace(io=Signal()) if name == self.default_clk else io.SimulationPort("o", 1)


class OnBoard(Elaboratable):
    """A top level in the shell of an iCE40, with a PLL whose clock is the domain ``pll``."""

    def __init__(self, monkeypatch, clock_hz):
        self.locked = Signal()
        self.top = Counter()
        self.clock = clock_of(BOARD, clock_hz)
        monkeypatch.setattr(shell_module, "Instance", self._pll)

    def _pll(self, kind, *, o_PLLOUTGLOBAL, o_LOCK, **others):
        assert kind == "SB_PLL40_PAD"
        m = Module()
        m.d.comb += [o_PLLOUTGLOBAL.eq(ClockSignal("pll")), o_LOCK.eq(self.locked)]
        return m

    def elaborate(self, platform):
        return Shell(self.top, BOARD, self.clock).elaborate(Platform())

    def run(self, bench):
        simulator = Simulator(self)
        simulator.add_clock(1 / self.clock.clock_hz, domain="pll")
        simulator.add_testbench(bench)
        simulator.run()

    async def pass_cycles(self, ctx, count):
        """Lets cycles pass; in how many of them, from the first, the top has been in reset."""
        quiet, counts = 0, []
        for _ in range(count):
            await ctx.tick("pll")
            counts.append(ctx.get(self.top.cycles))
        while quiet < count and counts[quiet] == 0:
            quiet += 1
        return quiet


def least(dut):
    return LEAST_S * dut.clock.clock_hz


@pytest.mark.parametrize(("clock_hz", "locking"), [(18e6, 50), (24e6, 50), (39e6, 50), (24e6, 0)])
def test_reset_lasts_until_block_rams_of_an_ice40_can_be_read(monkeypatch, clock_hz, locking):
    dut = OnBoard(monkeypatch, clock_hz)

    async def bench(ctx):
        assert await dut.pass_cycles(ctx, locking) == locking, "not locked yet, from the first cycle on"
        ctx.set(dut.locked, 1)
        assert least(dut) <= await dut.pass_cycles(ctx, 1500) <= 2 * least(dut) + 4

    dut.run(bench)


def test_without_a_lock_the_top_stays_in_reset(monkeypatch):
    dut = OnBoard(monkeypatch, 24e6)

    async def bench(ctx):
        assert await dut.pass_cycles(ctx, 3000) == 3000

    dut.run(bench)


@pytest.mark.parametrize("cycles", [1, 40])
def test_reset_begins_again_when_the_lock_is_lost(monkeypatch, cycles):
    dut = OnBoard(monkeypatch, 24e6)

    async def bench(ctx):
        ctx.set(dut.locked, 1)
        await dut.pass_cycles(ctx, 1500)
        assert ctx.get(dut.top.cycles) > 0
        ctx.set(dut.locked, 0)
        await dut.pass_cycles(ctx, cycles)
        ctx.set(dut.locked, 1)
        await dut.pass_cycles(ctx, 2)
        assert least(dut) - 4 <= await dut.pass_cycles(ctx, 1500) <= 2 * least(dut) + 4

    dut.run(bench)


def test_a_lock_lost_while_it_waits_starts_the_time_again(monkeypatch):
    dut = OnBoard(monkeypatch, 24e6)

    async def bench(ctx):
        ctx.set(dut.locked, 1)
        await dut.pass_cycles(ctx, int(least(dut)) - 20)
        ctx.set(dut.locked, 0)
        await dut.pass_cycles(ctx, 1)
        ctx.set(dut.locked, 1)
        assert least(dut) <= await dut.pass_cycles(ctx, 1500) <= 2 * least(dut) + 4

    dut.run(bench)
