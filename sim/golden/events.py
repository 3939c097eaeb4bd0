"""Events: what a connection brings, added up event by event, so that the work follows the spikes.

Needs numba (the extra ``fast``). A product of matrices gives the same and costs the same however few spikes there are;
:mod:`sim.golden.drive` chooses.
"""

from dataclasses import dataclass
from math import prod
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.graph import Shape
from quant.ir import Connection
from quant.ranges import Range

__all__ = ["EventSums", "adds_up", "holding", "kernels"]

Array = NDArray[Any]


def adds_up(connection: Connection, values: Range) -> bool:
    """Whether a connection, of a source of such values, can be added up event by event. Of dense ones, spikes alone."""
    if connection.kind == "dense":
        return values.low >= 0 and values.high <= 1
    return connection.kind in ("conv2d", "conv_transpose2d")


def holding(values: Range) -> np.dtype[Any]:
    """The narrowest signed type for a range."""
    return np.min_scalar_type(min(values.low, -values.high - 1))


def kernels() -> ModuleType | None:
    """The compiled loops; None where numba is missing, does not know this numpy, may not compile, or cannot cache."""
    try:
        from . import kernels as found
    except (ImportError, RuntimeError):
        return None
    return found


@dataclass(frozen=True, kw_only=True)
class _Windows:
    """What an event adds, and where: a window of weights at a place of a plane of sums.

    Parameters
    ----------
    weights : array, (W, rows, columns, channels)
    which : array of int, (C, H, W)
        Window of each source.
    row, column : array of int, (H,) and (W,)
        Where the window of a source begins in the plane.
    corner : (int, int)
        Row and column of the plane at which the targets begin.
    """

    weights: Array
    which: Array
    row: Array
    column: Array
    corner: tuple[int, int] = (0, 0)

    @classmethod
    def of_dense(cls, connection: Connection, shape: Shape) -> "_Windows":
        """Every target is a channel of a plane of one place."""
        return cls(
            weights=connection.weights.T[:, np.newaxis, np.newaxis],
            which=np.arange(prod(shape)).reshape(shape),
            row=np.zeros(shape[1], np.int64),
            column=np.zeros(shape[2], np.int64),
        )

    @classmethod
    def of_conv2d(cls, connection: Connection, shape: Shape) -> "_Windows":
        """Source (y, x) meets tap (i, j) at target ((y + top - i) / rows, (x + left - j) / columns), if they are whole.

        Which taps these are depends on the remainders of y + top and x + left: there is a window for each pair.
        Targets fall as taps rise, so the windows are upside down.
        """
        assert connection.stride is not None
        stride, groups = connection.stride, connection.groups
        targets, sources, *taps = connection.weights.shape
        size = [-(-n // s) for n, s in zip(taps, stride, strict=True)]
        kernels = connection.weights.reshape(groups, -1, sources, *taps).transpose(0, 2, 3, 4, 1)
        kernels = kernels.reshape(shape[0], *taps, targets // groups)
        windows = np.zeros((shape[0], *stride, *size, targets // groups), kernels.dtype)
        for i, j in np.ndindex(*taps):
            row, column = (n - 1 - tap // s for n, tap, s in zip(size, (i, j), stride, strict=True))
            windows[:, i % stride[0], j % stride[1], row, column] = kernels[:, i, j]
        y, x = (np.arange(n) + p for n, p in zip(shape[1:], connection.padding, strict=True))
        phase = (y % stride[0])[:, np.newaxis] * stride[1] + x % stride[1]
        return cls(
            weights=windows.reshape(-1, *size, targets // groups),
            which=np.arange(shape[0]).reshape(-1, 1, 1) * (stride[0] * stride[1]) + phase,
            row=y // stride[0],
            column=x // stride[1],
            corner=(size[0] - 1, size[1] - 1),
        )

    @classmethod
    def of_conv_transpose2d(cls, connection: Connection, shape: Shape) -> "_Windows":
        """Source (y, x) meets tap (i, j) at target (y * rows - top + i, x * columns - left + j)."""
        assert connection.stride is not None
        return cls(
            weights=connection.weights.transpose(0, 2, 3, 1),
            which=np.broadcast_to(np.arange(shape[0]).reshape(-1, 1, 1), shape),
            row=np.arange(shape[1]) * connection.stride[0],
            column=np.arange(shape[2]) * connection.stride[1],
            corner=connection.padding,
        )


class EventSums:
    """A connection that adds weights up, event by event.

    Parameters
    ----------
    connection : Connection
        One that :func:`adds_up`.
    source_shape : tuple of int
    sums : Range
        Of every whole sum.
    """

    def __init__(self, connection: Connection, source_shape: Shape, sums: Range):
        pooled = _as_map(connection.pooled_shape(source_shape))
        self._groups, self._dense = connection.groups, connection.kind == "dense"
        self._shape = _as_map(connection.target_shape(source_shape))
        windows: _Windows = getattr(_Windows, f"of_{connection.kind}")(connection, pooled)
        _, rows, columns, channels = windows.weights.shape
        high = max(int(windows.row[-1]) + rows, windows.corner[0] + self._shape[1])
        wide = max(int(windows.column[-1]) + columns, windows.corner[1] + self._shape[2])
        self._corner, self._plane = windows.corner, (self._groups, high, wide * channels)
        group = np.arange(pooled[0]) // (pooled[0] // self._groups)
        row = group[:, np.newaxis] * high + windows.row
        place = (row[..., np.newaxis] * wide + windows.column) * channels
        # An event that pooling leaves out adds the last window, of zeros, wherever it may be.
        addresses = _pooled_addresses(_as_map(source_shape), pooled, connection.pool)
        self._which, self._place = (
            np.append(entry, last)[addresses] for entry, last in ((windows.which, len(windows.weights)), (place, 0))
        )
        weights = windows.weights.reshape(-1, rows, columns * channels)
        weights = np.concatenate([weights, np.zeros_like(weights[:1])])
        self._dtype = np.promote_types(np.int16, holding(sums))
        four = Range(4 * int(weights.min()), 4 * int(weights.max()))
        self._weights = weights.astype(holding(four) if self._dense else self._dtype, order="C")
        self._starts = self._which.astype(np.uint64) * np.uint64(channels * rows * columns)

    def __call__(self, loops: ModuleType, values: Array, result: Array) -> Array:
        """By the compiled loops, write what ``values``, (T, B, N_source), bring to ``result``, (T, B, N_target).

        Returns the number of events of every step, (T, B).
        """
        counts = np.empty(values.shape[:2], np.int64)
        if self._dense:
            sums = np.empty(result.shape[2], self._dtype)
            loops.add_rows(values, self._starts, self._weights.reshape(-1), sums, counts, result)
            return counts
        channels = self._shape[0] // self._groups
        maps = result.reshape(*result.shape[:2], self._groups, channels, *self._shape[1:])
        plane = np.empty(self._plane, self._dtype)
        loops.add_windows(values, self._which, self._place, self._weights, plane, self._corner, counts, maps)
        return counts


def _as_map(shape: Shape) -> Shape:
    return shape if len(shape) == 3 else (prod(shape), 1, 1)


def _pooled_addresses(source: Shape, pooled: Shape, pool: tuple[int, int]) -> NDArray[np.int64]:
    """Address in the pooled map of each source; of those that pooling leaves out, the address behind the last."""
    channel, y, x = (index.reshape(-1) for index in np.indices(source))
    y, x = y // pool[0], x // pool[1]
    inside = (y < pooled[1]) & (x < pooled[2])
    addresses: NDArray[np.int64] = np.where(inside, (channel * pooled[1] + y) * pooled[2] + x, prod(pooled))
    return addresses
