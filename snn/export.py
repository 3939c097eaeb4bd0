"""From torch modules to the float network: everything linear folded into weights and biases.

A neuron's own constants fold too (see :mod:`snn.neurons`): its stored membrane is lam*V, so that the reset value
and the start are worth lam*u; ``decay_input`` goes into the weights; k of a KLIF goes into decay and weights, or,
with ``scale_reset``, into the threshold.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils import parametrize

from quant.assembly import Assembly
from quant.errors import UnsupportedError
from quant.fold import Fold
from quant.graph import INPUT, Shape
from quant.model import FloatNetwork, FloatReadout

from .ettfs import Affine
from .integrator import Integrator
from .layers import AvgPool2d, BatchNorm, Conv2d, ConvTranspose2d, Dropout, Flatten, Linear, MaxPool2d, Vote
from .network import Link, SpikingNetwork
from .neurons import KLIF, LIF, TTFS, Neuron

__all__ = ["to_float"]

Floats = NDArray[np.float64]


def to_float(
    network: SpikingNetwork,
    *,
    name: str,
    readout: str = "count",
    reduce: str = "last",
    metadata: Mapping[str, Any] | None = None,
) -> FloatNetwork:
    """Float network that spikes as ``network`` does in evaluation.

    Parameters
    ----------
    network : SpikingNetwork
    name : str
        Letters, digits and underscores.
    readout : str
        ``"count"``, ``"first_spike"`` or, of an ``Integrator``, ``"membrane"`` of the last neuron; ``"linear"``: what
        the network's own readout makes of its rates.
    reduce : str
        Of ``"membrane"``: ``"last"``, ``"sum"`` or ``"max"``.
    metadata : mapping, optional

    Raises
    ------
    UnsupportedError
        Naming the layer, if the integer contract has no place for it.
    """
    assembly = Assembly()
    ends = _grown(network, assembly)
    for number, (neuron, end) in enumerate(zip(network.neurons, ends, strict=True)):
        for row in end.rows:
            assembly.note(*row)
        folds = [(end.fold, 0)]
        for index, link in enumerate(network.links):
            assert isinstance(link, Link)
            if link.target == number:
                source = ends[link.source]
                folds.append((_linked(source, link, f"Link {index}"), link.delay))
                assembly.note(f"link {index}", "Link", f"connection {source.name} -> {end.name}, delay {link.delay}")
        _add(assembly, neuron, end, folds)
    return assembly.network(
        name=name,
        steps=network.steps,
        input=network.input,
        readout=_readout(network, ends[-1], readout, reduce),
        metadata=metadata,
    )


@dataclass(frozen=True, kw_only=True)
class _End:
    """Where a row of layers ends in neurons: population ``name`` of ``shape``, layer number ``layer``."""

    rows: list[tuple[str, str, str]]
    name: str
    layer: int
    fold: Fold
    shape: Shape

    def out(self, what: str) -> Fold:
        """The fold that leads out of the neurons."""
        after = Fold(self.name, self.shape)
        after.reshape(self.fold.shape, what=what)
        return after


def _grown(network: SpikingNetwork, assembly: Assembly) -> list[_End]:
    """The rows between the neurons, folded."""
    ends: list[_End] = []
    index, fold = 0, Fold(INPUT, network.input.shape)
    for wanted, row in zip(_names(len(network.neurons)), network.rows, strict=True):
        notes: list[tuple[str, str, str]] = []
        for layer in row:
            kind = _kind(layer)
            _grow(fold, layer, f"Layer {index} ({kind})")
            notes.append((str(index), kind, "nothing" if isinstance(layer, (Dropout, Flatten)) else "weights"))
            index += 1
        shape = fold.target_shape
        if fold.any_shape:
            # Flattened maps that are added to flat neurons stay maps.
            linked = [
                _linked(ends[link.source], link, "Link")
                for link in network.links_to(len(ends))
                if link.source < len(ends)
            ]
            shape = next((other.target_shape for other in linked if not other.any_shape), shape)
        end = _End(rows=notes, name=assembly.reserve(wanted), layer=index, fold=fold, shape=shape)
        ends.append(end)
        fold = end.out(f"Layer {index}")
        index += 1
    return ends


def _linked(source: _End, link: Link, what: str) -> Fold:
    fold = source.out(what)
    for index, layer in enumerate(link.layers):
        _grow(fold, layer, f"{what}, layer {index} ({_kind(layer)})")
    return fold


def _readout(network: SpikingNetwork, end: _End, kind: str, reduce: str) -> FloatReadout:
    if kind != "linear":
        return FloatReadout(population=end.name, kind=kind, reduce=reduce)
    layer, outputs = network.readout, prod(end.shape)
    if isinstance(layer, Vote):
        if outputs % layer.voters:
            raise UnsupportedError(f"Readout (Vote) of {layer.voters} must divide the {outputs} neurons it reads")
        weights = np.kron(np.eye(outputs // layer.voters), np.full((1, layer.voters), 1 / layer.voters))
        bias = None
    elif isinstance(layer, Linear):
        weights, bias = _numbers(layer.weight), _maybe(layer.bias)
    else:
        raise UnsupportedError(f"Readout must be Vote or Linear to be exported, not {type(layer).__name__}")
    # Scores of rates are scores of counts, each spike worth a step's part.
    return FloatReadout(population=end.name, kind=kind, weights=weights / network.steps, bias=bias)


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
    elif isinstance(layer, ConvTranspose2d):
        transposed = layer.inner
        assert not isinstance(transposed.padding, str)
        fold.conv_transpose2d(
            _numbers(transposed.weight),
            _maybe(transposed.bias),
            stride=transposed.stride,
            padding=transposed.padding,
            output_padding=transposed.output_padding,
            groups=transposed.groups,
            what=what,
        )
    elif isinstance(layer, AvgPool2d):
        fold.avg_pool(layer.kernel, what=what)
    elif isinstance(layer, MaxPool2d):
        fold.max_pool(layer.kernel, what=what)
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


def _add(assembly: Assembly, neuron: Neuron, end: _End, folds: list[tuple[Fold, int]]) -> None:
    """Add a layer of neurons."""
    kind = type(neuron).__name__
    what = f"Layer {end.layer} ({kind})"
    gain, fields = _constants(neuron, what)
    if neuron.recurrent is not None:
        if not isinstance(neuron.recurrent, Linear) or len(end.shape) != 1:
            raise UnsupportedError(f"{what} must be recurrent through a Linear layer of a flat shape")
        loop = Fold(end.name, end.shape)
        _grow(loop, neuron.recurrent, f"{what} recurrent")
        folds.append((loop, 1))
    assembly.population(end.name, layer=str(end.layer), kind=kind, folds=folds, gain=gain, shape=end.shape, **fields)


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
