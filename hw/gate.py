"""Gate: what enters a network."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .layout import BeatLayout

__all__ = ["Gate"]


class Gate(wiring.Component):
    """Passes beats on, without a cycle of its own, but for two kinds.

    An event of an address outside the layer is dropped. While ``stop`` is up, the next tick becomes the last of its
    sample, and the rest of the sample, up to its own last tick, is dropped.

    Parameters
    ----------
    layout : BeatLayout

    Members
    -------
    i : In(stream.Signature(layout))
    o : Out(stream.Signature(layout))
    stop : In(1)
        The sample that is passing is decided.
    finished : Out(1)
        The last tick of a sample passes on in this cycle.
    """

    def __init__(self, layout: BeatLayout):
        self.layout = layout
        super().__init__(
            {
                "i": In(stream.Signature(layout)),
                "o": Out(stream.Signature(layout)),
                "stop": In(1),
                "finished": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        beat = self.i.payload
        outside = Signal()
        dropping = Signal()
        ends = Signal()
        if self.layout.senders < 1 << len(beat.address):
            m.d.comb += outside.eq(~beat.tick & (beat.address >= self.layout.senders))
        # A tick that waits does not change its mind.
        waiting, before = Signal(), Signal()
        m.d.sync += [waiting.eq(self.o.valid & beat.tick & ~self.o.ready), before.eq(ends)]
        m.d.comb += [
            ends.eq(Mux(waiting, before, beat.tick & (beat.last | self.stop))),
            self.o.payload.eq(beat),
            self.o.payload.last.eq(ends),
        ]
        with m.If(dropping | outside):
            m.d.comb += self.i.ready.eq(1)
            with m.If(self.i.valid & beat.tick & beat.last):
                m.d.sync += dropping.eq(0)
        with m.Else():
            m.d.comb += [self.o.valid.eq(self.i.valid), self.i.ready.eq(self.o.ready)]
            with m.If(self.i.valid & self.o.ready & ends):
                m.d.comb += self.finished.eq(1)
                m.d.sync += dropping.eq(~beat.last)
        return m
