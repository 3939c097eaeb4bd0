# amaranth: UnusedElaboratable=no
"""The unit of the neuron is its equation, for every input; and which ports it has."""

from itertools import product

import numpy as np
import pytest
from neurons import Case, equation, run, second_order

from hw.neuron import Neuron, parameter_shapes, parameters
from quant.ir import RESETS, Decay, Population
from quant.ranges import Range, bounds_of


def every_case(population, drive):
    """Every neuron, membrane, current and drive, in an order in which neighbours have little in common."""
    flags = (0, 1) if population.reset == "latch" else (0,)
    ranges = (
        range(population.size),
        range(population.state_min, population.state_max + 1),
        range(population.current_min, population.current_max + 1),
        range(drive.low, drive.high + 1),
    )
    cases = [Case(neuron=n, state=v, current=i, drive=x, latched=flag) for n, v, i, x, flag in product(*ranges, flags)]
    np.random.default_rng(0).shuffle(cases)
    return cases


def check(population, drive, *, shows=False):
    cases = every_case(population, drive)
    for case, found in zip(cases, run(population, drive, cases, shows=shows), strict=True):
        assert found == equation(population, case, shows=shows), case


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


def first_order(**fields):
    values = {"threshold": 4, "decay": Decay(numerator=3, shift=2), "state_min": -4, "state_max": 5}
    return Population(**{"name": "n", "shape": (1,), **values, **fields})


@pytest.mark.parametrize("rails", RAILS)
@pytest.mark.parametrize("ternary", [False, True], ids=["binary", "ternary"])
@pytest.mark.parametrize("rectify", [False, True], ids=["", "rectify"])
@pytest.mark.parametrize("reset", RESETS)
def test_is_its_equation_for_every_membrane_and_drive(reset, rectify, ternary, rails):
    low, high = RAILS[rails]
    population = first_order(reset=reset, rectify=rectify, ternary=ternary, state_min=low, state_max=high)
    check(population, Range(-5, 6))


@pytest.mark.parametrize("rails", RAILS)
@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("reset", RESETS)
def test_is_its_equation_for_every_decay(reset, decay, rails):
    low, high = RAILS[rails]
    shape = (3,) if decay == "each" else (1,)
    population = first_order(shape=shape, reset=reset, ternary=True, decay=DECAYS[decay], state_min=low, state_max=high)
    check(population, Range(-5, 6))


@pytest.mark.parametrize("ternary", [False, True], ids=["binary", "ternary"])
@pytest.mark.parametrize("rectify", [False, True], ids=["", "rectify"])
@pytest.mark.parametrize("reset", RESETS)
def test_of_second_order_is_its_equation_for_every_membrane_and_current(reset, rectify, ternary):
    check(second_order(reset=reset, rectify=rectify, ternary=ternary), Range(-3, 4))


@pytest.mark.parametrize("rails", [(-3, 2), (0, 3), (-3, 0), (0, 0)])
@pytest.mark.parametrize("decay", DECAYS)
def test_of_second_order_is_its_equation_for_every_decay_of_the_current(decay, rails):
    each = {"shape": (3,), "bias": np.array([-1, 2, 0])} if decay == "each" else {}
    rails = {"current_min": rails[0], "current_max": rails[1]}
    check(second_order(reset="subtract", current_decay=DECAYS[decay], **rails, **each), Range(-3, 4))


SILENT = {
    "plain": {},
    "rectified": {"rectify": True},
    "biased": {"bias": np.array([-7, 0, 3])},
    "positive": {"bias": 20, "state_min": 0},
    "negative": {"bias": -20, "state_max": 0, "rectify": True},
    "leaky": {"decay": Decay(numerator=np.array([0, 5, 9]), shift=3)},
    "without a membrane": {"state_min": 0, "state_max": 0},
    "second order": {"current_decay": Decay(numerator=1, shift=1), "current_min": -2, "current_max": 3},
}


@pytest.mark.parametrize("shows", [False, True], ids=["silent", "shows"])
@pytest.mark.parametrize("fields", SILENT)
def test_without_a_threshold_is_its_equation_for_every_membrane_and_drive(fields, shows):
    values = {"threshold": None, "reset": "none", "state_min": -4, "state_max": 5, **SILENT[fields]}
    check(Population(name="n", shape=(3,), **values), Range(-5, 6), shows=shows)


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
        {"reset": "zero", "ternary": True, "reset_value": np.array([-9, 2, 9])},
        {"reset": "subtract", "ternary": True, "reset_amount": np.array([-1, 2, 14]), "threshold": np.array([1, 3, 5])},
        {"reset": "subtract", "ternary": True, "bias": -5, "reset_amount": -3},
        {"reset": "latch", "ternary": True, "bias": np.array([-1, 3, 1]), "threshold": np.array([1, 4, 9])},
        {"reset": "none", "ternary": True, "threshold": np.array([1, 2, 1000])},
    ],
    ids=lambda fields: ", ".join(f"{name} {value}" for name, value in fields.items()),
)
def test_is_its_equation_for_every_parameter(fields):
    check(first_order(**{"shape": (3,), "threshold": 3, **fields}), Range(-5, 6))


@pytest.mark.parametrize("second", [False, True], ids=["first order", "second order"])
@pytest.mark.parametrize("ternary", [False, True], ids=["binary", "ternary"])
@pytest.mark.parametrize("reset", RESETS)
def test_is_its_equation_for_numbers_of_many_bits(reset, ternary, second):
    """Membranes of 31 bits and decays of 24, at random and at every corner."""
    rng = np.random.default_rng(3)
    low, high, drive = -(1 << 30), (1 << 30) - 1, Range(-(1 << 22), 1 << 22)
    fields = {}
    if second:
        decay = Decay(numerator=np.array([(1 << 23) + 7, (1 << 24) - 3]), shift=24)
        fields = {"current_decay": decay, "current_min": low, "current_max": high}
    population = Population(
        name="n",
        shape=(2,),
        threshold=np.array([1 << 29, 1 << 30]),
        reset=reset,
        ternary=ternary,
        decay=Decay(numerator=np.array([(1 << 24) - 1, (1 << 24) + 12345]), shift=24),
        bias=np.array([-(1 << 20), 99]),
        state_min=low,
        state_max=high,
        **fields,
    )
    states = [low, high, 0, -1, 1 << 29, -(1 << 29), *(int(state) for state in rng.integers(low, high + 1, 20))]
    drives = [drive.low, drive.high, 0, *(int(value) for value in rng.integers(drive.low, drive.high + 1, 4))]
    currents = [low, high, *(int(value) for value in rng.integers(low, high + 1, 3))] if second else [0]
    cases = [Case(neuron=n, state=v, drive=x, current=i) for n, v, x, i in product(range(2), states, drives, currents)]
    assert run(population, drive, cases) == [equation(population, case) for case in cases]


def test_is_its_equation_without_inputs():
    check(Population(name="n", shape=(1,), threshold=2, bias=1, state_min=-1, state_max=3), Range(0, 0))


PORTS = {
    "zero": ({}, {"threshold", "bias", "factor", "reset_value"}, set()),
    "none": ({"reset": "none"}, {"threshold", "bias", "factor"}, set()),
    "latch": ({"reset": "latch"}, {"threshold", "bias", "factor"}, {"latched", "next_latched"}),
    "subtract": ({"reset": "subtract"}, {"threshold", "bias", "factor", "reset_amount"}, set()),
    "ternary": ({"ternary": True, "reset": "none"}, {"threshold", "bias", "factor"}, {"value"}),
    "silent": ({"threshold": None, "reset": "none"}, {"bias", "factor"}, set()),
    "second order": (
        {"reset": "none", "current_decay": Decay()},
        {"threshold", "bias", "factor", "current_factor"},
        {"current", "next_current"},
    ),
}


@pytest.mark.parametrize("case", PORTS)
def test_what_the_rule_does_not_use_has_no_port(case):
    fields, names, others = PORTS[case]
    population = Population(**{"name": "n", "shape": (2,), "threshold": 3, "state_min": -8, "state_max": 7, **fields})
    assert set(parameters(population)) == set(parameter_shapes(population)) == names
    ports = set(Neuron(population, bounds_of(population, Range(-1, 1))).signature.members)
    assert ports == {"state", "drive", "fired", "next_state"} | names | others
