"""Sweep: the neuron units of a core, its membranes and its parameters."""

from itertools import pairwise
from typing import Any

import numpy as np
from amaranth import Cat, Const, Module, Mux, Shape, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from .arith import pack
from .layout import shape_of
from .memory import Ram, Rom
from .neuron import Neuron, parameter_shapes
from .plan import CorePlan

__all__ = ["Sweep"]

_CONTROL = ("valid", "index", "end", "last", "mute")


class Sweep(wiring.Component):
    """Updates ``units`` neurons per cycle, and keeps their membranes.

    A word goes in with ``fetch`` one cycle before its drives; its spikes come out three cycles after the drives,
    and its membranes are written five cycles after them. On the last step of a sample the membranes are set to
    their initial values instead.

    Parameters
    ----------
    plan : CorePlan

    Members
    -------
    fetch_index : In
        Word of the sweep whose drives come in the next cycle.
    valid, index, drives : In
        The word's number and the sums of its neurons.
    end, last : In(1)
        The word ends the step; the step ends the sample.
    mute : In(1)
        Only set the membranes to their initial values: no spikes, no trace.
    o_valid, o_index, o_spikes, o_end, o_last : Out
        The word's spikes.
    trace_valid, trace_index, trace_last, trace_spikes, trace_membranes : Out
        Spikes and new membranes of a word, for whoever checks.
    """

    def __init__(self, plan: CorePlan):
        self.plan = plan
        drive, state = shape_of(plan.bounds.drive), shape_of(plan.bounds.state)
        index = range(plan.sweeps)
        super().__init__(
            {
                "fetch_index": In(index),
                "valid": In(1),
                "index": In(index),
                "drives": In(data.ArrayLayout(drive, plan.units)),
                "end": In(1),
                "last": In(1),
                "mute": In(1),
                "o_valid": Out(1),
                "o_index": Out(index),
                "o_spikes": Out(plan.units),
                "o_end": Out(1),
                "o_last": Out(1),
                "trace_valid": Out(1),
                "trace_index": Out(index),
                "trace_last": Out(1),
                "trace_spikes": Out(plan.units),
                "trace_membranes": Out(data.ArrayLayout(state, plan.units)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        plan = self.plan
        population = plan.population
        latches = population.reset == "latch"
        state_shape = shape_of(plan.bounds.state)

        # Membranes, one word per cycle, latches above them, and the parameters beside them.
        states = Signal(data.ArrayLayout(state_shape, plan.units), reset_less=True)
        latched = Signal(plan.units if latches else 0, reset_less=True)
        width = len(states.as_value()) + len(latched)
        initial = [pack(word, state_shape.width) for word in self._words(population.initial, 0)]
        m.submodules.membranes = ram = Ram(width=width, depth=plan.sweeps, init=initial)
        m.d.comb += ram.read_address.eq(self.fetch_index)
        m.d.sync += Cat(states, latched).eq(ram.read_data)
        shapes = parameter_shapes(population)
        values = {"factor": population.decay.numerator} | {
            name: getattr(population, name) for name in shapes if name != "factor"
        }
        parameters = {name: self._parameter(m, name, values[name], shape) for name, shape in shapes.items()}

        # The word on its way through the neuron units.
        drives = Signal.like(self.drives, name="drives_held", reset_less=True)
        m.d.sync += drives.eq(self.drives)
        control = wiring.Signature({name: self.signature.members[name].flip() for name in _CONTROL})
        stages: list[Any] = [control.create(path=(f"stage_{number}",)) for number in range(5)]
        for before, after in pairwise([self, *stages]):
            m.d.sync += [getattr(after, name).eq(getattr(before, name)) for name in _CONTROL]

        # Update rule.
        fired = Signal(plan.units)
        next_states, next_latched = Signal.like(states), Signal.like(latched)
        for unit in range(plan.units):
            m.submodules[f"neuron_{unit}"] = neuron = Neuron(population, plan.bounds)
            m.d.comb += [
                neuron.state.eq(states[unit]),
                neuron.drive.eq(drives[unit]),
                neuron.latched.eq(latched[unit] if latches else 0),
                fired[unit].eq(neuron.spike),
                next_states[unit].eq(neuron.next_state),
            ]
            m.d.comb += [getattr(neuron, name).eq(parameters[name][unit]) for name in shapes]
            if latches:
                m.d.comb += next_latched[unit].eq(neuron.next_latched)

        # Spikes out.
        sent = stages[2]
        m.d.comb += [
            self.o_valid.eq(sent.valid & ~sent.mute),
            self.o_index.eq(sent.index),
            self.o_spikes.eq(fired),
            self.o_end.eq(sent.end),
            self.o_last.eq(sent.last),
        ]

        # Membranes back, or the next sample's.
        written = stages[4]
        renewed = self._initial(m, initial, width, stages[3].index)
        m.d.comb += [
            ram.write_enable.eq(written.valid),
            ram.write_address.eq(written.index),
            ram.write_data.eq(Mux(written.last, renewed, Cat(next_states, next_latched))),
        ]

        # Trace.
        fired_before = Signal(plan.units)
        m.d.sync += [fired_before.eq(fired), self.trace_spikes.eq(fired_before)]
        m.d.comb += [
            self.trace_valid.eq(written.valid & ~written.mute),
            self.trace_index.eq(written.index),
            self.trace_last.eq(written.last),
            self.trace_membranes.eq(next_states),
        ]
        return m

    def _words(self, values: Any, padding: int) -> NDArray[np.int64]:
        """Values by word and unit, ``(sweeps, units)``."""
        plan = self.plan
        padded = np.full(plan.sweeps * plan.units, padding, np.int64)
        padded[: plan.population.size] = plan.population.per_neuron(values)
        return padded.reshape(plan.sweeps, plan.units)

    def _parameter(self, m: Module, name: str, values: Any, shape: Shape) -> list[Value]:
        """Parameter of each unit in the cycle of its membrane: constants where they can be, else a memory."""
        flat = self.plan.population.per_neuron(values)
        # Lanes beyond the last neuron never fire: their bias is 0, and everything else is a neighbour's.
        words = self._words(values, 0 if name == "bias" else int(flat[-1]))
        if (words == words[0]).all():
            return [Const(int(value), shape) for value in words[0]]
        m.submodules[f"{name}_words"] = rom = Rom(
            width=shape.width * self.plan.units, init=[pack(word, shape.width) for word in words]
        )
        held = Signal(data.ArrayLayout(shape, self.plan.units), name=name, reset_less=True)
        m.d.comb += rom.address.eq(self.fetch_index)
        m.d.sync += held.as_value().eq(rom.data)
        return [held[unit] for unit in range(self.plan.units)]

    def _initial(self, m: Module, words: list[int], width: int, index: Any) -> Value:
        """Initial membranes of a word, one cycle after its index."""
        if len(set(words)) == 1:
            return Const(words[0], width)
        m.submodules.initial_words = rom = Rom(width=width, init=words)
        m.d.comb += rom.address.eq(index)
        return rom.data
