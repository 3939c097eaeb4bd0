import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import reference
import whole
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.errors import NetworkError
from quant.ir import Connection, Decay, Input, Network, Population, Readout, lfsr_thresholds
from sim import golden
from sim.golden import engine

EVERYTHING = ("spikes", "membranes", "currents")
WIDE = {"state_min": -1000, "state_max": 1000}
ALWAYS = 1000


def population(name="p", size=1, **fields):
    return Population(name=name, shape=(size,), **{"threshold": ALWAYS, **WIDE, **fields})


def link(source="input", target="p", weights=1, kind="identity", **fields):
    return Connection(
        source=source, target=target, kind=kind, weights=np.array(weights), **{"weight_bits": 8, **fields}
    )


def network(*populations, connections=(), steps=20, port=None, readout=None):
    return Network(
        name="n",
        steps=steps,
        input=port or Input(shape=populations[0].shape, low=-1000, high=1000),
        populations=populations,
        connections=tuple(connections) or (link(target=populations[0].name),),
        readout=readout or Readout(population=populations[-1].name),
    )


def trace(drives, **fields):
    """Spikes, membranes and currents of one neuron that receives ``drives``, step by step."""
    spiking = fields.get("threshold", 0) is not None
    readout = Readout(population="p", kind="count" if spiking else "membrane")
    model = network(population(**fields), readout=readout)
    result = golden.run(model, np.array(drives).reshape(1, -1, 1), record=EVERYTHING)
    currents = result.currents.get("p", np.zeros((1, 0, 1), int))
    return result.spikes["p"].ravel().tolist(), result.membranes["p"].ravel().tolist(), currents.ravel().tolist()


@pytest.mark.parametrize(
    ("fields", "drives", "spikes", "membranes"),
    [
        pytest.param({"threshold": 5}, [4], [0], [4], id="below the threshold"),
        pytest.param({"threshold": 5}, [5], [1], [0], id="at the threshold"),
        pytest.param({"threshold": 5}, [6], [1], [0], id="above the threshold"),
        pytest.param({"threshold": 5}, [-5], [0], [-5], id="minus the threshold, binary"),
        pytest.param({"threshold": 5}, [3, 2, 4, 1], [0, 1, 0, 1], [3, 0, 4, 0], id="zero: begins anew"),
        pytest.param({"threshold": 5, "reset_value": -2}, [7, 6, 1], [1, 0, 1], [-2, 4, -2], id="zero: to a value"),
        pytest.param(
            {"threshold": 5, "reset_value": -3, "decay": Decay(numerator=1, shift=1)},
            [7, 0],
            [1, 0],
            [-1, 0],
            id="zero: the value decays too",
        ),
        pytest.param({"threshold": 5, "reset_value": 6}, [7, 0], [1, 1], [6, 6], id="zero: to a value that fires"),
        pytest.param({"threshold": 5, "reset": "subtract"}, [7, 3, 12, 0], [1, 1, 1, 1], [2, 0, 7, 2], id="subtract"),
        pytest.param(
            {"threshold": 5, "reset": "subtract", "reset_amount": 9}, [7, 7], [1, 1], [-2, -4], id="subtract an amount"
        ),
        pytest.param(
            {"threshold": 5, "reset": "subtract", "reset_amount": 0}, [7, 0], [1, 1], [7, 7], id="subtract nothing"
        ),
        pytest.param(
            {"threshold": 5, "reset": "subtract", "decay": Decay(numerator=1, shift=1)},
            [10],
            [1],
            [3],
            id="the reset is before the decay",
        ),
        pytest.param({"threshold": 5, "reset": "none"}, [7, 0, -3], [1, 1, 0], [7, 7, 4], id="none"),
        pytest.param({"threshold": 5, "reset": "latch"}, [4, 1, 9, -9], [0, 1, 0, 0], [4, 0, 0, 0], id="latch"),
        pytest.param(
            {"threshold": 5, "reset": "latch", "ternary": True},
            [-4, -1, 9, -9],
            [0, -1, 0, 0],
            [-4, 0, 0, 0],
            id="latch after a negative spike",
        ),
        pytest.param(
            {"threshold": 5, "reset": "latch", "bias": 2}, [3, 0, 0], [1, 0, 0], [0, 0, 0], id="latch drops the bias"
        ),
        pytest.param({"threshold": None, "reset": "none"}, [900, 50], [0, 0], [900, 950], id="no threshold"),
        pytest.param({"threshold": 5, "ternary": True}, [-4, -1], [0, -1], [-4, 0], id="ternary: at minus theta"),
        pytest.param({"threshold": 5, "ternary": True}, [-6, 5], [-1, 1], [0, 0], id="ternary: both signs"),
        pytest.param(
            {"threshold": 5, "ternary": True, "reset_value": 2}, [-6], [-1], [2], id="ternary: zero to a value"
        ),
        pytest.param(
            {"threshold": 5, "ternary": True, "reset": "subtract"},
            [-6, -4, 11],
            [-1, -1, 1],
            [-1, 0, 6],
            id="ternary: subtract",
        ),
        pytest.param(
            {"threshold": 5, "ternary": True, "reset": "none"}, [-6, 0], [-1, -1], [-6, -6], id="ternary: none"
        ),
        pytest.param({"rectify": True}, [-7, 3, -4], [0, 0, 0], [0, 3, 0], id="rectify"),
        pytest.param({"rectify": True, "bias": -2}, [1, 3], [0, 0], [0, 1], id="rectify after the bias"),
        pytest.param(
            {"rectify": True, "threshold": 5, "ternary": True}, [-7], [0], [0], id="rectify before the comparison"
        ),
        pytest.param(
            {"rectify": True, "threshold": 5, "reset": "subtract", "reset_amount": 9},
            [6, 5],
            [1, 0],
            [-3, 2],
            id="rectify before the reset alone",
        ),
        pytest.param({"bias": 3}, [0, 1, 0], [0, 0, 0], [3, 7, 10], id="bias every step"),
        pytest.param({"bias": 3, "threshold": 3}, [0], [1], [0], id="bias before the comparison"),
        pytest.param({"initial": 4, "threshold": 5}, [1, 1], [1, 0], [0, 1], id="initial"),
        pytest.param({"initial": -4}, [1], [0], [-3], id="initial below zero"),
        pytest.param(
            {"initial": 4, "decay": Decay(numerator=1, shift=1)}, [0], [0], [2], id="initial is stored, not decayed"
        ),
        pytest.param({"state_max": 10}, [10, 1, -3], [0] * 3, [10, 10, 7], id="high rail"),
        pytest.param({"state_min": -10}, [-10, -1, 3], [0] * 3, [-10, -10, -7], id="low rail"),
        pytest.param({"state_max": 10, "threshold": 12}, [11, 2], [0, 1], [10, 0], id="the rail is not before firing"),
        pytest.param(
            {"state_max": 10, "decay": Decay(numerator=1, shift=1)}, [20, 12], [0, 0], [10, 10], id="rail after decay"
        ),
        pytest.param({"state_min": 0}, [-3, 5], [0, 0], [0, 5], id="unsigned state"),
        pytest.param({"decay": Decay(numerator=0)}, [7, 3], [0, 0], [0, 0], id="memoryless"),
        pytest.param({"decay": Decay(numerator=2)}, [7, 3], [0, 0], [14, 34], id="decay above one"),
        pytest.param({"decay": Decay(numerator=3, shift=1)}, [7, -1], [0, 0], [11, 15], id="decay of 3/2"),
        pytest.param({"decay": Decay(numerator=4, shift=2)}, [7, -3], [0, 0], [7, 4], id="decay of 4/4"),
    ],
)
def test_follows_the_update_rule(fields, drives, spikes, membranes):
    assert trace(drives, **fields)[:2] == (spikes, membranes)


@pytest.mark.parametrize(
    ("numerator", "shift", "value", "stored"),
    [
        (1, 1, 1, 1),
        (1, 1, -1, 0),
        (1, 1, 3, 2),
        (1, 1, -3, -1),
        (3, 2, 1, 1),
        (3, 2, 2, 2),
        (3, 2, 3, 2),
        (3, 2, -1, -1),
        (3, 2, -2, -1),
        (3, 2, -3, -2),
        (3, 2, -6, -4),
        (1, 2, 1, 0),
        (1, 2, 2, 1),
        (1, 2, -2, 0),
        (1, 2, -3, -1),
        (15, 4, 8, 8),
        (15, 4, -8, -7),
        (15, 4, 7, 7),
        (15, 4, -9, -8),
        (115, 7, -100, -90),
        (115, 7, 999, 898),
        (115, 7, -999, -898),
        ((1 << 24) - 1, 24, 999, 999),
        (1, 24, -1, 0),
        (1 << 23, 24, -1, 0),
        ((1 << 23) + 1, 24, -1, -1),
    ],
)
def test_rounds_decay_to_nearest_halves_up(numerator, shift, value, stored):
    assert trace([value], decay=Decay(numerator=numerator, shift=shift))[1] == [stored]


@pytest.mark.parametrize(
    ("fields", "drives", "membranes", "currents"),
    [
        pytest.param({}, [4, 0, 0], [4, 8, 12], [4, 4, 4], id="accumulates"),
        pytest.param(
            {"current_decay": Decay(numerator=1, shift=1)}, [4, 0, 0, 0], [4, 6, 7, 8], [2, 1, 1, 1], id="decays"
        ),
        pytest.param({"current_decay": Decay(numerator=0)}, [4, 1], [4, 5], [0, 0], id="memoryless current"),
        pytest.param(
            {"current_decay": Decay(numerator=3, shift=2)}, [-3, 0], [-3, -5], [-2, -1], id="negative, halves up"
        ),
        pytest.param({"current_max": 5}, [7, 0], [7, 12], [5, 5], id="high rail after use"),
        pytest.param({"current_min": -5}, [-7, 0], [-7, -12], [-5, -5], id="low rail after use"),
        pytest.param({"bias": 10}, [1, 0], [11, 22], [1, 1], id="the bias is not in the current"),
        pytest.param({"threshold": 5}, [3, 0, 0], [3, 0, 3], [3, 3, 3], id="the reset leaves the current"),
        pytest.param({"rectify": True}, [-4, 0], [0, 0], [-4, -4], id="the current is not rectified"),
        pytest.param({"decay": Decay(numerator=1, shift=1)}, [4, 0], [2, 3], [4, 4], id="two decays"),
        pytest.param({"initial": 9}, [0, 1], [9, 10], [0, 1], id="the current starts at 0"),
        pytest.param({"threshold": 5, "reset": "latch"}, [6, 0], [0, 0], [6, 6], id="latched, yet it has a current"),
    ],
)
def test_follows_the_rule_of_the_current(fields, drives, membranes, currents):
    second = {"current_decay": Decay(), "current_min": -100, "current_max": 100}
    assert trace(drives, **second | fields)[1:] == (membranes, currents)


@pytest.mark.parametrize(
    ("field", "values", "drive", "spikes", "membranes"),
    [
        ("threshold", [3, 4], 3, [1, 1, 0, 0], [0, 0, 3, 3]),
        ("bias", [3, -4], 1, [0, 0, 0, 0], [4, 4, -3, -3]),
        ("initial", [3, -4], 1, [0, 0, 0, 0], [4, 4, -3, -3]),
        ("reset_value", [3, -4], ALWAYS, [1, 1, 1, 1], [3, 3, -4, -4]),
        ("reset_amount", [3, ALWAYS], ALWAYS, [1, 1, 1, 1], [ALWAYS - 3, ALWAYS - 3, 0, 0]),
        ("decay", [1, 3], 5, [0, 0, 0, 0], [3, 3, 8, 8]),
        ("current_decay", [1, 3], 5, [0, 0, 0, 0], [5, 5, 5, 5]),
    ],
)
@pytest.mark.parametrize("form", ["channel", "column", "neuron"])
def test_takes_every_field_per_channel_and_per_neuron(field, values, drive, spikes, membranes, form):
    fields = {
        "channel": values,
        "column": np.reshape(values, (2, 1, 1)),
        "neuron": np.repeat(values, 2).reshape(2, 1, 2),
    }
    value = np.asarray(fields[form])
    given_fields = {field: Decay(numerator=value, shift=1) if field.endswith("decay") else value}
    if field == "reset_amount":
        given_fields["reset"] = "subtract"
    if field == "current_decay":
        given_fields |= {"current_min": -100, "current_max": 100}
    neurons = Population(name="p", shape=(2, 1, 2), **{"threshold": ALWAYS, **WIDE, **given_fields})
    model = network(neurons, port=Input(shape=(2, 1, 2), low=-1000, high=1000))
    result = golden.run(model, np.full((1, 1, 4), drive), record=EVERYTHING)
    assert result.spikes["p"].ravel().tolist() == spikes
    assert result.membranes["p"].ravel().tolist() == membranes
    if field == "current_decay":
        assert result.currents["p"].ravel().tolist() == [3, 3, 8, 8]


def test_decay_per_neuron_rounds_each_by_itself():
    model = network(population(size=3, decay=Decay(numerator=np.array([1, 2, 3]), shift=2)))
    result = golden.run(model, np.full((1, 1, 3), -2), record=EVERYTHING)
    assert result.membranes["p"].ravel().tolist() == [0, -1, -1]


def test_a_delayed_connection_brings_the_spikes_of_the_step_before():
    pair = population("a", threshold=1), population("b", threshold=1)
    for delay, spikes in ((0, [1, 0, 1, 0]), (1, [0, 1, 0, 1])):
        model = network(*pair, connections=(link(target="a"), link("a", "b", delay=delay)))
        result = golden.run(model, np.array([1, 0, 1, 0]).reshape(1, 4, 1), record=EVERYTHING)
        assert result.spikes["b"].ravel().tolist() == spikes


def test_a_delayed_input_begins_with_nothing():
    model = network(population(), connections=(link(delay=1),))
    result = golden.run(model, np.array([5, 7, 100]).reshape(1, 3, 1), record=EVERYTHING)
    assert result.membranes["p"].ravel().tolist() == [0, 5, 12]


def test_a_population_inhibits_itself_a_step_later():
    model = network(population(threshold=3), connections=(link(), link("p", "p", weights=-2, delay=1)))
    result = golden.run(model, np.full((1, 6, 1), 3), record=EVERYTHING)
    assert result.spikes["p"].ravel().tolist() == [1, 0, 1, 0, 1, 0]
    assert result.membranes["p"].ravel().tolist() == [0, 1, 0, 1, 0, 1]


def test_feedback_closes_a_loop_over_two_populations():
    # One spike goes round: a in step 0, b in the same step, back in a in step 1.
    pair = population("a", threshold=1), population("b", threshold=1)
    model = network(*pair, connections=(link(target="a"), link("a", "b"), link("b", "a", delay=1)))
    result = golden.run(model, np.array([1, 0, 0, 0]).reshape(1, 4, 1), record=EVERYTHING)
    assert result.spikes["a"].ravel().tolist() == result.spikes["b"].ravel().tolist() == [1, 1, 1, 1]


def test_populations_may_stand_in_any_order():
    pair = population("b", threshold=1), population("a", threshold=1)
    model = network(*pair, connections=(link("a", "b"), link(target="a")), readout=Readout(population="b"))
    result = golden.run(model, np.array([1, 0]).reshape(1, 2, 1), record=EVERYTHING)
    assert result.spikes["b"].ravel().tolist() == [1, 0]


def test_connections_into_one_population_add_up():
    connections = (link(weights=2), link(weights=3), link(weights=-1, delay=1))
    result = golden.run(network(population(), connections=connections), [[[1], [10]]], record=EVERYTHING)
    assert result.membranes["p"].ravel().tolist() == [5, 5 + 50 - 1]


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


@pytest.mark.parametrize("seed", range(200))
def test_equals_a_slow_interpreter_of_the_contract(seed):
    rng = np.random.default_rng(seed)
    model = whole.random_network(rng)
    inputs = whole.random_inputs(rng, model, 3)
    reference.assert_equal(golden.run(model, inputs, record=EVERYTHING), reference.run(model, inputs))


def test_the_random_networks_hold_everything_of_the_contract():
    models = [whole.random_network(np.random.default_rng(seed)) for seed in range(200)]
    seen = Counter(model.readout.kind for model in models) + Counter(model.input.kind for model in models)
    for neurons in (neurons for model in models for neurons in model.populations):
        seen.update([neurons.reset, f"{len(neurons.shape)}d"])
        seen.update(name for name in ("rectify", "ternary", "current_decay") if getattr(neurons, name))
    for connection in (connection for model in models for connection in model.connections):
        seen.update([connection.kind, f"delay {connection.delay}", "loop" * (connection.source == connection.target)])
        seen.update(["pool"] if connection.pool != (1, 1) else [])
    seen.update(model.readout.reduce for model in models if model.readout.kind == "membrane")
    assert len(seen) == 4 + 4 + 4 + 2 + 3 + 5 + 2 + 2 + 1 + 3
    assert min(seen.values()) >= 10


@pytest.fixture
def tiny_chunks(monkeypatch):
    """Chunks of a few samples, on two threads, in blocks of two steps, with products of one sample."""
    monkeypatch.setattr(engine, "_LEAST_CHUNK_BYTES", 1)
    monkeypatch.setattr(engine, "_CHUNK_BYTES", 1000)
    monkeypatch.setattr(engine, "_BLOCK_STEPS", 2)
    monkeypatch.setattr(engine, "_workers", lambda: 2)
    monkeypatch.setattr("sim.golden.drive._BLOCK_BYTES", 16)


@pytest.mark.parametrize("seed", range(60))
def test_chunks_and_blocks_change_nothing(seed, tiny_chunks):
    rng = np.random.default_rng(seed)
    model = whole.random_network(rng)
    inputs = whole.random_inputs(rng, model, 5)
    reference.assert_equal(golden.run(model, inputs, record=EVERYTHING), reference.run(model, inputs))


@pytest.mark.usefixtures("tiny_chunks")
def test_an_error_in_a_chunk_is_the_error_of_the_run():
    with pytest.raises(NetworkError, match=r"^Inputs must be between -1000 and 1000, not 1001$"):
        golden.run(network(population()), np.array([0, 0, 0, 0, 1001]).reshape(5, 1, 1))


def test_a_long_run_counts_every_spike():
    model = network(population(threshold=1), steps=1000)
    result = golden.run(model, np.ones((2, 1000, 1), np.int8))
    assert result.counts["p"].tolist() == [[1000], [1000]]
    assert result.totals["p"].tolist() == [1000, 1000]


def test_a_wide_population_counts_every_spike():
    model = network(population(size=300, threshold=1))
    assert golden.run(model, np.ones((1, 20, 300), np.int8)).totals["p"].tolist() == [6000]


def wide(sources, targets, *, bits, rng):
    """A dense network of the largest and smallest weights alone, which its inputs drive to both bounds of every sum."""
    weights = rng.choice([-(1 << (bits - 1)), (1 << (bits - 1)) - 1], (targets, sources))
    weights[[0, -1]], weights[[1, -2]] = weights.min(), weights.max()
    readout = Readout(population="p", kind="membrane", reduce="sum")
    neurons = population(size=targets, threshold=None, reset="none", state_min=-(1 << 31), state_max=(1 << 31) - 1)
    return weights, neurons, link(kind="dense", weights=weights, weight_bits=bits), readout


@pytest.mark.parametrize(
    ("sources", "targets", "bits", "high", "dtype"),
    [
        (50, 31, 4, 1, np.float32),
        (700, 65, 4, 1, np.float32),
        (514, 40, 8, 255, np.float32),
        (515, 40, 8, 255, np.float64),
        (40, 40, 16, 65535, np.float64),
    ],
)
def test_sums_are_exact_at_their_bounds(sources, targets, bits, high, dtype):
    rng = np.random.default_rng(0)
    weights, neurons, connection, readout = wide(sources, targets, bits=bits, rng=rng)
    model = network(neurons, connections=(connection,), port=Input(shape=(sources,), high=high), readout=readout)
    assert engine._Engine(model).drives[connection]._operator.dtype == dtype
    inputs = rng.integers(0, high + 1, (8, 1, sources))
    inputs[0], inputs[1], inputs[2] = 0, high, np.where(weights[targets // 2] > 0, high, 0)
    inputs[3] = np.where(weights[targets // 2] > 0, 0, high)
    np.testing.assert_array_equal(golden.run(model, inputs).scores, inputs[:, 0] @ weights.T)


def test_floats_are_widened_before_a_sum_could_be_rounded():
    port = Input(shape=(2,), kind="current", high=65535)
    neurons = population(threshold=None, reset="none", state_min=-(1 << 31), state_max=(1 << 31) - 1)
    model = network(
        neurons,
        connections=(link(kind="dense", weights=[[256, 1]], weight_bits=10),),
        port=port,
        readout=Readout(population="p", kind="membrane"),
        steps=1,
    )
    assert golden.run(model, [[65535, 257]]).scores.tolist() == [[(1 << 24) + 1]]


def test_a_large_pooled_window_is_not_taken_for_an_empty_one():
    port = Input(shape=(1, 256, 256))
    pooled = link(kind="max_pool", pool=256, kernel=1, weights=3)
    neurons = Population(name="p", shape=(1, 1, 1), threshold=3, **WIDE)
    model = network(neurons, port=port, connections=(pooled,))
    assert golden.run(model, np.ones((1, 1, 256 * 256), np.int8)).scores.tolist() == [[1]]


@pytest.mark.parametrize("seed", range(20))
def test_integers_do_where_no_float_is_exact(seed, monkeypatch):
    monkeypatch.setattr("sim.golden.drive._MANTISSA", {np.float32: 2, np.float64: 3})
    rng = np.random.default_rng(seed)
    model = whole.random_network(rng)
    inputs = whole.random_inputs(rng, model, 3)
    reference.assert_equal(golden.run(model, inputs, record=EVERYTHING), reference.run(model, inputs))


@pytest.mark.parametrize(
    ("low", "high", "initial", "drive", "stored"),
    [(-1, 11, 10, 11, 10), (-1, 10, 10, 10, 10), (-12, 1, -10, -12, -10), (-11, 1, -10, -11, -10)],
)
def test_rails_hold_what_would_pass_them_by_one(low, high, initial, drive, stored):
    neurons = population(state_min=-10, state_max=10, initial=initial, decay=Decay(numerator=1, shift=1))
    result = golden.run(network(neurons, port=Input(shape=(1,), low=low, high=high)), [[[drive]]], record=EVERYTHING)
    assert result.membranes["p"].ravel().tolist() == [stored]


@pytest.mark.parametrize("lowest", [-32768, -32767])
def test_the_lowest_sum_fits_too(lowest):
    port = Input(shape=(1,), low=-1, high=1)
    neurons = population(threshold=None, reset="none", state_min=lowest, state_max=7, initial=lowest)
    model = network(neurons, port=port, readout=Readout(population="p", kind="membrane"))
    assert golden.run(model, [[[-1]]]).scores.tolist() == [[lowest - 1]]


@pytest.mark.parametrize("rail", [32765, 32766, 32767, 32768, 2**31 - 2, 2**31 - 1])
@pytest.mark.parametrize("drive", [1, 2])
def test_membranes_are_as_wide_as_their_sums(rail, drive):
    fields = {"state_min": -rail, "state_max": rail, "reset": "none"}
    readout = Readout(population="p", kind="membrane")
    port = Input(shape=(2,), low=-2, high=2)
    neurons = population(size=2, initial=np.array([rail, -rail]), threshold=None, **fields)
    model = network(neurons, port=port, readout=readout)
    assert golden.run(model, [[[drive, -drive]]]).scores.tolist() == [[rail + drive, -rail - drive]]
    firing = population(size=2, initial=np.array([rail - 1, -rail]), threshold=rail, ternary=True, **fields)
    result = golden.run(network(firing, port=port), [[[drive, -drive]]], record=EVERYTHING)
    assert result.spikes["p"].ravel().tolist() == [1, -1]
    assert result.membranes["p"].ravel().tolist() == [rail, -rail]


def test_products_with_the_decay_are_as_wide_as_they_need_be():
    decay = Decay(numerator=(1 << 24) - 1, shift=24)
    values = [(1 << 31) - 1, -(1 << 31), 12345678]
    neurons = population(size=3, initial=np.array(values), decay=decay, state_min=-(1 << 31), state_max=(1 << 31) - 1)
    model = network(replace(neurons, threshold=(1 << 31) - 1))
    result = golden.run(model, [[[-5, 5, 0]]], record=EVERYTHING)
    kept = [value + drive for value, drive in zip(values, [-5, 5, 0], strict=True)]
    assert result.membranes["p"].ravel().tolist() == [(v * ((1 << 24) - 1) + (1 << 23)) // (1 << 24) for v in kept]


seeds = st.integers(0, 2**32 - 1)
quick = settings(deadline=None, max_examples=40)


@given(seeds)
@quick
def test_a_batch_equals_its_samples_one_by_one(seed):
    rng = np.random.default_rng(seed)
    model = whole.random_network(rng)
    inputs = whole.random_inputs(rng, model, 4)
    batch = golden.run(model, inputs, record=EVERYTHING)
    for index in range(4):
        alone = golden.run(model, inputs[index : index + 1], record=EVERYTHING)
        np.testing.assert_array_equal(alone.scores[0], batch.scores[index])
        for name in batch.spikes:
            np.testing.assert_array_equal(alone.spikes[name][0], batch.spikes[name][index])
            np.testing.assert_array_equal(alone.membranes[name][0], batch.membranes[name][index])


@given(seeds)
@quick
def test_recording_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    model = whole.random_network(rng)
    inputs = whole.random_inputs(rng, model, 3)
    full, bare = golden.run(model, inputs, record=EVERYTHING), golden.run(model, inputs)
    assert bare.spikes == bare.membranes == bare.currents == {}
    np.testing.assert_array_equal(full.scores, bare.scores)
    np.testing.assert_array_equal(full.answers, bare.answers)
    for name, spikes in full.spikes.items():
        np.testing.assert_array_equal(bare.counts[name], spikes.sum(axis=1))
        np.testing.assert_array_equal(bare.totals[name], np.count_nonzero(spikes, axis=(1, 2)))


def chain(weights, order):
    """Input, a hidden layer in the given order, and an output, all dense, with a loop at the hidden layer."""
    into, out, back, thresholds = weights
    hidden = population("hidden", len(order), threshold=thresholds[order], reset="subtract")
    connections = (
        link(target="hidden", kind="dense", weights=into[order]),
        link("hidden", "hidden", kind="dense", weights=back[order][:, order], delay=1),
        link("hidden", "out", kind="dense", weights=out[:, order]),
    )
    port = Input(shape=(into.shape[1],))
    return network(hidden, population("out", len(out), threshold=3), connections=connections, port=port)


@given(seeds)
@quick
def test_the_order_of_neurons_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    inputs, hidden = int(rng.integers(1, 9)), int(rng.integers(1, 50))
    weights = (
        rng.integers(-8, 8, (hidden, inputs)),
        rng.integers(-8, 8, (4, hidden)),
        rng.integers(-8, 8, (hidden, hidden)),
        rng.integers(1, 9, hidden),
    )
    events = rng.integers(0, 2, (3, 6, inputs))
    order = rng.permutation(hidden)
    plain = golden.run(chain(weights, np.arange(hidden)), events, record=EVERYTHING)
    mixed = golden.run(chain(weights, order), events, record=EVERYTHING)
    np.testing.assert_array_equal(mixed.spikes["hidden"], plain.spikes["hidden"][:, :, order])
    np.testing.assert_array_equal(mixed.membranes["out"], plain.membranes["out"])
    np.testing.assert_array_equal(mixed.scores, plain.scores)


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


def test_needs_neither_torch_nor_hardware():
    code = "import sys, sim.golden; assert not {'torch', 'amaranth', 'cocotb', 'hw'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64])
@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 63), (0, 64), (0, 255), (-128, 127)])
def test_windows_are_summed_whatever_the_type_of_the_inputs(dtype, low, high):
    """Four times 64 does not fit the byte that 64 comes in."""
    if low < np.iinfo(dtype).min:
        pytest.skip("a type without a sign")
    port = Input(shape=(1, 2, 2), low=low, high=high, kind="current" if high > 1 else "events")
    pooled = link(kind="dense", pool=(2, 2), weights=[[1]], weight_bits=2)
    neurons = population(reset="none", state_min=-2000, state_max=2000)
    model = network(neurons, port=port, connections=(pooled,), steps=1)
    for value in (low, high):
        inputs = np.full((1, 1, 4) if high == 1 else (1, 4), value, dtype)
        result = golden.run(model, inputs, record=EVERYTHING)
        assert result.membranes["p"].tolist() == [[[4 * value]]]
        assert result.totals["input"].tolist() == [4 * (value != 0)]
