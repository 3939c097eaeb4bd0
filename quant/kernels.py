"""Kernels of convolutions, multiplied out: two layers as one."""

from math import gcd

import numpy as np
from numpy.typing import NDArray

__all__ = ["composed", "regrouped"]

Floats = NDArray[np.float64]


def regrouped(weights: Floats, groups: int, wanted: int) -> Floats:
    """Weights of a convolution in ``wanted`` groups, fewer than its ``groups`` and a divisor of them.

    Both of shape ``(C_out, C_in / groups, kh, kw)``, each with its own groups; what no channel sees is 0.
    """
    joined, (outputs, inputs, *kernel) = groups // wanted, weights.shape
    wide = np.zeros((wanted, joined, outputs // groups, joined, inputs, *kernel))
    parts = weights.reshape(wanted, joined, outputs // groups, inputs, *kernel)
    for index in range(joined):
        wide[:, index, :, index] = parts[:, index]
    return wide.reshape(outputs, joined * inputs, *kernel)


def composed(
    first: Floats, second: Floats, *, stride: tuple[int, int], first_groups: int, second_groups: int
) -> tuple[Floats, int]:
    """Kernel and groups of two convolutions in a row, the first of ``stride``, the second without padding.

    The result has the padding of the first and the product of both strides.
    """
    groups = gcd(first_groups, second_groups)
    first, second = regrouped(first, first_groups, groups), regrouped(second, second_groups, groups)
    (outputs, between, *taps), (_, inputs, *kernel) = second.shape, first.shape
    size = [length + (count - 1) * step for length, count, step in zip(kernel, taps, stride, strict=True)]
    wide = np.zeros((groups, outputs // groups, inputs, *size))
    later = second.reshape(groups, outputs // groups, between, *taps)
    earlier = first.reshape(groups, between, inputs * kernel[0] * kernel[1])
    for row, column in np.ndindex(*taps):
        y, x = row * stride[0], column * stride[1]
        product = later[..., row, column] @ earlier
        wide[..., y : y + kernel[0], x : x + kernel[1]] += product.reshape(*wide.shape[:3], *kernel)
    return wide.reshape(outputs, inputs, *size), groups
