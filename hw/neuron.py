"""Neuron unit: the update rule of one neuron."""

from typing import Any

from amaranth import Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from quant.ir import Population
from quant.ranges import Bounds, Range

from .arith import clip, scale
from .layout import shape_of

__all__ = ["PARAMETERS", "Neuron", "parameter_shapes"]

PARAMETERS = ("threshold", "reset_amount", "reset_value", "bias", "factor")


def parameter_shapes(population: Population) -> dict[str, Shape]:
    """Shapes of the parameters that the rule of a population uses, by name; the others have no width."""
    values = {"threshold": population.threshold, "bias": population.bias, "factor": population.decay.numerator}
    if population.reset == "subtract":
        values["reset_amount"] = population.reset_amount
    if population.reset == "zero":
        values["reset_value"] = population.reset_value
    return {name: shape_of(Range(min(0, int(array.min())), int(max(0, array.max())))) for name, array in values.items()}


class Neuron(wiring.Component):
    """One neuron's step, a neuron per cycle. The update rule is that of :mod:`quant.ir`.

    The spike comes two cycles after the membrane goes in, the new membrane four cycles after.

    Parameters
    ----------
    population : Population
        Neither ternary nor of second order.
    bounds : Bounds
        Ranges of its sums: the widths of every stage.

    Members
    -------
    state : In
        V, the stored membrane.
    drive : In
        Sum of the step's events.
    latched : In(1)
        The neuron has fired in this sample; reset ``latch`` only.
    threshold, reset_amount, reset_value, bias, factor : In
        Parameters of the neuron, those that :func:`parameter_shapes` names.
    spike : Out(1)
        S, two cycles later.
    next_state : Out
        V after the step, four cycles later.
    next_latched : Out(1)
        Whether the neuron has fired by now, four cycles later.
    """

    def __init__(self, population: Population, bounds: Bounds):
        self.population = population
        self.bounds = bounds
        super().__init__(
            {
                "state": In(shape_of(bounds.state)),
                "drive": In(shape_of(bounds.drive)),
                "latched": In(1),
                **{name: In(shape) for name, shape in parameter_shapes(population).items()},
                "spike": Out(1),
                "next_state": Out(shape_of(bounds.state)),
                "next_latched": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        population, bounds = self.population, self.bounds
        shapes = parameter_shapes(population)
        held = {name: getattr(self, name) for name in shapes}

        def advance() -> None:
            for name, value in held.items():
                held[name] = Signal.like(value, name=f"{name}_held", reset_less=True)
                m.d.sync += held[name].eq(value)

        # H: the membrane with everything that arrived.
        total = Signal(shape_of(bounds.total), reset_less=True)
        latched = Signal(name="latched_held")
        m.d.sync += [total.eq(self.state + self.drive + self.bias), latched.eq(self.latched)]
        advance()

        # S: compared with the threshold.
        low, high = bounds.total.low, bounds.total.high
        rectified = Range(max(low, 0), max(high, 0)) if population.rectify else bounds.total
        membrane = Signal(shape_of(rectified))
        fires = Signal()
        m.d.comb += membrane.eq(Mux(total < 0, 0, total) if population.rectify else total)
        m.d.comb += fires.eq((membrane >= held["threshold"]) & ~latched)
        settled = Signal.like(membrane, reset_less=True)
        fired = Signal()
        m.d.sync += [settled.eq(membrane), self.spike.eq(fires), fired.eq(fires | latched)]
        advance()

        # V': the reset.
        kept = Signal(shape_of(bounds.kept), reset_less=True)
        after: dict[str, Any] = {"none": settled, "latch": 0}
        if population.reset == "zero":
            after["zero"] = held["reset_value"]
        if population.reset == "subtract":
            after["subtract"] = settled - held["reset_amount"]
        m.d.sync += kept.eq(Mux(fired if population.reset == "latch" else self.spike, after[population.reset], settled))
        fired_kept = Signal()
        m.d.sync += fired_kept.eq(fired)
        advance()

        # V: the decay, rounded, and the rails.
        decay = population.decay
        product = Signal(shape_of(bounds.product), reset_less=True)
        uniform = (decay.numerator == decay.numerator.flat[0]).all()
        scaled = scale(kept, int(decay.numerator.flat[0])) if uniform else kept * held["factor"]
        m.d.sync += [product.eq(scaled + decay.half), self.next_latched.eq(fired_kept)]
        shifted = Range(bounds.product.low >> decay.shift, bounds.product.high >> decay.shift)
        decayed = Signal(shape_of(shifted))
        m.d.comb += decayed.eq(product >> decay.shift)
        m.d.comb += self.next_state.eq(clip(decayed, within=bounds.state, of=shifted))
        return m
