import pytest
from amaranth import signed, unsigned

from hw.layout import BeatLayout, shape_of
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


@pytest.mark.parametrize(("size", "width"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (256, 8), (257, 9)])
def test_an_address_names_every_sender(size, width):
    layout = BeatLayout(size, Range(0, 1))
    assert layout["address"].shape == unsigned(width)
    assert layout.senders == size


def test_members_lie_from_the_address_up():
    layout = BeatLayout(5, Range(-3, 9))
    assert [(name, member.offset, member.width) for name, member in layout] == [
        ("address", 0, 3),
        ("value", 3, 5),
        ("tick", 8, 1),
        ("last", 9, 1),
    ]
    assert layout["value"].shape == signed(5)
    assert layout.values == Range(-3, 9)
