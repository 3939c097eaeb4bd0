"""Encoder of a camera's events."""

import re
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..datasets.events import Events
from .encoder import Encoder, EncoderError, Shape, check_steps

__all__ = ["Frames"]

_NAME = re.compile(
    r"frames/(?P<how>time|count|(?P<width>\d{1,7})(?P<unit>us|ms))(?:/(?P<pool>\d{1,2}))?(?:\^(?P<most>\d{1,3}))?"
)
# Counters of one call of bincount.
_BLOCK = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Frames(Encoder):
    """``frames/HOW[/P][^M]``: events counted in steps.

    Parameters
    ----------
    how : str
        ``time``, ``count`` or ``fixed``.
    width_us : int
        Length of a step of ``fixed``.
    pool : int
        Side of the square of the sensor that is one pixel.
    most : int
        Largest count, at most 127.
    """

    data: ClassVar[str] = "events"

    how: str
    width_us: int = 0
    pool: int = 1
    most: int = 1

    @classmethod
    def named(cls, name: str) -> "Frames | None":
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        width = int(match["width"] or 1) * (1000 if match["unit"] == "ms" else 1)
        pool, most = int(match["pool"] or 1), int(match["most"] or 1)
        if not (width and pool and 1 <= most <= 127):
            return None
        how = "fixed" if match["unit"] else match["how"]
        return cls(how=how, width_us=width if match["unit"] else 0, pool=pool, most=most)

    def input_high(self, high: int) -> int:
        return self.most

    def shape(self, shape: Shape) -> Shape:
        polarities, rows, columns = shape
        return polarities, -(-rows // self.pool), -(-columns // self.pool)

    def __call__(self, values: Any, steps: int) -> NDArray[np.int8]:
        if not isinstance(values, Events):
            raise EncoderError("Frames must be made of events, as of data set n-mnist")
        check_steps(steps)
        frames = np.empty((len(values), steps, int(np.prod(self.shape(values.shape)))), np.int8)
        block = max(1, _BLOCK // frames[:1].size) if len(values) else 1
        for start in range(0, len(values), block):
            self._count(values[start : start + block], frames[start : start + block])
        return frames

    def _count(self, events: Events, frames: NDArray[np.int8]) -> None:
        _, steps, size = frames.shape
        step = self._steps(events, steps)
        _, rows, columns = self.shape(events.shape)
        place = (events.polarity * np.int64(rows) + events.y // self.pool) * columns + events.x // self.pool
        place += (events.samples * steps + step) * size
        counts = np.bincount(place[step < steps], minlength=frames.size)
        frames[...] = np.minimum(counts, self.most).reshape(frames.shape)

    def _steps(self, events: Events, steps: int) -> NDArray[np.int64]:
        """Step of every event; what is too late has one beyond the last."""
        if self.how == "fixed":
            return events.time_us.astype(np.int64) // self.width_us
        counts, first = events.counts, events.offsets[:-1]
        if self.how == "count":
            rank = np.arange(len(events.x)) - np.repeat(first, counts)
            return rank * steps // np.repeat(counts, counts)
        time = events.time_us.astype(np.int64)
        filled = counts > 0
        begin = time[first[filled]]
        length = time[events.offsets[1:][filled] - 1] - begin + 1
        since = time - np.repeat(begin, counts[filled])
        return since * steps // np.repeat(length, counts[filled])
