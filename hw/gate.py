"""Gate: what enters a network."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .layout import BeatLayout

__all__ = ["Gate", "outside"]


def outside(layout: BeatLayout, address: Any) -> Any:
    """Whether an address is of no neuron of the layout's map."""
    parts = zip(layout.fields.split(address), layout.fields.sizes, strict=True)
    found: Any = False
    for part, size in parts:
        if size < 1 << len(part):
            found = found | (part >= size)
    return found


class Gate(wiring.Component):
    """Passes beats on, without a cycle of its own, but for two kinds.

    An event of an address outside the layer is dropped, and counted. A tick ends its sample if it is its last, or if
    ``stop`` is up when it comes first; the rest of a stopped sample, up to its own last tick, is dropped.

    If the sample is the same in every step (``steps``), its one tick becomes ``steps`` ticks, one a cycle.

    Parameters
    ----------
    layout : BeatLayout
    steps : int
        0: every step comes by itself. Else the steps of a sample that comes once.

    Members
    -------
    i : In(stream.Signature(layout))
    o : Out(stream.Signature(layout))
    stop : In(1)
        The sample that is passing is decided.
    finished : Out(1)
        The last tick of a sample passes on in this cycle.
    dropped : Out(1)
        An event of no neuron has been dropped in this cycle.
    """

    def __init__(self, layout: BeatLayout, *, steps: int = 0):
        self.layout = layout
        self.steps = steps
        super().__init__(
            {
                "i": In(stream.Signature(layout)),
                "o": Out(stream.Signature(layout)),
                "stop": In(1),
                "finished": Out(1),
                "dropped": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        beat = self.i.payload
        strange, dropping, ends, over = Signal(), Signal(), Signal(), Signal()
        step = Signal(range(max(1, self.steps)))
        m.d.comb += [
            strange.eq(~beat.tick & outside(self.layout, beat.address)),
            over.eq(step == self.steps - 1 if self.steps else beat.last),
        ]
        # A tick that waits does not change its mind.
        waiting, before = Signal(), Signal()
        m.d.sync += [waiting.eq(self.o.valid & beat.tick & ~self.o.ready), before.eq(ends)]
        m.d.comb += [
            ends.eq(Mux(waiting, before, beat.tick & (over | self.stop))),
            self.o.payload.eq(beat),
            self.o.payload.last.eq(ends),
        ]
        with m.If(dropping | strange):
            m.d.comb += [self.i.ready.eq(1), self.dropped.eq(self.i.valid & strange & ~dropping)]
            with m.If(self.i.valid & beat.tick & beat.last):
                m.d.sync += dropping.eq(0)
        with m.Else():
            m.d.comb += [
                self.o.valid.eq(self.i.valid),
                self.i.ready.eq(self.o.ready & (ends | ~beat.tick) if self.steps else self.o.ready),
            ]
            with m.If(self.i.valid & self.o.ready & beat.tick & (self.steps != 0)):
                m.d.sync += step.eq(Mux(ends, 0, step + 1))
            with m.If(self.i.valid & self.o.ready & ends):
                m.d.comb += self.finished.eq(1)
                m.d.sync += dropping.eq(~beat.last)
        return m
