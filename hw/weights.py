"""Weights of a connection: from the address of a word to a weight for every lane."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .arith import pack
from .layout import shape_of
from .memory import Rom
from .plan import PortPlan

__all__ = ["Weights"]


class Weights(wiring.Component):
    """Memory of the weights of a port: read, registered, then spread over the lanes.

    Parameters
    ----------
    port : PortPlan

    Members
    -------
    word, group : In
        Of the operation: see :class:`hw.address.OperationLayout`.
    use : In(1)
        The operation of two cycles ago was one of this port.
    o : Out
        A weight for every lane of the operation of two cycles ago; 0 where it is for another part of the row, and
        everywhere without ``use``.
    reached : Out(lanes)
        The lanes that it is for.
    """

    def __init__(self, port: PortPlan):
        self.port = port
        geometry = port.geometry
        super().__init__(
            {
                "word": In(range(geometry.depth)),
                "group": In(range(geometry.parts)),
                "use": In(1),
                "o": Out(data.ArrayLayout(shape_of(port.weight), geometry.lanes)),
                "reached": Out(geometry.lanes),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        geometry, width = self.port.geometry, self.port.weight_bits
        m.submodules.rom = rom = Rom(width=geometry.width * width, init=[pack(word, width) for word in geometry.words])
        word = Signal(data.ArrayLayout(shape_of(self.port.weight), geometry.width), reset_less=True)
        group, held = Signal.like(self.group, reset_less=True), Signal.like(self.group, reset_less=True)
        m.d.comb += rom.address.eq(self.word)
        m.d.sync += [word.as_value().eq(rom.data), group.eq(self.group), held.eq(group)]
        for lane in range(geometry.lanes):
            m.d.comb += [
                self.reached[lane].eq(self.use & (held == lane // geometry.width)),
                self.o[lane].eq(Mux(self.reached[lane], word[lane % geometry.width], 0)),
            ]
        return m
