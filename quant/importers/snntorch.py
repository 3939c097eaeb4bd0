"""Neurons of snnTorch 1.0: Leaky, RLeaky and Synaptic.

``R`` is the reset of a step: whether the membrane that it starts with is above the threshold; with ``reset_delay``
that is the spike of the step before. A neuron fires at ``mem > theta``::

    subtract            mem = beta*mem + x - R*theta                 V' = H - S*theta/beta, for V is stored decayed
    zero                mem = beta*(1 - R)*mem + x                   V' = 0 where S
    zero, of RLeaky and Synaptic: mem = (1 - R)*(beta*mem + x)       aftermath "mute"
    none                mem = beta*mem + x

Without ``reset_delay`` a spike resets at once, by ``(S - R)*theta`` or to 0. By subtraction a membrane can still be
above theta after it; then R is 1, the spike must overcome ``R*theta``, and the membrane loses ``S*theta`` all the same:
aftermath "raise".
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from quant.errors import UnsupportedError
from quant.fold import Fold

from .neuron import Neuron, refused
from .torch_values import numbers

__all__ = ["adapter", "reset", "states"]

_STATES = ("mem", "syn", "spk")
_KNOWN = {"Leaky": ("mem",), "RLeaky": ("spk", "mem"), "Synaptic": ("syn", "mem")}


def _library() -> Any:
    """snnTorch, if the module has brought it."""
    return sys.modules.get("snntorch")


def adapter(module: Any) -> Callable[[Any, str], Neuron] | None:
    """What makes a :class:`Neuron` of ``module``; None if it is not one of snnTorch's."""
    library = _library()
    if library is None or not isinstance(module, library.SpikingNeuron):
        return None
    name = type(module).__name__
    if name in _KNOWN and type(module) is getattr(library, name):
        return _neuron
    return refused("is a neuron that cannot be imported; use Leaky, RLeaky or Synaptic of snnTorch, not a subclass")


def states(module: Any) -> Callable[[], None]:
    """What puts the states of all neurons back to what they are now."""
    library = _library()
    if library is None:
        return lambda: None
    kept = [
        (part, name, getattr(part, name))
        for part in module.modules()
        if isinstance(part, library.SpikingNeuron)
        for name in _STATES
        if hasattr(part, name)
    ]

    def restore() -> None:
        for part, name, value in kept:
            setattr(part, name, value)

    return restore


def reset(module: Any) -> None:
    """Put all neurons into the state that they start in."""
    library = _library()
    for part in module.modules() if library is not None else ():
        if isinstance(part, library.SpikingNeuron):
            for name in _STATES:
                if hasattr(part, name):
                    setattr(part, name, getattr(part, name).new_zeros(0))


def _neuron(module: Any, label: str) -> Neuron:
    kind = type(module).__name__
    for option, wanted in (("inhibition", "inhibition=False"), ("state_quant", "state_quant=False")):
        if getattr(module, option):
            raise UnsupportedError(f"{label} has {option}, which no neuron here does; train it with {wanted}")
    names = _KNOWN[kind]

    def arguments(args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        given = {**dict(zip(("input_", *names), args, strict=False)), **kwargs}
        return [given["input_"], *(given.get(name) for name in names)]

    beta, theta = np.clip(numbers(module.beta), 0, 1), numbers(module.threshold)
    fields, loops = _reset(module, kind, beta, theta, label)
    if kind == "Synaptic":
        fields["current_decay"] = np.clip(numbers(module.alpha), 0, 1)
    factor = numbers(module.graded_spikes_factor)
    if kind == "RLeaky":
        loops.append(_recurrence(module, label))
    return Neuron(
        module=module,
        fields={"threshold": theta, "strict": True, "decay": beta, **fields},
        arguments=arguments,
        factor=None if (factor == 1).all() else factor,
        loops=loops,
    )


def _reset(module: Any, kind: str, beta: Any, theta: Any, label: str) -> tuple[dict[str, Any], list[Any]]:
    """Fields and loops of what follows a spike."""
    # What runs is the function that was chosen when the layer was made; the names beside it can be changed later.
    how = {"_base_sub": "subtract", "_base_zero": "zero", "_base_int": "none"}[module.state_function.__name__]
    named = ("subtract", "zero", "none")[int(module.reset_mechanism_val)]
    if how != named:
        raise UnsupportedError(
            f"{label} was made with reset_mechanism={how!r} and changed to {named!r} later, and so does some of each; "
            "make it anew"
        )
    if how == "none":
        return {"reset": "none"}, []
    if how == "zero":
        late = module.reset_delay and kind != "Leaky"
        return {"reset": "zero", "aftermath": "mute" if late else "none"}, []
    if not module.reset_delay:
        return {"reset": "subtract", "reset_amount": theta, "aftermath": "raise"}, []
    if (beta > 0).all():
        return {"reset": "subtract", "reset_amount": theta / beta}, []
    if kind == "Synaptic":
        # A spike of the step before comes into the current, which forgets it only if its decay is 0, too.
        alpha, zero = np.broadcast_arrays(np.clip(numbers(module.alpha), 0, 1), beta == 0)
        if (alpha[zero] > 0).any():
            raise UnsupportedError(
                f"{label} has a beta of 0, which takes a delayed reset by subtraction away with the membrane; "
                "train it with beta above 0, or with reset_mechanism='none'"
            )
    amount = np.where(beta > 0, theta / np.where(beta > 0, beta, 1), 0)

    # A decay of 0 would take the reset away with it: it comes as a spike of the step before.
    def inhibit(fold: Fold, shape: Any) -> None:
        fold.scale(np.broadcast_to(np.where(beta > 0, 0, -theta), shape), what=label)

    return {"reset": "subtract", "reset_amount": amount}, [inhibit]


def _recurrence(module: Any, label: str) -> Callable[[Fold, Any], None]:
    factor = numbers(module.graded_spikes_factor)
    if not module.all_to_all:
        weights = numbers(module.recurrent.V)
        return lambda fold, shape: fold.scale(np.broadcast_to(factor * weights, shape), what=label)
    inner = module.recurrent

    def grow(fold: Fold, shape: Any) -> None:
        fold.scale(np.broadcast_to(factor, shape), what=label)
        weights, bias = numbers(inner.weight), None if inner.bias is None else numbers(inner.bias)
        if weights.ndim == 2:
            fold.linear(weights, bias, what=label)
        else:
            fold.conv2d(weights, bias, stride=inner.stride, padding=inner.padding, groups=inner.groups, what=label)

    return grow
