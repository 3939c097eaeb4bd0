from dataclasses import replace
from itertools import product
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.errors import NetworkError
from quant.graph import Synapses
from quant.ir import Decay, Population
from quant.ops import apply
from quant.ranges import Range, bounds_of, fan_in
from tests.whole import random_connection, random_network

SETTINGS = settings(derandomize=True, deadline=None, max_examples=60)


@pytest.mark.parametrize(
    ("low", "high", "width", "signed"),
    [
        (0, 0, 1, False),
        (0, 1, 1, False),
        (0, 2, 2, False),
        (3, 3, 2, False),
        (0, 255, 8, False),
        (0, 256, 9, False),
        (-1, 0, 1, True),
        (-1, -1, 1, True),
        (-2, -1, 2, True),
        (-4, -4, 3, True),
        (-1, 1, 2, True),
        (-128, 127, 8, True),
        (-129, 127, 9, True),
        (-128, 128, 9, True),
        (-5, 300, 10, True),
    ],
)
def test_width_of_a_range(low, high, width, signed):
    assert (Range(low, high).width, Range(low, high).signed) == (width, signed)


@SETTINGS
@given(st.integers(-(1 << 40), 1 << 40), st.integers(0, 1 << 40))
def test_width_holds_the_range_and_one_bit_less_does_not(low, span):
    numbers = Range(low, low + span)

    def holds(width):
        half = 1 << (width - 1)
        least, most = (-half, half - 1) if numbers.signed else (0, 2 * half - 1)
        return width > 0 and least <= numbers.low and numbers.high <= most

    assert holds(numbers.width)
    assert numbers.width == 1 or not holds(numbers.width - 1)


def test_ranges_add_and_unite():
    assert Range(-1, 4) + Range(-10, 2) == Range(-11, 6)
    assert Range(-1, 4) | Range(3, 9) == Range(-1, 9)


def matrix(connection, shape):
    """Weight of every source at every target, by one unit event at a time."""
    return apply(connection, shape, np.eye(prod(shape), dtype=np.int64)).T


def exact_fan_in(connection, shape, values):
    weights = matrix(connection, shape)
    low, high = min(values.low, 0), max(values.high, 0)
    least = np.minimum(weights * low, weights * high).sum(axis=1)
    most = np.maximum(weights * low, weights * high).sum(axis=1)
    return Range(min(0, int(least.min())), max(0, int(most.max())))


@SETTINGS
@given(st.integers(0, 1 << 30), st.integers(-3, 0), st.integers(1, 4))
def test_no_input_leaves_the_fan_in_of_any_connection(seed, low, high):
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 5)),) if rng.random() < 0.3 else tuple(int(n) for n in rng.integers(1, 6, 3))
    values = Range(low, high)
    connection = random_connection(rng, "input", "p", shape, binary=False)
    bounds, exact = fan_in(connection, shape, values), exact_fan_in(connection, shape, values)
    assert bounds.low <= exact.low <= 0 <= exact.high <= bounds.high
    if connection.kind in ("dense", "identity"):
        assert bounds == exact


@pytest.mark.parametrize("values", [Range(0, 1), Range(-1, 1), Range(-2, 3), Range(-4, 0), Range(2, 5)])
@pytest.mark.parametrize("pool", [(1, 1), (2, 1)])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("stride", [1, 2, (1, 3)])
@pytest.mark.parametrize("kind", ["conv2d", "conv_transpose2d"])
def test_fan_in_of_convolutions_is_reached_away_from_the_border(kind, stride, groups, pool, values):
    rng = np.random.default_rng(0)
    shape = (4, 3, 2, 3) if kind == "conv_transpose2d" else (6, 4 // groups, 2, 3)
    weights = rng.integers(-8, 8, shape)
    connection = Synapses(
        source="input", target="p", kind=kind, weights=weights, stride=stride, groups=groups, pool=pool
    )
    source = (4, 6 * pool[0], 7 * pool[1])
    assert fan_in(connection, source, values) == exact_fan_in(connection, source, values)


def test_fan_in_of_a_maximum_counts_a_window_once():
    connection = Synapses(source="a", target="b", kind="max_pool", weights=np.array([3, -5]), kernel=2)
    assert fan_in(connection, (2, 4, 4), Range(0, 1)) == Range(-5, 3)
    pooled = replace(connection, pool=2)
    assert fan_in(pooled, (2, 4, 4), Range(0, 1)) == Range(-5, 3)


def test_fan_in_of_pooled_addresses_counts_each_of_them():
    connection = Synapses(source="a", target="b", kind="identity", weights=np.array([3, -5]), pool=(2, 3))
    assert fan_in(connection, (2, 4, 6), Range(0, 1)) == Range(-30, 18)


def test_fan_in_holds_0_where_sums_start():
    connection = Synapses(source="a", target="b", kind="dense", weights=np.array([[3, 4]]))
    assert fan_in(connection, (2,), Range(0, 1)) == Range(0, 7)
    assert fan_in(connection, (2,), Range(-1, 0)) == Range(-7, 0)


def test_drives_of_random_inputs_stay_within_the_network_bounds():
    rng = np.random.default_rng(1)
    for _ in range(40):
        network = random_network(rng)
        for name in network.order:
            drive = sum(
                apply(item, network.shape_of(item.source), _extreme_values(rng, network, item.source))
                for item in network.incoming(name)
            )
            bounds = network.bounds(name).drive
            assert bounds.low <= drive.min()
            assert drive.max() <= bounds.high


def _extreme_values(rng, network, source):
    values, size = network.value_range(source), prod(network.shape_of(source))
    return rng.choice([values.low, 0, values.high], (20, size)).astype(np.int64)


def shifted(value, decay):
    return [(value * int(m) + decay.half, (value * int(m) + decay.half) >> decay.shift) for m in decay.numerator.flat]


def steps_of(population, drive):
    """Everything that one step of one neuron can compute: the rule of quant.ir, enumerated."""
    currents = [0]
    if population.current_decay is not None:
        currents = range(population.current_min, population.current_max + 1)
    states = range(population.state_min, population.state_max + 1)
    for v, i, arrived, latched in product(states, currents, range(drive.low, drive.high + 1), (False, True)):
        current = i + arrived
        total = v + current + int(population.bias)
        h = max(total, 0) if population.rectify else total
        spike = 0
        if population.threshold is not None and not (latched and population.reset == "latch"):
            spike = 1 if h >= population.threshold else -1 if population.ternary and h <= -population.threshold else 0
        kept = h
        if population.reset == "zero" and spike:
            kept = int(population.reset_value)
        elif population.reset == "subtract":
            kept = h - spike * int(population.reset_amount)
        elif population.reset == "latch" and (latched or spike):
            kept = 0
        for scaled, _ in shifted(kept, population.decay):
            yield current, total, kept, scaled


def extremes(values):
    values = list(values)
    return Range(min(values), max(values))


@st.composite
def populations(draw):
    reset = draw(st.sampled_from(["zero", "subtract", "none", "latch"]))
    second = draw(st.booleans())
    return Population(
        name="p",
        shape=(1,),
        threshold=draw(st.integers(1, 12)) if reset != "none" or draw(st.booleans()) else None,
        reset=reset,
        reset_value=draw(st.integers(-6, 6)) if reset == "zero" else 0,
        reset_amount=draw(st.integers(-5, 15)) if reset == "subtract" else None,
        decay=Decay(numerator=draw(st.integers(0, 9)), shift=draw(st.integers(0, 3))),
        rectify=draw(st.booleans()),
        ternary=reset != "none" and draw(st.booleans()),
        bias=draw(st.integers(-4, 4)),
        state_min=draw(st.integers(-6, 0)),
        state_max=draw(st.integers(0, 6)),
        current_decay=Decay(numerator=1, shift=1) if second else None,
        current_min=draw(st.integers(-3, 0)) if second else 0,
        current_max=draw(st.integers(0, 3)) if second else 0,
    )


@SETTINGS
@given(populations(), st.integers(-4, 0), st.integers(0, 4))
def test_one_step_reaches_its_bounds_and_no_more(population, low, high):
    bounds = bounds_of(population, Range(low, high))
    current, total, kept, scaled = (
        extremes(values) for values in zip(*steps_of(population, Range(low, high)), strict=True)
    )
    assert bounds.current == current
    assert bounds.total == total
    assert bounds.kept.low <= kept.low
    assert kept.high <= bounds.kept.high
    assert bounds.product.low <= scaled.low
    assert scaled.high <= bounds.product.high
    reached = population.threshold is not None and total.low < population.threshold <= total.high
    if population.reset == "none" or (reached and not population.ternary and population.reset in ("zero", "latch")):
        assert bounds.kept == kept
        assert bounds.product == scaled


def test_what_did_not_fire_is_below_the_threshold():
    population = Population(name="p", shape=(1,), threshold=5, reset_value=-2, state_min=-3, state_max=4)
    assert bounds_of(population, Range(-7, 100)).kept == Range(-10, 4)
    ternary = replace(population, ternary=True)
    assert bounds_of(ternary, Range(-7, 100)).kept == Range(-4, 4)


def test_bounds_of_subtraction_worked_by_hand():
    population = Population(
        name="p", shape=(1,), threshold=5, reset="subtract", reset_amount=8, state_min=-3, state_max=4
    )
    bounds = bounds_of(population, Range(0, 10))
    assert bounds.total == Range(-3, 14)
    assert bounds.kept == Range(-3, 6)
    raised = replace(population, reset_amount=-2)
    assert bounds_of(raised, Range(0, 10)).kept == Range(-3, 16)


def test_bounds_of_ternary_subtraction_worked_by_hand():
    population = Population(
        name="p", shape=(1,), threshold=5, reset="subtract", reset_amount=20, ternary=True, state_min=-3, state_max=4
    )
    assert bounds_of(population, Range(-4, 10)).kept == Range(-15, 15)
    assert bounds_of(replace(population, reset_amount=-9), Range(-4, 10)).kept == Range(-16, 23)


def test_bounds_are_of_the_worst_neuron():
    population = Population(
        name="p", shape=(2,), threshold=np.array([3, 9]), bias=np.array([-5, 6]), state_min=-1, state_max=2
    )
    bounds = bounds_of(replace(population, decay=Decay(numerator=np.array([1, 3]), shift=1)), Range(0, 1))
    assert bounds.total == Range(-6, 9)
    assert bounds.kept == Range(-6, 8)
    assert bounds.product == Range(-17, 25)


def test_a_product_of_60_bits_is_the_widest():
    fits = Population(
        name="p",
        shape=(1,),
        threshold=None,
        reset="none",
        decay=Decay(numerator=1 << 28, shift=0),
        state_min=0,
        state_max=(1 << 31) - 1,
    )
    assert bounds_of(fits, Range(0, 0)).product.width == 59
    assert bounds_of(fits, Range(0, 1 << 31)).product.width == 60
    with pytest.raises(NetworkError, match=r"the membrane times its decay must fit 60 bits, not 61; use "):
        bounds_of(fits, Range(0, 1 << 32))


def test_a_product_of_the_current_is_held_too():
    population = Population(
        name="p",
        shape=(1,),
        threshold=1,
        current_decay=Decay(numerator=(1 << 31) - 1, shift=0),
        state_min=0,
        state_max=1,
        current_max=(1 << 31) - 1,
    )
    with pytest.raises(NetworkError, match=r"^Population p: the current times its decay must fit 60 bits, not 62; "):
        bounds_of(population, Range(0, 0))
