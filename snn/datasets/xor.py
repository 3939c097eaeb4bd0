"""Delayed spiking XOR: two noisy patterns, far apart, and whether they differ (Yin and others, arXiv 2403.16674).

For the first 10 steps every channel spikes at random at one of two rates, 0.2 or 0.6, and for the last 10 steps at one
of the two again; between them it spikes at 0.01. The class is 1 if the two rates differ, 0 if they are the same.
"""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .base import Dataset
from .errors import DatasetError

__all__ = ["NAME", "delayed_xor", "load"]

NAME = re.compile(r"delayed-xor(?:/(?P<delay>\d{1,4}))?")

CHANNELS = 20
PATTERN = 10
DELAY = 180
RATES = (0.2, 0.6)
NOISE = 0.01


def load(name: str, folder: Path | None, train: int | None, test: int | None) -> Dataset:
    """``delayed-xor`` or ``delayed-xor/DELAY``, 2000 samples to train and 1000 to test."""
    match = NAME.fullmatch(name)
    assert match is not None
    return delayed_xor(delay=int(match["delay"] or DELAY))


def delayed_xor(*, delay: int = DELAY, train: int = 2000, test: int = 1000, seed: int = 0) -> Dataset:
    """The task, of ``20 + delay`` steps; the same numbers give the same samples for ever.

    Parameters
    ----------
    delay : int
        Steps between the patterns.
    train, test : int
        Samples of each part. The first of many are the same as of few.
    seed : int

    Raises
    ------
    DatasetError
        If a number is negative.
    """
    for noun, number in (("Delay", delay), ("Training samples", train), ("Test samples", test), ("Seed", seed)):
        if number < 0:
            raise DatasetError(f"{noun} must not be negative, not {number}")
    (train_x, train_y), (test_x, test_y) = (
        _part(np.random.PCG64([seed, part]), count, delay) for part, count in enumerate((train, test))
    )
    return Dataset(
        name="delayed-xor" if delay == DELAY else f"delayed-xor/{delay}",
        kind="sequences",
        train_x=train_x,
        train_y=train_y,
        test_x=test_x,
        test_y=test_y,
        shape=(CHANNELS, 1, 1),
        classes=2,
        high=1,
    )


def _part(bits: np.random.PCG64, count: int, delay: int) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    steps = delay + 2 * PATTERN
    # numpy promises that a seed's raw bits stay the same, not so what its distributions make of them.
    raw = bits.random_raw(count * (1 + steps * CHANNELS)).reshape(count, -1) >> np.uint64(32)
    first, last = raw[:, 0] & 1, raw[:, 0] >> np.uint64(1) & 1
    levels = np.array([round(rate * 2**32) for rate in (*RATES, NOISE)], np.uint64)
    chosen = np.full((count, steps), 2)
    chosen[:, :PATTERN] = first[:, None]
    chosen[:, steps - PATTERN :] = last[:, None]
    spikes = raw[:, 1:].reshape(count, steps, CHANNELS) < levels[chosen][:, :, None]
    return spikes.astype(np.int8), (first ^ last).astype(np.int64)
