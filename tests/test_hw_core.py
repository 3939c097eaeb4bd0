import numpy as np
import pytest
from streams import Sink, Source, simulate
from test_hw_neuron import Case, equation

from hw.core import Core
from hw.plan import plan_network
from quant.ir import Connection, Decay, Input, Network, Population, Readout

NAMES = ("address", "value", "tick", "last")
TICK, LAST = (0, 0, 1, 0), (0, 0, 1, 1)


def plan(neurons=9, inputs=5, *, lanes=None, steps=4, kind="events", low=0, high=1, bits=4, **fields):
    weights = np.random.default_rng(0).integers(-(1 << bits - 1), 1 << bits - 1, (neurons, inputs))
    fields = {"threshold": 6, "state_min": -20, "state_max": 20, "decay": Decay(numerator=3, shift=2), **fields}
    network = Network(
        name="core",
        steps=steps,
        input=Input(shape=(inputs,), kind=kind, low=low, high=high),
        populations=(Population(name="a", shape=(neurons,), **fields),),
        connections=(Connection(source="input", target="a", kind="dense", weights=weights, weight_bits=bits),),
        readout=Readout(population="a"),
    )
    (core,) = plan_network(network, lanes=lanes).cores
    return core


def expected(core, samples):
    """Beats that a core sends for samples of ``(steps, inputs)``: the equation, neuron by neuron."""
    population, weights = core.population, core.connection.weights
    initial = [int(value) for value in population.per_neuron(population.initial)]
    sent = []
    for sample in samples:
        states, latches = initial, [0] * population.size
        for step, values in enumerate(sample):
            drives = weights @ values
            found = [
                equation(population, Case(neuron=n, state=states[n], drive=int(drives[n]), latched=latches[n]))
                for n in range(population.size)
            ]
            states, latches = [state for _, state, _ in found], [int(fired) for _, _, fired in found]
            sent += [(n, 1, 0, 0) for n, (spike, _, _) in enumerate(found) if spike]
            sent.append(LAST if step == len(sample) - 1 else TICK)
    return sent


def beats(samples):
    """Events of every step in any order, then ticks."""
    rng, sent = np.random.default_rng(1), []
    for sample in samples:
        for step, values in enumerate(sample):
            addresses = rng.permutation(np.flatnonzero(values))
            sent += [(int(address), int(values[address]), 0, 0) for address in addresses]
            sent.append(LAST if step == len(sample) - 1 else TICK)
    return sent


def payloads(sequence):
    return [dict(zip(NAMES, beat, strict=True)) for beat in sequence]


def known(received):
    """Beats without what means nothing: address and value of a tick."""
    return [(0, 0, *beat[2:]) if beat[2] else beat for beat in received]


def run(core, sequence, count, *, stall=0.0):
    dut = Core(core)
    source = Source(port=dut.i, payloads=payloads(sequence), stall=stall)
    sink = Sink(port=dut.o, count=count, stall=stall, quiet=60)
    simulate(
        dut,
        source.run,
        sink.run,
        progress=lambda: {"beats": source.sent, "events": len(sink.received)},
        cycles=20_000,
    )
    return known(sink.received)


def random_samples(rng, core, *, low=0, high=1, count=4, steps=4):
    values = rng.integers(low, high + 1, (count, steps, core.inputs))
    return values * (rng.random(values.shape) < rng.random((count, steps, 1)))


@pytest.mark.parametrize("stall", [0.0, 0.5])
@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (-3, 2), (0, 9)])
@pytest.mark.parametrize(("neurons", "lanes"), [(1, 1), (9, 1), (9, 4), (9, 9), (20, 7)])
def test_events_and_ticks_become_events_and_ticks(neurons, lanes, low, high, stall):
    core = plan(neurons, lanes=lanes, low=low, high=high)
    samples = random_samples(np.random.default_rng(neurons + lanes), core, low=low, high=high)
    sent = expected(core, samples)
    assert run(core, beats(samples), len(sent), stall=stall) == sent


@pytest.mark.parametrize("bits", [1, 2, 16])
def test_weights_of_every_width(bits):
    core = plan(bits=bits, low=-2, high=3, threshold=1 << bits, state_min=-(1 << 20), state_max=1 << 20)
    samples = random_samples(np.random.default_rng(bits), core, low=-2, high=3)
    sent = expected(core, samples)
    assert run(core, beats(samples), len(sent)) == sent


def test_an_event_of_value_0_adds_nothing():
    core = plan(low=0, high=3)
    sample = np.array([[0, 2, 0, 0, 1], [0, 0, 3, 0, 0]])
    sequence = [(1, 2, 0, 0), (0, 0, 0, 0), (4, 1, 0, 0), TICK, (2, 3, 0, 0), (3, 0, 0, 0), LAST]
    sent = expected(core, [sample])
    assert run(core, sequence, len(sent)) == sent


@pytest.mark.parametrize("stall", [0.0, 0.5])
@pytest.mark.parametrize("lanes", [1, 4, 9])
def test_a_sample_that_comes_once_is_seen_in_every_step(lanes, stall):
    core = plan(lanes=lanes, kind="current", high=20, steps=5)
    samples = random_samples(np.random.default_rng(lanes), core, high=20, steps=1)
    sent = expected(core, np.repeat(samples, 5, axis=1))
    assert run(core, beats(samples), len(sent), stall=stall) == sent


@pytest.mark.parametrize("after", [0, 7, 12, 33])
def test_stop_makes_the_next_step_the_last(after):
    """Up all the time from some cycle on: that sample and all others end with the step that begins then."""
    core = plan(kind="current", high=20, steps=9)
    samples = random_samples(np.random.default_rng(4), core, high=20, steps=1, count=3)
    dut = Core(core)
    source, sink = Source(port=dut.i, payloads=payloads(beats(samples))), Sink(port=dut.o, count=3, quiet=100)
    ends = []

    async def stop(ctx):
        while True:
            ctx.set(dut.stop, len(ends) >= after)
            *_, finished = await ctx.tick().sample(dut.finished)
            ends.append(finished)

    simulate(dut, source.run, sink.run, background=[stop])
    received = known(sink.received)
    lengths = np.diff([-1, *(number for number, beat in enumerate(beat for beat in received if beat[2]) if beat[3])])
    assert len(lengths) == 3
    assert sum(ends) == 3
    assert 1 <= lengths[0] < 9
    assert lengths[1:].tolist() == [1, 1]
    repeated = [np.repeat(sample, length, axis=0) for sample, length in zip(samples, lengths, strict=True)]
    assert received == expected(core, repeated)


def times(core, sequence):
    """Cycle in which each beat is taken."""
    dut = Core(core)
    taken = []

    async def send(ctx):
        cycle = 0
        ctx.set(dut.o.ready, 1)
        for _ in range(core.sweeps + core.cooldown + 5):
            await ctx.tick()
        for payload in payloads(sequence):
            ctx.set(dut.i.payload, payload)
            ctx.set(dut.i.valid, 1)
            ready = 0
            while not ready:
                *_, ready = await ctx.tick().sample(dut.i.ready)
                cycle += 1
            taken.append(cycle)

    simulate(dut, send)
    return taken


@pytest.mark.parametrize(("lanes", "rows"), [(32, 1), (16, 2), (4, 8)])
def test_an_event_takes_its_rows_and_a_tick_its_sweep_and_neither_waits(lanes, rows):
    core = plan(32, lanes=lanes, threshold=1000)
    assert (core.rows, core.sweeps) == (rows, 8)
    event = (2, 1, 0, 0)
    costs = [rows, rows, rows, 8, rows, 8, 8, rows]
    sequence = [event, event, event, TICK, event, TICK, LAST, event]
    assert times(core, sequence) == np.cumsum(costs).tolist()


def test_a_short_sweep_waits_for_the_membranes_of_the_one_before():
    core = plan(3, lanes=3, threshold=1000)
    assert (core.sweeps, core.cooldown) == (3, 4)
    event = (2, 1, 0, 0)
    assert times(core, [TICK, TICK, LAST, TICK]) == [3, 10, 17, 24]
    # Events do not wait: they fill the time.
    assert times(core, [TICK, event, event, TICK, event, event, event, event, event, TICK])[-1] == 3 + 7 + 5 + 3


def test_nothing_comes_of_a_reset_but_silence():
    """The sweep that sets the memories shows neither a beat nor a trace, though every membrane starts above 0."""
    core = plan(initial=20, threshold=1)
    dut = Core(core)

    async def bench(ctx):
        ctx.set(dut.o.ready, 1)
        for _ in range(60):
            *_, valid, traced, finished = await ctx.tick().sample(dut.o.valid, dut.trace.valid, dut.finished)
            assert (valid, traced, finished) == (0, 0, 0)

    simulate(dut, bench)


def test_finished_comes_with_the_last_tick_of_a_sample():
    core = plan(9, lanes=9)
    dut = Core(core)
    source = Source(port=dut.i, payloads=payloads([(1, 1, 0, 0), TICK, LAST, LAST, TICK]))
    seen = []

    async def watch(ctx):
        while True:
            *_, finished, valid, ready, payload = await ctx.tick().sample(
                dut.finished, dut.i.valid, dut.i.ready, dut.i.payload
            )
            if finished or (valid and ready):
                seen.append((finished, payload.tick, payload.last))

    simulate(dut, source.run, background=[watch])
    assert seen == [(0, 0, 0), (0, 1, 0), (1, 1, 1), (1, 1, 1), (0, 1, 0)]


def test_ticks_wait_when_nobody_takes_the_spikes():
    """The queue of spikes fills up; events go on being added until the next tick, and nothing is lost."""
    core = plan(16, lanes=16, threshold=1, bias=9, reset="none")
    steps = 30
    samples = np.zeros((1, steps, 5), int)
    dut = Core(core)
    source = Source(port=dut.i, payloads=payloads(beats(samples)))
    sent = expected(core, samples)
    sink = Sink(port=dut.o, count=len(sent))
    waited = []

    async def late(ctx):
        for _ in range(400):
            await ctx.tick()
        waited.append(source.sent)
        await sink.run(ctx)

    simulate(dut, source.run, late, progress=lambda: {"beats": source.sent, "events": len(sink.received)})
    assert 0 < waited[0] < steps
    assert known(sink.received) == sent
