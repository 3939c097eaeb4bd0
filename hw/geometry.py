"""Geometry of a connection: which rows of targets and which words of weights an event reads, as three small tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod

import numpy as np
from numpy.typing import NDArray

from quant.graph import Shape, Synapses

from .layout import Fields, Tiling

__all__ = ["Geometry", "Table"]

Numbers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """What a coordinate of an event adds, by its number.

    Parameters
    ----------
    row, word : array of int
        To the first row of targets, and to the first word of weights.
    count : array of int
        Lines (of a row), or places in a line (of a column); 1 of a channel. An event whose count is 0 is of no use.
    group : array of int
        Part of a row that the word is for, of a channel.
    """

    row: Numbers
    word: Numbers
    count: Numbers
    group: Numbers

    @classmethod
    def of(cls, size: int, *, row: object = 0, word: object = 0, count: object = 1, group: object = 0) -> "Table":
        """Table of ``size`` coordinates; numbers hold for all of them."""
        values = {"row": row, "word": word, "count": count, "group": group}
        return cls(**{name: np.broadcast_to(np.asarray(value, np.int64), (size,)) for name, value in values.items()})


@dataclass(frozen=True, kw_only=True, eq=False)
class _Axis:
    """One axis of a map: for each coordinate of the source, the targets that it reaches, one after the other.

    ``order`` has the taps of the kernel as the weights are kept: those of consecutive targets lie side by side.
    ``offset`` is the place in it of the tap of the ``first`` of ``count`` targets.
    """

    first: Numbers
    offset: Numbers
    count: Numbers
    order: Sequence[int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Geometry:
    """How an event of a connection goes through rows of its targets.

    An event reads ``lines`` of ``places``, each of ``span`` rows: a row is the word of a :class:`hw.layout.Tiling`,
    ``lanes`` wide. A weight word has ``width`` weights, for the part ``group`` of the row; it is repeated over the row
    and the rest left out. From one row to the next the word moves by ``stride``, from a line to the next by
    ``line_words``, counted from the beginning of the line.

    The first row, the first word, lines, places and part come from one table for each of column, row and channel of
    the event: rows and words are sums. Pooling, padding, strides and what lies outside are in the tables.

    Parameters
    ----------
    connection : Synapses
    source, target : tuple of int
        Shapes of the populations.
    lanes : int
        Neurons in a row.
    """

    connection: Synapses
    source: Shape
    target: Shape
    lanes: int

    @property
    def rows(self) -> Tiling:
        """Rows of the targets."""
        return Tiling(self.target, self.lanes)

    @property
    def _pooled(self) -> Shape:
        shape = self.connection.pooled_shape(self.source)
        return shape if len(shape) == 3 else (shape[0], 1, 1)

    @property
    def _map(self) -> tuple[int, int]:
        return (self.target[1], self.target[2]) if len(self.target) == 3 else (1, 1)

    @property
    def separate(self) -> bool:
        """Whether a channel of the source meets one of the target: no weights but its own."""
        return self.connection.kind in ("max_pool", "identity")

    @property
    def outputs(self) -> int:
        """Channels of the target that a channel of the source reaches."""
        kind, channels = self.connection.kind, self.target[0]
        if self.separate:
            return 1
        groups = 1 if kind == "dense" else self.connection.groups
        reached = channels // groups
        # Groups that neither fill rows nor share them evenly are kept as one, with weights of 0.
        return reached if self.lanes % reached == 0 or reached % self.lanes == 0 else channels

    @property
    def width(self) -> int:
        """Weights in a word."""
        return min(self.lanes, self.outputs) if self.outputs < self.target[0] or self.separate else self.lanes

    @property
    def parts(self) -> int:
        """Parts of a row that a word may be for."""
        return self.lanes // self.width

    @property
    def span(self) -> int:
        """Rows of a place that an event reads; of a dense connection all rows there are."""
        if self.connection.kind == "dense":
            return self.rows.words
        return -(-self.outputs // self.lanes)

    @property
    def skip(self) -> int:
        """Rows from the first of a place to the first of the next."""
        return self.rows.blocks

    @property
    def line_rows(self) -> int:
        """Rows from the beginning of a line to that of the next."""
        return self._map[1] * self.rows.blocks

    @property
    def stride(self) -> int:
        """Words from one row to the next."""
        return prod(self._pooled) if self.connection.kind == "dense" else int(not self.separate)

    @property
    def line_words(self) -> int:
        """Words from the beginning of a line to that of the next."""
        return 0 if self.separate or self.connection.kind == "dense" else self._kernel[1] * self.span

    @property
    def _kernel(self) -> tuple[int, int]:
        connection = self.connection
        if connection.kind == "identity":
            return 1, 1
        rows, columns = connection.kernel or connection.weights.shape[2:]
        return rows, columns

    @cached_property
    def tables(self) -> tuple[Table, Table, Table]:
        """Of column, row and channel."""
        columns, rows, channels = Fields(self.source).sizes
        if self.connection.kind == "dense":
            return self._dense_tables(columns, rows, channels)
        y, x = self._axes
        blocks, span = self.rows.blocks, self.span
        taps = 0 if self.separate else span
        of_x = Table.of(columns, row=x.first * blocks, word=x.offset * taps, count=x.count)
        of_y = Table.of(rows, row=y.first * self.line_rows, word=y.offset * taps * self._kernel[1], count=y.count)
        group = np.arange(channels) // (channels // self._groups)
        shared = max(1, self.lanes // self.outputs)
        word = np.arange(channels) * prod(self._kernel) * span
        if self.separate:
            word, of_x, of_y = self._own_words(np.arange(channels), of_x, of_y)
        of_c = Table.of(channels, row=group // shared * span, word=word, group=group % shared)
        return of_x, of_y, of_c

    @property
    def _groups(self) -> int:
        return self.target[0] // self.outputs

    def _own_words(self, channel: Numbers, x: Table, y: Table) -> tuple[Numbers, Table, Table]:
        """Words of one weight: one in all, or one a channel, or one a neuron."""
        shape = self.connection.weights.shape
        if shape == ():
            return channel * 0, x, y
        if len(shape) == 1:
            return channel, x, y
        _, rows, columns = self._pooled
        of_x = Table.of(len(x.row), row=x.row, count=x.count, word=self._axes[1].first)
        of_y = Table.of(len(y.row), row=y.row, count=y.count, word=self._axes[0].first * columns)
        return channel * (rows * columns), of_x, of_y

    def _dense_tables(self, columns: int, rows: int, channels: int) -> tuple[Table, Table, Table]:
        pooled, (down, across) = self._pooled, self.connection.pool
        x, y = np.arange(columns) // across, np.arange(rows) // down
        return (
            Table.of(columns, word=np.minimum(x, pooled[2] - 1), count=x < pooled[2]),
            Table.of(rows, word=np.minimum(y, pooled[1] - 1) * pooled[2], count=y < pooled[1]),
            Table.of(channels, word=np.arange(channels) * (pooled[1] * pooled[2])),
        )

    @cached_property
    def _axes(self) -> tuple[_Axis, _Axis]:
        """Rows and columns."""
        connection, pooled = self.connection, self._pooled
        source = self.source if len(self.source) == 3 else (self.source[0], 1, 1)
        stride = connection.stride if connection.kind != "identity" else (1, 1)
        padding = connection.padding if connection.kind != "identity" else (0, 0)
        assert stride is not None
        first, second = (
            _axis(
                source=source[1 + index],
                pooled=pooled[1 + index],
                pool=connection.pool[index],
                target=self._map[index],
                kernel=self._kernel[index],
                stride=stride[index],
                padding=padding[index],
                transposed=connection.kind == "conv_transpose2d",
            )
            for index in range(2)
        )
        return first, second

    @property
    def depth(self) -> int:
        """Number of :attr:`words`, without making them."""
        if self.separate:
            return int(np.size(self.connection.weights))
        if self.connection.kind == "dense":
            return self.rows.words * prod(self._pooled)
        return self._pooled[0] * self.span * prod(self._kernel)

    @cached_property
    def words(self) -> Numbers:
        """Weight memory, ``(words, width)``."""
        weights, kind = np.asarray(self.connection.weights, np.int64), self.connection.kind
        if self.separate:
            return weights.reshape(-1, 1)
        if kind == "dense":
            # Word ``row * inputs + source neuron``.
            return self.rows.spread(weights.T).transpose(1, 0, 2).reshape(-1, self.lanes)
        if kind == "conv_transpose2d":
            groups, (inputs, outputs, *kernel) = self.connection.groups, weights.shape
            grouped = weights.reshape(groups, inputs // groups, outputs, *kernel)
            by_source = grouped.reshape(inputs, outputs, *kernel)
        else:
            groups, (outputs, inputs, *kernel) = self.connection.groups, weights.shape
            grouped = weights.reshape(groups, outputs // groups, inputs, *kernel)
            by_source = grouped.transpose(0, 2, 1, 3, 4).reshape(groups * inputs, outputs // groups, *kernel)
        return self._in_order(self._widened(by_source, self.connection.groups))

    def _widened(self, by_source: Numbers, groups: int) -> Numbers:
        """Weights ``(source channels, outputs, kh, kw)``, with zeros where groups are kept as one."""
        channels, reached = by_source.shape[:2]
        if reached == self.outputs:
            return by_source
        wide = np.zeros((channels, groups, reached, *by_source.shape[2:]), np.int64)
        wide[np.arange(channels), np.arange(channels) // (channels // groups)] = by_source
        return wide.reshape(channels, groups * reached, *by_source.shape[2:])

    def _in_order(self, by_source: Numbers) -> Numbers:
        y, x = self._axes
        channels, outputs = by_source.shape[:2]
        ordered = by_source[:, :, list(y.order)][:, :, :, list(x.order)]
        padded = np.zeros((channels, self.span * self.width, *ordered.shape[2:]), np.int64)
        padded[:, :outputs] = ordered
        return padded.transpose(0, 2, 3, 1).reshape(-1, self.width)

    @cached_property
    def operations(self) -> Numbers:
        """Rows that an event of each source neuron reads, in C order: its cycles."""
        x, y, c = (table.count for table in self.tables)
        return (c[:, None, None] * y[:, None] * x * self.span).reshape(-1)

    def reaches(self, group_rows: int) -> NDArray[np.bool_]:
        """Whether an event of each source neuron reads a row of each group of so many, ``(sources, groups)``."""
        x, y, c = self.tables
        first = (c.row[:, None, None] + y.row[:, None] + x.row).reshape(-1)
        across = np.broadcast_to(x.count, (len(c.row), len(y.row), len(x.row))).reshape(-1)
        reads = self.operations
        down = reads // np.maximum(1, across * self.span)
        found = np.zeros((len(first), -(-self.rows.words // group_rows)), bool)
        for line, place, row in product(range(down.max(initial=0)), range(across.max(initial=0)), range(self.span)):
            inside = np.flatnonzero((line < down) & (place < across))
            found[inside, (first[inside] + line * self.line_rows + place * self.skip + row) // group_rows] = True
        return found

    @cached_property
    def useful(self) -> Numbers:
        """Synapses of each source neuron, in C order: what the lanes of its operations are good for, at most."""
        places = self.operations // self.span
        if self.connection.kind == "dense":
            return places * prod(self.target)
        return places * (1 if self.separate else self.target[0] // self.connection.groups)


def _axis(
    *,
    source: int,
    pooled: int,
    pool: int,
    target: int,
    kernel: int,
    stride: int,
    padding: int,
    transposed: bool,
) -> _Axis:
    if transposed:
        # Target t = place * stride - padding + tap.
        order = list(range(kernel))
        reach = [[(place * stride - padding + tap, tap) for tap in order] for place in range(pooled)]
    else:
        # Target t = (place + padding - tap) / stride; taps of one remainder are neighbours, the last first.
        order = [tap for phase in range(stride) for tap in reversed(range(phase, kernel, stride))]
        reach = [
            [((place + padding - tap) // stride, tap) for tap in order if (place + padding - tap) % stride == 0]
            for place in range(pooled)
        ]
    first, offset, count = (np.zeros(source, np.int64) for _ in range(3))
    for place in range(source):
        inside = [item for item in reach[place // pool] if 0 <= item[0] < target] if place // pool < pooled else []
        if inside:
            first[place], offset[place] = inside[0][0], order.index(inside[0][1])
            count[place] = len(inside)
    return _Axis(first=first, offset=offset, count=count, order=order)
