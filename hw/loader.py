"""Loader: writes weights into their memories, and reads them all back for a checksum.

An image is made of pieces, each for words of one memory that follow each other, and in any order: the number of the
memory, one byte; the first word, three bytes; then the words, each in as many bytes as it needs, all little endian. A
piece may come again. Whatever was lost, altered or never came shows in the checksum: CRC-32 of the image's shape
(:func:`hw.image.shape_digest`) and of every word of every memory, in order, as they are read back.
"""

import zlib
from typing import Any

from amaranth import Array, Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.crc import Algorithm
from amaranth.lib.wiring import In, Out

from .image import shape_digest, weight_image
from .plan import NetworkPlan
from .port import PortPlan

__all__ = ["LoadSignature", "Loader", "PortSignature"]

PLACE_BYTES = 4
"""Of a piece, before its words."""
_READ_CYCLES = 7
"""From an address to its word, at most: address, memory, bank, word, and the way back."""


class PortSignature(wiring.Signature):
    """From a loader to the memory of one connection.

    Members
    -------
    hold : Out(1)
        The memory's address is the loader's.
    address : Out
    write : Out(1)
    data : Out
    read : In
        The word that was read, some cycles after its address.
    """

    def __init__(self, port: PortPlan):
        super().__init__(
            {
                "hold": Out(1),
                "address": Out(range(port.words)),
                "write": Out(1),
                "data": Out(port.width),
                "read": In(port.width),
            }
        )


class LoadSignature(wiring.Signature):
    """From who has an image to a loader.

    Members
    -------
    start : Out(1)
        A piece begins; from now on the weights count as not loaded.
    bytes : Out(stream.Signature(8))
        Its bytes.
    outside : In(1)
        A byte that would be taken now lies outside the memories; it must not be offered.
    whole : In(1)
        The piece may end here: it has a place, and its last word is complete.
    verify : Out(1)
        Read everything back. The weights are loaded if the checksum is ``expected``.
    expected : Out(32)
    busy : In(1)
        Reading back, from the cycle after ``verify``; no bytes are taken.
    crc : In(32)
        The checksum of what was read back last, or of the weights of the configuration.
    loaded : In(1)
        The weights are whole: networks may run.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "start": Out(1),
                "bytes": Out(stream.Signature(8)),
                "outside": In(1),
                "whole": In(1),
                "verify": Out(1),
                "expected": Out(32),
                "busy": In(1),
                "crc": In(32),
                "loaded": In(1),
            }
        )


class Loader(wiring.Component):
    """Takes pieces of an image byte by byte, writes their words, and reads all memories back.

    What is loaded outlives a reset, as the memories do.

    Parameters
    ----------
    plan : NetworkPlan
        A reloadable one.

    Members
    -------
    load : In(LoadSignature())
    port_0, port_1, ... : Out(PortSignature(port))
        Of each connection whose weights can be loaded, in the order of ``plan.writable``.
    """

    load: Any

    def __init__(self, plan: NetworkPlan):
        self.plan = plan
        ports = {f"port_{index}": Out(PortSignature(port)) for index, port in enumerate(plan.writable)}
        super().__init__({"load": In(LoadSignature()), **ports})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        load, ports = self.load, self.plan.writable
        outs = [getattr(self, f"port_{index}") for index in range(len(ports))]
        longest = max(port.word_bytes for port in ports)

        # Place: memory and word. A memory that there is not has no words.
        memory, address = Signal(8), Signal(24)
        depth, size = Signal(24), Signal(range(longest + 1))
        with m.Switch(memory):
            for index, port in enumerate(ports):
                with m.Case(index):
                    m.d.comb += [depth.eq(port.words), size.eq(port.word_bytes)]

        # The word, whose bytes come in from above and leave below.
        word = Signal(8 * longest)
        placed, filled = Signal(range(PLACE_BYTES + 1)), Signal(range(longest + 1))
        complete, reading, held = Signal(), Signal(), Signal()
        m.d.sync += held.eq(reading | (placed == PLACE_BYTES))
        for index, (port, out) in enumerate(zip(ports, outs, strict=True)):
            m.d.comb += [
                out.hold.eq(held),
                out.address.eq(address),
                out.data.eq(word[8 * (longest - port.word_bytes) :]),
                out.write.eq(complete & (memory == index)),
            ]
        found = Signal(8 * longest)
        m.d.sync += found.eq(Array(out.read for out in outs)[memory])

        # Checksum. It starts where that of the shape ends.
        shape = zlib.crc32(shape_digest(self.plan))
        initial = int(f"{shape ^ 0xFFFFFFFF:032b}"[::-1], 2)
        crc32 = Algorithm(
            crc_width=32,
            polynomial=0x04C11DB7,
            initial_crc=initial,
            reflect_input=True,
            reflect_output=True,
            xor_output=0xFFFFFFFF,
        )
        m.submodules.crc = crc = crc32().create()
        whole = all(port.storage == "ram" for port in ports)
        known = Signal(32, init=weight_image(self.plan).crc if whole else 0, reset_less=True)
        loaded = Signal(init=whole, reset_less=True)
        m.d.comb += [load.crc.eq(known), load.loaded.eq(loaded), crc.data.eq(word[:8])]

        # A piece.
        taken = load.bytes.valid & load.bytes.ready
        m.d.comb += [
            load.bytes.ready.eq(~complete & ~reading & ~load.start),
            load.outside.eq((placed == PLACE_BYTES) & (address >= depth)),
            load.whole.eq((placed == PLACE_BYTES) & (filled == 0)),
            load.busy.eq(reading),
        ]
        m.d.sync += complete.eq(0)
        with m.If(complete):
            m.d.sync += address.eq(address + 1)
        with m.If(load.start):
            m.d.sync += [placed.eq(0), filled.eq(0), loaded.eq(0)]
        with m.Elif(taken & (placed != PLACE_BYTES)):
            m.d.sync += [placed.eq(placed + 1), Cat(memory, address).eq(Cat(memory, address, load.bytes.payload)[8:])]
        with m.Elif(taken):
            m.d.sync += [word.eq(Cat(word, load.bytes.payload)[8:]), filled.eq(filled + 1)]
            with m.If(filled == size - 1):
                m.d.sync += [filled.eq(0), complete.eq(1)]

        # Reading back, word by word.
        wait = Signal(range(_READ_CYCLES + 1))
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += crc.start.eq(1)
                with m.If(load.verify):
                    m.d.sync += [reading.eq(1), placed.eq(0), memory.eq(0), address.eq(0)]
                    m.next = "READ"
            with m.State("READ"):
                m.d.sync += wait.eq(wait + 1)
                with m.If(wait == _READ_CYCLES):
                    m.d.sync += [wait.eq(0), word.eq(found), filled.eq(0)]
                    m.next = "DIGEST"
            with m.State("DIGEST"):
                m.d.comb += crc.valid.eq(1)
                m.d.sync += [word.eq(word[8:]), filled.eq(filled + 1)]
                with m.If(filled == size - 1):
                    m.d.sync += [filled.eq(0), address.eq(address + 1)]
                    m.next = "READ"
                    with m.If(address == depth - 1):
                        m.d.sync += [address.eq(0), memory.eq(memory + 1)]
                        with m.If(memory == len(ports) - 1):
                            m.next = "JUDGE"
            with m.State("JUDGE"):
                m.d.sync += [known.eq(crc.crc), loaded.eq(crc.crc == load.expected), reading.eq(0)]
                m.next = "IDLE"

        return m
