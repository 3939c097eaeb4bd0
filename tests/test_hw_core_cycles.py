# amaranth: UnusedElaboratable=no
"""Cycles of a core: what an event and a tick take, and what waits for what."""

import numpy as np
import pytest
from cores import (
    LAST,
    TICK,
    beats,
    check,
    core_of,
    dense,
    expected,
    known,
    payloads,
    plan,
    population,
    random_samples,
    run,
    two_ports,
)
from streams import Sink, Source, simulate

from hw.core import Core
from quant.ir import Input, Readout


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
