"""Sweep: the neuron units of a core, its membranes and its parameters."""

from itertools import pairwise
from typing import Any

import numpy as np
from amaranth import Cat, Const, Module, Mux, Shape, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from quant.ranges import Range

from .arith import pack
from .layout import shape_of
from .memory import Ram, Rom
from .neuron import Neuron, parameter_shapes, parameters
from .plan import BINARY, CorePlan
from .serialiser import PlaceLayout
from .walk import Walk

__all__ = ["Sweep"]

_CONTROL = ("valid", "last", "mute")


class Sweep(wiring.Component):
    """Updates ``units`` neurons per cycle, and keeps their membranes.

    A word goes in with ``fetch_index`` one cycle before its drives; its spikes come out :attr:`latency` cycles after
    the drives, and its membranes are written two cycles after those. On the last step of a sample the membranes are
    set to their initial values instead, and currents and latches to 0. A lane without a neuron must have no drive,
    and is silent.

    Parameters
    ----------
    plan : CorePlan

    Members
    -------
    fetch_index : In
        Word of the sweep whose drives come in the next cycle.
    valid, drives : In
        The next word is here: the sums of its neurons. Words come in order.
    last : In(1)
        The step ends the sample.
    mute : In(1)
        Only set the membranes to their initial values: no spikes, no trace.
    o_valid, o_place, o_fired, o_values, o_end, o_last : Out
        The word's place, its fired lanes and, if they are not binary spikes, their values; whether it ends the step,
        and the step the sample.
    trace_valid, trace_index, trace_last, trace_spikes, trace_membranes, trace_currents : Out
        Spikes, new membranes and, of second order, new currents of a word, for whoever checks.
    jump, group : In
        The word is the first of that group. Like the next only if the plan skips.
    stir, stirred : Out
        A neuron of the group ``stirred`` has fired, or has another state than before, in a step that is not the last.
    """

    def __init__(self, plan: CorePlan):
        self.plan = plan
        index = range(plan.sweeps)
        place = PlaceLayout.of(plan.shape, plan.units)
        members: dict[str, Any] = {
            "fetch_index": In(index),
            "valid": In(1),
            "drives": In(self._lanes(plan.bounds.drive)),
            "last": In(1),
            "mute": In(1),
            "o_valid": Out(1),
            "o_place": Out(place),
            "o_fired": Out(plan.units),
            "o_end": Out(1),
            "o_last": Out(1),
            "trace_valid": Out(1),
            "trace_index": Out(index),
            "trace_last": Out(1),
            "trace_spikes": Out(self._lanes(plan.spikes)),
            "trace_membranes": Out(self._lanes(plan.bounds.state)),
        }
        if plan.sends != BINARY:
            members["o_values"] = Out(self._lanes(plan.sends))
        if self._second_order:
            members["trace_currents"] = Out(self._lanes(self._currents))
        if plan.skips:
            group = range(plan.groups)
            members |= {"jump": In(1), "group": In(group), "stir": Out(1), "stirred": Out(group)}
        super().__init__(members)

    @property
    def latency(self) -> int:
        """Cycles from the drives of a word to its spikes."""
        return 4 if self._second_order else 3

    @property
    def _second_order(self) -> bool:
        return self.plan.population.current_decay is not None

    @property
    def _currents(self) -> Range:
        return Range(self.plan.population.current_min, self.plan.population.current_max)

    def _lanes(self, values: Range) -> data.ArrayLayout:
        return data.ArrayLayout(shape_of(values), self.plan.units)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        plan, population, units = self.plan, self.plan.population, range(self.plan.units)
        tiling = plan.word_tiling

        # What is stored of a neuron, one word per cycle; and the parameters beside it.
        stored = {"state": self._lanes(plan.bounds.state)}
        if self._second_order:
            stored["current"] = self._lanes(self._currents)
        if population.reset == "latch":
            stored["latched"] = data.ArrayLayout(1, plan.units)
        layout = data.StructLayout(stored)
        now: Any = Signal(layout, reset_less=True)
        then = {name: Signal(lanes, name=f"next_{name}") for name, lanes in stored.items()}
        initial = tiling.spread(population.per_neuron(population.initial))
        rest = [pack(word, shape_of(plan.bounds.state).width) for word in initial]
        m.submodules.membranes = ram = Ram(width=layout.size, depth=plan.sweeps, init=rest)
        m.d.comb += ram.read_address.eq(self.fetch_index)
        m.d.sync += now.eq(ram.read_data)
        shapes = parameter_shapes(population)
        held = {name: self._parameter(m, name, values, shapes[name]) for name, values in parameters(population).items()}

        # The word on its way through the neuron units.
        drives = Signal.like(self.drives, name="drives_held", reset_less=True)
        m.d.sync += drives.eq(self.drives)
        flags = (*_CONTROL, "jump", "group") if plan.skips else _CONTROL
        control = wiring.Signature({name: self.signature.members[name].flip() for name in flags})
        stages: list[Any] = [control.create(path=(f"stage_{number}",)) for number in range(self.latency + 2)]
        for before, after in pairwise([self, *stages]):
            m.d.sync += [getattr(after, name).eq(getattr(before, name)) for name in flags]

        # Update rule.
        for unit in units:
            m.submodules[f"neuron_{unit}"] = neuron = Neuron(population, plan.bounds, shows=plan.shows)
            m.d.comb += [neuron.drive.eq(drives[unit]), self.o_fired[unit].eq(neuron.fired)]
            m.d.comb += [getattr(neuron, name).eq(lanes[unit]) for name, lanes in held.items()]
            for name in stored:
                m.d.comb += getattr(neuron, name).eq(now[name][unit])
                m.d.comb += then[name][unit].eq(getattr(neuron, f"next_{name}"))
            if plan.sends != BINARY:
                m.d.comb += self.o_values[unit].eq(neuron.value)

        # Spikes out.
        sent = stages[self.latency - 1]
        m.submodules.sent_words = sent_words = Walk(plan)
        sent_words.follow(m, sent.valid, stages[self.latency - 2])
        m.d.comb += [
            self.o_valid.eq(sent.valid & ~sent.mute),
            self.o_place.eq(sent_words.place),
            self.o_end.eq(sent_words.end),
            self.o_last.eq(sent.last),
        ]

        # Membranes back, or the next sample's.
        written = stages[-1]
        m.submodules.written_words = written_words = Walk(plan)
        following: Value = Const(0)
        if (initial != initial[0]).any():
            m.submodules.renewed_words = renewed_words = Walk(plan)
            renewed_words.follow(m, stages[-2].valid, stages[-3])
            following = renewed_words.index
        renewed = self._word(m, "initial", initial, shape_of(plan.bounds.state), following)
        written_words.follow(m, written.valid, stages[-2])
        m.d.comb += [
            ram.write_enable.eq(written.valid),
            ram.write_address.eq(written_words.index),
            ram.write_data.eq(Mux(written.last, Cat(*renewed), Cat(*then.values()))),
        ]

        # Trace.
        m.d.comb += [
            self.trace_valid.eq(written.valid & ~written.mute),
            self.trace_index.eq(written_words.index),
            self.trace_last.eq(written.last),
            self.trace_membranes.eq(then["state"]),
        ]
        if self._second_order:
            m.d.comb += self.trace_currents.eq(then["current"])
        if population.threshold is not None:
            spikes = self.o_values if population.ternary else self.o_fired
            before = Signal(len(Value.cast(spikes)))
            m.d.sync += [before.eq(spikes), self.trace_spikes.eq(before)]
        if plan.skips:
            self._stir(m, now, then, written, written_words)
        return m

    def _stir(self, m: Module, now: Any, then: dict[str, Signal], written: Any, words: Walk) -> None:
        """Tell, a cycle after a word is written, whether it has fired or changed. Its latch changes with a spike."""
        plan, names = self.plan, [name for name in then if name != "latched"]
        before: Any = Cat(now[name][unit] for unit in range(plan.units) for name in names)
        after = Cat(then[name][unit] for unit in range(plan.units) for name in names)
        for number in range(self.latency + 1):
            held = Signal(len(before), name=f"before_{number}", reset_less=True)
            m.d.sync += held.eq(before)
            before = held
        width = len(before) // plan.units
        changed, told = Signal(plan.units), Signal()
        fired = [Signal(name=f"fired_{number}") for number in range(3)]
        for unit in range(plan.units):
            part = slice(unit * width, (unit + 1) * width)
            m.d.sync += changed[unit].eq(before[part] != after[part])
        m.d.sync += [
            fired[0].eq(self.o_fired.any()),
            fired[1].eq(fired[0]),
            fired[2].eq(fired[1]),
            told.eq(written.valid & ~written.last),
            self.stirred.eq(words.line[(plan.group_rows - 1).bit_length() :]),
        ]
        m.d.comb += self.stir.eq(told & (changed.any() | fired[2]))

    def _parameter(self, m: Module, name: str, values: NDArray[np.int64], shape: Shape) -> list[Value]:
        """Parameter of each unit in the cycle of its membrane."""
        tiling = self.plan.word_tiling
        # A lane without a neuron never fires: its bias is 0. Everything else is what makes constants.
        words = tiling.spread(self.plan.population.per_neuron(values), 0 if name == "bias" else int(values.max()))
        if name != "bias":
            words = np.where(tiling.neurons < 0, words[0], words)
        found = self._word(m, name, words, shape, self.fetch_index)
        held: list[Value] = []
        for value in found:
            if isinstance(value, Const):
                held.append(value)
                continue
            held.append(Signal(shape, name=f"{name}_{len(held)}", reset_less=True))
            m.d.sync += held[-1].eq(value)
        return held

    def _word(self, m: Module, name: str, words: NDArray[np.int64], shape: Shape, index: Any) -> list[Value]:
        """Numbers of each unit, one cycle after the word's index: constants where they can be, the others in a memory.

        Words that repeat themselves are kept once, if their number is a power of two.
        """
        period = 1
        while period < len(words) and (words[period:] != words[:-period]).any():
            period *= 2
        words = words[:period]
        varied = [unit for unit in range(self.plan.units) if (words[:, unit] != words[0, unit]).any()]
        numbers: list[Value] = [Const(int(value), shape) for value in words[0]]
        if varied:
            m.submodules[f"{name}_words"] = rom = Rom(
                width=shape.width * len(varied), init=[pack(word[varied], shape.width) for word in words]
            )
            m.d.comb += rom.address.eq(index)
            found = data.View(data.ArrayLayout(shape, len(varied)), rom.data)
            for position, unit in enumerate(varied):
                numbers[unit] = found[position]
        return numbers
