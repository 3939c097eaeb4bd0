"""What runs inside the simulator: the clock, the reset, and a wait for the testbench, which does the rest."""

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, Timer

__all__ = ["run"]

_PERIOD = 10  # ns
_RESET = 16  # cycles


@cocotb.test()
async def run(dut):
    """Run the testbench to its end. Its own patience sees to it that the end comes."""
    dut.rst.value = 1
    # The clock toggles in C: no Python between its edges.
    clock = Clock(dut.clk, _PERIOD, "ns", impl="gpi")
    clock.start()
    # Between two rising edges, so that no edge races with it.
    await Timer(_RESET * _PERIOD + _PERIOD * 3 // 4, "ns")
    dut.rst.value = 0
    await RisingEdge(dut.done)
