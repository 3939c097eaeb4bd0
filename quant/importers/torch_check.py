"""What was imported, run on the input of the trace, beside what the module did."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import torch

from quant.errors import UnsupportedError
from quant.model import FloatInput, FloatNetwork
from quant.result import Result
from quant.simulate import run_float

from .torch_graph import FRAME, STATIC, Trace
from .torch_values import TIME, Record

__all__ = ["check_spikes"]

#: Share of a threshold within which rounding decides: modules run in float32.
_TIE = 1e-4


def check_spikes(model: FloatNetwork, trace: Trace, names: Mapping[Record, str]) -> None:
    """Refuse an import that spikes otherwise than the module has, in any step at any neuron.

    Parameters
    ----------
    model : FloatNetwork
    trace : Trace
    names : mapping
        Population of every record.

    Raises
    ------
    UnsupportedError
        Naming the first layer that differs by more than rounding: the module does something that its tensors do not
        show, as code that looks at their values.
    """
    plain = replace(model, input=FloatInput(shape=model.input.shape, kind="events"), steps=trace.steps)
    inputs = _inputs(trace)
    found = run_float(plain, inputs, record=["spikes"])
    live = {names[record]: _spikes(record) for record in trace.records if plain[names[record]].threshold is not None}
    if all((found.spikes[name] == spikes).all() for name, spikes in live.items()):
        return

    @cache
    def nearly(name: str) -> list[np.ndarray]:
        moved = [_moved(plain, name, factor) for factor in (1 - _TIE, 1 + _TIE)]
        return [run_float(model, inputs, record=["spikes"]).spikes[name] for model in moved]

    layers = {names[record]: f"Layer {record.name} ({record.kind})" for record in trace.records}
    for sample in range(len(inputs)):
        _check_sample(sample, [name for name in plain.order if name in live], found, live, nearly, layers)


def _check_sample(
    sample: int,
    order: list[str],
    found: Result,
    live: Mapping[str, np.ndarray],
    nearly: Callable[[str], list[np.ndarray]],
    layers: Mapping[str, str],
) -> None:
    """The first difference of a sample must be a tie; what follows it may differ."""
    steps = len(next(iter(live.values()))[sample])
    for step in range(steps):
        for name in order:
            spikes = live[name][sample, step]
            different = found.spikes[name][sample, step] != spikes
            if not different.any():
                continue
            tie = np.any([item[sample, step] == spikes for item in nearly(name)], axis=0)
            if (different & ~tie).any():
                raise UnsupportedError(
                    f"{layers[name]} spikes otherwise than its import in step {step}: the module does something that "
                    "cannot be seen in its layers; let nothing in its forward depend on values or on the step"
                )
            return


def _inputs(trace: Trace) -> np.ndarray:
    """Inputs of the trace as ``(B, T, N)``."""
    values = trace.inputs.detach()
    if trace.style == STATIC:
        values = values[:, None].expand(-1, trace.steps, *values.shape[1:])
    elif trace.style == FRAME or trace.axes[0] == TIME:
        values = values.transpose(0, 1)
    return values.flatten(2).numpy().astype(np.int64)


def _spikes(record: Record) -> np.ndarray:
    sequence = TIME in record.calls[0].lead
    spikes = record.spikes[0] if sequence else torch.stack(record.spikes)
    return (spikes.transpose(0, 1).flatten(2) != 0).numpy().astype(np.int8)


def _moved(model: FloatNetwork, name: str, factor: float) -> FloatNetwork:
    """The network with the thresholds of one population moved: what leads into it stays as it is."""
    populations = [
        replace(item, threshold=item.threshold * factor) if item.name == name else item for item in model.populations
    ]
    return replace(model, populations=tuple(populations))
