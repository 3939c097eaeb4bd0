from random import Random

import numpy as np
import pytest
from amaranth import Module, Signal
from amaranth.sim import Simulator
from streams import Sink, Source, simulate

from hw.gate import Gate, outside
from hw.layout import BeatLayout
from quant.ranges import Range

LAYOUT = BeatLayout((5,), Range(-2, 3))


def event(address, value=1):
    return (address, value, 0, 0)


TICK, LAST = (0, 0, 1, 0), (0, 0, 1, 1)


def cycles(rows, layout=LAYOUT, *, steps=0):
    """What a gate shows in cycles of ``(beat or None, stop, ready)``: (beat or None, ready, finished)."""
    gate = Gate(layout, steps=steps)
    seen = []

    async def bench(ctx):
        for beat, stop, ready in rows:
            ctx.set(gate.i.valid, beat is not None)
            if beat is not None:
                ctx.set(gate.i.payload, dict(zip(("address", "value", "tick", "last"), beat, strict=True)))
            ctx.set(gate.stop, stop)
            ctx.set(gate.o.ready, ready)
            *_, valid, out, taken, finished = await ctx.tick().sample(
                gate.o.valid, gate.o.payload, gate.i.ready, gate.finished
            )
            passed = (out.address, out.value, out.tick, out.last) if valid else None
            seen.append((passed, taken, finished))

    simulate(gate, bench)
    return seen


def test_passes_beats_in_their_cycle():
    beats = [event(4, -2), event(0, 3), TICK, event(3), LAST]
    seen = cycles([(beat, 0, 1) for beat in beats])
    assert seen == [(beat, 1, int(beat == LAST)) for beat in beats]


def test_waits_for_the_target():
    seen = cycles([(event(4), 0, 0), (event(4), 0, 1), (LAST, 0, 0), (LAST, 0, 1), (None, 0, 1)])
    assert seen == [(event(4), 0, 0), (event(4), 1, 0), (LAST, 0, 0), (LAST, 1, 1), (None, 1, 0)]


@pytest.mark.parametrize("ready", [0, 1])
def test_drops_events_of_addresses_outside(ready):
    seen = cycles([(event(4), 0, 1), (event(5), 0, ready), (event(7), 0, ready), (event(4), 0, 1)])
    assert seen == [(event(4), 1, 0), (None, 1, 0), (None, 1, 0), (event(4), 1, 0)]


def test_the_address_of_a_tick_means_nothing():
    (seen,) = cycles([((7, 1, 1, 0), 0, 1)])
    assert seen == ((7, 1, 1, 0), 1, 0)


def test_every_address_is_inside_where_all_of_them_are_neurons():
    layout = BeatLayout((4,), Range(0, 1))
    assert [passed for passed, _, _ in cycles([(event(n), 0, 1) for n in range(4)], layout)] == [
        event(n) for n in range(4)
    ]


def test_the_end_of_an_event_ends_nothing():
    """Only a tick ends a sample, whatever an event carries in ``last``."""
    seen = cycles([((1, 1, 0, 1), 0, 1), (TICK, 0, 1)])
    assert seen == [(event(1), 1, 0), (TICK, 1, 0)]


def test_stop_makes_the_next_tick_the_last_and_drops_the_rest_of_the_sample():
    rows = [(event(1), 1, 1), (TICK, 1, 1), (event(2), 0, 1), (TICK, 0, 0), (event(3), 1, 0), (LAST, 0, 0)]
    rows += [(event(4), 0, 1), (TICK, 0, 1), (LAST, 0, 1)]
    assert cycles(rows) == [
        (event(1), 1, 0),
        (LAST, 1, 1),
        (None, 1, 0),
        (None, 1, 0),
        (None, 1, 0),
        (None, 1, 0),
        (event(4), 1, 0),
        (TICK, 1, 0),
        (LAST, 1, 1),
    ]


def test_stop_at_the_last_tick_drops_nothing():
    seen = cycles([(LAST, 1, 1), (event(1), 0, 1), (LAST, 0, 1)])
    assert seen == [(LAST, 1, 1), (event(1), 1, 0), (LAST, 1, 1)]


def test_stop_without_a_tick_is_forgotten():
    seen = cycles([(event(1), 1, 1), (None, 1, 1), (TICK, 0, 1), (event(2), 0, 1)])
    assert seen == [(event(1), 1, 0), (None, 1, 0), (TICK, 1, 0), (event(2), 1, 0)]


def test_a_tick_that_waits_does_not_become_the_last():
    seen = cycles([(TICK, 0, 0), (TICK, 1, 0), (TICK, 1, 1), (event(1), 1, 1), (TICK, 1, 1), (event(2), 0, 1)])
    assert seen == [
        (TICK, 0, 0),
        (TICK, 0, 0),
        (TICK, 1, 0),
        (event(1), 1, 0),
        (LAST, 1, 1),
        (None, 1, 0),
    ]


def test_a_tick_that_waits_stays_the_last():
    seen = cycles([(TICK, 1, 0), (TICK, 0, 0), (TICK, 0, 1), (event(1), 0, 1)])
    assert seen == [(LAST, 0, 0), (LAST, 0, 0), (LAST, 1, 1), (None, 1, 0)]


def test_events_outside_are_dropped_in_the_rest_of_a_sample_too():
    seen = cycles([(TICK, 1, 1), (event(6), 0, 0), (event(7), 0, 1), (LAST, 0, 0), (event(1), 0, 1)])
    assert seen == [(LAST, 1, 1), (None, 1, 0), (None, 1, 0), (None, 1, 0), (event(1), 1, 0)]


def test_an_event_outside_with_an_end_does_not_end_the_rest():
    seen = cycles([(TICK, 1, 1), ((6, 1, 0, 1), 0, 1), (event(1), 0, 1), (LAST, 0, 1), (event(2), 0, 1)])
    assert [passed for passed, _, _ in seen] == [LAST, None, None, None, event(2)]


def test_dropped_tells_of_every_event_outside_but_not_of_the_rest_of_a_stopped_sample():
    rows = [(event(5), 0), (event(4), 0), ((6, 0, 1, 0), 0), (event(7), 0), (None, 0), (TICK, 1), (event(7), 0)]
    rows += [(LAST, 0), (event(6), 0)]
    gate = Gate(LAYOUT)
    seen = []

    async def bench(ctx):
        for beat, stop in rows:
            ctx.set(gate.i.valid, beat is not None)
            if beat is not None:
                ctx.set(gate.i.payload, dict(zip(("address", "value", "tick", "last"), beat, strict=True)))
            ctx.set(gate.stop, stop)
            ctx.set(gate.o.ready, 1)
            *_, dropped = await ctx.tick().sample(gate.dropped)
            seen.append(dropped)

    simulate(gate, bench)
    assert seen == [1, 0, 0, 1, 0, 0, 0, 0, 1]


@pytest.mark.parametrize("shape", [(1,), (2,), (5,), (1, 1, 1), (3, 4, 5), (2, 1, 3), (4, 4, 4)])
def test_addresses_outside_are_those_of_no_neuron(shape):
    """Of a map a column, a row or a channel may be outside, though the address is below the largest."""
    layout = BeatLayout(shape, Range(0, 1))
    inside = set(layout.fields.encode(np.arange(np.prod(shape))).tolist())
    m, address, found = Module(), Signal(layout.fields.width), Signal()
    m.d.comb += found.eq(outside(layout, address))
    seen = set()

    async def bench(ctx):
        for number in range(1 << len(address)):
            ctx.set(address, number)
            if not ctx.get(found):
                seen.add(number)

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
    assert seen == inside


def test_a_sample_that_comes_once_gets_a_tick_for_every_step():
    """One tick a cycle, the host's is taken with the last of them; then the next sample, as many."""
    rows = [(event(1), 0, 1), (LAST, 0, 1), (LAST, 0, 1), (LAST, 0, 1), (event(2), 0, 1), (event(3), 0, 1)]
    seen = cycles([*rows, (LAST, 0, 1), (None, 0, 1), (LAST, 0, 1), (LAST, 0, 1), (None, 0, 1)], steps=3)
    assert seen == [
        (event(1), 1, 0),
        (TICK, 0, 0),
        (TICK, 0, 0),
        (LAST, 1, 1),
        (event(2), 1, 0),
        (event(3), 1, 0),
        (TICK, 0, 0),
        (None, 0, 0),
        (TICK, 0, 0),
        (LAST, 1, 1),
        (None, 0, 0),
    ]


def test_a_sample_of_one_step_that_comes_once_passes_as_it_is():
    seen = cycles([(event(1), 0, 1), (LAST, 0, 0), (LAST, 0, 1), (LAST, 0, 1)], steps=1)
    assert seen == [(event(1), 1, 0), (LAST, 0, 0), (LAST, 1, 1), (LAST, 1, 1)]


def test_steps_that_are_made_wait_for_the_target():
    seen = cycles([(LAST, 0, 0), (LAST, 0, 1), (LAST, 0, 0), (LAST, 0, 0), (LAST, 0, 1), (event(1), 0, 0)], steps=2)
    assert seen == [(TICK, 0, 0), (TICK, 0, 0), (LAST, 0, 0), (LAST, 0, 0), (LAST, 1, 1), (event(1), 0, 0)]


def test_stop_takes_the_tick_of_a_sample_that_came_once_and_drops_nothing():
    """The second tick becomes the last; the next sample has all its steps again."""
    seen = cycles([(LAST, 0, 1), (LAST, 1, 1), (event(1), 0, 1), *[(LAST, 0, 1)] * 4], steps=4)
    assert seen == [(TICK, 0, 0), (LAST, 1, 1), (event(1), 1, 0), *[(TICK, 0, 0)] * 3, (LAST, 1, 1)]


def test_a_made_tick_that_waits_does_not_change_its_mind():
    seen = cycles([(LAST, 0, 0), (LAST, 1, 0), (LAST, 1, 1), (LAST, 1, 0), (LAST, 0, 0), (LAST, 0, 1)], steps=4)
    assert seen == [(TICK, 0, 0), (TICK, 0, 0), (TICK, 0, 0), (LAST, 0, 0), (LAST, 0, 0), (LAST, 1, 1)]


@pytest.mark.parametrize("stall", [0.0, 0.6])
def test_a_stream_under_stalls_keeps_every_beat_inside(stall):
    random = Random(1)
    beats = []
    for _ in range(40):
        beats += [event(random.randrange(8), random.randint(-2, 3)) for _ in range(random.randrange(5))]
        beats.append(random.choice([TICK, TICK, LAST]))
    gate = Gate(LAYOUT)
    names = ("address", "value", "tick", "last")
    source = Source(port=gate.i, payloads=[dict(zip(names, beat, strict=True)) for beat in beats], stall=stall)
    kept = [beat for beat in beats if beat[2] or beat[0] < 5]
    sink = Sink(port=gate.o, count=len(kept), stall=stall)
    simulate(gate, source.run, sink.run, progress=lambda: {"beats": len(sink.received)}, cycles=5000)
    assert sink.received == kept
