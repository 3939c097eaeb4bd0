"""Activity: how many events a network's samples bring, as the golden model counts them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.graph import INPUT
from quant.ir import Network
from sim import golden
from sim.golden.inputs import Feed, checked

__all__ = ["Activity", "assumed", "measured"]

Numbers = NDArray[np.int64]

_BATCH = 50
_SILENT = 10
"""Of so many neurons one fires in a step, where nobody has measured."""


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
    """

    events: Mapping[str, Numbers]
    values: int
    running: Numbers
    samples: int

    @property
    def weight(self) -> int:
        """Samples that are added up."""
        return int(self.running[0])

    @property
    def origin(self) -> str:
        """Where it comes from, in words."""
        return f"measured on {self.samples} samples" if self.samples else f"assumed: 1 in {_SILENT} fires in a step"


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
    events = {
        name: np.zeros((network.steps, int(np.prod(network.shape_of(name)))), np.int64)
        for name in (INPUT, *network.order)
    }
    running = np.zeros(network.steps, np.int64)
    # When the readout has decided, the first cores are at work on later steps, which go through too.
    ahead = max(2, len(network.order))
    stops = early_stop and network.readout.kind == "first_spike" and ahead < network.steps
    for first in range(0, len(values), _BATCH):
        batch = values[first : first + _BATCH]
        steps = batch.shape[1] if network.input.kind == "events" else network.steps
        spikes = golden.run(network, batch, record=("spikes",)).spikes
        runs = np.ones((len(batch), steps), bool)
        if stops:
            fired = (spikes[network.readout.population] != 0).any(axis=2)
            runs[:, ahead:] = ~np.logical_or.accumulate(fired, axis=1)[:, :-ahead]
        running[:steps] += runs.sum(axis=0)
        for name, found in spikes.items():
            events[name][:steps] += ((found != 0) & runs[:, :, np.newaxis]).sum(axis=0)
        entering = Feed(network.input, batch, steps).block(slice(None), slice(0, steps)) != 0
        events[INPUT][: len(entering)] += (entering & runs.T[: len(entering), :, np.newaxis]).sum(axis=1)
    return Activity(events=events, values=int(np.count_nonzero(values)), running=running, samples=len(values))


def assumed(network: Network) -> Activity:
    """A tenth of all neurons fires in every step; of a constant input and of pixels, all values are there."""
    events = {name: np.ones((network.steps, network[name].size), np.int64) for name in network.order}
    events[INPUT] = np.ones((network.steps, network.input.size), np.int64)
    if network.input.kind == "current":
        events[INPUT] *= (_SILENT * (np.arange(network.steps) == 0))[:, np.newaxis]
    values = _SILENT * network.input.size
    return Activity(events=events, values=values, running=np.full(network.steps, _SILENT), samples=0)
