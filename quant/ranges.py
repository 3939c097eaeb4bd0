"""Ranges of sums: the widths of a datapath are derived, never guessed."""

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import NetworkError
from .graph import Shape, Synapses

if TYPE_CHECKING:
    from .ir import Population

__all__ = ["Bounds", "Range", "bounds_of", "fan_in"]

_MAX_WIDTH = 60


@dataclass(frozen=True)
class Range:
    """Integers from ``low`` to ``high``, both included."""

    low: int
    high: int

    def __add__(self, other: "Range") -> "Range":
        return Range(self.low + other.low, self.high + other.high)

    def __or__(self, other: "Range") -> "Range":
        return Range(min(self.low, other.low), max(self.high, other.high))

    @property
    def signed(self) -> bool:
        """Whether it holds negative numbers."""
        return self.low < 0

    @property
    def width(self) -> int:
        """Width in bits that holds every number: with a sign bit if :attr:`signed`, and at least 1."""
        bits = max(max(self.high, 0).bit_length(), (~self.low).bit_length() if self.low < 0 else 0)
        return max(1, bits + self.signed)


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Ranges of a population's quantities, each over all neurons and all inputs.

    Parameters
    ----------
    drive : Range
        Sum of the events of one step, with 0, which is where the sum starts.
    current : Range
        I' of a second-order neuron, else ``drive``.
    total : Range
        H, before it is rectified.
    kept : Range
        V'.
    product : Range
        V' * m + half.
    state : Range
        V: the rails.
    """

    drive: Range
    current: Range
    total: Range
    kept: Range
    product: Range
    state: Range


def _extremes(*arrays: Any) -> Range:
    return Range(min(int(np.min(a)) for a in arrays), max(int(np.max(a)) for a in arrays))


def fan_in(connection: Synapses, source: Shape, values: Range) -> Range:
    """Range of what one step brings through a connection to its worst neuron; it holds 0.

    ``source`` is the source's shape, ``values`` the range of its events' values. Of a convolution every tap is
    counted, as at a neuron away from the border.
    """
    repeat = prod(connection.pool)
    weights = np.asarray(connection.weights)
    low, high = min(values.low, 0) * repeat, max(values.high, 0) * repeat
    if connection.kind == "max_pool":
        low, high = 0, 1
    best = np.maximum(weights * low, weights * high)
    worst = np.minimum(weights * low, weights * high)
    if connection.kind in ("max_pool", "identity"):
        sums = [(worst, best)]
    elif connection.kind == "conv_transpose2d":
        assert connection.stride is not None
        rows, columns = connection.stride
        # Group g of the source channels makes group g of the target's: sum within a group.
        grouped = (connection.groups, -1, *weights.shape[1:])
        sums = [
            tuple(part.reshape(grouped)[..., y::rows, x::columns].sum(axis=(1, -2, -1)) for part in (worst, best))
            for y in range(min(rows, weights.shape[2]))
            for x in range(min(columns, weights.shape[3]))
        ]
    else:
        sums = [tuple(part.sum(axis=tuple(range(1, part.ndim))) for part in (worst, best))]
    return _extremes(0, *(part for pair in sums for part in pair))


def bounds_of(population: "Population", drive: Range) -> Bounds:
    """Bounds of a population whose incoming events of a step sum up within ``drive``."""
    state = Range(population.state_min, population.state_max)
    current = drive
    if population.current_decay is not None:
        current = drive + Range(population.current_min, population.current_max)
        _product(population, current, population.current_decay, "current")
    total = state + current + _extremes(population.bias)
    kept = _kept(population, Range(max(total.low, 0), max(total.high, 0)) if population.rectify else total)
    product = _product(population, kept, population.decay, "membrane")
    return Bounds(drive=drive, current=current, total=total, kept=kept, product=product, state=state)


def _kept(population: "Population", total: Range) -> Range:
    if population.reset == "none":
        return total
    most = int(population.threshold.max()) - 1
    quiet = Range(max(total.low, -most) if population.ternary else total.low, min(total.high, most))
    if population.reset == "zero":
        return quiet | _extremes(population.reset_value)
    if population.reset == "latch":
        return quiet | Range(0, 0)
    amount, threshold = population.per_neuron(population.reset_amount), population.per_neuron(population.threshold)
    after = [np.minimum(threshold, total.high) - amount, total.high - amount]
    if population.ternary:
        after += [amount - np.minimum(threshold, -total.low), total.low + amount]
    return quiet | _extremes(*after)


def _product(population: "Population", value: Range, decay: Any, what: str) -> Range:
    factors = _extremes(decay.numerator)
    corners = [v * m for v in (value.low, value.high) for m in (factors.low, factors.high)]
    product = Range(min(corners) + decay.half, max(corners) + decay.half)
    if product.width > _MAX_WIDTH:
        raise NetworkError(
            f"Population {population.name}: the {what} times its decay must fit {_MAX_WIDTH} bits, not "
            f"{product.width}; use narrower rails, fewer weight bits or a smaller decay shift"
        )
    return product
