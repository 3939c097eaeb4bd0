"""Serialiser: fired lanes become events, one after the other."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth import Cat, Module, Signal, unsigned
from amaranth.hdl import ValueLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from quant.graph import Shape
from quant.ranges import Range

from .layout import BeatLayout, Fields, shape_of
from .plan import BINARY

__all__ = ["PlaceLayout", "Serialiser"]


class PlaceLayout(data.StructLayout):
    """Where a word of neurons lies: the parts of their addresses below the lane and above it.

    Parameters
    ----------
    low, high : int
        Widths of the parts, in bits; may be 0.

    Members
    -------
    low : unsigned
    high : unsigned
    """

    def __init__(self, *, low: int, high: int):
        super().__init__({"low": unsigned(low), "high": unsigned(high)})

    @classmethod
    def of(cls, shape: Shape, units: int) -> "PlaceLayout":
        """Of words of ``units`` channels, as a sweep has them: column and row, and the rest of the channel."""
        column, row, channel = Fields(shape).widths
        return cls(low=column + row, high=max(0, channel - (units - 1).bit_length()))


class Serialiser(wiring.Component):
    """Words of fired lanes in, events and ticks out.

    A word that nobody fired in and that does not end a step takes no place in the queue and no time. The others give
    one event per fired lane, the lowest lane first, then, at the end of a step, a tick.

    The sender counts the free places of the queue: it starts with ``depth`` and gets one back per cycle of each of
    ``dropped`` and ``released``.

    Parameters
    ----------
    shape : tuple of int
        Shape of the population, or of the input, that sends.
    units : int
        Lanes of a word, a power of two.
    depth : int
        Words that the queue holds, at least 3.
    place : PlaceLayout
        Bits of an address below the lane, and above it.
    values : Range
        Range of an event's value.

    Members
    -------
    push : In(1)
        A word is here in this cycle.
    place : In(PlaceLayout)
        Where the word lies.
    fired : In(units)
        Lanes that fired, lane 0 lowest.
    values : In
        Values of the events, by lane; not of binary spikes, which are 1.
    end, last : In(1)
        The word ends a step; it is of the last step of a sample.
    dropped : Out(1)
        The word took no place.
    released : Out(1)
        A place has become free.
    o : Out(stream.Signature(BeatLayout))
        ``last`` is that of the word, on its events too.
    """

    def __init__(self, *, shape: Shape, units: int, depth: int, place: PlaceLayout, values: Range):
        if depth < 3:
            # The queue's output register fills a cycle late: two words in a row would not find a place.
            raise ValueError(f"Queue depth must be at least 3 words, not {depth}")
        self.units = units
        self.depth = depth
        word: dict[str, Any] = {"fired": unsigned(units), "place": place, "end": unsigned(1), "last": unsigned(1)}
        if values != BINARY:
            word["values"] = data.ArrayLayout(shape_of(values), units)
        self.word = data.StructLayout(word)
        super().__init__(
            {
                "push": In(1),
                **{name: In(member) for name, member in word.items()},
                "dropped": Out(1),
                "released": Out(1),
                "o": Out(stream.Signature(BeatLayout(shape, values))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()

        # Queue of the words that say something.
        word: Any = Signal(self.word)
        m.d.comb += [word[name].eq(getattr(self, name)) for name, _ in self.word]
        m.submodules.queue = queue = SyncFIFOBuffered(width=self.word.size, depth=self.depth)
        kept = self.fired.any() | self.end
        m.d.comb += [
            queue.w_data.eq(word.as_value()),
            queue.w_en.eq(self.push & kept),
            self.dropped.eq(self.push & ~kept),
        ]

        # The word at work, and its lowest fired lane.
        current: Any = Signal(self.word)
        busy = Signal()
        lane = Signal(range(self.units))
        lowest = current.fired & -current.fired
        rest = Signal(self.units)
        m.d.comb += rest.eq(current.fired & (current.fired - 1))
        lanes = [Cat(*(lowest[i] for i in range(self.units) if i >> bit & 1)).any() for bit in range(len(lane))]
        if self.units > 1:
            m.d.comb += lane.eq(Cat(*lanes))

        # Flow control: a word is done with its last event, or with its tick.
        empty = Signal()
        done = Signal()
        take = Signal()
        m.d.comb += [
            empty.eq(current.fired == 0),
            take.eq(busy & (~self.o.valid | self.o.ready)),
            done.eq(empty | ((rest == 0) & ~current.end)),
            queue.r_en.eq(~busy | (take & done)),
            self.released.eq(queue.r_en & queue.r_rdy),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(take):
            m.d.sync += [
                self.o.valid.eq(1),
                self.o.payload.address.eq(Cat(current.place.low, lane, current.place.high)),
                self.o.payload.value.eq(self._value(current, lowest)),
                self.o.payload.tick.eq(empty),
                self.o.payload.last.eq(current.last),
                current.fired.eq(rest),
            ]
        with m.If(queue.r_en):
            m.d.sync += [current.eq(queue.r_data), busy.eq(queue.r_rdy)]
        return m

    def _value(self, current: Any, lane: Any) -> ValueLike:
        """Value of a lane, given as one bit out of ``units``."""
        if "values" not in self.signature.members:
            return 1
        width = len(self.o.payload.value)
        chosen = [current["values"][i].as_unsigned() & lane[i].replicate(width) for i in range(self.units)]
        return reduce(or_, chosen)
