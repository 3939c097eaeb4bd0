# amaranth: UnusedElaboratable=no
from math import prod

import numpy as np
import pytest
from streams import Sink, Source, simulate
from test_hw_neuron import Case, equation

from hw.core import Core
from hw.layout import BeatLayout, Fields
from hw.plan import BINARY, plan_network
from quant.ir import Connection, Decay, Input, Network, Population, Readout
from quant.ops import apply

NAMES = ("address", "value", "tick", "last")
TICK, LAST = (0, 0, 1, 0), (0, 0, 1, 1)


def population(name, shape, **fields):
    fields = {"threshold": 6, "state_min": -20, "state_max": 20, "decay": Decay(numerator=3, shift=2), **fields}
    return Population(name=name, shape=shape, **fields)


def dense(source, target, *, seed=0, bits=4, delay=0):
    """Random weights between two populations or, of the input, its ``(name, size)``."""
    weights = np.random.default_rng(seed).integers(-(1 << bits - 1), 1 << bits - 1, (target[1], source[1]))
    return Connection(source=source[0], target=target[0], kind="dense", weights=weights, weight_bits=bits, delay=delay)


def core_of(populations, connections, port, *, name="a", lanes=None, readout=None, steps=4, overlap=True):
    network = Network(
        name="core",
        steps=steps,
        input=port,
        populations=populations,
        connections=connections,
        readout=readout or Readout(population="a"),
    )
    return next(core for core in plan_network(network, lanes=lanes, overlap=overlap).cores if core.name == name)


def plan(neurons=9, inputs=5, *, lanes=None, kind="events", low=0, high=1, bits=4, overlap=True, **fields):
    """A core of one dense connection from the input."""
    port = Input(shape=(inputs,), kind=kind, low=low, high=high)
    connection = dense(("input", inputs), ("a", neurons), bits=bits)
    return core_of((population("a", (neurons,), **fields),), (connection,), port, lanes=lanes, overlap=overlap)


def expected(core, samples):
    """Beats that a core sends for samples, each the values of every port by step: the equation, neuron by neuron."""
    neurons, sent = core.population, []
    order = [int(number) for number in core.word_tiling.neurons.ravel() if number >= 0]
    addresses = Fields(core.shape).encode(np.arange(neurons.size))
    initial = [int(value) for value in neurons.per_neuron(neurons.initial)]
    for sample in samples:
        drives = sum(
            apply(port.connection, port.geometry.source, values)
            for port, values in zip(core.ports, sample, strict=True)
        )
        if core.at_end:
            drives = drives.sum(axis=0, keepdims=True)
        states, currents, latches = initial, [0] * neurons.size, [0] * neurons.size
        for step, drive in enumerate(drives):
            last = int(step == len(drives) - 1)
            cases = [
                Case(neuron=n, state=states[n], current=currents[n], drive=int(drive[n]), latched=latches[n])
                for n in range(neurons.size)
            ]
            found = [equation(neurons, case, shows=core.shows) for case in cases]
            states, currents, latches = ([getattr(f, name) for f in found] for name in ("state", "current", "latched"))
            sent += [(int(addresses[n]), found[n].value, 0, last) for n in order if found[n].fired]
            sent.append((0, 0, 1, last))
    return sent


def beats(port, samples, *, seed=1):
    """Events of every step in any order, then ticks; of a port that is held, those of the first step alone."""
    rng, sent = np.random.default_rng(seed), []
    addresses = Fields(port.geometry.source).encode(np.arange(prod(port.geometry.source)))
    for sample in samples:
        for step, values in enumerate(sample):
            last = int(step == len(sample) - 1)
            heard = values if step == 0 or not port.held else 0 * values
            sent += [
                (int(addresses[neuron]), int(values[neuron]), 0, 0) for neuron in rng.permutation(np.flatnonzero(heard))
            ]
            # Of the step before, nobody knows which is the last.
            sent.append((0, 0, 1, int(rng.integers(2)) if port.delayed else last))
    return sent


def payloads(sequence):
    return [dict(zip(NAMES, beat, strict=True)) for beat in sequence]


def known(received):
    """Beats without what means nothing: address and value of a tick."""
    return [(0, 0, *beat[2:]) if beat[2] else beat for beat in received]


def run(core, sequences, count, *, stall=0.0, pace=None, cycles=20_000):
    """What a core sends for a sequence of beats into every port, and in which cycles."""
    dut = Core(core, pace=None if pace is None else pace[0])
    ports = [getattr(dut, f"i{index}") for index in range(len(core.ports))]
    stalls = [stall * 1.5 / (1 + index) for index in range(len(ports) + 1)]
    sequences = list(sequences)
    if pace is not None:
        ports.append(dut.pace)
        sequences.append(pace[1])
    sources = [
        Source(port=port, payloads=payloads(sequence), stall=stalls[index], seed=index)
        for index, (port, sequence) in enumerate(zip(ports, sequences, strict=True))
    ]
    sink = Sink(port=dut.o, count=count, stall=stall, seed=9, quiet=40)
    simulate(
        dut,
        *[source.run for source in sources],
        sink.run,
        progress=lambda: {"beats": [source.sent for source in sources], "events": len(sink.received)},
        cycles=cycles,
    )
    return known(sink.received), sink.cycles


def check(core, samples, *, stall=0.0, pace=None):
    """The core sends what the equation says."""
    sent = expected(core, samples)
    by_port = [[sample[index] for sample in samples] for index in range(len(core.ports))]
    sequences = [beats(port, values) for port, values in zip(core.ports, by_port, strict=True)]
    received, _ = run(core, sequences, len(sent), stall=stall, pace=pace)
    assert received == sent
    return sent


def random_samples(rng, core, *, count=3, steps=4):
    """Values of every port, by step; the same in every step of a port that is held, none in the first of a delayed."""
    samples = []
    for _ in range(count):
        sample = []
        for port in core.ports:
            values = rng.integers(port.values.low, port.values.high + 1, (steps, prod(port.geometry.source)))
            values *= rng.random(values.shape) < rng.random((steps, 1))
            if port.held:
                values[:] = values[0]
            if port.delayed:
                values[0] = 0
            sample.append(values)
        samples.append(sample)
    return samples


@pytest.mark.parametrize(
    ("neurons", "lanes", "low", "high", "stall"),
    [(1, 1, 0, 1, 0.0), (9, 1, -1, 1, 0.5), (9, 4, -3, 2, 0.0), (9, 9, 0, 9, 0.5), (20, 7, -1, 1, 0.0)],
)
def test_events_and_ticks_become_events_and_ticks(neurons, lanes, low, high, stall):
    core = plan(neurons, lanes=lanes, low=low, high=high)
    check(core, random_samples(np.random.default_rng(neurons + lanes), core), stall=stall)


@pytest.mark.parametrize("bits", [1, 2, 16])
def test_weights_of_every_width(bits):
    core = plan(bits=bits, low=-2, high=3, threshold=1 << bits, state_min=-(1 << 20), state_max=1 << 20)
    check(core, random_samples(np.random.default_rng(bits), core))


def test_an_event_of_value_0_adds_nothing():
    core = plan(low=0, high=3)
    sample = np.array([[0, 2, 0, 0, 1], [0, 0, 3, 0, 0]])
    sequence = [(1, 2, 0, 0), (0, 0, 0, 0), (4, 1, 0, 0), TICK, (2, 3, 0, 0), (3, 0, 0, 0), LAST]
    sent = expected(core, [[sample]])
    received, _ = run(core, [sequence], len(sent))
    assert received == sent


def two_ports(*, kind="events", high=1, delay=0, neurons=9, lanes=None, recurrent=False, overlap=True, **fields):
    """A core that hears the input, a population of four and, perhaps, itself, one step later."""
    x, a = population("x", (4,)), population("a", (neurons,), **fields)
    port = Input(shape=(5,), kind=kind, high=high)
    sources = [("input", 5), ("x", 4)] + [("a", neurons)] * recurrent
    into = [
        dense(source, ("a", neurons), seed=number, delay=max(delay * (source[0] == "x"), int(source[0] == "a")))
        for number, source in enumerate(sources)
    ]
    return core_of((x, a), (dense(("input", 5), ("x", 4)), *into), port, lanes=lanes, overlap=overlap)


@pytest.mark.parametrize(("lanes", "high", "stall"), [(1, 1, 0.0), (3, 1, 0.6), (9, 1, 0.6), (3, 6, 0.0), (9, 6, 0.6)])
def test_a_step_is_over_when_all_ports_are_at_their_tick(high, lanes, stall):
    core = two_ports(high=high, lanes=lanes)
    assert [port.multiplies for port in core.ports] == [high > 1, False]
    check(core, random_samples(np.random.default_rng(lanes), core), stall=stall)


def test_the_end_of_a_sample_is_told_by_a_port_that_is_not_delayed():
    """Wherever it stands among those that are."""
    core = two_ports(delay=1, recurrent=True, lanes=4)
    assert [port.delayed for port in core.ports] == [False, True, True]
    check(core, random_samples(np.random.default_rng(2), core), stall=0.6)
    x, a = population("x", (4,)), population("a", (6,))
    into = (dense(("x", 4), ("a", 6), delay=1), dense(("input", 5), ("a", 6)))
    core = core_of((x, a), (dense(("input", 5), ("x", 4)), *into), Input(shape=(5,)))
    assert [port.delayed for port in core.ports] == [True, False]
    check(core, random_samples(np.random.default_rng(3), core), stall=0.6)


@pytest.mark.parametrize(("lanes", "stall"), [(1, 0.0), (4, 0.5), (9, 0.0)])
def test_a_sample_that_comes_once_is_seen_in_every_step(lanes, stall):
    core = plan(lanes=lanes, kind="current", high=20)
    assert core.ports[0].held
    check(core, random_samples(np.random.default_rng(lanes), core, steps=5), stall=stall)


@pytest.mark.parametrize(("lanes", "stall"), [(2, 0.0), (9, 0.5)])
def test_sums_that_are_held_stand_beside_those_of_a_step(lanes, stall):
    core = two_ports(kind="current", high=5, lanes=lanes, recurrent=True)
    assert [port.held for port in core.ports] == [True, False, False]
    check(core, random_samples(np.random.default_rng(lanes), core), stall=stall)


def test_two_ports_that_are_held_share_their_sums():
    a = population("a", (6,))
    into = (dense(("input", 5), ("a", 6)), dense(("input", 5), ("a", 6), seed=7))
    core = core_of((a,), into, Input(shape=(5,), kind="current", low=-3, high=3), lanes=3)
    samples = random_samples(np.random.default_rng(5), core)
    for sample in samples:
        sample[1] = sample[0]
    check(core, samples)


MAP = (3, 2, 3)


@pytest.mark.parametrize(("lanes", "stall"), [(2, 0.5), (3, 0.0)])
def test_connections_of_every_kind_meet_in_a_map(lanes, stall):
    """A core of a map with ternary neurons of second order."""
    rng = np.random.default_rng(8)
    into = (
        Connection(
            source="input",
            target="a",
            kind="conv2d",
            weights=rng.integers(-8, 8, (3, 2, 2, 3)),
            stride=(2, 1),
            padding=(0, 1),
            weight_bits=4,
        ),
        Connection(source="x", target="a", kind="identity", weights=rng.integers(-8, 8, MAP), weight_bits=6),
        Connection(source="x", target="a", kind="max_pool", weights=7, kernel=3, stride=1, padding=1, weight_bits=5),
        Connection(
            source="x", target="a", kind="conv2d", weights=rng.integers(-8, 8, (3, 1, 1, 1)), groups=3, weight_bits=4
        ),
        dense(("a", prod(MAP)), ("a", prod(MAP)), delay=1, bits=3),
    )
    x = population("x", MAP)
    a = population("a", MAP, ternary=True, current_decay=Decay(numerator=1, shift=1), current_min=-20, current_max=20)
    first = Connection(
        source="input", target="x", kind="conv2d", weights=np.ones((3, 2, 2, 1), int), stride=(2, 1), weight_bits=2
    )
    core = core_of((x, a), (first, *into), Input(shape=(2, 4, 3)), lanes=lanes)
    samples = random_samples(rng, core, count=2, steps=3)
    check(core, samples, stall=stall)


@pytest.mark.parametrize("stall", [0.0, 0.6])
def test_max_pooling_counts_a_step_once_for_each_connection(stall):
    """Two connections of the same map: each is an OR of its own, and both begin anew with the next step."""
    x, a = population("x", (2, 3, 3)), population("a", (2, 2, 2), threshold=5)
    pools = [
        Connection(source="x", target="a", kind="max_pool", weights=weight, kernel=2, stride=1, weight_bits=4)
        for weight in ([3, 5], -2)
    ]
    first = Connection(source="input", target="x", kind="identity", weights=1, weight_bits=2)
    core = core_of((x, a), (first, *pools), Input(shape=(2, 3, 3)), lanes=2)
    samples = random_samples(np.random.default_rng(0), core)
    for sample in samples:
        sample[1] = sample[0]
    samples[1][0][:] = samples[1][1][:] = 1
    check(core, samples, stall=stall)


def test_a_population_without_a_threshold_shows_every_membrane():
    x, a = population("x", (5,)), population("a", (4,), threshold=None, reset="none")
    core = core_of(
        (x, a),
        (dense(("input", 5), ("x", 5)), dense(("x", 5), ("a", 4))),
        Input(shape=(5,)),
        readout=Readout(population="a", kind="membrane"),
    )
    assert core.shows
    sent = check(core, random_samples(np.random.default_rng(4), core), stall=0.5)
    assert len(sent) == 3 * 4 * (4 + 1)


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_a_core_that_sweeps_at_the_end_adds_up_the_steps(stall):
    """The core of a linear readout: one answer a sample; other ticks just go."""
    rng = np.random.default_rng(6)
    readout = Readout(population="a", kind="linear", weights=rng.integers(-9, 10, (3, 7)), bias=[4, -5, 0])
    a = population("a", (7,), ternary=True)
    core = core_of((a,), (dense(("input", 5), ("a", 7)),), Input(shape=(5,)), name="scores", readout=readout)
    assert core.at_end
    samples = random_samples(rng, core, steps=4) + random_samples(rng, core, steps=1)
    sent = check(core, samples, stall=stall)
    assert [beat[2:] for beat in sent] == [(0, 1), (0, 1), (0, 1), (1, 1)] * 6


def paced(*, lanes=None, neurons=6):
    """A core that hears only what was sent in the step before; and the layout of the input."""
    x, a = population("x", (4,)), population("a", (neurons,), bias=2)
    port = Input(shape=(5,))
    into = (
        dense(("x", 4), ("a", neurons), delay=1),
        dense(("a", neurons), ("a", neurons), seed=1, delay=1),
    )
    return core_of((x, a), (dense(("input", 5), ("x", 4)), *into), port, lanes=lanes)


@pytest.mark.parametrize("stall", [0.0, 0.6])
def test_ticks_of_the_input_pace_a_core_that_hears_the_step_before(stall):
    core = paced(lanes=3)
    samples = random_samples(np.random.default_rng(7), core)
    events = [(n, 1, 0, n % 2) for n in range(3)]
    ticks = [beat for sample in samples for beat in [*events, TICK, *[TICK] * (len(sample[0]) - 2), LAST]]
    check(core, samples, stall=stall, pace=(BeatLayout((5,), BINARY), ticks))


def tick_times(core, sequences, **fields):
    """Cycles between the ticks that come out."""
    ticks = sum(beat[2] for beat in sequences[0])
    received, cycles = run(core, sequences, ticks, **fields)
    assert all(beat[2] for beat in received), "no spikes"
    return np.diff(cycles).tolist()


@pytest.mark.parametrize(("lanes", "rows"), [(32, 1), (16, 2), (4, 8)])
def test_an_event_takes_its_rows_and_a_tick_its_sweep_and_neither_waits(lanes, rows):
    core = plan(32, lanes=lanes, threshold=1000, overlap=False)
    assert (core.rows, core.sweeps) == (rows, 8)
    event = (2, 1, 0, 0)
    sequence = [TICK, event, event, event, TICK, event, TICK, TICK, LAST, event, LAST]
    assert tick_times(core, [sequence]) == [3 * rows + 8, rows + 8, 8, 8, rows + 8]


@pytest.mark.parametrize(("lanes", "rows"), [(32, 1), (16, 2)])
def test_sums_set_aside_are_swept_while_events_are_added(lanes, rows):
    """A step takes its rows and a cycle for the tick, or the sweep of the one before, whichever is more."""
    core = plan(32, lanes=lanes, threshold=1000)
    assert (core.rows, core.sweeps, core.aside) == (rows, 8, True)
    event = (2, 1, 0, 0)
    sequence = [TICK, *([event] * 12), TICK, event, TICK, TICK, LAST, *([event] * 9), LAST]
    assert tick_times(core, [sequence]) == [12 * rows + 1, 8, 8, 8, max(9 * rows + 1, 8)]


def test_sums_are_set_aside_only_where_they_are_registers_taken_once():
    assert plan(32, lanes=16).aside
    assert not plan(33, lanes=11).aside, "three rows are a memory"
    assert not plan(32, lanes=16, kind="current", high=3).aside, "the sums of a constant current stay"
    assert not plan(1, lanes=1).aside, "one word is swept in the cycle of the tick"
    assert not plan(32, lanes=16, overlap=False).aside


def test_two_ports_share_the_cycles():
    """The first port that has a row goes first, and no cycle is without one: 3 events of 2 rows and 2 of 2."""
    core = two_ports(neurons=32, lanes=16, threshold=1000, overlap=False)
    assert (core.rows, core.sweeps) == (2, 8)
    event = (2, 1, 0, 0)
    first, second = [TICK, event, event, event, TICK, TICK, TICK], [TICK, event, event, TICK, event, TICK, TICK]
    assert tick_times(core, [first, second]) == [6 + 4 + 8, 2 + 8, 8]


def test_a_short_sweep_waits_for_the_membranes_of_the_one_before():
    core = plan(3, lanes=3, threshold=1000, overlap=False)
    assert (core.sweeps, core.cooldown) == (3, 4)
    event = (2, 1, 0, 0)
    assert tick_times(core, [[TICK, TICK, LAST, TICK]]) == [7, 7, 7]
    # Events do not wait: they fill the time.
    sequence = [TICK, event, event, TICK, event, event, event, event, event, TICK]
    assert tick_times(core, [sequence]) == [7, 5 + 3]


def test_a_sweep_of_sums_set_aside_waits_for_places_in_the_queue():
    """Every neuron fires, and hardly anything is taken: the sweeps of more steps than the queue has words for."""
    core = plan(128, lanes=128, threshold=1, bias=40)
    assert (core.aside, core.sweeps) == (True, 8)
    check(core, random_samples(np.random.default_rng(4), core, count=2, steps=6), stall=0.6)


def test_a_short_sweep_of_sums_set_aside_waits_too():
    """A cycle to hand the sums over, three to sweep, four to wait; events are added meanwhile."""
    core = plan(3, lanes=3, threshold=1000)
    assert (core.sweeps, core.cooldown, core.aside) == (3, 4, True)
    event = (2, 1, 0, 0)
    assert tick_times(core, [[TICK, TICK, LAST, TICK]]) == [8, 8, 8]
    sequence = [TICK, *([event] * 7), TICK, *([event] * 8), TICK]
    assert tick_times(core, [sequence]) == [8, 9]


def test_ticks_that_pass_cost_nothing_but_their_way():
    """A core that sweeps at the end takes a tick in the cycle in which it is offered."""
    readout = Readout(population="a", kind="linear", weights=np.ones((3, 7), int))
    a = population("a", (7,))
    core = core_of((a,), (dense(("input", 5), ("a", 7)),), Input(shape=(5,)), name="scores", readout=readout)
    dut = Core(core)
    source = Source(port=dut.i0, payloads=payloads([TICK] * 30))
    cycles = []

    async def watch(ctx):
        while True:
            await ctx.tick()
            cycles.append(source.sent)

    simulate(dut, source.run, background=[watch])
    # After the sweep that sets the memories, one a cycle.
    assert cycles[-1] - cycles[-20] == 19


def test_nothing_comes_of_a_reset_but_silence():
    """The sweep that sets the memories shows neither a beat nor a trace, though every membrane starts above 0."""
    core = plan(initial=20, threshold=1)
    dut = Core(core)

    async def bench(ctx):
        ctx.set(dut.o.ready, 1)
        for _ in range(60):
            *_, valid, traced = await ctx.tick().sample(dut.o.valid, dut.trace.valid)
            assert (valid, traced) == (0, 0)

    simulate(dut, bench)


def test_ticks_wait_when_nobody_takes_the_spikes():
    """The queue of spikes fills up; events go on being added until the next tick, and nothing is lost."""
    core = plan(16, lanes=16, threshold=1, bias=9, reset="none")
    steps = 30
    samples = [[np.zeros((steps, 5), int)]]
    dut = Core(core)
    source = Source(port=dut.i0, payloads=payloads(beats(core.ports[0], samples[0])))
    sent = expected(core, samples)
    sink = Sink(port=dut.o, count=len(sent))
    waited = []

    async def late(ctx):
        for _ in range(200):
            await ctx.tick()
        waited.append(source.sent)
        await sink.run(ctx)

    simulate(dut, source.run, late, progress=lambda: {"beats": source.sent, "events": len(sink.received)})
    assert 0 < waited[0] < steps
    assert known(sink.received) == sent
