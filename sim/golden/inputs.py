"""Inputs: checked, cut into blocks, and turned into spikes where the network says so."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.errors import NetworkError
from quant.ir import Input, Network, lfsr_thresholds

__all__ = ["Feed", "checked"]

Array = NDArray[Any]


def checked(network: Network, inputs: Any) -> Array:
    """Inputs as an array, or an error that names what does not fit."""
    port, values = network.input, np.asarray(inputs)
    events = port.kind == "events"
    shape = f"(samples, steps, {port.size})" if events else f"(samples, {port.size})"
    if values.dtype.kind not in "iub":
        raise NetworkError(f"Inputs must be integers, not {values.dtype}")
    if values.ndim != 2 + events or values.shape[-1] != port.size or values.size == 0:
        raise NetworkError(f"Inputs of kind {port.kind} must be of shape {shape}, not {values.shape}")
    if events and values.shape[1] > network.steps:
        raise NetworkError(f"Inputs must have at most the network's {network.steps} steps, not {values.shape[1]}")
    return values


class Feed:
    """The input of a batch, step by step.

    Parameters
    ----------
    port : Input
    values : array
        Checked in shape and type; the range is checked block by block, as the values are read.
    steps : int
        Time steps of a sample.
    """

    def __init__(self, port: Input, values: Array, steps: int):
        self.port = port
        self.values = values
        self.steps = steps

    def block(self, samples: slice, steps: slice) -> Array:
        """What the connections see, ``(steps, samples, N)``; of kind ``current`` the one step ``(1, samples, N)``."""
        if self.port.kind == "events":
            return self._in_range(self.values[samples, steps]).transpose(1, 0, 2)
        values = self._in_range(self.values[samples])
        if self.port.kind == "current":
            return values[np.newaxis]
        if self.port.kind == "rate":
            return values > self._thresholds()[steps, np.newaxis]
        when = (self.port.high - values.astype(np.int64)) * self.steps // (self.port.high + 1)
        step = np.arange(self.steps)[steps, np.newaxis, np.newaxis]
        spikes: Array = (values > 0) & (when == step)
        return spikes

    def _in_range(self, values: Array) -> Array:
        low = int(values.min()) if values.dtype.kind == "i" else 0
        high = int(values.max())
        if low < self.port.low or high > self.port.high:
            wrong = low if low < self.port.low else high
            raise NetworkError(f"Inputs must be between {self.port.low} and {self.port.high}, not {wrong}")
        return values

    def _thresholds(self) -> Array:
        bits = self.port.high.bit_length()
        return _numbers(self.port.seed, bits, self.steps * self.port.size).reshape(self.steps, -1)


@lru_cache(maxsize=4)
def _numbers(seed: int, bits: int, count: int) -> Array:
    return lfsr_thresholds(seed=seed, bits=bits, count=count)
