"""Asynchronous serial receiver and transmitter, 8N1."""

from typing import Any

from amaranth import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from quant.errors import SpikeloomError

__all__ = ["BaudError", "ReceivedLayout", "UartReceiver", "UartTransmitter", "baud_divisor"]

_SLOWEST = 4
_TOLERANCE = 0.02


class BaudError(SpikeloomError, ValueError):
    """A baud rate that the clock cannot make."""


def baud_divisor(clock_hz: float, baud: int) -> int:
    """Clock cycles of one bit.

    Raises
    ------
    BaudError
        If the baud rate is above a quarter of the clock, or no whole number of cycles comes within 2 % of it.
    """
    if baud < 1 or clock_hz < _SLOWEST * baud:
        raise BaudError(f"Baud rate must be between 1 and {clock_hz / _SLOWEST:.0f} at {clock_hz:.0f} Hz, not {baud}")
    divisor = round(clock_hz / baud)
    if abs(clock_hz / divisor - baud) > _TOLERANCE * baud:
        raise BaudError(
            f"Baud rate must be within 2 % of a whole fraction of {clock_hz:.0f} Hz, such as {clock_hz / divisor:.0f}, "
            f"not {baud}"
        )
    return divisor


class ReceivedLayout(data.StructLayout):
    """A byte from the line.

    Members
    -------
    data : 8
    error : 1
        Its stop bit was missing, or bytes before it were lost.
    """

    def __init__(self) -> None:
        super().__init__({"data": 8, "error": 1})


class UartReceiver(wiring.Component):
    """Bytes from a serial line.

    A byte waits in a register of one place until it is taken; a byte that comes meanwhile is lost, and the next one
    that is not carries ``error``. Bits are read in their middle, the line through two registers. After a missing stop
    bit the line must return to 1 before the next start bit.

    Parameters
    ----------
    divisor : int
        Clock cycles of one bit, at least 4: see :func:`baud_divisor`.

    Members
    -------
    rx : In(1)
        The line; may be asynchronous.
    o : Out(stream.Signature(ReceivedLayout()))
    """

    rx: Any
    o: Any

    def __init__(self, divisor: int):
        self.divisor = divisor
        super().__init__({"rx": In(1), "o": Out(stream.Signature(ReceivedLayout()))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()

        rx = Signal(init=1)
        m.submodules.rx_sync = FFSynchronizer(self.rx, rx, init=1)

        # A byte to give away.
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)

        # Bits, least significant first: the stop bit is in place when the start bit falls out.
        wait = Signal(range(self.divisor))
        bits = Signal(8)
        count = Signal(range(9))
        lost = Signal()
        with m.If(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.FSM():
            with m.State("IDLE"), m.If(~rx):
                m.d.sync += wait.eq(self.divisor // 2 - 1)
                m.next = "START"
            with m.State("START"), m.If(wait == 0):
                m.d.sync += [wait.eq(self.divisor - 1), count.eq(0)]
                m.next = "BITS"
                with m.If(rx):
                    m.next = "IDLE"
            with m.State("BITS"), m.If(wait == 0):
                m.d.sync += [wait.eq(self.divisor - 1), bits.eq(Cat(bits[1:], rx)), count.eq(count + 1)]
                with m.If(count == 7):
                    m.next = "STOP"
            with m.State("STOP"), m.If(wait == 0):
                with m.If(self.o.valid & ~self.o.ready):
                    m.d.sync += lost.eq(1)
                with m.Else():
                    m.d.sync += [
                        self.o.valid.eq(1),
                        self.o.p.data.eq(bits),
                        self.o.p.error.eq(~rx | lost),
                        lost.eq(0),
                    ]
                m.next = "RELEASE"
            with m.State("RELEASE"), m.If(rx):
                m.next = "IDLE"

        return m


class UartTransmitter(wiring.Component):
    """Bytes onto a serial line, one every ``10 * divisor`` clock cycles and one cycle between them.

    Parameters
    ----------
    divisor : int
        Clock cycles of one bit.

    Members
    -------
    i : In(stream.Signature(8))
    tx : Out(1)
        The line, 1 when idle.
    """

    i: Any
    tx: Any

    def __init__(self, divisor: int):
        self.divisor = divisor
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()

        # The line is the low bit; ones follow the stop bit.
        bits = Signal(10, init=0x3FF)
        m.d.comb += self.tx.eq(bits[0])
        left = Signal(range(11))
        wait = Signal(range(self.divisor + 1))
        m.d.comb += self.i.ready.eq(left == 0)
        with m.If(left == 0), m.If(self.i.valid):
            m.d.sync += [bits.eq(Cat(0, self.i.payload, 1)), left.eq(10), wait.eq(self.divisor - 1)]
        with m.Elif(wait == 0):
            m.d.sync += [bits.eq(Cat(bits[1:], 1)), left.eq(left - 1), wait.eq(self.divisor - 1)]
        with m.Else():
            m.d.sync += wait.eq(wait - 1)

        return m
