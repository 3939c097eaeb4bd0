"""What a tensor of a torch module is worth: sums of what sources send, each through layers on its way."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from quant.fold import Fold
from quant.graph import Shape

__all__ = ["BATCH", "TIME", "Membrane", "Opaque", "Record", "Step", "Term", "Value", "numbers"]

#: Axes in front of a tensor's features: samples, time steps, both in one, and one that is to be repeated in time.
BATCH, TIME, MERGED, ONE = "batch", "time", "merged", "one"


def numbers(tensor: Any) -> NDArray[np.float64]:
    """A tensor, or a number, as an array."""
    if isinstance(tensor, torch.Tensor):
        return tensor.detach().cpu().double().numpy()
    return np.asarray(tensor, np.float64)


@dataclass(frozen=True, eq=False)
class Step:
    """One linear map on the way from a source.

    Parameters
    ----------
    label : str
        What does it, in errors and to tell one way from another.
    grow : callable
        Folds it in; told whether with the bias, which of several terms only one may bring.
    shape : tuple of int
        What the module has made of it: the features.
    """

    label: str
    grow: Callable[[Fold, bool], None]
    shape: Shape


@dataclass(eq=False)
class Record:
    """A layer of neurons: what it was given, step by step.

    Parameters
    ----------
    name, kind : str
        Of the layer in the module.
    neuron : object
        What :mod:`quant.importers.snntorch` or :mod:`quant.importers.spikingjelly` makes of the layer.
    implicit : bool
        Whether the layer keeps its own state from call to call.
    """

    name: str
    kind: str
    neuron: Any
    implicit: bool
    shape: Shape = ()
    calls: list["Value"] = field(default_factory=list)
    spikes: list[torch.Tensor] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Term:
    """What one source sends.

    Parameters
    ----------
    source : Record or "input" or array
        An array is a constant.
    step : int or None
        Of the source, counted from the first; of a tensor with an axis of time, that of its first entry. None: the
        same in all steps.
    way : tuple of Step
    """

    source: Any
    step: int | None
    way: tuple[Step, ...] = ()

    def then(self, step: Step) -> "Term":
        return Term(self.source, self.step, (*self.way, step))

    @property
    def constant(self) -> bool:
        return isinstance(self.source, np.ndarray)

    @property
    def external(self) -> bool:
        """Whether the network's input sends it."""
        return isinstance(self.source, str)


@dataclass(frozen=True, eq=False)
class Value:
    """A sum of terms; ``lead`` names the axes before the features."""

    terms: tuple[Term, ...]
    lead: tuple[str, ...]
    reduced: bool = False

    def then(self, step: Step) -> "Value":
        return Value(tuple(term.then(step) for term in self.terms), self.lead, self.reduced)


@dataclass(frozen=True, eq=False)
class Membrane:
    """State that a layer of neurons has given out after a call."""

    record: Record
    call: int


@dataclass(frozen=True, eq=False)
class Opaque:
    """Something that no connection can compute; ``reason`` names the layer and what it does."""

    reason: str
