import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.ir import Input
from snn.encode import Encoder, EncoderError, encode


def test_direct_is_the_pixels_themselves():
    pixels = np.array([[0, 1, 16]], np.uint8)
    np.testing.assert_array_equal(encode("direct", pixels, 8), pixels)


def test_direct_shifts_bits_out():
    assert encode("direct>>4", np.array([[0, 15, 16, 255]], np.uint8), 8).tolist() == [[0, 0, 1, 15]]


@pytest.mark.parametrize(
    ("pixel", "spikes"),
    [
        (0, [0, 0, 0, 0]),
        (1, [0, 0, 0, 0]),  # a quarter of a spike in four steps
        (2, [0, 0, 0, 1]),  # half a spike rounds up
        (4, [0, 1, 0, 0]),  # one, in the middle
        (8, [1, 0, 1, 0]),
        (12, [1, 1, 0, 1]),
        (16, [1, 1, 1, 1]),
    ],
)
def test_rate_by_hand(pixel, spikes):
    assert encode("rate/16", np.array([[pixel]]), 4)[0, :, 0].tolist() == spikes


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.integers(1, 20), st.data())
def test_rate_spikes_are_binary_counted_and_even(high, steps, data):
    pixel = data.draw(st.integers(0, high))
    spikes = encode(f"rate/{high}", np.array([[pixel]]), steps)[0, :, 0]
    assert set(spikes.tolist()) <= {0, 1}
    assert spikes.sum() == (steps * pixel + high // 2) // high
    gaps = np.diff(np.flatnonzero(spikes))
    assert gaps.size == 0 or gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize(("pixel", "step"), [(255, 0), (224, 0), (223, 1), (128, 3), (1, 7)])
def test_latency_by_hand(pixel, step):
    spikes = encode("latency/255", np.array([[pixel]]), 8)[0, :, 0]
    assert np.flatnonzero(spikes).tolist() == [step]


def test_latency_of_black_is_silence():
    assert not encode("latency/255", np.array([[0]]), 8).any()


def test_shapes_and_kinds():
    pixels = np.zeros((3, 5), np.uint8)
    assert encode("direct", pixels, 7).shape == (3, 5)
    assert encode("rate/255", pixels, 7).shape == encode("latency/255", pixels, 7).shape == (3, 7, 5)
    assert Encoder.parse("direct").kind == "current"
    assert Encoder.parse("rate/1").kind == "events"
    assert all(Input(shape=(5,), kind=Encoder.parse(name).kind) for name in ("direct", "rate/9"))


@pytest.mark.parametrize(("name", "high"), [("direct", 255), ("direct>>4", 15), ("rate/255", 1), ("latency/255", 1)])
def test_input_high_is_the_largest_value(name, high):
    assert Encoder.parse(name).input_high(255) == high
    assert encode(name, np.array([[255]], np.uint8), 4).max() == high


@pytest.mark.parametrize(
    "name", ["", "Direct", "direct>>", "direct>>-1", "rate", "rate/", "rate/0", "latency/x", "rate/16 ", 3]
)
def test_unknown_encoder(name):
    with pytest.raises(EncoderError, match=r"^Encoder must be direct, direct>>BITS, rate/HIGH or latency/HIGH, not "):
        encode(name, np.zeros((1, 1), np.uint8), 1)


@pytest.mark.parametrize(("pixel", "what"), [(17, "0 to 17"), (-1, "-1 to 0")])
def test_pixel_out_of_range(pixel, what):
    with pytest.raises(EncoderError, match=f"^Pixels of rate must be between 0 and 16, not {what}$"):
        encode("rate/16", np.array([[0, pixel]]), 4)


def test_pixels_must_be_integers_in_rows():
    for pixels in (np.zeros((2, 2)), np.zeros(4, np.uint8)):
        with pytest.raises(EncoderError, match=r"^Pixels must be integers of shape \(samples, pixels\), not "):
            encode("direct", pixels, 1)


def test_steps_must_be_positive():
    with pytest.raises(EncoderError, match=r"^Steps must be at least 1, not 0$"):
        encode("rate/16", np.zeros((1, 1), np.uint8), 0)
