"""Compiled loops of :mod:`sim.golden.events`: the only module that needs numba.

Sums are added up in a type that holds every whole one: what wraps around on the way comes back.
"""

from typing import Any

import numpy as np
from numba import config, njit
from numpy.typing import NDArray

__all__ = ["add_rows", "add_windows"]

Array = NDArray[Any]

if config.DISABLE_JIT:  # type: ignore[attr-defined]  # made when numba is loaded
    raise ImportError("numba must compile, but NUMBA_DISABLE_JIT is set")


@njit(nogil=True, inline="always")
def _heard(values: Array, marks: Array, heard: Array) -> int:
    """How many sources send something; the marks of these, in ``heard``. Without a branch, for they come at random."""
    count = 0
    for source in range(len(values)):
        heard[count] = marks[source]
        count += values[source] != 0
    return count


@njit(nogil=True, cache=True)
def add_rows(values: Array, starts: Array, weights: Array, sums: Array, counts: Array, result: Array) -> None:
    """Each spike adds its row of weights to all targets, four rows at a time.

    Parameters
    ----------
    values : array of int, (T, B, N_source)
        Of 0 and 1.
    starts : array of uint64, (N_source,)
        Where the row of a source begins. Unsigned, and so never counted from the end: that costs time.
    weights : array of int, (R * N_target,)
        Rows, of which the last is 0, of a type that holds the sum of four of them: the narrower, the faster.
    sums : array of int, (N_target,)
        To work in, of a type that holds every whole sum.
    counts : array of int, (T, B)
        Receives how many sources sent something.
    result : array of int, (T, B, N_target)
    """
    heard = np.empty(values.shape[2] + 4, np.uint64)
    targets = np.uint64(len(sums))
    nothing = np.uint64(len(weights)) - targets
    for step, sample in np.ndindex(values.shape[:2]):
        count = _heard(values[step, sample], starts, heard)
        counts[step, sample] = count
        heard[count : count + 3] = nothing
        sums[:] = 0
        for e in range(0, count, 4):
            a, b, c, d = heard[e], heard[e + 1], heard[e + 2], heard[e + 3]
            for target in range(targets):
                four = weights[a + target] + weights[b + target] + weights[c + target] + weights[d + target]
                sums[target] += weights.dtype.type(four)
        out = result[step, sample]
        for target in range(targets):
            out[target] = sums[target]


@njit(nogil=True, cache=True)
def add_windows(
    values: Array,
    windows: Array,
    places: Array,
    weights: Array,
    plane: Array,
    corner: tuple[int, int],
    counts: Array,
    result: Array,
) -> None:
    """Each event adds its window of weights to a plane of sums, of which the result is a part.

    Parameters
    ----------
    values : array of int, (T, B, N_source)
    windows, places : arrays of int, (N_source,)
        The window of a source, and where its first weight goes in the flat plane.
    weights : array of int, (W, rows, columns * channels)
    plane : array of the weights' type, (groups, height, width * channels)
        To work in. Channels of a place stand side by side, so that a row of a window is one run.
    corner : (int, int)
        Row and column of the plane at which the result begins.
    counts : array of int, (T, B)
        Receives how many sources sent something.
    result : array of int, (T, B, groups, channels, height, width)
    """
    sources = np.arange(values.shape[2])
    who = np.empty(len(sources) + 1, np.int64)
    pitch, run = plane.shape[2], weights.shape[2]
    groups, channels, height, width = result.shape[2:]
    sums = plane.reshape(-1)
    for step, sample in np.ndindex(values.shape[:2]):
        sent = values[step, sample]
        count = _heard(sent, sources, who)
        counts[step, sample] = count
        sums[:] = 0
        for e in range(count):
            source = who[e]
            a, window, place = sent[source], weights[windows[source]], places[source]
            for row in range(len(window)):
                of_row, part = window[row], sums[place + row * pitch : place + row * pitch + run]
                for target in range(run):
                    part[target] += a * of_row[target]
        for group in range(groups):
            for y in range(height):
                start = corner[1] * channels
                line = plane[group, corner[0] + y, start : start + width * channels]
                for channel in range(channels):
                    out = result[step, sample, group, channel, y]
                    for x in range(width):
                        out[x] = line[x * channels + channel]
