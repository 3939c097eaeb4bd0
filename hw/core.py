"""Core: one population and the connection into it."""

from itertools import pairwise
from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from quant.ranges import Range

from .accumulator import Accumulator
from .arith import pack
from .layout import BeatLayout, shape_of
from .memory import Rom
from .plan import QUEUE_DEPTH, CorePlan
from .serialiser import Serialiser
from .sweep import Sweep

__all__ = ["Core"]


class Core(wiring.Component):
    """Adds the weights of each event to the sums of its targets, and on a tick updates every neuron.

    An event takes ``rows`` cycles, a tick ``sweeps`` cycles: one row of weights, or one word of neurons, a cycle.
    Both go through one pipeline in the order in which they come, so that neither waits for the other to finish.
    A tick waits for a free place in the queue of spikes, and ``cooldown`` cycles after the tick before.

    If the source sends the sample once (``plan.steps``), its one tick makes the core run all steps with the sums
    it has, which it keeps until the last.

    After a reset the core sweeps once to set every membrane and sum, whatever it was interrupted in.

    Parameters
    ----------
    plan : CorePlan

    Members
    -------
    i : In(stream.Signature(BeatLayout))
        Events and ticks of the source.
    o : Out(stream.Signature(BeatLayout))
        Events and ticks of the population.
    stop : In(1)
        The sample is decided: of the steps that the core runs by itself, the next one is the last.
    finished : Out(1)
        The last step of a sample has been issued in this cycle.
    trace : Out
        What :class:`Sweep` traces.
    """

    def __init__(self, plan: CorePlan):
        self.plan = plan
        self.sweep = Sweep(plan)
        trace = {
            name.removeprefix("trace_"): Out(member.shape)
            for name, member in self.sweep.signature.members.items()
            if name.startswith("trace_")
        }
        super().__init__(
            {
                "i": In(stream.Signature(BeatLayout(plan.inputs, plan.values))),
                "o": Out(stream.Signature(BeatLayout(plan.population.size, Range(0, 1)))),
                "stop": In(1),
                "finished": Out(1),
                "trace": Out(wiring.Signature(trace)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        plan = self.plan
        m.submodules.sweep = sweep = self.sweep
        m.submodules.serialiser = serialiser = Serialiser(
            neurons=plan.population.size, units=plan.units, depth=QUEUE_DEPTH
        )
        wiring.connect(m, **{"serialiser.o": serialiser.o, "core.o": wiring.flipped(self.o)})

        # Free places of the queue of spikes.
        places = Signal(range(QUEUE_DEPTH + 1), init=QUEUE_DEPTH)
        claim = Signal()
        m.d.sync += places.eq(places + serialiser.dropped + serialiser.released - claim)

        # Operation of this cycle: a row of the event, or a word of the sweep.
        # A signal each, not a structure: fields depend on others, and simulators order whole signals.
        operation = wiring.Signature(
            {
                "add": Out(1),
                "sweep": Out(1),
                "row": Out(range(plan.rows)),
                "bank": Out(range(plan.banks)),
                "index": Out(range(plan.sweeps)),
                "end": Out(1),
                "last": Out(1),
                "mute": Out(1),
                "value": Out(shape_of(plan.values)),
            }
        )
        issued: Any = operation.create(path=("issued",))
        cleaning = Signal(init=1)
        ready = Signal()
        row = Signal(range(plan.rows))
        offset = Signal(range(max(1, plan.weight_words)))
        beat = self.i.payload
        m.d.comb += [
            issued.add.eq(self.i.valid & ~beat.tick & ~cleaning),
            issued.sweep.eq(ready & (places != 0) & ((self.i.valid & beat.tick) | cleaning)),
            issued.mute.eq(cleaning),
            issued.value.eq(beat.value),
            claim.eq(issued.sweep & ~cleaning),
        ]
        self._issue_event(m, issued, row, offset)
        self._issue_sweep(m, issued, row, cleaning, ready)

        # Weights, one row a cycle; then their products.
        weight_shape = shape_of(Range(-(1 << (plan.connection.weight_bits - 1)), 0))
        m.submodules.weights = weights = Rom(
            width=plan.lanes * weight_shape.width,
            init=[pack(word, weight_shape.width) for word in plan.weight_rows],
        )
        m.d.sync += weights.address.eq(beat.address + offset)
        operands = Signal(data.ArrayLayout(weight_shape, plan.lanes), reset_less=True)
        m.d.sync += operands.as_value().eq(weights.data)
        weight = Range(-(1 << (plan.connection.weight_bits - 1)), (1 << (plan.connection.weight_bits - 1)) - 1)
        operand = weight
        depth = 3
        if plan.multiplies:
            depth = 4
            values = (plan.values.low, plan.values.high)
            corners = [w * v for w in (weight.low, weight.high) for v in values]
            operand = Range(min(corners), max(corners))
        stages = [issued, *(operation.create(path=(f"stage_{number}",)) for number in range(1, depth + 1))]
        for before, after in pairwise(stages):
            m.d.sync += [getattr(after, name).eq(getattr(before, name)) for name in operation.members]
        if plan.multiplies:
            products = Signal(data.ArrayLayout(shape_of(operand), plan.lanes), reset_less=True)
            for lane in range(plan.lanes):
                m.d.sync += products[lane].eq(operands[lane] * stages[3].value)
            operands = products

        # Sums of the events; the sweep takes them.
        m.submodules.accumulator = accumulator = Accumulator(
            rows=plan.rows, banks=plan.banks, units=plan.units, drive=plan.bounds.drive, operand=operand
        )
        here = stages[depth]
        m.d.comb += [
            accumulator.fetch_row.eq(stages[depth - 2].row),
            accumulator.row.eq(here.row),
            accumulator.bank.eq(here.bank),
            accumulator.add.eq(here.add),
            accumulator.take.eq(here.sweep),
            accumulator.clear.eq(here.last if plan.steps else 1),
            accumulator.operands.eq(operands),
            sweep.fetch_index.eq(stages[depth - 1].index),
            sweep.valid.eq(here.sweep),
            sweep.drives.eq(accumulator.taken),
        ]
        m.d.comb += [getattr(sweep, name).eq(getattr(here, name)) for name in ("index", "end", "last", "mute")]

        # Spikes out.
        m.d.comb += [
            serialiser.push.eq(sweep.o_valid),
            serialiser.index.eq(sweep.o_index),
            serialiser.spikes.eq(sweep.o_spikes),
            serialiser.end.eq(sweep.o_end),
            serialiser.last.eq(sweep.o_last),
        ]
        m.d.comb += [
            getattr(self.trace, name).eq(getattr(sweep, f"trace_{name}")) for name in self.trace.signature.members
        ]
        return m

    def _issue_event(self, m: Module, issued: Any, row: Signal, offset: Signal) -> None:
        """Rows of an event: the weights of row r lie ``r * inputs`` words further."""
        plan = self.plan
        with m.If(issued.add):
            m.d.comb += issued.row.eq(row)
            with m.If(row == plan.rows - 1):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [row.eq(0), offset.eq(0)]
            with m.Else():
                m.d.sync += [row.eq(row + 1), offset.eq(offset + plan.inputs)]

    def _issue_sweep(self, m: Module, issued: Any, row: Signal, cleaning: Signal, ready: Signal) -> None:
        """Words of a sweep, and, for a sample that came once, its steps."""
        plan = self.plan
        bank, index = Signal(range(plan.banks)), Signal(range(plan.sweeps))
        cooldown = Signal(range(plan.cooldown + 1))
        step = Signal(range(max(1, plan.steps)))
        ending, ends = Signal(), Signal()
        if plan.steps:
            with m.If(index == 0):
                m.d.comb += ending.eq((step == plan.steps - 1) | self.stop)
                m.d.sync += ends.eq(ending)
            with m.Else():
                m.d.comb += ending.eq(ends)
        else:
            m.d.comb += ending.eq(self.i.payload.last)
        m.d.comb += ready.eq(cooldown == 0)
        with m.If(cooldown != 0):
            m.d.sync += cooldown.eq(cooldown - 1)
        with m.If(issued.sweep):
            m.d.comb += [
                issued.row.eq(row),
                issued.bank.eq(bank),
                issued.index.eq(index),
                issued.last.eq(ending | cleaning),
            ]
            m.d.sync += [index.eq(index + 1), bank.eq(bank + 1)]
            with m.If(bank == plan.banks - 1):
                m.d.sync += [bank.eq(0), row.eq(row + 1)]
            with m.If(index == plan.sweeps - 1):
                m.d.comb += issued.end.eq(1)
                m.d.sync += [index.eq(0), bank.eq(0), row.eq(0), cooldown.eq(plan.cooldown), cleaning.eq(0)]
                with m.If(~cleaning):
                    m.d.sync += step.eq(Mux(ending, 0, step + 1))
                    m.d.comb += self.finished.eq(ending)
                    m.d.comb += self.i.ready.eq(ending if plan.steps else 1)
