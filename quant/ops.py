"""Connections in numpy: what a batch of source values brings to the targets. The kinds are those of
:class:`quant.graph.Synapses`.
"""

from functools import reduce
from itertools import product
from math import prod
from operator import add
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import DTypeLike, NDArray

from .errors import NetworkError
from .graph import Shape, Synapses

__all__ = ["Operator", "apply"]

Array = NDArray[Any]


class Operator:
    """A connection made ready to be applied many times.

    Parameters
    ----------
    connection : Synapses
    source_shape : tuple of int
        Shape of the source, ``(N,)`` or ``(C, H, W)``.
    dtype : dtype
        Type of the arithmetic and of the result. It must hold every sum: nothing is checked.
    """

    def __init__(self, connection: Synapses, source_shape: Shape, dtype: DTypeLike):
        self.connection = connection
        self.source_shape = source_shape
        self.pooled_shape = connection.pooled_shape(source_shape)
        self.target_shape = connection.target_shape(source_shape)
        self.dtype = np.dtype(dtype)
        weights = connection.weights.astype(self.dtype)
        if connection.kind == "dense":
            weights = np.ascontiguousarray(weights.T)
        self._weights = weights

    def __call__(self, values: Array) -> Array:
        """What arrives at the targets, ``(B, N_target)``, for ``values`` of ``(B, N_source)``."""
        size = prod(self.source_shape)
        if values.ndim != 2 or values.shape[1] != size:
            raise NetworkError(f"{self.connection.label}: values must be of shape (B, {size}), not {values.shape}")
        maps = self._pooled(values.astype(self.dtype, copy=False))
        kind: Any = getattr(self, f"_{self.connection.kind}")
        result: Array = kind(maps).reshape(len(values), prod(self.target_shape))
        return result

    def _pooled(self, values: Array) -> Array:
        pool = self.connection.pool
        if pool == (1, 1):
            return values.reshape(len(values), *self.pooled_shape)
        height, width = self.pooled_shape[1:]
        maps = values.reshape(len(values), *self.source_shape)
        rows: Array = reduce(add, (maps[:, :, i : height * pool[0] : pool[0]] for i in range(pool[0])))
        return reduce(add, (rows[..., j : width * pool[1] : pool[1]] for j in range(pool[1])))

    def _padded(self, maps: Array) -> Array:
        rows, columns = self.connection.padding
        if not rows and not columns:
            return maps
        *outer, height, width = maps.shape
        padded = np.zeros((*outer, height + 2 * rows, width + 2 * columns), maps.dtype)
        padded[:, :, rows : rows + height, columns : columns + width] = maps
        return padded

    def _spread(self) -> Array:
        """Weights, one or per channel or per neuron, so that they multiply maps of neurons."""
        shape = self._weights.shape
        if len(shape) == 1 and len(self.target_shape) == 3:
            return self._weights.reshape(-1, 1, 1)
        return self._weights

    def _dense(self, maps: Array) -> Array:
        return maps.reshape(len(maps), len(self._weights)) @ self._weights

    def _identity(self, maps: Array) -> Array:
        return maps * self._spread()

    def _max_pool(self, maps: Array) -> Array:
        assert self.connection.kernel is not None
        assert self.connection.stride is not None
        (rows, columns), spikes = self.connection.stride, self._padded(maps != 0)
        height, width = self.target_shape[1:]
        fired = np.zeros((len(maps), *self.target_shape), np.bool_)
        for i, j in product(*map(range, self.connection.kernel)):
            fired |= spikes[:, :, i : i + rows * (height - 1) + 1 : rows, j : j + columns * (width - 1) + 1 : columns]
        return fired * self._spread()

    def _conv2d(self, maps: Array) -> Array:
        assert self.connection.stride is not None
        (rows, columns), groups = self.connection.stride, self.connection.groups
        outputs, inputs, *kernel = self._weights.shape
        windows = sliding_window_view(self._padded(maps), (kernel[0], kernel[1]), axis=(2, 3))[:, :, ::rows, ::columns]
        taps = windows.transpose(0, 1, 4, 5, 2, 3)
        taps = taps.reshape(len(maps), groups, inputs * kernel[0] * kernel[1], prod(self.target_shape[1:]))
        return self._weights.reshape(groups, outputs // groups, -1) @ taps

    def _conv_transpose2d(self, maps: Array) -> Array:
        groups, (inputs, outputs, *kernel) = self.connection.groups, self._weights.shape
        batch, (height, width) = len(maps), self.pooled_shape[1:]
        taps = self._weights.reshape(groups, inputs // groups, -1).transpose(0, 2, 1)
        brought = taps @ maps.reshape(batch, groups, inputs // groups, height * width)
        return self._scattered(brought.reshape(batch, groups * outputs, *kernel, height, width))

    def _scattered(self, brought: Array) -> Array:
        """Targets of ``(B, C_target, kh, kw, H_source, W_source)``: tap (i, j) of (y, x) lands on the stride's grid."""
        (rows, columns), (top, left) = self.connection.stride or (1, 1), self.connection.padding
        batch, channels, *kernel, height, width = brought.shape
        target = self.target_shape[1:]
        # Wide enough for every tap and for the whole target, which output_padding may carry beyond the taps.
        size = [
            max((n - 1) * s + k, t + p)
            for n, s, k, t, p in zip((height, width), (rows, columns), kernel, target, (top, left), strict=True)
        ]
        plane = np.zeros((batch, channels, *size), self.dtype)
        for i, j in product(*map(range, kernel)):
            grid = plane[:, :, i : i + rows * (height - 1) + 1 : rows, j : j + columns * (width - 1) + 1 : columns]
            grid += brought[:, :, i, j]
        return plane[:, :, top : top + target[0], left : left + target[1]]


def apply(connection: Synapses, source_shape: Shape, values: Array, *, dtype: DTypeLike | None = None) -> Array:
    """What arrives at the targets of a connection: the sum of weight times value, ``(B, N_target)``.

    Parameters
    ----------
    connection : Synapses
    source_shape : tuple of int
        Shape of the source.
    values : array, (B, N_source)
        Values of the source's neurons, flat in C order: spikes, counts, or anything that adds.
    dtype : dtype, optional
        Type of the arithmetic and of the result; default: what ``values`` and weights promote to.
    """
    values = np.asarray(values)
    return Operator(connection, source_shape, dtype or np.result_type(values, connection.weights))(values)
