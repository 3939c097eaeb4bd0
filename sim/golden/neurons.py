"""Neurons: the update rule of :mod:`quant.ir`, one population and one step at a time, over a batch."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from quant.ir import Bounds, Decay, Population
from quant.ranges import Range

__all__ = ["Neurons"]

Array = NDArray[Any]


class Neurons:
    """State of a population over a batch of samples.

    Parameters
    ----------
    population : Population
    bounds : Bounds
        Ranges of its sums: they choose the narrowest type that holds all of them.

    Attributes
    ----------
    dtype : dtype
        Type of the state, and of the drives that :meth:`step` takes.
    membrane, current : array, (B, N)
        V and I as stored after the last step; ``current`` only of second-order neurons.
    total : array, (B, N)
        H of the last step. Only of a population without a threshold, else stale.
    """

    def __init__(self, population: Population, bounds: Bounds):
        self.population = population
        self.dtype = _narrowest(_ranges(population, bounds))
        self._threshold = self._spread(population.threshold)
        self._reset_value = self._spread(population.reset_value)
        self._reset_amount = self._spread(population.reset_amount)
        self._bias = self._spread(population.bias)
        self._leak = _Leak(self, population.decay, bounds.state, _decayed(bounds.kept, population.decay))
        if population.current_decay is not None:
            rails = Range(population.current_min, population.current_max)
            reach = _decayed(bounds.current, population.current_decay)
            self._current_leak = _Leak(self, population.current_decay, rails, reach)

    def _spread(self, values: Any) -> Any:
        """A field as a number, or as an array of one number per neuron if they differ."""
        if values is None:
            return None
        spread = self.population.per_neuron(values).astype(self.dtype)
        return spread[0] if (spread == spread[0]).all() else spread

    def start(self, batch: int) -> None:
        """Begin a batch of samples."""
        shape = (batch, self.population.size)
        self.membrane = np.empty(shape, self.dtype)
        self.membrane[:] = self._spread(self.population.initial)
        self.current = np.zeros(shape, self.dtype) if self.population.current_decay is not None else None
        self.total = np.empty(shape, self.dtype) if self.population.threshold is None else None
        self._latched = np.zeros(shape, np.bool_)
        self._scratch = np.empty(shape, self.dtype)

    def step(self, drives: Iterable[Array], spikes: Array) -> None:
        """One time step.

        Parameters
        ----------
        drives : arrays, (B, N) or what broadcasts to it
            What each incoming connection brings.
        spikes : array of int8, (B, N)
            Receives S.
        """
        membrane, population = self.membrane, self.population
        self._accumulate(drives)
        if np.any(self._bias):
            membrane += self._bias
        if population.rectify:
            np.clip(membrane, 0, None, out=membrane)
        if population.threshold is None:
            np.copyto(self.total, membrane)  # type: ignore[arg-type]
            spikes[:] = 0
        else:
            self._fire(spikes)
            getattr(self, f"_reset_{population.reset}")(spikes)
        self._leak(membrane)

    def _accumulate(self, drives: Iterable[Array]) -> None:
        if self.current is None:
            for drive in drives:
                self.membrane += drive
            return
        for drive in drives:
            self.current += drive
        self.membrane += self.current
        self._current_leak(self.current)

    def _fire(self, spikes: Array) -> None:
        np.greater_equal(self.membrane, self._threshold, out=spikes.view(np.bool_))
        if self.population.ternary:
            spikes -= self.membrane <= -self._threshold
        if self.population.reset == "latch":
            spikes *= ~self._latched
            self._latched |= spikes != 0

    def _reset_zero(self, spikes: Array) -> None:
        # V + (reset_value - V) * |S|
        np.subtract(self._reset_value, self.membrane, out=self._scratch)
        self._scratch *= np.abs(spikes)
        self.membrane += self._scratch

    def _reset_subtract(self, spikes: Array) -> None:
        np.multiply(spikes, self._reset_amount, out=self._scratch)
        self.membrane -= self._scratch

    def _reset_none(self, spikes: Array) -> None:
        pass

    def _reset_latch(self, spikes: Array) -> None:
        self.membrane *= ~self._latched


class _Leak:
    """Decay and rails: ``clip((v * m + half) >> f, low, high)`` in place."""

    def __init__(self, neurons: Neurons, decay: Decay, rails: Range, reach: Range):
        self._numerator = None if decay.is_one else neurons._spread(decay.numerator)
        self._half = neurons.dtype.type(decay.half)
        self._shift = neurons.dtype.type(decay.shift)
        self._rails = (rails.low, rails.high) if reach.low < rails.low or reach.high > rails.high else None

    def __call__(self, values: Array) -> None:
        if self._numerator is not None:
            values *= self._numerator
            if self._shift:
                values += self._half
                values >>= self._shift
        if self._rails is not None:
            np.clip(values, *self._rails, out=values)


def _product(values: Range, decay: Decay) -> Range:
    corners = [v * int(m) for v in (values.low, values.high) for m in (decay.numerator.min(), decay.numerator.max())]
    return Range(min(corners), max(corners) + decay.half)


def _decayed(values: Range, decay: Decay) -> Range:
    """Range that decay makes of a range, before the rails."""
    corners = [v * int(m) for v in (values.low, values.high) for m in (decay.numerator.min(), decay.numerator.max())]
    return Range(min(corners) + decay.half >> decay.shift, max(corners) + decay.half >> decay.shift)


def _extremes(values: Any) -> Range:
    return Range(int(np.min(values)), int(np.max(values)))


def _ranges(population: Population, bounds: Bounds) -> Range:
    """Range of everything that a step computes with."""
    fields = [population.reset_value, population.bias, population.initial]
    result = bounds.current | bounds.state + bounds.current | bounds.total | bounds.kept | bounds.state
    result |= _product(bounds.kept, population.decay)
    if population.current_decay is not None:
        result |= Range(population.current_min, population.current_max)
        result |= _product(bounds.current, population.current_decay)
        fields.append(population.current_decay.numerator)
    fields.append(population.decay.numerator)
    if population.threshold is not None:
        fields += [population.threshold, -population.threshold]
    if population.reset_amount is not None:
        fields += [population.reset_amount, -population.reset_amount]
    for values in fields:
        result |= _extremes(values)
    return result


def _narrowest(values: Range) -> np.dtype[Any]:
    widths: dict[int, DTypeLike] = {16: np.int16, 32: np.int32}
    fits = (
        dtype for width, dtype in widths.items() if -(1 << (width - 1)) <= values.low and values.high < 1 << (width - 1)
    )
    return np.dtype(next(fits, np.int64))
