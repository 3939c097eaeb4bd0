from itertools import product

import numpy as np
import pytest
from amaranth import Cat, Const, Module, Signal
from amaranth.sim import Simulator

from hw.arith import clip, lookup, pack, scale, signed_digits
from hw.layout import shape_of
from quant.ranges import Range


def results(value, expression, numbers, m=None):
    """Numbers that an expression of one signal gives for the numbers of that signal."""
    m = m or Module()
    result = Signal(40, name="result").as_signed()
    m.d.comb += result.eq(expression)
    found = []

    async def bench(ctx):
        for number in numbers:
            ctx.set(value, number)
            found.append(ctx.get(result))

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
    return found


def test_packs_the_first_lowest_in_twos_complement():
    assert pack([1, -1, -8, 7], 4) == 0x78F1
    assert pack([], 4) == 0


def fewest_digits(limit):
    """How many signed powers of two it takes at least to sum up to each number, by trying them all."""
    powers = [sign * (1 << shift) for sign in (1, -1) for shift in range(limit.bit_length() + 1)]
    fewest, sums = {0: 0}, {0}
    for count in range(1, 6):
        sums = {total + power for total in sums for power in powers}
        for total in sums:
            fewest.setdefault(total, count)
    return fewest


def test_signed_digits_are_exact_and_the_fewest():
    fewest = fewest_digits(511)
    for factor in range(512):
        digits = signed_digits(factor)
        assert sum(sign * (1 << shift) for sign, shift in digits) == factor
        assert len(digits) == fewest[factor], factor


@pytest.mark.parametrize(
    ("factor", "digits"),
    [(0, []), (1, [(1, 0)]), (3, [(-1, 0), (1, 2)]), (6, [(-1, 1), (1, 3)]), (5, [(1, 0), (1, 2)]), (8, [(1, 3)])],
)
def test_signed_digits(factor, digits):
    assert signed_digits(factor) == digits


@pytest.mark.parametrize("values", [Range(-16, 15), Range(0, 15), Range(-1, 0)])
def test_scale_is_a_multiplication(values):
    value = Signal(shape_of(values))
    numbers = range(values.low, values.high + 1)
    factors = [*range(20), 23, 27, 31, 85, 107, 255]
    wide = [(factor, scale(value, factor)) for factor in factors]
    for factor, scaled in wide:
        assert results(value, scaled, numbers) == [number * factor for number in numbers], factor


def test_clip_holds_every_number_within_the_rails():
    for low, high, least, most in product((-5, -1, 0), (0, 1, 6), (-9, -5, -1, 0), (0, 1, 6, 9)):
        value = Signal(shape_of(Range(least, most)))
        clipped = clip(value, within=Range(low, high), of=Range(least, most))
        numbers = range(least, most + 1)
        assert results(value, clipped, numbers) == [min(max(number, low), high) for number in numbers]


def test_a_rail_that_cannot_be_reached_costs_nothing():
    value = Signal(4)
    assert clip(value, within=Range(0, 9), of=Range(0, 9)) is value
    assert clip(value, within=Range(-2, 12), of=Range(0, 9)) is value


def test_the_rails_are_reached_exactly():
    value = Signal(shape_of(Range(-8, 7)))
    clipped = clip(value, within=Range(-4, 5), of=Range(-8, 7))
    assert results(value, clipped, [-8, -5, -4, -3, 4, 5, 6, 7]) == [-4, -4, -4, -3, 4, 5, 5, 5]
    assert results(value, Cat(clipped == 5, clipped == -4), [-5, 6]) == [2, 1]


@pytest.mark.parametrize(
    "values",
    [
        [0, 1, 2, 3, 4],
        [3, 8, 13, 18],
        [0, 12, 24],
        [7, 5, 3],
        [0, 0, 1, 1, 2],
        [1, 0, 0, 5],
        [0, 1],
        [1, 0],
        [9, 9, 9, 8],
    ],
)
def test_lookup_gives_the_number_at_every_index(values):
    m, index = Module(), Signal(range(len(values)))
    found = lookup(m, index, np.array(values), "found")
    assert not found.shape().signed
    assert len(found) == max(values).bit_length()
    assert results(index, found, range(len(values)), m) == values


@pytest.mark.parametrize(("values", "width"), [([0], 1), ([5], 3), ([6, 6, 6], 3), ([0, 0], 1)])
def test_a_number_that_is_always_the_same_is_looked_up_nowhere(values, width):
    m, index = Module(), Signal(2)
    found = lookup(m, index, np.array(values), "found")
    assert isinstance(found, Const)
    assert (found.value, len(found)) == (values[0], width)
    assert results(index, found, range(len(values)), m) == values
