"""What is generated for a network: lanes, rows and sweeps of every core, or a refusal by name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from quant.errors import NetworkError, UnsupportedError
from quant.graph import INPUT
from quant.ir import Connection, Network, Population
from quant.ranges import Bounds, Range

__all__ = ["CorePlan", "NetworkPlan", "plan_network", "refusals"]

DEFAULT_LANES = 16
MAX_UNITS = 16
QUEUE_DEPTH = 16
STATE_DISTANCE = 7
"""Cycles from the read of a membrane to the first in which it may be read again."""


@dataclass(frozen=True, kw_only=True)
class CorePlan:
    """One core: a population and its incoming connection.

    Neuron n is lane ``n % lanes`` of row ``n // lanes`` of the accumulators and the weights, and lane
    ``n % units`` of sweep word ``n // units``.

    Parameters
    ----------
    population : Population
    connection : Connection
    bounds : Bounds
        Ranges of the population's sums.
    values : Range
        Range of an event's value.
    inputs : int
        Neurons of the source.
    lanes : int
        Synaptic operations per cycle: weights in a row; a multiple of ``units``.
    units : int
        Neuron units: neurons swept per cycle; a power of two.
    steps : int
        0: the source sends every step. Else it sends the sample once, and the core runs ``steps`` steps of it.
    """

    population: Population
    connection: Connection
    bounds: Bounds
    values: Range
    inputs: int
    lanes: int
    units: int
    steps: int = 0

    @property
    def name(self) -> str:
        """Name of the population."""
        return self.population.name

    @property
    def rows(self) -> int:
        """Rows of weights that an event reads: cycles per event."""
        return -(-self.population.size // self.lanes)

    @property
    def sweeps(self) -> int:
        """Words of a sweep: cycles per step without events."""
        return -(-self.population.size // self.units)

    @property
    def banks(self) -> int:
        """Banks of accumulators: words of a sweep in a row."""
        return self.lanes // self.units

    @property
    def multiplies(self) -> bool:
        """Whether weights are multiplied with values: events are not all 0 or 1."""
        return self.values != Range(0, 1)

    @property
    def cooldown(self) -> int:
        """Cycles after a sweep in which no other may start: its membranes are still on their way."""
        return max(0, STATE_DISTANCE - self.sweeps)

    @property
    def weight_words(self) -> int:
        """Depth of the weight memory; a word is ``lanes`` weights."""
        return self.rows * self.inputs

    @cached_property
    def weight_rows(self) -> NDArray[np.int64]:
        """Weight memory, ``(rows * inputs, lanes)``: address ``row * inputs + source neuron``."""
        padded = np.zeros((self.rows * self.lanes, self.inputs), np.int64)
        padded[: self.population.size] = self.connection.weights
        return padded.reshape(self.rows, self.lanes, self.inputs).transpose(0, 2, 1).reshape(-1, self.lanes)

    def as_dict(self) -> dict[str, int | str]:
        """Sizes, for reports."""
        return {
            "population": self.name,
            "inputs": self.inputs,
            "neurons": self.population.size,
            "lanes": self.lanes,
            "units": self.units,
            "rows": self.rows,
            "sweeps": self.sweeps,
            "weight_bits": self.connection.weight_bits,
            "weight_memory_bits": self.weight_words * self.lanes * self.connection.weight_bits,
        }


@dataclass(frozen=True, kw_only=True)
class NetworkPlan:
    """Cores of a network, in the order of the stream, and whether it stops at the first output spike."""

    network: Network
    cores: tuple[CorePlan, ...]
    early_stop: bool

    @property
    def score_range(self) -> Range:
        """Range of the words of the answer: scores and index."""
        return Range(0, max(self.network.steps, self.cores[-1].population.size - 1))

    @property
    def score_width(self) -> int:
        """Width in bits of a signed word of the answer."""
        return self.score_range.width + 1


def plan_network(
    network: Network, *, lanes: int | Mapping[str, int] | None = None, early_stop: bool = True
) -> NetworkPlan:
    """Plan of the cores.

    Parameters
    ----------
    network : Network
    lanes : int or mapping of population name to int, optional
        Synaptic operations per cycle and core; rounded down to what a population can use. Default 16.
    early_stop : bool
        With readout ``first_spike``, stop a sample at its first output spike.

    Raises
    ------
    UnsupportedError
        Naming the first thing that cannot be generated, and the way out; :func:`refusals` names all.
    """
    for words in refusals(network):
        raise UnsupportedError(words)
    if isinstance(lanes, Mapping):
        for name in lanes:
            if name not in network.order:
                raise NetworkError(f"Lanes must name one of {', '.join(network.order)}, not {name!r}")
    cores = []
    for name in network.order:
        (connection,) = network.incoming(name)
        wanted = lanes.get(name) if isinstance(lanes, Mapping) else lanes
        cores.append(_plan_core(network, connection, DEFAULT_LANES if wanted is None else wanted))
    stops = early_stop and network.readout.kind == "first_spike"
    return NetworkPlan(network=network, cores=tuple(cores), early_stop=stops)


def refusals(network: Network) -> Iterator[str]:
    """Everything of a network that cannot be generated, each with its way out."""
    if network.input.kind not in ("events", "current"):
        yield f"Input of kind {network.input.kind} is not generated yet; encode on the host and use kind events"
    if network.readout.kind not in ("count", "first_spike"):
        yield f"Readout {network.readout.kind} is not generated yet; use count or first_spike"
    source = INPUT
    for name in network.order:
        yield from _population_refusals(network[name])
        yield from _connection_refusals(network, name, source)
        source = name
    if network.readout.population != source:
        yield f"Readout of {network.readout.population} is not generated yet; read the last population, {source}"


def _population_refusals(population: Population) -> Iterator[str]:
    for unsupported, what, way in (
        (population.ternary, "ternary spikes", "use binary ones"),
        (population.current_decay is not None, "a current_decay", "use a first-order neuron"),
        (population.threshold is None, "no threshold", "use a spiking readout population"),
    ):
        if unsupported:
            yield f"Population {population.name} with {what} is not generated yet; {way}"


def _connection_refusals(network: Network, name: str, source: str) -> Iterator[str]:
    incoming = network.incoming(name)
    for connection in incoming:
        if connection.delay:
            yield f"{connection.label} of delay 1 is not generated yet; use a feed-forward network"
        if connection.kind != "dense" or connection.pool != (1, 1):
            kind = f"kind {connection.kind}" if connection.kind != "dense" else "address pooling"
            yield f"{connection.label} with {kind} is not generated yet; use dense layers"
        if connection.source != source and not connection.delay:
            yield f"{connection.label} skips a layer, which is not generated yet; use a chain"
    if len(incoming) != 1:
        yield f"Population {name} with {len(incoming)} incoming connections is not generated yet; use one"


def _plan_core(network: Network, connection: Connection, wanted: int) -> CorePlan:
    population = network[connection.target]
    if wanted < 1:
        raise NetworkError(f"Lanes of {population.name} must be at least 1, not {wanted}")
    rows = -(-population.size // min(wanted, population.size))
    lanes = -(-population.size // rows)
    units = 1 << (min(MAX_UNITS, lanes).bit_length() - 1)
    while units > 1 and -(-population.size // (units // 2)) <= STATE_DISTANCE + 1:
        units //= 2
    held = connection.source == INPUT and network.input.kind == "current"
    return CorePlan(
        population=population,
        connection=connection,
        bounds=network.bounds(population.name),
        values=network.value_range(connection.source),
        inputs=connection.weights.shape[1],
        lanes=-(-lanes // units) * units,
        units=units,
        steps=network.steps if held else 0,
    )
