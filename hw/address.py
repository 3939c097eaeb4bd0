"""Addresser: an event becomes the rows of targets that it goes to, and their words of weights."""

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .arith import lookup
from .layout import BeatLayout, shape_of
from .port import PortPlan

__all__ = ["Addresser", "OperationLayout"]


class OperationLayout(data.StructLayout):
    """A row of an event, or a tick.

    Members
    -------
    row : unsigned
        Row of the targets.
    word : unsigned
        Word of the weights.
    group : unsigned
        Part of the row that the word is for.
    value : signed or unsigned
        Value of the event.
    tick, last : 1
        The end of a step, and of the sample; nothing else holds.
    """

    def __init__(self, port: PortPlan):
        geometry = port.geometry
        super().__init__(
            {
                "row": range(geometry.rows.words),
                "word": range(geometry.depth),
                "group": range(geometry.parts),
                "value": shape_of(port.values),
                "tick": 1,
                "last": 1,
            }
        )


class Addresser(wiring.Component):
    """Goes through the rows of an event, one a cycle, by the tables of :class:`hw.geometry.Geometry`.

    A beat is looked up in one cycle and offered from the next but one; those that follow wait behind it, so that
    there is no cycle without a row between two events. An event of no use goes no further than the first stage.

    Parameters
    ----------
    port : PortPlan

    Members
    -------
    i : In(stream.Signature(BeatLayout))
    o : Out(stream.Signature(OperationLayout(port)))
    """

    def __init__(self, port: PortPlan):
        self.port = port
        super().__init__(
            {
                "i": In(stream.Signature(BeatLayout(port.geometry.source, port.values))),
                "o": Out(stream.Signature(OperationLayout(port))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        geometry, beat = self.port.geometry, self.i.payload
        taken, moves, loads = Signal(), Signal(), Signal()

        # First stage: what column, row and channel add.
        waiting, useful, tick, last = Signal(), Signal(), Signal(), Signal()
        value = Signal(shape_of(self.port.values), reset_less=True)
        fields = BeatLayout(geometry.source, self.port.values).fields.split(beat.address)
        parts: dict[str, list[Signal]] = {"row": [], "word": [], "count": [], "group": []}
        for axis, index, table in zip("xyc", fields, geometry.tables, strict=True):
            for name, held in parts.items():
                found = lookup(m, index, getattr(table, name), f"{name}_{axis}_found")
                held.append(Signal(len(found), name=f"{name}_{axis}", reset_less=True))
                with m.If(taken):
                    m.d.sync += held[-1].eq(found)
        places, lines, _ = parts["count"]
        m.d.comb += [
            useful.eq(tick | ((places != 0) & (lines != 0))),
            moves.eq(~useful | loads),
            self.i.ready.eq(~waiting | moves),
            taken.eq(self.i.valid & self.i.ready),
        ]
        with m.If(self.i.ready):
            m.d.sync += waiting.eq(self.i.valid)
        with m.If(taken):
            m.d.sync += [value.eq(beat.value), tick.eq(beat.tick), last.eq(beat.last)]

        # Second stage: the row at work, and how many are left of its place, its line, and the event.
        operation = self.o.payload
        busy, final = Signal(), Signal()
        rows, words = Signal(len(operation.row)), Signal(len(operation.word))
        line_row, line_word = Signal.like(rows, reset_less=True), Signal.like(words, reset_less=True)
        span_left = Signal(range(geometry.span), reset_less=True)
        places_left, lines_left = Signal.like(places, reset_less=True), Signal.like(lines, reset_less=True)
        all_places = Signal.like(places, reset_less=True)
        m.d.comb += [
            rows.eq(sum(parts["row"])),
            words.eq(sum(parts["word"])),
            self.o.valid.eq(busy),
            final.eq(operation.tick | ((span_left == 0) & (places_left == 0) & (lines_left == 0))),
            loads.eq(waiting & useful & (~busy | (self.o.ready & final))),
        ]
        with m.If(self.o.ready & final):
            m.d.sync += busy.eq(0)
        with m.If(loads):
            m.d.sync += [
                busy.eq(1),
                operation.row.eq(rows),
                operation.word.eq(words),
                operation.group.eq(parts["group"][2]),
                operation.value.eq(value),
                operation.tick.eq(tick),
                operation.last.eq(last),
                line_row.eq(rows),
                line_word.eq(words),
                span_left.eq(geometry.span - 1),
                places_left.eq(places - 1),
                all_places.eq(places - 1),
                lines_left.eq(lines - 1),
            ]
        with m.Elif(self.o.valid & self.o.ready):
            m.d.sync += operation.word.eq(operation.word + geometry.stride)
            with m.If(span_left != 0):
                m.d.sync += [span_left.eq(span_left - 1), operation.row.eq(operation.row + 1)]
            with m.Elif(places_left != 0):
                m.d.sync += [
                    span_left.eq(geometry.span - 1),
                    places_left.eq(places_left - 1),
                    operation.row.eq(operation.row + (geometry.skip - geometry.span + 1)),
                ]
            with m.Else():
                m.d.sync += [
                    span_left.eq(geometry.span - 1),
                    places_left.eq(all_places),
                    lines_left.eq(lines_left - 1),
                    operation.row.eq(line_row + geometry.line_rows),
                    operation.word.eq(line_word + geometry.line_words),
                    line_row.eq(line_row + geometry.line_rows),
                    line_word.eq(line_word + geometry.line_words),
                ]
        return m
