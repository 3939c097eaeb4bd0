from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from runs import Rig, assert_answers, assert_traces
from test_hw_network import cases, loop, small_network
from whole import random_inputs

from hw.cycles import predict_cycles
from hw.design import generate
from quant.errors import NetworkError
from quant.ir import Connection, Input, Network, Population, Readout
from sim import golden


def check(network, inputs, *, lanes=None, made=None, early_stop=True, **_):
    """Predicted cycles are those of the simulated hardware, sample by sample."""
    design = generate(network, **(made or {"lanes": lanes}), early_stop=early_stop)
    result = golden.run(network, inputs, record=("spikes", "membranes", "currents"))
    rig = Rig(design=design, inputs=inputs, alone=True).run(60_000)
    assert_answers(rig, result)
    assert_traces(rig, result)
    assert design.predict(result, inputs).tolist() == rig.cycles
    return rig.cycles


@given(cases())
@settings(deadline=None, max_examples=12)
def test_predicts_the_cycles_of_random_networks(case):
    check(**case)


@pytest.mark.slow
@given(cases())
@settings(deadline=None, max_examples=200)
def test_predicts_the_cycles_of_many_random_networks(case):
    check(**case)


@pytest.mark.parametrize("kind", ["events", "current", "rate", "latency"])
def test_predicts_the_cycles_of_random_networks_of_every_input(kind):
    network, rng = small_network(5, holds=lambda network: network.input.kind == kind and network.steps > 2)
    check(network, random_inputs(rng, network, 3), lanes=2)


@pytest.mark.parametrize("kind", ["membrane", "linear"])
def test_predicts_the_cycles_of_readouts_that_show(kind):
    network, rng = small_network(6, holds=lambda network: network.readout.kind == kind and network.steps > 2)
    check(network, random_inputs(rng, network, 3))


@pytest.mark.parametrize(("kind", "lanes"), [("events", 3), ("current", None), ("rate", 1), ("latency", 3)])
def test_predicts_the_cycles_of_early_stops(kind, lanes):
    high = 1 if kind == "events" else 7
    network = loop(
        # Steps of a code on chip are short here: the encoder is some of them ahead of the decision.
        steps=20 if kind in ("rate", "latency") else 9,
        port=Input(shape=(5,), kind=kind, high=high),
        readout=Readout(population="b", kind="first_spike"),
        threshold=2 if kind in ("rate", "latency") else 8,
    )
    inputs = random_inputs(np.random.default_rng(7), network, 6)
    stopped, whole = (check(network, inputs, lanes=lanes, early_stop=early_stop) for early_stop in (True, False))
    assert sum(stopped) < sum(whole)


def test_predicts_the_cycles_of_delays_that_fill_up():
    network = loop(threshold=1, bias=3, reset="none")
    check(network, np.ones((2, 6, 5), int), lanes={"a": 1, "b": 1})
    connections = tuple(replace(connection, delay=1) for connection in network.connections)
    check(replace(network, connections=connections), np.ones((1, 6, 5), int), lanes=1)


def layers(*sizes, steps=3, weight=1, threshold=1):
    """Layers in which every neuron hears every neuron of the one before."""
    names = ["input", *(f"p{number}" for number in range(len(sizes) - 1))]
    return Network(
        name="counted",
        steps=steps,
        input=Input(shape=(sizes[0],)),
        populations=tuple(
            Population(name=name, shape=(size,), threshold=threshold, state_min=-8, state_max=7)
            for name, size in zip(names[1:], sizes[1:], strict=True)
        ),
        connections=tuple(
            Connection(
                source=source,
                target=target,
                kind="dense",
                weights=np.full((targets, sources), weight),
                weight_bits=3,
            )
            for source, target, sources, targets in zip(names[:-1], names[1:], sizes[:-1], sizes[1:], strict=True)
        ),
        readout=Readout(population=names[-1]),
    )


def test_predicts_the_cycles_of_a_full_queue():
    """Every neuron fires into a layer of many rows: sweeps wait for places in the queue of spikes."""
    network = layers(2, 40, 30, steps=4)
    inputs = np.ones((2, 4, 2), int)
    inputs[1, 2:] = 0
    slow = check(network, inputs, lanes={"p0": 40, "p1": 2})
    assert slow[0] > 4 * 40 * 15, "the second layer takes 15 cycles for each of 40 events"


def test_predicts_the_cycles_of_samples_shorter_than_the_steps():
    network = layers(3, 5, steps=6)
    check(network, np.ones((2, 2, 3), int), lanes=2)


def test_an_event_costs_its_rows_and_a_step_its_sweep():
    """A layer of 32 neurons on 4 lanes and 4 units: 8 cycles an event, 8 a sweep, and nothing beside."""
    network = layers(10, 32, steps=6, weight=-1)
    inputs = np.zeros((3, 6, 10), int)
    inputs[1, 2, :4] = 1
    inputs[2] = 1
    silent, some, full = check(network, inputs, lanes=4)
    assert some - silent == 4 * 8
    assert full - silent == 60 * 8
    (core,) = generate(network, lanes=4).cores
    assert (core.rows, core.sweeps, core.cooldown) == (8, 8, 0)
    single = check(layers(10, 32, steps=1, weight=-1), inputs[:1, :1], lanes=4)
    assert silent - single[0] == 5 * 8


def test_a_step_of_sums_set_aside_costs_its_rows_and_a_tick_or_the_sweep_before():
    """32 neurons on 32 lanes, 8 words a sweep: 10 events and a tick are longer, 4 and a tick are not."""
    network = layers(10, 32, steps=6, weight=-1)
    inputs = np.zeros((3, 6, 10), int)
    inputs[1, :, :4] = 1
    inputs[2] = 1
    silent, some, full = check(network, inputs, lanes=32)
    (core,) = generate(network, lanes=32).cores
    assert (core.aside, core.rows, core.sweeps, core.cooldown) == (True, 1, 8, 0)
    # Of the first step no sweep is before: its events are all there is.
    assert some - silent == 4
    assert full - silent == 10 + 5 * (11 - 8)


@pytest.mark.parametrize("stride", [1, 2])
def test_an_event_of_a_map_costs_the_places_that_it_reaches(stride):
    """Of a kernel of 3 x 3 at most 9 places, one row each; with a stride of 2 between 1 and 4."""
    fields = {"stride": stride, "padding": 1, "weight_bits": 2}
    weights = np.full((4, 1, 3, 3), -1)
    shape = Connection(source="input", target="a", kind="conv2d", weights=weights, **fields).target_shape((1, 6, 6))
    network = Network(
        name="map",
        steps=1,
        input=Input(shape=(1, 6, 6)),
        populations=(Population(name="a", shape=shape, threshold=9, state_min=-9, state_max=9),),
        connections=(Connection(source="input", target="a", kind="conv2d", weights=weights, **fields),),
        readout=Readout(population="a"),
    )
    inputs = np.zeros((2, 1, 36), int)
    inputs[1] = 1
    silent, full = check(network, inputs, lanes=4)
    # Along an axis: 2 + 4 * 3 + 2 places, or with the stride 1 + 2 + 1 + 2 + 1 + 1.
    assert full - silent == (16 if stride == 1 else 8) ** 2


def test_refuses_a_result_without_spikes():
    network = layers(2, 3)
    inputs = np.ones((1, 3, 2), int)
    with pytest.raises(NetworkError, match=r"^Spikes of population p0 must be recorded to predict cycles$"):
        predict_cycles(generate(network).plan, inputs, golden.run(network, inputs).spikes)
