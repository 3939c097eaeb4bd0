"""From torch modules to the float network: everything linear folded into weights and biases.

A neuron's own constants fold too (see :mod:`snn.neurons`): its stored membrane is lam*V, so that the reset value
and the start are worth lam*u; ``decay_input`` goes into the weights; k of a KLIF goes into decay and weights, or,
with ``scale_reset``, into the threshold.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils import parametrize

from quant.assembly import Assembly
from quant.errors import UnsupportedError
from quant.fold import Fold
from quant.graph import INPUT
from quant.model import FloatNetwork, FloatReadout

from .ettfs import Affine
from .integrator import Integrator
from .layers import AvgPool2d, BatchNorm, Conv2d, Dropout, Flatten, Linear
from .network import SpikingNetwork
from .neurons import KLIF, LIF, TTFS, Neuron

__all__ = ["to_float"]

Floats = NDArray[np.float64]


def to_float(
    network: SpikingNetwork, *, name: str, readout: str = "count", metadata: Mapping[str, Any] | None = None
) -> FloatNetwork:
    """Float network that spikes as ``network`` does in evaluation.

    Parameters
    ----------
    network : SpikingNetwork
    name : str
        Letters, digits and underscores.
    readout : str
        ``"count"`` or ``"first_spike"`` of the last neuron.
    metadata : mapping, optional

    Raises
    ------
    UnsupportedError
        Naming the layer, if the integer contract has no place for it.
    """
    assembly, fold = Assembly(), Fold(INPUT, network.input.shape)
    names = iter(_names(len(network.neurons)))
    for index, layer in enumerate(network.layers):
        if isinstance(layer, Neuron):
            fold = _add(assembly, layer, fold, next(names), str(index))
        else:
            kind = _kind(layer)
            _grow(fold, layer, f"Layer {index} ({kind})")
            assembly.note(str(index), kind, "nothing" if isinstance(layer, (Dropout, Flatten)) else "weights")
    return assembly.network(
        name=name,
        steps=network.steps,
        input=network.input,
        readout=FloatReadout(population=fold.source, kind=readout),
        metadata=metadata,
    )


def _kind(layer: nn.Module) -> str:
    return parametrize.type_before_parametrizations(layer).__name__


def _names(count: int) -> list[str]:
    hidden = ["hidden"] if count == 2 else [f"hidden{index}" for index in range(1, count)]
    return [*hidden, "output"] if count > 1 else ["output"]


def _numbers(tensor: torch.Tensor) -> Floats:
    return tensor.detach().cpu().double().numpy()


def _grow(fold: Fold, layer: nn.Module, what: str) -> None:
    """Fold one more layer in."""
    if isinstance(layer, Dropout):
        return
    if isinstance(layer, Flatten):
        fold.flatten(what=what)
    elif isinstance(layer, Linear):
        fold.linear(_numbers(layer.weight), _maybe(layer.bias), what=what)
    elif isinstance(layer, Conv2d):
        inner = layer.inner
        assert not isinstance(inner.padding, str)
        fold.conv2d(
            _numbers(inner.weight),
            _maybe(inner.bias),
            stride=inner.stride,
            padding=inner.padding,
            groups=inner.groups,
            what=what,
        )
    elif isinstance(layer, AvgPool2d):
        fold.avg_pool(layer.kernel, what=what)
    elif isinstance(layer, BatchNorm):
        norm = layer.inner
        assert norm.running_mean is not None
        assert norm.running_var is not None
        mean, variance = _numbers(norm.running_mean), _numbers(norm.running_var)
        fold.norm(mean, variance, _numbers(norm.weight), _numbers(norm.bias), norm.eps, what=what)
    elif isinstance(layer, Affine):
        fold.scale(_numbers(layer.gamma), _numbers(layer.beta), what=what)
    else:
        raise UnsupportedError(f"{what} cannot be exported; use the layers of snn.layers and snn.neurons")


def _maybe(tensor: torch.Tensor | None) -> Floats | None:
    return None if tensor is None else _numbers(tensor)


def _add(assembly: Assembly, neuron: Neuron, fold: Fold, wanted: str, layer: str) -> Fold:
    """Add a layer of neurons; the fold that leads out of it."""
    kind = type(neuron).__name__
    what = f"Layer {layer} ({kind})"
    gain, fields = _constants(neuron, what)
    name, shape = assembly.reserve(wanted), fold.target_shape
    folds = [(fold, 0)]
    if neuron.recurrent is not None:
        if not isinstance(neuron.recurrent, Linear) or len(shape) != 1:
            raise UnsupportedError(f"{what} must be recurrent through a Linear layer of a flat shape")
        loop = Fold(name, shape)
        _grow(loop, neuron.recurrent, f"{what} recurrent")
        folds.append((loop, 1))
    assembly.population(name, layer=layer, kind=kind, folds=folds, gain=gain, **fields)
    after = Fold(name, shape)
    after.reshape(fold.shape, what=what)
    return after


def _constants(neuron: Neuron, what: str) -> tuple[Any, dict[str, Any]]:
    """Gain of the currents, and fields of the population."""
    if isinstance(neuron, Integrator):
        return 1.0, {"threshold": None, "reset": "none", "decay": neuron.leak}
    if isinstance(neuron, TTFS):
        return 1.0, {"threshold": _constant(neuron.threshold), "reset": "latch"}
    if not isinstance(neuron, LIF):
        raise UnsupportedError(f"{what} cannot be exported; use the neurons of snn.neurons")
    slope, scale = 1.0, 1.0
    if isinstance(neuron, KLIF):
        k = float(neuron.k.detach())
        if k <= 0:
            raise UnsupportedError(f"{what} has learned k = {k:g}; k must be positive. Train with another seed or rate")
        slope, scale = (1.0, k) if neuron.scale_reset else (k, 1.0)
    leak, loss, threshold = (_constant(item) for item in (neuron.leak, neuron.loss, neuron.threshold))
    decay = slope * leak
    fields: dict[str, Any] = {
        "threshold": threshold / scale,
        "reset": neuron.reset,
        "reset_value": neuron.reset_value,
        "decay": decay,
        "rectify": isinstance(neuron, KLIF),
        "bias": slope * loss * neuron.reset_value,
        "initial": decay * neuron.reset_value,
    }
    return slope * (loss if neuron.decay_input else 1.0), fields


def _constant(value: float | torch.Tensor) -> Any:
    return _numbers(value) if isinstance(value, torch.Tensor) else value
