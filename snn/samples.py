"""Training samples: pixels in batches, altered at random, encoded."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .encode import Encoder

__all__ = ["Samples"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Training images, and how they become inputs.

    Parameters
    ----------
    pixels : array of int, (samples, pixels)
    labels : array of int, (samples,)
    shape : tuple of int
        ``(channels, rows, columns)``.
    high : int
        Largest pixel.
    encoder : Encoder
    steps : int
    """

    pixels: NDArray[Any]
    labels: NDArray[np.int64]
    shape: tuple[int, int, int]
    high: int
    encoder: Encoder
    steps: int

    def batches(
        self,
        *,
        batch: int,
        shift: int,
        noise: float,
        random: np.random.Generator,
        flip: bool = False,
        erase: int = 0,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and labels of every sample once, in random order, altered at random.

        Parameters
        ----------
        batch : int
        shift : int
            Images move by up to so many pixels, up or down and left or right; black comes in.
        noise : float
            Standard deviation of the noise of a pixel, as a share of the largest.
        random : numpy.random.Generator
        flip : bool
            Half of the images are mirrored, left to right.
        erase : int
            A rectangle of 0 to so many pixels a side, its centre anywhere in the image, turns black.
        """
        order = random.permutation(len(self.pixels))
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            pixels = self._altered(self.pixels[chosen], shift, noise, random, flip=flip, erase=erase)
            inputs = self.encoder(pixels, self.steps)
            yield torch.from_numpy(inputs).float(), torch.from_numpy(self.labels[chosen])

    def _altered(
        self, pixels: NDArray[Any], shift: int, noise: float, random: np.random.Generator, *, flip: bool, erase: int
    ) -> NDArray[Any]:
        if flip:
            pixels = self._flipped(pixels, random.random(len(pixels)) < 0.5)
        if shift:
            pixels = self._shifted(pixels, random.integers(-shift, shift + 1, (len(pixels), 2)))
        if erase:
            centres = random.integers(0, self.shape[1:], (len(pixels), 2))
            pixels = self._erased(pixels, centres, random.integers(0, erase + 1, (len(pixels), 2)))
        if noise:
            noisy = pixels + random.normal(0, noise * self.high, pixels.shape)
            pixels = np.clip(np.rint(noisy), 0, self.high).astype(np.int32)
        return pixels

    def _flipped(self, pixels: NDArray[Any], chosen: NDArray[np.bool_]) -> NDArray[Any]:
        maps = pixels.reshape(-1, *self.shape).copy()
        maps[chosen] = maps[chosen, :, :, ::-1]
        return maps.reshape(pixels.shape)

    def _erased(self, pixels: NDArray[Any], centres: NDArray[np.int64], sides: NDArray[np.int64]) -> NDArray[Any]:
        first = centres - sides // 2
        rows, columns = (
            (np.arange(extent) >= low[:, None]) & (np.arange(extent) < (low + side)[:, None])
            for extent, low, side in zip(self.shape[1:], first.T, sides.T, strict=True)
        )
        kept = ~(rows[:, None, :, None] & columns[:, None, None, :])
        return (pixels.reshape(-1, *self.shape) * kept).reshape(pixels.shape)

    def _shifted(self, pixels: NDArray[Any], offsets: NDArray[np.int64]) -> NDArray[Any]:
        channels, rows, columns = self.shape
        reach = int(np.abs(offsets).max())
        maps = np.pad(pixels.reshape(-1, *self.shape), ((0, 0), (0, 0), (reach, reach), (reach, reach)))
        y = (reach + offsets[:, 0])[:, None] + np.arange(rows)
        x = (reach + offsets[:, 1])[:, None] + np.arange(columns)
        samples, channel = np.arange(len(pixels))[:, None, None, None], np.arange(channels)[:, None, None]
        return maps[samples, channel, y[:, None, :, None], x[:, None, None, :]].reshape(pixels.shape)
