"""What every data set is."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["KINDS", "Dataset"]

KINDS = ("images", "events", "sequences")


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Samples as integers, and their classes.

    Parameters
    ----------
    name : str
    kind : str
        ``images``, ``events`` or ``sequences``.
    train_x, test_x : array of int, or Events
        Images: ``(samples, pixels)``, in C order of ``shape``. Events: :class:`snn.datasets.events.Events`. Sequences:
        ``(samples, steps, channels)``.
    train_y, test_y : array of int
        ``(samples,)``, each 0 to ``classes - 1``.
    shape : tuple of int
        ``(channels, rows, columns)``; of events ``(2, rows, columns)``, of sequences ``(channels, 1, 1)``.
    classes : int
    low, high : int
        Smallest and largest value of images and sequences; of events 0 and 1.
    """

    name: str
    kind: str = "images"
    train_x: Any
    train_y: NDArray[np.int64]
    test_x: Any
    test_y: NDArray[np.int64]
    shape: tuple[int, int, int]
    classes: int
    low: int = 0
    high: int

    def first(self, train: int | None, test: int | None) -> "Dataset":
        """The same with at most so many training and test samples; None leaves all."""
        if train is None and test is None:
            return self
        return replace(
            self,
            train_x=self.train_x[:train],
            train_y=self.train_y[:train],
            test_x=self.test_x[:test],
            test_y=self.test_y[:test],
        )
