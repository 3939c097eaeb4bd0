"""Engine: batches in chunks of samples and blocks of steps, so that memory stays bounded."""

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.graph import INPUT
from quant.ir import Connection, Network
from quant.result import Result

from .drive import Drive
from .inputs import Feed, checked
from .neurons import Neurons
from .readout import Log
from .schedule import groups

__all__ = ["run"]

Array = NDArray[Any]

_CHUNK_BYTES = 16 << 20
_BLOCK_STEPS = 32


def run(network: Network, inputs: Any, *, record: Collection[str] = ()) -> Result:
    """Run a batch of samples through a network.

    Memory beside the result is bounded, whatever the number of samples and steps.

    Parameters
    ----------
    network : Network
    inputs : array of integers
        ``(B, T, N)`` of kind ``events``, with T at most the network's steps; ``(B, N)`` of the other kinds.
    record : collection of str
        What to keep of every step: any of ``"spikes"``, ``"membranes"``, ``"currents"``.

    Raises
    ------
    NetworkError
        If the inputs' shape, type or range does not fit.
    """
    values = checked(network, inputs)
    samples = len(values)
    steps = values.shape[1] if network.input.kind == "events" else network.steps
    log = Log(network, samples, steps, record)
    engine = _Engine(network, Feed(network.input, values, steps), log)
    block = min(steps, _BLOCK_STEPS)
    chunk = max(1, _CHUNK_BYTES // (engine.step_bytes * block))
    for start in range(0, samples, chunk):
        engine.run(
            slice(start, min(start + chunk, samples)), [slice(t, min(t + block, steps)) for t in range(0, steps, block)]
        )
    return log.result()


class _Engine:
    """A network made ready, and the state of the chunk of samples that it works on."""

    def __init__(self, network: Network, feed: Feed, log: Log):
        self.network = network
        self.feed = feed
        self.log = log
        self.groups = groups(network)
        self.neurons = {p.name: Neurons(p, network.bounds(p.name)) for p in network.populations}
        self.drives = {c: self._drive(c) for c in network.connections}

    def _drive(self, connection: Connection) -> Drive:
        source = connection.source
        dtype = self.neurons[connection.target].dtype
        return Drive(connection, self.network.shape_of(source), self.network.value_range(source), dtype)

    @property
    def step_bytes(self) -> int:
        """Memory of one step of one sample: spikes, and what the connections bring."""
        sizes = sum(drive.size * drive.dtype.itemsize for drive in self.drives.values())
        return sizes + sum(population.size for population in self.network.populations)

    def run(self, samples: slice, blocks: list[slice]) -> None:
        """Run samples through all steps."""
        batch = samples.stop - samples.start
        for neurons in self.neurons.values():
            neurons.start(batch)
        sizes = {p.name: p.size for p in self.network.populations} | {INPUT: self.network.input.size}
        self.before = {name: np.zeros((batch, size), np.int8) for name, size in sizes.items()}
        self.constant: dict[Connection, Array] = {}
        for steps in blocks:
            self._run_block(samples, steps)

    def _run_block(self, samples: slice, steps: slice) -> None:
        values: dict[str, Array] = {}
        held = self.network.input.kind == "current"
        if not held or steps.start == 0:
            values[INPUT] = self.feed.block(samples, steps)
            self.log.add_input(samples, values[INPUT])
        if held and steps.start == 0:
            self.constant = {c: self._brought(c, values) for c in self.network.outgoing(INPUT)}
        for group in self.groups:
            self._run_group(group, samples, steps, values)
        self.before = {name: spikes[-1].copy() for name, spikes in values.items()}

    def _run_group(self, group: tuple[str, ...], samples: slice, steps: slice, values: dict[str, Array]) -> None:
        """Run populations that depend on each other through the steps of a block; their spikes go to ``values``."""
        count, batch = steps.stop - steps.start, samples.stop - samples.start
        outer: dict[str, list[Array]] = {name: [] for name in group}
        inner: dict[str, list[Connection]] = {name: [] for name in group}
        for name in group:
            for connection in self.network.incoming(name):
                if connection.source in group:
                    inner[name].append(connection)
                else:
                    brought = self._brought(connection, values)
                    outer[name].append(np.broadcast_to(brought, (count, *brought.shape[1:])))
        values |= {name: np.empty((count, batch, self.network[name].size), np.int8) for name in group}
        for step in range(count):
            for name in group:
                drives = [brought[step] for brought in outer[name]]
                drives += [self._brought_back(connection, values, step) for connection in inner[name]]
                self.neurons[name].step(drives, values[name][step])
                self.log.add_step(samples, steps.start + step, self.neurons[name])
        for name in group:
            self.log.add_spikes(samples, steps, name, values[name])

    def _brought(self, connection: Connection, values: dict[str, Array]) -> Array:
        """What a connection brings in all steps of a block; of a constant input ``(1, B, N)``, worked out once."""
        if connection in self.constant:
            return self.constant[connection]
        source = values[connection.source]
        if connection.delay:
            source = np.concatenate([self.before[connection.source][np.newaxis], source[:-1]])
        drive = self.drives[connection]
        result = np.empty((*source.shape[:2], drive.size), drive.dtype)
        drive(source, result)
        return result

    def _brought_back(self, connection: Connection, values: dict[str, Array], step: int) -> Array:
        """What a connection within a group brings in one step."""
        step -= connection.delay
        source = values[connection.source][step] if step >= 0 else self.before[connection.source]
        drive = self.drives[connection]
        result = np.empty((len(source), drive.size), drive.dtype)
        drive(source[np.newaxis], result[np.newaxis])
        return result
