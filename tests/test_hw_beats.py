import numpy as np
import pytest

from hw.beats import BEAT, beats, pack
from quant.errors import NetworkError, UnsupportedError
from quant.ir import Connection, Input, Network, Population, Readout


def network(**fields):
    port = Input(**{"shape": (3,), **fields})
    out = Population(name="out", shape=(2,), threshold=1, state_min=-8, state_max=7)
    link = Connection(source="input", target="out", kind="dense", weights=np.ones((2, 3), int), weight_bits=2)
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


def test_current_goes_once():
    sent = beats(network(kind="current", high=255), np.array([255, 0, 7], np.uint8))
    assert sent.tolist() == [(0, 255, False, False), (2, 7, False, False), (0, 0, True, True)]


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


def test_refuses_an_input_coded_on_chip():
    with pytest.raises(UnsupportedError, match="not 'rate'"):
        beats(network(kind="rate", high=255), np.zeros(3, int))
