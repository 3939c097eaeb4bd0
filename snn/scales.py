"""Scales to train with: the LSB of each channel's weights, by what its inputs do."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.activity import Activity, measured_activity
from quant.calibrate import active_scale, with_scales
from quant.model import FloatNetwork

__all__ = ["with_active_scales"]

# Of the median scale: a channel of tiny weights has a high threshold, and would widen the membranes of all.
_SMALLEST = 1 / 16

Floats = NDArray[np.float64]


def with_active_scales(model: FloatNetwork, inputs: NDArray[Any], *, weight_bits: int) -> FloatNetwork:
    """The model with a scale for every population: of the smallest mean square error of its currents.

    Calibration of method ``active`` (:func:`quant.calibrate.fitted_scale`), but for scales that suit training: no
    grid that the weights are on is looked for, and scales have 7 significant bits, so that times a weight they are
    exact in half precision.

    Parameters
    ----------
    model : FloatNetwork
    inputs : array of int
        Samples, as for :func:`quant.simulate.run_float`.
    weight_bits : int
    """
    base = with_scales(model, weight_bits=weight_bits)
    activity = measured_activity(model, inputs)
    scales = {}
    for population in model.populations:
        scale = np.asarray(base.scales[population.name])
        if scale.ndim:
            scale = _fitted(model, population.name, activity, scale, weight_bits)
        scales[population.name] = _short(scale)
    return replace(base, scales=scales)


def _fitted(model: FloatNetwork, name: str, activity: Activity, base: Floats, bits: int) -> Floats:
    fitted = active_scale(model, name, bits, activity)
    scale = np.where(fitted > 0, fitted, base)
    return np.maximum(scale, _SMALLEST * np.median(scale))


def _short(scale: Floats) -> Floats:
    fraction, exponent = np.frexp(scale)
    return np.ldexp(np.rint(fraction * 128) / 128, exponent)
