"""Frames on a byte stream: SLIP (RFC 1055) with a checksum.

A frame is ``END payload checksum END``. Inside, the byte END (0xC0) is sent as ESC (0xDB) 0xDC and ESC as ESC 0xDD.
The checksum is CRC-16/CCITT-FALSE of the payload, low byte first. Empty frames mean nothing, so a frame may begin with
an END of its own, and a receiver finds its place again at any END.
"""

from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.crc.catalog import CRC16_CCITT_FALSE
from amaranth.lib.wiring import In, Out

from .uart import ReceivedLayout

__all__ = ["END", "ESC", "Deframer", "Fault", "FramedLayout", "Framer", "OutgoingLayout"]

END, ESC, ESC_END, ESC_ESC = 0xC0, 0xDB, 0xDC, 0xDD


class Fault(enum.Enum, shape=4):
    """What is wrong with a frame; the code of the error frame that answers it."""

    NONE = 0
    LINE = 1  #: a byte without stop bit, bytes lost on the way, or a bad escape
    CHECKSUM = 2
    LENGTH = 3
    COMMAND = 4
    ADDRESS = 5
    VALUE = 6
    STEPS = 7
    WEIGHTS = 8  #: the weights are not loaded


class FramedLayout(data.StructLayout):
    """A byte of a payload, or the end of a frame.

    Members
    -------
    data : 8
    end : 1
        The frame has ended; there is no data.
    fault : Fault
        With ``end``: LINE, CHECKSUM or LENGTH if the frame is bad.
    """

    def __init__(self) -> None:
        super().__init__({"data": 8, "end": 1, "fault": Fault})


class OutgoingLayout(data.StructLayout):
    """A byte of a payload; the last one ends the frame."""

    def __init__(self) -> None:
        super().__init__({"data": 8, "last": 1})


class Deframer(wiring.Component):
    """Payloads out of bytes, on the fly.

    The last two bytes are held back, since they may be the checksum; it is known to be right only at the end of the
    frame, after its payload has been passed on. A byte takes at most three clock cycles.

    Members
    -------
    i : In(stream.Signature(ReceivedLayout()))
    o : Out(stream.Signature(FramedLayout()))
    """

    i: Any
    o: Any

    def __init__(self) -> None:
        super().__init__({"i": In(stream.Signature(ReceivedLayout())), "o": Out(stream.Signature(FramedLayout()))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()

        # What is known of the frame so far.
        incoming = Signal(8)
        first, second = Signal(8), Signal(8)
        count = Signal(range(3))
        begun = Signal()
        escaped = Signal()
        broken = Signal()
        m.submodules.crc = crc = CRC16_CCITT_FALSE().create()
        m.d.comb += crc.data.eq(first)

        fault = Signal(Fault)
        with m.If(broken | escaped):
            m.d.comb += fault.eq(Fault.LINE)
        with m.Elif(~begun):
            m.d.comb += fault.eq(Fault.LENGTH)
        with m.Elif(crc.crc != Cat(first, second)):
            m.d.comb += fault.eq(Fault.CHECKSUM)

        with m.FSM():
            with m.State("TAKE"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    byte = self.i.p.data
                    with m.If(self.i.p.error):
                        m.d.sync += broken.eq(1)
                    with m.If(byte == END), m.If(self.i.p.error | broken | escaped | (count != 0)):
                        m.next = "END"
                    with m.Elif(escaped):
                        m.d.sync += [escaped.eq(0), incoming.eq(Mux(byte == ESC_END, END, ESC))]
                        with m.If((byte != ESC_END) & (byte != ESC_ESC)):
                            m.d.sync += broken.eq(1)
                        m.next = "HOLD"
                    with m.Elif(byte == ESC):
                        m.d.sync += escaped.eq(1)
                    with m.Else():
                        m.d.sync += incoming.eq(byte)
                        m.next = "HOLD"
            with m.State("HOLD"):
                m.d.comb += [self.o.p.data.eq(first), self.o.valid.eq(count == 2)]
                with m.If(count != 2):
                    m.d.sync += count.eq(count + 1)
                with m.If((count != 2) | self.o.ready):
                    m.d.sync += [second.eq(incoming), first.eq(second)]
                    m.d.sync += begun.eq(count == 2)
                    m.d.comb += crc.valid.eq(count == 2)
                    m.next = "TAKE"
            with m.State("END"):
                m.d.comb += [self.o.p.end.eq(1), self.o.p.fault.eq(fault), self.o.valid.eq(1)]
                with m.If(self.o.ready):
                    m.d.sync += [count.eq(0), begun.eq(0), escaped.eq(0), broken.eq(0)]
                    m.d.comb += crc.start.eq(1)
                    m.next = "TAKE"

        return m


class Framer(wiring.Component):
    """Frames around payloads.

    Members
    -------
    i : In(stream.Signature(OutgoingLayout()))
    o : Out(stream.Signature(8))
    """

    i: Any
    o: Any

    def __init__(self) -> None:
        super().__init__({"i": In(stream.Signature(OutgoingLayout())), "o": Out(stream.Signature(8))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()

        m.submodules.crc = crc = CRC16_CCITT_FALSE().create()
        m.d.comb += crc.data.eq(self.i.p.data)

        # Escapes: a byte that looks like END or ESC goes out in two.
        byte = Signal(8)
        marker = Signal()
        second = Signal()
        special = Signal()
        sent = Signal()
        m.d.comb += [
            special.eq(~marker & ((byte == END) | (byte == ESC))),
            sent.eq(self.o.valid & self.o.ready & (~special | second)),
            self.o.payload.eq(byte),
        ]
        with m.If(special):
            m.d.comb += self.o.payload.eq(Mux(second, Mux(byte == END, ESC_END, ESC_ESC), ESC))
            with m.If(self.o.valid & self.o.ready):
                m.d.sync += second.eq(~second)

        # Order of a frame.
        with m.FSM():
            with m.State("OPEN"):
                m.d.comb += [byte.eq(END), marker.eq(1), self.o.valid.eq(self.i.valid), crc.start.eq(1)]
                with m.If(sent):
                    m.next = "PAYLOAD"
            with m.State("PAYLOAD"):
                m.d.comb += [byte.eq(self.i.p.data), self.o.valid.eq(self.i.valid)]
                m.d.comb += [self.i.ready.eq(sent), crc.valid.eq(sent)]
                with m.If(sent & self.i.p.last):
                    m.next = "LOW"
            with m.State("LOW"):
                m.d.comb += [byte.eq(crc.crc[:8]), self.o.valid.eq(1)]
                with m.If(sent):
                    m.next = "HIGH"
            with m.State("HIGH"):
                m.d.comb += [byte.eq(crc.crc[8:]), self.o.valid.eq(1)]
                with m.If(sent):
                    m.next = "CLOSE"
            with m.State("CLOSE"):
                m.d.comb += [byte.eq(END), marker.eq(1), self.o.valid.eq(1)]
                with m.If(sent):
                    m.next = "OPEN"

        return m
