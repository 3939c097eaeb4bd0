"""Rest: neurons that stay as they are without events."""

import numpy as np
from numpy.typing import NDArray

from quant.ir import Population

__all__ = ["rests"]


def rests(population: Population) -> NDArray[np.bool_]:
    """Whether each neuron, at its initial state and without an event, neither fires nor changes, in C order.

    That is a step of the rule of :mod:`quant.ir` with I' = 0.
    """

    def spread(values: object) -> NDArray[np.int64]:
        return population.per_neuron(values)

    state, decay = spread(population.initial), population.decay
    total = state + spread(population.bias)
    if population.rectify:
        total = np.maximum(total, 0)
    fires = np.zeros_like(state, bool)
    if population.threshold is not None:
        threshold = spread(population.threshold)
        fires = (total >= threshold) | ((total <= -threshold) & population.ternary)
    kept = (total * spread(decay.numerator) + decay.half) >> decay.shift
    return ~fires & (np.clip(kept, population.state_min, population.state_max) == state)
