"""Memories laid out for the chip: read through a register, one write port."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from amaranth import Module, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

__all__ = ["Ram", "Rom"]


class Ram(wiring.Component):
    """Words that are read one cycle after their address and written at the end of the cycle.

    A read of the word that is being written is the user's mistake: it gives the word read before. That is said
    in logic, so that synthesis proves the case away and needs no bypass around a block RAM.

    Parameters
    ----------
    width : int
        Width of a word, in bits.
    depth : int
        Number of words. One word becomes a register.
    init : sequence of int
        Words at configuration; the rest is 0.
    attrs : mapping of str to str
        For synthesis.

    Members
    -------
    read_address : In
    read_data : Out
        The word of the address of the cycle before.
    write_enable, write_address, write_data : In
    """

    def __init__(
        self, *, width: int, depth: int, init: Sequence[int] = (), attrs: Mapping[str, str] = MappingProxyType({})
    ):
        self.width = width
        self.depth = depth
        self.init = list(init)
        self.attrs = dict(attrs)
        super().__init__(
            {
                "read_address": In(range(depth)),
                "read_data": Out(width),
                "write_enable": In(1),
                "write_address": In(range(depth)),
                "write_data": In(width),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        held = Signal(self.width, reset_less=True)
        m.d.comb += self.read_data.eq(held)
        if self.depth == 1:
            word = Signal(self.width, init=self.init[0] if self.init else 0)
            with m.If(self.write_enable):
                m.d.sync += word.eq(self.write_data)
            m.d.sync += held.eq(word)
            return m

        words: Memory[Any, Any] = Memory(shape=self.width, depth=self.depth, init=self.init, attrs=self.attrs)
        m.submodules.words = words
        write, read = words.write_port(), words.read_port(domain="comb")
        m.d.comb += [
            write.en.eq(self.write_enable),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
            read.addr.eq(self.read_address),
        ]
        with m.If(~(self.write_enable & (self.write_address == self.read_address))):
            m.d.sync += held.eq(read.data)
        return m


class Rom(wiring.Component):
    """Constant words, read one cycle after their address.

    Parameters
    ----------
    width : int
        Width of a word, in bits.
    init : sequence of int
        The words.
    attrs : mapping of str to str
        For synthesis.

    Members
    -------
    address : In
    data : Out
        The word of the address of the cycle before.
    """

    def __init__(self, *, width: int, init: Sequence[int], attrs: Mapping[str, str] = MappingProxyType({})):
        self.width = width
        self.init = list(init)
        self.attrs = dict(attrs)
        super().__init__({"address": In(range(len(self.init))), "data": Out(Shape(width))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        words: Memory[Any, Any] = Memory(shape=self.width, depth=len(self.init), init=self.init, attrs=self.attrs)
        m.submodules.words = words
        read = words.read_port()
        m.d.comb += [read.addr.eq(self.address), self.data.eq(read.data)]
        return m
