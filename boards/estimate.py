"""Estimate: what a network will take of a chip, before any tool has run.

Memories are counted by the shapes that block RAMs have. Logic is a sum over the parts of each core, bits times a
number that was fitted to what synthesis made of networks of many sizes; `make bench` shows how far off it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, prod
from types import MappingProxyType

from hw.delay import depth_of
from hw.layout import BeatLayout, Fields
from hw.plan import QUEUE_DEPTH, CorePlan, NetworkPlan, PortPlan
from quant.ranges import Range

__all__ = ["Estimate", "estimate", "estimate_core"]

#: Words and width of a block RAM, in each of its shapes.
_SHAPES: Mapping[str, tuple[tuple[int, int], ...]] = MappingProxyType(
    {
        "ice40": ((256, 16), (512, 8), (1024, 4), (2048, 2)),
        "ecp5": ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1)),
    }
)
#: Bits up to which a memory is not worth a block RAM.
_SMALL: Mapping[str, int] = MappingProxyType({"ice40": 128, "ecp5": 1024})
#: Logic cells that hold a bit of such a memory: registers and what chooses among them, or tables of 16 words.
_SMALL_CELLS: Mapping[str, float] = MappingProxyType({"ice40": 1.6, "ecp5": 0.25})

# Of the link and the serial line, and of the readout.
_LINK_CELLS, _READOUT_CELLS, _GATE_CELLS = 620, 90, 30
_CORE_CELLS, _ADDRESSER_CELLS, _DELAY_CELLS = 110, 60, 70
# For each bit of: a sum (adder), its way back around the memory, its choice among banks; a neuron unit's sums; a spike.
_ADD, _FORWARD, _BANK, _NEURON, _SERIAL, _PRODUCT = 1.1, 2.0, 0.6, 7.0, 9.0, 0.9


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Resources, as :class:`boards.board.Board` counts them.

    Parameters
    ----------
    logic_cells, block_rams, dsps : int
    """

    logic_cells: int = 0
    block_rams: int = 0
    dsps: int = 0

    def __add__(self, other: "Estimate") -> "Estimate":
        return Estimate(
            logic_cells=self.logic_cells + other.logic_cells,
            block_rams=self.block_rams + other.block_rams,
            dsps=self.dsps + other.dsps,
        )


def estimate(plan: NetworkPlan, family: str) -> Estimate:
    """Of a network with its serial link.

    Parameters
    ----------
    plan : NetworkPlan
    family : str
        ``"ice40"`` or ``"ecp5"``.
    """
    total = Estimate(logic_cells=_LINK_CELLS + _READOUT_CELLS + _GATE_CELLS) + memory(family, width=9, depth=256)
    total += memory(family, width=plan.readout.scores.width, depth=plan.readout.classes)
    if plan.input.coded:
        bits = plan.input.high.bit_length()
        total += memory(family, width=8 * bits, depth=ceil(plan.input.size / 8)) + Estimate(logic_cells=30 * bits + 150)
    for core in plan.cores:
        total += estimate_core(core, family)
    return total


def estimate_core(core: CorePlan, family: str) -> Estimate:
    """Of one core."""
    total = _sums(core, family) + _neurons(core, family)
    for port in core.ports:
        total += _port(port, core, family)
    queue = core.units + sum(Fields(core.shape).widths) + 2
    serial = Estimate(logic_cells=ceil(_SERIAL * core.units) + _CORE_CELLS)
    return total + serial + memory(family, width=queue, depth=QUEUE_DEPTH)


def _sums(core: CorePlan, family: str) -> Estimate:
    """Accumulators, and what chooses the bank of a sweep."""
    total = Estimate()
    for held in (True, False):
        ports = [port for port in core.ports if port.held == held]
        if not ports:
            continue
        bits = core.drive(held=held).width + sum(port.once for port in ports)
        row = core.lanes * bits
        cells = _ADD * row + (_BANK * row if core.banks > 1 else 0)
        if core.rows > 2:
            total += memory(family, width=core.units * bits, depth=core.rows, count=core.banks)
            cells += _FORWARD * row if core.forwards else 0
        total += Estimate(logic_cells=ceil(cells))
    return total


def _neurons(core: CorePlan, family: str) -> Estimate:
    """Neuron units, membranes, and parameters that differ from word to word."""
    population, bounds = core.population, core.bounds
    cells = _NEURON * core.units * bounds.total.width
    state = bounds.state.width + (population.reset == "latch")
    if population.current_decay is not None:
        state += Range(population.current_min, population.current_max).width
        cells += _NEURON / 2 * core.units * bounds.current.width
    total = Estimate(logic_cells=ceil(cells)) + memory(family, width=core.units * state, depth=core.sweeps)
    fields = {"threshold": population.threshold, "bias": population.bias, "factor": population.decay.numerator}
    for values in fields.values():
        if values is not None and values.size > 1 and (values != values.flat[0]).any():
            width = Range(min(0, int(values.min())), max(0, int(values.max()))).width
            total += memory(family, width=core.units * width, depth=core.sweeps)
    return total


def _port(port: PortPlan, core: CorePlan, family: str) -> Estimate:
    """Addresser, weights, products and delay of a connection."""
    geometry = port.geometry
    total = memory(family, width=geometry.width * port.weight_bits, depth=len(geometry.words))
    total += Estimate(logic_cells=_ADDRESSER_CELLS + 2 * sum(len(table.row) > 1 for table in geometry.tables) * 12)
    if port.multiplies:
        bits = port.weight_bits * port.values.width
        small = port.values.width <= 2
        dsps = 0 if small or bits <= 12 else core.lanes
        cells = core.lanes * (port.weight_bits + 1) if small else 0 if dsps else _PRODUCT * core.lanes * bits
        total += Estimate(logic_cells=ceil(cells), dsps=dsps)
    if port.delayed:
        layout = BeatLayout(geometry.source, port.values)
        width = layout.fields.width + port.values.width + 1
        total += memory(family, width=width, depth=depth_of(layout)) + Estimate(logic_cells=_DELAY_CELLS)
    return total


def memory(family: str, *, width: int, depth: int, count: int = 1) -> Estimate:
    """Of ``count`` memories of ``depth`` words of ``width`` bits."""
    if depth <= 1 or prod((width, depth)) <= _SMALL[family]:
        return Estimate(logic_cells=ceil(count * width * depth * _SMALL_CELLS[family]) if depth > 1 else 0)
    blocks = min(ceil(width / bits) * ceil(depth / words) for words, bits in _SHAPES[family])
    return Estimate(block_rams=count * blocks)
