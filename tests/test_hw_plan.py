from math import ceil

import numpy as np
import pytest

from hw.plan import BINARY, plan_network
from quant.errors import NetworkError
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


@pytest.mark.parametrize(
    ("shape", "wanted", "lanes", "units", "rows", "sweeps", "banks"),
    [
        # A row is of one place, of so many lanes at most; units are halved as long as a sweep takes 8 cycles at most.
        ((16, 3, 3), 16, 16, 16, 9, 9, 1),
        ((16, 2, 2), 16, 16, 8, 4, 8, 2),
        ((5, 1, 2), 16, 6, 2, 2, 6, 3),
        ((6, 2, 2), 4, 4, 2, 8, 12, 2),
        ((1, 7, 7), 16, 1, 1, 49, 49, 1),
        ((12, 1, 1), 12, 12, 2, 1, 6, 6),
    ],
)
def test_sizes_of_maps_worked_by_hand(shape, wanted, lanes, units, rows, sweeps, banks):
    target = population("a", shape)
    single = network((target,), (dense("input", "a", target.size, 2),))
    (core,) = plan_network(single, lanes=wanted).cores
    assert (core.lanes, core.units, core.rows, core.sweeps, core.banks) == (lanes, units, rows, sweeps, banks)
    assert core.word_tiling.words == sweeps
    assert core.row_tiling.words == rows


def test_values_of_a_port_are_those_of_its_source():
    first, second = (core.ports[0] for core in plan_network(network(port=Input(shape=(2,), low=-1, high=3))).cores)
    assert (first.values, second.values) == (Range(-1, 3), BINARY)
    assert (first.multiplies, second.multiplies) == (True, False)
    assert (first.geometry.source, second.geometry.source) == ((2,), (4,))
    # Of 3 bits times -1 to 3; of 3 bits.
    assert (first.weight, first.operand, second.operand) == (Range(-4, 3), Range(-12, 9), Range(-4, 3))
    assert [core.multiplies for core in plan_network(network()).cores] == [False, False]


def test_ternary_populations_send_signs():
    first, second = plan_network(network((population("a", (4,), ternary=True), population("b")))).cores
    assert (first.sends, first.spikes, second.sends, second.spikes) == (Range(-1, 1), Range(-1, 1), BINARY, BINARY)
    assert second.multiplies
    assert second.operand == Range(-4, 4)


def test_only_a_current_is_held():
    plan = plan_network(network(port=Input(shape=(2,), kind="current", high=9)))
    assert [[port.held for port in core.ports] for core in plan.cores] == [[True], [False]]
    assert not any(core.ports[0].held for core in plan_network(network()).cores)
    assert not plan_network(network(port=Input(shape=(2,), kind="rate", high=7))).cores[0].ports[0].held


def test_sums_that_are_held_have_a_range_of_their_own():
    """A core hears the input, of kind current, and another population, which sends 0 or 1."""
    connections = (
        dense("input", "a", 4, 2),
        Connection(source="input", target="b", kind="dense", weights=[[3, -2], [1, 1], [0, 0]], weight_bits=3),
        Connection(source="a", target="b", kind="dense", weights=[[1, 1, 1, -3]] * 3, weight_bits=3),
    )
    plan = plan_network(network(connections=connections, port=Input(shape=(2,), kind="current", high=10)))
    first, second = plan.cores
    assert (first.drive(held=False), first.forwards) == (Range(0, 0), False)
    assert (second.drive(held=True), second.drive(held=False)) == (Range(-20, 30), Range(-3, 3))
    assert second.forwards, "two ports may come to the same row"
    assert second.operand == Range(-40, 30)


def test_ports_are_in_the_order_of_the_connections():
    connections = (
        dense("b", "b", 3, 3, delay=1),
        dense("input", "a", 4, 2),
        dense("a", "b", 3, 4),
        dense("input", "b", 3, 2, delay=1),
    )
    first, second = plan_network(network(connections=connections)).cores
    assert [port.source for port in first.ports] == ["input"]
    assert [(port.source, port.delayed) for port in second.ports] == [("b", True), ("a", False), ("input", True)]


def test_max_pooling_counts_once_and_never_multiplies():
    a, b = population("a", (2, 2, 2)), population("b", (2, 1, 1))
    pool = Connection(source="a", target="b", kind="max_pool", weights=[1, -3], kernel=2, weight_bits=3)
    core = plan_network(network((a, b), (dense("input", "a", 8, 2), pool))).cores[1]
    (port,) = core.ports
    assert (port.once, port.multiplies, core.forwards) == (True, False, True)
    assert (port.reach, core.drive(held=False)) == (Range(-3, 1), Range(-3, 1))


@pytest.mark.parametrize(("second", "cooldown"), [(False, 4), (True, 5)])
def test_a_sweep_of_second_order_waits_a_cycle_longer(second, cooldown):
    fields = {"current_decay": Decay(), "current_min": -1, "current_max": 1} if second else {}
    plan = plan_network(network((population("a", (3,), **fields),), (dense("input", "a", 3, 2),)))
    (core,) = plan.cores
    assert (core.sweeps, core.cooldown) == (3, cooldown)


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
        "skip_groups": 0,
        "weight_bits": 3,
        "weight_memory_bits": 3 * 2 * 4 * 3,
        "storage": "rom",
    }


@pytest.mark.parametrize(
    ("reduce", "scores"), [("last", Range(-7, 13)), ("max", Range(-7, 13)), ("sum", Range(-35, 65))]
)
def test_a_membrane_readout_reads_sums_of_every_step(reduce, scores):
    """One neuron a cycle sends its H: the membrane of -4 to 7, the bias of 0, and 3 bits times two inputs."""
    b = population("b", (5,), threshold=None, reset="none", state_min=-4)
    weights = np.full((5, 4), 1)
    weights[0] = [3, 3, 0, 0]
    weights[1] = [-3, 0, 0, 0]
    connections = (
        dense("input", "a", 4, 2),
        Connection(source="a", target="b", kind="dense", weights=weights, weight_bits=3),
    )
    plan = plan_network(
        network(
            (population("a", (4,)), b), connections, readout=Readout(population="b", kind="membrane", reduce=reduce)
        )
    )
    core = plan.cores[1]
    assert (core.shows, core.units, core.sends, core.lanes) == (True, 1, Range(-7, 13), 5)
    assert (core.spikes, plan.cores[0].shows) == (BINARY, False)
    readout = plan.readout
    assert (readout.kind, readout.reduce, readout.source, readout.values) == ("membrane", reduce, "b", core.sends)
    assert readout.scores == scores
    assert (plan.early_stop, readout.classes, readout.steps) == (False, 5, 5)


def test_a_population_without_a_threshold_that_nobody_reads_shows_nothing():
    plan = plan_network(
        network((population("a", (4,)), population("b", threshold=None, reset="none")), readout=Readout(population="a"))
    )
    assert not plan.cores[1].shows
    assert plan.readout.source == "a"


def test_a_linear_readout_is_a_core_of_its_own():
    """Counts of 5 steps of three ternary neurons: each weight counts -5 to 5 times."""
    populations = population("a", (4,)), population("scores", ternary=True)
    weights = np.array([[3, -4, 0], [100, 1, 1]])
    plan = plan_network(
        network(
            populations,
            (dense("input", "a", 4, 2), dense("a", "scores", 3, 4)),
            readout=Readout(population="scores", kind="linear", weights=weights, bias=[7, -2]),
        )
    )
    assert [core.name for core in plan.cores] == ["a", "scores", "scores_"]
    assert [core.name for core in plan.populations] == ["a", "scores"]
    core = plan.cores[-1]
    assert (core.at_end, core.shows, core.units, core.shape) == (True, True, 1, (2,))
    assert not any(core.at_end for core in plan.populations)
    (port,) = core.ports
    assert (port.source, port.values, port.weight_bits) == ("scores", Range(-1, 1), 8)
    np.testing.assert_array_equal(port.connection.weights, weights)
    assert core.bounds.drive == Range(-510, 510)
    assert core.sends == core.bounds.total == Range(-512, 517)
    readout = plan.readout
    assert (readout.kind, readout.reduce, readout.source, readout.classes) == ("membrane", "last", "scores_", 2)
    assert (readout.scores, plan.score_width) == (Range(-512, 517), 11)


@pytest.mark.parametrize(
    ("kind", "ternary", "scores"),
    [("count", False, Range(0, 5)), ("count", True, Range(-5, 5)), ("first_spike", True, Range(0, 5))],
)
def test_scores_of_spikes_lie_within_the_steps(kind, ternary, scores):
    populations = population("a", (4,)), population("b", ternary=ternary)
    plan = plan_network(network(populations, readout=Readout(population="b", kind=kind)))
    assert plan.readout.scores == scores
    assert plan.readout.values == (Range(-1, 1) if ternary else BINARY)


def test_any_population_may_be_read():
    plan = plan_network(network(readout=Readout(population="a")))
    assert (plan.readout.source, plan.readout.classes) == ("a", 4)


def test_a_beat_of_the_input_holds_every_value():
    layout = plan_network(network(port=Input(shape=(2, 1, 1), kind="latency", high=255))).input_layout
    assert (layout.fields.shape, layout.values) == ((2, 1, 1), Range(0, 255))


@pytest.mark.parametrize("lanes", [0, -1, {"b": 0}])
def test_refuses_no_lanes(lanes):
    wrong = lanes if isinstance(lanes, int) else 0
    name = "a" if isinstance(lanes, int) else "b"
    with pytest.raises(NetworkError, match=rf"^Lanes of {name} must be at least 1, not {wrong}$"):
        plan_network(network(), lanes=lanes)


def test_refuses_lanes_of_an_unknown_population():
    with pytest.raises(NetworkError, match=r"^Lanes must name one of a, b, not 'c'$"):
        plan_network(network(), lanes={"c": 4})
