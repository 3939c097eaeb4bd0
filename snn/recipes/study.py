"""The study of leakage, reset and recurrence (Yin et al., arXiv 2403.16674): its tasks, and its variants.

A hidden neuron of the baseline is ``u[t] = k u[t-1] (1 - o[t-1]) + W o``, and fires at the threshold. A variant changes
the leak k, the reset, or adds ``V o_own[t-1]``; all else is the same.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from .surrogate import SurrogateRecipe

__all__ = ["PUBLISHED", "STUDY", "TASKS", "VARIANTS", "variant"]

VARIANTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "baseline": {},
        "no leak": {"neuron": "if"},
        "complete leak": {"tau": 1.0},
        "learned leak": {"learn_leak": True},
        "no reset": {"reset": "none"},
        "reset by subtraction": {"reset": "subtract"},
        "recurrence": {"recurrent": True},
        "learned leak and no reset": {"learn_leak": True, "reset": "none"},
        "no reset and recurrence": {"reset": "none", "recurrent": True},
        "no leak and no reset": {"neuron": "if", "reset": "none"},
    }
)
"""What a variant changes of the baseline's recipe."""

PUBLISHED: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "delayed-xor": {
            "baseline": 0.775,
            "no leak": 0.503,
            "complete leak": 0.505,
            "no reset": 0.961,
            "recurrence": 0.989,
        },
        "nmnist": {
            "baseline": 0.9476,
            "no leak": 0.9518,
            "complete leak": 0.9503,
            "no reset": 0.9618,
            "recurrence": 0.9621,
        },
        "mnist": {
            "baseline": 0.9522,
            "no leak": 0.9612,
            "complete leak": 0.9417,
            "no reset": 0.9485,
            "recurrence": 0.9698,
        },
    }
)
"""Accuracies of the paper, by task and variant."""

_MNIST = SurrogateRecipe(
    name="mnist-lif-512",
    summary="MNIST as constant currents, 784-512-10, leaky neurons reset to zero, 8 steps",
    dataset="mnist",
    encoder="direct>>4",
    neuron="lif",
    layers="512",
    steps=8,
    tau=2.0,
    threshold=0.3,
    sparsity=0.1,
    dropout=0.1,
    epochs=5,
    batch=128,
    qat_epochs=2,
)
_XOR = SurrogateRecipe(
    name="xor-recurrent",
    summary="delayed spiking XOR, 60 steps, 64 leaky neurons that see each other",
    dataset="delayed-xor/40",
    encoder="spikes",
    neuron="lif",
    layers="64",
    steps=60,
    tau=64.0,
    recurrent=True,
    bias=False,
    spread=0.2,
    threshold=0.5,
    surrogate="atan",
    alpha=0.6,
    decoder="membrane",
    output_tau=5.0,
    sparsity=0.0,
    weight_bits=8,
    decay_bits=8,
    epochs=40,
    batch=100,
    clip=1.0,
    qat_epochs=2,
)
STUDY = (_MNIST,)

# Under a sigmoid's slope, which fades, an output that is silent at first stays so: a class is never answered.
_SPIKES = replace(
    _MNIST,
    name="study-mnist",
    encoder="rate/255",
    surrogate="atan",
    alpha=1.0,
    dropout=0.0,
    epochs=4,
    weight_bits=8,
)

TASKS: Mapping[str, SurrogateRecipe] = MappingProxyType(
    {
        "mnist": _SPIKES,
        "digits": replace(
            _SPIKES, name="study-digits", dataset="digits", encoder="rate/16", layers="96", batch=64, epochs=30
        ),
        "delayed-xor": replace(_XOR, name="study-xor", recurrent=False),
        "nmnist": replace(
            _SPIKES,
            name="study-nmnist",
            dataset="n-mnist",
            encoder="frames/time",
            shift=2,
            batch=50,
            epochs=20,
        ),
    }
)
"""The baseline of every task."""


def variant(recipe: SurrogateRecipe, name: str) -> SurrogateRecipe:
    """The recipe of a baseline as that of :data:`VARIANTS`."""
    return replace(recipe, **VARIANTS[name])
