"""What is generated for one connection: its events, its weights, and the memory that they lie in."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType

import numpy as np

from quant.graph import Shape, Synapses
from quant.ranges import Range, fan_in

from .geometry import Geometry

__all__ = ["BINARY", "BLOCK_RAMS", "SPRAM_BITS", "SPRAM_WORDS", "STORAGES", "BlockRam", "PortPlan"]

BINARY = Range(0, 1)
STORAGES = ("rom", "ram", "spram")
"""Where weights lie: in the configuration; there and writable; in SPRAM, which is empty until it is written."""
SPRAM_WORDS, SPRAM_BITS = 1 << 14, 16
_MOST_BANKS = 8


@dataclass(frozen=True)
class BlockRam:
    """Block RAM of a family of chips.

    Parameters
    ----------
    shapes : tuple of (int, int)
        Words, a power of two, and bits of a word: what one can be.
    """

    shapes: tuple[tuple[int, int], ...]

    def bank_words(self, *, words: int, width: int) -> int:
        """Words of a bank of a memory: those with which it needs the fewest block RAMs, and then the fewest banks.

        Banks are 8 at most, for their multiplexer stands between two registers.
        """
        fitting = [
            (self.count(words=words, width=width, bank_words=bank), -bank)
            for bank, _ in self.shapes
            if -(-words // bank) <= _MOST_BANKS
        ]
        return -min(fitting)[1] if fitting else max(bank for bank, _ in self.shapes)

    def count(self, *, words: int, width: int, bank_words: int) -> int:
        """Block RAMs of a memory in banks, the last of which may be smaller."""
        whole, rest = divmod(words, bank_words)
        return whole * self._one(bank_words, width) + (self._one(rest, width) if rest else 0)

    def _one(self, words: int, width: int) -> int:
        return min(-(-width // bits) for most, bits in self.shapes if most >= words)


#: By the family of a board.
BLOCK_RAMS: Mapping[str, BlockRam] = MappingProxyType(
    {
        "ice40": BlockRam(((256, 16), (512, 8), (1024, 4), (2048, 2))),
        "ecp5": BlockRam(((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))),
    }
)


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
    storage : str
        One of :data:`STORAGES`: where the weights lie.
    block_ram : BlockRam, optional
        Of the chip that it is for, by which deep memories are made of banks. Without, that is left to the tools.
    """

    geometry: Geometry
    values: Range
    weight_bits: int
    held: bool = False
    storage: str = "rom"
    block_ram: BlockRam | None = None

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
        """Range of what all events of a step add to a neuron: whatever the weights, if they can be loaded."""
        return _reach(self.connection, self.geometry.source, self.values, self.weight if self.writable else None)

    @property
    def writable(self) -> bool:
        """Whether weights can be loaded."""
        return self.storage != "rom"

    @property
    def words(self) -> int:
        """Words of the memory of weights."""
        return self.geometry.depth

    @property
    def width(self) -> int:
        """Bits of a word."""
        return self.geometry.width * self.weight_bits

    @property
    def word_bytes(self) -> int:
        """Bytes of a word in an image."""
        return -(-self.width // 8)

    @property
    def bank_words(self) -> int:
        """Words of a bank, of which there may be one alone."""
        if self.storage == "spram":
            return SPRAM_WORDS
        return self.words if self.block_ram is None else self.block_ram.bank_words(words=self.words, width=self.width)

    @property
    def banks(self) -> int:
        """Banks of the memory of weights."""
        return -(-self.words // self.bank_words)

    @property
    def sprams(self) -> int:
        """SPRAMs that it takes: none of two connections share one, for it reads one word a cycle."""
        return self.banks * -(-self.width // SPRAM_BITS) if self.storage == "spram" else 0


@lru_cache(maxsize=64)
def _reach(connection: Synapses, source: Shape, values: Range, weight: Range | None) -> Range:
    """What all events of a step add to a neuron: with the connection's weights, or with any within ``weight``.

    Plans that are compared have the same connections.
    """
    if weight is None:
        return fan_in(connection, source, values)
    extremes = [np.full(connection.weights.shape, bound) for bound in (weight.low, weight.high)]
    low, high = (fan_in(replace(connection, weights=item), source, values) for item in extremes)
    return low | high
