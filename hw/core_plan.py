"""What is generated for one population: lanes, rows and sweeps of its core."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quant.graph import Shape
from quant.ir import Population
from quant.ranges import Bounds, Range

from .layout import Tiling
from .port import BINARY, PortPlan

__all__ = ["LEAD", "MOST_GROUPS", "QUEUE_DEPTH", "REGISTER_ROWS", "STATE_DISTANCE", "CorePlan"]

QUEUE_DEPTH = 16
STATE_DISTANCE = 7
"""Cycles from the read of a membrane to the first in which it may be read again; one more of second order."""
REGISTER_ROWS = 2
"""Up to so many rows of sums are registers: a memory's read and write would not fit between two uses of a row."""
LEAD = 3
"""Cycles of a sweep that skips before its first word: that in which it begins, and two to find its first group."""
MOST_GROUPS = 64
"""Groups of rows that a sweep visits or skips: each takes four registers."""


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
    skip : bool
        A sweep leaves out groups of words in which nothing can change.
    """

    population: Population
    bounds: Bounds
    ports: tuple[PortPlan, ...]
    lanes: int
    units: int
    shows: bool = False
    at_end: bool = False
    overlap: bool = False
    skip: bool = False

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
    def whole_rows(self) -> bool:
        """Whether bank and row of a word are bits of its number: every row is full, and of a power of 2 of words."""
        tiling, banks = self.word_tiling, self.banks
        return banks & (banks - 1) == 0 and (tiling.places == 1 or tiling.blocks % banks == 0)

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
    def aside(self) -> bool:
        """Whether a step's sums are set aside for its sweep: they are in registers, and are taken only once."""
        keeps = self.at_end or any(port.held for port in self.ports)
        return self.overlap and self.rows <= REGISTER_ROWS and self.sweeps > 1 and not keeps

    @property
    def group_rows(self) -> int:
        """Rows of a group that a sweep visits or skips: a power of two, so that a group's number is bits of a row's."""
        return 1 << (-(-self.rows // MOST_GROUPS) - 1).bit_length()

    @property
    def groups(self) -> int:
        """Groups of rows."""
        return -(-self.rows // self.group_rows)

    @property
    def group_places(self) -> tuple[tuple[int, int], ...]:
        """Of every group, the number of its first word, and that of its place in the map."""
        rows, words = self.row_tiling.blocks, self.word_tiling.blocks
        firsts = [divmod(group * self.group_rows, rows) for group in range(self.groups)]
        return tuple((place * words + row * self.banks, place) for place, row in firsts)

    @property
    def word_groups(self) -> NDArray[np.int64]:
        """Group of every word of a sweep."""
        firsts = [first for first, _ in self.group_places]
        return np.searchsorted(firsts, np.arange(self.sweeps), side="right") - 1

    @property
    def skips(self) -> bool:
        """Whether a sweep skips groups: not where it shows every neuron, comes once a sample, or costs no cycles."""
        return self.skip and self.groups > 1 and not (self.shows or self.at_end or self.aside)

    @property
    def skip_groups(self) -> int:
        """Groups of a sweep that skips; 0 of one that does not."""
        return self.groups if self.skips else 0

    @property
    def lead(self) -> int:
        """Cycles of a sweep before that of its first word."""
        return LEAD if self.skips else 0

    @property
    def cooldown(self) -> int:
        """Cycles after a sweep in which no other may start: its membranes are still on their way.

        Of a sweep that skips: until it is known which of its neurons have fired or changed.
        """
        distance = STATE_DISTANCE + (self.population.current_decay is not None)
        return self.depth + distance - 1 if self.skips else max(0, distance - self.sweeps)

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
            "skip_groups": self.skip_groups,
            "weight_bits": max(port.weight_bits for port in self.ports),
            "weight_memory_bits": sum(port.words * port.width for port in self.ports),
            "storage": self.ports[0].storage,
        }
