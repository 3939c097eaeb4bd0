"""Activity: what the sources of a network's connections send on samples, which tells which weights matter."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .graph import INPUT, Shape, Synapses
from .model import FloatNetwork
from .simulate import run_float, sent_values

__all__ = ["Activity", "by_channel", "importance_rows", "measured_activity"]

# Weight of an input that never moved, beside one of mean activity.
_FLOOR = 1e-3

Floats = NDArray[np.float64]
Activity = Mapping[str, Floats]


def by_channel(connection: Synapses, target: Shape) -> Floats:
    """Weights of a connection as ``(C, weights of the channel)``, C the channels of the target."""
    weights = np.asarray(connection.weights, np.float64)
    if connection.kind == "conv_transpose2d":
        inputs, outputs, *kernel = weights.shape
        grouped = weights.reshape(connection.groups, inputs // connection.groups, outputs, *kernel)
        weights = grouped.swapaxes(1, 2)
    if weights.ndim == 0:
        weights = np.full(target[0], weights)
    return weights.reshape(target[0], -1)


def measured_activity(model: FloatNetwork, inputs: NDArray[Any]) -> Activity:
    """Mean square of what each neuron, or input, sends in a step, by name, ``(N,)``."""
    values = sent_values(model.input, inputs, model.steps).astype(np.float64) ** 2
    counts = run_float(model, inputs, dtype=np.float32).counts
    steps = inputs.shape[1] if inputs.ndim == 3 else model.steps
    activity = {name: np.abs(count).mean(0) / steps for name, count in counts.items()}
    return activity | {INPUT: values.mean(axis=(0, 1))}


def importance_rows(model: FloatNetwork, name: str, activity: Activity) -> Floats:
    """What the square of an error of each weight into a population counts: ``(C, weights of the channel)``.

    It is the activity of the weight's source, and a little even if that never moved.
    """
    rows = [
        by_channel(replace(item, weights=_importance(model, item, activity[item.source])), model[name].shape)
        for item in model.incoming(name)
    ]
    return np.hstack(rows)


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
