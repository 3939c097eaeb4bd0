"""Drives: what connections bring to their targets, for many steps at once, by exact floating-point products.

A product of matrices is fastest in float32, and exact there as long as no sum can leave ±2**24 (float64: 2**53),
whatever the order of its terms. The bounds of the sums are known from the weights, so the type is chosen, not hoped
for. Where they leave bits to spare, several targets share one float as fields of a few bits each::

    product = sum over j of field_j * 2**(bits * j),      abs(field_j) < 2**(bits - 1)
"""

from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from quant.graph import Shape, Synapses
from quant.ir import Connection
from quant.ops import Operator
from quant.ranges import Range, fan_in

__all__ = ["Drive"]

Array = NDArray[Any]

_BLOCK_BYTES = 2 << 20
_MANTISSA: dict[DTypeLike, int] = {np.float32: 24, np.float64: 53}
_WORTH_PACKING = 32


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
    """

    def __init__(self, connection: Connection, source_shape: Shape, values: Range, dtype: DTypeLike):
        self.dtype = np.dtype(dtype)
        self.size = int(np.prod(connection.target_shape(source_shape)))
        sums = fan_in(connection, source_shape, values)
        self._pool = _Pool(connection, source_shape, values)
        self.connection = connection = replace(connection, pool=(1, 1))
        self._fields = _Fields.fitting(sums, self.size) if connection.kind == "dense" else None
        if self._fields is None:
            self._operator = Operator(connection, self._pool.shape, self._exact(sums))
        else:
            self._operator = Operator(self._fields.packed(connection), self._pool.shape, self._fields.dtype)

    def _exact(self, sums: Range) -> DTypeLike:
        """The type to compute in. What wraps around in integers comes out right, but for an OR of sums."""
        if self.connection.kind == "identity":
            return self.dtype
        if self.connection.kind == "max_pool":
            return np.promote_types(self.dtype, np.int32)
        return next((dtype for dtype, bits in _MANTISSA.items() if _largest(sums) <= 1 << bits), self.dtype)

    def __call__(self, values: Array, result: Array) -> None:
        """Write what arrives.

        Parameters
        ----------
        values : array, (T, B, N_source)
            Values of the source, in any memory order.
        result : array of dtype, (T, B, N_target)
        """
        steps, batch, _ = values.shape
        size = int(np.prod(self._pool.shape))
        taps = self.connection.weights[0, 0].size if self.connection.kind.startswith("conv") else 1
        samples = min(batch, max(1, _BLOCK_BYTES // (steps * size * self._operator.dtype.itemsize * taps)))
        rows = np.empty((steps, samples, size), self._operator.dtype)
        for start in range(0, batch, samples):
            stop = min(start + samples, batch)
            block = rows[:, : stop - start]
            self._pool(values[:, start:stop], block)
            self._block(block, result[:, start:stop])

    def _block(self, rows: Array, result: Array) -> None:
        brought = self._operator(rows.reshape(-1, rows.shape[2])).reshape(*rows.shape[:2], -1)
        if self._fields is None:
            np.copyto(result, brought, casting="unsafe")
        else:
            self._fields.unpack(brought, result)


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


@dataclass(frozen=True, kw_only=True)
class _Fields:
    """How several targets share a float.

    Parameters
    ----------
    dtype : dtype
        float32 or float64.
    count, bits : int
        Fields in a float, bits of each, with the sign.
    """

    dtype: Any
    count: int
    bits: int

    @classmethod
    def fitting(cls, sums: Range, targets: int) -> "_Fields | None":
        """The fields that save most time: a float64 costs 2 to 3 float32. None if nothing can be shared."""
        if targets < _WORTH_PACKING:
            return None
        bits = _largest(sums).bit_length() + 1
        counts = {dtype: _count(_largest(sums), bits, mantissa) for dtype, mantissa in _MANTISSA.items()}
        dtype = np.float64 if counts[np.float64] >= 3 * counts[np.float32] else np.float32
        if counts[dtype] < 2:
            return None
        return cls(dtype=dtype, count=counts[dtype], bits=bits)

    def packed(self, connection: Connection) -> Synapses:
        """The connection with its targets in fields: field j of target i is target ``j * part + i``."""
        targets, sources = connection.weights.shape
        part = -(-targets // self.count)
        spread = np.zeros((self.count * part, sources), np.int64)
        spread[:targets] = connection.weights
        shifts = self.bits * np.arange(self.count).reshape(-1, 1, 1)
        weights = (spread.reshape(self.count, part, sources) << shifts).sum(axis=0)
        return Synapses(source=connection.source, target=connection.target, kind="dense", weights=weights)

    def unpack(self, brought: Array, result: Array) -> None:
        """Write the fields of ``(T, B, part)`` floats, which are used up, to ``(T, B, N_target)`` integers."""
        part = brought.shape[2]
        for field in reversed(range(1, self.count)):
            scale = 2.0 ** (self.bits * field)
            values = brought * self.dtype(1 / scale)
            np.rint(values, out=values)
            self._write(values, result[:, :, field * part : (field + 1) * part])
            values *= self.dtype(scale)
            brought -= values
        self._write(brought, result[:, :, :part])

    def _write(self, values: Array, targets: Array) -> None:
        np.copyto(targets, values[:, :, : targets.shape[2]], casting="unsafe")


def _largest(values: Range) -> int:
    return max(-values.low, values.high)


def _count(largest: int, bits: int, mantissa: int) -> int:
    """Number of fields of which no sum leaves the mantissa."""
    count = 0
    while largest * sum(1 << (bits * field) for field in range(count + 1)) <= 1 << mantissa and count * bits < mantissa:
        count += 1
    return count
