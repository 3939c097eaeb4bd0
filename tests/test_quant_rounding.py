from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.errors import NetworkError
from quant.graph import Synapses
from quant.ops import apply
from quant.rounding import (
    LIMIT,
    channel_scale,
    round_amount,
    round_decay,
    round_threshold,
    round_weights,
    weight_limits,
)

SETTINGS = settings(derandomize=True, deadline=None)


@pytest.mark.parametrize(("bits", "limits"), [(2, (-2, 1)), (4, (-8, 7)), (8, (-128, 127))])
def test_weight_limits(bits, limits):
    assert weight_limits(bits) == limits


def test_weights_go_to_the_nearest_and_halves_to_even():
    weights = np.array([0.24, 0.26, -0.24, -0.26, 0.25, 0.75, -0.25, -0.75, 1.0])
    assert round_weights(weights, 0.5, 4).tolist() == [0, 1, 0, -1, 0, 2, 0, -2, 2]


def test_weights_are_clipped_to_both_ends():
    assert round_weights([3.4, 3.6, 100, -3.9, -4.1, -100], 0.5, 4).tolist() == [7, 7, 7, -8, -8, -8]


def test_weights_have_scales_of_their_own():
    assert round_weights([[1.0, 2.0], [1.0, 2.0]], [[1.0], [0.5]], 4).tolist() == [[1, 2], [2, 4]]


@pytest.mark.parametrize(
    ("threshold", "least", "above"),
    [(1.0, 4, 5), (1.01, 5, 5), (0.99, 4, 4), (0.01, 1, 1), (0.25, 1, 2), (1.25, 5, 6)],
)
def test_thresholds_are_the_smallest_integers_that_fire(threshold, least, above):
    assert round_threshold(threshold, 0.25, strict=False) == least
    assert round_threshold(threshold, 0.25, strict=True) == above


def test_a_strict_threshold_of_0_fires_at_1():
    assert round_threshold(0.0, 0.25, strict=True) == 1
    with pytest.raises(NetworkError, match=r"^Threshold must be between 1 and 2147483647 membrane LSB, not 0; "):
        round_threshold(0.0, 0.25, strict=False)


@SETTINGS
@given(st.integers(1, 10_000), st.floats(1e-6, 1e6))
def test_noise_of_the_division_does_not_move_a_threshold(steps, unit):
    threshold = steps * unit
    for nudged in (np.nextafter(threshold, 0), threshold, np.nextafter(threshold, np.inf)):
        assert round_threshold(nudged, unit, strict=False) == steps
        assert round_threshold(nudged, unit, strict=True) == steps + 1


@SETTINGS
@given(st.integers(1, 1 << 20), st.integers(0, 12), st.integers(0, 6))
def test_dyadic_thresholds_round_exactly(numerator, shift, unit_shift):
    quotient = Fraction(numerator, 1 << shift) * (1 << unit_shift)
    threshold, unit = numerator / (1 << shift), 1 / (1 << unit_shift)
    assert round_threshold(threshold, unit, strict=False) == ceil(quotient)
    assert round_threshold(threshold, unit, strict=True) == floor(quotient) + 1


@pytest.mark.parametrize(("threshold", "unit"), [(1.0, 1e-300), (1e300, 1e-300), (2.0**31, 1.0), (1.0, 2.0**-31)])
def test_a_threshold_beyond_32_bits_is_refused(threshold, unit):
    with pytest.raises(NetworkError, match=r"^Population p: threshold must be between 1 and 2147483647 membrane LSB"):
        round_threshold([0.5 * unit, threshold], unit, strict=False, what="Population p: threshold")


def test_the_largest_threshold_fits():
    assert round_threshold(LIMIT - 1.0, 1.0, strict=False) == LIMIT - 1


def test_amounts_go_to_the_nearest_and_halves_to_even():
    assert round_amount([0.37, -0.37, 0.125, 0.375, 0.0], 0.25).tolist() == [1, -1, 0, 2, 0]
    with pytest.raises(NetworkError, match=r"^Population p: bias must be between -2147483648 and 2147483647 membrane"):
        round_amount(-1.0, 1e-12, what="Population p: bias")


@pytest.mark.parametrize(
    ("decay", "bits", "numerator", "shift"),
    [
        (1.0, 8, 1, 0),
        (0.0, 8, 0, 0),
        (0.5, 8, 1, 1),
        (0.75, 8, 3, 2),
        (0.9, 8, 115, 7),
        (0.9, 4, 7, 3),
        (0.9, 0, 1, 0),
        (1.375, 8, 11, 3),
        (0.999, 8, 1, 0),
        (0.999, 10, 1023, 10),
        (0.001, 8, 0, 0),
        (3.0, 8, 3, 0),
    ],
)
def test_decays_are_the_nearest_fraction_without_trailing_zeros(decay, bits, numerator, shift):
    result = round_decay(decay, bits)
    assert (int(result.numerator), result.shift) == (numerator, shift)


def test_decays_of_many_neurons_share_one_shift():
    result = round_decay([0.5, 0.75, 1.0, 0.0], 8)
    assert (result.numerator.tolist(), result.shift) == ([2, 3, 4, 0], 2)


@SETTINGS
@given(st.floats(0, 4), st.integers(0, 24))
def test_decays_are_off_by_at_most_half_a_step(decay, bits):
    result = round_decay(decay, bits)
    assert abs(int(result.numerator) / 2**result.shift - decay) <= 2.0 ** -(bits + 1)


def test_a_decay_that_does_not_fit_is_refused():
    with pytest.raises(NetworkError, match=r"^Population p: decay must be between 0 and 2147483647 "):
        round_decay(2.0**20, 12, what="Population p: decay")


@pytest.mark.parametrize(
    ("connection", "source", "target"),
    [
        (Synapses(source="a", target="b", kind="dense", weights=np.ones((4, 3))), (3,), (4,)),
        (Synapses(source="a", target="b", kind="dense", weights=np.ones((12, 3))), (3,), (2, 2, 3)),
        (
            Synapses(source="a", target="b", kind="conv2d", weights=np.ones((4, 1, 2, 2)), groups=2),
            (2, 3, 3),
            (4, 2, 2),
        ),
        (
            Synapses(
                source="a", target="b", kind="conv_transpose2d", weights=np.ones((4, 3, 2, 2)), groups=2, stride=2
            ),
            (4, 2, 1),
            (6, 4, 2),
        ),
        (Synapses(source="a", target="b", kind="max_pool", weights=np.ones(3), kernel=1), (3, 2, 2), (3, 2, 2)),
        (Synapses(source="a", target="b", kind="identity", weights=np.ones(3)), (3, 2, 2), (3, 2, 2)),
        (Synapses(source="a", target="b", kind="identity", weights=np.ones((3, 2, 2))), (3, 2, 2), (3, 2, 2)),
        (Synapses(source="a", target="b", kind="identity", weights=np.ones(4)), (4,), (4,)),
    ],
)
def test_dividing_by_a_channel_scale_divides_what_arrives_at_the_channel(connection, source, target):
    scale = np.arange(1.0, target[0] + 1)
    weights = connection.weights / channel_scale(connection, target, scale)
    divided = Synapses(**{**vars(connection), "weights": weights})
    values = np.random.default_rng(0).integers(0, 2, (5, int(np.prod(source)))).astype(float)
    expected = apply(connection, source, values).reshape(5, target[0], -1) / scale[:, None]
    np.testing.assert_allclose(apply(divided, source, values).reshape(expected.shape), expected)


def test_one_scale_is_for_all():
    connection = Synapses(source="a", target="b", kind="dense", weights=np.ones((4, 3)))
    assert channel_scale(connection, (4,), 0.5).shape == ()
