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
from .plan import REGISTER_ROWS

__all__ = ["Accumulator"]


class Accumulator(wiring.Component):
    """Rows of sums, a row per cycle: adds an operand to every lane, or takes and clears the lanes of one bank.

    Operations may follow each other in any order if it ``forwards``: a sum that is still on its way back to its
    memory is taken from there. Without, rows of the next two operations after an addition must be others. With one or
    two rows the sums are registers, and any order is fine.

    With ``aside``, which wants sums in registers, ``hand`` sets all rows aside and clears them. What is taken comes
    from there, whatever is added meanwhile.

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
    aside : bool

    Members
    -------
    fetch_row : In
        Row of the operation that comes in two cycles.
    row, bank : In
        Row, and bank of ``take``, of the operation that comes in the next cycle.
    add : In(1)
        It adds ``operands`` to the row.
    take, clear : In(1)
        It gives the bank's sums in ``taken``; with ``clear``, it sets them to 0.
    hand, line : In(1), In
        It sets all sums aside; row of those that it takes. In place of ``clear``, with ``aside`` alone.
    operands : In
        Of this cycle's operation, one per lane.
    mark, reached : In(marks), In(lanes)
        Likewise: the source that counts once, one bit, and the lanes that it reaches. Only with ``marks``.
    taken : Out
        Of this cycle's operation: sums of the bank, one per unit.
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
        aside: bool = False,
    ):
        self.rows = rows
        self.banks = banks
        self.units = units
        self.drive = drive
        self.forwards = forwards
        self.marks = marks
        self.aside = aside
        members = {
            "fetch_row": In(range(rows)),
            "row": In(range(rows)),
            "bank": In(range(banks)),
            "add": In(1),
            "take": In(1),
            **({"hand": In(1), "line": In(range(rows))} if aside else {"clear": In(1)}),
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
        now, near, far = Signal.like(self.row, reset_less=True), Signal(), Signal()
        m.d.sync += now.eq(self.row)
        if self.aside:
            line = Signal.like(self.line, reset_less=True)
            m.d.sync += line.eq(self.line)
        if self.forwards and self.rows > REGISTER_ROWS:
            m.d.sync += [near.eq(self.fetch_row == self.row), far.eq(self.fetch_row == now)]
        for bank in range(self.banks):
            # Of a bank: its sums, and above them its marks.
            sums = Signal(data.ArrayLayout(shape_of(self.drive), self.units), reset_less=True, name=f"sums_{bank}")
            marks = Signal(self.marks * self.units, reset_less=True, name=f"marks_{bank}")
            # Its control, decoded a cycle before, in registers of its own: a signal for all lanes would be slow.
            write, enable = Signal(width + len(marks), name=f"write_{bank}"), Signal(name=f"enable_{bank}")
            selected, empties = Signal(name=f"selected_{bank}"), Signal(name=f"empties_{bank}")
            mine = self.bank == bank
            clears = self.hand if self.aside else self.take & self.clear & mine
            m.d.sync += [
                selected.eq(mine),
                empties.eq(self.hand if self.aside else self.take & mine),
                enable.eq(self.add | clears),
            ]
            totals, reached = [], []
            for unit in range(self.units):
                lane = bank * self.units + unit
                operand: Any = self.operands[lane]
                if self.marks:
                    known = marks[unit * self.marks : (unit + 1) * self.marks]
                    operand = Mux((known & self.mark).any(), 0, operand)
                    reached.append(Mux(empties, 0, known | Mux(self.reached[lane], self.mark, 0))[: self.marks])
                total = Signal(shape_of(self.drive), name=f"total_{lane}")
                m.d.comb += total.eq(Mux(empties, 0, sums[unit] + operand))
                totals.append(total)
            # Part by part, so that the memory's port has a name.
            place = 0
            for part in (*totals, *reached):
                m.d.comb += write[place : place + len(part)].eq(part)
                place += len(part)
            rows = self._store(m, bank, Cat(sums.as_value(), marks), write, enable, empties, now, near, far)
            given: Any = sums.as_value()
            if self.aside:
                kept = [Signal(width, reset_less=True, name=f"aside_{bank}_{number}") for number in range(self.rows)]
                with m.If(empties):
                    m.d.sync += [register.eq(word) for register, word in zip(kept, rows, strict=True)]
                given = Mux(line == 0, kept[0], kept[-1])
            chosen.append(Mux(selected, given, 0))
        m.d.comb += self.taken.as_value().eq(reduce(or_, chosen))
        return m

    def _store(
        self,
        m: Module,
        bank: int,
        held: Any,
        write: Signal,
        enable: Signal,
        empties: Signal,
        row: Signal,
        near: Signal,
        far: Signal,
    ) -> list[Signal]:
        """Rows of a bank; those that are registers."""
        if self.rows <= REGISTER_ROWS:
            rows = [Signal(len(write), reset_less=True, name=f"word_{bank}_{number}") for number in range(self.rows)]
            for number, register in enumerate(rows):
                with m.If(enable & ((row == number) | (empties if self.aside else 0))):
                    m.d.sync += register.eq(write)
            m.d.comb += held.eq(Mux(row == 0, rows[0], rows[-1]))
            return rows
        m.submodules[f"bank_{bank}"] = ram = Ram(width=len(write), depth=self.rows)
        m.d.comb += [
            ram.read_address.eq(self.fetch_row),
            ram.write_enable.eq(enable),
            ram.write_address.eq(row),
            ram.write_data.eq(write),
        ]
        if not self.forwards:
            m.d.sync += held.eq(ram.read_data)
            return []
        # Of the operation that comes next: what the one of this cycle writes, or the one before it has written.
        written, wrote = Signal.like(write, reset_less=True, name=f"written_{bank}"), Signal(name=f"wrote_{bank}")
        m.d.sync += [
            written.eq(write),
            wrote.eq(enable),
            held.eq(Mux(near & enable, write, Mux(far & wrote, written, ram.read_data))),
        ]
        return []
