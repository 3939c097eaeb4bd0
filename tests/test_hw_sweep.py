# amaranth: UnusedElaboratable=no
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from amaranth.back import rtlil
from neurons import Case, equation
from streams import simulate

from hw.layout import Fields
from hw.memory import Rom
from hw.plan import BINARY, plan_network
from hw.serialiser import PlaceLayout
from hw.sweep import Sweep
from quant.ir import RESETS, Connection, Decay, Input, Network, Population, Readout


def plan(shape, *, lanes=None, **fields):
    """Plan of one core, whose drives lie within -12 and 12."""
    shape = (shape,) if isinstance(shape, int) else shape
    population = Population(**{"name": "a", "shape": shape, "threshold": 4, "state_min": -9, "state_max": 9, **fields})
    weights = np.tile([5, -5, 7, -7], (population.size, 1))
    connection = Connection(source="input", target="a", kind="dense", weights=weights, weight_bits=4)
    network = Network(
        name="swept",
        steps=4,
        input=Input(shape=(4,)),
        populations=(population,),
        connections=(connection,),
        readout=Readout(population="a", kind="count" if population.threshold is not None else "membrane"),
    )
    (core,) = plan_network(network, lanes=lanes or shape[0]).cores
    return core


class Steps:
    """Steps of a sweep, word after word, ``gap`` cycles apart, and what came out in which cycle.

    Drives are those of the neurons, ``(steps, N)``, in C order.
    """

    def __init__(self, core, drives, *, ends=(), mute=(), gap=None):
        self.core = core
        self.drives = core.word_tiling.spread(np.asarray(drives))
        self.ends = ends
        self.mute = mute
        self.gap = core.cooldown if gap is None else gap
        self.sent, self.words, self.traces = [], [], []
        self.fired, self.values, self.spikes, self.membranes, self.currents = [], [], [], [], []

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
        ctx.set(dut.last, step in self.ends)
        ctx.set(dut.mute, step in self.mute)
        for unit in range(core.units):
            ctx.set(dut.drives[unit], int(self.drives[step, index, unit]))

    def place(self, index):
        """Address of a word's first neuron without its lane: low, high."""
        low = PlaceLayout.of(self.core.shape, self.core.units)["low"].width
        first = int(Fields(self.core.shape).encode(self.core.word_tiling.neurons[index, 0]))
        return first & ((1 << low) - 1), first >> low >> (self.core.units - 1).bit_length()

    async def _observe(self, ctx):
        dut, cycle = self.dut, 0

        def lanes(name):
            return [ctx.get(getattr(dut, name)[unit]) for unit in range(self.core.units)]

        while True:
            if ctx.get(dut.o_valid):
                place = [ctx.get(dut.o_place[name]) for name in ("low", "high")]
                self.words.append((cycle, *place, ctx.get(dut.o_end), ctx.get(dut.o_last)))
                self.fired.append(lanes("o_fired"))
                self.values.append(lanes("o_fired" if self.core.sends == BINARY else "o_values"))
            if ctx.get(dut.trace_valid):
                self.traces.append((cycle, ctx.get(dut.trace_index), ctx.get(dut.trace_last)))
                self.spikes.append(lanes("trace_spikes"))
                self.membranes.append(lanes("trace_membranes"))
                if self.core.population.current_decay is not None:
                    self.currents.append(lanes("trace_currents"))
            await ctx.tick()
            cycle += 1

    def neurons(self, name):
        """What came out by that name, ``(steps, N)``, neuron by neuron in C order; lanes without one must be silent."""
        core = self.core
        found = np.array(getattr(self, name)).reshape(-1, core.sweeps, core.units)
        there = core.word_tiling.neurons >= 0
        assert not found[:, ~there].any()
        flat = np.zeros((len(found), core.population.size), int)
        flat[:, core.word_tiling.neurons[there]] = found[:, there]
        return flat.tolist()


def expected(core, drives, ends, name):
    """One field of :class:`Step` of each step, ``(steps, N)``: the equation, neuron by neuron."""
    population = core.population
    start = [{"state": int(v), "current": 0, "latched": 0} for v in population.per_neuron(population.initial)]
    kept, rows = start, []
    for step, row in enumerate(drives):
        found = [
            equation(population, Case(neuron=n, drive=int(row[n]), **kept[n]), shows=core.shows)
            for n in range(population.size)
        ]
        rows.append([getattr(result, name) for result in found])
        kept = [{"state": f.state, "current": f.current, "latched": f.latched} for f in found]
        if step in ends:
            kept = start
    return rows


def check(core, *, steps=40, ends=(3, 4, 11, 30)):
    """Everything that comes out is the equation of every neuron, step by step."""
    drives = np.random.default_rng(1).integers(-12, 13, (steps, core.population.size))
    run = Steps(core, drives, ends=ends).run()
    values = expected(core, drives, ends, "value")
    assert run.neurons("fired") == expected(core, drives, ends, "fired")
    assert (np.array(run.neurons("values")) * run.neurons("fired")).tolist() == values
    assert run.neurons("spikes") == (np.zeros_like(values).tolist() if core.shows else values)
    assert run.neurons("membranes") == expected(core, drives, ends, "state")
    if core.population.current_decay is not None:
        assert run.neurons("currents") == expected(core, drives, ends, "current")


CURRENT = {"current_decay": Decay(numerator=5, shift=3), "current_min": -6, "current_max": 7}
EACH = {
    "one": {},
    "each": {
        "threshold": np.arange(1, 12),
        "bias": np.arange(-5, 6),
        "initial": np.arange(11) - 2,
        "decay": Decay(numerator=np.arange(11), shift=3),
    },
}


@pytest.mark.parametrize("second", [False, True], ids=["first order", "second order"])
@pytest.mark.parametrize("ternary", [False, True], ids=["binary", "ternary"])
@pytest.mark.parametrize("fields", EACH)
@pytest.mark.parametrize("reset", RESETS)
def test_is_the_equation_of_every_neuron_step_by_step(reset, fields, ternary, second):
    current = CURRENT if second else {}
    core = plan(11, reset=reset, ternary=ternary, **{"decay": Decay(numerator=3, shift=2), **EACH[fields], **current})
    assert (core.units, core.sweeps) == (2, 6)
    check(core)


@pytest.mark.parametrize("fields", EACH)
@pytest.mark.parametrize("ternary", [False, True], ids=["binary", "ternary"])
@pytest.mark.parametrize("current", [{}, CURRENT], ids=["first order", "second order"])
def test_is_the_equation_of_every_neuron_of_a_map(fields, ternary, current):
    """Five channels in words of two, or of four: the last word of a place is not full."""
    shape = (5, 3, 4)
    each = {
        "threshold": np.array([3, 1, 9, 5, 2]),
        "bias": np.arange(60).reshape(shape) % 7 - 3,
        "initial": np.arange(60).reshape(shape) % 11 - 5,
        "reset_value": np.array([0, 3, -2, 1, 5]).reshape(5, 1, 1),
    }
    for lanes, units in ((2, 2), (5, 4)):
        core = plan(shape, lanes=lanes, ternary=ternary, **(each if fields == "each" else {}), **current)
        assert core.units == units
        assert (core.word_tiling.neurons < 0).any()
        check(core, steps=12, ends=(3, 4))


@pytest.mark.parametrize("fields", [{}, {"bias": np.array([2, 0, -3])}, CURRENT, {"rectify": True}, {"initial": 3}])
def test_without_a_threshold_every_neuron_shows_its_membrane(fields):
    core = plan(3, threshold=None, reset="none", **fields)
    assert core.shows
    check(core, steps=12, ends=(3, 4))


@pytest.mark.parametrize("current", [{}, CURRENT], ids=["first order", "second order"])
@pytest.mark.parametrize("shape", [1, 2, 7, 18, 32, (2, 2, 2), (9, 1, 3)])
def test_membranes_are_back_in_time_for_the_next_step(shape, current):
    core = plan(shape, reset="none", threshold=100, **current)
    distance = 8 if current else 7
    assert core.sweeps + core.cooldown == max(core.sweeps, distance)
    drives = [[step % 3 - 1 + neuron % 2 for neuron in range(core.population.size)] for step in range(12)]
    steps = Steps(core, drives).run()
    assert steps.neurons("membranes") == expected(core, drives, (), "state")


@pytest.mark.parametrize(("current", "latency"), [({}, 3), (CURRENT, 4)])
def test_times_and_flags_of_a_word(current, latency):
    core = plan((3, 2, 3), lanes=1, **current)
    assert core.sweeps == 18
    steps = Steps(core, np.zeros((3, 18), int), ends={1}, gap=3).run()
    assert steps.dut.latency == latency
    indices = [*range(18)] * 3
    last = [0] * 18 + [1] * 18 + [0] * 18
    assert steps.words == [
        (cycle + latency, *steps.place(index), int(index == 17), flag)
        for cycle, index, flag in zip(steps.sent, indices, last, strict=True)
    ]
    assert steps.traces == [
        (cycle + latency + 2, index, flag) for cycle, index, flag in zip(steps.sent, indices, last, strict=True)
    ]


@pytest.mark.parametrize(
    ("shape", "units", "low", "high"),
    [
        ((11,), 1, 0, 4),
        ((11,), 2, 0, 3),
        ((16,), 16, 0, 0),
        ((1,), 1, 0, 0),
        ((5, 3, 4), 2, 4, 2),
        ((3, 1, 7), 2, 3, 1),
    ],
)
def test_a_place_is_what_the_lane_leaves_of_an_address(shape, units, low, high):
    layout = PlaceLayout.of(shape, units)
    assert (layout["low"].width, layout["high"].width) == (low, high)
    assert low + (units - 1).bit_length() + high == (Fields(shape).width if shape != (1,) else 0)


def test_a_mute_sweep_sets_the_membranes_and_says_nothing():
    core = plan(3, reset="none", initial=np.array([5, -3, 0]), threshold=6)
    drives = [[12, 12, 12], [0, 0, 0], [0, 1, 0]]
    steps = Steps(core, drives, ends={1}, mute={1}).run()
    assert len(steps.words) == len(steps.traces) == 2 * core.sweeps
    assert steps.neurons("membranes") == [[9, 9, 9], [5, -2, 0]]


def test_the_last_step_shows_its_membranes_not_the_initial_ones():
    core = plan(2, initial=3)
    steps = Steps(core, [[0, -9], [0, 0]], ends={0}).run()
    assert steps.neurons("membranes") == [[3, -6], [3, 3]]


def test_a_latched_neuron_fires_again_in_the_next_sample():
    core = plan(3, reset="latch", ternary=True)
    drives = [[9, 0, -9], [9, 9, 9], [9, 9, -9], [9, 0, -9], [0, -9, 0]]
    steps = Steps(core, drives, ends={2}).run()
    assert steps.neurons("spikes") == [[1, 0, -1], [0, 1, 0], [0, 0, 0], [1, 0, -1], [0, -1, 0]]
    assert steps.neurons("fired") == [[1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 0, 1], [0, 1, 0]]


def test_a_current_is_gone_in_the_next_sample():
    current = {"current_decay": Decay(), "current_min": -9, "current_max": 9}
    core = plan(2, threshold=100, decay=Decay(numerator=0), initial=np.array([1, 0]), **current)
    drives = [[3, -4], [0, 1], [0, 0], [0, 2]]
    steps = Steps(core, drives, ends={1}).run()
    assert steps.neurons("currents") == [[3, -4], [3, -3], [0, 0], [0, 2]]
    assert steps.neurons("membranes") == [[0, 0]] * 4


@pytest.mark.parametrize(("shape", "lanes"), [(17, 17), ((3, 3, 2), 3), ((5, 3, 2), 2)])
@pytest.mark.parametrize("fields", [{}, CURRENT, {"ternary": True}], ids=["plain", "second order", "ternary"])
def test_lanes_without_a_neuron_are_silent_whatever_their_neighbour_is(fields, shape, lanes):
    """Every neuron fires at every step, without an event."""
    random = Random(0)
    core = plan(shape, lanes=lanes, bias=20, initial=9, threshold=1, reset="none", **fields)
    size = core.population.size
    assert core.sweeps * core.units > size
    drives = [[random.randint(0, 12) for _ in range(size)] for _ in range(6)]
    assert np.all(Steps(core, drives, ends={2}).run().neurons("fired"))


ROMS = {
    "one number": ({"bias": 3, "threshold": 5}, []),
    "of channels that a word holds": ({"bias": np.arange(4), "threshold": np.array([4, 1, 2, 3])}, []),
    "of channels in two words": ({"shape": (8, 3, 3), "threshold": np.arange(8) + 1}, [(16, 2)]),
    "of channels in three words": ({"shape": (12, 3, 3), "threshold": np.arange(12) + 1}, [(16, 27)]),
    "one lane alone": ({"shape": (8, 3, 3), "threshold": np.array([2, 1, 1, 1, 5, 1, 1, 1])}, [(3, 2)]),
    "of a word that is not full": ({"shape": (7, 3, 3), "threshold": 9, "reset_value": -3}, []),
    "bias of a word that is not full": ({"shape": (7, 3, 3), "bias": 2}, [(2, 2)]),
    "of neurons": ({"bias": np.arange(64).reshape(4, 4, 4)}, [(24, 16)]),
    "initial": ({"initial": np.arange(64).reshape(4, 4, 4) % 10}, [(20, 16)]),
    "two": ({"shape": (8, 3, 3), "initial": np.arange(8), "bias": np.arange(8)}, [(12, 2), (20, 2)]),
}


@pytest.mark.parametrize("case", ROMS)
def test_parameters_take_no_more_memory_than_they_differ(case, monkeypatch):
    """Width and words of each memory: only lanes that differ, and once what repeats itself."""
    fields, sizes = ROMS[case]
    found = []

    class Counted(Rom):
        def __init__(self, *, width, init):
            found.append((width, len(init)))
            super().__init__(width=width, init=init)

    monkeypatch.setattr("hw.sweep.Rom", Counted)
    core = plan(**{"shape": (4, 4, 4), "lanes": 4, **fields})
    assert core.units == 4
    rtlil.convert(Sweep(core))
    assert sorted(found) == sorted(sizes)
    size = core.population.size
    drives = np.random.default_rng(2).integers(-12, 13, (3, size))
    steps = Steps(core, drives, ends={0}).run()
    assert steps.neurons("membranes") == expected(core, drives, {0}, "state")


def test_members_are_those_that_a_population_needs():
    assert "o_values" not in Sweep(plan(3)).signature.members
    assert "o_values" in Sweep(plan(3, ternary=True)).signature.members
    assert "trace_currents" not in Sweep(plan(3)).signature.members
    assert "trace_currents" in Sweep(plan(3, **CURRENT)).signature.members
