"""Rails of membranes and currents: proven from the weights where that is narrow, else measured on samples."""

from dataclasses import dataclass, replace
from typing import Any

from .errors import NetworkError
from .ir import Network, Population
from .ranges import Range, bounds_of, fan_in

__all__ = ["Rails", "measured_rails", "proven_rails", "railed"]

Pair = tuple[Range, Range]

_WIDEST = 31
_MAX_ITERATIONS = 4096


@dataclass(frozen=True, kw_only=True)
class Rails:
    """Rails of one population, and why they are where they are.

    Parameters
    ----------
    state, current : Range
        Of the stored membrane, and of the stored current of a second-order neuron.
    open : tuple of str
        Rails that can be reached, of ``state_min``, ``state_max``, ``current_min`` and ``current_max``: the proof
        needs more bits than allowed.
    origin : str
        Words for the report.
    """

    state: Range
    current: Range
    open: tuple[str, ...]
    origin: str


def proven_rails(network: Network, name: str, *, bits: int) -> Rails:
    """Rails that no input reaches within ``network.steps`` steps, by iterating the bounds of one step.

    A rail that would need more than ``bits`` bits is put at the end of ``bits`` signed bits, and named as open.
    """
    population = network[name]
    drive = Range(0, 0)
    for item in network.incoming(name):
        drive += fan_in(item, network.shape_of(item.source), network.value_range(item.source))
    limit = Range(-1 << (bits - 1), (1 << (bits - 1)) - 1)
    initial = Range(int(population.initial.min()), int(population.initial.max()))
    ranges = (Range(0, 0) | initial, Range(0, 0))
    beyond: set[str] = set()
    settled = False
    for _ in range(min(network.steps, _MAX_ITERATIONS)):
        reached = _after_step(railed(population, *ranges), drive)
        beyond |= _beyond(reached, limit | initial)
        before, ranges = ranges, _widened(ranges, reached, limit | initial)
        settled = ranges == before
        if settled:
            break
    if not settled and network.steps > _MAX_ITERATIONS:
        beyond |= {"state_min", "state_max", "current_min", "current_max"}
    origin = "proven" if settled else f"proven for {network.steps} step{'s' * (network.steps > 1)}"
    return Rails(state=ranges[0], current=ranges[1], open=tuple(sorted(beyond)), origin=origin)


def measured_rails(proven: Rails, measured: Pair, *, margin: float) -> Rails:
    """Rails with the open ones put beyond what was ``measured``, times ``margin``, at the end of a whole width."""
    ranges = []
    for kind, held, seen in zip(("state", "current"), (proven.state, proven.current), measured, strict=True):
        low = int(seen.low * margin) if f"{kind}_min" in proven.open else held.low
        high = int(seen.high * margin) if f"{kind}_max" in proven.open else held.high
        width = Range(min(low, 0), max(high, 0)).width
        if width > _WIDEST:
            raise NetworkError(f"A {kind} of {width} bits was measured; the widest is {_WIDEST}")
        filled = Range(-1 << (width - 1), (1 << (width - 1)) - 1) if low < 0 else Range(0, (1 << width) - 1)
        low = filled.low if f"{kind}_min" in proven.open else low
        ranges.append(Range(low, filled.high if f"{kind}_max" in proven.open else high))
    names = " and ".join(proven.open)
    return Rails(state=ranges[0], current=ranges[1], open=(), origin=f"{names} measured, margin {margin:g}")


def railed(population: Population, state: Range, current: Range) -> Population:
    """A population with other rails."""
    currents: dict[str, Any] = (
        {} if population.current_decay is None else {"current_min": current.low, "current_max": current.high}
    )
    return replace(population, state_min=state.low, state_max=state.high, **currents)


def _after_step(population: Population, drive: Range) -> Pair:
    bounds = bounds_of(population, drive)
    state = Range(bounds.product.low >> population.decay.shift, bounds.product.high >> population.decay.shift)
    if population.current_decay is None:
        return state, Range(0, 0)
    decay, ends = population.current_decay, (bounds.current.low, bounds.current.high)
    factors = (int(decay.numerator.min()), int(decay.numerator.max()))
    corners = [(end * factor + decay.half) >> decay.shift for end in ends for factor in factors]
    return state, Range(min(corners), max(corners))


def _beyond(reached: Pair, limit: Range) -> set[str]:
    """Names of the rails that would have to lie beyond ``limit``."""
    names = set()
    for kind, values in zip(("state", "current"), reached, strict=True):
        names |= {f"{kind}_min"} if values.low < limit.low else set()
        names |= {f"{kind}_max"} if values.high > limit.high else set()
    return names


def _widened(held: Pair, reached: Pair, limit: Range) -> Pair:
    state, current = (
        old | Range(max(new.low, limit.low), min(new.high, limit.high)) for old, new in zip(held, reached, strict=True)
    )
    return state, current
