"""Encoders: from integer pixels to the integer inputs of the contract.

An encoder's name says all that it needs, so that it can travel in a network's metadata:

``direct``
    The pixels themselves, once a sample: input kind ``current``.
``direct>>S``
    The pixels shifted right by S bits: the same with narrower products.
``rate/H``
    Pixels 0 to H as binary spikes, evenly spaced: in T steps ``(T * pixel + H // 2) // H`` of them. Kind ``events``.
``latency/H``
    Pixels 1 to H as one spike each, the brighter the earlier: step ``((H - pixel) * T) // (H + 1)``. Kind ``events``.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.errors import SpikeloomError

__all__ = ["Encoder", "EncoderError", "encode"]

_NAME = re.compile(r"direct(?:>>(?P<shift>\d{1,2}))?|(?P<code>rate|latency)/(?P<high>\d{1,5})")


class EncoderError(SpikeloomError, ValueError):
    """An encoder that does not exist, or pixels that it cannot encode."""


@dataclass(frozen=True, kw_only=True)
class Encoder:
    """An encoder, taken from its name by :meth:`parse`.

    Parameters
    ----------
    code : str
        ``direct``, ``rate`` or ``latency``.
    shift : int
        Bits that ``direct`` drops of a pixel.
    high : int
        Pixel of ``rate`` that spikes in every step, of ``latency`` that spikes in the first.
    """

    code: str
    shift: int = 0
    high: int = 0

    @classmethod
    def parse(cls, name: str) -> "Encoder":
        """Encoder of that name; an :class:`EncoderError` if there is none."""
        match = _NAME.fullmatch(name) if isinstance(name, str) else None
        if match is None or (match["high"] is not None and int(match["high"]) == 0):
            raise EncoderError(f"Encoder must be direct, direct>>BITS, rate/HIGH or latency/HIGH, not {name!r}")
        if match["code"] is None:
            return cls(code="direct", shift=int(match["shift"] or 0))
        return cls(code=match["code"], high=int(match["high"]))

    @property
    def kind(self) -> str:
        """Kind of the network's input: ``current`` or ``events``."""
        return "current" if self.code == "direct" else "events"

    def input_high(self, pixel_high: int) -> int:
        """Largest input value of pixels 0 to ``pixel_high``."""
        return pixel_high >> self.shift if self.code == "direct" else 1

    def __call__(self, pixels: NDArray[Any], steps: int) -> NDArray[Any]:
        """Inputs of ``pixels`` (B, N): (B, N) of kind ``current``, (B, steps, N) of kind ``events``."""
        pixels = np.asarray(pixels)
        if pixels.ndim != 2 or pixels.dtype.kind not in "iu":
            raise EncoderError(f"Pixels must be integers of shape (samples, pixels), not {pixels.dtype} {pixels.shape}")
        if self.code == "direct":
            return (pixels >> self.shift).astype(np.int32)
        if steps < 1:
            raise EncoderError(f"Steps must be at least 1, not {steps}")
        low, high = pixels.min(initial=0), pixels.max(initial=0)
        if low < 0 or high > self.high:
            raise EncoderError(f"Pixels of {self.code} must be between 0 and {self.high}, not {low} to {high}")
        return (_rate if self.code == "rate" else _latency)(pixels.astype(np.int32)[:, None, :], steps, self.high)


def encode(name: str, pixels: NDArray[Any], steps: int) -> NDArray[Any]:
    """Inputs of ``pixels`` (B, N) by the encoder ``name``: see :mod:`snn.encode`."""
    return Encoder.parse(name)(pixels, steps)


def _rate(pixels: NDArray[np.int32], steps: int, high: int) -> NDArray[np.int8]:
    edges = (np.arange(steps + 1, dtype=np.int32)[:, None] * pixels + high // 2) // high
    return np.diff(edges, axis=1).astype(np.int8)


def _latency(pixels: NDArray[np.int32], steps: int, high: int) -> NDArray[np.int8]:
    first = (high - pixels) * steps // (high + 1)
    return ((np.arange(steps)[:, None] == first) & (pixels > 0)).astype(np.int8)
