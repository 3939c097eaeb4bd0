"""Serialiser: fired lanes become events, one after the other."""

from typing import Any

from amaranth import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from quant.ranges import Range

from .layout import BeatLayout

__all__ = ["Serialiser"]


class Serialiser(wiring.Component):
    """Words of spikes in, events and ticks out.

    A word without spikes that does not end a step takes no place in the queue and no time. The others give one
    event per spike, in the order of the addresses, then, at the end of a step, a tick.

    The sender counts the free places of the queue: it starts with ``depth`` and gets one back per cycle of each of
    ``dropped`` and ``released``.

    Parameters
    ----------
    neurons : int
        Number of neurons.
    units : int
        Neurons in a word, a power of two.
    depth : int
        Words that the queue holds, at least 3.

    Members
    -------
    push : In(1)
        A word is here in this cycle.
    index : In
        Which word of the sweep.
    spikes : In(units)
        Fired neurons, lane 0 lowest.
    end, last : In(1)
        The word ends a step; and the sample.
    dropped : Out(1)
        The word took no place.
    released : Out(1)
        A place has become free.
    o : Out(stream.Signature(BeatLayout))
    """

    def __init__(self, *, neurons: int, units: int, depth: int):
        if depth < 3:
            # The queue's output register fills a cycle late: two words in a row would not find a place.
            raise ValueError(f"Queue depth must be at least 3 words, not {depth}")
        self.neurons = neurons
        self.units = units
        self.depth = depth
        sweeps = -(-neurons // units)
        self.word = data.StructLayout({"spikes": units, "index": range(sweeps), "end": 1, "last": 1})
        super().__init__(
            {
                "push": In(1),
                "index": In(range(sweeps)),
                "spikes": In(units),
                "end": In(1),
                "last": In(1),
                "dropped": Out(1),
                "released": Out(1),
                "o": Out(stream.Signature(BeatLayout(neurons, Range(0, 1)))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()

        # Queue of the words that say something.
        word = Signal(self.word)
        m.d.comb += [
            word.spikes.eq(self.spikes),
            word.index.eq(self.index),
            word.end.eq(self.end),
            word.last.eq(self.last),
        ]
        m.submodules.queue = queue = SyncFIFOBuffered(width=self.word.size, depth=self.depth)
        kept = self.spikes.any() | self.end
        m.d.comb += [
            queue.w_data.eq(word.as_value()),
            queue.w_en.eq(self.push & kept),
            self.dropped.eq(self.push & ~kept),
        ]

        # The word at work, and its lowest spike.
        current = Signal(self.word)
        busy = Signal()
        lane = Signal(range(self.units))
        lowest = current.spikes & -current.spikes
        rest = Signal(self.units)
        m.d.comb += rest.eq(current.spikes & (current.spikes - 1))
        lanes = [Cat(*(lowest[i] for i in range(self.units) if i >> bit & 1)).any() for bit in range(len(lane))]
        if self.units > 1:
            m.d.comb += lane.eq(Cat(*lanes))

        # Flow control: a word is done with its last spike, or with its tick.
        empty = Signal()
        done = Signal()
        take = Signal()
        m.d.comb += [
            empty.eq(current.spikes == 0),
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
                self.o.payload.address.eq(Cat(lane, current.index)),
                self.o.payload.value.eq(1),
                self.o.payload.tick.eq(empty),
                self.o.payload.last.eq(empty & current.last),
                current.spikes.eq(rest),
            ]
        with m.If(queue.r_en):
            m.d.sync += [current.eq(queue.r_data), busy.eq(queue.r_rdy)]
        return m
