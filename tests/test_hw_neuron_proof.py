# amaranth: UnusedElaboratable=no
from dataclasses import replace

import numpy as np
import pytest
from amaranth import Const, Module, Mux, Signal
from amaranth.hdl import Assert, Assume
from formal import Refuted, past, prove

from hw import neuron
from hw.layout import shape_of
from hw.neuron import Neuron, parameters
from quant.ir import RESETS, Decay, Population
from quant.ranges import Range, bounds_of

SPIKE, MEMBRANE = 2, 4  # cycles from a membrane to its spike, and to the new membrane; one more of second order
DRIVE = Range(-70, 90)


def own(population, values, number):
    """Number of one neuron of a population, which a signal chooses."""
    chosen = Const(0)
    for index, value in enumerate(population.per_neuron(values)):
        chosen = Mux(number == index, Const(int(value)), chosen)
    return chosen


def decayed(population, value, decay, number, low, high):
    half = 2 ** (decay.shift - 1) if decay.shift else 0
    exact = (value * own(population, decay.numerator, number) + half) >> decay.shift
    return Mux(exact < low, low, Mux(exact > high, high, exact))


def equation(population, number, state, current, drive, latched):
    """The rule of quant.ir, line by line; Amaranth's expressions are as wide as their values, so that nothing is lost.

    Returns S, H, V, I and whether the neuron has fired by now.
    """
    arrived = current + drive if population.current_decay is not None else drive
    h = state + own(population, population.bias, number) + arrived
    if population.rectify:
        h = Mux(h < 0, 0, h)
    s = Const(0)
    if population.threshold is not None:
        theta = own(population, population.threshold, number)
        s = Mux(h >= theta, Const(1), Mux(h <= -theta, Const(-1), 0) if population.ternary else 0)
        s = Mux(latched, 0, s)
    v = h
    if population.reset == "zero":
        v = Mux(s != 0, own(population, population.reset_value, number), h)
    if population.reset == "subtract":
        v = h - s * own(population, population.reset_amount, number)
    if population.reset == "latch":
        v = Mux((s != 0) | latched, 0, h)
    rails = population.state_min, population.state_max
    i = Const(0)
    if population.current_decay is not None:
        limits = population.current_min, population.current_max
        i = decayed(population, arrived, population.current_decay, number, *limits)
    return s, h, decayed(population, v, population.decay, number, *rails), i, (s != 0) | latched


def claim(population, *, shows=False, unit=None):
    """A neuron unit, its own or another, beside the equation: a module with assertions, and its inputs."""
    m = Module()
    m.submodules.dut = unit = unit or Neuron(population, bounds_of(population, DRIVE), shows=shows)
    number = Signal(range(population.size), name="number")
    m.d.comb += Assume(number < population.size)
    for name, values in parameters(unit.population).items():
        m.d.comb += getattr(unit, name).eq(own(unit.population, values, number))
    ranges = {
        "state": Range(population.state_min, population.state_max),
        "current": Range(population.current_min, population.current_max),
        "drive": DRIVE,
        "latched": Range(0, 1),
    }
    given = {}
    for name, values in ranges.items():
        given[name] = Const(0)
        if name in unit.signature.members:
            given[name] = signal = Signal(shape_of(values), name=name)
            m.d.comb += [getattr(unit, name).eq(signal), Assume((signal >= values.low) & (signal <= values.high))]
    s, h, state, current, latched = equation(population, number, **given)

    second = int(population.current_decay is not None)
    age = Signal(range(MEMBRANE + 2))
    with m.If(age < MEMBRANE + second):
        m.d.sync += age.eq(age + 1)
    fires, value = past(m, Const(1) if shows else s != 0, SPIKE + second), past(m, h if shows else s, SPIKE + second)
    equal = unit.fired == fires
    if population.ternary or shows:
        equal &= ~fires | (unit.value == value)
    m.d.comb += Assert((age < SPIKE + second) | equal)
    for name, wanted in (("state", state), ("current", current), ("latched", latched)):
        if f"next_{name}" in unit.signature.members:
            found = getattr(unit, f"next_{name}")
            m.d.comb += Assert((age < MEMBRANE + second) | (found == past(m, wanted, MEMBRANE + second)))
    return m, [number, *(signal for signal in given.values() if isinstance(signal, Signal))]


def check(population, **options):
    """Proves it; what comes out depends on the last six cycles alone, so that the induction closes."""
    prove(*claim(population, **options), steps=8)


DECAYS = {
    "0": Decay(numerator=0),
    "1": Decay(),
    "1/2": Decay(numerator=1, shift=1),
    "15/16": Decay(numerator=15, shift=4),
    "11/16": Decay(numerator=11, shift=4),
    "5/4": Decay(numerator=5, shift=2),
    "each": Decay(numerator=np.array([0, 5, 8]), shift=3),
}


def population(**fields):
    """Three neurons, of membranes of eight bits."""
    values = {
        "threshold": np.array([1, 41, 77]),
        "bias": np.array([-9, 0, 13]),
        "decay": DECAYS["15/16"],
        "state_min": -100,
        "state_max": 123,
    }
    return Population(**{"name": "n", "shape": (3,), **values, **fields})


SECOND = {"current_decay": Decay(numerator=3, shift=2), "current_min": -50, "current_max": 61}


@pytest.mark.parametrize("order", [{}, SECOND], ids=["first", "second"])
@pytest.mark.parametrize("ternary", [False, True], ids=["binary", "ternary"])
@pytest.mark.parametrize("rectify", [False, True], ids=["", "rectify"])
@pytest.mark.parametrize("reset", RESETS)
def test_is_its_equation(reset, rectify, ternary, order):
    check(population(reset=reset, rectify=rectify, ternary=ternary, **order))


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("reset", ["subtract", "latch"])
def test_is_its_equation_for_every_decay(reset, decay):
    check(population(reset=reset, decay=DECAYS[decay]))


@pytest.mark.parametrize("decay", DECAYS)
def test_is_its_equation_for_every_decay_of_the_current(decay):
    check(population(reset="subtract", **SECOND | {"current_decay": DECAYS[decay]}))


@pytest.mark.parametrize(
    "fields",
    [
        {"reset": "zero", "reset_value": np.array([-140, 5, 150])},
        {"reset": "subtract", "reset_amount": np.array([-30, 0, 200])},
        {"reset": "subtract", "ternary": True, "reset_amount": np.array([-30, 0, 200]), "rectify": True},
        {"reset": "subtract", "state_min": 0, "rectify": True},
        {"reset": "none", "state_max": 0},
        {"reset": "zero", "threshold": 1000},
    ],
    ids=str,
)
def test_is_its_equation_at_the_borders(fields):
    check(population(**fields))


@pytest.mark.parametrize("shows", [False, True], ids=["silent", "shows"])
@pytest.mark.parametrize("order", [{}, SECOND], ids=["first", "second"])
def test_without_a_threshold_is_its_equation(order, shows):
    check(population(threshold=None, reset="none", **order), shows=shows)


# What the proof must not let pass: what the equation says, and what the unit does instead.
WRONG = {
    "> for >=": ({}, {"threshold": np.array([2, 42, 78])}),
    "one > for >=": ({}, {"threshold": np.array([1, 41, 78])}),
    "a low rail off by one": ({}, {"state_min": -99}),
    "a high rail off by one": ({"reset": "none"}, {"state_max": 122}),
    "no rectification": ({"rectify": True}, {"rectify": False}),
    "a reset amount off by one": ({"reset": "subtract"}, {"reset_amount": np.array([1, 41, 78])}),
    "a reset value off by one": ({"reset_value": 0}, {"reset_value": 1}),
    "a reset to zero for a subtraction": ({"reset": "subtract"}, {"reset": "zero"}),
    "no latch": ({"reset": "latch"}, {"reset": "none"}),
    "another decay": ({}, {"decay": Decay(numerator=14, shift=4)}),
    "a bias of the neighbour": ({}, {"bias": np.array([0, -9, 13])}),
    "a rail of the current": (SECOND, {"current_max": 60}),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_unit_is_refuted(case):
    fields, change = WRONG[case]
    meant, made = population(**fields), population(**fields | change)
    with pytest.raises(Refuted):
        check(meant, unit=Neuron(made, bounds_of(made, DRIVE)))


@pytest.mark.parametrize("stage", ["total", "kept"])
def test_a_unit_with_a_bit_too_few_is_refuted(stage):
    meant = population(reset="subtract", reset_amount=-30)
    bounds = bounds_of(meant, DRIVE)
    whole = getattr(bounds, stage)
    less = replace(bounds, **{stage: Range(whole.low // 2, whole.high // 2)})
    assert shape_of(getattr(less, stage)).width == shape_of(whole).width - 1
    with pytest.raises(Refuted):
        check(meant, unit=Neuron(meant, less))


def test_a_unit_that_rounds_down_is_refuted(monkeypatch):
    meant = population()
    monkeypatch.setattr(neuron, "_scaled", lambda value, numerator, decay: value * numerator >> decay.shift)
    with pytest.raises(Refuted):
        check(meant)
