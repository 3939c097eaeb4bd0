"""Top level of a board: serial line, link and network."""

from typing import Any

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from .link import Link, LinkSpec
from .network import NetworkCore
from .uart import UartReceiver, UartTransmitter

__all__ = ["Top"]

_QUEUE_DEPTH = 256


class Top(wiring.Component):
    """A network behind a serial line of 8N1; the protocol is that of :mod:`hw.link`.

    Between line and link is a queue of 256 bytes, one block RAM, and one more in a register.

    Parameters
    ----------
    spec : LinkSpec
        The network, its clock and the line's baud rate.

    Members
    -------
    rx : In(1)
    tx : Out(1)
    leds : Out(2)
        Bit 0: busy with a frame. Bit 1: the last frame was bad.
    """

    rx: Any
    tx: Any
    leds: Any

    def __init__(self, spec: LinkSpec):
        self.spec = spec
        super().__init__({"rx": In(1), "tx": Out(1), "leds": Out(2)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.receiver = receiver = UartReceiver(self.spec.divisor)
        m.submodules.transmitter = transmitter = UartTransmitter(self.spec.divisor)
        m.submodules.queue = queue = SyncFIFOBuffered(width=9, depth=_QUEUE_DEPTH)
        m.submodules.link = link = Link(self.spec)
        m.submodules.network = network = NetworkCore(self.spec.plan)

        # Line to link and back; a register behind the queue's memory, which answers late in its cycle.
        full = Signal()
        with m.If(~full):
            m.d.sync += [link.i.payload.eq(queue.r_data), full.eq(queue.r_rdy)]
        with m.Elif(link.i.ready):
            m.d.sync += full.eq(0)
        m.d.comb += [
            receiver.rx.eq(self.rx),
            queue.w_data.eq(receiver.o.payload),
            queue.w_en.eq(receiver.o.valid),
            receiver.o.ready.eq(queue.w_rdy),
            link.i.valid.eq(full),
            queue.r_en.eq(~full),
            self.tx.eq(transmitter.tx),
            self.leds.eq(Cat(link.busy, link.bad)),
        ]
        wiring.connect(m, **{"link.o": link.o, "transmitter.i": transmitter.i})

        # Link to network and back.
        wiring.connect(m, **{"link.beats": link.beats, "network.i": network.i})
        wiring.connect(m, **{"network.o": network.o, "link.scores": link.scores})
        m.d.comb += link.fired.eq(network.fired)
        if self.spec.plan.reloadable:
            wiring.connect(m, **{"link.load": link.load, "network.load": network.load})
        return m
