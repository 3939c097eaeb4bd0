"""Bias correction: what rounding the weights adds to a mean current is taken off the bias.

Rounding errors of many weights do not cancel when their sources are more often on than off: a neuron's mean current
moves. Population by population, in the order of a step, the bias of each channel is moved by the difference of the
means that the float and the rounded network have on samples, the sources' own errors among it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .graph import INPUT, Synapses
from .model import FloatNetwork, FloatPopulation
from .ops import Operator
from .simulate import run_float, sent_values

__all__ = ["bias_corrected"]

Floats = NDArray[np.float64]


def bias_corrected(
    model: FloatNetwork, rounded: Mapping[str, tuple[Synapses, ...]], inputs: NDArray[Any]
) -> FloatNetwork:
    """The model with other biases, so that with rounded weights its mean currents are what they are with its own.

    Parameters
    ----------
    model : FloatNetwork
    rounded : mapping of str to sequence of Synapses
        For each population whose bias may move, its incoming connections with the weights that rounding leaves, in the
        model's order. Those of kind ``max_pool`` are no sums, and are left out of the account.
    inputs : array of int
        Samples, as for :func:`quant.simulate.run_float`.
    """
    before, corrected = _means(model, inputs), model
    trial = model
    for name in model.order:
        if name not in rounded:
            continue
        fresh = iter(rounded[name])
        trial = replace(
            trial, connections=tuple(next(fresh) if item.target == name else item for item in trial.connections)
        )
        drift = _mean_current(trial, name, _means(trial, inputs)) - _mean_current(model, name, before)
        corrected, trial = (_moved(item, name, -drift) for item in (corrected, trial))
    return corrected


def _means(model: FloatNetwork, inputs: NDArray[Any]) -> Mapping[str, Floats]:
    """Mean value that each neuron, or input, sends in a step, by name, ``(N,)``."""
    steps = inputs.shape[1] if inputs.ndim == 3 else model.steps
    counts = run_float(model, inputs, dtype=np.float32).counts
    means = {name: count.mean(axis=0) / steps for name, count in counts.items()}
    return means | {INPUT: sent_values(model.input, inputs, model.steps).mean(axis=(0, 1))}


def _mean_current(model: FloatNetwork, name: str, means: Mapping[str, Floats]) -> Floats:
    total = np.zeros(model[name].size)
    for item in model.incoming(name):
        if item.kind != "max_pool":
            operator = Operator(item, model.shape_of(item.source), np.float64)
            total += operator(means[item.source][None])[0] * model.lsb_of(item.source)
    return total


def _moved(model: FloatNetwork, name: str, change: Floats) -> FloatNetwork:
    """The model with the biases of a population's channels moved by the mean of their neurons' ``change``."""
    population = model[name]
    change = change.reshape(population.shape[0], -1).mean(axis=1)

    def moved(item: FloatPopulation) -> FloatPopulation:
        bias = np.asarray(item.bias)
        ones = (1,) * (len(item.shape) - 1 if bias.shape != item.shape[:1] else 0)
        return replace(item, bias=bias + change.reshape(-1, *ones))

    return replace(model, populations=tuple(moved(item) if item.name == name else item for item in model.populations))
