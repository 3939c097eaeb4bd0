"""Activity: how many events a network's samples bring, as the golden model counts them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw.plan import CorePlan
from hw.visits import stirred, visited_groups
from quant.graph import INPUT
from quant.ir import Network
from sim import golden
from sim.golden.inputs import Feed, checked

__all__ = ["Activity", "Trace", "assumed", "measured"]

Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]

_BATCH = 50
_TRACED_BATCH = 10
_TRACED = 1 << 26
"""Bytes of spikes that are kept, sample by sample, to tell what rests: a hundred samples of most networks."""
_SILENT = 10
"""Of so many neurons one fires in a step, where nobody has measured."""
_ASSUMED = f"assumed: 1 in {_SILENT} fires in a step; --calibration FILE measures it"


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """Who fires and who changes in some samples, one by one.

    Parameters
    ----------
    sent : mapping of str to array of bool, (B, T, N)
        Events of each step and neuron, by population; of ``"input"`` what enters the cores.
    stirs : mapping of str to array of bool, (B, T, N)
        By population, neurons that fire in a step, or whose membrane or current changes.
    running : array of bool, (B, T)
        Whether the sample is still at work in the step.
    """

    sent: Mapping[str, Flags]
    stirs: Mapping[str, Flags]
    running: Flags
    _found: dict[tuple[str, int], Numbers] = field(default_factory=dict, init=False)

    def words(self, core: CorePlan) -> Numbers:
        """Words that the sweeps of a core that skips visit in each step, added up over the samples, ``(T,)``."""
        key = core.name, core.lanes
        if key not in self._found:
            wanted, closing = visited_groups(core, self.sent, self.stirs[core.name])
            last = self.running & ~np.pad(self.running[:, 1:], ((0, 0), (0, 1)))
            visited = np.where(last[:, :, np.newaxis], closing, wanted) & self.running[:, :, np.newaxis]
            self._found[key] = visited.sum(axis=0)
        return self._found[key] @ np.bincount(core.word_groups)


@dataclass(frozen=True, kw_only=True, eq=False)
class Activity:
    """Events of samples, added up over them: integers, so that they are the same on every machine.

    Parameters
    ----------
    events : mapping of str to array of int, (T, N)
        Of each step and neuron, by population; of ``"input"`` what enters the cores.
    values : int
        Input values that are not 0: of kinds that are not events, what comes from the host.
    running : array of int, (T,)
        Samples that are still at work in the step.
    samples : int
        How many it was measured on; 0 if it is assumed.
    trace : Trace, optional
        Of the first of the samples.
    """

    events: Mapping[str, Numbers]
    values: int
    running: Numbers
    samples: int
    trace: Trace | None = None

    @property
    def weight(self) -> int:
        """Samples that are added up."""
        return int(self.running[0])

    @property
    def steps(self) -> int:
        """Steps of the longest sample."""
        return int(np.count_nonzero(self.running))

    def sweeps(self, core: CorePlan) -> NDArray[np.float64]:
        """Cycles of the sweeps of a core in each step, added up over the samples, ``(T,)``.

        Sweeps that skip are whole where there is no trace to tell what they visit.
        """
        if core.at_end:
            return core.sweeps * self.weight * (np.arange(1, len(self.running) + 1) == self.steps).astype(float)
        if not core.skips or self.trace is None:
            return core.sweeps * self.running.astype(float)
        of_all = self.weight / len(self.trace.running)
        return np.asarray(self.trace.words(core) * of_all + core.lead * self.running, float)

    @property
    def origin(self) -> str:
        """Where it comes from, in words."""
        return f"measured on {self.samples} samples" if self.samples else _ASSUMED


def measured(network: Network, inputs: NDArray[Any], *, early_stop: bool = True) -> Activity:
    """What the golden model sees of samples.

    Parameters
    ----------
    network : Network
    inputs : array of int
        As of :func:`sim.golden.run`.
    early_stop : bool
        With readout ``first_spike``, a sample ends soon after the step of its first output spike.
    """
    values = checked(network, inputs)
    names, steps = (INPUT, *network.order), network.steps
    sizes = {name: int(np.prod(network.shape_of(name))) for name in names}
    events = {name: np.zeros((steps, sizes[name]), np.int64) for name in names}
    running = np.zeros(steps, np.int64)
    traced = min(len(values), max(1, _TRACED // (steps * sum(sizes.values()))))
    sent, stirs = (
        {name: np.zeros((traced, steps, sizes[name]), bool) for name in some} for some in (names, network.order)
    )
    runs = np.zeros((traced, steps), bool)
    for batch in _batches(len(values), traced):
        states = ("membranes", "currents") if batch.start < traced else ()
        result = golden.run(network, values[batch], record=("spikes", *states))
        fires = {name: found != 0 for name, found in result.spikes.items()}
        fires[INPUT] = _entering(network, values[batch])
        at_work = _running(network, fires, early_stop)
        span = at_work.shape[1]
        running[:span] += at_work.sum(axis=0)
        for name, found in fires.items():
            events[name][:span] += (found & at_work[:, :, np.newaxis]).sum(axis=0)
        if states:
            runs[batch, :span] = at_work
            for name, found in fires.items():
                sent[name][batch, :span] = found
            for name in network.order:
                kept = result.membranes, result.currents
                stirs[name][batch, :span] = stirred(network[name], fires[name], kept)
    return Activity(
        events=events,
        values=int(np.count_nonzero(values)),
        running=running,
        samples=len(values),
        trace=Trace(sent=sent, stirs=stirs, running=runs),
    )


def _batches(samples: int, traced: int) -> list[slice]:
    """Those that are traced first, fewer at a time, for their membranes take memory."""
    ends = [*range(0, traced, _TRACED_BATCH), *range(traced, samples, _BATCH), samples]
    return [slice(first, last) for first, last in pairwise(ends)]


def _entering(network: Network, values: NDArray[Any]) -> Flags:
    """Input values that enter the cores, ``(B, T, N)``; of a constant current, in the first step."""
    steps = values.shape[1] if network.input.kind == "events" else network.steps
    block = Feed(network.input, values, steps).block(slice(None), slice(0, steps))
    found = np.zeros((len(values), steps, network.input.size), bool)
    found[:, : len(block)] = np.moveaxis(block, 0, 1) != 0
    return found


def _running(network: Network, fires: Mapping[str, Flags], early_stop: bool) -> Flags:
    """Whether samples are still at work, ``(B, T)``."""
    fired = fires[network.readout.population].any(axis=2)
    runs = np.ones_like(fired)
    # When the readout has decided, the first cores are at work on later steps, which go through too.
    ahead = max(2, len(network.order))
    if early_stop and network.readout.kind == "first_spike" and ahead < network.steps:
        runs[:, ahead:] = ~np.logical_or.accumulate(fired, axis=1)[:, :-ahead]
    return runs


def assumed(network: Network) -> Activity:
    """A tenth of all neurons fires in every step; of a constant input and of pixels, all values are there."""
    events = {name: np.ones((network.steps, network[name].size), np.int64) for name in network.order}
    events[INPUT] = np.ones((network.steps, network.input.size), np.int64)
    if network.input.kind == "current":
        events[INPUT] *= (_SILENT * (np.arange(network.steps) == 0))[:, np.newaxis]
    values = _SILENT * network.input.size
    return Activity(events=events, values=values, running=np.full(network.steps, _SILENT), samples=0)
