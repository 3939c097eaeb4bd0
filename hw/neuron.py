"""Neuron unit: the update rule of one neuron."""

from typing import Any

import numpy as np
from amaranth import Cat, Module, Mux, Shape, Signal
from amaranth.hdl import ValueLike
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from quant.ir import Decay, Population
from quant.ranges import Bounds, Range

from .arith import clip, scale, signed_digits
from .layout import shape_of

__all__ = ["Neuron", "parameter_shapes", "parameters"]


def parameters(population: Population) -> dict[str, NDArray[np.int64]]:
    """Parameters that the rule of a population uses, by name, as its fields have them."""
    used: dict[str, NDArray[np.int64]] = {"bias": population.bias, "factor": population.decay.numerator}
    if population.current_decay is not None:
        used["current_factor"] = population.current_decay.numerator
    if population.threshold is not None:
        used["threshold"] = population.threshold
    if population.reset == "subtract":
        used["reset_amount"] = population.reset_amount
    if population.reset == "zero":
        used["reset_value"] = population.reset_value
    return used


def parameter_shapes(population: Population) -> dict[str, Shape]:
    """Shapes of the parameters that the rule of a population uses, by name."""
    return {
        name: shape_of(Range(min(0, int(values.min())), max(0, int(values.max()))))
        for name, values in parameters(population).items()
    }


class Neuron(wiring.Component):
    """One neuron's step, a neuron per cycle. The update rule is that of :mod:`quant.ir`.

    The spike comes two cycles after the membrane goes in, the new membrane four cycles after; of a neuron of second
    order, three and five.

    Parameters
    ----------
    population : Population
    bounds : Bounds
        Ranges of its sums: the widths of every stage.
    shows : bool
        Of a population without a threshold: H is what it sends, at every step.

    Members
    -------
    state : In
        V, the stored membrane.
    current : In
        I, the stored current; second order only.
    drive : In
        Sum of the step's events.
    latched : In(1)
        The neuron has fired in this sample; reset ``latch`` only.
    threshold, reset_amount, reset_value, bias, factor, current_factor : In
        Parameters of the neuron, those that :func:`parameters` names.
    fired : Out(1)
        There is something to send: S is not 0, or H is shown.
    value : Out
        S of a ternary population, or H; with ``fired``.
    next_state, next_current : Out
        V and I after the step.
    next_latched : Out(1)
        Whether the neuron has fired by now; with ``next_state``.
    """

    def __init__(self, population: Population, bounds: Bounds, *, shows: bool = False):
        self.population = population
        self.bounds = bounds
        self.shows = shows
        state = shape_of(bounds.state)
        members: dict[str, Any] = {"state": In(state), "drive": In(shape_of(bounds.drive))}
        members |= {name: In(shape) for name, shape in parameter_shapes(population).items()}
        members |= {"fired": Out(1), "next_state": Out(state)}
        if population.ternary or shows:
            members["value"] = Out(shape_of(bounds.total if shows else Range(-1, 1)))
        if population.reset == "latch":
            members |= {"latched": In(1), "next_latched": Out(1)}
        if population.current_decay is not None:
            current = shape_of(Range(population.current_min, population.current_max))
            members |= {"current": In(current), "next_current": Out(current)}
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        population, bounds = self.population, self.bounds
        latches = population.reset == "latch"
        held = {name: getattr(self, name) for name in [*parameters(population), *["latched"][:latches]]}

        def advance() -> None:
            for name, value in held.items():
                held[name] = Signal.like(value, name=f"{name}_held", reset_less=True)
                m.d.sync += held[name].eq(value)

        # I': the current with everything that arrived; of first order, the drive.
        base: ValueLike = self.state + self.bias
        arrived: Signal = self.drive
        if population.current_decay is not None:
            arrived = Signal(shape_of(bounds.current), name="arrived", reset_less=True)
            m.d.sync += arrived.eq(self.current + self.drive)
            bias = Range(int(population.bias.min()), int(population.bias.max()))
            biased = Signal(shape_of(bounds.state + bias), reset_less=True)
            m.d.sync += biased.eq(base)
            base = biased
            advance()
            self._keep_current(m, arrived, held["current_factor"])

        # H: the membrane with the current.
        total = Signal(shape_of(bounds.total), reset_less=True)
        m.d.sync += total.eq(base + arrived)
        advance()
        low, high = bounds.total.low, bounds.total.high
        rectified = Range(max(low, 0), max(high, 0)) if population.rectify else bounds.total
        membrane = Signal(shape_of(rectified))
        m.d.comb += membrane.eq(Mux(total < 0, 0, total) if population.rectify else total)

        # S: compared with the threshold.
        above, below = Signal(), Signal()
        if population.threshold is not None:
            m.d.comb += above.eq(membrane >= held["threshold"])
        if population.ternary:
            m.d.comb += below.eq(membrane <= -held["threshold"])
        latched = held["latched"] if latches else 0
        settled = Signal.like(membrane, reset_less=True)
        spike, negative, done = Signal(), Signal(), Signal()
        m.d.sync += [
            settled.eq(membrane),
            spike.eq((above | below) & ~latched),
            negative.eq(below & ~latched),
            done.eq(above | below | latched),
        ]
        advance()
        m.d.comb += self.fired.eq(1 if self.shows else spike)
        if self.shows:
            m.d.comb += self.value.eq(settled)
        elif population.ternary:
            m.d.comb += self.value.eq(Cat(spike, negative).as_signed())

        # V': the reset.
        after: ValueLike = settled
        if population.reset == "zero":
            after = Mux(spike, held["reset_value"], settled)
        if population.reset == "subtract":
            amount = held["reset_amount"]
            signed_amount = Mux(negative, -amount, amount) if population.ternary else amount
            after = Mux(spike, settled - signed_amount, settled)
        if latches:
            after = Mux(done, 0, settled)
        kept = Signal(shape_of(bounds.kept), reset_less=True)
        m.d.sync += kept.eq(after)
        advance()

        # V: decayed, rounded and held within the rails.
        rails = bounds.state
        m.d.comb += self.next_state.eq(
            _decayed(m, "membrane", kept, bounds.kept, population.decay, held["factor"], rails)
        )
        if latches:
            done_before = Signal()
            m.d.sync += [done_before.eq(done), self.next_latched.eq(done_before)]
        return m

    def _keep_current(self, m: Module, arrived: Signal, factor: Signal) -> None:
        """The current after the step, four cycles after I'."""
        population = self.population
        assert population.current_decay is not None
        rails = Range(population.current_min, population.current_max)
        value = _decayed(m, "current", arrived, self.bounds.current, population.current_decay, factor, rails)
        for stage in range(3):
            held = Signal(shape_of(rails), name=f"current_{stage}", reset_less=True)
            m.d.sync += held.eq(value)
            value = held
        m.d.comb += self.next_current.eq(value)


def _decayed(m: Module, name: str, value: Signal, of: Range, decay: Decay, factor: Signal, rails: Range) -> ValueLike:
    """Value, which lies in ``of``, decayed and within its rails, a cycle later."""
    numerators = decay.numerator
    corners = [v * int(n) for v in (of.low, of.high) for n in (numerators.min(), numerators.max())]
    shifted = Range(*((corner + decay.half) >> decay.shift for corner in (min(corners), max(corners))))
    decayed = Signal(shape_of(shifted), name=f"{name}_decayed", reset_less=True)
    if numerators.min() == numerators.max():
        m.d.sync += decayed.eq(_scaled(value, int(numerators.flat[0]), decay))
        return clip(decayed, within=rails, of=shifted)
    scaled = Range(min(corners) + decay.half, max(corners) + decay.half)
    product = Signal(shape_of(scaled), name=f"{name}_product", reset_less=True)
    m.d.sync += product.eq(value * factor + decay.half)
    m.d.comb += decayed.eq(product >> decay.shift)
    return clip(decayed, within=rails, of=shifted)


def _scaled(value: Signal, numerator: int, decay: Decay) -> ValueLike:
    """Value times a fraction, rounded, as shifts and adds: of what is kept, or of what is lost, which is narrower."""
    lost = (1 << decay.shift) - numerator
    if len(signed_digits(numerator)) <= len(signed_digits(lost)):
        return (scale(value, numerator) + decay.half) >> decay.shift
    change = decay.half - scale(value, lost) if lost > 0 else decay.half + scale(value, -lost)
    return value + (change >> decay.shift)
