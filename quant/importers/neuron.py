"""A layer of neurons of a framework, in the words of the float network."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from quant.errors import UnsupportedError
from quant.fold import Fold

__all__ = ["Neuron", "refused"]


@dataclass(frozen=True, eq=False)
class Neuron:
    """What an adapter makes of a layer.

    Parameters
    ----------
    module : Module
    fields : mapping
        Of :class:`quant.model.FloatPopulation`; arrays as torch would spread them over the layer's features.
    arguments : callable
        The current and the explicit states (None where the layer's own are meant) of a call's arguments.
    gain : float
        What currents are multiplied by.
    factor : array or None
        What a spike is worth, if not 1.
    loops : sequence of callables
        Grow a fold of the layer's own spikes of the step before into what it adds to the currents.
    reduce : str
        How the membranes are read, where there are no spikes.
    remark : str
        For the account.
    """

    module: Any
    fields: Mapping[str, Any]
    arguments: Callable[[Sequence[Any], Mapping[str, Any]], list[Any]]
    gain: float = 1.0
    factor: Any = None
    loops: Sequence[Callable[[Fold, str], None]] = field(default=())
    reduce: str = "last"
    remark: str = ""


def refused(words: str) -> Callable[[Any, str], Neuron]:
    """An adapter that refuses a layer by its name."""

    def refuse(_: Any, label: str) -> Neuron:
        raise UnsupportedError(f"{label} {words}")

    return refuse
