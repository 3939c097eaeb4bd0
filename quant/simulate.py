"""The float network on a batch of samples: the rule of :mod:`quant.model` in numpy."""

from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .errors import NetworkError
from .graph import INPUT
from .ir import Input, lfsr_thresholds
from .model import FloatNetwork, FloatPopulation
from .ops import Operator
from .result import Result

__all__ = ["Watcher", "run_float", "sent_values"]

Array = NDArray[Any]
Watcher = Callable[[str, Array, Array | None], None]

_BATCH = 512
_RECORDS = ("spikes", "membranes", "currents")


def run_float(
    model: FloatNetwork,
    inputs: Array,
    *,
    record: Collection[str] = (),
    dtype: DTypeLike = np.float64,
    watch: Watcher | None = None,
) -> Result:
    """Run a float network.

    With dyadic parameters float64 is exact, so that spikes compare with those of an integer network.

    Parameters
    ----------
    model : FloatNetwork
    inputs : array of int, (B, T, N) or (B, N)
        Integers in the input's range: per step of kind ``events``, T at most ``model.steps``, and per sample of the
        others.
    record : collection of str
        What to keep of every step: ``"spikes"``, ``"membranes"``, ``"currents"``.
    dtype : dtype
        float64 or float32.
    watch : callable, optional
        Called after each step of each population with its name, its stored membranes V and the stored
        currents I of second-order neurons (else None), both ``(b, N)`` of some of the samples.

    Raises
    ------
    NetworkError
        If the inputs do not fit the network.
    """
    for name in record:
        if name not in _RECORDS:
            raise NetworkError(f"Record must be of {', '.join(_RECORDS)}, not {name!r}")
    values = _checked(model.input, model.steps, np.asarray(inputs))
    runs = [
        _Run(model, values[start : start + _BATCH], record, np.dtype(dtype), watch).result()
        for start in range(0, len(values), _BATCH)
    ]
    return _joined(runs)


def _checked(expected: Input, steps: int, inputs: Array) -> Array:
    events = expected.kind == "events"
    shape = f"(samples, steps, {expected.size})" if events else f"(samples, {expected.size})"
    if inputs.dtype.kind not in "iub":
        raise NetworkError(f"Inputs must be integers, not {inputs.dtype}")
    if inputs.ndim != 2 + events or inputs.shape[-1] != expected.size or not inputs.size:
        raise NetworkError(f"Inputs of kind {expected.kind} must be of shape {shape}, not {inputs.shape}")
    if events and inputs.shape[1] > steps:
        raise NetworkError(f"Inputs must have at most the network's {steps} steps, not {inputs.shape[1]}")
    if inputs.min() < expected.low or inputs.max() > expected.high:
        raise NetworkError(
            f"Inputs must be between {expected.low} and {expected.high}, not {inputs.min()} to {inputs.max()}"
        )
    return inputs


def _joined(runs: list[Result]) -> Result:
    first, *others = runs
    if not others:
        return first

    def mapping(field: str) -> dict[str, Array]:
        return {key: np.concatenate([getattr(run, field)[key] for run in runs]) for key in getattr(first, field)}

    return Result(
        answers=np.concatenate([run.answers for run in runs]),
        scores=np.concatenate([run.scores for run in runs]),
        **{field: mapping(field) for field in ("counts", "totals", *_RECORDS)},
    )


@lru_cache(maxsize=4)
def _rate_thresholds(seed: int, bits: int, steps: int, pixels: int) -> Array:
    return lfsr_thresholds(seed=seed, bits=bits, count=steps * pixels).reshape(steps, pixels)


def sent_values(port: Input, inputs: Array, steps: int) -> Array:
    """What an input sends in every step, ``(B, T, N)``; of kind ``current``, the one step ``(B, 1, N)``."""
    if port.kind == "current":
        return inputs[:, None]
    return np.stack([_coded(port, inputs, step, steps) for step in range(steps)], 1) if port.coded else inputs


def _coded(port: Input, inputs: Array, step: int, steps: int) -> Array:
    """Spikes, int8, that an input of kind ``rate`` or ``latency`` makes of ``inputs`` (B, N) in one of its steps."""
    if port.kind == "rate":
        numbers = _rate_thresholds(port.seed, port.high.bit_length(), steps, port.size)
        return (inputs > numbers[step]).astype(np.int8)
    when = (port.high - inputs.astype(np.int64)) * steps // (port.high + 1)
    return ((inputs > 0) & (when == step)).astype(np.int8)


class _Neurons:
    """State of one population of ``batch`` samples."""

    def __init__(self, population: FloatPopulation, batch: int, dtype: np.dtype[Any]):
        def spread(values: Any) -> Array:
            return population.per_neuron(values).astype(dtype)

        self.population = population
        self.numbers = {
            name: spread(value)
            for name in ("threshold", "reset_value", "reset_amount", "decay", "bias", "current_decay")
            if (value := getattr(population, name)) is not None
        }
        self.membranes = np.tile(spread(population.initial), (batch, 1))
        self.currents = np.zeros_like(self.membranes)
        self.latched = np.zeros(self.membranes.shape, bool)
        self.marked = np.zeros(self.membranes.shape, bool)
        self.total = np.zeros_like(self.membranes)

    def step(self, drive: Array) -> Array:
        """Spikes of one step, int8, that ``drive`` arrives in; H is left in :attr:`total`."""
        if "current_decay" in self.numbers:
            drive = self.currents + drive
            self.currents = drive * self.numbers["current_decay"]
        total = self.membranes + self.numbers["bias"] + drive
        if self.population.aftermath == "mute":
            total = np.where(self.marked, 0, total)
        self.total = np.maximum(total, 0) if self.population.rectify else total
        spikes = self._spikes()
        kept = self._kept(spikes)
        if self.population.aftermath != "none":
            self.marked = spikes != 0 if self.population.aftermath == "mute" else self._reaches(kept, 1)
        self.membranes = kept * self.numbers["decay"]
        return spikes

    def _reaches(self, values: Array, times: Any) -> Array:
        """Where ``values`` fire at so many times the threshold."""
        compare = np.greater if self.population.strict else np.greater_equal
        result: Array = compare(values, self.numbers["threshold"] * times)
        return result

    def _spikes(self) -> Array:
        if self.population.threshold is None:
            return np.zeros(self.total.shape, np.int8)
        times = 1 + self.marked if self.population.aftermath == "raise" else 1
        spikes = self._reaches(self.total, times).astype(np.int8)
        if self.population.ternary:
            spikes -= self._reaches(-self.total, 1)
        if self.population.reset == "latch":
            spikes[self.latched] = 0
            self.latched |= spikes != 0
        return spikes

    def _kept(self, spikes: Array) -> Array:
        reset = self.population.reset
        if reset == "zero":
            return np.where(spikes != 0, self.numbers["reset_value"], self.total)
        if reset == "subtract":
            return self.total - spikes * self.numbers["reset_amount"]
        return np.where(self.latched, 0, self.total) if reset == "latch" else self.total


class _Run:
    """One batch of samples through a network."""

    def __init__(
        self,
        model: FloatNetwork,
        inputs: Array,
        record: Collection[str],
        dtype: np.dtype[Any],
        watch: Watcher | None,
    ):
        self.model, self.inputs, self.dtype, self.watch = model, inputs, dtype, watch
        self.constants: dict[tuple[str, int], Array] = {}
        self.constant = model.input.kind == "current"
        self.steps = inputs.shape[1] if model.input.kind == "events" else model.steps
        self.neurons = {item.name: _Neurons(item, len(inputs), dtype) for item in model.populations}
        self.operators = {
            name: [(item, Operator(item, model.shape_of(item.source), dtype)) for item in model.incoming(name)]
            for name in model.order
        }
        shape = {name: (len(inputs), item.population.size) for name, item in self.neurons.items()}
        self.counts = {name: np.zeros(size, np.int64) for name, size in shape.items()}
        self.totals = {name: np.zeros(len(inputs), np.int64) for name in (INPUT, *shape)}
        kept = {
            "spikes": list(shape),
            "membranes": list(shape),
            "currents": [item.name for item in model.populations if item.current_decay is not None],
        }
        self.records: dict[str, dict[str, Array]] = {
            key: {
                name: np.zeros((len(inputs), self.steps, shape[name][1]), np.int8 if key == "spikes" else dtype)
                for name in (kept[key] if key in record else ())
            }
            for key in _RECORDS
        }
        readout = self.neurons[model.readout.population]
        self.first = np.full(shape[readout.population.name], model.steps, np.int64)
        self.reduced = np.zeros_like(readout.membranes)

    def result(self) -> Result:
        before = {name: np.zeros(values.shape, np.int8) for name, values in self.counts.items()}
        before[INPUT] = np.zeros((len(self.inputs), self.model.input.size), self.inputs.dtype)
        for step in range(self.steps):
            now: dict[str, Array] = {INPUT: self._input(step)}
            if step == 0 or not self.constant:
                self.totals[INPUT] += np.count_nonzero(now[INPUT], axis=1)
            for name in self.model.order:
                now[name] = self.neurons[name].step(self._drive(name, step, now, before))
                self._note(name, step, now[name])
            self._read(step, now[self.model.readout.population])
            before = now
        scores = self._scores()
        smallest = self.model.readout.kind == "first_spike"
        answers = (np.argmin if smallest else np.argmax)(scores, axis=1)
        return Result(answers=answers, scores=scores, counts=self.counts, totals=self.totals, **self.records)

    def _input(self, step: int) -> Array:
        if self.model.input.kind == "events":
            return self.inputs[:, step]
        return self.inputs if self.constant else _coded(self.model.input, self.inputs, step, self.steps)

    def _drive(self, name: str, step: int, now: dict[str, Array], before: dict[str, Array]) -> Array:
        drive = np.zeros_like(self.neurons[name].membranes)
        for index, (connection, operator) in enumerate(self.operators[name]):
            lsb = self.dtype.type(self.model.lsb_of(connection.source))
            if connection.source != INPUT or not self.constant:
                drive += operator((before if connection.delay else now)[connection.source]) * lsb
                continue
            if step == 0:
                self.constants[name, index] = operator(now[INPUT]) * lsb
            drive += self.constants[name, index]
        return drive

    def _note(self, name: str, step: int, spikes: Array) -> None:
        neurons = self.neurons[name]
        self.counts[name] += spikes
        self.totals[name] += np.count_nonzero(spikes, axis=1)
        values = {"spikes": spikes, "membranes": neurons.membranes, "currents": neurons.currents}
        for key, recorded in self.records.items():
            if name in recorded:
                recorded[name][:, step] = values[key]
        if self.watch is not None:
            second = neurons.population.current_decay is not None
            self.watch(name, neurons.membranes, neurons.currents if second else None)

    def _read(self, step: int, spikes: Array) -> None:
        self.first[(spikes != 0) & (self.first == self.model.steps)] = step
        total, reduce = self.neurons[self.model.readout.population].total, self.model.readout.reduce
        if reduce == "sum":
            self.reduced = self.reduced + total
        elif reduce == "last" or step == 0:
            self.reduced = total
        else:
            self.reduced = np.maximum(self.reduced, total)

    def _scores(self) -> Array:
        readout = self.model.readout
        if readout.kind == "membrane":
            return self.reduced
        if readout.kind == "linear":
            return self.counts[readout.population] @ readout.weights.T + readout.bias
        if readout.kind == "first_spike":
            earliest = self.first.min(axis=1, keepdims=True)
            return np.where(self.first == earliest, self.first, self.model.steps)
        return self.counts[readout.population]
