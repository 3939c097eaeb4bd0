"""Readout and recording: what is kept of the spikes and membranes of a batch."""

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.errors import NetworkError
from quant.graph import INPUT
from quant.ir import Network
from quant.result import Result

from .neurons import State

__all__ = ["Log"]

Array = NDArray[Any]

RECORDABLE = ("spikes", "membranes", "currents")


class Log:
    """What a run leaves, gathered block by block into arrays of all samples.

    Parameters
    ----------
    network : Network
    samples, steps : int
    record : collection of str
        Any of ``"spikes"``, ``"membranes"``, ``"currents"``.
    """

    def __init__(self, network: Network, samples: int, steps: int, record: Collection[str]):
        for name in record:
            if name not in RECORDABLE:
                raise NetworkError(f"What to record must be of {', '.join(RECORDABLE)}, not {name!r}")
        self.network = network
        self.readout = network[network.readout.population]
        populations = network.populations
        self.counts = {p.name: np.zeros((samples, p.size), np.int32) for p in populations}
        self.totals = {name: np.zeros(samples, np.int64) for name in (INPUT, *(p.name for p in populations))}
        self.first = np.full((samples, self.readout.size), network.steps, np.int64)
        self.membrane = np.zeros((samples, self.readout.size), np.int64)
        shapes = {p.name: (samples, steps, p.size) for p in populations}
        orders = {p.name for p in populations if p.current_decay is not None}
        self.spikes = {n: np.empty(s, np.int8) for n, s in shapes.items() if "spikes" in record}
        self.membranes = {n: np.empty(s, np.int64) for n, s in shapes.items() if "membranes" in record}
        self.currents = {n: np.empty(s, np.int64) for n, s in shapes.items() if "currents" in record and n in orders}

    def add_input(self, samples: slice, values: Array, counts: Array | None = None) -> None:
        """Count the nonzero values of a block, ``(T, B, N)``, unless their numbers, ``(T, B)``, are known."""
        port = self.network.input
        if counts is not None:
            totals = counts.sum(axis=0)
        elif values.dtype.itemsize == 1 and port.low >= 0 and port.high <= 1:
            # Bytes of 0 and 1 are added fastest as what they are: a block has at most 127 steps.
            totals = values.view(np.uint8).sum(axis=0, dtype=np.uint8).sum(axis=1)
        else:
            totals = (values != 0).sum(axis=(0, 2))
        self.totals[INPUT][samples] += totals.astype(np.int64)

    def add_step(self, samples: slice, step: int, name: str, state: State) -> None:
        """Keep what is asked for of a population's state after a step."""
        if name in self.membranes:
            self.membranes[name][samples, step] = state.membrane
        if name in self.currents:
            self.currents[name][samples, step] = state.current
        if name == self.readout.name and self.network.readout.kind == "membrane":
            self._reduce(self.membrane[samples], step, state.total)

    def _reduce(self, kept: Array, step: int, total: Array) -> None:
        if self.network.readout.reduce == "sum":
            kept += total
        elif self.network.readout.reduce == "max" and step > 0:
            np.maximum(kept, total, out=kept)
        else:
            kept[:] = total

    def add_spikes(self, samples: slice, steps: slice, name: str, spikes: Array) -> None:
        """Count the spikes of a block, ``(T, B, N)``."""
        counts = spikes.sum(axis=0, dtype=np.int8)  # a block has at most 127 steps
        self.counts[name][samples] += counts
        if self.network[name].ternary:
            counts = np.abs(spikes).sum(axis=0, dtype=np.int8)
        self.totals[name][samples] += counts.sum(axis=1)
        if name in self.spikes:
            self.spikes[name][samples, steps] = spikes.transpose(1, 0, 2)
        if name == self.readout.name and self.network.readout.kind == "first_spike":
            self._add_first(self.first[samples], steps.start, spikes != 0)

    def _add_first(self, first: Array, start: int, fired: Array) -> None:
        """Of the samples still silent: the step of the neurons that fire in the first step in which any does."""
        any_fired: Array = np.any(fired, axis=2)
        decided = np.flatnonzero(any_fired.any(axis=0) & (first == self.network.steps).all(axis=1))
        step = any_fired[:, decided].argmax(axis=0)
        first[decided] = np.where(fired[step, decided], (start + step)[:, np.newaxis], self.network.steps)

    def result(self) -> Result:
        """Scores and answers; of equal scores, the lowest index."""
        readout = self.network.readout
        counts = self.counts[readout.population].astype(np.int64)
        if readout.kind == "first_spike":
            scores = self.first
        elif readout.kind == "membrane":
            scores = self.membrane
        else:
            scores = counts if readout.kind == "count" else counts @ readout.weights.T + readout.bias
        answers = scores.argmin(axis=1) if readout.kind == "first_spike" else scores.argmax(axis=1)
        return Result(
            answers=answers.astype(np.int64),
            scores=scores,
            counts=self.counts,
            totals=self.totals,
            spikes=self.spikes,
            membranes=self.membranes,
            currents=self.currents,
        )
