"""The graph of a torch module: it is run on a small input, and every tensor watched on its way to the neurons.

Layers of neurons are known (:mod:`quant.importers.snntorch`, :mod:`quant.importers.spikingjelly`); all else is seen as
the functions of torch that it calls, so that containers, wrappers and layers of one's own need not be known.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from quant.errors import SpikeloomError, UnsupportedError
from quant.graph import INPUT, Shape

from . import snntorch, spikingjelly
from .torch_call import LIKENESS, SAME, Call, WrongAxes, plain_name
from .torch_functions import FUNCTIONS
from .torch_values import BATCH, TIME, Membrane, Opaque, Record, Step, Term, Value, numbers

__all__ = ["FRAME", "SEQUENCE", "STATIC", "Trace", "trace_module"]

#: How a module takes its input: a step at a time; all steps, first or second axis; one input for all steps.
FRAME, SEQUENCE, STATIC = "frame", "sequence", "static"

_MOST_FRAMES = 32
_WAY_OUT = "use layers of torch.nn, and neurons of snnTorch or SpikingJelly"


@dataclass(eq=False)
class Trace:
    """What was seen.

    Parameters
    ----------
    style : str
        ``frame``, ``sequence`` or ``static``.
    records : list of Record
        The layers of neurons, in the order of their first calls.
    layers : list of (name, kind)
        All layers that were called, in that order.
    outputs : list of (Value or Membrane or Opaque)
        Of what the module gave back.
    steps : int
        That the trace went through.
    inputs : Tensor
        What it was given.
    axes : tuple of str
        The axes of the input before its features.
    """

    style: str
    records: list[Record]
    layers: list[tuple[str, str]]
    outputs: list[Any]
    steps: int
    inputs: torch.Tensor
    axes: tuple[str, ...] = field(default=())


def trace_module(module: nn.Module, shape: Shape, *, steps: int, style: str | None = None) -> Trace:
    """Run ``module`` on samples of ``shape``, in the style that it takes.

    Parameters
    ----------
    module : Module
        In evaluation mode.
    shape : tuple of int
        Of one step of one sample, as the module has it.
    steps : int
        Time steps of a sequence.
    style : str, optional
        Default: the first of one step, a sequence with time first, and one with time second, that runs.

    Raises
    ------
    UnsupportedError
        If none does, or naming the layer that cannot be imported.
    """
    batch = 5 if steps == 4 else 4
    dtype = _dtype(module)
    ways = [
        (FRAME, (batch,), (BATCH,)),
        (SEQUENCE, (steps, batch), (TIME, BATCH)),
        (SEQUENCE, (batch, steps), (BATCH, TIME)),
    ]
    if spikingjelly.multi_step(module):
        ways = ways[1:2]
    failures: list[Exception] = []
    for way, sizes, axes in ways:
        if style is not None and way != style:
            continue
        inputs = _random_events((*sizes, *shape), dtype, seed=0)
        try:
            return _Tracer(module).run(way, inputs, axes, steps)
        except SpikeloomError:
            raise
        except WrongAxes as error:
            failures.append(error)
        except Exception as error:
            # Whatever the user's own forward raises: it may want its input another way.
            failures.append(error)
    told = next((error for error in failures if not isinstance(error, WrongAxes)), None)
    words = (
        "takes its input apart"
        if told is None
        else f"raises {type(told).__name__}: {str(told).splitlines()[0]}"
        if str(told)
        else f"raises {type(told).__name__}"
    )
    raise UnsupportedError(
        f"Module {type(module).__name__} cannot run on samples of shape {shape}: it {words}; "
        "give the shape of one step of one sample with --input-shape"
    ) from told


def _dtype(module: nn.Module) -> torch.dtype:
    """Type of the module's numbers."""
    found = [item.dtype for item in module.parameters() if item.dtype.is_floating_point]
    for dtype in found:
        if dtype not in (torch.float32, torch.float64):
            raise UnsupportedError(
                f"Module {type(module).__name__} computes in {str(dtype).removeprefix('torch.')}, whose rounding "
                "decides on spikes; make it float32, with module.float()"
            )
    return found[0] if found else torch.float32


def _random_events(shape: Sequence[int], dtype: torch.dtype, *, seed: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 2, shape)).to(dtype)


class _Tracer(TorchFunctionMode):
    """Watches every function that is called."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.names = {id(part): name or type(module).__name__ for name, part in module.named_modules()}
        self.values: dict[int, tuple[torch.Tensor, Any]] = {}
        self.records: list[Record] = []
        self.layers: list[tuple[str, str]] = []
        self.stack: list[nn.Module] = []
        self.inside = 0

    def run(self, style: str, inputs: torch.Tensor, axes: tuple[str, ...], steps: int) -> Trace:
        with _quiet(self.module), _hooked(self), torch.no_grad():
            if style == SEQUENCE:
                self.set(inputs, Value((Term(INPUT, 0),), axes))
                return self._trace(style, self._call(inputs), steps, inputs, axes)
            self.set(inputs, Value((Term(INPUT, None),), axes))
            outputs = self._call(inputs)
            calls = {len(record.calls) for record in self.records}
            if not any(record.implicit for record in self.records) or max(calls, default=1) > 1:
                return self._trace(STATIC, outputs, max(calls, default=1), inputs, axes)
        return self._frames(inputs, axes, steps)

    def _frames(self, inputs: torch.Tensor, axes: tuple[str, ...], steps: int) -> Trace:
        """The module anew, a step at a time."""
        again = _Tracer(self.module)
        # A layer that is fed back is seen to be so in the third step.
        frames = _random_events((min(max(steps, 3), _MOST_FRAMES), *inputs.shape), inputs.dtype, seed=1)
        with _quiet(self.module), _hooked(again), torch.no_grad():
            for step, frame in enumerate(frames.clone()):
                again.set(frame, Value((Term(INPUT, step),), axes))
                outputs = again._call(frame)
        return again._trace(FRAME, outputs, len(frames), frames, axes)

    def _call(self, inputs: torch.Tensor) -> Any:
        with self:
            return self.module(inputs)

    def _trace(self, style: str, outputs: Any, steps: int, inputs: torch.Tensor, axes: tuple[str, ...]) -> Trace:
        found = [self.value(tensor) for tensor in _tensors(outputs)]
        if not self.records:
            raise UnsupportedError(
                f"Module {type(self.module).__name__} has no layer of neurons that it calls; {_WAY_OUT}"
            )
        return Trace(
            style=style,
            records=self.records,
            layers=self.layers,
            outputs=[value for value in found if value is not None],
            steps=steps,
            inputs=inputs,
            axes=axes,
        )

    # What tensors are worth

    def value(self, item: Any) -> Any:
        """Value of a tensor; None of constants, and of all that is no tensor."""
        found = self.values.get(id(item))
        return None if found is None else found[1]

    def set(self, tensor: torch.Tensor, value: Any) -> None:
        # The tensor is kept, so that no other can take its place in memory.
        self.values[id(tensor)] = (tensor, value)

    @property
    def label(self) -> str:
        """The innermost layer that runs, in errors."""
        part = self.stack[-1] if self.stack else self.module
        return f"Layer {self.names.get(id(part), '?')} ({type(part).__name__})"

    # Functions

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if not self.inside:
            self._observe(function, args, kwargs or {}, result)
        return result

    def _observe(self, function: Any, args: Sequence[Any], kwargs: dict[str, Any], result: Any) -> None:
        values = [value for tensor in _tensors((args, kwargs)) if (value := self.value(tensor)) is not None]
        name = plain_name(function)
        if name == "setitem":
            if values:
                self.set(args[0], Opaque(f"{self.label} assigns values to parts of a tensor; stack them instead"))
            return
        results = list(_tensors(result))
        if not values or not results or name in LIKENESS:
            return
        found = self._result(name, args, kwargs, result, values)
        if isinstance(found, list):
            for tensor, value in zip(results, found, strict=True):
                self.set(tensor, value)
            return
        for tensor in results:
            self.set(tensor, found)

    def _result(self, name: str, args: Any, kwargs: Any, result: Any, values: list[Any]) -> Any:
        same = name in SAME or (name == "get" and result.shape == args[0].shape and result.stride() == args[0].stride())
        if same and len(values) == 1:
            return values[0]
        opaque = next((value for value in values if isinstance(value, Opaque)), None)
        if opaque is not None:
            return opaque
        call = Call(self.label, args, kwargs, result, self.value)
        membrane = next((value for value in values if isinstance(value, Membrane)), None)
        if membrane is not None:
            return Opaque(f"{self.label} computes {name} of the membranes of layer {membrane.record.name}")
        if name not in FUNCTIONS:
            return Opaque(f"{self.label} computes {name}, which no connection can; {_WAY_OUT}")
        return FUNCTIONS[name](call)

    # Layers

    def enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        self.stack.append(module)
        entry = (self.names.get(id(module), "?"), type(module).__name__)
        # A container is told of by its parts.
        if self.inside == 0 and (not list(module.children()) or self._adapter(module)) and entry not in self.layers:
            self.layers.append(entry)
        if self._adapter(module) is not None:
            self.inside += 1

    def leave(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        adapter = self._adapter(module)
        if adapter is not None:
            self.inside -= 1
            if self.inside == 0:
                self._neurons(module, adapter(module, self.label), args, kwargs, output)
        self.stack.pop()

    def _adapter(self, module: nn.Module) -> Any:
        return snntorch.adapter(module) or spikingjelly.adapter(module)

    def _neurons(self, module: nn.Module, neuron: Any, args: Any, kwargs: Any, output: Any) -> None:
        """Layer of neurons has run: what it was given is a call more of its record."""
        given = neuron.arguments(args, kwargs)
        current, states = given[0], given[1:]
        value = self._current(current)
        record = self._record(module, neuron, states)
        record.calls.append(value)
        spikes, *after = output if isinstance(output, tuple) else (output,)
        record.shape = tuple(current.shape[len(value.lead) :])
        record.spikes.append(spikes.detach())
        sent = Term(record, 0 if TIME in value.lead else len(record.calls) - 1)
        if neuron.factor is not None:
            sent = sent.then(_scaling(neuron.factor, self.label, record.shape))
        self.set(spikes, Value((sent,), value.lead))
        for state in after:
            self.set(state, Membrane(record, len(record.calls) - 1))

    def _current(self, tensor: torch.Tensor) -> Value:
        value = self.value(tensor)
        if isinstance(value, Opaque):
            raise UnsupportedError(value.reason)
        if isinstance(value, Membrane):
            raise UnsupportedError(f"{self.label} is given the membranes of layer {value.record.name}, not its spikes")
        if value is None:
            raise UnsupportedError(f"{self.label} is given constants; connect it to the input, or leave it out")
        if value.lead not in ((BATCH,), (TIME, BATCH)) or value.reduced:
            axes = " and ".join(value.lead)
            raise UnsupportedError(f"{self.label} is given sums over the steps, or axes of {axes}; run it step by step")
        return value

    def _record(self, module: nn.Module, neuron: Any, states: Sequence[torch.Tensor | None]) -> Record:
        """The record that goes on with these states, or a new one."""
        own = [record for record in self.records if record.neuron.module is module]
        given = [state for state in states if state is not None]
        membranes = [value for state in given if isinstance(value := self.value(state), Membrane)]
        for record in own:
            if membranes and all(value.record is record and value.call == len(record.calls) - 1 for value in membranes):
                return record
            if not given and record.implicit:
                return record
        for state in given:
            value = self.value(state)
            if (value is not None and not isinstance(value, Value)) or (value is None and numbers(state).any()):
                told = value.reason if isinstance(value, Opaque) else "its states are not its own of the step before"
                raise UnsupportedError(
                    f"{self.label} must start from states of 0 and be given back its own, but {told}; "
                    "change states nowhere else"
                )
        name = self.names.get(id(module), "?")
        record = Record(name, type(module).__name__, neuron, implicit=not given)
        self.records.append(record)
        return record


def _scaling(factor: Any, label: str, shape: Shape) -> Step:
    return Step("factor of spikes", lambda fold, _: fold.scale(np.broadcast_to(factor, shape), what=label), shape)


def _tensors(item: Any) -> Iterator[torch.Tensor]:
    """All tensors in nested tuples, lists and mappings."""
    if isinstance(item, torch.Tensor):
        yield item
    elif isinstance(item, dict):
        for part in item.values():
            yield from _tensors(part)
    elif isinstance(item, (tuple, list)):
        for part in item:
            yield from _tensors(part)


@contextmanager
def _hooked(tracer: _Tracer) -> Iterator[None]:
    handles = []
    for part in tracer.module.modules():
        handles.append(part.register_forward_pre_hook(tracer.enter, with_kwargs=True))
        handles.append(part.register_forward_hook(tracer.leave, with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _quiet(module: nn.Module) -> Iterator[None]:
    """The module in evaluation mode with its states at the start, which are put back afterwards."""
    training = {part: part.training for part in module.modules()}
    module.eval()
    kept = [snntorch.states(module), spikingjelly.states(module)]
    snntorch.reset(module)
    spikingjelly.reset(module)
    try:
        yield
    finally:
        for restore in kept:
            restore()
        for part, mode in training.items():
            part.training = mode
