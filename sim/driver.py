"""What runs inside the simulator: the reset, the clock, and a wait for the testbench, which does the rest."""

import os
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import First, RisingEdge, Timer

from .terminal import STOP

__all__ = ["run"]

_PERIOD = 10  # ns
_RESET = 16  # cycles
_LOOK = 1000  # cycles after which to look whether somebody still wants to know


@cocotb.test()
async def run(dut):
    """Run the testbench to its end. Its own patience sees to it that the end comes."""
    parent = os.getppid()
    dut.run.value = 0
    dut.rst.value = 1
    # The clock toggles in C: no Python between its edges.
    clock = Clock(dut.clk, _PERIOD, "ns", impl="gpi")
    clock.start()
    # Between two rising edges, so that no edge races with it.
    await Timer(_RESET * _PERIOD + _PERIOD * 3 // 4, "ns")
    dut.rst.value = 0
    compiled = cocotb.SIM_NAME == "Verilator"
    if compiled:
        clock.stop()
        dut.clk.value = 0
    while not dut.done.value:
        wanted = os.getppid() == parent and not Path(STOP).exists()
        assert wanted, "nobody wants to know any more"
        if compiled:  # see clock.h
            dut.run.value = 1
            await Timer(_PERIOD, "ns")
        else:
            await First(RisingEdge(dut.done), Timer(_LOOK * _PERIOD, "ns"))
