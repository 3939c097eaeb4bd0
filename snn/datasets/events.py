"""Events of a camera, of many samples."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DatasetError

__all__ = ["Events", "check_sample", "gathered"]

Sample = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]

_LONGEST_US = (1 << 32) - 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Events:
    """Events of samples, one sample after the other, each in order of time.

    ``len`` is the number of samples; an index chooses samples, as of an array of them: a slice, a mask or a list.

    Parameters
    ----------
    offsets : array of int64, (samples + 1,)
        Sample i has the events ``offsets[i]`` to ``offsets[i + 1] - 1``.
    x, y : array of int, (events,)
        Column and row of the sensor, from its upper left corner.
    polarity : array of uint8, (events,)
        1: brighter; 0: darker.
    time_us : array of uint32, (events,)
        Microseconds since the recording of the sample began.
    shape : tuple of int
        ``(2, rows, columns)`` of the sensor.
    """

    offsets: NDArray[np.int64]
    x: NDArray[Any]
    y: NDArray[Any]
    polarity: NDArray[np.uint8]
    time_us: NDArray[np.uint32]
    shape: tuple[int, int, int]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def counts(self) -> NDArray[np.int64]:
        """Events of every sample."""
        return np.diff(self.offsets)

    @property
    def samples(self) -> NDArray[np.int64]:
        """Sample of every event."""
        return np.repeat(np.arange(len(self)), self.counts)

    def __getitem__(self, chosen: Any) -> "Events":
        indices = np.atleast_1d(np.arange(len(self))[chosen])
        counts = self.counts[indices]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        where: Any = np.repeat(self.offsets[indices] - offsets[:-1], counts) + np.arange(offsets[-1])
        if len(indices) and (np.diff(indices) == 1).all():
            where = slice(self.offsets[indices[0]], self.offsets[indices[-1] + 1])
        return self._of(offsets, where)

    def kept(self, mask: NDArray[np.bool_]) -> "Events":
        """The events that ``mask`` (events,) keeps; samples stay, though some may come to have no event."""
        before = np.concatenate([[0], np.cumsum(mask)])
        return self._of(before[self.offsets], mask)

    def _of(self, offsets: NDArray[np.int64], where: Any) -> "Events":
        return Events(
            offsets=offsets,
            x=self.x[where],
            y=self.y[where],
            polarity=self.polarity[where],
            time_us=self.time_us[where],
            shape=self.shape,
        )


def check_sample(what: str, sample: Sample, shape: tuple[int, int, int]) -> None:
    """Refuse events outside the sensor, out of order, or of absurd length; ``what`` begins the sentence.

    ``sample`` is x, y, polarity and time in microseconds, of any integers.

    Raises
    ------
    DatasetError
    """
    x, y, _, time = sample
    _, rows, columns = shape
    outside = np.flatnonzero((x >= columns) | (y >= rows) | (x < 0) | (y < 0))
    if len(outside):
        first = outside[0]
        raise DatasetError(
            f"{what} must have events within {columns} columns and {rows} rows, "
            f"not event {first} at column {x[first]}, row {y[first]}"
        )
    back = np.flatnonzero(time[1:] < time[:-1])
    if len(back):
        first = back[0] + 1
        raise DatasetError(
            f"{what} must have its events in order of time, not event {first} at {time[first]} us "
            f"after one at {time[first - 1]} us"
        )
    if len(time) and not 0 <= time[0] <= time[-1] <= _LONGEST_US:
        raise DatasetError(f"{what} must have times of 0 to {_LONGEST_US} us, not {time[0]} to {time[-1]}")


def gathered(samples: list[Sample], shape: tuple[int, int, int]) -> Events:
    """Samples that :func:`check_sample` has seen, together."""
    offsets = np.concatenate([[0], np.cumsum([len(sample[0]) for sample in samples])]).astype(np.int64)
    address = np.uint8 if max(shape) <= 256 else np.uint16

    def joined(index: int, dtype: type[np.unsignedinteger[Any]]) -> NDArray[Any]:
        parts = [np.zeros(0, dtype), *(sample[index] for sample in samples)]
        return np.concatenate(parts, dtype=dtype, casting="unsafe")

    return Events(
        offsets=offsets,
        x=joined(0, address),
        y=joined(1, address),
        polarity=joined(2, np.uint8),
        time_us=joined(3, np.uint32),
        shape=shape,
    )
