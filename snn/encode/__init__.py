"""Encoders: from the integers of a data set to the integer inputs of the contract.

An encoder's name says all that it needs, so that it can travel in a network's metadata. ``[...]`` may be left out.

Of images:

``direct[>>S]``
    The pixels themselves, once a sample: input kind ``current``. Shifted right by S bits, they need narrower products.
``rate/H``
    Pixels 0 to H as binary spikes, evenly spaced: in T steps ``(T * pixel + H // 2) // H`` of them. Kind ``events``.
``latency/H``
    Pixels 1 to H as one spike each, the brighter the earlier: step ``((H - pixel) * T) // (H + 1)``. Kind ``events``.

Of events of a camera, all of kind ``events``:

``frames/time[/P][^M]``
    T steps of equal length, from a sample's first event to its last.
``frames/count[/P][^M]``
    T steps of equally many events.
``frames/Wms[/P][^M]``, ``frames/Wus[/P][^M]``
    Steps of W milli- or microseconds from the beginning of the sample; what comes after T of them is left out.

A step's value of a pixel and polarity is the number of its events, at most M (default 1: whether there are any).
With P, pixels are squares of P x P of the sensor; those at the right and lower edges may be cut.

Of sequences, all of kind ``events``, T being their length:

``spikes[>>S]``
    The values themselves, a step each, shifted right by S bits.
``level/D[^M]``
    Crossings of levels D apart, starting from 0: each step a channel gives the number of levels that it has risen,
    and another one the number that it has fallen, at most M (default 1); what is left follows in the next steps.
"""

from typing import Any

from numpy.typing import NDArray

from .encoder import Encoder, EncoderError

__all__ = ["Encoder", "EncoderError", "encode"]


def encode(name: str, values: Any, steps: int) -> NDArray[Any]:
    """Inputs of the values of a data set by the encoder ``name``: see :mod:`snn.encode`."""
    return Encoder.parse(name)(values, steps)
