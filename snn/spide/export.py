"""Feedback networks as float networks, and on the grid of the integers that they become."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from math import floor, log2
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quant.graph import INPUT, Synapses
from quant.model import FloatInput, FloatNetwork, FloatPopulation, FloatReadout
from quant.rounding import round_amount, round_threshold, weight_limits

from .network import FeedbackNetwork, Layer

__all__ = ["Grid", "from_float", "population_names", "to_float"]

_READOUT_BITS = 8


def population_names(network: FeedbackNetwork) -> tuple[str, ...]:
    """Names of the layers in a float network."""
    return tuple(f"layer{index}" for index in range(1, len(network.layers) + 1))


def to_float(
    network: FeedbackNetwork,
    *,
    name: str,
    steps: int,
    source: FloatInput,
    scales: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> FloatNetwork:
    """The network of ``steps`` steps whose linear readout reads spike counts, its weights in half precision.

    ``source`` is the constant input, of the shape that the first layer sees.
    """
    names = population_names(network)
    connections = [
        _packed(layer.projection.synapses(before, own))
        for layer, before, own in zip(network.layers, (INPUT, *names[:-1]), names, strict=True)
    ]
    if network.feedback is not None:
        connections.insert(1, _packed(network.feedback.synapses(names[-1], names[0], delay=1)))
    return FloatNetwork(
        name=name,
        steps=steps,
        input=source,
        populations=tuple(
            FloatPopulation(
                name=own,
                shape=layer.shape,
                threshold=1.0,
                reset="subtract",
                reset_amount=2.0,
                decay=network.leak,
                bias=layer.bias.numpy().astype(np.float64),
            )
            for own, layer in zip(names, network.layers, strict=True)
        ),
        connections=tuple(connections),
        readout=FloatReadout(
            population=names[-1],
            kind="linear",
            weights=network.readout_weights.numpy().astype(np.float64) / steps,
            bias=network.readout_bias.numpy().astype(np.float64),
        ),
        scales=scales or {},
        metadata=metadata or {},
    )


def from_float(network: FeedbackNetwork, model: FloatNetwork) -> FeedbackNetwork:
    """The network with the weights and biases of the float network that :func:`to_float` made of its like."""
    chain = (INPUT, *population_names(network))
    weights = {(item.source, item.target): item.weights for item in model.connections}
    named = {
        "readout_weights": model.readout.weights * model.steps,
        "readout_bias": model.readout.bias,
    }
    for index, (layer, ends) in enumerate(zip(network.layers, pairwise(chain), strict=True)):
        named[f"weights{index}"] = weights[ends].astype(np.float32) * layer.projection.pool**2
        named[f"bias{index}"] = np.broadcast_to(model[ends[1]].bias, layer.bias.shape)
    if network.feedback is not None:
        named["feedback"] = weights[chain[-1], chain[1]]
    return network.with_tensors({name: _tensor(np.array(values)) for name, values in named.items()})


class Grid:
    """The integers that a network becomes, as the real numbers that they are worth.

    Parameters
    ----------
    model : FloatNetwork
        With a scale for every population, of few significant bits.
    bits : int
        Width of a weight.
    """

    def __init__(self, model: FloatNetwork, *, bits: int) -> None:
        self.model = model
        self.low, self.high = weight_limits(bits)

    def rounded(self, network: FeedbackNetwork) -> FeedbackNetwork:
        """The network with weights, biases, thresholds and resets that are whole in membranes' units.

        Spikes are then those of the integer network, as long as no membrane leaves the 24 bits of a float32 or the
        integer network's rails.
        """
        layers = []
        for name, layer in zip(population_names(network), network.layers, strict=True):
            unit = self._unit(name)
            lsb = self._unit(name) / self.model.lsb_of(self.model.incoming(name)[0].source)
            bias = _tensor(round_amount(layer.bias.numpy(), unit) * unit)
            layers.append(
                Layer(
                    projection=replace(layer.projection, weights=self._weights(layer.projection, lsb)),
                    bias=bias,
                    threshold=_tensor(round_threshold(1.0, unit, strict=False) * unit),
                    reset=_tensor(round_amount(2.0, unit) * unit),
                )
            )
        feedback = network.feedback
        if feedback is not None:
            feedback = replace(feedback, weights=self._weights(feedback, self._unit(population_names(network)[0])))
        weights, bias = self._readout(network)
        return replace(network, layers=tuple(layers), feedback=feedback, readout_weights=weights, readout_bias=bias)

    def _unit(self, name: str) -> NDArray[np.float64]:
        scale = np.asarray(self.model.scales[name], np.float64)
        return scale * self.model.lsb_of(self.model.incoming(name)[0].source)

    def _weights(self, projection: Any, lsb: NDArray[np.float64]) -> Tensor:
        weights = projection.weights
        if projection.kind == "dense" and lsb.size > 1:
            lsb = np.repeat(lsb, len(weights) // lsb.size)
        shape = [1] * weights.ndim
        shape[projection.kind == "conv_transpose2d"] = lsb.size
        grid = _tensor(lsb * projection.pool**2).reshape(shape)
        return torch.round(weights / grid).clamp_(self.low, self.high).mul_(grid)

    def _readout(self, network: FeedbackNetwork) -> tuple[Tensor, Tensor]:
        """Weights of few bits, and a bias, in one power of two; both are of counts, here turned to rates."""
        steps = self.model.steps
        weights = network.readout_weights / steps
        low, high = weight_limits(_READOUT_BITS)
        grid = 2.0 ** (floor(log2(max(float(weights.abs().max()), 2.0**-60))) - _READOUT_BITS + 2)
        whole = torch.round(weights / grid).clamp_(low, high).mul_(grid)
        return whole * steps, torch.round(network.readout_bias / grid).mul_(grid)


def _packed(connection: Synapses) -> Synapses:
    return replace(connection, weights=connection.weights.astype(np.float16))


def _tensor(values: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32))
