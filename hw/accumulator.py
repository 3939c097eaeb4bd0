"""Accumulators: the sums of the events of a step."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from quant.ranges import Range

from .layout import shape_of
from .memory import Ram

__all__ = ["Accumulator"]

REGISTER_ROWS = 2
"""Up to so many rows are registers: a memory's read and write would not fit between two uses of a row."""


class Accumulator(wiring.Component):
    """Rows of sums, a row per cycle: adds an operand to every lane, or takes and clears the lanes of one bank.

    Rows that follow each other within a memory's latency must differ; rows of a connection do, since an event goes
    through all of them. With one or two rows the sums are registers, and any order is fine.

    Parameters
    ----------
    rows : int
        Number of rows.
    banks : int
        Banks of a row, each of ``units`` lanes.
    units : int
        Lanes of a bank.
    drive : Range
        Range of a sum.
    operand : Range
        Range of what is added at once.

    Members
    -------
    fetch_row : In
        Row of the operation that comes in two cycles.
    row, bank : In
        Row, and bank of ``take``, of this cycle's operation.
    add : In(1)
        Add ``operands`` to the row.
    take, clear : In(1)
        Give the bank's sums in ``taken``, in the same cycle; with ``clear``, set them to 0.
    operands : In
        One per lane.
    taken : Out
        Sums of the bank, one per unit.
    """

    def __init__(self, *, rows: int, banks: int, units: int, drive: Range, operand: Range):
        self.rows = rows
        self.banks = banks
        self.units = units
        self.drive = drive
        super().__init__(
            {
                "fetch_row": In(range(rows)),
                "row": In(range(rows)),
                "bank": In(range(banks)),
                "add": In(1),
                "take": In(1),
                "clear": In(1),
                "operands": In(data.ArrayLayout(shape_of(operand), banks * units)),
                "taken": Out(data.ArrayLayout(shape_of(drive), units)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        layout = data.ArrayLayout(shape_of(self.drive), self.units)
        chosen = []
        for bank in range(self.banks):
            sums, write, enable = Signal(layout, reset_less=True), Signal(layout), Signal()
            selected = Signal()
            m.d.comb += [
                selected.eq(self.bank == bank),
                enable.eq(self.add | (self.take & self.clear & selected)),
            ]
            for unit in range(self.units):
                total = sums[unit] + self.operands[bank * self.units + unit]
                m.d.comb += write[unit].eq(Mux(self.take, 0, total))
            self._store(m, bank, sums, write, enable)
            chosen.append(Mux(selected, sums.as_value(), 0))
        m.d.comb += self.taken.as_value().eq(reduce(or_, chosen))
        return m

    def _store(self, m: Module, bank: int, sums: Any, write: Any, enable: Signal) -> None:
        if self.rows <= REGISTER_ROWS:
            rows = [Signal.like(sums, name=f"sums_{bank}_{row}") for row in range(self.rows)]
            for row, register in enumerate(rows):
                with m.If(enable & (self.row == row)):
                    m.d.sync += register.as_value().eq(write.as_value())
            m.d.comb += sums.as_value().eq(Mux(self.row == 0, rows[0].as_value(), rows[-1].as_value()))
            return
        m.submodules[f"bank_{bank}"] = ram = Ram(width=len(Cat(sums)), depth=self.rows)
        m.d.comb += [
            ram.read_address.eq(self.fetch_row),
            ram.write_enable.eq(enable),
            ram.write_address.eq(self.row),
            ram.write_data.eq(write.as_value()),
        ]
        m.d.sync += sums.as_value().eq(ram.read_data)
