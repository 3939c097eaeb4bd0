"""Quantization: a float network becomes the integer network."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .aftermath import without_aftermaths
from .calibrate import as_float, bits_of, measured_ranges, with_scales
from .correction import bias_corrected
from .errors import NetworkError
from .graph import Shape, Synapses
from .ir import Connection, Decay, Input, Network, Population, Readout
from .model import FloatNetwork, FloatPopulation, FloatReadout
from .rails import Rails, measured_rails, proven_rails, railed
from .ranges import Range
from .report import ConnectionReport, PopulationReport, QuantizationReport
from .rounding import (
    Width,
    channel_scale,
    round_amount,
    round_decay,
    round_threshold,
    round_weights,
    stored_bits,
    weight_limits,
)

__all__ = ["quantize"]

_READOUT_BITS = 16
_WIDEST_PROOF = 24
_MOST_DECAY_BITS = 24
_AMOUNTS = ("bias", "initial", "reset_value", "reset_amount")
_COARSE = 0.1
_CLIPPED = 0.05
_CORRECTION = 500

Array = NDArray[Any]


def quantize(
    model: FloatNetwork,
    *,
    weight_bits: Width | Mapping[str, Width] = 4,
    decay_bits: int = 8,
    state_bits: int = 16,
    method: str = "mse",
    correct: bool = False,
    inputs: Array | None = None,
    margin: float = 2.0,
) -> tuple[Network, QuantizationReport]:
    """Round a float network to integers.

    Parameters
    ----------
    model : FloatNetwork
        Scales that it has are used as they are; the other populations are calibrated.
    weight_bits : int, str, or mapping of str to these
        Width of the weights: 2 to 16 bits with the sign, or ``"ternary"``, −1, 0 and 1 in 2 bits; one for all, or by
        population.
    decay_bits : int
        Most fraction bits of a decay, 0 to 24.
    state_bits : int
        Widest membrane, 4 to 31 bits, that is taken because no input can leave it; if the proof needs more, the
        membranes are measured on ``inputs``. Without inputs, proofs of up to 24 bits are taken.
    method : str
        How scales are calibrated; see :func:`quant.calibrate.fitted_scale`. ``active`` needs inputs.
    correct : bool
        Move the biases of calibrated populations by what the rounding of the weights does to their mean currents on
        the first of the inputs; see :mod:`quant.correction`.
    inputs : array of int, optional
        Calibration samples, as for :func:`quant.simulate.run_float`.
    margin : float
        Rails over measured membranes, at least 1; they are then put at the end of a whole number of bits.

    Returns
    -------
    Network, QuantizationReport

    Raises
    ------
    NetworkError
        Naming the population and what cannot be rounded.
    UnsupportedError
        If the integers have no such neuron; see :mod:`quant.aftermath`.
    """
    for value, what, least, most in (
        (decay_bits, "Decay bits", 0, _MOST_DECAY_BITS),
        (state_bits, "State bits", 4, 31),
        (margin, "Margin", 1, 1000),
    ):
        if not least <= value <= most:
            raise NetworkError(f"{what} must be between {least} and {most}, not {value!r}")
    if correct and inputs is None:
        raise NetworkError("Bias correction needs calibration samples")
    model, remarks = without_aftermaths(model, inputs)
    bits = bits_of(model, weight_bits)
    scaled = with_scales(model, weight_bits=bits, method=method, inputs=inputs)
    if correct and inputs is not None:
        model = _corrected(model, scaled, bits, inputs)
        scaled = replace(model, scales=scaled.scales)
    draft = Network(
        name=model.name,
        steps=model.steps,
        input=Input(**{entry.name: getattr(model.input, entry.name) for entry in fields(Input)}),
        populations=tuple(_population(scaled, item, decay_bits) for item in model.populations),
        connections=tuple(_connection(scaled, item, bits[item.target]) for item in model.connections),
        readout=_readout(model.readout),
        metadata=model.metadata,
    )
    rails = _rails(draft, state_bits, inputs, margin)
    network = replace(
        draft,
        populations=tuple(railed(item, rails[item.name].state, rails[item.name].current) for item in draft.populations),
    )
    reports = tuple(
        _warned(_report(model, scaled, network, rails[name], name), remarks.get(name)) for name in network.order
    )
    return network, QuantizationReport(populations=reports)


def _scale(model: FloatNetwork, connection: Synapses) -> NDArray[np.float64]:
    """LSB of the weights of a connection, one or per channel of its target."""
    first, own = (model.lsb_of(item.source) for item in (model.incoming(connection.target)[0], connection))
    scale = np.asarray(model.scales[connection.target], np.float64)
    return scale if first == own else scale * (first / own)


def _unit(model: FloatNetwork, name: str) -> NDArray[np.float64]:
    """What the integer 1 of a membrane is worth, one or per channel, shaped for the population's fields."""
    unit = np.asarray(model.scales[name], np.float64) * model.lsb_of(model.incoming(name)[0].source)
    return _outer(unit, model[name].shape)


def _outer(values: Array, shape: Shape) -> Array:
    """Per-channel values as ``(C, 1, 1)``, so that they meet others of the population's shape."""
    return values.reshape(-1, *(1,) * (len(shape) - 1)) if values.shape == shape[:1] else values


def _least(values: Array) -> Array:
    """One number instead of many that are the same."""
    return values.reshape(-1)[0] if (values == values.flat[0]).all() else values


def _spread(model: FloatNetwork, connection: Synapses) -> tuple[Synapses, NDArray[np.float64]]:
    """A connection with a weight for each of its scales, and what the integer 1 of its weights is worth."""
    target, scale = model[connection.target].shape, _scale(model, connection)
    if connection.weights.ndim == 0 and scale.ndim:
        connection = replace(connection, weights=np.full(target[0], connection.weights))
    return connection, channel_scale(connection, target, scale)


def _connection(model: FloatNetwork, connection: Synapses, bits: Width) -> Connection:
    spread, lsb = _spread(model, connection)
    values = {entry.name: getattr(spread, entry.name) for entry in fields(Synapses)}
    values["weights"] = round_weights(spread.weights, lsb, bits)
    return Connection(weight_bits=stored_bits(bits), **values)


def _corrected(model: FloatNetwork, scaled: FloatNetwork, bits: Mapping[str, Width], inputs: Array) -> FloatNetwork:
    """The model with the biases of its calibrated populations corrected for the rounding of their weights."""

    def rounded(connection: Synapses) -> Synapses:
        spread, lsb = _spread(scaled, connection)
        return replace(spread, weights=round_weights(spread.weights, lsb, bits[connection.target]) * lsb)

    calibrated = {name: tuple(map(rounded, model.incoming(name))) for name in model.order if name not in model.scales}
    return bias_corrected(model, calibrated, inputs[:_CORRECTION])


def _population(model: FloatNetwork, population: FloatPopulation, decay_bits: int) -> Population:
    what, unit = f"Population {population.name}", _unit(model, population.name)
    if model.readout.kind == "membrane" and model.readout.population == population.name and np.unique(unit).size > 1:
        raise NetworkError(f"{what}: scale must be one for all channels, for the readout compares their membranes")

    def amount(name: str) -> Array:
        values = _outer(getattr(population, name), population.shape)
        return _least(round_amount(values, unit, what=f"{what}: {name}"))

    def decay(name: str) -> Decay | None:
        value = getattr(population, name)
        return None if value is None else round_decay(_least(value), decay_bits, what=f"{what}: {name}")

    threshold = population.threshold
    if threshold is not None:
        values = _outer(threshold, population.shape)
        threshold = _least(round_threshold(values, unit, strict=population.strict, what=f"{what}: threshold"))
    initial = amount("initial")
    return Population(
        name=population.name,
        shape=population.shape,
        threshold=threshold,
        reset=population.reset,
        reset_value=amount("reset_value"),
        reset_amount=amount("reset_amount") if population.reset == "subtract" else None,
        decay=decay("decay") or Decay(),
        rectify=population.rectify,
        ternary=population.ternary,
        bias=amount("bias"),
        initial=initial,
        state_min=min(0, int(initial.min())),
        state_max=max(0, int(initial.max())),
        current_decay=decay("current_decay"),
    )


def _readout(readout: FloatReadout) -> Readout:
    """Weights and bias of ``linear`` share one scale: the answer is the same as with what they stand for."""
    common = {"population": readout.population, "kind": readout.kind, "reduce": readout.reduce}
    if readout.weights is None:
        return Readout(**common)
    low, high = weight_limits(_READOUT_BITS)
    largest = float(np.abs(readout.weights).max()) or 1.0
    grid = 2.0 ** (np.floor(np.log2(largest)) - _READOUT_BITS + 2)
    whole = all((values / grid == np.rint(values / grid)).all() for values in (readout.weights, readout.bias))
    scale = grid if whole else largest / high
    weights = np.clip(np.rint(readout.weights / scale), low, high).astype(np.int64)
    bias = round_amount(readout.bias, scale, what="Readout bias")
    common_factor = int(np.gcd.reduce(np.concatenate([weights.reshape(-1), bias]))) or 1
    return Readout(**common, weights=weights // common_factor, bias=bias // common_factor)


def _rails(draft: Network, bits: int, inputs: Array | None, margin: float) -> dict[str, Rails]:
    widest = bits if inputs is not None else max(bits, _WIDEST_PROOF)
    rails = {name: proven_rails(draft, name, bits=widest) for name in draft.order}
    unproven = [name for name, item in rails.items() if item.open]
    if unproven and inputs is None:
        name = unproven[0]
        raise NetworkError(
            f"Population {name}: {' and '.join(rails[name].open)} cannot be proven within {widest} bits; "
            "give calibration samples to measure them on"
        )
    if unproven and inputs is not None:
        measured = measured_ranges(as_float(draft), inputs)
        rails |= {name: measured_rails(rails[name], measured[name], margin=margin) for name in unproven}
    return rails


def _report(model: FloatNetwork, scaled: FloatNetwork, network: Network, rails: Rails, name: str) -> PopulationReport:
    population, exact = network[name], model[name]
    unit = np.broadcast_to(_unit(scaled, name), population.shape).reshape(-1)
    reference, threshold, threshold_error = unit, None, 0.0
    if exact.threshold is not None:
        wanted = exact.per_neuron(exact.threshold)
        reference = np.where(wanted > 0, wanted, unit)
        threshold = int(population.threshold.min()), int(population.threshold.max())
        threshold_error = _error(population.per_neuron(population.threshold) * unit, wanted, reference)
    amounts = [field for field in _AMOUNTS if getattr(exact, field) is not None]
    pairs = [(population.per_neuron(getattr(population, field)), getattr(exact, field)) for field in amounts]
    connections = tuple(
        _connection_report(scaled, float_item, item)
        for float_item, item in zip(model.connections, network.connections, strict=True)
        if item.target == name
    )
    decays = [(population.decay, exact.decay)]
    if population.current_decay is not None:
        decays.append((population.current_decay, exact.current_decay))
    report = PopulationReport(
        name=name,
        scale_origin="trained" if name in model.scales else "calibrated",
        connections=connections,
        threshold=threshold,
        threshold_error=threshold_error,
        amount_error=max(_error(got * unit, exact.per_neuron(wanted), reference) for got, wanted in pairs),
        decay=", ".join(_fraction(decay) for decay, _ in decays),
        decay_error=max(_error(got.numerator / 2.0**got.shift, wanted, 1.0) for got, wanted in decays),
        rails=(population.state_min, population.state_max),
        rails_origin=rails.origin,
        state_width=Range(population.state_min, population.state_max).width,
        warnings=(),
    )
    return replace(report, warnings=tuple(f"Population {name}: {words}" for words in _warnings(report, decays)))


def _warned(report: PopulationReport, words: str | None) -> PopulationReport:
    told = () if words is None else (f"Population {report.name}: {words}",)
    return replace(report, warnings=report.warnings + told)


def _error(got: Any, wanted: Any, reference: Any) -> float:
    return float(np.max(np.abs(np.asarray(got) - wanted) / reference))


def _fraction(decay: Decay) -> str:
    ends = sorted({int(decay.numerator.min()), int(decay.numerator.max())})
    words = " to ".join(map(str, ends))
    return words if decay.shift == 0 else f"{words} / {1 << decay.shift}"


def _connection_report(model: FloatNetwork, exact: Synapses, connection: Connection) -> ConnectionReport:
    scale = channel_scale(connection, model[connection.target].shape, _scale(model, exact))
    wanted = np.broadcast_to(exact.weights, connection.weights.shape).astype(np.float64)
    errors = np.abs(connection.weights * scale - wanted)
    return ConnectionReport(
        label=f"{connection.source} -> {connection.target}",
        bits=connection.weight_bits,
        max_error=float(errors.max() / (np.abs(wanted).max() or 1.0)),
        rms_error=float(np.sqrt((errors**2).mean()) / (np.sqrt((wanted**2).mean()) or 1.0)),
        clipped=float(np.mean(errors > 0.501 * scale)),
        zero=float(np.mean(connection.weights == 0)),
    )


def _warnings(report: PopulationReport, decays: list[tuple[Decay, Array]]) -> list[str]:
    words = []
    for got, wanted in decays:
        kept = got.numerator / 2.0**got.shift
        for value, meaning in ((1.0, "nothing leaks"), (0.0, "nothing is kept")):
            changed = np.broadcast_to(kept == value, wanted.shape) & (wanted != value)
            if changed.any():
                words.append(
                    f"decay {wanted[changed].flat[0]:g} became {value:g}, so that {meaning}; use more decay bits"
                )
    if report.threshold_error > _COARSE:
        words.append(f"a threshold moved by {report.threshold_error:.0%}; use more weight bits")
    for item in report.connections:
        if item.zero == 1:
            words.append(f"all weights of {item.label} are 0")
        if item.clipped > _CLIPPED:
            words.append(f"{item.clipped:.0%} of the weights of {item.label} were clipped")
    return words
