"""A torch module of snnTorch or SpikingJelly as a float network of the same spikes."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from torch import nn

from quant.assembly import Assembly
from quant.errors import NetworkError, UnsupportedError
from quant.fold import Fold, spread
from quant.graph import INPUT, Shape
from quant.model import FloatInput, FloatNetwork, FloatReadout
from quant.ops import apply

from .options import ImportOptions, maps_of
from .torch_check import check_spikes
from .torch_graph import STATIC, Trace, trace_module
from .torch_values import TIME, Opaque, Record, Term, Value

__all__ = ["import_module"]

_STEPS = 25
_NUMBERS = ("threshold", "reset_value", "reset_amount", "decay", "bias", "initial", "current_decay")
_BECOMES = {
    "Linear": "weights of the next connection",
    "Conv1d": "weights of the next connection",
    "Conv2d": "weights of the next connection",
    "ConvTranspose2d": "weights of the next connection",
    "BatchNorm1d": "folded into weights and bias",
    "BatchNorm2d": "folded into weights and bias",
    "AvgPool1d": "pooling of addresses, or part of the kernel",
    "AvgPool2d": "pooling of addresses, or part of the kernel",
    "MaxPool1d": "whether any spikes in a window",
    "MaxPool2d": "whether any spikes in a window",
    "Dropout": "nothing, in use",
    "Dropout2d": "nothing, in use",
    "Flatten": "nothing, the order stays",
    "Identity": "nothing",
}


def import_module(module: nn.Module, options: ImportOptions | None = None) -> FloatNetwork:
    """Float network that spikes as ``module`` does in evaluation, at every neuron in every step.

    Parameters
    ----------
    module : Module
        Of layers of torch and neurons of snnTorch 1.0 or SpikingJelly 2.0. It takes one step a call and keeps its
        state, or all steps at once, or one input that it shows itself in every step. It is left as it was.
    options : ImportOptions, optional
        What the module does not say. What is not given either is assumed, and told in ``metadata["assumptions"]``.

    The network is run on a random input beside the module, and refused if a neuron spikes otherwise.

    Raises
    ------
    UnsupportedError
        Naming the layer that cannot be kept, and the way out.
    NetworkError
        If numbers or shapes contradict each other.
    """
    options = options or ImportOptions()
    shape = options.input_shape or _first_shape(module)
    trace = trace_module(module, shape, steps=options.steps or _STEPS)
    builder = _Builder(module, trace, shape, options)
    model = builder.network()
    check_spikes(model, trace, builder.names)
    return model


def _first_shape(module: nn.Module) -> Shape:
    for part in module.modules():
        if isinstance(part, nn.Linear):
            return (part.in_features,)
        if isinstance(part, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            break
    raise NetworkError(
        f"Module {type(module).__name__} does not say how large its input is; "
        "give the shape of one step of one sample, --input-shape 1,28,28"
    )


class _Builder:
    """Records of a trace become populations."""

    def __init__(self, module: nn.Module, trace: Trace, shape: Shape, options: ImportOptions) -> None:
        self.module, self.trace, self.options = module, trace, options
        self.assembly = Assembly()
        self.canonical = {record: _steady(record, trace) for record in trace.records}
        self.names = {record: self.assembly.reserve(record.name) for record in trace.records}
        self.input = self._input(maps_of(shape))
        self.steps = self._steps()
        self.shapes: dict[Record, Shape] = {}
        self.folds: dict[Record, list[tuple[Fold, int]]] = {}

    def network(self) -> FloatNetwork:
        for record in self.trace.records:
            now = self._sum([(term, delay) for term, delay in self.canonical[record] if not delay], record)
            self.folds[record] = now
            maps = [fold.target_shape for fold, _ in now if not fold.any_shape]
            flat = maps_of(record.shape)
            self.shapes[record] = maps[0] if maps and prod(maps[0]) == prod(flat) else flat
        readout = self._readout_of()
        records = {(record.name, record.kind): record for record in reversed(self.trace.records)}
        told: set[Record] = set()
        for name, kind in self.trace.layers:
            found = records.get((name, kind))
            if found is None:
                self.assembly.note(name, kind, _BECOMES.get(kind, "folded into the connections"))
            for item in self.trace.records:
                if found is not None and item.neuron.module is found.neuron.module and item not in told:
                    told.add(item)
                    self._population(item, readout)
        return self.assembly.network(
            name=self.options.name or "imported",
            steps=self.steps,
            input=self.input,
            readout=self._readout(readout),
            metadata={"source": type(self.module).__name__},
        )

    # Input and steps

    def _input(self, shape: Shape) -> FloatInput:
        ways = [term.way for terms in self.canonical.values() for term, _ in terms if term.external]
        if (
            len(shape) == 1
            and ways
            and all(way and way[0].label == "reshape" and len(way[0].shape) == 3 for way in ways)
        ):
            # A flat input that becomes maps at once is maps: the order of its values is the same.
            shape = ways[0][0].shape
        direct = self.trace.style == STATIC
        kind = self.options.input_kind or ("current" if direct else "events")
        if direct and kind != "current":
            raise NetworkError(
                f"Option --input-kind must be current, not {kind}: the module shows one input in all its steps"
            )
        if self.options.input_kind is None and not direct:
            self.assembly.assume("input", "values of 0 or 1 in every step; else say --input-kind")
        pixels = kind != "events"
        high = self.options.input_high or (255 if pixels else 1)
        if pixels and kind == "current" and self.options.input_lsb is None:
            self.assembly.assume(
                "input", f"integers of 0 to {high} stand for 0 to 1; else say --input-high and --input-lsb"
            )
        lsb = 1 / high if kind == "current" else 1.0
        return self.options.input(shape, kind=kind, high=high, lsb=lsb)

    def _steps(self) -> int:
        given = self.options.steps
        if self.trace.style == STATIC:
            if given is not None and given != self.trace.steps:
                raise NetworkError(f"Option --steps must be {self.trace.steps}, as the module has it, not {given}")
            return self.trace.steps
        if given is None:
            self.assembly.assume("steps", f"{_STEPS} time steps; else say --steps")
        return given or _STEPS

    # Connections

    def _sum(self, pairs: Sequence[tuple[Term, int]], record: Record) -> list[tuple[Fold, int]]:
        """Terms as folds; each bias is brought by one of the terms that pass it, constants by the first fold."""
        brings: dict[int, Term] = {}
        for term, _ in self.canonical[record]:
            for step in term.way:
                brings.setdefault(id(step), term)
        folds = [(self._fold(term, brings), delay) for term, delay in pairs if not term.constant]
        for term, _ in pairs:
            if term.constant and folds:
                bias = self._fold(term, brings)
                added = spread(bias.connection("x")[1], bias.target_shape)
                first = folds[0][0]
                first.scale(1.0, added.reshape(first.shape), what="Constant")
        return folds

    def _fold(self, term: Term, brings: dict[int, Term]) -> Fold:
        """A term as a fold, with the biases that it brings."""
        if term.constant:
            fold = Fold(INPUT, maps_of(np.shape(term.source)) or (1,))
            fold.scale(0.0, np.reshape(term.source, fold.shape), what="Constant")
        elif term.external:
            fold = Fold(INPUT, self.input.shape)
        else:
            shape = self.shapes[term.source]
            fold = Fold(self.names[term.source], shape)
            traced = maps_of(term.source.shape)
            if traced != shape:
                fold.reshape(traced, what=f"Layer {term.source.name}")
        for step in term.way:
            if term.external and step.label == "reshape" and fold.shape == maps_of(step.shape):
                continue
            step.grow(fold, brings[id(step)] is term)
            if step.shape and fold.shape != maps_of(step.shape):
                raise UnsupportedError(
                    f"{step.label} makes {step.shape} of its input, where {fold.shape} was expected: "
                    "it rounds sizes up, or spreads values; use one that does not"
                )
        return fold

    def _population(self, record: Record, readout: "Record | Value | None") -> None:
        neuron, name, shape = record.neuron, self.names[record], self.shapes[record]
        what = f"Layer {record.name} ({record.kind})"
        late = self._sum([(term, delay) for term, delay in self.canonical[record] if delay], record)
        folds = [*self.folds[record], *late]
        for grow in neuron.loops:
            loop = Fold(name, shape)
            traced = maps_of(record.shape)
            if traced != shape:
                loop.reshape(traced, what=what)
            grow(loop, loop.shape)
            folds.append((loop, 1))
        fields = {
            key: self._spread(value, record) if key in _NUMBERS else value for key, value in neuron.fields.items()
        }
        if self.options.readout == "membrane" and record is readout and fields["threshold"] is not None:
            if fields["reset"] != "none":
                raise UnsupportedError(
                    f"{what} resets its membrane when it fires, so that it cannot be read; "
                    "train it without a reset, or read its spikes with --readout count"
                )
            fields = {key: value for key, value in fields.items() if key not in ("aftermath", "strict")}
            fields["threshold"] = None
        self.assembly.population(
            name, layer=record.name, kind=record.kind, folds=folds, gain=neuron.gain, shape=shape, **fields
        )

    def _spread(self, value: Any, record: Record) -> Any:
        """A number for every neuron, spread as torch does: over the last axes."""
        if value is None or np.ndim(value) == 0:
            return value
        array = np.asarray(value)
        while array.ndim > len(record.shape) and array.shape[0] == 1:
            array = array[0]
        try:
            return np.broadcast_to(array, record.shape).reshape(self.shapes[record])
        except ValueError:
            raise NetworkError(
                f"Layer {record.name} ({record.kind}) has numbers of shape {array.shape} for neurons of {record.shape}"
            ) from None

    # Readout

    def _readout_of(self) -> "Record | Value | None":
        """What is read: a layer of neurons, or what is made of spikes."""
        found = next((value for value in self.trace.outputs if isinstance(value, Value)), None)
        last = self.trace.records[-1]
        if found is None:
            opaque = next((value for value in self.trace.outputs if isinstance(value, Opaque)), None)
            why = f", for {opaque.reason[0].lower()}{opaque.reason[1:]}" if opaque is not None else ""
            self.assembly.assume("output", f"the spikes of layer {last.name} are read{why}")
            return last
        sources = [term.source for term in found.terms if not term.constant]
        plain = all(step.label in ("reshape", "sum", "factor of spikes") for term in found.terms for step in term.way)
        if plain and len(set(map(id, sources))) == 1 and isinstance(sources[0], Record):
            record: Record = sources[0]
            return record
        return found

    def _readout(self, read: "Record | Value | None") -> FloatReadout:
        kind = self.options.readout
        if isinstance(read, Record):
            silent = read.neuron.fields["threshold"] is None or kind == "membrane"
            if silent:
                reduce = self.options.reduce or read.neuron.reduce
                return FloatReadout(population=self.names[read], kind="membrane", reduce=reduce)
            if kind is None:
                self.assembly.assume("output", f"the class is the neuron of layer {read.name} that spikes most often")
            return FloatReadout(population=self.names[read], kind=kind or "count")
        assert isinstance(read, Value)
        return self._linear_readout(read)

    def _linear_readout(self, value: Value) -> FloatReadout:
        """The module ends with layers without neurons."""
        if not value.reduced and len({id(term.source) for term in value.terms}) == len(value.terms):
            self.assembly.assume("output", "what the module gives is summed over the steps")
        kind = self.options.readout
        if kind == "first_spike":
            raise UnsupportedError(
                "Module ends with a layer that sends no spikes; --readout must be membrane, not first_spike"
            )
        seen: dict[Any, Term] = {}
        for term in value.terms:
            seen.setdefault((id(term.source), len(term.way)), term)
        terms = list(seen.values())
        brings = {id(step): term for term in reversed(terms) for step in term.way}
        folds = [self._fold(term, brings) for term in terms]
        sources = {fold.source for fold in folds}
        if kind is None and len(folds) == 1 and sources != {INPUT} and folds[0].relay is None:
            return self._counted(folds[0], terms[0], value)
        if value.reduced:
            raise UnsupportedError("Module sums over the steps before its last layers; end it with neurons")
        name = self.assembly.population(
            "output",
            layer="output",
            kind="sum",
            folds=[(fold, 0) for fold in folds],
            threshold=None,
            reset="none",
            decay=0.0,
        )
        return FloatReadout(population=name, kind="membrane", reduce=self.options.reduce or "sum")

    def _counted(self, fold: Fold, term: Term, value: Value) -> FloatReadout:
        """Weights on the counts of spikes: what a linear layer adds up over the steps."""
        connection, bias = fold.connection("output")
        source = self.shapes[term.source]
        weights = apply(connection, source, np.eye(prod(source))).T
        added = np.broadcast_to(
            bias.reshape(-1, *(1,) * (len(fold.target_shape) - 1)) if bias.ndim == 1 else bias, fold.target_shape
        ).reshape(-1)
        steps = 1 if value.reduced else self.steps
        self.assembly.note("output", "sum", "a linear readout of counted spikes")
        return FloatReadout(population=fold.source, kind="linear", weights=weights, bias=added * steps)


def _steady(record: Record, trace: Trace) -> list[tuple[Term, int]]:
    """What leads into a layer in every step, with delays; the same in all, or an error."""
    what = f"Layer {record.name} ({record.kind})"
    if len(record.calls) != (1 if TIME in record.calls[0].lead else trace.steps):
        raise UnsupportedError(
            f"{what} runs {len(record.calls)} times in {trace.steps} steps; run every layer of neurons once a step, "
            "and make one for each place where it stands"
        )
    calls = [_delayed(value, step, what) for step, value in enumerate(record.calls)]
    ways = [_signature(call) for call in calls]
    steady = calls[-1]
    for step, way in enumerate(ways):
        expected = [item for item in ways[-1] if step or item[1] == 0]
        if way != expected:
            raise UnsupportedError(
                f"{what} is given other things in step {step} than in step {len(calls) - 1}; "
                "all steps of a sample must be the same"
            )
    return steady


def _delayed(value: Value, step: int, what: str) -> list[tuple[Term, int]]:
    now = 0 if TIME in value.lead else step
    pairs = [(term, 0 if term.step is None else now - term.step) for term in value.terms]
    for term, delay in pairs:
        if delay not in (0, 1):
            name = term.source.name if isinstance(term.source, Record) else "the input"
            raise UnsupportedError(
                f"{what} is given what {name} sent {delay} steps before; "
                "only spikes of the same step and of the step before can be kept"
            )
    return pairs


def _signature(pairs: Sequence[tuple[Term, int]]) -> list[tuple[int, int, tuple[str, ...]]]:
    found = [
        (id(term.source) if isinstance(term.source, Record) else 0, delay, tuple(step.label for step in term.way))
        for term, delay in pairs
        if not term.constant
    ]
    return sorted(found)
