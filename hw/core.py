"""Core: one population and the connections into it."""

from functools import reduce
from itertools import pairwise
from operator import and_, or_
from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .accumulator import Accumulator
from .address import Addresser
from .layout import BeatLayout, shape_of
from .loader import PortSignature
from .plan import QUEUE_DEPTH, CorePlan
from .serialiser import PlaceLayout, Serialiser
from .sweep import Sweep
from .visits import Visits
from .walk import Walk
from .weights import Weights

__all__ = ["Core"]


class Core(wiring.Component):
    """Adds the weights of each event to the sums of its targets, and on a tick updates every neuron.

    Every incoming connection has a port with an addresser and a memory of weights. An operation a cycle goes into the
    pipeline: a row of an event, of the first port that has one; or, once all ports are at their tick, a word of the
    sweep. Neither waits for what is in the pipeline. A sweep waits for free places in the queue of spikes, and
    ``cooldown`` cycles after the sweep before.

    Sums of ports that are held (``PortPlan.held``) are kept until the last step of the sample.

    If the sums are set aside (``CorePlan.aside``), the tick takes one operation, and the words of its sweep go into the
    pipeline beside the rows of the next step; only the next tick waits for them.

    If sweeps skip groups of words (``CorePlan.skips``), a sweep goes through those that :class:`hw.visits.Visits`
    names.

    After a reset the core sweeps once to set every membrane and sum, whatever it was interrupted in.

    Parameters
    ----------
    plan : CorePlan
    pace : BeatLayout, optional
        Of a core whose events are all of the step before: the layout of the network's input, whose ticks tell it
        when a sample ends.
    preloaded : bool
        As of :class:`hw.weights.Weights`.

    Members
    -------
    i0, i1, ... : In(stream.Signature(BeatLayout))
        Events and ticks, one for each port.
    pace : In(stream.Signature(BeatLayout))
        The ticks of the input; its events mean nothing. Only with a ``pace``.
    o : Out(stream.Signature(BeatLayout))
        Events and ticks of the population.
    trace : Out
        What :class:`hw.sweep.Sweep` traces.
    load0, load1, ... : In(PortSignature(port))
        Of the ports whose weights can be loaded.
    """

    def __init__(self, plan: CorePlan, *, pace: BeatLayout | None = None, preloaded: bool = False):
        self.plan = plan
        self.preloaded = preloaded
        self.paced = pace
        self.sweep = Sweep(plan)
        trace = {
            name.removeprefix("trace_"): Out(member.shape)
            for name, member in self.sweep.signature.members.items()
            if name.startswith("trace_")
        }
        members: dict[str, Any] = {
            f"i{index}": In(stream.Signature(BeatLayout(port.geometry.source, port.values)))
            for index, port in enumerate(plan.ports)
        }
        members |= {f"load{index}": In(PortSignature(port)) for index, port in enumerate(plan.ports) if port.writable}
        if pace is not None:
            members["pace"] = In(stream.Signature(pace))
        super().__init__(
            {
                **members,
                "o": Out(stream.Signature(BeatLayout(plan.shape, plan.sends))),
                "trace": Out(wiring.Signature(trace)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        plan, sweep = self.plan, self.sweep
        m.submodules.sweep = sweep
        operations = []
        for index, port in enumerate(plan.ports):
            m.submodules[f"addresser_{index}"] = addresser = Addresser(port)
            wiring.connect(
                m, **{f"core.i{index}": wiring.flipped(getattr(self, f"i{index}")), "addresser.i": addresser.i}
            )
            operations.append(addresser.o)

        # Operation of this cycle: a row of an event, or a word of the sweep.
        # A signal each, not a structure: fields depend on others, and simulators order whole signals.
        issued_layout = wiring.Signature(
            {
                "add": Out(len(plan.ports)),
                "sweep": Out(1),
                "hand": Out(1),
                "row": Out(range(plan.rows)),
                "last": Out(1),
                "mute": Out(1),
                "value": Out(shape_of(reduce(or_, (port.values for port in plan.ports)))),
                **({"jump": Out(1), "group": Out(range(plan.groups))} if plan.skips else {}),
            }
        )
        issued: Any = issued_layout.create(path=("issued",))
        depth = plan.depth
        stages = [issued, *(issued_layout.create(path=(f"stage_{number}",)) for number in range(1, depth + 1))]
        for before, after in pairwise(stages):
            m.d.sync += [getattr(after, name).eq(getattr(before, name)) for name in issued_layout.members]
        claim = self._issue(m, issued, operations, sweep)

        # Weights of every lane, and their products.
        operands = self._operands(m, operations, stages)

        # Sums of the events; the sweep takes them.
        m.submodules.fetched_words = words = Walk(plan)
        here, drives = stages[depth], []
        for held in (True, False):
            accumulator = self._accumulator(m, held, stages, operands, words)
            if accumulator is not None:
                drives.append(accumulator.taken)
        words.follow(m, stages[depth - 1].sweep, stages[depth - 2])
        if plan.skips:
            m.d.comb += [sweep.jump.eq(here.jump), sweep.group.eq(here.group)]
        m.d.comb += [
            sweep.fetch_index.eq(words.index),
            sweep.valid.eq(here.sweep),
            sweep.last.eq(here.last),
            sweep.mute.eq(here.mute),
        ]
        m.d.comb += [sweep.drives[unit].eq(sum(item[unit] for item in drives)) for unit in range(plan.units)]
        m.d.comb += [
            getattr(self.trace, name).eq(getattr(sweep, f"trace_{name}")) for name in self.trace.signature.members
        ]

        # Spikes out.
        m.submodules.serialiser = serialiser = Serialiser(
            shape=plan.shape,
            units=plan.units,
            depth=QUEUE_DEPTH,
            place=PlaceLayout.of(plan.shape, plan.units),
            values=plan.sends,
        )
        wiring.connect(m, **{"serialiser.o": serialiser.o, "core.o": wiring.flipped(self.o)})
        m.d.comb += [
            serialiser.push.eq(sweep.o_valid),
            serialiser.place.eq(sweep.o_place),
            serialiser.fired.eq(sweep.o_fired),
            serialiser.end.eq(sweep.o_end),
            serialiser.last.eq(sweep.o_last),
        ]
        if "values" in serialiser.signature.members:
            m.d.comb += serialiser.values.eq(sweep.o_values)
        places = self._places
        m.d.sync += places.eq(places + serialiser.dropped + serialiser.released - claim)
        return m

    def _issue(self, m: Module, issued: Any, operations: list[Any], sweep: Sweep) -> Signal:
        """Choose the operation of this cycle; whether it claims a place in the queue of spikes."""
        plan = self.plan
        self._places = places = Signal(range(QUEUE_DEPTH + 1), init=QUEUE_DEPTH, name="places")
        cleaning, claim = Signal(init=1), Signal()
        joined, over, ends, passes, closes = Signal(), Signal(), Signal(), Signal(), Signal()
        ticks = [item.valid & item.p.tick for item in operations]
        lasts = [item.p.last for item, port in zip(operations, plan.ports, strict=True) if not port.delayed]
        if self.paced is not None:
            paced, ending = Signal(), Signal()
            ticks.append(paced)
            lasts.append(ending)
            m.d.comb += self.pace.ready.eq(~paced | over)
            with m.If(self.pace.ready):
                m.d.sync += [paced.eq(self.pace.valid & self.pace.p.tick), ending.eq(self.pace.p.last)]
        m.submodules.issued_words = words = Walk(plan)
        m.d.comb += [words.step.eq(issued.sweep), closes.eq(issued.sweep & words.end)]
        cooldown = Signal(range(plan.cooldown + 1))
        with m.If(closes):
            m.d.sync += cooldown.eq(plan.cooldown)
        with m.Elif(cooldown != 0):
            m.d.sync += cooldown.eq(cooldown - 1)
        m.d.comb += [
            joined.eq(reduce(and_, ticks) & ~cleaning),
            ends.eq(lasts[0]),
            # Of a core that sweeps at the end alone, other ticks just go.
            passes.eq(joined & ~ends if plan.at_end else 0),
            claim.eq(issued.sweep & ~issued.mute),
        ]
        if plan.aside:
            # The sums are handed over at the tick; the sweep goes its own way.
            sweeping, last, mute = Signal(), Signal(), Signal()
            free_now = (~sweeping & (cooldown == 0)) | (closes if plan.cooldown == 0 else 0)
            m.d.comb += [
                issued.hand.eq((joined | cleaning) & free_now),
                issued.sweep.eq(sweeping & (places != 0)),
                issued.last.eq(last),
                issued.mute.eq(mute),
                over.eq(issued.hand & ~cleaning),
            ]
            with m.If(issued.hand):
                m.d.sync += [sweeping.eq(1), last.eq(ends | cleaning), mute.eq(cleaning), cleaning.eq(0)]
            with m.Elif(closes):
                m.d.sync += sweeping.eq(0)
        else:
            here: Any = ((joined & ~passes) | cleaning) & (cooldown == 0)
            if plan.skips:
                here = self._visit(m, issued, here, words, sweep)
            m.d.comb += [
                issued.sweep.eq((places != 0) & here),
                issued.last.eq(ends | cleaning),
                issued.mute.eq(cleaning),
                over.eq(passes | (closes & ~cleaning)),
            ]
            with m.If(closes):
                m.d.sync += cleaning.eq(0)

        # A row of the first port that has one.
        free: Any = ~cleaning
        row: Any = 0
        value: Any = 0
        for item in reversed(operations):
            wants = item.valid & ~item.p.tick
            row, value = Mux(wants, item.p.row, row), Mux(wants, item.p.value, value)
        for index, item in enumerate(operations):
            wants = item.valid & ~item.p.tick
            m.d.comb += [issued.add[index].eq(wants & free), item.ready.eq(issued.add[index] | over)]
            free = free & ~wants
        m.d.comb += issued.value.eq(value)
        m.d.comb += issued.row.eq(row if plan.aside else Mux(issued.sweep, words.line, row))
        return claim

    def _visit(self, m: Module, issued: Any, begin: Any, words: Walk, sweep: Sweep) -> Signal:
        """Whether there is a word of a group that the sweep visits."""
        plan = self.plan
        m.submodules.visits = visits = Visits(plan)
        holds = any(port.held for port in plan.ports)
        m.d.comb += [
            visits.add.eq(issued.add.any()),
            visits.row.eq(issued.row),
            visits.stir.eq(sweep.stir),
            visits.stirred.eq(sweep.stirred),
            visits.begin.eq(begin),
            visits.last.eq(issued.last),
            visits.whole.eq(issued.last if holds else issued.mute),
            visits.take.eq(issued.sweep),
            visits.edge.eq(words.edge),
            visits.end.eq(words.end),
            words.jump.eq(visits.jump),
            words.group.eq(visits.group),
            issued.jump.eq(issued.sweep & visits.first),
            issued.group.eq(words.line[(plan.group_rows - 1).bit_length() :]),
        ]
        return visits.here

    def _operands(self, m: Module, operations: list[Any], stages: list[Any]) -> Any:
        """What the operation that comes to the accumulators adds to every lane."""
        plan = self.plan
        weight = reduce(or_, (port.weight for port in plan.ports))
        layout = data.ArrayLayout(shape_of(weight), plan.lanes)
        memories = []
        for index, (item, port) in enumerate(zip(operations, plan.ports, strict=True)):
            m.submodules[f"weights_{index}"] = memory = Weights(port, fetch=plan.fetch, preloaded=self.preloaded)
            if port.writable:
                wiring.connect(m, **{"load": wiring.flipped(getattr(self, f"load{index}")), "memory": memory.load})
            m.d.comb += [
                memory.word.eq(item.p.word),
                memory.group.eq(item.p.group),
                memory.use.eq(stages[plan.fetch].add[index] if len(plan.ports) > 1 or port.geometry.parts > 1 else 1),
            ]
            memories.append(memory)
        operands: Any = Signal(layout, reset_less=True)
        for lane in range(plan.lanes):
            wide = []
            for index, memory in enumerate(memories):
                wide.append(Signal(shape_of(weight), name=f"weight_{index}_{lane}"))
                m.d.comb += wide[-1].eq(memory.o[lane])
            m.d.sync += operands[lane].eq(reduce(or_, wide))
        self._reached = Signal(plan.lanes, reset_less=True, name="reached")
        m.d.sync += self._reached.eq(reduce(or_, (memory.reached for memory in memories)))
        if not plan.multiplies:
            return operands
        products: Any = Signal(data.ArrayLayout(shape_of(plan.operand), plan.lanes), reset_less=True)
        value = stages[plan.fetch + 1].value
        for lane in range(plan.lanes):
            product: Any = operands[lane] * value
            if all(port.values.low >= -1 and port.values.high <= 1 for port in plan.ports):
                product = Mux(value < 0, -operands[lane], operands[lane])
            m.d.sync += products[lane].eq(product)
        reached = Signal.like(self._reached, name="reached_held")
        m.d.sync += reached.eq(self._reached)
        self._reached = reached
        return products

    def _accumulator(self, m: Module, held: bool, stages: list[Any], operands: Any, words: Walk) -> Accumulator | None:
        """Sums of the ports that are held, or of the others."""
        plan, depth = self.plan, len(stages) - 1
        mine = [index for index, port in enumerate(plan.ports) if port.held == held]
        if not mine:
            return None
        once = [index for index in mine if plan.ports[index].once]
        accumulator = Accumulator(
            rows=plan.rows,
            banks=plan.banks,
            units=plan.units,
            drive=plan.drive(held=held),
            operand=plan.operand,
            forwards=plan.forwards,
            marks=len(once),
            aside=plan.aside,
        )
        m.submodules["held_sums" if held else "sums"] = accumulator
        following = stages[depth - 1]
        m.d.comb += [
            accumulator.fetch_row.eq(stages[depth - 2].row),
            accumulator.row.eq(following.row),
            accumulator.bank.eq(words.bank),
            accumulator.add.eq(Cat(following.add[index] for index in mine).any()),
            accumulator.take.eq(following.sweep),
            accumulator.operands.eq(operands),
        ]
        if plan.aside:
            m.d.comb += [accumulator.hand.eq(following.hand), accumulator.line.eq(words.line)]
        else:
            m.d.comb += accumulator.clear.eq(following.last if held else 1)
        if once:
            m.d.comb += [
                accumulator.mark.eq(Cat(stages[depth].add[index] for index in once)),
                accumulator.reached.eq(self._reached),
            ]
        return accumulator
