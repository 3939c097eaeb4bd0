"""From real numbers to the integers of the contract: one rule for quantization and for training that knows of it.

All arithmetic is in float64, so that a twin in another library that divides in float64 gets the same integers.
A *unit* is what the integer 1 of a membrane is worth: the LSB of the weights times the worth of an event.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import NetworkError
from .graph import Shape, Synapses
from .ir import Decay

__all__ = [
    "LIMIT",
    "TERNARY",
    "Width",
    "channel_scale",
    "round_amount",
    "round_decay",
    "round_threshold",
    "round_weights",
    "stored_bits",
    "weight_limits",
]

LIMIT = 1 << 31
_NOISE = 2.0**-32

Integers = NDArray[np.int64]

#: The width of weights of -1, 0 and 1.
TERNARY = "ternary"
Width = int | str


def weight_limits(bits: Width) -> tuple[int, int]:
    """Smallest and largest weight of ``bits`` signed bits, or of :data:`TERNARY`."""
    if bits == TERNARY:
        return -1, 1
    half = 1 << (int(bits) - 1)
    return -half, half - 1


def stored_bits(width: Width) -> int:
    """Bits of a weight in memory."""
    return 2 if width == TERNARY else int(width)


def round_weights(weights: Any, scale: Any, bits: Width) -> Integers:
    """Weights in LSB of ``scale``: to nearest, halves to even, clipped to ``bits`` signed bits, or to ternary."""
    low, high = weight_limits(bits)
    return np.clip(np.rint(_quotient(weights, scale)), low, high).astype(np.int64)


def round_threshold(threshold: Any, unit: Any, *, strict: bool, what: str = "Threshold") -> Integers:
    """Smallest integer membrane that fires: ceil(theta / unit), or floor(theta / unit) + 1 if ``strict``.

    A quotient within 2**-32 of an integer, relatively, is that integer: the noise of the division must not move the
    threshold by one.

    Raises
    ------
    NetworkError
        If it is below 1 or does not fit 32 bits.
    """
    quotient = _quotient(threshold, unit)
    nearest = np.rint(quotient)
    snapped = np.where(np.isclose(quotient, nearest, rtol=_NOISE, atol=0), nearest, quotient)
    return _fitting(np.floor(snapped) + 1 if strict else np.ceil(snapped), what, least=1)


def round_amount(amount: Any, unit: Any, *, what: str = "Amount") -> Integers:
    """A bias, reset amount, reset value or initial membrane in units: to nearest, halves to even.

    Raises
    ------
    NetworkError
        If it does not fit 32 bits.
    """
    return _fitting(np.rint(_quotient(amount, unit)), what, least=-LIMIT)


def round_decay(decay: Any, bits: int, *, what: str = "Decay") -> Decay:
    """The fraction m / 2**f nearest to ``decay`` with f at most ``bits``, and f as small as that allows.

    Raises
    ------
    NetworkError
        If a numerator does not fit 32 bits.
    """
    numerators = _fitting(np.rint(np.asarray(decay, np.float64) * 2.0**bits), what, least=0)
    shift = bits
    while shift and not (numerators & 1).any():
        numerators, shift = numerators >> 1, shift - 1
    return Decay(numerator=numerators, shift=shift)


def _quotient(values: Any, unit: Any) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):  # infinity is refused by name, further on
        return np.asarray(np.asarray(values, np.float64) / unit)


def _fitting(values: NDArray[np.float64], what: str, *, least: int) -> Integers:
    wrong = values[(values < least) | (values >= LIMIT) | np.isnan(values)]
    if wrong.size:
        raise NetworkError(
            f"{what} must be between {least} and {LIMIT - 1} membrane LSB, not {wrong.flat[0]:g}; "
            "its weights are too small or too large beside it"
        )
    return values.astype(np.int64)


def channel_scale(connection: Synapses, target: Shape, scale: Any) -> NDArray[np.float64]:
    """A scale, one or per channel of the target, shaped so that it divides the connection's weights.

    Weights that one number stands for many channels of are to be spread first: a scalar gets one scale a channel.
    """
    values, shape = np.asarray(scale, np.float64), connection.weights.shape
    if values.ndim == 0:
        return values
    ones = (1,) * (len(shape) - 1)
    if connection.kind == "dense":
        return np.repeat(values, shape[0] // target[0]).reshape(-1, 1)
    if connection.kind == "conv_transpose2d":
        groups, outputs = connection.groups, shape[1]
        inputs = shape[0] // groups
        return np.repeat(values.reshape(groups, outputs), inputs, axis=0)[:, :, None, None]
    return values.reshape(-1, *ones) if shape else values
