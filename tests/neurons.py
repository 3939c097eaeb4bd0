# amaranth: UnusedElaboratable=no
"""The rule of a neuron as an equation, and its unit in Amaranth's simulator."""

from dataclasses import dataclass

from streams import simulate

from hw.neuron import Neuron, parameters
from quant.ir import Decay, Population
from quant.ranges import bounds_of

__all__ = ["Case", "Step", "equation", "run", "second_order"]

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


def second_order(**fields):
    values = {"threshold": 4, "decay": Decay(numerator=3, shift=2), "bias": 1, "state_min": -3, "state_max": 4}
    current = {"current_decay": Decay(numerator=1, shift=1), "current_min": -3, "current_max": 2}
    return Population(**{"name": "n", "shape": (1,), **values, **current, **fields})
