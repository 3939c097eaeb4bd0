"""Training samples in batches, altered at random, encoded."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quant.errors import NetworkError

from .datasets import Events
from .encode import Encoder

__all__ = ["Samples"]

# Kinds of samples that can be altered so.
_ALTERATIONS = {
    "shift": ("images", "events"),
    "noise": ("images", "sequences"),
    "flip": ("images", "events"),
    "erase": ("images", "events"),
    "drop": ("events", "sequences"),
    "late": ("events", "sequences"),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Training samples, and how they become inputs.

    Parameters
    ----------
    pixels : array of int, or Events
        As in a :class:`snn.datasets.Dataset`: images, events, or sequences.
    labels : array of int, (samples,)
    shape : tuple of int
        ``(channels, rows, columns)``.
    low, high : int
        Smallest and largest value.
    encoder : Encoder
    steps : int
    """

    pixels: Any
    labels: NDArray[np.int64]
    shape: tuple[int, int, int]
    low: int = 0
    high: int
    encoder: Encoder
    steps: int

    @property
    def kind(self) -> str:
        """``images``, ``events`` or ``sequences``."""
        if isinstance(self.pixels, Events):
            return "events"
        return "sequences" if self.pixels.ndim == 3 else "images"

    def batches(
        self,
        *,
        batch: int,
        shift: int,
        noise: float,
        random: np.random.Generator,
        flip: bool = False,
        erase: int = 0,
        drop: float = 0.0,
        late: int = 0,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and labels of every sample once, in random order, altered at random.

        Events move, are mirrored and vanish as pixels do.

        Parameters
        ----------
        batch : int
        shift : int
            Images and events move by up to so many pixels, up or down and left or right; black comes in.
        noise : float
            Standard deviation of the noise of a value of images and sequences, as a share of the largest.
        random : numpy.random.Generator
        flip : bool
            Half of the images are mirrored, left to right.
        erase : int
            A rectangle of 0 to so many pixels a side, its centre anywhere in the image, turns black.
        drop : float
            Of a sample's events, or of its sequence's values, a share is lost: 0 to this one, drawn for each sample.
        late : int
            Samples begin up to so much later: microseconds of events, steps of sequences. Frames of equal time or
            count begin with the events, so that it changes nothing there.

        Raises
        ------
        NetworkError
            If samples of this kind cannot be altered so.
        """
        asked = {"shift": shift, "noise": noise, "flip": flip, "erase": erase, "drop": drop, "late": late}
        for name in sorted(_ALTERATIONS.keys() & {name for name, value in asked.items() if value}):
            if self.kind not in _ALTERATIONS[name]:
                raise NetworkError(f"{name.capitalize()} must be 0 for {self.kind}, not {asked[name]:g}")
        order = random.permutation(len(self.pixels))
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            pixels = self._altered(self.pixels[chosen], shift, noise, random, flip=flip, erase=erase)
            pixels = self._lost(self._delayed(pixels, late, random), drop, random)
            inputs = self.encoder(pixels, self.steps)
            yield torch.from_numpy(inputs).float(), torch.from_numpy(self.labels[chosen])

    def _altered(
        self, pixels: Any, shift: int, noise: float, random: np.random.Generator, *, flip: bool, erase: int
    ) -> Any:
        if flip:
            pixels = self._flipped(pixels, random.random(len(pixels)) < 0.5)
        if shift:
            pixels = self._shifted(pixels, random.integers(-shift, shift + 1, (len(pixels), 2)))
        if erase:
            centres = random.integers(0, self.shape[1:], (len(pixels), 2))
            pixels = self._erased(pixels, centres, random.integers(0, erase + 1, (len(pixels), 2)))
        if noise:
            noisy = pixels + random.normal(0, noise * self.high, pixels.shape)
            pixels = np.clip(np.rint(noisy), self.low, self.high).astype(np.int32)
        return pixels

    def _delayed(self, values: Any, late: int, random: np.random.Generator) -> Any:
        if not late:
            return values
        delays = random.integers(0, late + 1, len(values))
        if isinstance(values, Events):
            return replace(values, time_us=(values.time_us + delays[values.samples]).astype(np.uint32))
        source = np.arange(values.shape[1]) - delays[:, None]
        moved = values[np.arange(len(values))[:, None], np.maximum(source, 0)]
        return np.where((source < 0)[:, :, None], 0, moved)

    def _lost(self, values: Any, drop: float, random: np.random.Generator) -> Any:
        if not drop:
            return values
        share = random.uniform(0, drop, len(values))
        if isinstance(values, Events):
            return values.kept(random.random(len(values.x)) >= share[values.samples])
        return np.where(random.random(values.shape) < share[:, None, None], 0, values)

    def _flipped(self, pixels: Any, chosen: NDArray[np.bool_]) -> Any:
        if isinstance(pixels, Events):
            x = pixels.x.astype(np.int64)
            mirrored = np.where(chosen[pixels.samples], self.shape[2] - 1 - x, x)
            return replace(pixels, x=mirrored.astype(pixels.x.dtype))
        maps = pixels.reshape(-1, *self.shape).copy()
        maps[chosen] = maps[chosen, :, :, ::-1]
        return maps.reshape(pixels.shape)

    def _erased(self, pixels: Any, centres: NDArray[np.int64], sides: NDArray[np.int64]) -> Any:
        first = centres - sides // 2
        rows, columns = (
            (np.arange(extent) >= low[:, None]) & (np.arange(extent) < (low + side)[:, None])
            for extent, low, side in zip(self.shape[1:], first.T, sides.T, strict=True)
        )
        if isinstance(pixels, Events):
            sample = pixels.samples
            return pixels.kept(~(rows[sample, pixels.y] & columns[sample, pixels.x]))
        kept = ~(rows[:, None, :, None] & columns[:, None, None, :])
        return (pixels.reshape(-1, *self.shape) * kept).reshape(pixels.shape)

    def _shifted(self, pixels: Any, offsets: NDArray[np.int64]) -> Any:
        channels, rows, columns = self.shape
        if isinstance(pixels, Events):
            # Images show what was (y + offset, x + offset) away from a place.
            y, x = (
                place.astype(np.int64) - offset[pixels.samples]
                for place, offset in zip((pixels.y, pixels.x), offsets.T, strict=True)
            )
            inside = (y >= 0) & (y < rows) & (x >= 0) & (x < columns)
            moved = replace(
                pixels,
                x=np.where(inside, x, 0).astype(pixels.x.dtype),
                y=np.where(inside, y, 0).astype(pixels.y.dtype),
            )
            return moved.kept(inside)
        reach = int(np.abs(offsets).max())
        maps = np.pad(pixels.reshape(-1, *self.shape), ((0, 0), (0, 0), (reach, reach), (reach, reach)))
        y = (reach + offsets[:, 0])[:, None] + np.arange(rows)
        x = (reach + offsets[:, 1])[:, None] + np.arange(columns)
        samples, channel = np.arange(len(pixels))[:, None, None, None], np.arange(channels)[:, None, None]
        return maps[samples, channel, y[:, None, :, None], x[:, None, None, :]].reshape(pixels.shape)
