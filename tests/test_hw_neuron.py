# amaranth: UnusedElaboratable=no
from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
from streams import simulate

from hw.neuron import Neuron, parameter_shapes, parameters
from quant.ir import RESETS, Decay, Population
from quant.ranges import Range, bounds_of

SPIKE, MEMBRANE = 2, 4  # cycles from a membrane to its spike, and to the new membrane; one more of second order


@dataclass(frozen=True, kw_only=True)
class Case:
    """What goes into a neuron unit in one cycle."""

    neuron: int = 0
    state: int = 0
    current: int = 0
    drive: int = 0
    latched: int = 0


@dataclass(frozen=True, kw_only=True)
class Step:
    """What comes out: whether there is an event, its value, and what is stored; 0 where there is no such thing."""

    fired: int = 0
    value: int = 0
    state: int = 0
    current: int = 0
    latched: int = 0


def own(population, values, index):
    """Number of one neuron of a population."""
    return int(population.per_neuron(values)[index])


def decayed(population, value, decay, index, low, high):
    half = 2 ** (decay.shift - 1) if decay.shift else 0
    return min(max((value * own(population, decay.numerator, index) + half) // 2**decay.shift, low), high)


def equation(population, case, *, shows=False):
    """The rule of quant.ir, word by word, for one neuron; what it sends is its spike, or H if that ``shows``."""
    number = case.neuron
    current, i = 0, case.drive
    if population.current_decay is not None:
        i += case.current
        rails = population.current_min, population.current_max
        current = decayed(population, i, population.current_decay, number, *rails)
    h = case.state + own(population, population.bias, number) + i
    if population.rectify:
        h = max(h, 0)
    latches = population.reset == "latch"
    s = 0
    if population.threshold is not None and not (latches and case.latched):
        theta = own(population, population.threshold, number)
        s = 1 if h >= theta else -1 if population.ternary and h <= -theta else 0
    latched = int(latches and (s != 0 or case.latched != 0))
    v = h
    if population.reset == "zero" and s:
        v = own(population, population.reset_value, number)
    if population.reset == "subtract":
        v = h - s * own(population, population.reset_amount, number)
    if latched:
        v = 0
    return Step(
        fired=int(shows or s != 0),
        value=h if shows else s,
        state=decayed(population, v, population.decay, number, population.state_min, population.state_max),
        current=current,
        latched=latched,
    )


def run(population, drive, cases, *, shows=False):
    """Steps of cases that follow each other, one per cycle."""
    unit = Neuron(population, bounds_of(population, drive), shows=shows)
    words = [
        {name: own(population, values, index) for name, values in parameters(population).items()}
        for index in range(population.size)
    ]
    second = population.current_decay is not None
    sent, kept = [], []

    def read(ctx, name):
        return ctx.get(getattr(unit, name)) if name in unit.signature.members else 0

    async def bench(ctx):
        for cycle in range(len(cases) + MEMBRANE + second):
            case = cases[min(cycle, len(cases) - 1)]
            for name in ("state", "current", "drive", "latched"):
                if name in unit.signature.members:
                    ctx.set(getattr(unit, name), getattr(case, name))
            if population.size > 1 or cycle == 0:
                for name, value in words[case.neuron].items():
                    ctx.set(getattr(unit, name), value)
            if cycle >= SPIKE + second:
                fired = read(ctx, "fired")
                sent.append({"fired": fired, "value": read(ctx, "value") if population.ternary or shows else fired})
            if cycle >= MEMBRANE + second:
                kept.append({name: read(ctx, f"next_{name}") for name in ("state", "current", "latched")})
            await ctx.tick()

    simulate(unit, bench)
    return [Step(**event, **state) for event, state in zip(sent, kept, strict=False)]


def every_case(population, drive):
    """Every neuron, membrane, current and drive, in an order in which neighbours have little in common."""
    flags = (0, 1) if population.reset == "latch" else (0,)
    ranges = (
        range(population.size),
        range(population.state_min, population.state_max + 1),
        range(population.current_min, population.current_max + 1),
        range(drive.low, drive.high + 1),
    )
    cases = [Case(neuron=n, state=v, current=i, drive=x, latched=flag) for n, v, i, x, flag in product(*ranges, flags)]
    np.random.default_rng(0).shuffle(cases)
    return cases


def check(population, drive, *, shows=False):
    cases = every_case(population, drive)
    for case, found in zip(cases, run(population, drive, cases, shows=shows), strict=True):
        assert found == equation(population, case, shows=shows), case


DECAYS = {
    "0": Decay(numerator=0),
    "1": Decay(),
    "1/2": Decay(numerator=1, shift=1),
    "3/4": Decay(numerator=3, shift=2),
    "7/8": Decay(numerator=7, shift=3),
    "5/4": Decay(numerator=5, shift=2),
    "3": Decay(numerator=3),
    "each": Decay(numerator=np.array([0, 5, 8]), shift=3),
}
RAILS = {"signed": (-4, 5), "unsigned": (0, 6)}


def first_order(**fields):
    values = {"threshold": 4, "decay": Decay(numerator=3, shift=2), "state_min": -4, "state_max": 5}
    return Population(**{"name": "n", "shape": (1,), **values, **fields})


@pytest.mark.parametrize("rails", RAILS)
@pytest.mark.parametrize("ternary", [False, True], ids=["binary", "ternary"])
@pytest.mark.parametrize("rectify", [False, True], ids=["", "rectify"])
@pytest.mark.parametrize("reset", RESETS)
def test_is_its_equation_for_every_membrane_and_drive(reset, rectify, ternary, rails):
    low, high = RAILS[rails]
    population = first_order(reset=reset, rectify=rectify, ternary=ternary, state_min=low, state_max=high)
    check(population, Range(-5, 6))


@pytest.mark.parametrize("rails", RAILS)
@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("reset", RESETS)
def test_is_its_equation_for_every_decay(reset, decay, rails):
    low, high = RAILS[rails]
    shape = (3,) if decay == "each" else (1,)
    population = first_order(shape=shape, reset=reset, ternary=True, decay=DECAYS[decay], state_min=low, state_max=high)
    check(population, Range(-5, 6))


def second_order(**fields):
    values = {"threshold": 4, "decay": Decay(numerator=3, shift=2), "bias": 1, "state_min": -3, "state_max": 4}
    current = {"current_decay": Decay(numerator=1, shift=1), "current_min": -3, "current_max": 2}
    return Population(**{"name": "n", "shape": (1,), **values, **current, **fields})


@pytest.mark.parametrize("ternary", [False, True], ids=["binary", "ternary"])
@pytest.mark.parametrize("rectify", [False, True], ids=["", "rectify"])
@pytest.mark.parametrize("reset", RESETS)
def test_of_second_order_is_its_equation_for_every_membrane_and_current(reset, rectify, ternary):
    check(second_order(reset=reset, rectify=rectify, ternary=ternary), Range(-3, 4))


@pytest.mark.parametrize("rails", [(-3, 2), (0, 3), (-3, 0), (0, 0)])
@pytest.mark.parametrize("decay", DECAYS)
def test_of_second_order_is_its_equation_for_every_decay_of_the_current(decay, rails):
    each = {"shape": (3,), "bias": np.array([-1, 2, 0])} if decay == "each" else {}
    rails = {"current_min": rails[0], "current_max": rails[1]}
    check(second_order(reset="subtract", current_decay=DECAYS[decay], **rails, **each), Range(-3, 4))


SILENT = {
    "plain": {},
    "rectified": {"rectify": True},
    "biased": {"bias": np.array([-7, 0, 3])},
    "positive": {"bias": 20, "state_min": 0},
    "negative": {"bias": -20, "state_max": 0, "rectify": True},
    "leaky": {"decay": Decay(numerator=np.array([0, 5, 9]), shift=3)},
    "without a membrane": {"state_min": 0, "state_max": 0},
    "second order": {"current_decay": Decay(numerator=1, shift=1), "current_min": -2, "current_max": 3},
}


@pytest.mark.parametrize("shows", [False, True], ids=["silent", "shows"])
@pytest.mark.parametrize("fields", SILENT)
def test_without_a_threshold_is_its_equation_for_every_membrane_and_drive(fields, shows):
    values = {"threshold": None, "reset": "none", "state_min": -4, "state_max": 5, **SILENT[fields]}
    check(Population(name="n", shape=(3,), **values), Range(-5, 6), shows=shows)


@pytest.mark.parametrize(
    "fields",
    [
        {"reset": "none", "state_min": -2, "state_max": 1},
        {"reset": "subtract", "state_min": -7, "state_max": 0},
        {"reset": "zero", "reset_value": -3},
        {"reset": "zero", "reset_value": 9},
        {"reset": "zero", "reset_value": np.array([-2, 0, 5]), "rectify": True},
        {"reset": "subtract", "reset_amount": 9},
        {"reset": "subtract", "reset_amount": -3},
        {"reset": "subtract", "reset_amount": 0},
        {"reset": "subtract", "reset_amount": np.array([-1, 2, 14]), "rectify": True},
        {"reset": "zero", "bias": -4},
        {"reset": "subtract", "bias": 5},
        {"reset": "none", "bias": np.array([-6, 0, 6])},
        {"reset": "latch", "bias": np.array([-1, 3, 1]), "threshold": np.array([1, 4, 9])},
        {"reset": "none", "threshold": 1000},
        {"reset": "zero", "threshold": np.array([1, 2, 1000])},
        {"reset": "subtract", "threshold": np.array([1, 2, 1000])},
        {"reset": "latch", "threshold": 1000, "rectify": True},
        {"reset": "zero", "ternary": True, "reset_value": np.array([-9, 2, 9])},
        {"reset": "subtract", "ternary": True, "reset_amount": np.array([-1, 2, 14]), "threshold": np.array([1, 3, 5])},
        {"reset": "subtract", "ternary": True, "bias": -5, "reset_amount": -3},
        {"reset": "latch", "ternary": True, "bias": np.array([-1, 3, 1]), "threshold": np.array([1, 4, 9])},
        {"reset": "none", "ternary": True, "threshold": np.array([1, 2, 1000])},
    ],
    ids=lambda fields: ", ".join(f"{name} {value}" for name, value in fields.items()),
)
def test_is_its_equation_for_every_parameter(fields):
    check(first_order(**{"shape": (3,), "threshold": 3, **fields}), Range(-5, 6))


@pytest.mark.parametrize("second", [False, True], ids=["first order", "second order"])
@pytest.mark.parametrize("ternary", [False, True], ids=["binary", "ternary"])
@pytest.mark.parametrize("reset", RESETS)
def test_is_its_equation_for_numbers_of_many_bits(reset, ternary, second):
    """Membranes of 31 bits and decays of 24, at random and at every corner."""
    rng = np.random.default_rng(3)
    low, high, drive = -(1 << 30), (1 << 30) - 1, Range(-(1 << 22), 1 << 22)
    fields = {}
    if second:
        decay = Decay(numerator=np.array([(1 << 23) + 7, (1 << 24) - 3]), shift=24)
        fields = {"current_decay": decay, "current_min": low, "current_max": high}
    population = Population(
        name="n",
        shape=(2,),
        threshold=np.array([1 << 29, 1 << 30]),
        reset=reset,
        ternary=ternary,
        decay=Decay(numerator=np.array([(1 << 24) - 1, (1 << 24) + 12345]), shift=24),
        bias=np.array([-(1 << 20), 99]),
        state_min=low,
        state_max=high,
        **fields,
    )
    states = [low, high, 0, -1, 1 << 29, -(1 << 29), *(int(state) for state in rng.integers(low, high + 1, 20))]
    drives = [drive.low, drive.high, 0, *(int(value) for value in rng.integers(drive.low, drive.high + 1, 4))]
    currents = [low, high, *(int(value) for value in rng.integers(low, high + 1, 3))] if second else [0]
    cases = [Case(neuron=n, state=v, drive=x, current=i) for n, v, x, i in product(range(2), states, drives, currents)]
    assert run(population, drive, cases) == [equation(population, case) for case in cases]


def test_is_its_equation_without_inputs():
    check(Population(name="n", shape=(1,), threshold=2, bias=1, state_min=-1, state_max=3), Range(0, 0))


@pytest.mark.parametrize(
    ("fields", "state", "drive", "spike", "after"),
    [
        # The threshold: at it, one above, one below.
        ({}, 3, 4, 0, 7),
        ({}, 3, 5, 1, 0),
        ({}, 3, 6, 1, 0),
        ({"bias": 1}, 3, 4, 1, 0),
        ({"bias": -1}, 3, 5, 0, 7),
        # The resets.
        ({"reset_value": -4}, 3, 5, 1, -4),
        ({"reset": "subtract"}, 3, 9, 1, 4),
        ({"reset": "subtract", "reset_amount": 3}, 3, 9, 1, 9),
        ({"reset": "subtract", "reset_amount": -2}, 3, 5, 1, 10),
        ({"reset": "none"}, 3, 9, 1, 12),
        ({"reset": "latch"}, 3, 9, 1, 0),
        # Rectified: before the comparison, and before what is kept.
        ({"rectify": True}, -5, -6, 0, 0),
        ({"rectify": True}, 0, -1, 0, 0),
        ({"rectify": True}, 0, 1, 0, 1),
        ({"rectify": True, "reset": "subtract", "reset_amount": 20}, 3, 9, 1, -8),
        # Rounding to nearest, halves up: 1.5, 1, -0.5, -1, -1.5.
        ({"decay": Decay(numerator=1, shift=1)}, 3, 0, 0, 2),
        ({"decay": Decay(numerator=1, shift=1)}, 2, 0, 0, 1),
        ({"decay": Decay(numerator=1, shift=1)}, -1, 0, 0, 0),
        ({"decay": Decay(numerator=1, shift=1)}, -2, 0, 0, -1),
        ({"decay": Decay(numerator=1, shift=1)}, -3, 0, 0, -1),
        # 3/4 of 2, 3, -2, -3: 1.5, 2.25, -1.5, -2.25; 5/4 of 6, -6: 7.5, -7.5.
        ({"decay": Decay(numerator=3, shift=2)}, 2, 0, 0, 2),
        ({"decay": Decay(numerator=3, shift=2)}, 3, 0, 0, 2),
        ({"decay": Decay(numerator=3, shift=2)}, -2, 0, 0, -1),
        ({"decay": Decay(numerator=3, shift=2)}, -3, 0, 0, -2),
        ({"decay": Decay(numerator=5, shift=2)}, 6, 0, 0, 8),
        ({"decay": Decay(numerator=5, shift=2)}, -6, 0, 0, -7),
        ({"decay": Decay(numerator=0)}, -6, 2, 0, 0),
        # The reset value decays too.
        ({"reset_value": 5, "decay": Decay(numerator=1, shift=1)}, 3, 9, 1, 3),
        # The rails: at them, and one beyond.
        ({"reset": "none"}, 3, 10, 1, 13),
        ({"reset": "none"}, 3, 11, 1, 13),
        ({"reset": "none"}, -2, -10, 0, -12),
        ({"reset": "none"}, -2, -11, 0, -12),
        ({"reset_value": 99}, 3, 9, 1, 13),
        ({"reset_value": -99}, 3, 9, 1, -12),
        ({"state_min": 0}, 1, -9, 0, 0),
    ],
)
def test_worked_by_hand(fields, state, drive, spike, after):
    population = Population(**{"name": "n", "shape": (1,), "threshold": 8, "state_min": -12, "state_max": 13, **fields})
    case = Case(state=state, drive=drive)
    wanted = Step(fired=abs(spike), value=spike, state=after, latched=int(population.reset == "latch" and spike != 0))
    assert run(population, Range(-12, 12), [case]) == [wanted]
    assert equation(population, case) == wanted


@pytest.mark.parametrize(
    ("fields", "state", "drive", "spike", "after"),
    [
        # The thresholds: at them, one inside, one outside.
        ({}, -3, -4, 0, -7),
        ({}, -3, -5, -1, 0),
        ({}, -3, -6, -1, 0),
        ({}, 3, 4, 0, 7),
        ({}, 3, 5, 1, 0),
        ({}, 3, 6, 1, 0),
        ({"bias": -1}, -3, -4, -1, 0),
        ({"threshold": 1}, 0, 0, 0, 0),
        ({"threshold": 1}, 0, -1, -1, 0),
        # The resets, which follow the sign of the spike where they depend on it.
        ({"reset_value": -4}, -3, -5, -1, -4),
        ({"reset_value": 5}, -3, -5, -1, 5),
        ({"reset": "subtract"}, -3, -9, -1, -4),
        ({"reset": "subtract"}, 3, 9, 1, 4),
        ({"reset": "subtract"}, -3, -4, 0, -7),
        ({"reset": "subtract", "reset_amount": 3}, -3, -9, -1, -9),
        ({"reset": "subtract", "reset_amount": -2}, -3, -5, -1, -10),
        ({"reset": "subtract", "reset_amount": 20}, -3, -9, -1, 8),
        ({"reset": "none"}, -3, -9, -1, -12),
        # Rectified, it is never below.
        ({"rectify": True}, -5, -6, 0, 0),
        ({"rectify": True, "threshold": 1}, -5, -6, 0, 0),
        ({"rectify": True}, 3, 5, 1, 0),
        # The rails, after a spike.
        ({"reset": "none"}, -3, -10, -1, -12),
        ({"reset": "subtract", "reset_amount": 30}, -3, -9, -1, 13),
        ({"reset": "subtract", "reset_amount": -5}, -3, -9, -1, -12),
        # And the decay: 1/2 of -4 and of -5, halves up.
        ({"reset": "subtract", "decay": Decay(numerator=1, shift=1)}, -3, -9, -1, -2),
        ({"reset": "subtract", "decay": Decay(numerator=1, shift=1)}, -3, -10, -1, -2),
    ],
)
def test_ternary_worked_by_hand(fields, state, drive, spike, after):
    test_worked_by_hand({"ternary": True, **fields}, state, drive, spike, after)


@pytest.mark.parametrize(
    ("fields", "state", "current", "drive", "spike", "after", "kept"),
    [
        # H counts the current as it arrives, with the drive; what is kept of it is the half, rounded up.
        ({}, 2, 3, 2, 0, 7, 3),
        ({}, 2, 3, 3, 1, 0, 3),
        ({}, 2, -3, 2, 0, 1, 0),
        ({}, 2, -3, 0, 0, -1, -1),
        ({}, 0, 5, 0, 0, 5, 3),
        ({"bias": 1}, 2, 3, 2, 1, 0, 3),
        ({"bias": 3}, 0, 0, 0, 0, 3, 0),
        # Nothing is lost on the way: of V + b = 17 and I' = -17, and of an I' of 94.
        ({"bias": 4}, 13, -5, -12, 0, 0, -5),
        ({"current_max": 100}, 2, 90, 4, 1, 0, 47),
        ({"current_max": 100, "reset": "subtract"}, -12, 20, -5, 0, 3, 8),
        # Neither a spike nor the rectification changes the current, whatever the reset.
        ({"reset": "subtract"}, 2, 4, 4, 1, 2, 4),
        ({"reset": "none"}, 2, 4, 4, 1, 10, 4),
        ({"reset": "latch"}, 2, 4, 4, 1, 0, 4),
        ({"rectify": True}, 2, -4, -4, 0, 0, -4),
        # Its decays.
        ({"current_decay": Decay(numerator=0)}, 0, 5, 2, 0, 7, 0),
        ({"current_decay": Decay()}, 0, 3, 2, 0, 5, 5),
        ({"current_decay": Decay(numerator=3, shift=2)}, 0, 1, 1, 0, 2, 2),
        ({"current_decay": Decay(numerator=3, shift=2)}, 0, -1, -1, 0, -2, -1),
        ({"current_decay": Decay(numerator=3, shift=2)}, 0, -1, -2, 0, -3, -2),
        ({"current_decay": Decay(numerator=3, shift=1)}, 0, 1, 1, 0, 2, 3),
        # Its rails, -5 and 6, are not those of the membrane, -12 and 13: at them, and one beyond.
        ({"current_decay": Decay()}, 0, 6, 0, 0, 6, 6),
        ({"current_decay": Decay()}, 0, 6, 1, 0, 7, 6),
        ({"current_decay": Decay()}, 0, -5, 0, 0, -5, -5),
        ({"current_decay": Decay()}, 0, -5, -1, 0, -6, -5),
        ({"current_decay": Decay(), "reset": "none"}, 2, 6, 4, 1, 12, 6),
        ({"current_decay": Decay(), "current_min": 0}, 0, 1, -2, 0, -1, 0),
        ({"current_decay": Decay(), "current_max": 0}, 0, -1, 2, 0, 1, 0),
    ],
)
def test_of_second_order_worked_by_hand(fields, state, current, drive, spike, after, kept):
    rails = {"state_min": -12, "state_max": 13, "current_min": -5, "current_max": 6}
    population = second_order(**{"threshold": 8, "decay": Decay(), "bias": 0, **rails, **fields})
    case = Case(state=state, current=current, drive=drive)
    latched = int(population.reset == "latch" and spike)
    wanted = Step(fired=spike, value=spike, state=after, current=kept, latched=latched)
    assert run(population, Range(-12, 12), [case]) == [wanted]
    assert equation(population, case) == wanted


@pytest.mark.parametrize(
    ("fields", "state", "drive", "value", "after"),
    [
        # What is shown is H, whole: before the decay and the rails.
        ({}, 3, 4, 7, 7),
        ({}, 3, -9, -6, -6),
        ({}, 13, 12, 25, 13),
        ({}, -12, -12, -24, -12),
        ({"bias": 2}, 3, 4, 9, 9),
        ({"decay": Decay(numerator=1, shift=1)}, 3, 4, 7, 4),
        ({"rectify": True}, 3, -9, 0, 0),
        ({"rectify": True}, 3, 9, 12, 12),
        ({"state_min": 0, "state_max": 0}, 0, -7, -7, 0),
    ],
)
def test_without_a_threshold_worked_by_hand(fields, state, drive, value, after):
    rails = {"state_min": -12, "state_max": 13}
    population = Population(**{"name": "n", "shape": (1,), "threshold": None, "reset": "none", **rails, **fields})
    case = Case(state=state, drive=drive)
    for shows, wanted in ((True, Step(fired=1, value=value, state=after)), (False, Step(state=after))):
        assert run(population, Range(-12, 12), [case], shows=shows) == [wanted]
        assert equation(population, case, shows=shows) == wanted


def test_a_latched_neuron_is_silent_with_its_membrane_at_zero():
    population = Population(name="n", shape=(1,), threshold=8, reset="latch", state_min=-12, state_max=13)
    cases = [Case(drive=8, latched=1), Case(state=-5, latched=1), Case(drive=8), Case(drive=7), Case(state=-5)]
    assert run(population, Range(-12, 12), cases) == [
        Step(latched=1),
        Step(latched=1),
        Step(fired=1, value=1, latched=1),
        Step(state=7),
        Step(state=-5),
    ]


def test_a_negative_spike_latches_too():
    population = Population(name="n", shape=(1,), threshold=8, reset="latch", ternary=True, state_min=-12, state_max=13)
    cases = [Case(drive=-8), Case(drive=-8, latched=1), Case(drive=8, latched=1), Case(drive=-7), Case(drive=8)]
    assert run(population, Range(-12, 12), cases) == [
        Step(fired=1, value=-1, latched=1),
        Step(latched=1),
        Step(latched=1),
        Step(state=-7),
        Step(fired=1, value=1, latched=1),
    ]


PORTS = {
    "zero": ({}, {"threshold", "bias", "factor", "reset_value"}, set()),
    "none": ({"reset": "none"}, {"threshold", "bias", "factor"}, set()),
    "latch": ({"reset": "latch"}, {"threshold", "bias", "factor"}, {"latched", "next_latched"}),
    "subtract": ({"reset": "subtract"}, {"threshold", "bias", "factor", "reset_amount"}, set()),
    "ternary": ({"ternary": True, "reset": "none"}, {"threshold", "bias", "factor"}, {"value"}),
    "silent": ({"threshold": None, "reset": "none"}, {"bias", "factor"}, set()),
    "second order": (
        {"reset": "none", "current_decay": Decay()},
        {"threshold", "bias", "factor", "current_factor"},
        {"current", "next_current"},
    ),
}


@pytest.mark.parametrize("case", PORTS)
def test_what_the_rule_does_not_use_has_no_port(case):
    fields, names, others = PORTS[case]
    population = Population(**{"name": "n", "shape": (2,), "threshold": 3, "state_min": -8, "state_max": 7, **fields})
    assert set(parameters(population)) == set(parameter_shapes(population)) == names
    ports = set(Neuron(population, bounds_of(population, Range(-1, 1))).signature.members)
    assert ports == {"state", "drive", "fired", "next_state"} | names | others
