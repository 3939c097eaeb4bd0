"""Measurement: what an integer network reaches on labelled samples, and what that costs in spikes and operations."""

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .graph import INPUT
from .ir import Network
from .model import FloatNetwork
from .operations import count_operations
from .ranges import Range
from .result import Result
from .simulate import run_float

__all__ = ["Measurement", "Memory", "Runner", "float_accuracy", "measure", "memory_of"]

_BATCH_BYTES = 64 << 20
_MOST_SAMPLES = 1000
_FLOAT_BATCH = 250

Progress = Callable[[int, int], None]


class Runner(Protocol):
    """What runs an integer network: :func:`sim.golden.run`."""

    def __call__(self, network: Network, inputs: Any, *, record: Collection[str] = ()) -> Result: ...


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bits that a network holds.

    Parameters
    ----------
    weights : int
        Of all connections.
    membranes : int
        Of all membranes, and of the currents of second-order neurons.
    """

    weights: int
    membranes: int


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What a network reaches; "per sample" is a mean.

    Parameters
    ----------
    samples : int
    accuracy : float
        Share of right answers, 0 to 1.
    spikes_per_sample : float
        Of all populations.
    input_events_per_sample : float
        Nonzero input values: of a constant input once a sample.
    sops_per_sample, useful_sops_per_sample, macs_per_sample : float
        See :mod:`quant.operations`.
    rates : mapping of str to float
        Spikes a neuron and step, by population.
    """

    samples: int
    accuracy: float
    spikes_per_sample: float
    input_events_per_sample: float
    sops_per_sample: float
    useful_sops_per_sample: float
    macs_per_sample: float
    rates: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def measure(
    network: Network,
    inputs: NDArray[Any],
    labels: NDArray[Any],
    run: Runner,
    *,
    progress: Progress = lambda done, total: None,
) -> Measurement:
    """Run samples through a network, some at a time.

    Parameters
    ----------
    network : Network
    inputs : array of int
        ``(B, T, N)`` of kind ``events``, else ``(B, N)``.
    labels : array of int, (B,)
    run : Runner
    progress : callable
        Called with the samples done and their number.
    """
    samples, steps = len(inputs), inputs.shape[1] if network.input.kind == "events" else network.steps
    right, operations, useful, macs = 0, 0, 0, 0
    totals = dict.fromkeys((INPUT, *network.order), 0)
    size = sum(population.size for population in network.populations)
    batch = int(np.clip(_BATCH_BYTES // (size * (steps + 8)), 1, _MOST_SAMPLES))
    for start in range(0, samples, batch):
        chosen = inputs[start : start + batch]
        result = run(network, chosen, record=("spikes",))
        right += int((result.answers == labels[start : start + batch]).sum())
        counted = count_operations(network, chosen, result)
        operations, useful = operations + int(counted.operations.sum()), useful + int(counted.useful.sum())
        macs = counted.macs
        totals = {name: total + int(result.totals[name].sum()) for name, total in totals.items()}
        progress(min(start + batch, samples), samples)
    return Measurement(
        samples=samples,
        accuracy=right / samples,
        spikes_per_sample=sum(totals[name] for name in network.order) / samples,
        input_events_per_sample=totals[INPUT] / samples,
        sops_per_sample=operations / samples,
        useful_sops_per_sample=useful / samples,
        macs_per_sample=float(macs),
        rates={name: totals[name] / (samples * steps * network[name].size) for name in network.order},
    )


def float_accuracy(
    model: FloatNetwork,
    inputs: NDArray[Any],
    labels: NDArray[Any],
    *,
    progress: Progress = lambda done, total: None,
) -> float:
    """Share of right answers of a float network, 0 to 1, some samples at a time."""
    right, samples = 0, len(inputs)
    for start in range(0, samples, _FLOAT_BATCH):
        stop = min(start + _FLOAT_BATCH, samples)
        answers = run_float(model, inputs[start:stop], dtype=np.float32).answers
        right += int((answers == labels[start:stop]).sum())
        progress(stop, samples)
    return right / samples


def memory_of(network: Network) -> Memory:
    """Bits that the weights and the membranes of a network take."""
    weights = sum(item.weights.size * item.weight_bits for item in network.connections)
    membranes = 0
    for item in network.populations:
        membranes += item.size * Range(item.state_min, item.state_max).width
        if item.current_decay is not None:
            membranes += item.size * Range(item.current_min, item.current_max).width
    return Memory(weights=weights, membranes=membranes)
