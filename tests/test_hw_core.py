# amaranth: UnusedElaboratable=no
"""What a core sends is what the equation says, of whatever comes into its ports."""

from math import prod

import numpy as np
import pytest
from cores import LAST, TICK, check, core_of, dense, expected, plan, population, random_samples, run, two_ports
from streams import simulate

from hw.core import Core
from hw.layout import BeatLayout
from hw.plan import BINARY
from quant.ir import Connection, Decay, Input, Readout


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
