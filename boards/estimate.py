"""Estimate: what a network will take of a chip, before any tool has run.

Memories are counted by the rule of synthesis (:mod:`boards.memories`). Logic is counted part by part, in bits that are
added, compared, chosen or kept; a bit of each part costs what was fitted to networks of many kinds and sizes.
``python -m benchmarks estimate_logic_error`` synthesises such networks and says how far off the estimate is.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from math import ceil
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from hw.arith import signed_digits
from hw.delay import depth_of
from hw.encoder import ENCODER_QUEUE, PixelTiling
from hw.geometry import Table
from hw.layout import BeatLayout, Fields
from hw.neuron import parameters
from hw.plan import QUEUE_DEPTH, REGISTER_ROWS, CorePlan, NetworkPlan, PortPlan
from quant.ir import Decay
from quant.ranges import Range

from .costs import COSTS
from .memories import store

__all__ = ["Estimate", "Parts", "core_parts", "estimate", "shared_parts", "total"]

_LINK_QUEUE = (9, 256)
_COUNTER_BITS = 32
# Of an operation of a core: of a sweep, of the last step, mute.
_FLAGS = 3
# From the read of a membrane to its write.
_SWEEP_STAGES = 5
# Bits of an operand of one of ECP5's multipliers, at most.
_DSP_OPERAND = 18


#: Registers on the way of a parameter to where it is used.
_STAGES: Mapping[str, int] = MappingProxyType(
    {
        "bias": 1,
        "threshold": 2,
        "reset_amount": 3,
        "reset_value": 3,
        "factor": 4,
        "current_factor": 2,
        "initial": 0,
    }
)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Resources, as :class:`boards.board.Board` counts them.

    Parameters
    ----------
    logic_cells, block_rams, dsps, sprams : int
    """

    logic_cells: int
    block_rams: int
    dsps: int
    sprams: int = 0

    def as_dict(self) -> dict[str, int]:
        """As JSON values."""
        return asdict(self)


Parts = Counter[str]
"""Amounts of the parts of a design: ``block_rams``, ``dsps``, and those of :data:`boards.costs.COSTS`."""


def estimate(plan: NetworkPlan, family: str) -> Estimate:
    """Of a network with its serial link.

    Parameters
    ----------
    plan : NetworkPlan
    family : str
        ``"ice40"`` or ``"ecp5"``.
    """
    return total([shared_parts(plan, family), *(core_parts(core, family) for core in plan.cores)], family)


def total(parts: Iterable[Parts], family: str) -> Estimate:
    """Resources of parts together."""
    amounts: Parts = sum(parts, Counter())
    cells = sum(cost * amounts[name] for name, cost in COSTS[family].items())
    return Estimate(
        logic_cells=round(cells), block_rams=amounts["block_rams"], dsps=amounts["dsps"], sprams=amounts["sprams"]
    )


def shared_parts(plan: NetworkPlan, family: str) -> Parts:
    """What a network is made of beside its cores: link, input and readout."""
    readout = plan.readout
    found = Counter(
        link=1,
        counter_bits=_COUNTER_BITS * (1 + len(plan.populations)),
        control_bits=4 * readout.scores.width + 8 * ceil(plan.score_width / 8) + 2 * plan.input_layout.size,
    )
    width, depth = _LINK_QUEUE
    found += _queue(family, width=width, depth=depth)
    classes = int(Fields(readout.shape).encode(np.array(readout.classes - 1))) + 1
    found += _memory(family, width=readout.scores.width, depth=classes)
    if plan.input.coded:
        found += _encoder(plan, family)
    return found


def _memory(family: str, *, width: int, depth: int, written: bool = True, grain: int | None = None) -> Parts:
    return Counter(asdict(store(family, width=width, depth=depth, written=written, grain=grain)))


def _queue(family: str, *, width: int, depth: int) -> Parts:
    """A queue, whose last word is in a register."""
    return Counter(asdict(store(family, width=width, depth=depth - 1, written=True, before=True)))


def core_parts(core: CorePlan, family: str) -> Parts:
    """What a core is made of."""
    found = _control(core) + _sums(core, family) + _neurons(core, family)
    for port in core.ports:
        found += _port(port, core, family)
    if core.multiplies:
        found += _products(core, family)
    if core.skips:
        found += _visits(core)
    word = core.units * (1 + (core.sends.width if core.sends != Range(0, 1) else 0)) + _place_bits(core) + 2
    found += _queue(family, width=word, depth=QUEUE_DEPTH)
    found["serial_bits"] += word + BeatLayout(core.shape, core.sends).size
    return found


def _place_bits(core: CorePlan) -> int:
    """Bits of a neuron's address but those of its lane."""
    return max(0, sum(Fields(core.shape).widths) - (core.units - 1).bit_length())


def _bits(number: int) -> int:
    """Bits that count so many."""
    return (number - 1).bit_length()


def _control(core: CorePlan) -> Parts:
    """What goes through the stages of a core beside its sums."""
    values = max(port.values.width for port in core.ports) if core.multiplies else 0
    issued = len(core.ports) + _bits(core.rows) + values + _FLAGS
    stages = core.depth * issued + (5 + _second_order(core)) * _FLAGS
    # What counts the words of a sweep, where they are issued, fetched, sent and written (:mod:`hw.walk`).
    words = 4 * _bits(core.sweeps)
    words += 0 if core.whole_rows else 2 * (_bits(core.banks) + _bits(core.rows))
    words += 0 if core.word_tiling.places == 1 else _place_bits(core)
    return Counter(core=1, control_bits=stages + 3 * issued + 2 * words + 4 * core.banks)


def _visits(core: CorePlan) -> Parts:
    """Groups of rows, what goes through the stages beside their words, and what tells whether neurons change."""
    stages, state = _SWEEP_STAGES + _second_order(core), core.units * _state_bits(core)
    return Counter(
        groups=core.groups,
        control_bits=(core.depth + stages) * (1 + _bits(core.groups)),
        kept_bits=stages * state,
        neuron_bits=state // 2,
    )


def _second_order(core: CorePlan) -> bool:
    return core.population.current_decay is not None


def _current_rails(core: CorePlan) -> Range:
    return Range(core.population.current_min, core.population.current_max)


def _state_bits(core: CorePlan) -> int:
    """Bits of a neuron's membrane and current; membranes that are always 0 are not stored."""
    membrane = core.bounds.state.width if core.bounds.state != Range(0, 0) else 0
    return membrane + (_current_rails(core).width if _second_order(core) else 0)


def _sums(core: CorePlan, family: str) -> Parts:
    """Accumulators, and what chooses the bank of a sweep."""
    found: Parts = Counter()
    for held in (True, False):
        ports = [port for port in core.ports if port.held == held]
        if not ports:
            continue
        marks = sum(port.once for port in ports)
        bits = core.drive(held=held).width + marks
        row = core.lanes * bits
        found["sum_bits"] += row
        found["chosen_bits"] += row if core.banks > 1 else 0
        if core.rows <= REGISTER_ROWS:
            found["ram_bits"] += core.rows * row
            found["kept_bits"] += core.rows * row if core.aside else 0
            continue
        found["kept_bits"] += row
        found["forwarded_bits"] += 2 * row if core.forwards else 0
        for _ in range(core.banks):
            found += _memory(family, width=core.units * bits, depth=core.rows)
    return found


def _neurons(core: CorePlan, family: str) -> Parts:
    """Neuron units, membranes and parameters."""
    population, bounds, units = core.population, core.bounds, core.units
    total, settled = bounds.total.width, bounds.total.width - population.rectify
    unit = 2 * bounds.state.width + bounds.drive.width + total + settled
    unit += total if population.bias.any() else 0
    if population.threshold is not None:
        unit += settled * (1 + population.ternary)
    unit += bounds.kept.width * (1 + (population.reset == "subtract")) + 3 * (population.reset == "latch")
    stored = _state_bits(core) + (population.reset == "latch")
    amounts: Parts = Counter()
    decays = [(bounds.kept, population.decay, bounds.state)]
    if population.current_decay is not None:
        rails = _current_rails(core)
        unit += bounds.current.width + 4 * rails.width
        decays.append((bounds.current, population.current_decay, rails))
    for value, decay, rails in decays:
        amounts += _decay(value, decay, rails, units, family)
    amounts["neuron_bits"] += units * unit
    amounts += _memory(family, width=units * stored, depth=core.sweeps)
    return amounts + _parameters(core, family)


def _parameters(core: CorePlan, family: str) -> Parts:
    """Parameters that are not the same in all neurons, and their way through the stages of a neuron unit."""
    population, tiling = core.population, core.word_tiling
    found: Parts = Counter()
    for name, values in {**parameters(population), "initial": population.initial}.items():
        differing = _differing(values)
        # Of channels, one period of the words, if it is a power of two.
        repeats = values.size == core.shape[0] and tiling.blocks & (tiling.blocks - 1) == 0
        depth = tiling.blocks if repeats else tiling.words
        if differing and depth > 1:
            found += _memory(family, width=core.units * differing, depth=depth, written=False)
            found["kept_bits"] += _STAGES[name] * core.units * differing
    return found


def _differing(values: NDArray[np.int64]) -> int:
    """Bits of numbers that are not the same in all of them."""
    flat = values.reshape(-1)
    width = Range(int(flat.min()), int(flat.max())).width
    return (int(np.bitwise_or.reduce(flat ^ flat[0])) & ((1 << width) - 1)).bit_count()


def _decay(value: Range, decay: Decay, rails: Range, units: int, family: str) -> Parts:
    """A membrane or a current on its way back, units times."""
    numerators = decay.numerator.reshape(-1)
    corners = [v * int(n) for v in (value.low, value.high) for n in (numerators.min(), numerators.max())]
    product = Range(min(corners) + decay.half, max(corners) + decay.half)
    shifted = Range(product.low >> decay.shift, product.high >> decay.shift)
    clips = (shifted.high > rails.high) + (shifted.low < rails.low)
    bits = product.width + clips * (shifted.width + rails.width)
    if (numerators != numerators[0]).any():
        return Counter(neuron_bits=units * bits) + _multiplier(
            value.width, int(numerators.max()).bit_length(), units, family
        )
    kept, lost = (len(signed_digits(int(part))) for part in (numerators[0], (1 << decay.shift) - numerators[0]))
    adders, width = kept - 1 + (decay.shift > 0), product.width
    if lost < kept:
        # What is lost is worked out, which is narrower.
        adders, width, bits = lost + 1, shifted.width, bits - product.width + shifted.width
    return Counter(neuron_bits=units * (bits + max(0, adders - 1) * width))


def _multiplier(first: int, second: int, count: int, family: str) -> Parts:
    """Multipliers of numbers of so many bits."""
    if family == "ecp5" and min(first, second) > 1:
        return Counter(dsps=count * ceil(first / _DSP_OPERAND) * ceil(second / _DSP_OPERAND))
    return Counter(product_bits=count * first * second)


def _products(core: CorePlan, family: str) -> Parts:
    """Weights times values, in every lane."""
    weight = max(port.weight_bits for port in core.ports)
    low, high = min(port.values.low for port in core.ports), max(port.values.high for port in core.ports)
    if low >= -1 and high <= 1:
        return Counter(kept_bits=2 * core.lanes * (weight + 1))
    value, product = Range(low, high).width, core.operand.width
    return Counter(kept_bits=core.lanes * product) + _multiplier(weight, value, core.lanes, family)


def _port(port: PortPlan, core: CorePlan, family: str) -> Parts:
    """Addresser, weights and delay of a connection."""
    geometry = port.geometry
    found = _weights(port, family)
    row, word = _bits(geometry.rows.words), _bits(geometry.depth)
    found["control_bits"] += 4 * (row + word) + BeatLayout(geometry.source, port.values).size
    found["table_bits"] += sum(_table_bits(table) for table in geometry.tables)
    found["kept_bits"] += geometry.width * port.weight_bits
    found["chosen_bits"] += core.lanes * port.weight_bits
    if port.delayed:
        layout = BeatLayout(geometry.source, port.values)
        found += _memory(family, width=layout.fields.width + port.values.width + 1, depth=depth_of(layout))
        found["control_bits"] += 5 * depth_of(layout).bit_length() + layout.size
    return found


def _weights(port: PortPlan, family: str) -> Parts:
    """Memory of a connection's weights."""
    geometry, width = port.geometry, port.width
    if port.storage == "spram":
        return Counter(sprams=port.sprams)
    if port.banks > 1 and port.block_ram is not None:
        used = port.block_ram.count(words=port.words, width=width, bank_words=port.bank_words)
        return Counter(block_rams=used, kept_bits=port.banks * width, chosen_bits=port.banks * width)
    if geometry.separate and not port.writable:
        width = _differing(np.asarray(port.connection.weights, np.int64))
    return _memory(family, width=width, depth=geometry.depth, written=port.writable)


def _table_bits(table: Table) -> int:
    """Bits of the numbers that a coordinate is looked up for: none where they follow a line."""
    found = 0
    for values in (table.row, table.word, table.count, table.group):
        steps = np.diff(values)
        if steps.any() and not (steps[0] > 0 and (steps == steps[0]).all()):
            found += len(values) * int(values.max()).bit_length()
        elif steps.any():
            found += 8 * int(values.max()).bit_length()
    return found


def _encoder(plan: NetworkPlan, family: str) -> Parts:
    """Pixels, and what makes spikes of them."""
    tiling, bits = PixelTiling(plan.input.shape), plan.input.high.bit_length()
    width = tiling.units * bits
    found = _memory(family, width=width, depth=max(2, tiling.final + 1), grain=bits)
    word = tiling.units + tiling.fields.width + 2
    found += _queue(family, width=word, depth=ENCODER_QUEUE)
    found["encoder_bits"] += width
    found["serial_bits"] += word + plan.input_layout.fields.width
    found["control_bits"] += 6 * tiling.fields.width
    return found
