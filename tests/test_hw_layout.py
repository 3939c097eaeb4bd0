from math import prod

import numpy as np
import pytest
from amaranth import Module, Signal, signed, unsigned
from amaranth.sim import Simulator

from hw.layout import BeatLayout, Fields, Tiling, shape_of
from quant.ranges import Range


@pytest.mark.parametrize(
    ("low", "high", "shape"),
    [
        (0, 0, unsigned(1)),
        (0, 1, unsigned(1)),
        (0, 2, unsigned(2)),
        (0, 255, unsigned(8)),
        (0, 256, unsigned(9)),
        (-1, 0, signed(1)),
        (-1, 1, signed(2)),
        (-128, 127, signed(8)),
        (-129, 0, signed(9)),
        (-1, 128, signed(9)),
    ],
)
def test_a_shape_is_as_wide_as_its_range_needs(low, high, shape):
    assert shape_of(Range(low, high)) == shape


@pytest.mark.parametrize(
    ("shape", "widths"),
    [
        ((1,), (0, 0, 0)),
        ((2,), (0, 0, 1)),
        ((5,), (0, 0, 3)),
        ((256,), (0, 0, 8)),
        ((257,), (0, 0, 9)),
        ((1, 1, 1), (0, 0, 0)),
        ((3, 1, 1), (0, 0, 2)),
        ((2, 5, 8), (3, 3, 1)),
        ((16, 28, 28), (5, 5, 4)),
        ((1, 2, 9), (4, 1, 0)),
    ],
)
def test_fields_are_as_wide_as_their_largest_number(shape, widths):
    fields = Fields(shape)
    assert fields.widths == widths
    assert fields.width == max(1, sum(widths))
    columns, rows, channels = fields.sizes
    assert columns * rows * channels == prod(shape)


def test_the_column_is_lowest_and_the_channel_highest():
    """Neuron 29 of (3, 4, 5) is channel 1, row 1, column 4."""
    assert Fields((3, 4, 5)).encode(np.array([0, 4, 5, 29, 59])).tolist() == [
        0,
        4,
        0b0_01_000,
        0b01_01_100,
        0b10_11_100,
    ]
    assert Fields((7,)).encode(np.arange(7)).tolist() == list(range(7))


@pytest.mark.parametrize("shape", [(1,), (9,), (1, 1, 1), (2, 3, 5), (4, 1, 2)])
def test_addresses_split_into_what_they_are_made_of(shape):
    fields = Fields(shape)
    neurons = np.arange(prod(shape))
    addresses = fields.encode(neurons)
    assert len(set(addresses.tolist())) == prod(shape)
    assert addresses.max() < 1 << fields.width
    x, y, c = (len(part) for part in fields.split(Signal(fields.width)))
    assert (x, y) == fields.widths[:2]
    assert x + y + c == fields.width
    for index, address in zip(np.ndindex(shape if len(shape) == 3 else (*shape, 1, 1)), addresses, strict=True):
        channel, row, column = index
        assert (address & ((1 << x) - 1), address >> x & ((1 << y) - 1), address >> (x + y)) == (column, row, channel)


@pytest.mark.parametrize(
    "shape", [(1,), (2,), (9,), (1, 1, 1), (2, 3, 5), (4, 1, 2), (2, 4, 4), (3, 2, 3), (1, 3, 4), (2, 5, 1)]
)
def test_addresses_follow_each_other_in_c_order(shape):
    fields = Fields(shape)
    addresses = fields.encode(np.arange(prod(shape))).tolist()
    place, after = Signal(fields.width), Signal(fields.width)
    m = Module()
    m.d.comb += after.eq(fields.following(place))
    found = []

    async def bench(ctx):
        for address in addresses[:-1]:
            ctx.set(place, address)
            found.append(ctx.get(after))

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
    assert found == addresses[1:]


def test_a_word_holds_channels_of_one_place():
    """Five channels of two places, two in a word: the last word of a place is not full."""
    tiling = Tiling((5, 1, 2), 2)
    assert (tiling.places, tiling.blocks, tiling.words) == (2, 3, 6)
    assert tiling.neurons.tolist() == [[0, 2], [4, 6], [8, -1], [1, 3], [5, 7], [9, -1]]
    assert tiling.spread(np.arange(10) * 10, -7).tolist() == [[0, 20], [40, 60], [80, -7], [10, 30], [50, 70], [90, -7]]


def test_a_flat_population_is_one_place():
    tiling = Tiling((5,), 4)
    assert (tiling.places, tiling.blocks, tiling.words) == (1, 2, 2)
    assert tiling.neurons.tolist() == [[0, 1, 2, 3], [4, -1, -1, -1]]
    assert tiling.spread(np.arange(10).reshape(2, 5)).shape == (2, 2, 4)


@pytest.mark.parametrize("width", [1, 2, 3, 8])
@pytest.mark.parametrize("shape", [(1,), (7,), (3, 2, 2), (8, 1, 3)])
def test_every_neuron_is_in_one_word(shape, width):
    tiling = Tiling(shape, width)
    assert sorted(tiling.neurons[tiling.neurons >= 0].tolist()) == list(range(prod(shape)))
    assert tiling.neurons.shape == (tiling.words, width)
    assert (tiling.neurons[:, 0] >= 0).all(), "no word is empty"


def test_members_lie_from_the_address_up():
    layout = BeatLayout((5,), Range(-3, 9))
    assert [(name, member.offset, member.width) for name, member in layout] == [
        ("address", 0, 3),
        ("value", 3, 5),
        ("tick", 8, 1),
        ("last", 9, 1),
    ]
    assert layout["value"].shape == signed(5)
    assert layout.values == Range(-3, 9)
    assert (layout.senders, BeatLayout((2, 3, 5), Range(0, 1)).senders) == (5, 30)
    assert BeatLayout((2, 3, 5), Range(0, 1))["address"].shape == unsigned(6)
