"""Delay: what a population sends in one step is heard in the next."""

from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .layout import BeatLayout
from .memory import Ram

__all__ = ["Delay", "depth_of"]


def depth_of(layout: BeatLayout) -> int:
    """Beats that a delay holds: a power of two, a step of events and two ticks at least."""
    return 1 << (layout.senders + 1).bit_length()


class Delay(wiring.Component):
    """Holds back one step: a sample begins with a step without events, and its last step is never heard.

    A tick goes out after a reset; then a tick for every one that comes in, with the events before it, but those of the
    last step of a sample. So that no loop of cores can block itself, there is room for all events of a step.

    A beat is offered two cycles after it was taken, or, unless ``foretold``, two cycles after its tick was.

    Parameters
    ----------
    layout : BeatLayout
    foretold : bool
        Events of the last step have ``last`` set, as a population's have. Else a step is kept until its tick.

    Members
    -------
    i : In(stream.Signature(layout))
    o : Out(stream.Signature(layout))
        ``last`` means nothing.
    """

    def __init__(self, layout: BeatLayout, *, foretold: bool):
        self.layout = layout
        self.foretold = foretold
        self.depth = depth_of(layout)
        super().__init__({"i": In(stream.Signature(layout)), "o": Out(stream.Signature(layout))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        fields = len(self.i.payload.address) + len(self.i.payload.value) + 1
        m.submodules.beats = beats = Ram(width=fields, depth=self.depth)
        bits = (self.depth - 1).bit_length()

        # Places: next to write, end of what may be read one cycle ago and now, next to read.
        written, end, readable, read = (Signal(bits + 1, name=n) for n in ("written", "end", "readable", "read"))
        started, full, store, forgets = Signal(), Signal(), Signal(), Signal()
        beat = self.i.payload
        m.d.comb += [
            full.eq((written ^ read) == self.depth),
            self.i.ready.eq(started & ~full),
            forgets.eq(beat.tick & beat.last & (not self.foretold)),
            store.eq(self.i.valid & self.i.ready & (beat.tick | ~beat.last) | ~started),
            beats.write_enable.eq(store),
            beats.write_address.eq(Mux(started & forgets, end, written)),
            beats.write_data.eq(Cat(beat.address, beat.value, beat.tick | ~started)),
        ]
        m.d.sync += [started.eq(1), readable.eq(end)]
        with m.If(store):
            following = Mux(started & forgets, end, written) + 1
            m.d.sync += written.eq(following)
            with m.If(beat.tick | ~started | self.foretold):
                m.d.sync += end.eq(following)

        # Out, as fast as it is taken.
        taken = Signal()
        m.d.comb += [
            self.o.valid.eq(readable != read),
            taken.eq(self.o.valid & self.o.ready),
            beats.read_address.eq(read + taken),
            Cat(self.o.payload.address, self.o.payload.value, self.o.payload.tick).eq(beats.read_data),
        ]
        m.d.sync += read.eq(read + taken)
        return m
