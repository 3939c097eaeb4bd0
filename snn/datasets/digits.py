"""The digits of scikit-learn, 8 x 8."""

import random
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .base import Dataset
from .errors import DatasetError

__all__ = ["load"]


def load(name: str, folder: Path | None, train: int | None, test: int | None) -> Dataset:
    """The digits, split as they have always been."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise DatasetError("Data set digits needs scikit-learn; install spikeloom[data]") from None
    bunch = cast(Any, load_digits())
    pixels, classes = bunch.data.astype(np.uint8), bunch.target.astype(np.int64)
    held_out = _stratified(classes, fraction=0.2, seed=0)
    return Dataset(
        name=name,
        train_x=pixels[~held_out],
        train_y=classes[~held_out],
        test_x=pixels[held_out],
        test_y=classes[held_out],
        shape=(1, 8, 8),
        classes=10,
        high=16,
    )


def _stratified(classes: NDArray[np.int64], *, fraction: float, seed: int) -> NDArray[np.bool_]:
    """Mask of the samples held out: the same fraction of every class, the same samples for ever."""
    # Python promises that random() never changes for a seed; numpy does not promise it of its permutations.
    generator = random.Random(seed)
    keys = np.array([generator.random() for _ in classes])
    mask = np.zeros(len(classes), np.bool_)
    for label in np.unique(classes):
        members = np.flatnonzero(classes == label)
        mask[members[np.argsort(keys[members])][: round(fraction * len(members))]] = True
    return mask
