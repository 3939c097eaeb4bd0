from itertools import pairwise
from random import Random

import numpy as np
import pytest
from streams import simulate
from test_hw_neuron import Case, equation

from hw.plan import plan_network
from hw.sweep import Sweep
from quant.ir import RESETS, Connection, Decay, Input, Network, Population, Readout

SPIKES, WRITTEN = 3, 5  # cycles from a word's drives to its spikes, and to its new membranes


def plan(neurons, **fields):
    """Plan of one core, whose drives lie within -12 and 12."""
    population = Population(
        **{"name": "a", "shape": (neurons,), "threshold": 4, "state_min": -9, "state_max": 9, **fields}
    )
    weights = np.tile([5, -5, 7, -7], (neurons, 1))
    connection = Connection(source="input", target="a", kind="dense", weights=weights, weight_bits=4)
    network = Network(
        name="swept",
        steps=4,
        input=Input(shape=(4,)),
        populations=(population,),
        connections=(connection,),
        readout=Readout(population="a"),
    )
    (core,) = plan_network(network, lanes=neurons).cores
    return core


class Steps:
    """Steps of a sweep, word after word, ``gap`` cycles apart, and what came out in which cycle."""

    def __init__(self, core, drives, *, ends=(), mute=(), gap=None):
        self.core = core
        self.drives = drives
        self.ends = ends
        self.mute = mute
        self.gap = core.cooldown if gap is None else gap
        self.sent, self.words, self.traces = [], [], []

    def run(self):
        self.dut = dut = Sweep(self.core)
        schedule = []
        for step in range(len(self.drives)):
            schedule += [(step, index) for index in range(self.core.sweeps)] + [None] * self.gap

        async def drive(ctx):
            for cycle, (now, then) in enumerate(pairwise([None, *schedule, None])):
                ctx.set(dut.fetch_index, then[1] if then else 0)
                ctx.set(dut.valid, now is not None)
                if now:
                    self._drive(ctx, *now)
                    self.sent.append(cycle)
                await ctx.tick()
            ctx.set(dut.valid, 0)
            for _ in range(10):
                await ctx.tick()

        simulate(dut, drive, background=[self._observe])
        return self

    def _drive(self, ctx, step, index):
        core, dut = self.core, self.dut
        ctx.set(dut.index, index)
        ctx.set(dut.end, index == core.sweeps - 1)
        ctx.set(dut.last, step in self.ends)
        ctx.set(dut.mute, step in self.mute)
        for unit in range(core.units):
            neuron = index * core.units + unit
            ctx.set(dut.drives[unit], int(self.drives[step][neuron]) if neuron < core.population.size else 0)

    async def _observe(self, ctx):
        dut, units, cycle = self.dut, range(self.core.units), 0
        while True:
            if ctx.get(dut.o_valid):
                fields = tuple(ctx.get(getattr(dut, f"o_{name}")) for name in ("index", "end", "last", "spikes"))
                self.words.append((cycle, *fields))
            if ctx.get(dut.trace_valid):
                fields = tuple(ctx.get(getattr(dut, f"trace_{name}")) for name in ("index", "last", "spikes"))
                self.traces.append((cycle, *fields, [ctx.get(dut.trace_membranes[unit]) for unit in units]))
            await ctx.tick()
            cycle += 1


def expected(core, drives, ends):
    """Spikes and membranes of each step, ``(steps, neurons)``: the equation, neuron by neuron."""
    population = core.population
    initial = population.per_neuron(population.initial)
    states, latches = [int(v) for v in initial], [0] * population.size
    spikes, membranes = [], []
    for step, row in enumerate(drives):
        found = [
            equation(population, Case(neuron=n, state=states[n], drive=int(row[n]), latched=latches[n]))
            for n in range(population.size)
        ]
        spikes.append([spike for spike, _, _ in found])
        membranes.append([state for _, state, _ in found])
        states, latches = [state for _, state, _ in found], [int(fired) for _, _, fired in found]
        if step in ends:
            states, latches = [int(v) for v in initial], [0] * population.size
    return spikes, membranes


def spread(core, words):
    """Values of the words of each step, neuron by neuron; what lies beyond the last neuron apart."""
    per_step = np.array(words).reshape(-1, core.sweeps * core.units)
    return per_step[:, : core.population.size].tolist(), per_step[:, core.population.size :]


def bits(word, units):
    return [word >> unit & 1 for unit in range(units)]


EACH = {
    "one": {},
    "each": {
        "threshold": np.arange(1, 12),
        "bias": np.arange(-5, 6),
        "initial": np.arange(11) - 2,
        "decay": Decay(numerator=np.arange(11), shift=3),
    },
}


@pytest.mark.parametrize("fields", EACH)
@pytest.mark.parametrize("reset", RESETS)
def test_is_the_equation_of_every_neuron_step_by_step(reset, fields):
    rng = np.random.default_rng(1)
    core = plan(11, reset=reset, **{"decay": Decay(numerator=3, shift=2), **EACH[fields]})
    assert (core.units, core.sweeps) == (2, 6)
    drives = rng.integers(-12, 13, (40, 11))
    ends = {3, 4, 11, 30}
    steps = Steps(core, drives, ends=ends).run()
    spikes, membranes = expected(core, drives, ends)
    found, beyond = spread(core, [bits(word[-1], core.units) for word in steps.words])
    assert found == spikes
    assert not beyond.any()
    traced, beyond = spread(core, [bits(word[-2], core.units) for word in steps.traces])
    assert traced == spikes
    assert not beyond.any()
    assert spread(core, [word[-1] for word in steps.traces])[0] == membranes


@pytest.mark.parametrize(("neurons", "sweeps"), [(1, 1), (2, 2), (7, 7), (11, 6), (16, 8)])
def test_membranes_are_back_in_time_for_the_next_step(neurons, sweeps):
    core = plan(neurons, reset="none", threshold=100)
    assert core.sweeps == sweeps
    drives = [[step % 3 - 1 + neuron % 2 for neuron in range(neurons)] for step in range(12)]
    steps = Steps(core, drives).run()
    assert spread(core, [word[-1] for word in steps.traces])[0] == expected(core, drives, ())[1]


def test_times_and_flags_of_a_word():
    core = plan(11)
    steps = Steps(core, np.zeros((3, 11), int), ends={1}, gap=3).run()
    indices = [*range(6)] * 3
    ends = [int(index == 5) for index in indices]
    last = [0] * 6 + [1] * 6 + [0] * 6
    assert [word[:-1] for word in steps.words] == [
        (cycle + SPIKES, *flags) for cycle, *flags in zip(steps.sent, indices, ends, last, strict=True)
    ]
    assert [word[:3] for word in steps.traces] == [
        (cycle + WRITTEN, *flags) for cycle, *flags in zip(steps.sent, indices, last, strict=True)
    ]


def test_a_mute_sweep_sets_the_membranes_and_says_nothing():
    core = plan(3, reset="none", initial=np.array([5, -3, 0]), threshold=6)
    drives = [[12, 12, 12], [0, 0, 0], [0, 1, 0]]
    steps = Steps(core, drives, ends={1}, mute={1}).run()
    assert [index for _, index, *_ in steps.words] == [*range(core.sweeps)] * 2
    assert len(steps.traces) == 2 * core.sweeps
    assert spread(core, [word[-1] for word in steps.traces])[0] == [[9, 9, 9], [5, -2, 0]]


def test_the_last_step_shows_its_membranes_not_the_initial_ones():
    core = plan(2, initial=3)
    steps = Steps(core, [[0, -9], [0, 0]], ends={0}).run()
    assert spread(core, [word[-1] for word in steps.traces])[0] == [[3, -6], [3, 3]]


def test_a_latched_neuron_fires_again_in_the_next_sample():
    core = plan(2, reset="latch")
    drives = [[9, 0], [9, 9], [9, 9], [9, 0]]
    steps = Steps(core, drives, ends={2}).run()
    assert spread(core, [bits(word[-1], core.units) for word in steps.words])[0] == [[1, 0], [0, 1], [0, 0], [1, 0]]


def test_lanes_without_a_neuron_are_silent_whatever_their_neighbour_is():
    """The last neuron fires at every step, without an event."""
    random = Random(0)
    core = plan(9, bias=9, initial=9, threshold=1, reset="none")
    assert core.sweeps * core.units == 10
    drives = [[random.randint(0, 12) for _ in range(9)] for _ in range(6)]
    steps = Steps(core, drives, ends={2}).run()
    found, beyond = spread(core, [bits(word[-1], core.units) for word in steps.words])
    assert np.all(found)
    assert not beyond.any()
