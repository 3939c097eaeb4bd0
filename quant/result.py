"""Result: what running a network, float or integer, on a batch of samples gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Result"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """Answers of B samples, and what led to them. Neurons are flat, in C order.

    Parameters
    ----------
    answers : array of int64, (B,)
        Index of the class.
    scores : array, (B, classes)
        What the answers were chosen by; see :class:`quant.ir.Readout`.
    counts : dict of str to array of integers, (B, N)
        Sum of each neuron's spikes over the sample, by population; a spike of −1 counts −1.
    totals : dict of str to array of int64, (B,)
        Number of spikes of either sign over the sample, by population. Of ``"input"`` the number of nonzero input
        values: over all steps, or once for an input of kind ``current``.
    spikes : dict of str to array of int8, (B, T, N)
        By population; empty unless recorded.
    membranes : dict of str to array, (B, T, N)
        V as stored after each step, by population; empty unless recorded.
    currents : dict of str to array, (B, T, N)
        I as stored after each step, by second-order population; empty unless recorded.
    """

    answers: NDArray[np.int64]
    scores: NDArray[Any]
    counts: Mapping[str, NDArray[Any]]
    totals: Mapping[str, NDArray[np.int64]]
    spikes: Mapping[str, NDArray[np.int8]]
    membranes: Mapping[str, NDArray[Any]]
    currents: Mapping[str, NDArray[Any]]

    def accuracy(self, labels: NDArray[Any]) -> float:
        """Share of the answers that equal ``labels``, 0 to 1."""
        return float(np.mean(self.answers == np.asarray(labels)))
