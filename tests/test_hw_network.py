# amaranth: UnusedElaboratable=no
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import Rig, assert_answers, assert_traces
from streams import simulate
from whole import Draws, random_inputs, random_network

from hw.design import generate
from hw.network import NetworkCore
from quant.ir import RESETS, Connection, Decay, Input, Network, Population, Readout
from sim import golden

RECORD = ("spikes", "membranes", "currents")


def check(network, inputs, *, lanes=None, made=None, early_stop=True, cycles=60_000, **fields):
    """The hardware gives every spike, membrane, current, score and answer of the golden model."""
    result = golden.run(network, inputs, record=RECORD)
    design = generate(network, **(made or {"lanes": lanes}), early_stop=early_stop)
    rig = Rig(design=design, inputs=inputs, **fields).run(cycles)
    assert_answers(rig, result)
    assert_traces(rig, result)
    return rig


def chain(*weights, steps=8, readout="count", port=None, **fields):
    """Layers with the given weights, of memoryless thresholds 1 unless ``fields`` say otherwise."""
    names = [f"p{number}" for number in range(len(weights))]
    fields = {"threshold": 1, "state_min": -8, "state_max": 7, **fields}
    return Network(
        name="chain",
        steps=steps,
        input=port or Input(shape=(weights[0].shape[1],)),
        populations=tuple(
            Population(name=name, shape=(len(matrix),), **fields) for name, matrix in zip(names, weights, strict=True)
        ),
        connections=tuple(
            Connection(source=source, target=target, kind="dense", weights=matrix, weight_bits=4)
            for source, target, matrix in zip(["input", *names], names, weights, strict=False)
        ),
        readout=Readout(population=names[-1], kind=readout),
    )


@st.composite
def cases(draw):
    """A network drawn from the whole contract, samples for it, and how it is made and run."""
    draws = Draws(draw)
    network = random_network(draws, steps=4, neurons=12)
    return {
        "network": network,
        "inputs": random_inputs(draws, network, draw(st.integers(1, 3))),
        "made": {
            "lanes": draw(st.integers(1, 8)),
            "units": draw(st.sampled_from([16, 2, 1])),
            "overlap": draw(st.booleans()),
            "skips": draw(st.booleans()),
        },
        "early_stop": draw(st.booleans()),
        "stall": draw(st.sampled_from([0.0, 0.4, 0.7])),
        "seed": draw(st.integers(0, 9)),
    }


@given(cases())
@settings(deadline=None, max_examples=15)
def test_random_networks_are_golden_under_stalls_of_every_stream(case):
    check(**case)


@pytest.mark.slow
@given(cases())
@settings(deadline=None, max_examples=200)
def test_many_random_networks_are_golden_under_stalls_of_every_stream(case):
    check(**case)


def small_network(seed, *, most=20, holds=lambda network: True):
    """The first random network from a seed on that has few neurons and what is asked for; its generator."""
    while True:
        rng = np.random.default_rng(seed)
        network = random_network(rng, steps=5, neurons=12)
        if sum(population.size for population in network.populations) <= most and holds(network):
            return network, rng
        seed += 1000


@pytest.mark.parametrize("kind", ["events", "current", "rate", "latency"])
def test_random_networks_of_every_input_are_golden(kind):
    network, rng = small_network(1, holds=lambda network: network.input.kind == kind and network.steps > 2)
    check(network, random_inputs(rng, network, 3), lanes=2, stall=0.3)


@pytest.mark.parametrize("kind", ["count", "first_spike", "membrane", "linear"])
def test_random_networks_of_every_readout_are_golden_at_full_speed(kind):
    network, rng = small_network(2, holds=lambda network: network.readout.kind == kind and network.steps > 2)
    check(network, random_inputs(rng, network, 3), lanes=3)


@pytest.mark.parametrize(("kind", "stall"), [("events", 0.5), ("current", 0.0), ("rate", 0.5), ("latency", 0.0)])
def test_a_reset_in_the_middle_of_a_sample_leaves_nothing_behind(kind, stall):
    """With delayed connections too: what they hold is gone."""

    def holds(network):
        delays = {connection.delay for connection in network.connections}
        return network.input.kind == kind and network.steps > 2 and delays == {0, 1}

    network, rng = small_network(3 + int(10 * stall), holds=holds)
    inputs = random_inputs(rng, network, 5)
    inputs[0] = inputs[1]
    resets = {number: int(rng.integers(1, 120)) for number in (0, 1, 3)}
    design = generate(network, lanes=int(rng.integers(1, 8)))
    rig = Rig(design=design, inputs=inputs, stall=stall, alone=True, resets=resets).run()
    kept = [number for number in range(len(inputs)) if number not in resets]
    assert_answers(rig, golden.run(network, inputs[kept]))
    last = golden.run(network, inputs[max(resets) + 1 :], record=RECORD)
    assert_traces(rig, last)


def loop(*, steps=6, port=None, readout=None, **fields):
    """A population that hears the input, itself one step later, and one behind it, one step later."""
    rng = np.random.default_rng(1)
    fields = {"threshold": 4, "state_min": -20, "state_max": 20, "decay": Decay(numerator=3, shift=2), **fields}

    def dense(source, target, delay=0):
        sizes = {"input": 5, "a": 6, "b": 4}
        weights = rng.integers(-3, 6, (sizes[target], sizes[source]))
        return Connection(source=source, target=target, kind="dense", weights=weights, weight_bits=4, delay=delay)

    return Network(
        name="loop",
        steps=steps,
        input=port or Input(shape=(5,)),
        populations=(Population(name="a", shape=(6,), **fields), Population(name="b", shape=(4,), **fields)),
        connections=(dense("input", "a"), dense("a", "a", 1), dense("b", "a", 1), dense("a", "b")),
        readout=readout or Readout(population="b"),
    )


@pytest.mark.parametrize(("stall", "ternary"), [(0.0, False), (0.6, True)])
def test_recurrence_and_feedback_do_not_block(stall, ternary):
    """Everybody fires in every step: the delays fill up."""
    network = loop(threshold=1, bias=2, reset="none", ternary=ternary)
    rng = np.random.default_rng(0)
    check(network, rng.integers(0, 2, (4, 6, 5)), lanes=2, stall=stall)


def test_a_core_may_hear_nothing_but_the_step_before():
    """The input itself a step later, and a population that only its own spikes drive."""
    network = loop()
    connections = (
        replace(network.connections[0], delay=1),
        *network.connections[1:3],
        replace(network.connections[3], delay=1),
    )
    network = replace(network, connections=connections)
    check(network, np.random.default_rng(1).integers(0, 2, (4, 6, 5)), stall=0.4)


def test_a_population_that_nobody_hears_goes_on():
    network = replace(loop(), readout=Readout(population="a"))
    connections = [connection for connection in network.connections if connection.source != "b"]
    check(replace(network, connections=tuple(connections)), np.random.default_rng(2).integers(0, 2, (3, 6, 5)))


@pytest.mark.parametrize("reset", RESETS)
def test_maps_through_convolution_pooling_and_readout(reset):
    """Scores of a map come in C order, though its neurons lie place by place."""
    kind = ("events", "current", "rate", "latency")[RESETS.index(reset)]
    rng, port = np.random.default_rng(3), Input(shape=(1, 4, 5), kind=kind, high=1 if kind == "events" else 3)
    fields = {"threshold": 3, "state_min": -20, "state_max": 20, "reset": reset}
    network = Network(
        name="maps",
        steps=3,
        input=port,
        populations=(Population(name="a", shape=(3, 4, 5), **fields), Population(name="b", shape=(2, 2, 2), **fields)),
        connections=(
            Connection(
                source="input",
                target="a",
                kind="conv2d",
                weights=rng.integers(-3, 4, (3, 1, 3, 3)),
                padding=1,
                weight_bits=3,
            ),
            Connection(
                source="a", target="b", kind="conv2d", weights=rng.integers(-3, 4, (2, 3, 1, 1)), pool=2, weight_bits=3
            ),
        ),
        readout=Readout(population="b"),
    )
    check(network, random_inputs(rng, network, 2), stall=0.2)


def test_a_sample_does_not_see_the_one_before():
    """Sums, membranes, latches and scores start anew; the samples follow without a gap."""
    network = chain(np.eye(3, dtype=int) * 2, np.eye(3, dtype=int), threshold=2, reset="latch", initial=1)
    one = np.zeros((8, 3), int)
    one[1:3, 1] = 1
    check(network, np.stack([one, one, 0 * one, 1 - one, one]))


@pytest.mark.parametrize("kind", ["events", "current", "rate", "latency"])
def test_early_stop_cuts_the_steps_after_the_decision(kind):
    port = Input(shape=(2,), kind=kind)
    network = chain(np.array([[4, -4]]), np.array([[1], [0]]), steps=40, readout="first_spike", port=port)
    early, never = np.array([1, 0]), np.array([0, 1])
    samples = np.stack([early, never, early, early])
    inputs = np.repeat(samples[:, np.newaxis], 40, axis=1) if kind == "events" else samples
    stopped = check(network, inputs)
    ends = [word.last for word in stopped.traces["p1"] if word.index]
    lengths = np.diff([-1, *np.flatnonzero(ends)])
    assert lengths[1] == 40, "a silent sample takes all steps"
    # The host's steps stop with the first cores; those made on chip are as far ahead as queues let them.
    assert (lengths[[0, 2, 3]] < (20 if kind in ("events", "current") else 35)).all(), "a decided sample is cut short"


def test_without_an_early_stop_every_step_is_seen():
    network = chain(np.array([[4, -4]]), np.array([[1], [0]]), steps=9, readout="first_spike")
    whole = check(network, np.ones((3, 9, 2), int) * [1, 0], early_stop=False)
    assert len(whole.traces["p1"]) == 2 * 9 * 3


def test_a_sample_that_is_stopped_does_not_stop_the_next():
    """Decisions of every delay, sample right behind sample, under different stalls."""
    rng = np.random.default_rng(0)
    network = chain(np.eye(4, dtype=int) * 3, rng.integers(0, 2, (4, 4)), steps=12, readout="first_spike", threshold=3)
    inputs = np.zeros((16, 12, 4), int)
    for sample, when in zip(inputs, rng.integers(0, 13, 16), strict=True):
        sample[when:] = rng.random((12 - when, 4)) < 0.7
    for stall in (0.0, 0.6):
        check(network, inputs, lanes=2, stall=stall, seed=int(10 * stall))


@pytest.mark.parametrize("stall", [0.0, 0.6])
def test_a_sample_that_is_stopped_leaves_no_spikes_in_a_loop(stall):
    """What was sent in the step that became the last is not heard in the next sample."""
    network = loop(steps=9, readout=Readout(population="b", kind="first_spike"))
    rng = np.random.default_rng(4)
    inputs = rng.integers(0, 2, (8, 9, 5)) * (rng.random((8, 1, 1)) < 0.7)
    check(network, inputs, lanes=2, stall=stall)


@pytest.mark.parametrize(
    ("kind", "early_stop"), [("events", True), ("current", False), ("rate", True), ("latency", True)]
)
def test_many_samples_are_in_flight_at_once(kind, early_stop):
    """One step a sample, no events: the queues fill up with samples while the readout answers."""
    port, one = Input(shape=(2,), kind=kind), np.eye(2, dtype=int)
    network = chain(one, one, steps=1, readout="first_spike", port=port)
    inputs = np.zeros((80, 2), int)
    inputs[::7, 1] = 1
    check(network, inputs[:, np.newaxis] if kind == "events" else inputs, early_stop=early_stop, stall=0.4)


@pytest.mark.parametrize("readout", ["count", "first_spike"])
def test_the_smallest_network(readout):
    network = chain(np.array([[1]]), steps=1, readout=readout, state_min=0, state_max=0)
    rig = check(network, np.array([[[0]], [[1]], [[1]], [[0]]]))
    assert rig.answers == ([[0, 0], [1, 0], [1, 0], [0, 0]] if readout == "count" else [[1, 0], [0, 0], [0, 0], [1, 0]])


@pytest.mark.parametrize("reset", RESETS)
def test_events_shorter_than_the_steps_are_a_sample_too(reset):
    network = chain(np.array([[3, 1], [1, 2]]), threshold=3, reset=reset, readout="first_spike")
    rng = np.random.default_rng(2)
    for length in (1, 5):
        check(network, rng.integers(0, 2, (4, length, 2)))


def test_events_of_no_neuron_change_nothing():
    network = chain(np.full((2, 3), 1), threshold=2)
    dut = NetworkCore(generate(network).plan)
    words = []

    async def bench(ctx):
        for address, tick, last in ((0, 0, 0), (3, 0, 0), (3, 0, 1), (3, 1, 0), (2, 0, 0), (1, 0, 0), (0, 1, 1)):
            ctx.set(dut.i.payload, {"address": address, "value": 1, "tick": tick, "last": last})
            ctx.set(dut.i.valid, 1)
            ready = 0
            while not ready:
                *_, ready = await ctx.tick().sample(dut.i.ready)
        ctx.set(dut.i.valid, 0)
        ctx.set(dut.o.ready, 1)
        while len(words) < 3:
            *_, valid, payload = await ctx.tick().sample(dut.o.valid, dut.o.payload)
            if valid:
                words.append(payload.data)

    simulate(dut, bench, progress=lambda: {"words": len(words)})
    assert words == [1, 1, 0]


def test_fired_counts_the_spikes_of_every_population():
    rng = np.random.default_rng(4)
    network = chain(rng.integers(-2, 4, (6, 5)), rng.integers(-2, 4, (4, 6)), threshold=3)
    inputs = random_inputs(rng, network, 3)
    result = golden.run(network, inputs)
    assert counted(network, inputs) == [result.totals["p0"].sum(), result.totals["p1"].sum()]
    assert result.totals["p1"].any()


def counted(network, inputs):
    """Cycles in which each population fired."""
    rig = Rig(design=generate(network, lanes=2), inputs=inputs, stall=0.3)
    totals = [0] * len(network.order)

    async def count(ctx):
        while True:
            *_, fired = await ctx.tick().sample(rig.dut.fired)
            totals[:] = [total + (fired >> number & 1) for number, total in enumerate(totals)]

    rig.background = [count]
    rig.run()
    return totals


def test_membranes_that_are_shown_are_not_counted():
    network = loop()
    shown = replace(network.populations[1], threshold=None, reset="none")
    connections = tuple(connection for connection in network.connections if connection.source != "b")
    network = replace(
        network,
        populations=(network.populations[0], shown),
        connections=connections,
        readout=Readout(population="b", kind="membrane"),
    )
    inputs = np.random.default_rng(3).integers(0, 2, (2, 6, 5))
    assert counted(network, inputs) == [golden.run(network, inputs).totals["a"].sum(), 0]


def test_membranes_of_0_and_1_are_not_spikes():
    """Their range is that of spikes, whose value is not sent."""
    population = Population(name="p", shape=(3,), threshold=None, reset="none", state_min=0, state_max=0)
    weights = Connection(source="input", target="p", kind="dense", weights=np.array([[0], [1], [0]]), weight_bits=2)
    network = Network(
        name="shown",
        steps=2,
        input=Input(shape=(1,)),
        populations=(population,),
        connections=(weights,),
        readout=Readout(population="p", kind="membrane", reduce="sum"),
    )
    check(network, np.ones((1, 2, 1), int))
    assert golden.run(network, np.ones((1, 2, 1), int)).scores.tolist() == [[0, 2, 0]]
