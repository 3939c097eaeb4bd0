"""What every encoder is, and how its name becomes one."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from quant.errors import SpikeloomError

from ..datasets.events import Events

__all__ = ["Encoder", "EncoderError", "Shape"]

Shape = tuple[int, int, int]


class EncoderError(SpikeloomError, ValueError):
    """An encoder that does not exist, or values that it cannot encode."""


@dataclass(frozen=True, kw_only=True)
class Encoder(ABC):
    """An encoder, taken from its name by :meth:`parse`.

    Attributes
    ----------
    data : str
        Kind of the data sets that it encodes; see :class:`snn.datasets.Dataset`.
    kind : str
        Kind of the network's input: ``current`` or ``events``.
    """

    data: ClassVar[str]
    kind: ClassVar[str] = "events"

    @classmethod
    def parse(cls, name: str) -> "Encoder":
        """Encoder of that name; an :class:`EncoderError` if there is none."""
        # They are made of what is defined here.
        from .frames import Frames
        from .pixels import Direct, Latency, Rate
        from .sequences import Level, Spikes

        for kind in (Direct, Rate, Latency, Frames, Spikes, Level):
            found = kind.named(name) if isinstance(name, str) else None
            if found is not None:
                return found
        raise EncoderError(
            "Encoder must be direct, direct>>BITS, rate/HIGH or latency/HIGH of images, frames/HOW of events, "
            f"spikes or level/DELTA of sequences, not {name!r}"
        )

    @classmethod
    @abstractmethod
    def named(cls, name: str) -> "Encoder | None":
        """The encoder of this class that has that name, if any."""

    @abstractmethod
    def input_high(self, high: int) -> int:
        """Largest input value, of a data set whose largest value is ``high``."""

    def input_low(self, low: int) -> int:
        """Smallest input value, of a data set whose smallest value is ``low``."""
        return 0

    def shape(self, shape: Shape) -> Shape:
        """Shape of the input, of a data set of that shape: channels, rows, columns."""
        return shape

    @abstractmethod
    def __call__(self, values: Any, steps: int) -> NDArray[Any]:
        """Inputs (B, N) of kind ``current``, (B, steps, N) of kind ``events``.

        Parameters
        ----------
        values : array of int, or Events
            As in a data set of kind :attr:`data`, B samples.
        steps : int
        """


def check_steps(steps: int) -> None:
    """Refuse a number of steps below 1."""
    if steps < 1:
        raise EncoderError(f"Steps must be at least 1, not {steps}")


def integers(values: Any, what: str, axes: tuple[str, ...]) -> NDArray[Any]:
    """Values as an array of integers with those axes; ``what`` begins the sentence of an error."""
    wanted = f"{what} must be integers of shape ({', '.join(axes)})"
    if isinstance(values, Events):
        raise EncoderError(f"{wanted}, not the events of a camera")
    array = np.asarray(values)
    if array.ndim != len(axes) or array.dtype.kind not in "iu":
        raise EncoderError(f"{wanted}, not {array.dtype} {array.shape}")
    return array
