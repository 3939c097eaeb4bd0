"""Frames of the serial link, and what the host sends in them."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boards.frame import FrameReader, checksum, frame
from boards.messages import BoardInfo, encode
from hw.beats import beats
from hw.link import LinkSpec
from hw.plan import plan_network
from quant.errors import NetworkError
from tests.links import board_info, small_network, spec_of


@settings(max_examples=200, deadline=None)
@given(
    st.binary(min_size=1, max_size=40) | st.lists(st.sampled_from(b"\xc0\xdb\xdc\xdd\x00"), min_size=1).map(bytes),
    st.lists(st.integers(0, 90), max_size=4),
)
def test_frames_survive_being_cut_into_pieces(payload, cuts):
    data = frame(payload)
    assert data.count(b"\xc0") == 2
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    reader = FrameReader()
    assert [item for start, end in pairwise(places) for item in reader.feed(data[start:end])] == [payload]


def test_checksum_has_its_check_value():
    assert checksum(b"123456789") == bytes([0xB1, 0x29])


@pytest.mark.parametrize("body", [b"A\xdb", b"A\xdb\x01", b"\xdb", b"\x01", b"AB", b""])
def test_bad_frames_are_dropped(body):
    assert FrameReader().feed(b"\xc0" + body + frame(b"Q")) == [b"Q"]


INFO_OF = {"build_hash": "00" * 16, "classes": 2, "populations": 1, "score_bytes": 1, "clock_hz": 1, "steps": 5}


@pytest.mark.parametrize(
    ("inputs", "low", "high", "address_width", "value_width", "signed"),
    [
        (6, 0, 1, 3, 1, False),
        (784, -3, 15, 10, 5, True),
        (1, 0, 65535, 1, 16, False),
        (300, -32768, 65535, 9, 17, True),
    ],
)
def test_encode_gives_the_beats_of_the_network(inputs, low, high, address_width, value_width, signed):
    rng = np.random.default_rng(0)
    shape = {"channels": inputs, "rows": 1, "columns": 1}
    widths = {"address_width": address_width, "value_width": value_width}
    info = BoardInfo(**INFO_OF, **shape, low=low, high=high, **widths)
    sample = rng.integers(low, high + 1, (5, inputs)) * (rng.random((5, inputs)) < 0.3)
    sample[0, 0], sample[1, -1] = low, high
    data = encode(info, sample)
    size = -(-(address_width + value_width + 1) // 8)
    words = [int.from_bytes(data[at : at + size], "little") for at in range(0, len(data), size)]
    step, decoded = 0, np.zeros_like(sample)
    for word in words:
        address = word & ((1 << address_width) - 1)
        value = word >> address_width & ((1 << value_width) - 1)
        assert word >> (address_width + value_width) in (0, 1)
        if word >> (address_width + value_width):
            step += 1
        else:
            decoded[step, address] += value - (signed and value >= 1 << (value_width - 1)) * (1 << value_width)
    np.testing.assert_array_equal(decoded, sample)
    assert step == 4


@pytest.mark.parametrize("shape", [(6,), (2, 3, 5), (3, 4, 8), (1, 1, 7), (5, 1, 3), (1, 28, 28)])
def test_encode_sends_what_goes_into_the_hardware(shape):
    network = small_network("current", shape=shape)
    sample = np.random.default_rng(1).integers(0, 16, np.prod(shape))
    info = board_info(LinkSpec(plan=plan_network(network)))
    data, size = encode(info, sample), info.beat_bytes
    stream = beats(network, sample)
    assert [int.from_bytes(data[at : at + size], "little") for at in range(0, len(data), size)] == [
        int(beat["address"]) | int(beat["value"]) << info.address_width for beat in stream[:-1]
    ]


def test_addresses_of_a_map_are_its_column_row_and_channel():
    """Of (2, 3, 5), 3 bits of a column, 2 of a row, 1 of a channel: input 29, the last, is 1, 2 and 4."""
    shape = {"channels": 2, "rows": 3, "columns": 5}
    info = BoardInfo(**INFO_OF, **shape, low=0, high=1, address_width=6, value_width=1)
    sample = np.zeros((1, 30), int)
    sample[0, [0, 4, 5, 15, 29]] = 1
    assert list(encode(info, sample)) == [0b1_0_00_000, 0b1_0_00_100, 0b1_0_01_000, 0b1_1_00_000, 0b1_1_10_100]


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (np.zeros((3, 7), int), r"of shape \(steps, 6\) with 1 to 3 steps, not \(3, 7\)"),
        (np.zeros((4, 6), int), r"of shape \(steps, 6\) with 1 to 3 steps, not \(4, 6\)"),
        (np.zeros((0, 6), int), r"not \(0, 6\)"),
        (np.zeros((1, 3, 6), int), r"not \(1, 3, 6\)"),
        (np.zeros((3, 6)), "integers, not float64"),
        (np.full((3, 6), 2), "hold values between 0 and 1, not 2"),
        (np.full((3, 6), -1), "hold values between 0 and 1, not -1"),
    ],
)
def test_encode_refuses(sample, message):
    with pytest.raises(NetworkError, match=f"^Sample must .*{message}"):
        encode(board_info(spec_of()), sample)
