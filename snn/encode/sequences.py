"""Encoders of sequences."""

import re
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .encoder import Encoder, EncoderError, Shape, integers

__all__ = ["Level", "Spikes"]

_SPIKES = re.compile(r"spikes(?:>>(\d{1,2}))?")
_LEVEL = re.compile(r"level/(\d{1,5})(?:\^(\d{1,3}))?")


def _checked(values: Any, steps: int) -> NDArray[Any]:
    values = integers(values, "Sequences", ("samples", "steps", "channels"))
    if values.shape[1] != steps:
        raise EncoderError(f"Steps must be the {values.shape[1]} of the sequences, not {steps}")
    return values


@dataclass(frozen=True, kw_only=True)
class Spikes(Encoder):
    """``spikes[>>S]``: the values as they are, S bits of each dropped."""

    data: ClassVar[str] = "sequences"

    shift: int = 0

    @classmethod
    def named(cls, name: str) -> "Spikes | None":
        match = _SPIKES.fullmatch(name)
        return cls(shift=int(match[1] or 0)) if match else None

    def input_high(self, high: int) -> int:
        return high >> self.shift

    def input_low(self, low: int) -> int:
        return low >> self.shift

    def __call__(self, values: Any, steps: int) -> NDArray[Any]:
        return _checked(values, steps) >> self.shift


@dataclass(frozen=True, kw_only=True)
class Level(Encoder):
    """``level/D[^M]``: levels that are crossed, upwards in the first channels, downwards in as many others.

    Parameters
    ----------
    delta : int
        Distance of the levels.
    most : int
        Levels that a channel can cross in a step, at most 127.
    """

    data: ClassVar[str] = "sequences"

    delta: int
    most: int = 1

    @classmethod
    def named(cls, name: str) -> "Level | None":
        match = _LEVEL.fullmatch(name)
        if match is None:
            return None
        delta, most = int(match[1]), int(match[2] or 1)
        return cls(delta=delta, most=most) if delta and 1 <= most <= 127 else None

    def input_high(self, high: int) -> int:
        return self.most

    def shape(self, shape: Shape) -> Shape:
        channels, rows, columns = shape
        return 2 * channels, rows, columns

    def __call__(self, values: Any, steps: int) -> NDArray[np.int8]:
        values = _checked(values, steps).astype(np.int32)
        samples, _, channels = values.shape
        crossed = np.empty((samples, steps, 2 * channels), np.int8)
        level = np.zeros((samples, channels), np.int32)
        for step in range(steps):
            away = values[:, step] - level
            count = np.clip(np.sign(away) * (np.abs(away) // self.delta), -self.most, self.most)
            crossed[:, step, :channels] = np.maximum(count, 0)
            crossed[:, step, channels:] = np.maximum(-count, 0)
            level += count * self.delta
        return crossed
