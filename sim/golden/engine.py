"""Engine: batches in chunks of samples and blocks of steps, so that memory stays bounded."""

import os
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from quant.graph import INPUT
from quant.ir import Connection, Network
from quant.result import Result

from .drive import Drive
from .events import kernels
from .inputs import Feed, checked
from .neurons import Neurons
from .readout import Log
from .schedule import groups

__all__ = ["run"]

Array = NDArray[Any]

# Memory is bounded, and operations on arrays are long enough that threads seldom wait for each other between them.
_CHUNK_BYTES = 32 << 20
_LEAST_CHUNK_BYTES = 1 << 20
_BLOCK_STEPS = 32
# Multiplications of a network, of all its runs: for fewer, loading compiled loops takes longer than they save.
_WORTH_COMPILING = 10**9


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
    steps = values.shape[1] if network.input.kind == "events" else network.steps
    log = Log(network, len(values), steps, record)
    engine, feed = _ready(network), Feed(network.input, values, steps)
    engine.done += len(values) * steps * engine.products
    loops = kernels() if engine.done >= _WORTH_COMPILING else None

    def work(samples: slice) -> None:
        chunk = _Chunk(engine, feed, log, loops, samples)
        for start in range(0, steps, _BLOCK_STEPS):
            chunk.run(slice(start, min(start + _BLOCK_STEPS, steps)))

    _share(work, _chunks(len(values), engine.step_bytes * min(steps, _BLOCK_STEPS)))
    return log.result()


def _workers() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _chunks(samples: int, sample_bytes: int) -> list[slice]:
    """Even chunks, as many for each processor: no more than memory asks for, no fewer than is worth a thread."""
    total, workers = samples * sample_bytes, _workers()
    count = max(-(-total // _CHUNK_BYTES), min(workers, total // _LEAST_CHUNK_BYTES), 1)
    count = min(samples, count if count == 1 else -(-count // workers) * workers)
    edges = [samples * index // count for index in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def _share(task: Callable[[slice], None], chunks: list[slice]) -> None:
    """Work on chunks side by side, a processor each; BLAS must not split every small product over all of them too."""
    with _blas().limit(limits=1, user_api="blas"):
        if len(chunks) == 1:
            task(chunks[0])
            return
        with ThreadPoolExecutor(_workers()) as pool:
            for _ in pool.map(task, chunks):
                pass


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


class _Engine:
    """A network made ready: it is the same for all runs.

    Attributes
    ----------
    groups : tuple of tuples of str
    neurons : dict of str to Neurons
    drives : dict of Connection to Drive
    done : int
        Multiplications of its runs up to now, if all had been multiplied.
    """

    def __init__(self, network: Network):
        self.network = network
        self.done = 0
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
        return sizes + sum(population.size for population in self.network.populations) + self.network.input.size

    @property
    def products(self) -> int:
        """Multiplications of one step of one sample, if every source sends."""
        return sum(drive.products for drive in self.drives.values())


@lru_cache(maxsize=4)
def _ready(network: Network) -> _Engine:
    return _Engine(network)


class _Chunk:
    """Samples on their way, block of steps by block of steps.

    Parameters
    ----------
    engine : _Engine
    feed : Feed
    log : Log
        Receives what is worked out; chunks write to different samples.
    loops : module, optional
        What adds up event by event: see :func:`sim.golden.events.kernels`.
    samples : slice
    """

    def __init__(self, engine: _Engine, feed: Feed, log: Log, loops: ModuleType | None, samples: slice):
        self.engine = engine
        self.feed = feed
        self.log = log
        self.loops = loops
        self.samples = samples
        self.batch = samples.stop - samples.start
        self.states = {name: neurons.start(self.batch) for name, neurons in engine.neurons.items()}
        self.values: dict[str, Array] = {}  # what the input and the populations send in this block, (T, B, N)
        self.before: dict[str, Array] = {}  # and in the last step of the block before, (B, N)
        self.constant: dict[Connection, Array] = {}
        self.counts: Array | None = None  # events of the input in this block, (T, B), if they have been counted

    def run(self, steps: slice) -> None:
        """Run a block of steps."""
        engine = self.engine
        self.before = {name: values[-1].copy() for name, values in self.values.items()}
        if self.feed.port.kind != "current" or steps.start == 0:
            self.values[INPUT], self.counts = self.feed.block(self.samples, steps), None
        if self.feed.port.kind == "current" and steps.start == 0:
            self.constant = {c: self._brought(c) for c in engine.network.outgoing(INPUT)}
        for group in engine.groups:
            self._run_group(group, steps)
        if self.feed.port.kind != "current" or steps.start == 0:
            self.log.add_input(self.samples, self.values[INPUT], self.counts)

    def _run_group(self, group: tuple[str, ...], steps: slice) -> None:
        """Run populations that depend on each other through the steps of a block."""
        engine, count = self.engine, steps.stop - steps.start
        incoming = {name: engine.network.incoming(name) for name in group}
        outer = {name: [self._brought(c) for c in incoming[name] if c.source not in group] for name in group}
        inner = {name: [c for c in incoming[name] if c.source in group] for name in group}
        for name in group:
            self.values[name] = np.empty((count, self.batch, engine.network[name].size), np.int8)
        for step in range(count):
            for name in group:
                drives = [brought[step % len(brought)] for brought in outer[name]]
                drives += [self._brought_back(connection, step) for connection in inner[name]]
                engine.neurons[name].step(self.states[name], drives, self.values[name][step])
                self.log.add_step(self.samples, steps.start + step, name, self.states[name])
        for name in group:
            self.log.add_spikes(self.samples, steps, name, self.values[name])

    def _brought(self, connection: Connection) -> Array:
        """What a connection brings in all steps of a block; of a constant input ``(1, B, N)``, worked out once."""
        if connection in self.constant:
            return self.constant[connection]
        source = self.values[connection.source]
        if connection.delay:
            source = np.concatenate([self._before(connection.source)[np.newaxis], source[:-1]])
        return self._applied(connection, source)

    def _brought_back(self, connection: Connection, step: int) -> Array:
        """What a connection within a group brings in one step."""
        step -= connection.delay
        source = self.values[connection.source][step] if step >= 0 else self._before(connection.source)
        result: Array = self._applied(connection, source[np.newaxis])[0]
        return result

    def _before(self, name: str) -> Array:
        if name in self.before:
            return self.before[name]
        return np.zeros((self.batch, int(np.prod(self.engine.network.shape_of(name)))), np.int8)

    def _applied(self, connection: Connection, source: Array) -> Array:
        drive = self.engine.drives[connection]
        result = np.empty((*source.shape[:2], drive.size), drive.dtype)
        counts = drive(source, result, self.loops)
        if connection.source == INPUT and not connection.delay and counts is not None:
            self.counts = counts
        return result
