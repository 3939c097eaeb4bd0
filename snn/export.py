"""From torch modules to the float network: everything linear folded into weights and biases.

A neuron's own constants fold too (see :mod:`snn.neurons`): its stored membrane is lam*V, so that the reset value
and the start are worth lam*u; ``decay_input`` goes into the weights; k of a KLIF goes into decay and weights, or,
with ``scale_reset``, into the threshold.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from quant.errors import UnsupportedError
from quant.graph import INPUT, Shape, Synapses
from quant.model import FloatNetwork, FloatPopulation, FloatReadout

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
    path = _Path(source=INPUT, shape=network.input.shape)
    populations: list[FloatPopulation] = []
    connections: list[Synapses] = []
    names = _names(len(network.neurons))
    for index, layer in enumerate(network.layers):
        if not isinstance(layer, Neuron):
            path.add(layer, f"Layer {index} ({type(layer).__name__})")
            continue
        population, incoming = _population(layer, path, names[len(populations)], f"Layer {index}")
        populations.append(population)
        connections += incoming
        path = _Path(source=population.name, shape=population.shape)
    return FloatNetwork(
        name=name,
        steps=network.steps,
        input=network.input,
        populations=tuple(populations),
        connections=tuple(connections),
        readout=FloatReadout(population=populations[-1].name, kind=readout),
        metadata=metadata or {},
    )


def _names(count: int) -> list[str]:
    hidden = ["hidden"] if count == 2 else [f"hidden{index}" for index in range(1, count)]
    return [*hidden, "output"] if count > 1 else ["output"]


def _numbers(tensor: torch.Tensor) -> Floats:
    return tensor.detach().cpu().double().numpy()


@dataclass
class _Path:
    """What stands between a source and the next neuron, folded into one connection as it grows."""

    source: str
    shape: Shape
    pool: int = 1
    weights: Floats | None = None
    bias: Floats | float = 0.0
    geometry: dict[str, Any] = field(default_factory=dict)

    def add(self, layer: nn.Module, what: str) -> None:
        """Fold one more layer in."""
        if isinstance(layer, (Dropout, Flatten)):
            return
        if isinstance(layer, (Linear, Conv2d)) and self.weights is not None:
            raise UnsupportedError(f"{what} follows another layer with weights; put a neuron between them")
        if isinstance(layer, Linear):
            self._add_linear(layer, what)
        elif isinstance(layer, Conv2d):
            self._add_conv(layer)
        elif isinstance(layer, AvgPool2d):
            self._add_pool(layer.kernel, what)
        elif isinstance(layer, BatchNorm):
            self._add_norm(layer.inner, what)
        else:
            raise UnsupportedError(f"{what} cannot be exported; use the layers of snn.layers and snn.neurons")

    @property
    def pooled(self) -> Shape:
        """Shape of the source after its pooling."""
        return (self.shape[0], *(side // self.pool for side in self.shape[1:]))

    def _add_linear(self, layer: Linear, what: str) -> None:
        if layer.in_features != prod(self.pooled):
            raise UnsupportedError(f"{what} must take all {prod(self.pooled)} neurons, not {layer.in_features}")
        self.geometry = {"kind": "dense"}
        self._start(layer)

    def _add_conv(self, layer: Conv2d) -> None:
        inner = layer.inner
        self.geometry = {"kind": "conv2d", "stride": inner.stride, "padding": inner.padding, "groups": inner.groups}
        self._start(inner)

    def _start(self, layer: nn.Linear | nn.Conv2d) -> None:
        self.weights = _numbers(layer.weight) / self.pool**2
        self.bias = 0.0 if layer.bias is None else _numbers(layer.bias)

    def _add_pool(self, kernel: int, what: str) -> None:
        if self.weights is None:
            self.pool *= kernel
        elif self.geometry["kind"] == "conv2d":
            self._compose(kernel)
        else:
            raise UnsupportedError(f"{what} must follow a convolution or a neuron, not a linear layer")

    def _compose(self, kernel: int) -> None:
        """A convolution, then a pool, as one convolution: its kernel averaged over the pool's shifts."""
        assert self.weights is not None
        rows, columns = self.geometry["stride"]
        height, width = self.weights.shape[2:]
        wide = np.zeros((*self.weights.shape[:2], height + (kernel - 1) * rows, width + (kernel - 1) * columns))
        for y in range(0, kernel * rows, rows):
            for x in range(0, kernel * columns, columns):
                wide[:, :, y : y + height, x : x + width] += self.weights / kernel**2
        self.weights = wide
        self.geometry["stride"] = (rows * kernel, columns * kernel)

    def _add_norm(self, norm: nn.BatchNorm1d, what: str) -> None:
        if self.weights is None or norm.running_var is None or norm.running_mean is None:
            raise UnsupportedError(f"{what} must follow a linear layer or a convolution, to be folded into it")
        gain = _numbers(norm.weight) / np.sqrt(_numbers(norm.running_var) + norm.eps)
        self.bias = (self.bias - _numbers(norm.running_mean)) * gain + _numbers(norm.bias)
        self.weights = self.weights * gain.reshape(-1, *(1,) * (self.weights.ndim - 1))

    def connection(self, target: str, gain: float, *, delay: int = 0) -> Synapses:
        """The connection into ``target``, whose currents are multiplied by ``gain``."""
        assert self.weights is not None
        fields = {"weights": self.weights * gain, "pool": (self.pool, self.pool), "delay": delay, **self.geometry}
        return Synapses(source=self.source, target=target, **fields)


def _population(neuron: Neuron, path: _Path, name: str, layer: str) -> tuple[FloatPopulation, tuple[Synapses, ...]]:
    what = f"{layer} ({type(neuron).__name__})"
    if path.weights is None:
        raise UnsupportedError(f"{what} must follow a linear layer or a convolution")
    gain, fields = _constants(neuron, what)
    bias = path.bias * gain + fields.pop("bias", 0.0)
    connections: tuple[Synapses, ...] = (path.connection(name, gain),)
    shape = connections[0].target_shape(path.shape)
    if neuron.recurrent is not None:
        if not isinstance(neuron.recurrent, Linear) or len(shape) != 1:
            raise UnsupportedError(f"{what} must be recurrent through a Linear layer of a flat shape")
        loop = _Path(source=name, shape=shape)
        loop.add(neuron.recurrent, f"{what} recurrent")
        bias = bias + loop.bias * gain
        connections += (loop.connection(name, gain, delay=1),)
    return FloatPopulation(name=name, shape=shape, bias=bias, **fields), connections


def _constants(neuron: Neuron, what: str) -> tuple[float, dict[str, Any]]:
    """Gain of the currents, and fields of the population."""
    if isinstance(neuron, TTFS):
        return 1.0, {"threshold": neuron.threshold, "reset": "latch"}
    if not isinstance(neuron, LIF):
        raise UnsupportedError(f"{what} cannot be exported; use the neurons of snn.neurons")
    slope, scale = 1.0, 1.0
    if isinstance(neuron, KLIF):
        k = float(neuron.k.detach())
        if k <= 0:
            raise UnsupportedError(f"{what} has learned k = {k:g}; k must be positive. Train with another seed or rate")
        slope, scale = (1.0, k) if neuron.scale_reset else (k, 1.0)
    decay = slope * neuron.leak
    fields: dict[str, Any] = {
        "threshold": neuron.threshold / scale,
        "reset": neuron.reset,
        "reset_value": neuron.reset_value,
        "decay": decay,
        "rectify": isinstance(neuron, KLIF),
        "bias": slope * neuron.reset_value / neuron.tau,
        "initial": decay * neuron.reset_value,
    }
    return slope * neuron.gain, fields
