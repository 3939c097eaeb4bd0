"""Neurons: the update rule of :mod:`quant.ir`, one population and one step at a time, over a batch."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.ir import Bounds, Decay, Population
from quant.ranges import Range

from .events import holding

__all__ = ["Neurons", "State"]

Array = NDArray[Any]


@dataclass(kw_only=True)
class State:
    """State of a population over a batch of samples, after its last step.

    Parameters
    ----------
    membrane : array, (B, N)
        V as stored.
    current : array, (B, N)
        I as stored; zeros unless the neurons are of second order.
    total : array, (B, N)
        H, of a population without a threshold.
    latched : array of bool, (B, N)
        Who has fired, under reset ``"latch"``.
    scratch : array, (B, N)
    """

    membrane: Array
    current: Array
    total: Array
    latched: Array
    scratch: Array


class Neurons:
    """The rule of a population.

    Parameters
    ----------
    population : Population
    bounds : Bounds
        Ranges of its sums: they choose the narrowest type that holds all of them.

    Attributes
    ----------
    dtype : dtype
        Type of the state, and of the drives that :meth:`step` takes.
    """

    def __init__(self, population: Population, bounds: Bounds):
        self.population = population
        self.dtype = np.promote_types(np.int16, holding(_ranges(population, bounds)))
        self._threshold = self._spread(population.threshold)
        self._reset_value = self._spread(population.reset_value)
        self._reset_amount = self._spread(population.reset_amount)
        self._bias, self._biased = self._spread(population.bias), bool(population.bias.any())
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

    def start(self, batch: int) -> State:
        """State at the start of ``batch`` samples."""
        shape = (batch, self.population.size)
        membrane, current, total, scratch = (np.zeros(shape, self.dtype) for _ in range(4))
        membrane[:] = self._spread(self.population.initial)
        return State(
            membrane=membrane, current=current, total=total, latched=np.zeros(shape, np.bool_), scratch=scratch
        )

    def step(self, state: State, drives: Iterable[Array], spikes: Array) -> None:
        """One time step.

        Parameters
        ----------
        state : State
            Becomes the state after the step.
        drives : arrays, (B, N)
            What each incoming connection brings.
        spikes : array of int8, (B, N)
            Receives S.
        """
        membrane, population = state.membrane, self.population
        self._accumulate(state, drives)
        if self._biased:
            membrane += self._bias
        if population.rectify:
            membrane.clip(0, None, out=membrane)
        if population.threshold is None:
            np.copyto(state.total, membrane)
            spikes[:] = 0
        else:
            self._fire(state, spikes)
            getattr(self, f"_reset_{population.reset}")(state, spikes)
        self._leak(membrane)

    def _accumulate(self, state: State, drives: Iterable[Array]) -> None:
        second_order = self.population.current_decay is not None
        received = state.current if second_order else state.membrane
        for drive in drives:
            received += drive
        if second_order:
            state.membrane += state.current
            self._current_leak(state.current)

    def _fire(self, state: State, spikes: Array) -> None:
        np.greater_equal(state.membrane, self._threshold, out=spikes.view(np.bool_))
        if self.population.ternary:
            spikes -= state.membrane <= -self._threshold
        if self.population.reset == "latch":
            spikes *= ~state.latched
            state.latched |= spikes != 0

    def _reset_zero(self, state: State, spikes: Array) -> None:
        # V + (reset_value - V) * |S|
        np.subtract(self._reset_value, state.membrane, out=state.scratch)
        state.scratch *= np.abs(spikes)
        state.membrane += state.scratch

    def _reset_subtract(self, state: State, spikes: Array) -> None:
        np.copyto(state.scratch, spikes)
        state.scratch *= self._reset_amount
        state.membrane -= state.scratch

    def _reset_none(self, state: State, spikes: Array) -> None:
        pass

    def _reset_latch(self, state: State, spikes: Array) -> None:
        state.membrane *= ~state.latched


class _Leak:
    """Decay and rails: ``clip((v * m + half) >> f, low, high)`` in place."""

    def __init__(self, neurons: Neurons, decay: Decay, rails: Range, reach: Range):
        self._numerator = None if decay.is_one else neurons._spread(decay.numerator)
        self._half = neurons.dtype.type(decay.half)
        self._shift = neurons.dtype.type(decay.shift)
        # Of the type already: clip looks at Python's integers before it works.
        ends = neurons.dtype.type(rails.low), neurons.dtype.type(rails.high)
        self._rails = ends if reach.low < rails.low or reach.high > rails.high else None

    def __call__(self, values: Array) -> None:
        if self._numerator is not None:
            values *= self._numerator
            if self._shift:
                values += self._half
                values >>= self._shift
        if self._rails is not None:
            values.clip(*self._rails, out=values)


def _corners(values: Range, decay: Decay) -> Range:
    factors = int(decay.numerator.min()), int(decay.numerator.max())
    corners = [value * factor for value in (values.low, values.high) for factor in factors]
    return Range(min(corners), max(corners))


def _decayed(values: Range, decay: Decay) -> Range:
    """Range that decay makes of a range, before the rails."""
    product = _corners(values, decay)
    return Range((product.low + decay.half) >> decay.shift, (product.high + decay.half) >> decay.shift)


def _extremes(values: Any) -> Range:
    return Range(int(np.min(values)), int(np.max(values)))


def _ranges(population: Population, bounds: Bounds) -> Range:
    """Range of everything that a step computes with."""
    sums = bounds.current | bounds.state + bounds.current | bounds.total | bounds.kept
    fields = [
        population.reset_value,
        population.bias,
        population.initial,
        population.current_min,
        population.current_max,
    ]
    if population.threshold is not None:
        fields += [population.threshold, -population.threshold]
    if population.reset_amount is not None:
        fields += [population.reset_amount, -population.reset_amount]
    for decay, values in ((population.decay, bounds.kept), (population.current_decay, bounds.current)):
        if decay is not None:
            product = _corners(values, decay)
            sums |= product | product + Range(decay.half, decay.half)
            fields += [decay.numerator, decay.half]
    return reduce(or_, map(_extremes, fields), sums)
