"""Weights of a connection: from the address of a word to a weight for every lane."""

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .arith import pack
from .layout import shape_of
from .loader import PortSignature
from .port import PortPlan
from .store import Store

__all__ = ["Weights"]


class Weights(wiring.Component):
    """Memory of the weights of a port: read, registered, then spread over the lanes.

    Parameters
    ----------
    port : PortPlan
    fetch : int
        Cycles from a word's address to its weights: 2, or 3 if this memory, or another of the core, has banks.
    preloaded : bool
        Of SPRAM, in a simulation: it holds the weights from the start.

    Members
    -------
    word, group : In
        Of the operation: see :class:`hw.address.OperationLayout`.
    use : In(1)
        The operation of ``fetch`` cycles ago was one of this port.
    o : Out
        A weight for every lane of the operation of ``fetch`` cycles ago; 0 where it is for another part of the row, and
        everywhere without ``use``.
    reached : Out(lanes)
        The lanes that it is for.
    load : In(PortSignature(port))
        Only of weights that can be loaded.
    """

    def __init__(self, port: PortPlan, *, fetch: int = 2, preloaded: bool = False):
        self.port = port
        self.fetch = fetch
        self.preloaded = preloaded
        geometry = port.geometry
        members: dict[str, Any] = {
            "word": In(range(geometry.depth)),
            "group": In(range(geometry.parts)),
            "use": In(1),
            "o": Out(data.ArrayLayout(shape_of(port.weight), geometry.lanes)),
            "reached": Out(geometry.lanes),
        }
        if port.writable:
            members["load"] = In(PortSignature(port))
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        port, geometry = self.port, self.port.geometry
        m.submodules.store = store = Store(
            width=port.width,
            init=[pack(word, port.weight_bits) for word in geometry.words],
            storage=port.storage,
            bank_words=port.bank_words,
            preloaded=self.preloaded,
        )
        word = Signal(data.ArrayLayout(shape_of(port.weight), geometry.width), reset_less=True)
        asked, held = self.word, self.group
        for number in range(self.fetch):
            before, held = held, Signal.like(self.group, name=f"group_{number}", reset_less=True)
            m.d.sync += held.eq(before)
        if self.fetch > 2 and port.banks == 1:
            # Another memory of the core takes a cycle more.
            asked = Signal.like(self.word, name="asked", reset_less=True)
            m.d.sync += asked.eq(self.word)
        m.d.comb += store.address.eq(asked)
        m.d.sync += word.as_value().eq(store.data)
        if port.writable:
            m.d.comb += [
                store.address.eq(Mux(self.load.hold, self.load.address, asked)),
                store.write.eq(self.load.write),
                store.write_data.eq(self.load.data),
                self.load.read.eq(word),
            ]
        for lane in range(geometry.lanes):
            m.d.comb += [
                self.reached[lane].eq(self.use & (held == lane // geometry.width)),
                self.o[lane].eq(Mux(self.reached[lane], word[lane % geometry.width], 0)),
            ]
        return m
