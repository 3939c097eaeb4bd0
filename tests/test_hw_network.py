import numpy as np
import pytest
from networks import random_inputs, random_network
from runs import Rig, assert_answers, assert_traces
from streams import simulate

from hw.design import generate
from hw.network import NetworkCore
from quant.ir import RESETS, Connection, Input, Network, Population, Readout
from sim import golden

RECORD = ("spikes", "membranes")


def check(network, inputs, *, lanes=None, early_stop=True, **fields):
    """The hardware gives every spike, membrane, score and answer of the golden model."""
    result = golden.run(network, inputs, record=RECORD)
    rig = Rig(design=generate(network, lanes=lanes, early_stop=early_stop), inputs=inputs, **fields).run()
    assert_answers(rig, result)
    assert_traces(rig, result)
    return rig


def chain(*weights, steps=8, readout="count", **fields):
    """Layers with the given weights, of memoryless thresholds 1 unless ``fields`` say otherwise."""
    names = [f"p{number}" for number in range(len(weights))]
    fields = {"threshold": 1, "state_min": -8, "state_max": 7, **fields}
    return Network(
        name="chain",
        steps=steps,
        input=Input(shape=(weights[0].shape[1],)),
        populations=tuple(
            Population(name=name, shape=(len(matrix),), **fields) for name, matrix in zip(names, weights, strict=True)
        ),
        connections=tuple(
            Connection(source=source, target=target, kind="dense", weights=matrix, weight_bits=4)
            for source, target, matrix in zip(["input", *names], names, weights, strict=False)
        ),
        readout=Readout(population=names[-1], kind=readout),
    )


@pytest.mark.parametrize("seed", range(20))
def test_random_networks_are_golden_at_full_speed(seed):
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    inputs = random_inputs(network, rng, 5)
    for lanes in (None, int(rng.integers(1, 8))):
        check(network, inputs, lanes=lanes, early_stop=bool(seed % 4))


@pytest.mark.parametrize("seed", range(100, 120))
def test_random_networks_are_golden_under_stalls_of_every_stream(seed):
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    inputs = random_inputs(network, rng, 4)
    check(network, inputs, lanes=int(rng.integers(1, 20)), stall=float(rng.choice([0.2, 0.5, 0.8])), seed=seed)


@pytest.mark.parametrize(
    ("lanes", "rows", "units"),
    [(1, 45, 1), (7, 6, 4), (16, 3, 8), (45, 1, 8)],
)
@pytest.mark.parametrize("reset", RESETS)
def test_rows_and_banks_of_a_wide_layer(reset, lanes, rows, units):
    rng = np.random.default_rng(lanes)
    network = random_network(rng, layers=1, kind="events", resets=(reset,), steps=5)
    population = network.populations[0]
    fields = {name: getattr(population, name) for name in ("state_min", "state_max", "decay", "rectify")}
    weights = rng.integers(-8, 8, (45, network.input.size))
    each = {"threshold": rng.integers(1, 20, 45), "bias": rng.integers(-3, 4, 45), "initial": population.state_max}
    fields["decay"] = type(population.decay)(numerator=7, shift=3)
    wide = Network(
        name="wide",
        steps=5,
        input=network.input,
        populations=(Population(name="wide", shape=(45,), reset=reset, **{**fields, **each}),),
        connections=(Connection(source="input", target="wide", kind="dense", weights=weights, weight_bits=4),),
        readout=Readout(population="wide"),
    )
    rig = check(wide, random_inputs(wide, rng, 3), lanes=lanes)
    (core,) = rig.design.cores
    assert (core.rows, core.units) == (rows, units)


@pytest.mark.parametrize("stall", [0.0, 0.5])
@pytest.mark.parametrize("kind", ["events", "current"])
def test_a_reset_in_the_middle_of_a_sample_leaves_nothing_behind(kind, stall):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        network = random_network(rng, layers=2, kind=kind, steps=5, most_neurons=12)
        inputs = random_inputs(network, rng, 13)
        inputs[0] = inputs[1]
        resets = {number: int(rng.integers(1, 120)) for number in range(0, 12, 2)}
        design = generate(network, lanes=int(rng.integers(1, 8)))
        rig = Rig(design=design, inputs=inputs, stall=stall, seed=seed, alone=True, resets=resets).run()
        kept = [number for number in range(len(inputs)) if number not in resets]
        assert_answers(rig, golden.run(network, inputs[kept]))
        last = golden.run(network, inputs[max(resets) + 1 :], record=RECORD)
        assert_traces(rig, last)


def test_a_sample_does_not_see_the_one_before():
    """Sums, membranes, latches and scores start anew; the samples follow without a gap."""
    network = chain(np.eye(3, dtype=int) * 2, np.eye(3, dtype=int), threshold=2, reset="latch", initial=1)
    one = np.zeros((8, 3), int)
    one[1:3, 1] = 1
    check(network, np.stack([one, one, 0 * one, 1 - one, one]))


@pytest.mark.parametrize("kind", ["events", "current"])
def test_early_stop_cuts_the_steps_after_the_decision(kind):
    network = chain(np.array([[4, -4]]), np.array([[1], [0]]), steps=30, readout="first_spike")
    network = Network(
        name="chain",
        steps=30,
        input=Input(shape=(2,), kind=kind),
        populations=network.populations,
        connections=network.connections,
        readout=network.readout,
    )
    early, never = np.array([1, 0]), np.array([0, 1])
    samples = np.stack([early, never, early, early, never, early])
    inputs = samples if kind == "current" else np.repeat(samples[:, np.newaxis], 30, axis=1)
    stopped = check(network, inputs)
    whole = check(network, inputs, early_stop=False)
    ends = [word.last for word in stopped.traces["p1"] if word.index]
    lengths = np.diff([-1, *np.flatnonzero(ends)])
    assert (lengths[[1, 4]] == 30).all(), "a silent sample takes all steps"
    assert (lengths[[0, 2, 3, 5]] < 15).all(), "a decided sample is cut short"
    assert len(whole.traces["p1"]) == 2 * 30 * 6


def test_a_sample_that_is_stopped_does_not_stop_the_next():
    """Decisions of every delay, sample right behind sample, under different stalls."""
    rng = np.random.default_rng(0)
    network = chain(np.eye(4, dtype=int) * 3, rng.integers(0, 2, (4, 4)), steps=12, readout="first_spike", threshold=3)
    inputs = np.zeros((16, 12, 4), int)
    for sample, when in zip(inputs, rng.integers(0, 13, 16), strict=True):
        sample[when:] = rng.random((12 - when, 4)) < 0.7
    for stall in (0.0, 0.3, 0.7):
        check(network, inputs, lanes=2, stall=stall, seed=int(10 * stall))


@pytest.mark.parametrize("early_stop", [False, True])
@pytest.mark.parametrize("kind", ["events", "current"])
def test_many_samples_are_in_flight_at_once(kind, early_stop):
    """One step a sample, no events: the queues fill up with samples while the readout answers."""
    network = chain(np.eye(2, dtype=int), np.eye(2, dtype=int), np.eye(2, dtype=int), steps=1, readout="first_spike")
    network = Network(
        name="short",
        steps=1,
        input=Input(shape=(2,), kind=kind),
        populations=network.populations,
        connections=network.connections,
        readout=network.readout,
    )
    inputs = np.zeros((150, 2), int)
    inputs[::7, 1] = 1
    check(network, inputs if kind == "current" else inputs[:, np.newaxis], early_stop=early_stop, stall=0.4)


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


def test_fired_counts_the_events_of_every_population():
    rng = np.random.default_rng(4)
    network = chain(rng.integers(-2, 4, (6, 5)), rng.integers(-2, 4, (4, 6)), threshold=3)
    inputs = random_inputs(network, rng, 3)
    rig = Rig(design=generate(network, lanes=2), inputs=inputs, stall=0.3)
    totals = np.zeros(2, int)

    async def count(ctx):
        while True:
            *_, fired = await ctx.tick().sample(rig.dut.fired)
            totals[:] += [fired & 1, fired >> 1]

    rig.background = [count]
    rig.run()
    result = golden.run(network, inputs)
    assert totals.tolist() == [result.totals["p0"].sum(), result.totals["p1"].sum()]
    assert totals.all()
