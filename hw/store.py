"""Where weights lie: one memory, or banks with a register before their multiplexer; block RAM or SPRAM."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from amaranth import ClockSignal, Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .memory import Ram, Rom
from .port import SPRAM_BITS, SPRAM_WORDS

__all__ = ["Spram", "Store"]

_BLOCK = {"ram_style": "block", "rom_style": "block"}
"""Of banks: their number and size are chosen for block RAMs; a small last one would become logic."""


class Spram(wiring.Component):
    """Words in single-port RAMs of iCE40 UP5K, side by side: read one cycle after their address, or written.

    Without a platform, as in a simulation, it is a memory like any other.

    Parameters
    ----------
    width : int
        Width of a word, in bits.
    depth : int
        Number of words, 16384 at most.
    init : sequence of int
        Words that a simulation begins with; the chip's begins with none.

    Members
    -------
    address : In
    data : Out
        The word of the address of the cycle before; after a write, any.
    write : In(1)
        The word of the address becomes ``write_data``.
    write_data : In
    """

    def __init__(self, *, width: int, depth: int, init: Sequence[int] = ()):
        self.width = width
        self.depth = depth
        self.init = list(init)
        super().__init__({"address": In(range(depth)), "data": Out(width), "write": In(1), "write_data": In(width)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        if platform is None:
            m.submodules.words = words = Ram(width=self.width, depth=self.depth, init=self.init)
            m.d.comb += [
                words.read_address.eq(self.address),
                words.write_address.eq(self.address),
                words.write_enable.eq(self.write),
                words.write_data.eq(self.write_data),
                self.data.eq(words.read_data),
            ]
            return m
        address = Signal(range(SPRAM_WORDS))
        m.d.comb += address.eq(self.address)
        for low in range(0, self.width, SPRAM_BITS):
            part = slice(low, min(low + SPRAM_BITS, self.width))
            given, found = Signal(SPRAM_BITS, name=f"given_{low}"), Signal(SPRAM_BITS, name=f"found_{low}")
            m.d.comb += [given.eq(self.write_data[part]), self.data[part].eq(found)]
            m.submodules[f"spram_{low}"] = Instance(
                "SB_SPRAM256KA",
                i_CLOCK=ClockSignal(),
                i_ADDRESS=address,
                i_DATAIN=given,
                i_MASKWREN=0b1111,
                i_WREN=self.write,
                i_CHIPSELECT=1,
                i_STANDBY=0,
                i_SLEEP=0,
                i_POWEROFF=1,  # active low
                o_DATAOUT=found,
            )
        return m


class Store(wiring.Component):
    """Words of weights: in one memory and read one cycle after their address, or in banks and one cycle later.

    Between the banks and their multiplexer is a register, and beside it the choice of the bank.

    Parameters
    ----------
    width : int
        Width of a word, in bits.
    init : sequence of int
        The words.
    storage : str
        One of :data:`hw.port.STORAGES`.
    bank_words : int, optional
        Words of a bank, a power of two if there are several. Default: one bank.
    preloaded : bool
        Of SPRAM, in a simulation: it holds its words from the start.

    Members
    -------
    address : In
    data : Out
    write : In(1)
        The word of the address becomes ``write_data``; what is read is any. Not of ``"rom"``.
    write_data : In
        Likewise.
    """

    def __init__(
        self,
        *,
        width: int,
        init: Sequence[int],
        storage: str = "rom",
        bank_words: int | None = None,
        preloaded: bool = False,
    ):
        self.width = width
        self.init = list(init)
        self.storage = storage
        self.bank_words = len(self.init) if bank_words is None else bank_words
        self.preloaded = preloaded
        members: dict[str, Any] = {"address": In(range(len(self.init))), "data": Out(width)}
        if storage != "rom":
            members |= {"write": In(1), "write_data": In(width)}
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        parts = [self.init[at : at + self.bank_words] for at in range(0, len(self.init), self.bank_words)]
        if len(parts) == 1:
            m.d.comb += self.data.eq(self._bank(m, "words", parts[0]))
            return m
        bank = self.address[(self.bank_words - 1).bit_length() :]
        read, chosen = (
            Signal.like(bank, name="read", reset_less=True),
            Signal.like(bank, name="chosen", reset_less=True),
        )
        m.d.sync += [read.eq(bank), chosen.eq(read)]
        held = [Signal(self.width, name=f"held_{number}", reset_less=True) for number in range(len(parts))]
        for number, part in enumerate(parts):
            m.d.sync += held[number].eq(self._bank(m, f"bank_{number}", part, bank == number, _BLOCK))
        with m.Switch(chosen):
            for number, word in enumerate(held):
                with m.Case(number):
                    m.d.comb += self.data.eq(word)
        return m

    def _bank(
        self,
        m: Module,
        name: str,
        words: Sequence[int],
        mine: Any = 1,
        attrs: Mapping[str, str] = MappingProxyType({}),
    ) -> Any:
        """A memory of its own, and what it reads."""
        if self.storage == "rom":
            m.submodules[name] = rom = Rom(width=self.width, init=words, attrs=attrs)
            m.d.comb += rom.address.eq(self.address)
            return rom.data
        if self.storage == "spram":
            spram = Spram(width=self.width, depth=len(words), init=words if self.preloaded else ())
            m.submodules[name] = spram
            m.d.comb += [
                spram.address.eq(self.address),
                spram.write.eq(self.write & mine),
                spram.write_data.eq(self.write_data),
            ]
            return spram.data
        m.submodules[name] = ram = Ram(width=self.width, depth=len(words), init=words, attrs=attrs)
        m.d.comb += [
            ram.read_address.eq(self.address),
            ram.write_address.eq(self.address),
            ram.write_enable.eq(self.write & mine),
            ram.write_data.eq(self.write_data),
        ]
        return ram.read_data
