"""Encoders of images."""

import re
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from .encoder import Encoder, EncoderError, check_steps, integers

__all__ = ["Direct", "Latency", "Rate"]

_DIRECT = re.compile(r"direct(?:>>(\d{1,2}))?")
_CODE = re.compile(r"(rate|latency)/(\d{1,5})")

Kind = TypeVar("Kind", bound="_Code")


def _checked(pixels: Any) -> NDArray[Any]:
    return integers(pixels, "Pixels", ("samples", "pixels"))


@dataclass(frozen=True, kw_only=True)
class Direct(Encoder):
    """``direct[>>S]``: the pixels, S bits of each dropped."""

    data: ClassVar[str] = "images"
    kind: ClassVar[str] = "current"

    shift: int = 0

    @classmethod
    def named(cls, name: str) -> "Direct | None":
        match = _DIRECT.fullmatch(name)
        return cls(shift=int(match[1] or 0)) if match else None

    def input_high(self, high: int) -> int:
        return high >> self.shift

    def __call__(self, values: Any, steps: int) -> NDArray[Any]:
        return (_checked(values) >> self.shift).astype(np.int32)


@dataclass(frozen=True, kw_only=True)
class _Code(Encoder):
    """Pixels of 0 to ``high`` as binary spikes."""

    data: ClassVar[str] = "images"
    code: ClassVar[str]

    high: int

    @classmethod
    def named(cls: type[Kind], name: str) -> Kind | None:
        match = _CODE.fullmatch(name)
        return cls(high=int(match[2])) if match and match[1] == cls.code and int(match[2]) else None

    def input_high(self, high: int) -> int:
        return 1

    def __call__(self, values: Any, steps: int) -> NDArray[Any]:
        pixels = _checked(values)
        check_steps(steps)
        low, high = pixels.min(initial=0), pixels.max(initial=0)
        if low < 0 or high > self.high:
            raise EncoderError(f"Pixels of {self.code} must be between 0 and {self.high}, not {low} to {high}")
        return self._spikes(pixels.astype(np.int32)[:, None, :], steps)

    def _spikes(self, pixels: NDArray[np.int32], steps: int) -> NDArray[np.int8]:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Rate(_Code):
    """``rate/H``: so many spikes as a pixel is bright, evenly spaced."""

    code: ClassVar[str] = "rate"

    def _spikes(self, pixels: NDArray[np.int32], steps: int) -> NDArray[np.int8]:
        edges = (np.arange(steps + 1, dtype=np.int32)[:, None] * pixels + self.high // 2) // self.high
        return np.diff(edges, axis=1).astype(np.int8)


@dataclass(frozen=True, kw_only=True)
class Latency(_Code):
    """``latency/H``: one spike, the earlier the brighter."""

    code: ClassVar[str] = "latency"

    def _spikes(self, pixels: NDArray[np.int32], steps: int) -> NDArray[np.int8]:
        first = (self.high - pixels) * steps // (self.high + 1)
        return ((np.arange(steps)[:, None] == first) & (pixels > 0)).astype(np.int8)
