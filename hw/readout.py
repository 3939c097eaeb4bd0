"""Readout: events become scores and an answer."""

from typing import Any

from amaranth import Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from quant.ranges import Range

from .layout import BeatLayout
from .memory import Ram

__all__ = ["Readout"]


class Readout(wiring.Component):
    """Scores every neuron, and after the sample sends the scores and the answer.

    The rule is that of :class:`quant.ir.Readout`, kinds ``count`` and ``first_spike``. An event takes one cycle.
    The tick that ends a sample is followed by one word per neuron, its score, and one with the index of the best,
    which has ``last`` set; then the next sample is taken.

    Parameters
    ----------
    kind : str
        ``"count"`` or ``"first_spike"``.
    neurons : int
        Number of neurons.
    steps : int
        Time steps of a sample, at most.
    width : int
        Width in bits of a word of the answer, with its sign.

    Members
    -------
    i : In(stream.Signature(BeatLayout))
    o : Out(stream.Signature({"data": signed(width), "last": 1}))
    decided : Out(1)
        A ``first_spike`` has come; nothing after this step changes the answer.
    finished : Out(1)
        The tick that ends a sample has been taken in this cycle.
    """

    def __init__(self, *, kind: str, neurons: int, steps: int, width: int):
        self.kind = kind
        self.neurons = neurons
        self.steps = steps
        self.width = width
        super().__init__(
            {
                "i": In(stream.Signature(BeatLayout(neurons, Range(0, 1)))),
                "o": Out(stream.Signature(data.StructLayout({"data": signed(width), "last": 1}))),
                "decided": Out(1),
                "finished": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        first = self.kind == "first_spike"
        empty = self.steps if first else 0
        width = Range(0, self.steps).width

        # Scores, one per neuron.
        m.submodules.scores = scores = Ram(width=width, depth=self.neurons, init=[empty] * self.neurons)
        neuron = Signal(range(self.neurons + 1))
        address = Signal(range(self.neurons))
        previous = Signal(range(self.neurons))
        score = Signal(width)
        m.d.comb += [scores.read_address.eq(address), scores.write_address.eq(previous), score.eq(scores.read_data)]
        m.d.sync += previous.eq(address)

        # Rule.
        beat = self.i.payload
        step = Signal(range(self.steps + 1))
        closed = Signal()
        counted = Signal()
        best, answer = Signal(width), Signal(range(self.neurons))
        better = (score < best) if first else (score > best)

        # Flow control.
        with m.FSM(init="CLEAR"):
            with m.State("CLEAR"):
                m.d.comb += [address.eq(neuron), scores.write_enable.eq(neuron != 0), scores.write_data.eq(empty)]
                m.d.sync += neuron.eq(neuron + 1)
                with m.If(neuron == self.neurons):
                    m.d.sync += neuron.eq(0)
                    m.next = "COUNT"
            with m.State("COUNT"):
                m.d.comb += [
                    self.i.ready.eq(1),
                    address.eq(beat.address),
                    scores.write_enable.eq(counted),
                    scores.write_data.eq(step if first else score + 1),
                ]
                m.d.sync += counted.eq(self.i.valid & ~beat.tick & ~closed)
                with m.If(self.i.valid & ~beat.tick):
                    m.d.sync += self.decided.eq(first)
                with m.If(self.i.valid & beat.tick):
                    m.d.sync += closed.eq(self.decided)
                    with m.If(step != self.steps):
                        m.d.sync += step.eq(step + 1)
                    with m.If(beat.last):
                        m.d.comb += self.finished.eq(1)
                        m.d.sync += [step.eq(0), closed.eq(0), self.decided.eq(0)]
                        m.next = "FETCH"
            with m.State("FETCH"):
                m.d.comb += address.eq(neuron)
                m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += [
                    address.eq(neuron),
                    self.o.valid.eq(1),
                    self.o.payload.data.eq(score),
                    scores.write_data.eq(empty),
                ]
                with m.If(self.o.ready):
                    m.d.comb += [scores.write_enable.eq(1), address.eq(neuron + 1)]
                    m.d.sync += neuron.eq(neuron + 1)
                    with m.If((neuron == 0) | better):
                        m.d.sync += [best.eq(score), answer.eq(neuron)]
                    with m.If(neuron == self.neurons - 1):
                        m.d.sync += neuron.eq(0)
                        m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.payload.data.eq(answer),
                    self.o.payload.last.eq(1),
                ]
                with m.If(self.o.ready):
                    m.next = "COUNT"
        return m
