"""What flows between cores, events and ticks; and how neurons lie in words."""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from amaranth import Mux, Shape, Value, unsigned
from amaranth.lib import data
from numpy.typing import NDArray

from quant import graph
from quant.ranges import Range

__all__ = ["BeatLayout", "Fields", "Tiling", "shape_of"]


def shape_of(values: Range) -> Shape:
    """Amaranth shape of the integers of a range."""
    return Shape(values.width, values.signed)


@dataclass(frozen=True)
class Fields:
    """Address of a neuron: of a flat population its number, of a map its column, row and channel, column lowest.

    A field is as wide as its largest number needs, so that parts of an address need no division.

    Parameters
    ----------
    shape : tuple of int
        ``(N,)`` or ``(C, H, W)``.
    """

    shape: graph.Shape

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Numbers of columns, rows and channels; of a flat population 1, 1 and N."""
        channels, rows, columns = self.shape if len(self.shape) == 3 else (self.shape[0], 1, 1)
        return columns, rows, channels

    @property
    def widths(self) -> tuple[int, int, int]:
        """Bits of column, row and channel; 0 where there is one alone."""
        columns, rows, channels = self.sizes
        return (columns - 1).bit_length(), (rows - 1).bit_length(), (channels - 1).bit_length()

    @property
    def width(self) -> int:
        """Bits of an address, at least 1."""
        return max(1, sum(self.widths))

    def split(self, address: Any) -> tuple[Any, Any, Any]:
        """Column, row and channel of an address, an Amaranth value."""
        x, y, _ = self.widths
        return address[:x], address[x : x + y], address[x + y :]

    def following(self, address: Any) -> Value:
        """The address after one, an Amaranth value, in C order: it leaps over the numbers that no neuron has."""
        columns, rows, _ = self.sizes
        x, y, _ = self.widths
        row = 1 + (1 << x) - columns
        channel = row + (((1 << y) - rows) << x)
        after = Value.cast(1)
        if row != 1:
            after = Mux(address[:x] == columns - 1, row, after)
        if channel != row:
            after = Mux(address[: x + y] == (rows - 1) << x | columns - 1, channel, after)
        return Value.cast(address + after)

    def encode(self, neurons: NDArray[Any]) -> NDArray[np.int64]:
        """Addresses of neurons, numbered in C order."""
        columns, rows, _ = self.sizes
        x, y, _ = self.widths
        flat = np.asarray(neurons, np.int64)
        return flat % columns | (flat // columns % rows) << x | (flat // (columns * rows)) << (x + y)


@dataclass(frozen=True)
class Tiling:
    """Neurons in words: a word holds up to ``width`` channels of one place of the map, places in C order.

    Parameters
    ----------
    shape : tuple of int
    width : int
        Neurons in a word.
    """

    shape: graph.Shape
    width: int

    @property
    def places(self) -> int:
        """Places of the map; 1 of a flat population."""
        return prod(self.shape[1:])

    @property
    def blocks(self) -> int:
        """Words of a place."""
        return -(-self.shape[0] // self.width)

    @property
    def words(self) -> int:
        """Words of the population."""
        return self.places * self.blocks

    @cached_property
    def neurons(self) -> NDArray[np.int64]:
        """Neuron of every word and lane, ``(words, width)``, in C order; -1 where there is none."""
        channel = np.full((self.blocks * self.width,), -1)
        channel[: self.shape[0]] = np.arange(self.shape[0])
        neurons = np.where(channel < 0, -1, channel * self.places + np.arange(self.places)[:, None])
        return neurons.reshape(self.words, self.width)

    def spread(self, values: NDArray[Any], padding: int = 0) -> NDArray[Any]:
        """Values of all neurons in their words, ``(..., words, width)``, of ``(..., N)``."""
        taken = values[..., np.maximum(self.neurons, 0)]
        return np.where(self.neurons < 0, padding, taken)


class BeatLayout(data.StructLayout):
    """An event, or a tick: the end of a time step.

    Parameters
    ----------
    shape : tuple of int
        Shape of the population, or of the input, that sends.
    values : Range
        Range of an event's value.

    Members
    -------
    address : unsigned
        Neuron that fired, by :class:`Fields`.
    value : signed or unsigned
        Value of the event: 1 for a spike.
    tick : 1
        This is a tick; address and value mean nothing.
    last : 1
        The tick ends the sample.
    """

    def __init__(self, shape: graph.Shape, values: Range):
        self.fields = Fields(shape)
        self.values = values
        super().__init__(
            {
                "address": unsigned(self.fields.width),
                "value": shape_of(values),
                "tick": 1,
                "last": 1,
            }
        )

    @property
    def senders(self) -> int:
        """Number of neurons, or of input values, that send."""
        return prod(self.fields.shape)
