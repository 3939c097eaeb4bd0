"""What is generated for a network: its cores, and the readout."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from quant.errors import NetworkError
from quant.graph import INPUT, Shape, Synapses
from quant.ir import Network, Population
from quant.ports import Input
from quant.ranges import Range, bounds_of

from .core_plan import QUEUE_DEPTH, REGISTER_ROWS, STATE_DISTANCE, CorePlan
from .geometry import Geometry
from .lanes import Lanes
from .layout import BeatLayout, Tiling
from .port import BINARY, STORAGES, BlockRam, PortPlan

__all__ = [
    "BINARY",
    "QUEUE_DEPTH",
    "REGISTER_ROWS",
    "CorePlan",
    "NetworkPlan",
    "PortPlan",
    "ReadoutPlan",
    "plan_network",
]

DEFAULT_LANES = 16
MAX_UNITS = 16
LOADED_BITS = 8
"""Weights of a linear readout that can be loaded have a multiple of so many bits."""


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
    lanes: Lanes = None,
    units: Lanes = None,
    overlap: bool = True,
    skips: bool | Mapping[str, bool] = False,
    early_stop: bool = True,
    storage: str | Mapping[str, str] = "rom",
    block_ram: BlockRam | None = None,
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
    skips : bool or mapping of str to bool
        Whether sweeps skip groups of neurons in which nothing can change; or of which cores. A mapping need not name
        all. It is ignored of a core that shows H, sweeps at the end alone, or sets its sums aside.
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
        If lanes or units are not positive, or of a core that there is not, or a storage is none; if sums of weights
        that are loaded would be too wide.
    """
    scores = (_scores_name(network),) if network.readout.kind == "linear" else ()
    names = (*network.order, *scores)
    of_lanes = _by_name(names, "Lanes", lanes, DEFAULT_LANES)
    of_units = _by_name(names, "Units", units, MAX_UNITS)
    of_storage = _by_name(names, "Storage", storage, "rom")
    of_skips = _by_name(names, "Skips", skips, False)
    for what, numbers in (("Lanes", of_lanes), ("Units", of_units)):
        for name, number in numbers.items():
            if number < 1:
                raise NetworkError(f"{what} of {name} must be at least 1, not {number}")
    for word in of_storage.values():
        if word not in STORAGES:
            raise NetworkError(f"Storage must be one of {', '.join(STORAGES)}, not {word!r}")
    memories = {name: {"storage": of_storage[name], "block_ram": block_ram} for name in names}
    cores = [
        replace(
            _plan_core(network, network[name], of_lanes[name], of_units[name], memories[name]),
            overlap=overlap,
            skip=bool(of_skips[name]),
        )
        for name in network.order
    ]
    stops = early_stop and network.readout.kind == "first_spike"
    for name in scores:
        cores.append(_linear(network, name, of_lanes[name], memories[name]))
    return NetworkPlan(network=network, cores=tuple(cores), readout=_readout(network, cores), early_stop=stops)


_Wish = TypeVar("_Wish", int, str)


def _by_name(
    names: Sequence[str], what: str, wanted: _Wish | Mapping[str, _Wish] | None, default: _Wish
) -> dict[str, _Wish]:
    """What is wanted of every core."""
    if not isinstance(wanted, Mapping):
        return dict.fromkeys(names, default if wanted is None else wanted)
    for name in wanted:
        if name not in names:
            raise NetworkError(f"{what} must name one of {', '.join(names)}, not {name!r}")
    return {name: wanted.get(name, default) for name in names}


def _scores_name(network: Network) -> str:
    """Name of the core of a linear readout."""
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


def _linear(network: Network, name: str, wanted: int, memory: Mapping[str, Any]) -> CorePlan:
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
    lanes, units = _sizes(population, wanted, 1)
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


def _plan_core(
    network: Network, population: Population, wanted_lanes: int, wanted_units: int, memory: Mapping[str, Any]
) -> CorePlan:
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


def _sizes(population: Population, wanted_lanes: int, wanted_units: int) -> tuple[int, int]:
    """Lanes and units."""
    channels = population.shape[0]
    rows = -(-channels // min(wanted_lanes, channels))
    lanes = -(-channels // rows)
    units = 1 << (min(wanted_units, MAX_UNITS, lanes).bit_length() - 1)
    while units > 1 and Tiling(population.shape, units // 2).words <= STATE_DISTANCE + 1:
        units //= 2
    return -(-lanes // units) * units, units
