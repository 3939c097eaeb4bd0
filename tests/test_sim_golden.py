"""The update rule and connections of the golden model."""

import numpy as np
import pytest
from small import ALWAYS, EVERYTHING, WIDE, link, network, population, trace

from quant.ir import Decay, Input, Population, Readout
from sim import golden


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
