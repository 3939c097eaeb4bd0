"""Neurons of SpikingJelly 2.0: IFNode, LIFNode, ParametricLIFNode and KLIFNode.

``u`` is ``v_reset``, or 0 under soft reset, and a neuron fires at ``v >= theta``::

    IF          H = V + X
    LIF         H = V - (V - u)/tau + X,  or  V + (X - (V - u))/tau  with decay_input
    PLIF        LIF with 1/tau = sigmoid(w)
    KLIF        H = ReLU(k * (that of LIF)); with scale_reset, V = H/k, reset by theta/k
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from quant.errors import UnsupportedError

from .neuron import Neuron, refused
from .torch_values import numbers

__all__ = ["adapter", "multi_step", "reset", "states"]

_KNOWN = ("IFNode", "LIFNode", "ParametricLIFNode", "KLIFNode")
_ROOT = "spikingjelly.activation_based"


def adapter(module: Any) -> Callable[[Any, str], Neuron] | None:
    """What makes a :class:`Neuron` of ``module``; None if it is not one of SpikingJelly's."""
    library = sys.modules.get(f"{_ROOT}.neuron")
    if library is None:
        return None
    bases = (library.BaseNode, library.SimpleBaseNode, library.NonSpikingBaseNode)
    package = type(module).__module__.startswith(f"{_ROOT}.neuron")
    if not isinstance(module, bases) and not package:
        return None
    name = type(module).__name__
    if name in _KNOWN and type(module) is getattr(library, name):
        return _neuron
    return refused(f"is a neuron that cannot be imported; use one of {', '.join(_KNOWN)}, not a subclass")


def multi_step(module: Any) -> bool:
    """Whether the module takes all steps at once."""
    return any(getattr(part, "step_mode", "s") == "m" for part in module.modules())


def _memories(module: Any) -> list[Any]:
    library = sys.modules.get(f"{_ROOT}.base")
    return [] if library is None else [part for part in module.modules() if isinstance(part, library.MemoryModule)]


def states(module: Any) -> Callable[[], None]:
    """What puts the states of all layers back to what they are now."""
    kept = [(part, dict(part._memories)) for part in _memories(module)]

    def restore() -> None:
        for part, values in kept:
            part._memories.update(values)

    return restore


def reset(module: Any) -> None:
    """Put all layers into the state that they start in."""
    for part in _memories(module):
        part.reset()


def _neuron(module: Any, label: str) -> Neuron:
    if not getattr(module.surrogate_function, "spiking", True):
        raise UnsupportedError(f"{label} has a surrogate function with spiking=False: it sends no spikes")
    hard = module.v_reset is not None
    rest = float(module.v_reset) if hard else 0.0
    start = float(module._memories_rv["v"])
    share, gain = _leak(module)
    slope, scale = _slope(module, label)
    decay = slope * (1 - share)
    threshold = float(module.v_threshold)
    silent = threshold == float("inf")
    fields = {
        "threshold": None if silent else threshold / scale,
        "reset": "none" if silent else "zero" if hard else "subtract",
        "reset_value": rest,
        "decay": decay,
        "rectify": type(module).__name__ == "KLIFNode",
        "bias": slope * share * rest,
        "initial": decay * start,
    }
    return Neuron(module=module, fields=fields, arguments=_arguments, gain=slope * gain)


def _arguments(args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    return [args[0] if args else kwargs["x"]]


def _leak(module: Any) -> tuple[float, float]:
    """1/tau, and what a current is multiplied by."""
    kind = type(module).__name__
    if kind == "IFNode":
        return 0.0, 1.0
    share = float(1 / (1 + np.exp(-numbers(module.w)))) if kind == "ParametricLIFNode" else 1 / float(module.tau)
    return share, share if module.decay_input else 1.0


def _slope(module: Any, label: str) -> tuple[float, float]:
    """k of a KLIF, where it multiplies the membrane, and where it divides the threshold."""
    if type(module).__name__ != "KLIFNode":
        return 1.0, 1.0
    k = float(numbers(module.k))
    if k <= 0:
        raise UnsupportedError(f"{label} has learned k = {k:g}; k must be positive. Train with another seed or rate")
    return (1.0, k) if module.scale_reset else (k, 1.0)
