"""Synaptic operations: how often an event meets a synapse, counted exactly from the spikes of a run.

An event, a nonzero value of one neuron in one step, costs one operation for every synapse that it passes:
``fan_out`` of its neuron through every connection. Two counts are kept apart:

``operations``
    Every synapse that the connection has, whatever its weight: what a datapath adds that does not look at weights.
``useful``
    Those whose weight is not 0.

An input of kind ``current`` sends no events: its product with the weights is worked out once a sample, and counted by
itself as ``macs``, a multiplication for every synapse out of the input. The sweep over the neurons, biases and the
readout are not synaptic operations.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import NetworkError
from .graph import INPUT, Shape, Synapses
from .ir import Network
from .result import Result
from .simulate import sent_values

__all__ = ["Operations", "count_operations", "fan_out"]

Counts = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Operations:
    """Synaptic operations of B samples.

    Parameters
    ----------
    operations, useful : array of int, (B,)
        Over all synapses, and over those whose weight is not 0.
    macs : int
        Multiply-accumulates of a constant input, once a sample.
    """

    operations: Counts
    useful: Counts
    macs: int


def fan_out(connection: Synapses, source: Shape, *, useful: bool = False) -> Counts:
    """Number of synapses of each neuron of the source, ``(N_source,)``, in C order.

    An event beyond a pooled map, or that no window of a convolution reaches, has none. A neuron of ``max_pool`` has one
    for every window that it lies in: they are OR-ed, but every event has to be looked at.

    Parameters
    ----------
    connection : Synapses
    source : tuple of int
        Shape of the source.
    useful : bool
        Count weights that are not 0 only.
    """
    pooled, target = connection.pooled_shape(source), connection.target_shape(source)
    counted = (connection.weights != 0) if useful else np.ones(connection.weights.shape, np.bool_)
    if connection.kind == "dense":
        reached = counted.sum(axis=0, dtype=np.int64)
    elif connection.kind == "identity":
        shape = (-1, 1, 1) if counted.ndim == 1 and len(pooled) == 3 else counted.shape
        reached = np.broadcast_to(counted.reshape(shape), pooled).astype(np.int64)
    else:
        rows, columns = (_meets(connection, axis, pooled[1 + axis], target[1 + axis]) for axis in (0, 1))
        reached = np.einsum("cij,yi,xj->cyx", _taps(connection, counted, pooled[0]), rows, columns, optimize=True)
    return _unpooled(reached.reshape(pooled), connection.pool, source).reshape(-1)


def _taps(connection: Synapses, counted: NDArray[np.bool_], channels: int) -> Counts:
    """Synapses of a source channel at every place of the kernel, ``(C_source, kh, kw)``."""
    if connection.kind == "max_pool":
        assert connection.kernel is not None
        return np.broadcast_to(counted.reshape(-1, 1, 1), (channels, *connection.kernel)).astype(np.int64)
    if connection.kind == "conv_transpose2d":
        return counted.sum(axis=1, dtype=np.int64)
    outputs, inputs, *kernel = counted.shape
    grouped = counted.reshape(connection.groups, outputs // connection.groups, inputs, *kernel)
    return grouped.sum(axis=1, dtype=np.int64).reshape(channels, *kernel)


def _meets(connection: Synapses, axis: int, source: int, target: int) -> Counts:
    """1 where place i of the kernel takes source y to a target that exists, else 0: ``(source, kernel)``."""
    assert connection.stride is not None
    kernel = (connection.kernel or connection.weights.shape[2:])[axis]
    stride, padding = connection.stride[axis], connection.padding[axis]
    y, i = np.arange(source)[:, None], np.arange(kernel)
    if connection.kind == "conv_transpose2d":
        place, whole = y * stride + i - padding, True
    else:
        place, rest = np.divmod(y + padding - i, stride)
        whole = rest == 0
    return (whole & (place >= 0) & (place < target)).astype(np.int64)


def _unpooled(reached: Counts, pool: tuple[int, int], source: Shape) -> Counts:
    if pool == (1, 1):
        return reached
    spread = np.zeros(source, np.int64)
    wide = reached.repeat(pool[0], axis=1).repeat(pool[1], axis=2)
    spread[:, : wide.shape[1], : wide.shape[2]] = wide
    return spread


def count_operations(network: Network, inputs: NDArray[Any], result: Result) -> Operations:
    """Synaptic operations of a run.

    Parameters
    ----------
    network : Network
    inputs : array of int
        What was run: ``(B, T, N)`` of kind ``events``, else ``(B, N)``.
    result : Result
        Of these inputs, with its spikes recorded.

    Raises
    ------
    NetworkError
        If the spikes were not recorded, or are of other samples.
    """
    missing = [name for name in network.order if name not in result.spikes]
    if missing or len(result.answers) != len(inputs):
        raise NetworkError(
            f"Synaptic operations need the recorded spikes of {len(inputs)} samples"
            + (f", but {missing[0]}'s are missing" if missing else f", not of {len(result.answers)}")
        )
    constant = network.input.kind == "current"
    totals = {useful: np.zeros(len(inputs), np.int64) for useful in (False, True)}
    for name in (INPUT, *network.order):
        connections = network.outgoing(name)
        if not connections or (name == INPUT and constant):
            continue
        fired = (sent_values(network.input, inputs, network.steps) if name == INPUT else result.spikes[name]) != 0
        arrived = {delay: _events(fired, delay) for delay in {connection.delay for connection in connections}}
        for useful, total in totals.items():
            for delay, events in arrived.items():
                total += events @ _all_of([c for c in connections if c.delay == delay], network.shape_of(name), useful)
    macs = int(_all_of(network.outgoing(INPUT), network.input.shape, False).sum()) if constant else 0
    return Operations(operations=totals[False], useful=totals[True], macs=macs)


def _all_of(connections: Sequence[Synapses], source: Shape, useful: bool) -> Counts:
    total = np.zeros(prod(source), np.int64)
    for connection in connections:
        total += fan_out(connection, source, useful=useful)
    return total


def _events(fired: NDArray[np.bool_], delay: int) -> Counts:
    """Events of each neuron that arrive within the sample, ``(B, N)``: what is delayed in the last step never does."""
    return (fired[:, :-1] if delay else fired).sum(axis=1, dtype=np.int64)
