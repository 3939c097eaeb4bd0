import re

import numpy as np
import pytest

from hw.beats import BEAT, beats, pack
from quant.errors import NetworkError
from quant.ir import Connection, Input, Network, Population, Readout


def network(**fields):
    port = Input(**{"shape": (3,), **fields})
    out = Population(name="out", shape=(2,), threshold=1, state_min=-8, state_max=7)
    link = Connection(source="input", target="out", kind="dense", weights=np.ones((2, port.size), int), weight_bits=2)
    return Network(
        name="n", steps=2, input=port, populations=(out,), connections=(link,), readout=Readout(population="out")
    )


def test_events_go_step_by_step_in_address_order():
    sent = beats(network(low=-2, high=3), np.array([[0, 3, -2], [0, 0, 0], [1, 0, 0]]))
    expected = [
        (1, 3, False, False),
        (2, -2, False, False),
        (0, 0, True, False),
        (0, 0, True, False),
        (0, 1, False, False),
        (0, 0, True, True),
    ]
    assert sent.tolist() == np.array(expected, BEAT).tolist()


@pytest.mark.parametrize("kind", ["current", "rate", "latency"])
def test_values_of_a_sample_go_once(kind):
    sent = beats(network(kind=kind, high=255), np.array([255, 0, 7], np.uint8))
    assert sent.tolist() == [(0, 255, False, False), (2, 7, False, False), (0, 0, True, True)]


@pytest.mark.parametrize("kind", ["events", "current"])
def test_addresses_of_a_map_are_fields(kind):
    """Of (2, 2, 3): channel, row and column in bits 3, 2 and 1 to 0; in C order."""
    sample = np.arange(12) % 2 * (np.arange(12) > 3)
    sent = beats(network(kind=kind, shape=(2, 2, 3)), sample if kind == "current" else sample[np.newaxis])
    assert sent["address"].tolist() == [0b0_1_10, 0b1_0_01, 0b1_1_00, 0b1_1_10, 0]


def test_a_silent_sample_is_ticks_alone():
    assert beats(network(), np.zeros((2, 3), int)).tolist() == [(0, 0, True, False), (0, 0, True, True)]


def test_packs_negative_values_above_the_address():
    sent = beats(network(low=-2, high=3), np.array([[0, 3, -2]]))
    assert pack(sent, address_width=2, value_width=3).tolist() == [0b011_01, 0b110_10, 0]


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (np.zeros((2, 4), int), r"^Sample must be integers of shape \(steps, 3\), not int64 of \(2, 4\)$"),
        (np.zeros((0, 3), int), r"^Sample must be integers of shape \(steps, 3\), not int64 of \(0, 3\)$"),
        (np.zeros((2, 3)), r"^Sample must be integers of shape \(steps, 3\), not float64 of \(2, 3\)$"),
        (np.full((1, 3), 2), r"^Sample must hold values between 0 and 1, not 2$"),
        (np.full((1, 3), -1), r"^Sample must hold values between 0 and 1, not -1$"),
    ],
)
def test_refuses_what_is_not_a_sample(sample, message):
    with pytest.raises(NetworkError, match=message):
        beats(network(), sample)


@pytest.mark.parametrize("shape", [(2, 3), (4,), ()])
def test_refuses_what_is_not_a_sample_that_comes_once(shape):
    message = rf"^Sample must be integers of shape \(3,\), not int64 of {re.escape(str(shape))}$"
    with pytest.raises(NetworkError, match=message):
        beats(network(kind="current"), np.zeros(shape, int))
