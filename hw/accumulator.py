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

    Operations may follow each other in any order if it ``forwards``: a sum that is still on its way back to its
    memory is taken from there. Without, rows of the next two operations after an addition must be others. With one or
    two rows the sums are registers, and any order is fine.

    With ``marks``, a lane also remembers, until it is cleared, which of so many sources has reached it; what comes
    again from the same source counts for nothing.

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
    forwards : bool
    marks : int

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
    mark, reached : In(marks), In(lanes)
        With ``add``: the source that counts once, one bit, and the lanes that it reaches. Only with ``marks``.
    taken : Out
        Sums of the bank, one per unit.
    """

    def __init__(
        self,
        *,
        rows: int,
        banks: int,
        units: int,
        drive: Range,
        operand: Range,
        forwards: bool = False,
        marks: int = 0,
    ):
        self.rows = rows
        self.banks = banks
        self.units = units
        self.drive = drive
        self.forwards = forwards
        self.marks = marks
        members = {
            "fetch_row": In(range(rows)),
            "row": In(range(rows)),
            "bank": In(range(banks)),
            "add": In(1),
            "take": In(1),
            "clear": In(1),
            "operands": In(data.ArrayLayout(shape_of(operand), banks * units)),
            "taken": Out(data.ArrayLayout(shape_of(drive), units)),
        }
        if marks:
            members |= {"mark": In(marks), "reached": In(banks * units)}
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        width = shape_of(self.drive).width * self.units
        chosen = []
        near, far = Signal(), Signal()
        if self.forwards and self.rows > REGISTER_ROWS:
            between = Signal.like(self.row)
            m.d.sync += [
                between.eq(self.fetch_row),
                near.eq(self.fetch_row == between),
                far.eq(self.fetch_row == self.row),
            ]
        for bank in range(self.banks):
            # Of a bank: its sums, and above them its marks.
            sums = Signal(data.ArrayLayout(shape_of(self.drive), self.units), reset_less=True, name=f"sums_{bank}")
            marks = Signal(self.marks * self.units, reset_less=True, name=f"marks_{bank}")
            write, enable, selected = Signal(width + len(marks)), Signal(), Signal()
            m.d.comb += [
                selected.eq(self.bank == bank),
                enable.eq(self.add | (self.take & self.clear & selected)),
            ]
            totals, reached = [], []
            for unit in range(self.units):
                lane = bank * self.units + unit
                operand: Any = self.operands[lane]
                if self.marks:
                    known = marks[unit * self.marks : (unit + 1) * self.marks]
                    operand = Mux((known & self.mark).any(), 0, operand)
                    reached.append(Mux(self.take, 0, known | Mux(self.reached[lane], self.mark, 0))[: self.marks])
                total = Signal(shape_of(self.drive), name=f"total_{lane}")
                m.d.comb += total.eq(Mux(self.take, 0, sums[unit] + operand))
                totals.append(total)
            m.d.comb += write.eq(Cat(*totals, *reached))
            self._store(m, bank, Cat(sums.as_value(), marks), write, enable, near, far)
            chosen.append(Mux(selected, sums.as_value(), 0))
        m.d.comb += self.taken.as_value().eq(reduce(or_, chosen))
        return m

    def _store(self, m: Module, bank: int, held: Any, write: Signal, enable: Signal, near: Any, far: Any) -> None:
        if self.rows <= REGISTER_ROWS:
            rows = [Signal(len(write), reset_less=True, name=f"word_{bank}_{row}") for row in range(self.rows)]
            for row, register in enumerate(rows):
                with m.If(enable & (self.row == row)):
                    m.d.sync += register.eq(write)
            m.d.comb += held.eq(Mux(self.row == 0, rows[0], rows[-1]))
            return
        m.submodules[f"bank_{bank}"] = ram = Ram(width=len(write), depth=self.rows)
        m.d.comb += [
            ram.read_address.eq(self.fetch_row),
            ram.write_enable.eq(enable),
            ram.write_address.eq(self.row),
            ram.write_data.eq(write),
        ]
        if not self.forwards:
            m.d.sync += held.eq(ram.read_data)
            return
        # Of the operation that comes next: what the one of this cycle writes, or the one before it has written.
        written, wrote = Signal.like(write, reset_less=True, name=f"written_{bank}"), Signal(name=f"wrote_{bank}")
        m.d.sync += [
            written.eq(write),
            wrote.eq(enable),
            held.eq(Mux(near & enable, write, Mux(far & wrote, written, ram.read_data))),
        ]
