"""What the integers do not do is refused, or shown never to happen."""

import numpy as np
import pytest

from quant.aftermath import without_aftermaths
from quant.errors import NetworkError, UnsupportedError
from quant.graph import Synapses
from quant.model import FloatInput, FloatNetwork, FloatPopulation, FloatReadout, load_model, save_model
from quant.quantize import quantize
from quant.simulate import run_float


def network(aftermath, *, weight=1.0, high=4, **fields):
    given = {"threshold": 1.0, "strict": True, "reset": "subtract", "aftermath": aftermath, **fields}
    return FloatNetwork(
        name="net",
        steps=5,
        input=FloatInput(shape=(1,), kind="events", high=high),
        populations=(FloatPopulation(name="out", shape=(1,), **given),),
        connections=(Synapses(source="input", target="out", kind="dense", weights=np.array([[weight]])),),
        readout=FloatReadout(population="out"),
    )


def spikes(model, *values):
    inputs = np.array(values)[None, :, None]
    return run_float(model, inputs, record=["spikes"]).spikes["out"][0, :, 0].tolist()


def test_raise_takes_twice_the_threshold():
    """4 fires and leaves 3, which is above 1: 3 fires again, to 2, and 2, not above 2, does not; then 3 does."""
    model = network("raise")
    assert spikes(model, 4, 0, 0, 0, 0) == [1, 1, 0, 0, 0]
    assert spikes(model, 4, 0, 0, 1, 0) == [1, 1, 0, 1, 0]
    assert spikes(network("none"), 4, 0, 0, 0, 0) == [1, 1, 1, 0, 0]


def test_raise_is_told_of_the_membrane_before_its_decay():
    """4 leaves 3, above 1, but stored as 0.75: 1.75 in the next step is not above 2."""
    model = network("raise", decay=0.25)
    assert spikes(model, 4, 1, 0, 0, 0) == [1, 0, 0, 0, 0]
    assert spikes(model, 4, 2, 0, 0, 0) == [1, 1, 0, 0, 0]


def test_mute_loses_a_step():
    model = network("mute", reset="zero")
    assert spikes(model, 2, 4, 1, 1, 4) == [1, 0, 0, 1, 0]
    assert spikes(network("none", reset="zero"), 2, 4, 1, 1, 4) == [1, 1, 0, 1, 1]


@pytest.mark.parametrize(("aftermath", "words"), [("raise", "twice the threshold"), ("mute", "after its spike")])
def test_needs_samples(aftermath, words):
    with pytest.raises(UnsupportedError, match=f"^Population out: .*{words}.*; train it with reset_delay=True"):
        quantize(network(aftermath), state_bits=24)


def test_samples_that_show_it():
    inputs = np.array([[1, 0, 0, 0, 0], [4, 0, 0, 0, 0], [1, 1, 1, 1, 1]])[:, :, None]
    with pytest.raises(UnsupportedError, match="it happens in 1 of 3 samples"):
        quantize(network("raise"), inputs=inputs)


def test_samples_that_do_not():
    inputs = np.array([[1, 0, 1, 0, 0], [1, 1, 1, 1, 1]])[:, :, None]
    integers, report = quantize(network("raise"), inputs=inputs)
    assert integers["out"].reset == "subtract"
    assert any("it never happened in 2 samples" in words for words in report.warnings)
    plain, told = without_aftermaths(network("none"), None)
    assert (plain["out"].aftermath, told) == ("none", {})


def test_file_holds_it(tmp_path):
    save_model(tmp_path / "net.npz", network("mute", reset="zero"))
    assert load_model(tmp_path / "net.npz")["out"].aftermath == "mute"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"aftermath": "later"}, "aftermath must be one of none, raise, mute, not 'later'"),
        ({"ternary": True}, "aftermath must be 'none' without a threshold, or if ternary"),
        ({"threshold": None, "reset": "none"}, "aftermath must be 'none' without a threshold"),
    ],
)
def test_refusals(fields, message):
    with pytest.raises(NetworkError, match=message):
        FloatPopulation(name="out", shape=(1,), **{"threshold": 1.0, "aftermath": "raise", **fields})
