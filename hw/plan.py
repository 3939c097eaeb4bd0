"""What is generated for a network: ports, lanes, rows and sweeps of every core."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from quant.errors import NetworkError
from quant.graph import INPUT, Shape, Synapses
from quant.ir import Network, Population
from quant.ports import Input
from quant.ranges import Bounds, Range, bounds_of

from .geometry import Geometry
from .layout import BeatLayout, Tiling
from .port import BINARY, STORAGES, BlockRam, PortPlan

__all__ = ["BINARY", "CorePlan", "NetworkPlan", "PortPlan", "ReadoutPlan", "plan_network"]

DEFAULT_LANES = 16
MAX_UNITS = 16
LOADED_BITS = 8
"""Weights of a linear readout that can be loaded have a multiple of so many bits."""
QUEUE_DEPTH = 16
STATE_DISTANCE = 7
"""Cycles from the read of a membrane to the first in which it may be read again; one more of second order."""


@dataclass(frozen=True, kw_only=True)
class CorePlan:
    """One core: a population and its incoming connections.

    Neurons lie in rows of ``lanes``, by :class:`hw.layout.Tiling`: those of the accumulators and the weights; and in
    words of ``units``, ``banks`` of which are a row: those of a sweep.

    Parameters
    ----------
    population : Population
    bounds : Bounds
        Ranges of the population's sums.
    ports : tuple of PortPlan
    lanes : int
        Synaptic operations per cycle: weights in a row; a multiple of ``units``.
    units : int
        Neuron units: neurons swept per cycle; a power of two.
    shows : bool
        Of a population without a threshold: it sends H of every neuron, in place of spikes.
    at_end : bool
        It sweeps at the last tick of a sample alone, and keeps its sums until then.
    """

    population: Population
    bounds: Bounds
    ports: tuple[PortPlan, ...]
    lanes: int
    units: int
    shows: bool = False
    at_end: bool = False

    @property
    def name(self) -> str:
        """Name of the population."""
        return self.population.name

    @property
    def shape(self) -> Shape:
        """Shape of the population."""
        return self.population.shape

    @property
    def row_tiling(self) -> Tiling:
        """Neurons in rows."""
        return Tiling(self.shape, self.lanes)

    @property
    def word_tiling(self) -> Tiling:
        """Neurons in the words of a sweep."""
        return Tiling(self.shape, self.units)

    @property
    def rows(self) -> int:
        """Rows of accumulators."""
        return self.row_tiling.words

    @property
    def sweeps(self) -> int:
        """Words of a sweep: cycles per step without events."""
        return self.word_tiling.words

    @property
    def banks(self) -> int:
        """Banks of accumulators: words of a sweep in a row."""
        return self.lanes // self.units

    @property
    def sends(self) -> Range:
        """Range of the values of the population's events."""
        if self.shows:
            # Never the range of spikes, whose value is not sent.
            return self.bounds.total | Range(-1, 0)
        return Range(-1, 1) if self.population.ternary else BINARY

    @property
    def spikes(self) -> Range:
        """Range of S."""
        return Range(-1, 1) if self.population.ternary else BINARY

    @property
    def multiplies(self) -> bool:
        """Whether there are multipliers between weights and accumulators."""
        return any(port.multiplies for port in self.ports)

    @property
    def operand(self) -> Range:
        """Range of what is added to a sum at once."""
        ranges = [port.operand for port in self.ports]
        return Range(min(item.low for item in ranges), max(item.high for item in ranges))

    def drive(self, *, held: bool) -> Range:
        """Range of the sums of the ports that are held, or of the others; 0 if there are none."""
        if self.at_end:
            return Range(0, 0) if held else self.bounds.drive
        total = Range(0, 0)
        for port in self.ports:
            if port.held == held:
                total = total + port.reach
        return total

    @property
    def fetch(self) -> int:
        """Cycles from a word's address to its weights: 2, and one more where a memory has banks."""
        return 2 + any(port.banks > 1 for port in self.ports)

    @property
    def depth(self) -> int:
        """Cycles from the choice of an operation to its sums."""
        return 1 + self.fetch + self.multiplies

    @property
    def forwards(self) -> bool:
        """Whether rows of operations that follow each other may be the same."""
        return len(self.ports) > 1 or self.ports[0].connection.kind != "dense"

    @property
    def cooldown(self) -> int:
        """Cycles after a sweep in which no other may start: its membranes are still on their way."""
        distance = STATE_DISTANCE + (self.population.current_decay is not None)
        return max(0, distance - self.sweeps)

    def as_dict(self) -> dict[str, int | str]:
        """Sizes, for reports."""
        return {
            "population": self.name,
            "inputs": sum(int(np.prod(port.geometry.source)) for port in self.ports),
            "neurons": self.population.size,
            "lanes": self.lanes,
            "units": self.units,
            "rows": self.rows,
            "sweeps": self.sweeps,
            "weight_bits": max(port.weight_bits for port in self.ports),
            "weight_memory_bits": sum(port.geometry.words.size * port.weight_bits for port in self.ports),
            "storage": self.ports[0].storage,
        }


@dataclass(frozen=True, kw_only=True)
class ReadoutPlan:
    """How the events of a core become scores.

    Parameters
    ----------
    kind : str
        ``"count"``, ``"first_spike"``, or ``"membrane"``, whose events are H.
    reduce : str
        Of ``"membrane"``: ``"last"``, ``"sum"`` or ``"max"``.
    source : str
        Name of the core.
    shape : tuple of int
        Shape of its population: one score a neuron, in C order.
    values : Range
        Of its events.
    scores : Range
    steps : int
        Time steps of a sample, at most.
    """

    kind: str
    reduce: str
    source: str
    shape: Shape
    values: Range
    scores: Range
    steps: int

    @property
    def classes(self) -> int:
        """Number of scores."""
        return int(np.prod(self.shape))

    @property
    def width(self) -> int:
        """Width in bits of a signed word of the answer: a score, or the index of the best."""
        words = self.scores | Range(-1, self.classes - 1)
        return words.width


@dataclass(frozen=True, kw_only=True)
class NetworkPlan:
    """Cores of a network in the order of a step, its readout, and whether it stops at the first output spike.

    A linear readout is a core of its own, the last.
    """

    network: Network
    cores: tuple[CorePlan, ...]
    readout: ReadoutPlan
    early_stop: bool

    @property
    def input(self) -> Input:
        """Input of the network."""
        return self.network.input

    @property
    def input_layout(self) -> BeatLayout:
        """Layout of a beat that comes in."""
        return BeatLayout(self.input.shape, Range(self.input.low, self.input.high))

    @cached_property
    def populations(self) -> tuple[CorePlan, ...]:
        """Cores of the network's populations, in its order."""
        return tuple(core for core in self.cores if core.name in self.network.order)

    @property
    def score_width(self) -> int:
        """Width in bits of a signed word of the answer."""
        return self.readout.width

    @cached_property
    def writable(self) -> tuple[PortPlan, ...]:
        """Connections whose weights can be loaded, in the order of an image."""
        return tuple(port for core in self.cores for port in core.ports if port.writable)

    @property
    def reloadable(self) -> bool:
        """Whether weights can be loaded."""
        return bool(self.writable)

    @property
    def sprams(self) -> int:
        """SPRAMs that it takes."""
        return sum(port.sprams for port in self.writable)


def plan_network(
    network: Network,
    *,
    lanes: int | Mapping[str, int] | None = None,
    early_stop: bool = True,
    storage: str | Mapping[str, str] = "rom",
    block_ram: BlockRam | None = None,
) -> NetworkPlan:
    """Plan of the cores.

    Parameters
    ----------
    network : Network
    lanes : int or mapping of population name to int, optional
        Synaptic operations per cycle and core; rounded to what a population can use. Default 16.
    early_stop : bool
        With readout ``first_spike``, stop a sample at its first output spike.
    storage : str or mapping of population name to str
        Where the weights of its connections lie: one of :data:`hw.port.STORAGES`. A mapping need not name all; the
        others are ``"rom"``. Those of a linear readout go by the name of its core, ``"scores"``.
    block_ram : BlockRam, optional
        Of the chip that it is for: deep memories are made of banks, whose choice is registered.

    Raises
    ------
    NetworkError
        If lanes are not positive, or of a population that there is not, or a storage is none; if sums of weights that
        are loaded would be too wide.
    """
    _check_names("Lanes", lanes, network.order)
    scores = (_scores_name(network),) if network.readout.kind == "linear" else ()
    _check_names("Storage", storage, (*network.order, *scores))
    for word in storage.values() if isinstance(storage, Mapping) else (storage,):
        if word not in STORAGES:
            raise NetworkError(f"Storage must be one of {', '.join(STORAGES)}, not {word!r}")
    memories = {
        name: {
            "storage": storage.get(name, "rom") if isinstance(storage, Mapping) else storage,
            "block_ram": block_ram,
        }
        for name in (*network.order, *scores)
    }
    cores = []
    for name in network.order:
        wanted = lanes.get(name) if isinstance(lanes, Mapping) else lanes
        cores.append(_plan_core(network, network[name], DEFAULT_LANES if wanted is None else wanted, memories[name]))
    stops = early_stop and network.readout.kind == "first_spike"
    for name in scores:
        cores.append(_linear(network, name, memories[name]))
    return NetworkPlan(network=network, cores=tuple(cores), readout=_readout(network, cores), early_stop=stops)


def _check_names(what: str, given: object, names: tuple[str, ...]) -> None:
    for name in given if isinstance(given, Mapping) else ():
        if name not in names:
            raise NetworkError(f"{what} must name one of {', '.join(names)}, not {name!r}")


def _scores_name(network: Network) -> str:
    name = "scores"
    while name in network.order:
        name += "_"
    return name


def _readout(network: Network, cores: list[CorePlan]) -> ReadoutPlan:
    readout, steps = network.readout, network.steps
    linear = readout.kind == "linear"
    source = cores[-1] if linear else next(core for core in cores if core.name == readout.population)
    reduce = "last" if linear else readout.reduce
    scores = Range(0, steps)
    if source.shows:
        times = steps if reduce == "sum" else 1
        scores = Range(min(0, source.sends.low) * times, max(0, source.sends.high) * times)
    elif readout.kind == "count":
        scores = Range(source.sends.low * steps, source.sends.high * steps)
    return ReadoutPlan(
        kind="membrane" if linear else readout.kind,
        reduce=reduce,
        source=source.name,
        shape=source.shape,
        values=source.sends,
        scores=scores,
        steps=steps,
    )


def _linear(network: Network, name: str, memory: Mapping[str, Any]) -> CorePlan:
    """The core of a linear readout: it adds up what the counts' spikes bring, and shows it in the end."""
    readout = network.readout
    source, classes = network[readout.population], len(readout.weights)
    population = Population(
        name=name,
        shape=(classes,),
        threshold=None,
        reset="none",
        bias=readout.bias,
        state_min=0,
        state_max=0,
    )
    bits = Range(min(-1, int(readout.weights.min())), max(0, int(readout.weights.max()))).width
    if memory["storage"] != "rom":
        # Room for others: the contract gives these weights no width.
        bits = -(-bits // LOADED_BITS) * LOADED_BITS
    dense = Synapses(source=source.name, target=name, kind="dense", weights=readout.weights)
    values = network.value_range(source.name)
    lanes, units = _sizes(population, DEFAULT_LANES, one_unit=True)
    geometry = Geometry(connection=dense, source=source.shape, target=(classes,), lanes=lanes)
    port = PortPlan(geometry=geometry, values=values, weight_bits=bits, **memory)
    drive = Range(port.reach.low * network.steps, port.reach.high * network.steps)
    return CorePlan(
        population=population,
        bounds=bounds_of(population, drive),
        ports=(port,),
        lanes=lanes,
        units=units,
        shows=True,
        at_end=True,
    )


def _plan_core(network: Network, population: Population, wanted: int, memory: Mapping[str, Any]) -> CorePlan:
    if wanted < 1:
        raise NetworkError(f"Lanes of {population.name} must be at least 1, not {wanted}")
    shows = population.threshold is None and network.readout.population == population.name
    lanes, units = _sizes(population, wanted, one_unit=shows)
    ports = tuple(
        PortPlan(
            geometry=Geometry(
                connection=connection,
                source=network.shape_of(connection.source),
                target=population.shape,
                lanes=lanes,
            ),
            values=network.value_range(connection.source),
            weight_bits=connection.weight_bits,
            held=connection.source == INPUT and network.input.kind == "current",
            **memory,
        )
        for connection in network.incoming(population.name)
    )
    return CorePlan(
        population=population,
        bounds=bounds_of(population, sum((port.reach for port in ports), Range(0, 0))),
        ports=ports,
        lanes=lanes,
        units=units,
        shows=shows,
    )


def _sizes(population: Population, wanted: int, *, one_unit: bool) -> tuple[int, int]:
    """Lanes and units."""
    channels = population.shape[0]
    rows = -(-channels // min(wanted, channels))
    lanes = -(-channels // rows)
    units = 1 if one_unit else 1 << (min(MAX_UNITS, lanes).bit_length() - 1)
    while units > 1 and Tiling(population.shape, units // 2).words <= STATE_DISTANCE + 1:
        units //= 2
    return -(-lanes // units) * units, units
