# amaranth: UnusedElaboratable=no
"""Sweeps that skip what cannot change: which words they visit, worked by hand, and that nothing else is different."""

from dataclasses import replace

import numpy as np
import pytest
from cores import LAST, TICK, beats, check, core_of, dense, expected, payloads, population, random_samples, run
from streams import Resettable, Sink, Source, simulate
from whole import random_population

from hw.core import Core
from hw.cycles import predict_cycles
from hw.design import generate
from hw.rest import rests
from hw.visits import stirred, visited_groups
from quant.errors import NetworkError
from quant.ir import Connection, Decay, Input, Network, Readout
from sim import golden

NEURONS = 32
END = NEURONS - 1
"""The last word, which carries the tick: it is visited in every step."""


def skipping(*, weight=7, kind="events", lanes=1, **fields):
    """A core of neurons that hear an input each: a word and a group for each of them."""
    fields = {"threshold": 100, "decay": Decay(), "state_min": -120, "state_max": 120, **fields}
    into = Connection(source="input", target="a", kind="identity", weights=weight, weight_bits=5)
    core = core_of((population("a", (NEURONS,), **fields),), (into,), Input(shape=(NEURONS,), kind=kind), lanes=lanes)
    return replace(core, skip=True)


def one(neuron, value):
    return np.where(np.arange(NEURONS) == neuron, value, 0)


def sample(steps, *events):
    """Events, each of a step and a neuron."""
    values = np.zeros((steps, NEURONS), int)
    for step, neuron in events:
        values[step, neuron] = 1
    return values


def visits(core, *samples):
    """Words that each step visits, which must be predicted; it must send what the equation says."""
    dut, found = Core(core), [[]]
    sent = expected(core, [[values] for values in samples])
    source = Source(port=dut.i0, payloads=payloads(beats(core.ports[0], samples)))
    sink = Sink(port=dut.o, count=len(sent), quiet=40)

    async def watch(ctx):
        while True:
            if ctx.get(dut.trace.valid):
                found[-1].append(ctx.get(dut.trace.index))
                if found[-1][-1] == core.sweeps - 1:
                    found.append([])
            await ctx.tick()

    simulate(dut, source.run, sink.run, background=[watch])
    assert [(0, 0, *beat[2:]) if beat[2] else beat for beat in sink.received] == sent
    assert predicted(core, samples) == found[:-1]
    return found[:-1]


def predicted(core, samples):
    """Words that each step visits, by what the golden model shows of every sample."""
    (port,), found = core.ports, []
    for values in samples:
        network = Network(
            name="visits",
            steps=len(values),
            input=Input(shape=port.geometry.source, kind="current" if port.held else "events"),
            populations=(core.population,),
            connections=(port.connection,),
            readout=Readout(population=core.name),
        )
        inputs = values[:1] if port.held else values[np.newaxis]
        shown = golden.run(network, inputs, record=("spikes", "membranes", "currents"))
        sent = {"input": (values != 0)[np.newaxis] & ((not port.held) | (np.arange(len(values)) == 0))[:, np.newaxis]}
        sent[core.name] = shown.spikes[core.name] != 0
        stirs = stirred(core.population, sent[core.name], (shown.membranes, shown.currents))
        (wanted,), (closing,) = visited_groups(core, sent, stirs)[..., core.word_groups]
        found += [np.flatnonzero(words).tolist() for words in (*wanted[:-1], closing[-1])]
    return found


def test_what_no_event_reaches_is_skipped():
    """In the step after an event its neuron is visited again, and at the end to get its initial membrane back."""
    core = skipping()
    assert (core.skips, core.groups, core.sweeps) == (True, NEURONS, NEURONS)
    assert visits(core, sample(6, (1, 5)), sample(2, (1, 7)), sample(2)) == [
        [END],
        [5, END],
        [5, END],
        [END],
        [END],
        [5, END],
        [END],
        [7, END],
        [END],
        [END],
    ]


def test_a_bias_is_followed_to_its_fixed_point():
    """Decay 1/2, bias 8: 4, 6, 7, 8, 8."""
    core = skipping(bias=one(3, 8), decay=Decay(numerator=1, shift=1))
    assert visits(core, sample(7)) == [[3, END]] * 5 + [[END], [3, END]]


def test_what_stays_in_a_step_with_an_event_is_visited_in_the_next():
    """Decay 1/2: of 4, with 4 more, comes 4; without, 2, then 1, which stays."""
    core = skipping(weight=4, initial=one(5, 4), decay=Decay(numerator=1, shift=1))
    assert visits(core, sample(6, (0, 5))) == [[5, END]] * 4 + [[END], [5, END]]


def test_what_fires_and_stays_is_visited_in_the_next_step():
    core = skipping(bias=one(3, 8), threshold=8, reset="zero")
    assert visits(core, sample(4)) == [[3, END]] * 4


def test_a_current_that_changes_is_visited_though_its_membrane_stays():
    """Decay 3/4 of 7: 5, 4, 3, 2, 2."""
    core = skipping(
        decay=Decay(numerator=0), current_decay=Decay(numerator=3, shift=2), current_min=-99, current_max=99
    )
    assert visits(core, sample(7, (0, 5))) == [[5, END]] * 5 + [[END], [5, END]]


def test_a_membrane_that_changes_is_visited_though_its_current_stays():
    core = skipping(bias=one(3, 8), current_decay=Decay(numerator=3, shift=2), current_min=-99, current_max=99)
    assert visits(core, sample(5)) == [[3, END]] * 5


def test_any_bit_of_a_membrane_is_a_change():
    core = skipping(state_min=-127, state_max=127, bias=one(3, 64) + one(7, 1) + one(9, -128), threshold=127)
    assert visits(core, sample(4))[:2] == [[3, 7, 9, END]] * 2


def test_a_latch_opens_with_the_next_sample():
    """The neuron fires once a sample, and its membrane is 0 before and after."""
    core = skipping(reset="latch", threshold=4)
    first = sample(5, (0, 5), (3, 5))
    assert visits(core, first, first) == [[5, END], [5, END], [END], [5, END], [5, END]] * 2


def test_held_sums_are_cleared_with_the_sample():
    """A constant current, and no memory: all stays from the second step on."""
    core = skipping(kind="current", decay=Decay(numerator=0))
    values = np.repeat(one(5, 1)[None], 5, axis=0)
    assert visits(core, values, 0 * values) == [
        [5, END],
        [5, END],
        [END],
        [END],
        [*range(NEURONS)],
        [END],
        [END],
        [END],
        [END],
        [*range(NEURONS)],
    ]


@pytest.mark.parametrize(("neurons", "groups", "rows"), [(64, 64, 1), (65, 33, 2), (300, 38, 8)])
def test_groups_are_64_at_most(neurons, groups, rows):
    into = Connection(source="input", target="a", kind="identity", weights=3, weight_bits=3)
    core = replace(core_of((population("a", (neurons,)),), (into,), Input(shape=(neurons,)), lanes=1), skip=True)
    assert (core.groups, core.group_rows) == (groups, rows)
    assert np.bincount(core.word_groups).tolist() == [rows] * (groups - 1) + [neurons - rows * (groups - 1)]


def test_steps_of_a_core_at_rest_take_no_sweep():
    """A cycle in which the sweep begins, two until its only word, and what the neurons need to tell if they rest."""
    core = skipping()
    ticks = [TICK, TICK, TICK, LAST, TICK, TICK]
    received, cycles = run(core, [ticks], len(ticks))
    assert all(beat[2] for beat in received)
    assert core.cooldown == core.depth + 6
    assert np.diff(cycles).tolist() == [1 + 2 + 1 + core.cooldown] * 5
    # Events fill that time.
    ticks = [TICK, *[(5, 1, 0, 0)] * 5, TICK, *[(5, 1, 0, 0)] * 20, TICK, TICK]
    _, cycles = run(core, [ticks], 4)
    assert np.diff(cycles).tolist() == [1 + 2 + 2 + core.cooldown, 20 + 1 + 2 + 2, 1 + 2 + 2 + core.cooldown]


def test_words_that_are_not_full_are_told_apart():
    """Five channels in words of 2, 2 and 1; the fourth alone changes on: decay 1/2 of 8 is 4, 2, 1, 1."""
    weights = np.array([0, 0, 0, 8, 0]).reshape(5, 1, 1, 1)
    into = Connection(source="input", target="a", kind="conv2d", weights=weights, weight_bits=5)
    a = population("a", (5, 2, 2), threshold=100, decay=Decay(numerator=1, shift=1), state_min=-120, state_max=120)
    core = replace(core_of((a,), (into,), Input(shape=(1, 2, 2)), lanes=2), skip=True)
    values = np.zeros((6, 4), int)
    values[0, 1] = 1
    assert visits(core, values) == [[3, 4, 5, 11]] * 2 + [[4, 11]] * 2 + [[11], [3, 4, 5, 11]]


@pytest.mark.parametrize("stall", [0.0, 0.6])
@pytest.mark.parametrize(("lanes", "units"), [(1, 1), (2, 2), (5, 2)])
def test_a_map_is_swept_where_its_events_were(lanes, units, stall):
    """Five channels: rows and words that are not full, and groups that begin at any place."""
    into = Connection(
        source="input", target="a", kind="conv2d", weights=np.ones((5, 1, 2, 2), int), padding=1, weight_bits=3
    )
    a = population("a", (5, 7, 6), threshold=2, reset="subtract")
    core = replace(core_of((a,), (into,), Input(shape=(1, 6, 5)), lanes=lanes), skip=True)
    assert core.skips
    samples = random_samples(np.random.default_rng(lanes), core, steps=6)
    for item in samples:
        item[0][:] *= np.random.default_rng(1).random(item[0].shape) < 0.06
    check(core, samples, stall=stall)
    if not stall:
        visits(core, *(values for (values,) in samples))


def test_is_ignored_where_every_neuron_is_needed_or_a_sweep_costs_nothing():
    assert skipping().skips
    assert not replace(skipping(), at_end=True).skips
    assert not replace(skipping(), shows=True).skips
    assert not replace(skipping(lanes=32), overlap=True).skips
    assert not replace(skipping(lanes=32), overlap=False).skips, "one row, one group"


def test_rests_is_a_step_of_the_golden_model():
    rng = np.random.default_rng(0)
    for _ in range(60):
        a = random_population(rng, "a", (3, 2, 2), ternary=bool(rng.integers(2)))
        network = Network(
            name="rest",
            steps=1,
            input=Input(shape=(2,)),
            populations=(a,),
            connections=(dense(("input", 2), ("a", 12)),),
            readout=Readout(population="a"),
        )
        found = golden.run(network, np.zeros((1, 1, 2), int), record=("spikes", "membranes", "currents"))
        same = (found.spikes["a"] == 0) & (found.membranes["a"] == a.per_neuron(a.initial))
        assert rests(a).tolist() == same[0, 0].tolist()


@pytest.mark.parametrize(("second", "what"), [(False, "Membranes"), (True, "Membranes and currents")])
def test_cycles_are_refused_without_membranes(second, what):
    current = {"current_decay": Decay(), "current_max": 9} if second else {}
    network = Network(
        name="skipped",
        steps=2,
        input=Input(shape=(4,)),
        populations=(population("a", (9,), **current),),
        connections=(dense(("input", 4), ("a", 9)),),
        readout=Readout(population="a"),
    )
    inputs = np.zeros((1, 2, 4), int)
    made = generate(network, lanes=1, skips={"a": True})
    found = golden.run(network, inputs, record=("spikes",))
    with pytest.raises(NetworkError, match=rf"^{what} of population a, whose sweeps skip, must be recorded to predict"):
        predict_cycles(made.plan, inputs, found.spikes)


def test_a_reset_in_mid_sample_forgets_what_was_to_be_visited():
    """Cut off after so many cycles: in the sweep after a reset, with events added, in a sweep, while one is told."""
    core = skipping(decay=Decay(numerator=7, shift=3), initial=12, threshold=15)
    dut, found, cuts = Core(core), [], range(3, 160, 13)
    top = Resettable(dut)
    first = payloads(beats(core.ports[0], [sample(4, (0, 3), (0, 20), (1, 9), (2, 30))]))
    values = sample(4, (0, 17), (2, 17), (3, 2))
    second, sent = payloads(beats(core.ports[0], [values])), expected(core, [[values]])

    async def bench(ctx):
        for cut in cuts:
            ctx.set(dut.o.ready, 1)
            await top.cut_off(ctx, dut.i0, first, cut)
            ctx.set(dut.o.ready, 0)
            await Source(port=dut.i0, payloads=second).run(ctx)
            sink = Sink(port=dut.o, count=len(sent))
            await sink.run(ctx)
            found.append([(0, 0, *beat[2:]) if beat[2] else beat for beat in sink.received])
            await top.reset(ctx)

    simulate(top, bench, progress=lambda: {"cuts": len(found)}, cycles=20000)
    assert len(sent) > 4
    assert found == [sent] * len(cuts)
