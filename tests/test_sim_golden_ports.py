"""Inputs and readouts of the golden model."""

import re

import numpy as np
import pytest
from small import EVERYTHING, link, network, population

from quant.errors import NetworkError
from quant.ir import Decay, Input, Readout, lfsr_thresholds
from sim import golden


def test_a_current_input_comes_in_every_step():
    port = Input(shape=(2,), kind="current", low=-7, high=255)
    model = network(population(size=1), connections=(link(kind="dense", weights=[[2, -1]]),), port=port, steps=3)
    result = golden.run(model, [[100, -7], [0, 5]], record=EVERYTHING)
    assert result.membranes["p"][:, :, 0].tolist() == [[207, 414, 621], [-5, -10, -15]]
    assert result.totals["input"].tolist() == [2, 1]


@pytest.mark.parametrize(
    ("bits", "numbers"),
    [
        # States from 1: 2 4 8 11 22 44 88 111 222 444 888 1111 2223 4446 888D 111A 2234 4468 88D0 11A1, hexadecimal.
        (1, [0, 0, 0, 1, 0, 0, 0, 1]),
        (4, [1, 1, 1, 10, 1]),
        (8, [0x11, 0x1A]),
        (16, [0x111A]),
    ],
)
def test_lfsr_numbers_are_those_worked_out_by_hand(bits, numbers):
    assert lfsr_thresholds(seed=1, bits=bits, count=len(numbers)).tolist() == numbers


def rated(pixels, steps, **fields):
    port = Input(shape=(len(pixels),), kind="rate", **fields)
    model = network(population(size=len(pixels)), port=port, steps=steps)
    return golden.run(model, [pixels], record=EVERYTHING)


def test_rate_spikes_where_the_pixel_exceeds_its_number():
    # The numbers are 1 and 1, then 1 and 10.
    result = rated([2, 11], 2, high=15)
    assert result.membranes["p"][0].tolist() == [[1, 1], [2, 2]]
    assert result.totals["input"].tolist() == [4]
    assert rated([1, 10], 2, high=15).membranes["p"][0].tolist() == [[0, 1], [0, 1]]


def test_rate_of_a_full_pixel_is_the_share_of_smaller_numbers():
    result = rated([255, 0], 510, high=255, seed=77)
    assert 490 < result.membranes["p"][0, -1, 0] < 510
    assert result.membranes["p"][0, -1, 1] == 0


def test_rate_begins_anew_with_every_sample():
    port = Input(shape=(3,), kind="rate", high=255, seed=9)
    model = network(population(size=3), port=port)
    result = golden.run(model, [[100, 150, 200]] * 3, record=EVERYTHING)
    assert (result.membranes["p"] == result.membranes["p"][0]).all()


@pytest.mark.parametrize(
    ("pixel", "steps", "step"),
    [
        (0, 8, None),
        (255, 8, 0),
        (224, 8, 0),
        (223, 8, 1),
        (128, 8, 3),
        (127, 8, 4),
        (1, 8, 7),
        (1, 1, 0),
        (1, 300, 297),
        (255, 300, 0),
        (254, 300, 1),
    ],
)
def test_latency_spikes_once_the_brighter_the_sooner(pixel, steps, step):
    port = Input(shape=(1,), kind="latency", high=255)
    model = network(population(threshold=1), port=port, steps=steps)
    result = golden.run(model, np.array([[pixel]], np.uint8), record=EVERYTHING)
    assert np.flatnonzero(result.spikes["p"]).tolist() == ([] if step is None else [step])


def readout(spikes_or_drives, kind, *, steps=20, **fields):
    """Scores and answer of neurons of threshold 1 that get the given input, ``(T, N)``."""
    values = np.array(spikes_or_drives)
    neurons = population(size=values.shape[1], **{"threshold": 1, **fields.pop("neurons", {})})
    model = network(neurons, readout=Readout(population="p", kind=kind, **fields), steps=steps)
    result = golden.run(model, values[np.newaxis])
    return result.scores[0].tolist(), int(result.answers[0])


@pytest.mark.parametrize(
    ("spikes", "scores", "answer"),
    [
        ([[0, 1, 0], [0, 1, 1]], [0, 2, 1], 1),
        ([[0, 1, 1], [0, 1, 1]], [0, 2, 2], 1),
        ([[1, 0, 1], [0, 1, 1]], [1, 1, 2], 2),
        ([[0, 0, 0]], [0, 0, 0], 0),
    ],
)
def test_count_takes_the_first_of_the_largest(spikes, scores, answer):
    assert readout(spikes, "count") == (scores, answer)


def test_count_adds_negative_spikes():
    neurons = {"ternary": True}
    assert readout([[-1, 1, -1], [-1, -1, 0]], "count", neurons=neurons) == ([-2, 0, -1], 1)


@pytest.mark.parametrize(
    ("spikes", "scores", "answer"),
    [
        ([[0, 0, 0], [0, 1, 0], [1, 1, 1]], [20, 1, 20], 1),
        ([[0, 1, 1], [1, 0, 0]], [20, 0, 0], 1),
        ([[0, 0, 0], [0, 0, 0], [1, 0, 1]], [2, 20, 2], 0),
        ([[0, 0, 0], [0, 0, 0]], [20, 20, 20], 0),
    ],
)
def test_first_spike_takes_the_first_of_the_earliest(spikes, scores, answer):
    assert readout(spikes, "first_spike") == (scores, answer)


def test_first_spike_may_be_negative():
    assert readout([[0, -1], [1, 0]], "first_spike", neurons={"ternary": True}) == ([20, 0], 1)


@pytest.mark.parametrize(
    ("reduce", "scores", "answer"),
    [("last", [-4, -4, -9], 0), ("sum", [-6, -9, -5], 2), ("max", [-1, -2, 5], 2)],
)
def test_membrane_is_reduced_over_the_steps(reduce, scores, answer):
    neurons = {"threshold": None, "reset": "none", "decay": Decay(numerator=0)}
    drives = [[-1, -3, 5], [-1, -2, -1], [-4, -4, -9]]
    assert readout(drives, "membrane", reduce=reduce, neurons=neurons) == (scores, answer)


def test_membrane_is_read_before_decay_and_rails():
    neurons = {"threshold": None, "reset": "none", "decay": Decay(numerator=1, shift=1), "state_max": 3}
    assert readout([[8], [1]], "membrane", neurons=neurons) == ([4], 0)
    assert readout([[8], [1]], "membrane", reduce="sum", neurons=neurons) == ([12], 0)


def test_linear_maps_the_counts():
    fields = {"weights": np.array([[1, 2], [-1, 3], [0, 0]]), "bias": np.array([0, 0, 5])}
    assert readout([[1, 0], [1, 1]], "linear", **fields) == ([4, 1, 5], 2)
    assert readout([[1, 0], [1, 1]], "linear", weights=fields["weights"]) == ([4, 1, 0], 0)


def test_counts_and_totals_hold_the_spikes_of_every_population():
    pair = population("a", 2, threshold=1, ternary=True), population("b", 2, threshold=1)
    model = network(*pair, connections=(link(target="a"), link("a", "b")))
    result = golden.run(model, [[[1, -1], [-1, -1], [0, 5]], [[0, 0]] * 3])
    assert {name: counts.tolist() for name, counts in result.counts.items()} == {
        "a": [[0, -1], [0, 0]],
        "b": [[1, 0], [0, 0]],
    }
    assert {name: totals.tolist() for name, totals in result.totals.items()} == {
        "input": [5, 0],
        "a": [5, 0],
        "b": [1, 0],
    }


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint16, np.int64, np.bool_])
def test_takes_integers_of_any_type(dtype):
    model = network(population(size=2, threshold=2))
    assert golden.run(model, np.array([[[1, 0], [1, 1]]], dtype)).scores.tolist() == [[1, 0]]


def test_takes_inputs_in_any_memory_order():
    model = network(population(size=3, threshold=2))
    inputs = np.random.default_rng(0).integers(-3, 4, (4, 5, 3))
    expected = golden.run(model, inputs).scores
    np.testing.assert_array_equal(golden.run(model, np.asfortranarray(inputs)).scores, expected)
    np.testing.assert_array_equal(golden.run(model, inputs[:, ::-1][:, ::-1]).scores, expected)


@pytest.mark.parametrize(
    ("port", "inputs", "message"),
    [
        ({}, np.zeros((1, 2, 3)), "Inputs must be integers, not float64"),
        ({}, np.zeros((1, 2, 2), int), "Inputs of kind events must be of shape (samples, steps, 3), not (1, 2, 2)"),
        ({}, np.zeros((1, 3), int), "Inputs of kind events must be of shape (samples, steps, 3), not (1, 3)"),
        ({}, np.zeros((0, 2, 3), int), "Inputs of kind events must be of shape (samples, steps, 3), not (0, 2, 3)"),
        ({}, np.zeros((1, 0, 3), int), "Inputs of kind events must be of shape (samples, steps, 3), not (1, 0, 3)"),
        ({}, np.zeros((1, 5, 3), int), "Inputs must have at most the network's 4 steps, not 5"),
        ({}, np.full((1, 2, 3), 2), "Inputs must be between 0 and 1, not 2"),
        ({}, np.full((1, 2, 3), -1), "Inputs must be between 0 and 1, not -1"),
        ({"low": -3, "high": 4}, np.full((1, 2, 3), -4), "Inputs must be between -3 and 4, not -4"),
        (
            {"kind": "current"},
            np.zeros((1, 2, 3), int),
            "Inputs of kind current must be of shape (samples, 3), not (1, 2, 3)",
        ),
        ({"kind": "current", "high": 255}, np.full((1, 3), 256), "Inputs must be between 0 and 255, not 256"),
        ({"kind": "rate", "high": 15}, np.full((1, 3), 16), "Inputs must be between 0 and 15, not 16"),
        ({"kind": "latency", "high": 15}, np.full((1, 3), -1), "Inputs must be between 0 and 15, not -1"),
    ],
)
def test_refuses_inputs_that_do_not_fit(port, inputs, message):
    model = network(population(size=3), port=Input(shape=(3,), **port), steps=4)
    with pytest.raises(NetworkError, match=f"^{re.escape(message)}$"):
        golden.run(model, inputs)


def test_refuses_to_record_what_there_is_not():
    message = r"^What to record must be of spikes, membranes, currents, not 'voltages'$"
    with pytest.raises(NetworkError, match=message):
        golden.run(network(population()), [[[0]]], record=["voltages"])
