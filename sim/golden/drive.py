"""Drives: what connections bring to their targets, for many steps at once.

Two ways lead to the same integers. A product of matrices costs the same however few spikes there are. It is fastest in
float32, and exact there as long as no sum can leave ±2**24 (float64: 2**53), whatever the order of its terms. The
bounds of the sums are known from the weights, so the type is chosen, not hoped for. Event by event
(:mod:`sim.golden.events`) the work follows the spikes; that needs compiled loops, and is taken while spikes are few.
"""

from dataclasses import replace
from functools import cached_property, reduce
from math import prod
from operator import add
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from quant.graph import Shape
from quant.ir import Connection
from quant.ops import Operator
from quant.ranges import Range, fan_in

from .events import EventSums, adds_up

__all__ = ["Drive"]

Array = NDArray[Any]

_BLOCK_BYTES = 2 << 20
_MANTISSA: dict[DTypeLike, int] = {np.float32: 24, np.float64: 53}
# Share of sources that send something, up to which adding event by event is faster; a row in so many is looked at.
_FEW, _LOOKED_AT = 0.25, 16


class Drive:
    """A connection, applied to all steps of a batch.

    Parameters
    ----------
    connection : Connection
    source_shape : tuple of int
    values : Range
        Range of the values of the source.
    dtype : dtype
        Type of the result, an integer type that holds every sum.

    Attributes
    ----------
    size : int
        N_target.
    products : int
        Multiplications of a step of a sample, if every source sends.
    """

    def __init__(self, connection: Connection, source_shape: Shape, values: Range, dtype: DTypeLike):
        self.dtype = np.dtype(dtype)
        self.connection, self._source_shape = connection, source_shape
        self._pool = _Pool(connection, source_shape, values)
        self._sums = fan_in(connection, source_shape, values)
        self._adds_up = adds_up(connection, values)
        self._held = np.int8 if values.low >= -128 and values.high <= 127 else np.int64
        target_shape = connection.target_shape(source_shape)
        self.size = prod(target_shape)
        self.products = connection.weights.size
        if connection.kind != "dense":
            self.products *= prod((target_shape if connection.kind == "conv2d" else self._pool.shape)[1:])

    @cached_property
    def _operator(self) -> Operator:
        """Product of matrices. What wraps around in integers comes out right, but for an OR of sums."""
        dtype = next((dtype for dtype, bits in _MANTISSA.items() if _largest(self._sums) <= 1 << bits), self.dtype)
        if self.connection.kind == "identity":
            dtype = self.dtype
        elif self.connection.kind == "max_pool":
            dtype = np.promote_types(self.dtype, np.int32)
        return Operator(replace(self.connection, pool=(1, 1)), self._pool.shape, dtype)

    @cached_property
    def _events(self) -> EventSums:
        return EventSums(self.connection, self._source_shape, self._sums)

    def __call__(self, values: Array, result: Array, loops: ModuleType | None = None) -> Array | None:
        """Write what arrives.

        Parameters
        ----------
        values : array, (T, B, N_source)
            Values of the source, in any memory order.
        result : array of dtype, (T, B, N_target)
        loops : module, optional
            What may be used to add up event by event: see :func:`sim.golden.events.kernels`.

        Returns
        -------
        array of int, (T, B), or None
            Number of events of every step, where they were counted on the way.
        """
        if loops is not None and self._adds_up and _few(values):
            alike = values.itemsize == 1 and self._held is np.int8
            return self._events(loops, values.view(np.int8) if alike else values.astype(self._held), result)
        self._multiply(values, result)
        return None

    def _multiply(self, values: Array, result: Array) -> None:
        steps, batch, _ = values.shape
        size, operator = prod(self._pool.shape), self._operator
        taps = self.connection.weights[0, 0].size if self.connection.kind.startswith("conv") else 1
        samples = min(batch, max(1, _BLOCK_BYTES // (steps * size * operator.dtype.itemsize * taps)))
        rows = np.empty((steps, samples, size), operator.dtype)
        for start in range(0, batch, samples):
            stop = min(start + samples, batch)
            block = rows[:, : stop - start]
            self._pool(values[:, start:stop], block)
            brought = operator(block.reshape(-1, size)).reshape(*block.shape[:2], -1)
            np.copyto(result[:, start:stop], brought, casting="unsafe")


def _few(values: Array) -> bool:
    looked_at = values[:, ::_LOOKED_AT]
    return bool(np.count_nonzero(looked_at) <= _FEW * looked_at.size)


class _Pool:
    """Sums of windows, in the sources' own type as long as it holds them."""

    def __init__(self, connection: Connection, source_shape: Shape, values: Range):
        self.window = connection.pool
        self.source_shape = source_shape
        self.shape = connection.pooled_shape(source_shape)
        factor = int(np.prod(self.window))
        self.sums = Range(factor * values.low, factor * values.high)

    def __call__(self, values: Array, result: Array) -> None:
        """Write the sums of ``values``, (T, B, N_source), to ``result``, (T, B, N_pooled)."""
        if self.window == (1, 1):
            np.copyto(result, values)
            return
        (high, wide), (rows, columns) = self.window, self.shape[1:]
        maps = values.reshape(*values.shape[:2], *self.source_shape)
        dtype = result.dtype
        if values.dtype.kind in "iu":
            held = np.iinfo(values.dtype)
            dtype = values.dtype if held.min <= self.sums.low and self.sums.high <= held.max else dtype
        lines = reduce(add, (maps[:, :, :, i : rows * high : high].astype(dtype, copy=False) for i in range(high)))
        cells = reduce(add, (lines[..., i : columns * wide : wide] for i in range(wide)))
        np.copyto(result, cells.reshape(result.shape))


def _largest(values: Range) -> int:
    return max(-values.low, values.high)
