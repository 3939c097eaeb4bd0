"""What is generated for a network: ports, lanes, rows and sweeps of every core."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from quant.errors import NetworkError
from quant.graph import INPUT, Shape, Synapses
from quant.ir import Network, Population
from quant.ports import Input
from quant.ranges import Bounds, Range, bounds_of, fan_in

from .geometry import Geometry
from .layout import BeatLayout, Tiling

__all__ = ["BINARY", "CorePlan", "NetworkPlan", "PortPlan", "ReadoutPlan", "plan_network"]

DEFAULT_LANES = 16
MAX_UNITS = 16
QUEUE_DEPTH = 16
STATE_DISTANCE = 7
"""Cycles from the read of a membrane to the first in which it may be read again; one more of second order."""
REGISTER_ROWS = 2
"""Up to so many rows of sums are registers: a memory's read and write would not fit between two uses of a row."""
BINARY = Range(0, 1)


@dataclass(frozen=True, kw_only=True)
class PortPlan:
    """One connection into a core.

    Parameters
    ----------
    geometry : Geometry
        Rows and words of every event.
    values : Range
        Range of an event's value.
    weight_bits : int
        Width of a weight, in bits, including the sign.
    held : bool
        The source sends its events in the first step alone, and they count in every step of the sample.
    """

    geometry: Geometry
    values: Range
    weight_bits: int
    held: bool = False

    @property
    def connection(self) -> Synapses:
        """The connection."""
        return self.geometry.connection

    @property
    def source(self) -> str:
        """Name of the population that sends, or ``"input"``."""
        return self.connection.source

    @property
    def delayed(self) -> bool:
        """Whether the events are those of the step before."""
        return self.connection.delay == 1

    @property
    def once(self) -> bool:
        """Whether an event counts only if it is the first of its step for a neuron: the OR of max pooling."""
        return self.connection.kind == "max_pool"

    @property
    def weight(self) -> Range:
        """Range of a weight."""
        half = 1 << (self.weight_bits - 1)
        return Range(-half, half - 1)

    @property
    def multiplies(self) -> bool:
        """Whether weights are multiplied with values: events are not all 0 or 1, and do not count once."""
        return self.values != BINARY and not self.once

    @property
    def operand(self) -> Range:
        """Range of what an event adds to a neuron at once."""
        if not self.multiplies:
            return self.weight
        corners = [w * v for w in (self.weight.low, self.weight.high) for v in (self.values.low, self.values.high)]
        return Range(min(corners), max(corners))

    @property
    def reach(self) -> Range:
        """Range of what all events of a step add to a neuron."""
        return fan_in(self.connection, self.geometry.source, self.values)


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
    overlap : bool
        Sums in registers are set aside for the sweep, so that the events of the next step need not wait for it.
    """

    population: Population
    bounds: Bounds
    ports: tuple[PortPlan, ...]
    lanes: int
    units: int
    shows: bool = False
    at_end: bool = False
    overlap: bool = False

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
    def forwards(self) -> bool:
        """Whether rows of operations that follow each other may be the same."""
        return len(self.ports) > 1 or self.ports[0].connection.kind != "dense"

    @property
    def aside(self) -> bool:
        """Whether a step's sums are set aside for its sweep: they are in registers, and are taken only once."""
        keeps = self.at_end or any(port.held for port in self.ports)
        return self.overlap and self.rows <= REGISTER_ROWS and self.sweeps > 1 and not keeps

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
            "weight_memory_bits": sum(
                port.geometry.depth * port.geometry.width * port.weight_bits for port in self.ports
            ),
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


def plan_network(
    network: Network,
    *,
    lanes: int | Mapping[str, int] | None = None,
    units: int | Mapping[str, int] | None = None,
    overlap: bool = True,
    early_stop: bool = True,
) -> NetworkPlan:
    """Plan of the cores.

    Parameters
    ----------
    network : Network
    lanes : int or mapping of str to int, optional
        Synaptic operations per cycle and core, or of each core by name; rounded to what a population can use.
        Default 16.
    units : int or mapping of str to int, optional
        Neurons swept per cycle and core; rounded down to a power of two, and to what is worth it: not more than the
        lanes, nor than a sweep needs to be done before its first membrane may be read again. Default 16.
    overlap : bool
        Whether a core whose sums are in registers may keep a second set of them, and add while it sweeps.
    early_stop : bool
        With readout ``first_spike``, stop a sample at its first output spike.

    Raises
    ------
    NetworkError
        If lanes or units are not positive, or of a core that there is not.
    """
    names = (*network.order, *([_linear_name(network)] if network.readout.kind == "linear" else []))
    of_lanes = _by_name(names, "Lanes", lanes, DEFAULT_LANES)
    of_units = _by_name(names, "Units", units, MAX_UNITS)
    cores = [
        replace(_plan_core(network, network[name], of_lanes[name], of_units[name]), overlap=overlap)
        for name in network.order
    ]
    stops = early_stop and network.readout.kind == "first_spike"
    if network.readout.kind == "linear":
        cores.append(_linear(network, of_lanes[names[-1]]))
    return NetworkPlan(network=network, cores=tuple(cores), readout=_readout(network, cores), early_stop=stops)


def _by_name(names: Sequence[str], what: str, wanted: int | Mapping[str, int] | None, default: int) -> dict[str, int]:
    """A number for every core."""
    if isinstance(wanted, Mapping):
        for name in wanted:
            if name not in names:
                raise NetworkError(f"{what} must name one of {', '.join(names)}, not {name!r}")
        found = {name: wanted.get(name, default) for name in names}
    else:
        found = dict.fromkeys(names, default if wanted is None else wanted)
    for name, number in found.items():
        if number < 1:
            raise NetworkError(f"{what} of {name} must be at least 1, not {number}")
    return found


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


def _linear_name(network: Network) -> str:
    """Name of the core of a linear readout."""
    name = "scores"
    while name in network.order:
        name += "_"
    return name


def _linear(network: Network, wanted: int) -> CorePlan:
    """The core of a linear readout: it adds up what the counts' spikes bring, and shows it in the end."""
    readout, name = network.readout, _linear_name(network)
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
    dense = Synapses(source=source.name, target=name, kind="dense", weights=readout.weights)
    values = network.value_range(source.name)
    reach = fan_in(dense, source.shape, values)
    drive = Range(reach.low * network.steps, reach.high * network.steps)
    lanes, units = _sizes(population, wanted, 1)
    geometry = Geometry(connection=dense, source=source.shape, target=(classes,), lanes=lanes)
    return CorePlan(
        population=population,
        bounds=bounds_of(population, drive),
        ports=(PortPlan(geometry=geometry, values=values, weight_bits=bits),),
        lanes=lanes,
        units=units,
        shows=True,
        at_end=True,
    )


def _plan_core(network: Network, population: Population, wanted_lanes: int, wanted_units: int) -> CorePlan:
    shows = population.threshold is None and network.readout.population == population.name
    lanes, units = _sizes(population, wanted_lanes, 1 if shows else wanted_units)
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
        )
        for connection in network.incoming(population.name)
    )
    return CorePlan(
        population=population,
        bounds=network.bounds(population.name),
        ports=ports,
        lanes=lanes,
        units=units,
        shows=shows,
    )


def _sizes(population: Population, wanted_lanes: int, wanted_units: int) -> tuple[int, int]:
    """Lanes and units."""
    channels = population.shape[0]
    rows = -(-channels // min(wanted_lanes, channels))
    lanes = -(-channels // rows)
    units = 1 << (min(wanted_units, MAX_UNITS, lanes).bit_length() - 1)
    while units > 1 and Tiling(population.shape, units // 2).words <= STATE_DISTANCE + 1:
        units //= 2
    return -(-lanes // units) * units, units
