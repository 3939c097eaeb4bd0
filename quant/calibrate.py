"""Calibration: the LSB of each channel's weights, and the ranges of the membranes on samples."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .activity import Activity, by_channel, importance_rows, measured_activity
from .errors import NetworkError
from .graph import Synapses
from .ir import Decay, Network
from .model import FloatInput, FloatNetwork, FloatPopulation, FloatReadout
from .ranges import Range
from .rounding import TERNARY, Width, weight_limits
from .simulate import run_float

__all__ = [
    "METHODS",
    "WIDTHS",
    "active_scale",
    "as_float",
    "bits_of",
    "exact_scale",
    "fitted_scale",
    "measured_ranges",
    "population_scale",
    "with_scales",
]

METHODS = ("mse", "max", "percentile", "active")
#: Narrowest and widest weights in bits; besides, there are ternary ones.
WIDTHS = (2, 16)

_FRACTIONS = {"mse": np.linspace(0.2, 1.2, 101), "active": np.linspace(0.15, 1.1, 96)}
_PERCENTILE = 99.9
_GRID_NOISE = 2.0**-20
_WIDEST = 32.0
_DEAD_BITS = 8
_PROBE = 6
_AT_ONCE = 64

Floats = NDArray[np.float64]


def fitted_scale(rows: Floats, bits: Width, method: str = "mse", importance: Floats | None = None) -> Floats:
    """LSB of each row of weights, ``(C,)``; 0 of a row of zeros.

    Parameters
    ----------
    rows : array of float, (C, K)
    bits : int or str
        Width of a weight, with its sign, or ``"ternary"``.
    method : str
        ``max``: the largest weight just fits. ``percentile``: 99.9 % of the weights fit, the others are clipped.
        ``mse``: of 101 LSBs from 0.2 to 1.2 times that of ``max``, the one of the smallest mean square error.
        ``active``: of 96 from 0.15 to 1.1 times, the one of the smallest mean square error of the currents, so that
        weights of inputs that rarely move, such as the border pixels of images, do not widen the grid of the others.
    importance : array of float, (C, K)
        What an error's square counts, of ``active``; default: all the same.
    """
    low, high = weight_limits(bits)
    largest = np.maximum(rows.max(axis=1) / high, rows.min(axis=1) / low)
    if method == "max":
        return largest
    if method == "percentile":
        clipped = np.percentile(np.abs(rows), _PERCENTILE, axis=1) / high
        return np.where(clipped > 0, np.minimum(clipped, largest), largest)
    if method not in METHODS:
        raise NetworkError(f"Calibration method must be one of {', '.join(METHODS)}, not {method!r}")
    weight = 1.0 if importance is None else importance
    errors = [_square_error(rows, largest * fraction, weight, low, high) for fraction in _FRACTIONS[method]]
    return largest * _FRACTIONS[method][np.argmin(errors, axis=0)]


def _square_error(rows: Floats, scale: Floats, weight: Floats | float, low: int, high: int) -> Floats:
    divisor = np.where(scale > 0, scale, 1)[:, None]
    rounded = np.clip(np.rint(rows / divisor), low, high) * divisor
    error: Floats = ((rows - rounded) ** 2 * weight).sum(axis=1)
    return error


def exact_scale(rows: Floats, amounts: Floats, bits: Width, *, fine: bool) -> Floats:
    """LSB of each row of which all its weights are whole multiples that fit, ``(C,)``; 0 where there is none.

    The largest of which the row's ``amounts``, ``(C, K')``, are multiples too. If there is none, or if ``fine``, it is
    halved while the weights fit: that costs membrane bits alone, and what must be rounded is rounded less.
    """
    joint = _largest_grid(rows, np.hstack([rows, amounts]), bits)
    scale = np.where(joint > 0, joint, _largest_grid(rows, rows, bits))
    divisible = fine | (joint == 0)
    for _ in range(_parts(bits).bit_length()):
        scale = np.where(divisible & _fit(rows, scale / 2, bits), scale / 2, scale)
    return scale


def _largest_grid(rows: Floats, values: Floats, bits: Width) -> Floats:
    largest, scale = np.abs(rows).max(axis=1), np.zeros(len(rows))
    # A few weights of each row tell of most LSBs that they are not the row's grid.
    count = min(_PROBE, rows.shape[1])
    probes = np.take_along_axis(rows, np.argpartition(-np.abs(rows), count - 1, axis=1)[:, :count], axis=1)
    for first in range(1, _parts(bits) + 1, _AT_ONCE):
        parts = np.arange(first, min(first + _AT_ONCE, _parts(bits) + 1))
        lsb = largest[:, None] / parts
        likely = _are_multiples(probes[:, None, :], lsb) & (lsb > 0)
        for column in np.flatnonzero(likely.any(axis=0)):
            some = np.flatnonzero(likely[:, column] & (scale == 0))
            chosen = lsb[some, column]
            fits = _fit(rows[some], chosen, bits) & _are_multiples(values[some], chosen)
            scale[some[fits]] = chosen[fits]
    return scale


def _parts(bits: Width) -> int:
    """Largest magnitude of a weight."""
    return -weight_limits(bits)[0]


def _fit(rows: Floats, lsb: Floats, bits: Width) -> NDArray[np.bool_]:
    low, high = weight_limits(bits)
    weights = np.rint(rows / np.where(lsb > 0, lsb, 1)[:, None])
    return (lsb > 0) & (weights.min(axis=1) >= low) & (weights.max(axis=1) <= high)


def _are_multiples(values: Floats, lsb: Floats) -> NDArray[np.bool_]:
    """Whether all ``values``, along the last axis, are whole multiples of the LSB."""
    quotient = values / np.where(lsb > 0, lsb, 1)[..., None]
    tolerance = _GRID_NOISE * np.clip(np.abs(quotient).max(axis=-1), 1, 1e4)
    return np.asarray(np.abs(quotient - np.rint(quotient)).max(axis=-1) <= tolerance)


def bits_of(model: FloatNetwork, weight_bits: Width | Mapping[str, Width]) -> dict[str, Width]:
    """Width of the weights into each population, 2 to 16 or ``"ternary"``, out of one or one per population."""
    names = [population.name for population in model.populations]
    given = dict(weight_bits) if isinstance(weight_bits, Mapping) else dict.fromkeys(names, weight_bits)
    for name in [*given, *names]:
        if name not in names or name not in given:
            raise NetworkError(f"Weight bits must be given for {', '.join(names)}, not for {', '.join(given)}")
    return {name: _width(name, given[name]) for name in names}


def _width(name: str, width: object) -> Width:
    least, most = WIDTHS
    if width == TERNARY:
        return TERNARY
    if isinstance(width, bool) or not isinstance(width, (int, np.integer)) or not least <= width <= most:
        raise NetworkError(f"Population {name}: weights must be of {least} to {most} bits, or ternary, not {width!r}")
    return int(width)


def with_scales(
    model: FloatNetwork,
    *,
    weight_bits: Width | Mapping[str, Width] = 4,
    method: str = "mse",
    inputs: NDArray[Any] | None = None,
) -> FloatNetwork:
    """The model with a scale for every population; those it has are kept.

    Parameters
    ----------
    model : FloatNetwork
    weight_bits, method
        As of :func:`quant.quantize.quantize`.
    inputs : array of int
        Calibration samples, of method ``active``.
    """
    bits = bits_of(model, weight_bits)
    activity = None
    if method == "active":
        if inputs is None:
            raise NetworkError("Calibration method active needs calibration samples; give them, or use mse")
        activity = measured_activity(model, inputs)
    scales = {
        name: population_scale(model, name, width, method, activity)
        for name, width in bits.items()
        if name not in model.scales
    }
    return replace(model, scales={**scales, **model.scales})


def active_scale(model: FloatNetwork, name: str, bits: Width, activity: Activity) -> Floats:
    """LSB of each channel by method ``active``; 0 where all weights are 0."""
    return fitted_scale(_rows(model, name), bits, "active", importance_rows(model, name, activity))


def _rows(model: FloatNetwork, name: str) -> Floats:
    """Weights into a population by channel, in the worth of an event of its first connection."""
    incoming = model.incoming(name)
    worth = model.lsb_of(incoming[0].source)
    return np.hstack([by_channel(item, model[name].shape) * (model.lsb_of(item.source) / worth) for item in incoming])


def population_scale(
    model: FloatNetwork, name: str, bits: Width, method: str = "mse", activity: Activity | None = None
) -> Floats:
    """LSB of the weights of a population's first connection, one or per channel; others as in ``model.scales``.

    Weights on a grid that fits are kept exactly. A population read by its membranes gets one scale, for its channels
    are compared. A channel whose weights are all 0 gets a scale for its bias and resets, or the largest of the others.
    """
    population = model[name]
    worth = model.lsb_of(model.incoming(name)[0].source)
    rows = _rows(model, name)
    importance = None if activity is None else importance_rows(model, name, activity)
    amounts = _amounts(population) / worth
    threshold = (
        None if population.threshold is None else _channels(population, population.threshold).min(axis=1) / worth
    )
    if name == model.readout.population and model.readout.kind == "membrane":
        rows, amounts = rows.reshape(1, -1), amounts.reshape(1, -1)
        importance = None if importance is None else importance.reshape(1, -1)
    dead = ~rows.any(axis=1)
    exact = exact_scale(rows, amounts, bits, fine=_leaks(population))
    fitted = fitted_scale(rows, bits, method, importance)
    if dead.any():
        exact = np.where(dead, exact_scale(amounts, amounts, _DEAD_BITS, fine=_leaks(population)), exact)
        fitted = np.where(dead, fitted_scale(amounts, _DEAD_BITS), fitted)
    scale = np.where(exact > 0, exact, _narrowed(fitted, threshold))
    largest = scale.max() or (1.0 if threshold is None else float(threshold.max())) or 1.0
    scale = np.where(scale > 0, scale, largest)
    return scale.reshape(()) if len(scale) == 1 else scale


def _channels(population: FloatPopulation, values: Any) -> Floats:
    return population.per_neuron(values).reshape(population.shape[0], -1)


def _amounts(population: FloatPopulation) -> Floats:
    """What is rounded to the unit besides weights and threshold, ``(C, K)``."""
    names = ("bias", "initial", "reset_value", "reset_amount")
    values = [value for name in names if (value := getattr(population, name)) is not None]
    return np.hstack([_channels(population, value) for value in values])


def _leaks(population: FloatPopulation) -> bool:
    decays = [population.decay] if population.current_decay is None else [population.decay, population.current_decay]
    return any(not np.isin(decay, (0.0, 1.0)).all() for decay in decays)


def _narrowed(scale: Floats, threshold: Floats | None) -> Floats:
    """Scales, none so small that its channel's threshold is 32 times the median's: it would widen all membranes."""
    used = scale > 0
    if threshold is None or not used.any() or not (threshold > 0).all() or len(scale) == 1:
        return scale
    most = _WIDEST * np.median(threshold[used] / scale[used])
    return np.where(used, np.maximum(scale, threshold / most), scale)


def as_float(network: Network) -> FloatNetwork:
    """The integer network as a float network in units of its LSBs: without rails and without rounding of decays."""

    def decay(value: Decay | None) -> Any:
        return None if value is None else value.numerator / 2.0**value.shift

    names = (
        "name",
        "shape",
        "threshold",
        "reset",
        "reset_value",
        "reset_amount",
        "rectify",
        "ternary",
        "bias",
        "initial",
    )
    source, readout = network.input, network.readout
    return FloatNetwork(
        name=network.name,
        steps=network.steps,
        input=FloatInput(shape=source.shape, kind=source.kind, low=source.low, high=source.high, seed=source.seed),
        populations=tuple(
            FloatPopulation(
                **{name: getattr(item, name) for name in names},
                decay=decay(item.decay),
                current_decay=decay(item.current_decay),
            )
            for item in network.populations
        ),
        connections=tuple(
            Synapses(**{entry.name: getattr(item, entry.name) for entry in fields(Synapses)})
            for item in network.connections
        ),
        readout=FloatReadout(
            population=readout.population,
            kind=readout.kind,
            weights=readout.weights,
            bias=readout.bias,
            reduce=readout.reduce,
        ),
        metadata=network.metadata,
    )


def measured_ranges(model: FloatNetwork, inputs: NDArray[Any]) -> Mapping[str, tuple[Range, Range]]:
    """Ranges of the stored membranes and of the stored currents of each population on samples, rounded outward."""
    ranges = {name: (Range(0, 0), Range(0, 0)) for name in model.order}

    def watch(name: str, membranes: NDArray[Any], currents: NDArray[Any] | None) -> None:
        state, current = ranges[name]
        ranges[name] = state | _range(membranes), current if currents is None else current | _range(currents)

    run_float(model, inputs, watch=watch)
    return ranges


def _range(values: NDArray[Any]) -> Range:
    return Range(int(np.floor(values.min(initial=0))), int(np.ceil(values.max(initial=0))))
