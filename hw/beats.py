"""Beats of the input stream: how a sample goes into the hardware."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.errors import NetworkError
from quant.ir import Network

from .layout import Fields

__all__ = ["BEAT", "beats", "pack"]

#: One beat: ``value`` for input ``address``, or the ``tick`` that ends a step; ``last`` on the sample's last tick.
BEAT = np.dtype([("address", "<u4"), ("value", "<i4"), ("tick", "?"), ("last", "?")])


def beats(network: Network, sample: NDArray[np.integer[Any]]) -> NDArray[np.void]:
    """Beats of one sample, in the order in which they are sent.

    Parameters
    ----------
    network : Network
    sample : array of int
        ``(steps, N)`` for kind ``events``: of each step its nonzero values, then a tick. ``(N,)`` for all other kinds:
        the nonzero values, then one tick. Addresses are those of :class:`hw.layout.Fields`.

    Returns
    -------
    array of BEAT

    Raises
    ------
    NetworkError
        If the sample does not have the input's shape or range.
    """
    steps = _checked(network, np.asarray(sample))
    step, address = np.nonzero(steps)
    result = np.zeros(len(step) + len(steps), BEAT)
    place = np.arange(len(step)) + step
    result["address"][place] = Fields(network.input.shape).encode(address)
    result["value"][place] = steps[step, address]
    result["tick"] = True
    result["tick"][place] = False
    result["last"][-1] = True
    return result


def _checked(network: Network, sample: NDArray[Any]) -> NDArray[Any]:
    """Sample as an array of ``(steps, N)``, one step of a sample that comes once."""
    port = network.input
    shape = f"(steps, {port.size})" if port.kind == "events" else f"({port.size},)"
    steps = sample if port.kind == "events" else sample[np.newaxis]
    if sample.dtype.kind not in "iub" or steps.ndim != 2 or steps.shape[1] != port.size or not len(steps):
        raise NetworkError(f"Sample must be integers of shape {shape}, not {sample.dtype} of {sample.shape}")
    if steps.min() < port.low or steps.max() > port.high:
        wrong = steps.min() if steps.min() < port.low else steps.max()
        raise NetworkError(f"Sample must hold values between {port.low} and {port.high}, not {wrong}")
    return steps


def pack(stream: NDArray[np.void], *, address_width: int, value_width: int) -> NDArray[np.uint64]:
    """Words of the input stream: the address in the low bits, the value (two's complement) above it."""
    value = stream["value"].astype(np.int64) & ((1 << value_width) - 1)
    return stream["address"].astype(np.uint64) | value.astype(np.uint64) << np.uint64(address_width)
