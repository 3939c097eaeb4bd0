"""Integer arithmetic on values of known range."""

from collections.abc import Iterable

import numpy as np
from amaranth import Const, Module, Mux, Signal, Value
from amaranth.hdl import ValueLike
from numpy.typing import NDArray

from quant.ranges import Range

__all__ = ["clip", "lookup", "pack", "scale", "signed_digits"]


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


def lookup(m: Module, index: Value, values: NDArray[np.int64], name: str) -> Value:
    """Number of ``values``, none negative, that stands at ``index``: a sum where they follow a line, else a table."""
    steps = np.diff(values)
    if not len(steps) or not steps.any():
        return Const(int(values[0]), max(1, int(values[0]).bit_length()))
    result = Signal(int(values.max()).bit_length(), name=name)
    if (steps == steps[0]).all() and steps[0] > 0:
        held = Signal(len(index), name=f"{name}_index")
        m.d.comb += [held.eq(index), result.eq(Value.cast(scale(held, int(steps[0]))) + int(values[0]))]
        return result
    with m.Switch(index):
        for number, value in enumerate(values):
            with m.Case(number):
                m.d.comb += result.eq(int(value))
    return result
