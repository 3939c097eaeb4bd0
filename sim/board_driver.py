"""What runs inside the simulator of a board: its clock, and a bridge from a pseudo terminal to its serial pins."""

import os
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

from .terminal import BIT_CYCLES, CLOCK_HZ, PORT, STOP, Terminal

__all__ = ["run"]

_PERIOD_NS = 1_000_000_000 // CLOCK_HZ
_BIT_NS = BIT_CYCLES * _PERIOD_NS
_IDLE_NS = 1000 * _PERIOD_NS
_RESET_NS = 16 * _PERIOD_NS


@cocotb.test()
async def run(dut):
    """Be a board until the sign to stop appears, or whoever started it is gone."""
    folder, parent = Path.cwd(), os.getppid()
    dut.rst.value = 1
    dut.rx.value = 1
    # The clock toggles in C: no Python between its edges.
    clock = Clock(dut.clk, _PERIOD_NS, "ns", impl="gpi")
    clock.start()
    await Timer(_RESET_NS + _PERIOD_NS * 3 // 4, "ns")
    dut.rst.value = 0

    terminal = Terminal()
    cocotb.start_soon(_transmitted(dut, terminal))
    (folder / f".{PORT}").write_text(terminal.name)
    (folder / f".{PORT}").rename(folder / PORT)
    while not (folder / STOP).exists() and os.getppid() == parent:
        received = terminal.read()
        for byte in received:
            await _receive(dut, byte)
        if not received:
            await Timer(_IDLE_NS, "ns")
    terminal.close()


async def _receive(dut, byte):
    for bit in (0, *((byte >> index) & 1 for index in range(8)), 1):
        dut.rx.value = bit
        await Timer(_BIT_NS, "ns")


async def _transmitted(dut, terminal):
    while True:
        await FallingEdge(dut.tx)
        await Timer(_BIT_NS // 2, "ns")
        byte = 0
        for index in range(8):
            await Timer(_BIT_NS, "ns")
            byte |= int(dut.tx.value) << index
        await Timer(_BIT_NS, "ns")
        if dut.tx.value == 1:
            terminal.write(bytes([byte]))
