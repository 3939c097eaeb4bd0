"""Integer arithmetic on values of known range."""

from collections.abc import Iterable

from amaranth import Const, Mux, Signal
from amaranth.hdl import ValueLike

from quant.ranges import Range

__all__ = ["clip", "pack", "scale", "signed_digits"]


def pack(values: Iterable[int], width: int) -> int:
    """Integers side by side, the first lowest, each in ``width`` bits, two's complement."""
    mask, word = (1 << width) - 1, 0
    for lane, value in enumerate(values):
        word |= (int(value) & mask) << (lane * width)
    return word


def signed_digits(factor: int) -> list[tuple[int, int]]:
    """Canonical signed digits: ``[(sign, shift), ...]`` with the fewest terms whose sum is ``factor``."""
    digits, shift = [], 0
    while factor:
        if factor & 1:
            sign = 2 - (factor & 3)
            digits.append((sign, shift))
            factor -= sign
        factor >>= 1
        shift += 1
    return digits


def scale(value: Signal, factor: int) -> ValueLike:
    """Value times a constant that is not negative, as shifts and adds."""
    digits = sorted(signed_digits(factor), reverse=True)
    if not digits:
        return Const(0)
    total: ValueLike = Const(0)
    for index, (sign, shift) in enumerate(digits):
        term = value << shift
        total = term if index == 0 else total + term if sign > 0 else total - term
    return total


def clip(value: Signal, *, within: Range, of: Range) -> ValueLike:
    """Value, which lies in ``of``, held ``within`` its rails; a rail that cannot be reached costs nothing."""
    clipped: ValueLike = value
    if of.high > within.high:
        clipped = Mux(value > within.high, within.high, clipped)
    if of.low < within.low:
        clipped = Mux(value < within.low, within.low, clipped)
    return clipped
