"""Link: a sample comes in a frame, its answer goes out in a frame; and weights, where they can be loaded.

A payload begins with a byte of two halves: the command in the low four bits, and a tag in the high four, which comes
back in the response. Integers are little endian.

============  =================  ==============================================================================
command       request            response
============  =================  ==============================================================================
1 ``INFO``    nothing            9, then :meth:`LinkSpec.info`
2 ``RUN``     beats, see below   10, then the network's output beats (the scores, then the answer) of
                                 ``score_bytes`` each, sign extended; then, of 4 bytes each: the clock cycles from
                                 the end of the frame to the first score, and the number of spikes of every
                                 population
4 ``LOAD``    a piece            12
5 ``VERIFY``  CRC-32             13, then the CRC-32 of the weights as they were read back
any                              15, then a :class:`hw.frame.Fault`
============  =================  ==============================================================================

A beat takes ``beat_bytes`` bytes: the address in the low bits, above it the value in two's complement, above that the
tick. The tick that ends the sample is not sent: the end of the frame is it. A step must hold an address once at most.

Beats go into the network while the frame arrives; there is no memory for a frame. If it turns out to be bad, the link
ends the sample, drops the answer, and responds with the fault. What the input does not have, an address, a value or a
step, is never passed on.

A piece of an image of weights is that of :mod:`hw.loader`. From the first byte of a LOAD on the weights count as not
loaded, and RUN is refused, until a VERIFY finds in the memories what the host says. LOAD differs from INFO and RUN in
two bits.
"""

from typing import Any

from amaranth import Array, Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .frame import Deframer, Fault, Framer
from .gate import outside
from .link_spec import DEFAULT_BAUD, HASH_BYTES, VERSION, LinkSpec
from .loader import LoadSignature
from .uart import ReceivedLayout

__all__ = [
    "DEFAULT_BAUD",
    "ERROR",
    "HASH_BYTES",
    "INFO",
    "LOAD",
    "RESPONSE",
    "RUN",
    "VERIFY",
    "VERSION",
    "Link",
    "LinkSpec",
]

INFO, RUN, LOAD, VERIFY, RESPONSE, ERROR = 1, 2, 4, 5, 8, 15
_COUNTER_BITS = 32
_CRC_BYTES = 4
_LOADED_AT = 24
"""Byte of the answer to INFO that says whether the weights are loaded; the last four are their checksum."""


class Link(wiring.Component):
    """Takes samples out of frames, puts answers into frames.

    One frame at a time: while a sample runs and its answer goes out, no byte is taken.

    Parameters
    ----------
    spec : LinkSpec

    Members
    -------
    i : In(stream.Signature(ReceivedLayout()))
        Bytes from the host.
    o : Out(stream.Signature(8))
        Bytes to the host.
    beats : Out(stream.Signature(spec.layout))
        To the network.
    scores : In(stream.Signature(spec.output))
        From the network.
    fired : In(spec.populations)
        From the network: a spike of each population in this cycle.
    busy : Out(1)
        A frame has begun, and its response has not gone out.
    bad : Out(1)
        The last frame was bad.
    load : Out(LoadSignature())
        To the network, if its weights can be loaded.
    """

    i: Any
    o: Any
    beats: Any
    scores: Any
    fired: Any
    busy: Any
    bad: Any

    def __init__(self, spec: LinkSpec):
        self.spec = spec
        load = {"load": Out(LoadSignature())} if spec.plan.reloadable else {}
        super().__init__(
            {
                "i": In(stream.Signature(ReceivedLayout())),
                "o": Out(stream.Signature(8)),
                "beats": Out(stream.Signature(spec.layout)),
                "scores": In(stream.Signature(spec.output)),
                "fired": In(spec.populations),
                "busy": Out(1),
                "bad": Out(1),
                **load,
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.deframer = deframer = Deframer()
        m.submodules.framer = framer = Framer()
        wiring.connect(m, **{"link.i": wiring.flipped(self.i), "deframer.i": deframer.i})
        wiring.connect(m, **{"framer.o": framer.o, "link.o": wiring.flipped(self.o)})
        frame = deframer.o

        # The frame.
        command = Signal(8)
        fault: Any = Signal(Fault)
        opened = Signal()
        runs, loads, verifies = Signal(), Signal(), Signal()
        m.d.comb += [runs.eq(command[:4] == RUN), self.bad.eq(fault != Fault.NONE)]
        reloadable = self.spec.plan.reloadable
        if reloadable:
            m.d.comb += [loads.eq(command[:4] == LOAD), verifies.eq(command[:4] == VERIFY)]

        # The beat, whose bytes come in from above.
        spec, beat = self.spec, self.beats.payload
        word: Any = Signal(8 * spec.beat_bytes)
        filled = Signal(range(max(spec.beat_bytes, _CRC_BYTES if spec.plan.reloadable else 0) + 1))
        steps = Signal(range(spec.steps + 1))
        refusal = Signal(Fault)
        self._unpack(m, word, refusal, steps)

        # Counters: cycles, then spikes. A choice of their bytes is smaller than counters that are shifted.
        counters: Any = Signal(data.ArrayLayout(_COUNTER_BITS, 1 + spec.populations))
        waiting = Signal()
        counts = Cat(waiting & ~self.scores.valid, self.fired)
        for index in range(1 + spec.populations):
            with m.If(counts[index]):
                m.d.sync += counters[index].eq(counters[index] + 1)

        info: list[Any] = list(spec.info())
        load: Any = LoadSignature().create() if not reloadable else self.load
        crc: Any = Signal(8 * _CRC_BYTES)
        if reloadable:
            info[_LOADED_AT] = load.loaded
            info[-_CRC_BYTES:] = [load.crc.word_select(index, 8) for index in range(_CRC_BYTES)]
            m.d.comb += [load.bytes.payload.eq(frame.p.data), load.expected.eq(crc)]

        # Bytes that go out, through a register: the way to the line and the way from the network stay short.
        full = Signal()
        m.d.comb += framer.i.valid.eq(full)
        with m.If(framer.i.ready):
            m.d.sync += full.eq(0)
        sent = Signal(range(max(len(info), len(counters.as_value()) // 8, spec.score_bytes)))
        score = Signal(signed(8 * spec.score_bytes))
        m.d.comb += score.eq(self.scores.payload.data)

        def send(byte: Any, *, last: Any = False) -> Any:
            with m.If(~full):
                m.d.sync += [full.eq(1), framer.i.p.data.eq(byte), framer.i.p.last.eq(last)]
            return m.If(~full)

        with m.FSM() as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("COMMAND"))
            with m.State("COMMAND"):
                m.d.comb += frame.ready.eq(1)
                m.d.sync += [filled.eq(0), steps.eq(0), opened.eq(0), sent.eq(0), counters.eq(0)]
                with m.If(frame.valid & frame.p.end):
                    m.d.sync += [command.eq(0), fault.eq(frame.p.fault)]
                    m.next = "ERROR"
                with m.Elif(frame.valid):
                    low = frame.p.data[:4]
                    known = (low == INFO) | (low == RUN)
                    if reloadable:
                        known |= (low == LOAD) | (low == VERIFY)
                        m.d.comb += load.start.eq(low == LOAD)
                    m.d.sync += [command.eq(frame.p.data), fault.eq(Mux(known, Fault.NONE, Fault.COMMAND))]
                    if reloadable:
                        with m.If((low == RUN) & ~load.loaded):
                            m.d.sync += fault.eq(Fault.WEIGHTS)
                    m.next = "DATA"

            with m.State("DATA"):
                m.d.comb += frame.ready.eq(frame.p.end | ~loads | self.bad | load.bytes.ready)
                short = filled != 0
                if reloadable:
                    short = ~self.bad & Mux(loads, ~load.whole, filled != Mux(verifies, _CRC_BYTES, 0))
                with m.If(frame.valid & frame.p.end):
                    m.next = "JUDGE"
                    with m.If(frame.p.fault != Fault.NONE):
                        m.d.sync += fault.eq(frame.p.fault)
                    with m.Elif(short):
                        m.d.sync += fault.eq(Fault.LENGTH)
                with m.Elif(frame.valid & loads):
                    m.d.comb += load.bytes.valid.eq(~self.bad & ~load.outside)
                    with m.If(~self.bad & load.bytes.ready & load.outside):
                        m.d.sync += fault.eq(Fault.ADDRESS)
                with m.Elif(frame.valid & verifies):
                    m.d.sync += [crc.eq(Cat(crc, frame.p.data)[8:]), filled.eq(filled + 1)]
                    with m.If(filled == _CRC_BYTES):
                        m.d.sync += [fault.eq(Fault.LENGTH), filled.eq(filled)]
                with m.Elif(frame.valid & (fault == Fault.NONE)):
                    m.d.sync += [word.eq(Cat(word, frame.p.data)[8:]), filled.eq(filled + 1)]
                    with m.If(runs & (filled == spec.beat_bytes - 1)):
                        m.next = "CHECK"
                    with m.If(~runs):
                        m.d.sync += fault.eq(Fault.LENGTH)

            with m.State("CHECK"):
                m.d.sync += [filled.eq(0), fault.eq(refusal)]
                m.next = "DATA"
                with m.If(refusal == Fault.NONE):
                    m.next = "BEAT"
            with m.State("BEAT"):
                m.d.comb += self.beats.valid.eq(1)
                with m.If(self.beats.ready):
                    m.d.sync += [opened.eq(1), steps.eq(steps + beat.tick)]
                    m.next = "DATA"

            with m.State("JUDGE"):
                with m.If(runs & (opened | ~self.bad)):
                    m.next = "CLOSE"
                with m.Elif(self.bad):
                    m.next = "ERROR"
                with m.Elif(verifies):
                    m.d.comb += load.verify.eq(1)
                    m.next = "VERIFY"
                with m.Else():
                    m.next = "HEAD"
            with m.State("VERIFY"), m.If(~load.busy):
                m.next = "HEAD"

            with m.State("CLOSE"):
                m.d.comb += [waiting.eq(1), self.beats.valid.eq(1), beat.tick.eq(1), beat.last.eq(1)]
                with m.If(self.beats.ready):
                    m.next = "WAIT"
            with m.State("WAIT"):
                m.d.comb += waiting.eq(1)
                with m.If(self.scores.valid):
                    m.next = "HEAD"
                    with m.If(self.bad):
                        m.next = "DROP"
            with m.State("DROP"):
                m.d.comb += self.scores.ready.eq(1)
                with m.If(self.scores.valid & self.scores.p.last):
                    m.next = "ERROR"

            with m.State("HEAD"), send(command | RESPONSE, last=loads):
                m.next = "SCORES"
                with m.If(loads):
                    m.next = "COMMAND"
                with m.Elif(~runs):
                    m.next = "INFO"
                    with m.If(verifies):
                        # The last bytes of INFO are what is asked for.
                        m.d.sync += sent.eq(len(info) - _CRC_BYTES)
            # Yosys 0.70 loses the sign of a signed value of which a part is chosen.
            with m.State("SCORES"), m.If(self.scores.valid), send(score.as_unsigned().word_select(sent, 8)):
                m.d.sync += sent.eq(sent + 1)
                with m.If(sent == spec.score_bytes - 1):
                    m.d.sync += sent.eq(0)
                    m.d.comb += self.scores.ready.eq(1)
                    with m.If(self.scores.p.last):
                        m.next = "COUNTERS"
            with m.State("COUNTERS"):
                last = sent == len(counters.as_value()) // 8 - 1
                with send(counters.as_value().word_select(sent, 8), last=last):
                    m.d.sync += sent.eq(sent + 1)
                    with m.If(last):
                        m.next = "COMMAND"
            with m.State("INFO"):
                last = sent == len(info) - 1
                with send(Array(info)[sent], last=last):
                    m.d.sync += sent.eq(sent + 1)
                    with m.If(last):
                        m.next = "COMMAND"
            with m.State("ERROR"), send(Mux(sent == 0, command | ERROR, fault.as_value()), last=sent == 1):
                m.d.sync += sent.eq(sent + 1)
                with m.If(sent == 1):
                    m.next = "COMMAND"

        return m

    def _unpack(self, m: Any, word: Any, refusal: Any, steps: Any) -> None:
        """Fields of the beat in ``word``, and whether the input has them."""
        layout = self.spec.layout
        beat = self.beats.payload
        fields = {name: layout[name] for name in ("address", "value", "tick")}
        at = 0
        for name, field in fields.items():
            m.d.comb += beat[name].eq(word[at : at + field.width])
            at += field.width
        with m.If(beat.tick), m.If(steps == self.spec.steps - 1):
            m.d.comb += refusal.eq(Fault.STEPS)
        with m.Elif(outside(layout, beat.address)):
            m.d.comb += refusal.eq(Fault.ADDRESS)
        with m.Elif((beat.value < layout.values.low) | (beat.value > layout.values.high)):
            m.d.comb += refusal.eq(Fault.VALUE)
