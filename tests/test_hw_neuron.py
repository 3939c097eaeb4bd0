from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
from streams import simulate

from hw.neuron import Neuron, parameter_shapes
from quant.ir import RESETS, Decay, Population
from quant.ranges import Range, bounds_of

SPIKE, MEMBRANE = 2, 4  # cycles from a membrane to its spike, and to the new membrane


@dataclass(frozen=True, kw_only=True)
class Case:
    """What goes into a neuron unit in one cycle."""

    neuron: int = 0
    state: int = 0
    drive: int = 0
    latched: int = 0


def neuron(name, population, index):
    """Parameter of one neuron of a population."""
    return int(population.per_neuron(getattr(population, name))[index])


def equation(population, case):
    """Spike, new membrane and whether the neuron has fired: the rule of quant.ir, word by word."""
    theta = neuron("threshold", population, case.neuron)
    m, f = int(population.per_neuron(population.decay.numerator)[case.neuron]), population.decay.shift
    h = case.state + neuron("bias", population, case.neuron) + case.drive
    if population.rectify:
        h = max(h, 0)
    latched = population.reset == "latch" and case.latched
    s = 1 if h >= theta and not latched else 0
    fired = s or latched
    v = h
    if population.reset == "zero" and s:
        v = neuron("reset_value", population, case.neuron)
    if population.reset == "subtract":
        v = h - s * neuron("reset_amount", population, case.neuron)
    if population.reset == "latch" and fired:
        v = 0
    half = 2 ** (f - 1) if f else 0
    v = (v * m + half) // 2**f
    return s, min(max(v, population.state_min), population.state_max), fired


def run(population, drive, cases):
    """Spikes, new membranes and fired flags of cases that follow each other, one per cycle."""
    unit = Neuron(population, bounds_of(population, drive))
    fields = {
        name: population.decay.numerator if name == "factor" else getattr(population, name)
        for name in parameter_shapes(population)
    }
    words = [
        {name: int(population.per_neuron(values)[index]) for name, values in fields.items()}
        for index in range(population.size)
    ]
    spikes, states, fired = [], [], []

    async def bench(ctx):
        for cycle in range(len(cases) + MEMBRANE):
            case = cases[min(cycle, len(cases) - 1)]
            for name in ("state", "drive", "latched"):
                ctx.set(getattr(unit, name), getattr(case, name))
            if population.size > 1 or cycle == 0:
                for name, value in words[case.neuron].items():
                    ctx.set(getattr(unit, name), value)
            if cycle >= SPIKE:
                spikes.append(ctx.get(unit.spike))
            if cycle >= MEMBRANE:
                states.append(ctx.get(unit.next_state))
                fired.append(ctx.get(unit.next_latched))
            await ctx.tick()

    simulate(unit, bench)
    return list(zip(spikes, states, fired, strict=False))


def check(population, drive):
    """Every neuron, membrane and drive, in an order in which neighbours have little in common."""
    flags = (0, 1) if population.reset == "latch" else (0,)
    ranges = (range(population.size), range(population.state_min, population.state_max + 1))
    cases = [
        Case(neuron=n, state=v, drive=x, latched=flag)
        for n, v, x, flag in product(*ranges, range(drive.low, drive.high + 1), flags)
    ]
    np.random.default_rng(0).shuffle(cases)
    for case, found in zip(cases, run(population, drive, cases), strict=True):
        spike, state, fired = equation(population, case)
        assert found[:2] == (spike, state), case
        if population.reset == "latch":
            assert found[2] == fired, case


DECAYS = {
    "0": Decay(numerator=0),
    "1": Decay(),
    "1/2": Decay(numerator=1, shift=1),
    "3/4": Decay(numerator=3, shift=2),
    "7/8": Decay(numerator=7, shift=3),
    "5/4": Decay(numerator=5, shift=2),
    "3": Decay(numerator=3),
    "each": Decay(numerator=np.array([0, 5, 8]), shift=3),
}
RAILS = {"signed": (-4, 5), "unsigned": (0, 6)}


@pytest.mark.parametrize("rails", RAILS)
@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("rectify", [False, True])
@pytest.mark.parametrize("reset", RESETS)
def test_is_its_equation_for_every_membrane_and_drive(reset, rectify, decay, rails):
    low, high = RAILS[rails]
    population = Population(
        name="n",
        shape=(3,) if decay == "each" else (1,),
        threshold=4,
        reset=reset,
        decay=DECAYS[decay],
        rectify=rectify,
        state_min=low,
        state_max=high,
    )
    check(population, Range(-5, 6))


@pytest.mark.parametrize(
    "fields",
    [
        {"reset": "none", "state_min": -2, "state_max": 1},
        {"reset": "subtract", "state_min": -7, "state_max": 0},
        {"reset": "zero", "reset_value": -3},
        {"reset": "zero", "reset_value": 9},
        {"reset": "zero", "reset_value": np.array([-2, 0, 5]), "rectify": True},
        {"reset": "subtract", "reset_amount": 9},
        {"reset": "subtract", "reset_amount": -3},
        {"reset": "subtract", "reset_amount": 0},
        {"reset": "subtract", "reset_amount": np.array([-1, 2, 14]), "rectify": True},
        {"reset": "zero", "bias": -4},
        {"reset": "subtract", "bias": 5},
        {"reset": "none", "bias": np.array([-6, 0, 6])},
        {"reset": "latch", "bias": np.array([-1, 3, 1]), "threshold": np.array([1, 4, 9])},
        {"reset": "none", "threshold": 1000},
        {"reset": "zero", "threshold": np.array([1, 2, 1000])},
        {"reset": "subtract", "threshold": np.array([1, 2, 1000])},
        {"reset": "latch", "threshold": 1000, "rectify": True},
    ],
    ids=lambda fields: ", ".join(f"{name} {value}" for name, value in fields.items()),
)
def test_is_its_equation_for_every_parameter(fields):
    rails = {"state_min": -4, "state_max": 5}
    decay = Decay(numerator=3, shift=2)
    check(Population(**{"name": "n", "shape": (3,), "threshold": 3, "decay": decay, **rails, **fields}), Range(-5, 6))


@pytest.mark.parametrize("reset", RESETS)
def test_is_its_equation_for_numbers_of_many_bits(reset):
    """Membranes of 31 bits and a decay of 24, at random and at every corner."""
    rng = np.random.default_rng(3)
    low, high, drive = -(1 << 30), (1 << 30) - 1, Range(-(1 << 22), 1 << 22)
    population = Population(
        name="n",
        shape=(2,),
        threshold=np.array([1 << 29, 1 << 30]),
        reset=reset,
        decay=Decay(numerator=np.array([(1 << 24) - 1, (1 << 24) + 12345]), shift=24),
        bias=np.array([-(1 << 20), 99]),
        state_min=low,
        state_max=high,
    )
    states = [low, high, 0, -1, 1 << 29, *(int(state) for state in rng.integers(low, high + 1, 80))]
    drives = [drive.low, drive.high, 0, *(int(value) for value in rng.integers(drive.low, drive.high + 1, 4))]
    cases = [Case(neuron=n, state=v, drive=x) for n, v, x in product(range(2), states, drives)]
    found = run(population, drive, cases)
    assert [result[:2] for result in found] == [equation(population, case)[:2] for case in cases]


def test_is_its_equation_without_inputs():
    check(Population(name="n", shape=(1,), threshold=2, bias=1, state_min=-1, state_max=3), Range(0, 0))


@pytest.mark.parametrize(
    ("fields", "state", "drive", "spike", "after"),
    [
        # The threshold: at it, one above, one below.
        ({}, 3, 4, 0, 7),
        ({}, 3, 5, 1, 0),
        ({}, 3, 6, 1, 0),
        ({"bias": 1}, 3, 4, 1, 0),
        ({"bias": -1}, 3, 5, 0, 7),
        # The resets.
        ({"reset_value": -4}, 3, 5, 1, -4),
        ({"reset": "subtract"}, 3, 9, 1, 4),
        ({"reset": "subtract", "reset_amount": 3}, 3, 9, 1, 9),
        ({"reset": "subtract", "reset_amount": -2}, 3, 5, 1, 10),
        ({"reset": "none"}, 3, 9, 1, 12),
        ({"reset": "latch"}, 3, 9, 1, 0),
        # Rectified: before the comparison, and before what is kept.
        ({"rectify": True}, -5, -6, 0, 0),
        ({"rectify": True, "reset": "subtract", "reset_amount": 20}, 3, 9, 1, -8),
        # Rounding to nearest, halves up: 1.5, 1, -0.5, -1, -1.5.
        ({"decay": Decay(numerator=1, shift=1)}, 3, 0, 0, 2),
        ({"decay": Decay(numerator=1, shift=1)}, 2, 0, 0, 1),
        ({"decay": Decay(numerator=1, shift=1)}, -1, 0, 0, 0),
        ({"decay": Decay(numerator=1, shift=1)}, -2, 0, 0, -1),
        ({"decay": Decay(numerator=1, shift=1)}, -3, 0, 0, -1),
        # 3/4 of 2, 3, -2, -3: 1.5, 2.25, -1.5, -2.25; 5/4 of 6, -6: 7.5, -7.5.
        ({"decay": Decay(numerator=3, shift=2)}, 2, 0, 0, 2),
        ({"decay": Decay(numerator=3, shift=2)}, 3, 0, 0, 2),
        ({"decay": Decay(numerator=3, shift=2)}, -2, 0, 0, -1),
        ({"decay": Decay(numerator=3, shift=2)}, -3, 0, 0, -2),
        ({"decay": Decay(numerator=5, shift=2)}, 6, 0, 0, 8),
        ({"decay": Decay(numerator=5, shift=2)}, -6, 0, 0, -7),
        ({"decay": Decay(numerator=0)}, -6, 2, 0, 0),
        # The reset value decays too.
        ({"reset_value": 5, "decay": Decay(numerator=1, shift=1)}, 3, 9, 1, 3),
        # The rails: at them, and one beyond.
        ({"reset": "none"}, 3, 10, 1, 13),
        ({"reset": "none"}, 3, 11, 1, 13),
        ({"reset": "none"}, -2, -10, 0, -12),
        ({"reset": "none"}, -2, -11, 0, -12),
        ({"reset_value": 99}, 3, 9, 1, 13),
        ({"reset_value": -99}, 3, 9, 1, -12),
        ({"state_min": 0}, 1, -9, 0, 0),
    ],
)
def test_worked_by_hand(fields, state, drive, spike, after):
    population = Population(**{"name": "n", "shape": (1,), "threshold": 8, "state_min": -12, "state_max": 13, **fields})
    case = Case(state=state, drive=drive)
    ((found_spike, found_state, _),) = run(population, Range(-12, 12), [case])
    assert (found_spike, found_state) == (spike, after)
    assert equation(population, case)[:2] == (spike, after)


def test_a_latched_neuron_is_silent_with_its_membrane_at_zero():
    population = Population(name="n", shape=(1,), threshold=8, reset="latch", state_min=-12, state_max=13)
    cases = [Case(drive=8, latched=1), Case(state=-5, latched=1), Case(drive=8), Case(drive=7), Case(state=-5)]
    assert run(population, Range(-12, 12), cases) == [(0, 0, 1), (0, 0, 1), (1, 0, 1), (0, 7, 0), (0, -5, 0)]


def test_parameters_that_the_rule_does_not_use_have_no_ports():
    fields = {"name": "n", "shape": (2,), "threshold": 3, "state_min": -8, "state_max": 7}
    assert set(parameter_shapes(Population(**fields))) == {"threshold", "bias", "factor", "reset_value"}
    assert set(parameter_shapes(Population(**fields, reset="none"))) == {"threshold", "bias", "factor"}
    assert set(parameter_shapes(Population(**fields, reset="latch"))) == {"threshold", "bias", "factor"}
    assert set(parameter_shapes(Population(**fields, reset="subtract"))) == {
        "threshold",
        "bias",
        "factor",
        "reset_amount",
    }
