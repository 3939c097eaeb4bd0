import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.ir import Input
from snn.datasets.events import gathered
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
    "name",
    [
        *("", "Direct", "direct>>", "direct>>-1", "rate", "rate/", "rate/0", "latency/x", "rate/16 ", 3),
        *(
            "frames",
            "frames/",
            "frames/0ms",
            "frames/5",
            "frames/5s",
            "frames/time/0",
            "frames/time^0",
            "frames/count^128",
        ),
        *("frames/time^2/2", "spikes/2", "spikes>>", "level", "level/0", "level/-1", "level/3^0", "level/3^128"),
    ],
)
def test_unknown_encoder(name):
    with pytest.raises(EncoderError, match=r"^Encoder must be direct, direct>>BITS, rate/HIGH or latency/HIGH of "):
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


def events_of(*samples, shape=(2, 4, 6)):
    """Events of samples, each a list of (x, y, polarity, time)."""
    parts = [tuple(np.array([event[part] for event in sample], np.int64) for part in range(4)) for sample in samples]
    return gathered(parts, shape)


# In six rows: when, where.
SIX = [(0, 0, 0, 100), (1, 0, 1, 100), (5, 3, 0, 110), (5, 3, 0, 119), (2, 1, 1, 120), (2, 1, 1, 139)]


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("frames/time", [0, 0, 1, 1, 2, 3]),  # 40 us: ten a step
        ("frames/count", [0, 0, 1, 2, 2, 3]),  # six events to four steps: rank * 4 // 6
        ("frames/50us", [2, 2, 2, 2, 2, 2]),
        ("frames/30us", [3, 3, 3, 3, None, None]),  # the fifth step is beyond
        ("frames/1ms", [0, 0, 0, 0, 0, 0]),
    ],
)
def test_frames_by_hand(name, steps):
    frames = encode(f"{name}^127", events_of(SIX), 4)
    expected = np.zeros((1, 4, 2, 4, 6), np.int64)
    for (x, y, polarity, _), step in zip(SIX, steps, strict=True):
        if step is not None:
            expected[0, step, polarity, y, x] += 1
    np.testing.assert_array_equal(frames.reshape(expected.shape), expected)
    assert frames.dtype == np.int8


def test_frames_are_binary_unless_counts_are_asked_for():
    three = events_of([(1, 2, 0, 7)] * 3)
    assert [encode(f"frames/time{most}", three, 1).max() for most in ("", "^2", "^3", "^9")] == [1, 2, 3, 3]
    assert encode("frames/time^127", events_of([(1, 2, 0, 7)] * 300), 1).max() == 127


@pytest.mark.parametrize(("pool", "shape"), [(1, (2, 5, 6)), (2, (2, 3, 3)), (4, (2, 2, 2)), (6, (2, 1, 1))])
def test_frames_of_squares(pool, shape):
    assert Encoder.parse(f"frames/count/{pool}^9").shape((2, 5, 6)) == shape
    corners = [(0, 0, 0, 0), (5, 0, 0, 0), (0, 4, 1, 0), (5, 4, 1, 0), (pool - 1, min(pool, 5) - 1, 1, 0)]
    frames = encode(f"frames/count/{pool}^9", events_of(corners, shape=(2, 5, 6)), 1).reshape(shape)
    expected = np.zeros(shape, np.int64)
    for x, y, polarity, _ in corners:
        expected[polarity, y // pool, x // pool] += 1
    np.testing.assert_array_equal(frames, expected)


def test_frames_of_many_samples_are_those_of_each(monkeypatch):
    random = np.random.default_rng(0)
    lists = [
        sorted(((*random.integers(0, (6, 4, 2)), time) for time in random.integers(0, 900, count)), key=lambda e: e[3])
        for count in (7, 0, 1, 40, 0, 12)
    ]
    alone = [encode("frames/time^9", events_of(sample), 5) for sample in lists]
    together = encode("frames/time^9", events_of(*lists), 5)
    np.testing.assert_array_equal(together, np.concatenate(alone))
    assert together.reshape(6, -1).sum(axis=1).tolist() == [7, 0, 1, 40, 0, 12]
    monkeypatch.setattr("snn.encode.frames._BLOCK", 600)  # two samples at a time
    np.testing.assert_array_equal(encode("frames/time^9", events_of(*lists), 5), together)
    assert encode("frames/count", events_of(*lists)[:0], 5).shape == (0, 5, 48)


def test_frames_are_made_of_events():
    with pytest.raises(EncoderError, match=r"^Frames must be made of events, as of data set n-mnist$"):
        encode("frames/time", np.zeros((2, 48), np.uint8), 3)


@pytest.mark.parametrize("name", ["direct", "rate/16", "latency/16", "spikes", "level/4"])
def test_events_are_encoded_as_frames_alone(name):
    with pytest.raises(EncoderError, match=r"must be integers of shape \(samples, .*\), not the events of a camera$"):
        encode(name, events_of([(0, 0, 0, 0)]), 3)


def test_spikes_are_the_sequences_themselves():
    sequences = np.array([[[-5, 4], [0, 7]]], np.int8)
    assert encode("spikes", sequences, 2).tolist() == sequences.tolist()
    assert encode("spikes>>1", sequences, 2).tolist() == [[[-3, 2], [0, 3]]]
    encoder = Encoder.parse("spikes>>1")
    assert (encoder.input_low(-5), encoder.input_high(7), encoder.shape((2, 1, 1))) == (-3, 3, (2, 1, 1))


@pytest.mark.parametrize(
    ("name", "values", "up", "down"),
    [
        ("level/3", [3, 3, 5, 6, 0], [1, 0, 0, 1, 0], [0, 0, 0, 0, 1]),  # at 6, then 6 down but one a step
        ("level/3", [-3, -1, 0, 2, 3], [0, 0, 1, 0, 1], [1, 0, 0, 0, 0]),  # the level stays at -3 until 0 is reached
        ("level/3^2", [9, 9, 9, 8, 2], [2, 1, 0, 0, 0], [0, 0, 0, 0, 2]),
        ("level/2^127", [127, -128], [63, 0], [0, 127]),
    ],
)
def test_levels_by_hand(name, values, up, down):
    crossed = encode(name, np.array(values)[None, :, None], len(values))[0]
    assert crossed.T.tolist() == [up, down]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.lists(st.integers(-128, 127), min_size=1, max_size=12))
def test_levels_follow_the_sequence(delta, values):
    values = np.array([values, values[::-1]], np.int16).T[None]
    crossed = encode(f"level/{delta}^127", values, values.shape[1]).astype(np.int64)
    level = delta * (crossed[..., :2] - crossed[..., 2:]).cumsum(axis=1)
    if np.abs(np.diff(values, axis=1, prepend=0)).max(initial=0) < 127 * delta:
        assert np.abs(level - values).max() < delta
    assert Encoder.parse(f"level/{delta}").shape((2, 1, 1)) == (4, 1, 1)


@pytest.mark.parametrize("name", ["spikes", "level/2"])
def test_steps_of_a_sequence_are_its_own(name):
    with pytest.raises(EncoderError, match=r"^Steps must be the 5 of the sequences, not 4$"):
        encode(name, np.zeros((2, 5, 3), np.int8), 4)
    with pytest.raises(EncoderError, match=r"^Sequences must be integers of shape \(samples, steps, channels\), not "):
        encode(name, np.zeros((2, 5), np.int8), 5)


@pytest.mark.parametrize(
    ("name", "data", "most"),
    [
        ("frames/10ms/2^3", "events", 3),
        ("frames/time", "events", 1),
        ("level/4^2", "sequences", 2),
        ("spikes", "sequences", 9),
    ],
)
def test_encoders_say_what_they_make(name, data, most):
    encoder = Encoder.parse(name)
    assert (encoder.kind, encoder.data, encoder.input_high(9)) == ("events", data, most)
    assert encoder.input_low(0) == 0
