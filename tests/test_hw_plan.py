from math import ceil

import numpy as np
import pytest

from hw.plan import plan_network
from quant.errors import NetworkError, UnsupportedError
from quant.ir import Connection, Decay, Input, Network, Population, Readout
from quant.ranges import Range


def population(name, shape=(3,), **fields):
    return Population(**{"name": name, "shape": shape, "threshold": 2, "state_min": -8, "state_max": 7, **fields})


def dense(source, target, targets, sources, **fields):
    weights = np.arange(targets * sources).reshape(targets, sources) % 7 - 3
    return Connection(
        **{"source": source, "target": target, "kind": "dense", "weights": weights, "weight_bits": 3, **fields}
    )


def network(populations=None, connections=None, *, port=None, readout=None, steps=5):
    populations = (population("a", (4,)), population("b", (3,))) if populations is None else populations
    connections = (dense("input", "a", 4, 2), dense("a", "b", 3, 4)) if connections is None else connections
    return Network(
        name="planned",
        steps=steps,
        input=port or Input(shape=(2,)),
        populations=populations,
        connections=connections,
        readout=readout or Readout(population=populations[-1].name),
    )


def layer(neurons, lanes, **fields):
    """Core of a network of one layer."""
    single = network((population("a", (neurons,)),), (dense("input", "a", neurons, 2),), **fields)
    (core,) = plan_network(single, lanes=lanes).cores
    return core


@pytest.mark.parametrize("lanes", [1, 2, 3, 5, 7, 8, 16, 17, 100, 1000])
@pytest.mark.parametrize("neurons", [1, 2, 3, 7, 8, 9, 16, 17, 100, 129])
def test_lanes_hold_every_neuron_and_little_else(neurons, lanes):
    core = layer(neurons, lanes)
    assert core.rows * core.lanes >= neurons
    assert (core.rows - 1) * core.lanes < neurons, "no row is empty"
    assert core.units & (core.units - 1) == 0
    assert core.lanes % core.units == 0
    assert core.banks * core.units == core.lanes
    assert core.units <= 16
    # More lanes than wanted only to fill up the last unit.
    assert core.lanes < min(lanes, neurons) + core.units
    assert core.rows <= ceil(neurons / min(lanes, neurons))
    assert core.sweeps == ceil(neurons / core.units)
    assert core.sweeps + core.cooldown >= 7


@pytest.mark.parametrize(
    ("neurons", "wanted", "lanes", "units", "rows", "sweeps", "banks", "cooldown"),
    [
        (1, 1, 1, 1, 1, 1, 1, 6),
        (10, None, 10, 2, 1, 5, 5, 2),
        (10, 4, 4, 2, 3, 5, 2, 2),
        (128, None, 16, 16, 8, 8, 1, 0),
        (128, 128, 128, 16, 1, 8, 8, 0),
        (100, 64, 64, 16, 2, 7, 4, 0),
        (8, 8, 8, 1, 1, 8, 8, 0),
        (9, 9, 10, 2, 1, 5, 5, 2),
    ],
)
def test_sizes_worked_by_hand(neurons, wanted, lanes, units, rows, sweeps, banks, cooldown):
    core = layer(neurons, wanted)
    assert (core.lanes, core.units, core.rows) == (lanes, units, rows)
    assert (core.sweeps, core.banks, core.cooldown) == (sweeps, banks, cooldown)


def test_lanes_of_each_population():
    plan = plan_network(network(), lanes={"b": 1})
    assert [core.lanes for core in plan.cores] == [4, 1]
    assert [core.name for core in plan.cores] == ["a", "b"]


def test_cores_are_in_the_order_of_the_stream():
    swapped = network((population("b", (3,)), population("a", (4,))), readout=Readout(population="b"))
    assert [core.name for core in plan_network(swapped).cores] == ["a", "b"]


@pytest.mark.parametrize(("neurons", "lanes"), [(4, 4), (5, 2), (7, 3), (45, 16)])
def test_a_word_of_weights_is_a_row_of_one_input(neurons, lanes):
    core = layer(neurons, lanes)
    assert core.weight_rows.shape == (core.weight_words, core.lanes)
    assert core.weight_words == core.rows * 2
    for source in range(2):
        for lane in range(core.rows * core.lanes):
            weight = core.weight_rows[lane // core.lanes * 2 + source, lane % core.lanes]
            assert weight == (core.connection.weights[lane, source] if lane < neurons else 0)


def test_values_of_a_core_are_those_of_its_source():
    first, second = plan_network(network(port=Input(shape=(2,), low=-1, high=3))).cores
    assert (first.values, second.values) == (Range(-1, 3), Range(0, 1))
    assert (first.multiplies, second.multiplies) == (True, False)
    assert (first.inputs, second.inputs) == (2, 4)
    assert [core.multiplies for core in plan_network(network()).cores] == [False, False]


def test_only_the_first_core_repeats_the_steps_of_a_current():
    plan = plan_network(network(port=Input(shape=(2,), kind="current", high=9)))
    assert [core.steps for core in plan.cores] == [5, 0]
    assert [core.steps for core in plan_network(network()).cores] == [0, 0]


@pytest.mark.parametrize(("readout", "asked", "stops"), [("count", True, False), ("first_spike", True, True)])
def test_only_a_first_spike_stops_early(readout, asked, stops):
    plain = network(readout=Readout(population="b", kind=readout))
    assert plan_network(plain, early_stop=asked).early_stop == stops
    assert not plan_network(plain, early_stop=False).early_stop


@pytest.mark.parametrize(("steps", "classes", "width"), [(1, 3, 3), (5, 3, 4), (7, 3, 4), (8, 3, 5), (1, 9, 5)])
def test_a_word_of_the_answer_holds_every_score_and_index(steps, classes, width):
    wide = network((population("a", (classes,)),), (dense("input", "a", classes, 2),), steps=steps)
    assert plan_network(wide).score_width == width


def test_sizes_for_reports():
    assert layer(10, 4).as_dict() == {
        "population": "a",
        "inputs": 2,
        "neurons": 10,
        "lanes": 4,
        "units": 2,
        "rows": 3,
        "sweeps": 5,
        "weight_bits": 3,
        "weight_memory_bits": 3 * 2 * 4 * 3,
    }


def identity(source, target):
    return Connection(source=source, target=target, kind="identity", weights=np.array(1), weight_bits=2)


LINEAR = Readout(population="b", kind="linear", weights=np.ones((2, 3), int))
POOLED = dense("input", "a", 4, 2, pool=(2, 2))
REFUSED = {
    "rate": (
        {"port": Input(shape=(2,), kind="rate", high=255)},
        "Input of kind rate is not generated yet; encode on the host and use kind events",
    ),
    "latency": (
        {"port": Input(shape=(2,), kind="latency", high=255)},
        "Input of kind latency is not generated yet; encode on the host and use kind events",
    ),
    "linear": ({"readout": LINEAR}, "Readout linear is not generated yet; use count or first_spike"),
    "membrane": (
        {
            "populations": (population("a", (4,)), population("b", threshold=None, reset="none")),
            "readout": Readout(population="b", kind="membrane"),
        },
        "Readout membrane is not generated yet; use count or first_spike",
    ),
    "no threshold": (
        {
            "populations": (population("a", (4,)), population("b", threshold=None, reset="none")),
            "readout": Readout(population="a"),
        },
        "Population b with no threshold is not generated yet; use a spiking readout population",
    ),
    "ternary": (
        {"populations": (population("a", (4,)), population("b", ternary=True))},
        "Population b with ternary spikes is not generated yet; use binary ones",
    ),
    "second order": (
        {
            "populations": (
                population("a", (4,), current_decay=Decay(), current_min=-1, current_max=1),
                population("b"),
            )
        },
        "Population a with a current_decay is not generated yet; use a first-order neuron",
    ),
    "delay": (
        {"connections": (dense("input", "a", 4, 2), dense("a", "b", 3, 4, delay=1))},
        "Connection a -> b of delay 1 is not generated yet; use a feed-forward network",
    ),
    "recurrence": (
        {"connections": (dense("input", "a", 4, 2), dense("a", "b", 3, 4), dense("b", "b", 3, 3, delay=1))},
        "Connection b -> b of delay 1 is not generated yet; use a feed-forward network",
    ),
    "identity": (
        {
            "populations": (population("a", (2,)), population("b", (3,))),
            "connections": (identity("input", "a"), dense("a", "b", 3, 2)),
        },
        "Connection input -> a with kind identity is not generated yet; use dense layers",
    ),
    "pooling": (
        {"port": Input(shape=(2, 2, 2)), "connections": (POOLED, dense("a", "b", 3, 4))},
        "Connection input -> a with address pooling is not generated yet; use dense layers",
    ),
    "skip": (
        {"connections": (dense("input", "a", 4, 2), dense("input", "b", 3, 2))},
        "Connection input -> b skips a layer, which is not generated yet; use a chain",
    ),
    "two connections": (
        {"connections": (dense("input", "a", 4, 2), dense("a", "b", 3, 4), dense("a", "b", 3, 4))},
        "Population b with 2 incoming connections is not generated yet; use one",
    ),
    "readout in the middle": (
        {"readout": Readout(population="a")},
        "Readout of a is not generated yet; read the last population, b",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_by_name_with_the_way_out(case):
    fields, message = REFUSED[case]
    with pytest.raises(UnsupportedError) as caught:
        plan_network(network(**fields))
    assert str(caught.value) == message


@pytest.mark.parametrize("lanes", [0, -1, {"b": 0}])
def test_refuses_no_lanes(lanes):
    wrong = lanes if isinstance(lanes, int) else 0
    name = "a" if isinstance(lanes, int) else "b"
    with pytest.raises(NetworkError, match=rf"^Lanes of {name} must be at least 1, not {wrong}$"):
        plan_network(network(), lanes=lanes)


def test_refuses_lanes_of_an_unknown_population():
    with pytest.raises(NetworkError, match=r"^Lanes must name one of a, b, not 'c'$"):
        plan_network(network(), lanes={"c": 4})
