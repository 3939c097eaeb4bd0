"""Readout: events become scores and an answer."""

from typing import Any

import numpy as np
from amaranth import Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .layout import BeatLayout, Fields, shape_of
from .memory import Ram
from .plan import ReadoutPlan

__all__ = ["Readout"]


class Readout(wiring.Component):
    """Scores every neuron, and after the sample sends the scores, in C order, and the answer.

    The rule is that of :class:`quant.ir.Readout`, kinds ``count``, ``first_spike`` and ``membrane``. A neuron sends at
    most one event a step; of ``membrane`` every neuron sends its H in every step.

    An event takes one cycle, a tick too. With the tick that ends a sample in cycle 0, the first score is offered in
    cycle 2, and the others one a cycle; the index of the best follows, with ``last`` set, and the cycle after it has
    been taken takes the next sample. After a reset the scores are set, one a cycle, before anything is taken.

    Parameters
    ----------
    plan : ReadoutPlan

    Members
    -------
    i : In(stream.Signature(BeatLayout(plan.shape, plan.values)))
    o : Out(stream.Signature({"data": signed(plan.width), "last": 1}))
    decided : Out(1)
        A spike of ``first_spike`` has come; nothing after this step changes the answer.
    finished : Out(1)
        The tick that ends a sample has been taken in this cycle.
    """

    def __init__(self, plan: ReadoutPlan):
        self.plan = plan
        super().__init__(
            {
                "i": In(stream.Signature(BeatLayout(plan.shape, plan.values))),
                "o": Out(stream.Signature(data.StructLayout({"data": signed(plan.width), "last": 1}))),
                "decided": Out(1),
                "finished": Out(1),
            }
        )

    @property
    def empty(self) -> int:
        """Score before the first event."""
        if self.plan.kind == "first_spike":
            return self.plan.steps
        return self.plan.scores.low if self.plan.kind == "membrane" and self.plan.reduce == "max" else 0

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        plan, empty = self.plan, self.empty
        first = plan.kind == "first_spike"
        fields, shape = Fields(plan.shape), shape_of(plan.scores)
        final = int(fields.encode(np.array(plan.classes - 1)))

        # Scores, one per address; those of no neuron are not used.
        m.submodules.scores = scores = Ram(
            width=shape.width, depth=final + 1, init=[empty & ((1 << shape.width) - 1)] * (final + 1)
        )
        place = Signal(fields.width)
        after = Signal(fields.width)
        address = Signal(fields.width)
        previous = Signal(fields.width)
        score = Signal(shape)
        m.d.comb += [
            after.eq(fields.following(place)),
            scores.read_address.eq(address),
            scores.write_address.eq(previous),
            score.eq(scores.read_data),
        ]
        m.d.sync += previous.eq(address)

        # Rule.
        beat = self.i.payload
        step = Signal(range(plan.steps + 1))
        value = Signal(shape_of(plan.values), reset_less=True)
        closed = Signal()
        counted = Signal()
        best, answer = Signal(shape, reset_less=True), Signal(range(plan.classes), reset_less=True)
        better = (score < best) if first else (score > best)
        m.d.sync += value.eq(beat.value)

        # Number of the neuron at a place; where addresses have no gaps, it is the place.
        neuron = place
        if final != plan.classes - 1:
            neuron = Signal(range(plan.classes))

        # Flow control.
        with m.FSM(init="CLEAR"):
            with m.State("CLEAR"):
                m.d.comb += [address.eq(place), scores.write_enable.eq(1), scores.write_data.eq(empty)]
                m.d.sync += place.eq(after)
                with m.If(previous == final):
                    m.d.sync += place.eq(0)
                    m.next = "COUNT"
            with m.State("COUNT"):
                m.d.comb += [
                    self.i.ready.eq(1),
                    address.eq(beat.address),
                    scores.write_enable.eq(counted),
                    scores.write_data.eq(self._scored(score, step, value)),
                ]
                m.d.sync += counted.eq(self.i.valid & ~beat.tick & ~closed)
                with m.If(self.i.valid & ~beat.tick):
                    m.d.sync += self.decided.eq(first)
                with m.If(self.i.valid & beat.tick):
                    m.d.sync += closed.eq(self.decided)
                    with m.If(step != plan.steps):
                        m.d.sync += step.eq(step + 1)
                    with m.If(beat.last):
                        m.d.comb += self.finished.eq(1)
                        m.d.sync += [step.eq(0), closed.eq(0), self.decided.eq(0)]
                        m.next = "FETCH"
            with m.State("FETCH"):
                m.d.comb += address.eq(place)
                m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += [
                    address.eq(place),
                    self.o.valid.eq(1),
                    self.o.payload.data.eq(score),
                    scores.write_data.eq(empty),
                ]
                with m.If(self.o.ready):
                    m.d.comb += [scores.write_enable.eq(1), address.eq(after)]
                    m.d.sync += place.eq(after)
                    if neuron is not place:
                        m.d.sync += neuron.eq(neuron + 1)
                    with m.If((place == 0) | better):
                        m.d.sync += [best.eq(score), answer.eq(neuron)]
                    with m.If(place == final):
                        m.d.sync += [place.eq(0), neuron.eq(0)]
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

    def _scored(self, score: Signal, step: Signal, value: Signal) -> Value:
        """Score of a neuron after its event."""
        if self.plan.kind == "first_spike":
            return step
        if self.plan.kind == "count" and not self.plan.values.signed:
            return score + 1
        if self.plan.kind == "count" or self.plan.reduce == "sum":
            return score + value
        return Mux(value > score, value, score) if self.plan.reduce == "max" else value
