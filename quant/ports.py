"""Ports of a network: what comes in with a sample, and how its scores and answer are read."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checks import integer, integers
from .errors import NetworkError
from .graph import Shape, check_name, check_shape
from .ranges import Range

__all__ = ["Input", "Readout", "lfsr_thresholds"]

INPUT_KINDS = ("events", "current", "rate", "latency")
READOUT_KINDS = ("count", "first_spike", "membrane", "linear")
REDUCTIONS = ("last", "sum", "max")


@dataclass(frozen=True, kw_only=True, eq=False)
class Input:
    """What comes in at each sample.

    Parameters
    ----------
    shape : tuple of int
        ``(N,)`` or ``(C, H, W)``.
    kind : str
        ``events``
            Values of every step, ``(steps, N)``: 0 for no event, else the event's value.
        ``current``
            Values of the sample, ``(N,)``, seen by the connections in every step (direct coding).
        ``rate``
            Pixels of the sample, ``(N,)``. A step's spike is ``pixel > r``, where r is the pixel's number of
            that step from :func:`lfsr_thresholds`; the sequence starts anew with every sample.
        ``latency``
            Pixels of the sample, ``(N,)``. Pixel p > 0 spikes once, in step ``((high - p) * steps) // (high + 1)``.
    low, high : int
        Smallest and largest value. For ``rate`` and ``latency`` 0 and ``2**bits - 1``, bits at most 16.
    seed : int
        State of the LFSR at the start of a sample, 1 to 65535; ``rate`` only.
    """

    shape: Shape
    kind: str = "events"
    low: int = 0
    high: int = 1
    seed: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", check_shape(self.shape, "Input"))
        if self.kind not in INPUT_KINDS:
            raise NetworkError(f"Input kind must be one of {', '.join(INPUT_KINDS)}, not {self.kind!r}")
        object.__setattr__(self, "low", integer(self.low, "Input low", low=-32768, high=0))
        object.__setattr__(self, "high", integer(self.high, "Input high", low=1, high=65535))
        object.__setattr__(self, "seed", integer(self.seed, "Input seed", low=1, high=65535))
        if self.coded and (self.low != 0 or self.high & (self.high + 1)):
            raise NetworkError(
                f"Input of kind {self.kind} must have pixels of 0 to 2**bits - 1, not {self.low} to {self.high}"
            )

    @property
    def size(self) -> int:
        """Number of input values."""
        return prod(self.shape)

    @property
    def coded(self) -> bool:
        """Whether the values are turned into spikes here, by ``rate`` or ``latency``."""
        return self.kind in ("rate", "latency")

    @property
    def value_range(self) -> Range:
        """Range of an event's value as the connections see it."""
        return Range(0, 1) if self.coded else Range(self.low, self.high)


def lfsr_thresholds(*, seed: int, bits: int, count: int) -> NDArray[np.int64]:
    """First ``count`` numbers of input kind ``rate``, each of ``bits`` bits.

    A 16-bit Fibonacci register, x^16 + x^15 + x^13 + x^4 + 1. It starts at ``seed``; before each number it
    shifts left ``bits`` times, the XOR of its bits 15, 14, 12 and 3 coming in at bit 0. The number is its low
    ``bits`` bits. Step 0 takes one number a pixel, in C order, then step 1, and so on.
    """
    state, numbers = seed, np.empty(count, np.int64)
    for index in range(count):
        for _ in range(bits):
            state = (state << 1 | (state >> 15 ^ state >> 14 ^ state >> 12 ^ state >> 3) & 1) & 0xFFFF
        numbers[index] = state & ((1 << bits) - 1)
    return numbers


@dataclass(frozen=True, kw_only=True, eq=False)
class Readout:
    """How a population becomes scores and an answer.

    Parameters
    ----------
    population : str
        The population that is read.
    kind : str
        ``count``
            Scores: the sum of each neuron's spikes. Answer: the largest.
        ``first_spike``
            Scores: the step of each neuron's first spike, of those that spike in the earliest step in which
            any does; the number of steps for all others. Answer: the smallest.
        ``membrane``
            Scores: H of a population without a threshold, by ``reduce``. Answer: the largest.
        ``linear``
            Scores: ``weights @ counts + bias``. Answer: the largest.

        Of equal scores, the lowest index is the answer.
    weights, bias : array of int
        ``(classes, N)`` and ``(classes,)`` of ``linear``.
    reduce : str
        ``last`` step, ``sum`` over the steps or ``max`` over them, of ``membrane``.
    """

    population: str
    kind: str = "count"
    weights: Any = None
    bias: Any = None
    reduce: str = "last"

    def __post_init__(self) -> None:
        check_name(self.population, "Readout population")
        if self.kind not in READOUT_KINDS:
            raise NetworkError(f"Readout kind must be one of {', '.join(READOUT_KINDS)}, not {self.kind!r}")
        if self.reduce not in REDUCTIONS:
            raise NetworkError(f"Readout reduce must be one of {', '.join(REDUCTIONS)}, not {self.reduce!r}")
        if self.kind != "linear":
            if self.weights is not None or self.bias is not None:
                raise NetworkError("Readout weights and bias must be given with kind 'linear' only")
            return
        weights = integers(self.weights, "Readout weights")
        zeros = np.zeros(weights.shape[:1] or 1, np.int64)
        bias = integers(zeros if self.bias is None else self.bias, "Readout bias")
        if weights.ndim != 2 or bias.shape != weights.shape[:1]:
            raise NetworkError(
                "Readout weights and bias must have shapes (classes, N) and (classes,), "
                f"not {weights.shape} and {bias.shape}"
            )
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "bias", bias)
