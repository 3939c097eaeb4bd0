"""Scales to train with: the LSB of each channel's weights, by what its inputs do."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant.calibrate import by_channel, with_scales
from quant.graph import INPUT, Synapses
from quant.model import FloatNetwork
from quant.rounding import weight_limits
from quant.simulate import run_float

__all__ = ["with_active_scales"]

# Of the scale with which the largest weight just fits.
_FRACTIONS = np.linspace(0.15, 1.1, 96)
# Of the median scale: a channel of tiny weights has a high threshold, and would widen the membranes of all.
_SMALLEST = 1 / 16
# Weight of an input that never moved, beside one of mean activity.
_FLOOR = 1e-3

Floats = NDArray[np.float64]


def with_active_scales(model: FloatNetwork, inputs: NDArray[Any], *, weight_bits: int) -> FloatNetwork:
    """The model with a scale for every population: of the smallest mean square error of its currents.

    A weight's error counts by the mean square of its input on the samples, so that the border pixels of an image, which
    are always 0, do not widen the grid of the others. Scales have 7 significant bits: times a weight they are exact in
    half precision.

    Parameters
    ----------
    model : FloatNetwork
    inputs : array of int
        Samples, as for :func:`quant.simulate.run_float`.
    weight_bits : int
    """
    base = with_scales(model, weight_bits=weight_bits)
    activity = _activity(model, inputs)
    scales = {}
    for population in model.populations:
        scale = np.asarray(base.scales[population.name])
        if scale.ndim:
            scale = _fitted(model, population.name, activity, scale, weight_bits)
        scales[population.name] = _short(scale)
    return replace(base, scales=scales)


def _activity(model: FloatNetwork, inputs: NDArray[Any]) -> dict[str, Floats]:
    """Mean square of what each neuron, or input, sends in a step."""
    values = inputs.astype(np.float64) ** 2
    counts = run_float(model, inputs, dtype=np.float32).counts
    steps = inputs.shape[1] if inputs.ndim == 3 else model.steps
    activity = {name: np.abs(count).mean(0) / steps for name, count in counts.items()}
    return activity | {INPUT: values.mean(tuple(range(values.ndim - 1)))}


def _importance(model: FloatNetwork, connection: Synapses, activity: Floats) -> Floats:
    """Activity of the source of each weight, in the shape of the weights."""
    shape = connection.weights.shape
    floor = _FLOOR * activity.mean() + np.finfo(np.float64).tiny
    if connection.kind == "dense" and connection.pool == (1, 1):
        return np.broadcast_to(activity + floor, shape)
    source = model.shape_of(connection.source)
    if connection.kind == "conv2d" and connection.groups == 1:
        channels = activity.reshape(source[0], -1).mean(1)
        return np.broadcast_to((channels + floor).reshape(-1, 1, 1), shape)
    return np.full(shape, activity.mean() + floor)


def _fitted(model: FloatNetwork, name: str, activity: dict[str, Floats], base: Floats, bits: int) -> Floats:
    target, incoming = model[name].shape, model.incoming(name)
    worths = [model.lsb_of(item.source) / model.lsb_of(incoming[0].source) for item in incoming]
    rows = np.hstack([by_channel(item, target) * worth for item, worth in zip(incoming, worths, strict=True)])
    importance = np.hstack(
        [
            by_channel(replace(item, weights=_importance(model, item, activity[item.source])), target)
            for item in incoming
        ]
    )
    low, high = weight_limits(bits)
    largest = np.maximum(rows.max(1) / high, rows.min(1) / low)
    errors = [_error(rows, largest * fraction, importance, low, high) for fraction in _FRACTIONS]
    scale = np.where(largest > 0, largest * _FRACTIONS[np.argmin(errors, axis=0)], base)
    return np.maximum(scale, _SMALLEST * np.median(scale))


def _error(rows: Floats, scale: Floats, importance: Floats, low: int, high: int) -> Floats:
    divisor = np.where(scale > 0, scale, 1)[:, None]
    rounded = np.clip(np.rint(rows / divisor), low, high) * divisor
    error: Floats = ((rows - rounded) ** 2 * importance).sum(1)
    return error


def _short(scale: Floats) -> Floats:
    fraction, exponent = np.frexp(scale)
    return np.ldexp(np.rint(fraction * 128) / 128, exponent)
