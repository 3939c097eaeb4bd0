"""Quantization-aware training: the integer network in torch, the same integers as :mod:`sim.golden`.

The forward pass is the update rule of :mod:`quant.ir`, in floating point that holds every integer exactly; the
gradients are those of :mod:`snn.integers`.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from quant.errors import NetworkError, UnsupportedError
from quant.graph import INPUT
from quant.ir import Decay, Network
from quant.model import FloatNetwork
from quant.rounding import channel_scale

from .integers import IntegerNeurons, IntegerSynapses
from .surrogate import Sigmoid, Surrogate

__all__ = ["IntegerTwin"]

_SIGMOID = Sigmoid()
# Integers that float32 holds exactly.
_EXACT = 1 << 24


class IntegerTwin(nn.Module):
    """An integer network whose weights, biases and, if wanted, thresholds can be trained.

    Parameters
    ----------
    model : FloatNetwork
        Weights and biases to start from, and a scale for every population.
    network : Network
        What the model quantizes to: widths, resets, decays and rails are taken from it and stay.
    surrogate : Surrogate
        Gradient of a spike.
    dropout : float
        Part of the neurons of flat layers that is silent to its targets, all sample long, while the module trains.
    distances : bool
        Give (H - theta) / theta of the last population in place of its spikes: for a loss.
    thresholds : bool
        Train thresholds too, but of neurons that are reset by subtraction, are ternary, or fire above them only.

    Attributes
    ----------
    membranes : dict of str to Tensor, (T, B, N)
        V as stored after each step of the last forward pass, if ``record``.

    Raises
    ------
    UnsupportedError
        If the input is of kind ``rate`` or ``latency``, or a sum does not fit float64.
    """

    def __init__(
        self,
        model: FloatNetwork,
        network: Network,
        *,
        surrogate: Surrogate = _SIGMOID,
        dropout: float = 0.0,
        distances: bool = False,
        thresholds: bool = False,
    ) -> None:
        super().__init__()
        if network.input.coded:
            raise UnsupportedError(f"Input of kind {network.input.kind} cannot be trained with; use events or current")
        self.model, self.network, self.dropout, self.distances = model, network, dropout, distances
        self.dtype = _dtype(network)
        synapses, neurons = [], []
        for item, source in zip(network.connections, model.connections, strict=True):
            scale = _unit(model, item.target) / model.lsb_of(item.source)
            scales = channel_scale(item, network[item.target].shape, scale)
            shape = network.shape_of(item.source)
            synapses.append(IntegerSynapses(item, np.asarray(source.weights), scales, shape, self.dtype))
        for name in network.order:
            exact, unit = model[name], _unit(model, name)
            # A reset by subtraction takes the threshold away, and would have to be trained with it.
            fixed = (
                not thresholds or exact.threshold is None or exact.reset == "subtract" or exact.strict or exact.ternary
            )
            level = None if fixed else np.asarray(exact.threshold, np.float64)
            bias = np.asarray(exact.bias)
            neurons.append(IntegerNeurons(network[name], bias, unit, surrogate, self.dtype, threshold=level))
        self.synapses, self.neurons = tuple(synapses), tuple(neurons)
        self.parts = nn.ModuleList([*synapses, *neurons])
        self.record = False
        self.membranes: dict[str, Tensor] = {}

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """Spikes of every population, (T, B, N), in the network's order; of one that never fires, what H is worth.

        ``inputs`` are the integers that the network takes: (B, T, N) of kind events, (B, N) of kind current.
        """
        inputs = inputs.to(self.dtype)
        constant = self.network.input.kind == "current"
        weights = [synapses.rounded() for synapses in self.synapses]
        drives = self._constant_drives(inputs, weights) if constant else {}
        biases = [neurons.rounded() for neurons in self.neurons]
        for neurons in self.neurons:
            neurons.start(len(inputs))
        before = {
            name: torch.zeros(len(inputs), self.network[name].size, dtype=self.dtype) for name in self.network.order
        }
        before[INPUT] = torch.zeros(len(inputs), self.network.input.size, dtype=self.dtype)
        heard = {name: self._heard(name, values) for name, values in before.items() if name != INPUT}
        spikes: dict[str, list[Tensor]] = {name: [] for name in self.network.order}
        kept: dict[str, list[Tensor]] = {name: [] for name in self.network.order}
        for step in range(self.network.steps if constant else inputs.shape[1]):
            now = {INPUT: inputs if constant else inputs[:, step]}
            for name, neurons, bias in zip(self.network.order, self.neurons, biases, strict=True):
                now[name] = neurons.step(self._drive(name, now, before, weights, drives), bias)
                if neurons.threshold is None:
                    spikes[name].append(neurons.worth)
                else:
                    shown = self.distances and name == self.network.order[-1]
                    spikes[name].append(neurons.distance if shown else now[name])
                share = heard[name]
                if share is not None:
                    now[name] = now[name] * share
                if self.record:
                    kept[name].append(neurons.stored.detach())
            before = now
        self.membranes = {name: torch.stack(values) for name, values in kept.items() if values}
        return [torch.stack(spikes[name]) for name in self.network.order]

    def _heard(self, name: str, values: Tensor) -> Tensor | None:
        """What to multiply the spikes of a population by, so that some of its neurons are dropped."""
        dropped = self.training and self.dropout and len(self.network[name].shape) == 1
        return functional.dropout(torch.ones_like(values), self.dropout) if dropped else None

    def _constant_drives(self, inputs: Tensor, weights: list[Tensor]) -> dict[int, Tensor]:
        """What a constant input brings in every step, by connection."""
        return {
            index: synapses(inputs, weights[index])
            for index, synapses in enumerate(self.synapses)
            if synapses.connection.source == INPUT
        }

    def _drive(
        self,
        name: str,
        now: dict[str, Tensor],
        before: dict[str, Tensor],
        weights: list[Tensor],
        constant: dict[int, Tensor],
    ) -> Tensor:
        drives = []
        for index, synapses in enumerate(self.synapses):
            item = synapses.connection
            if item.target != name:
                continue
            arrived = constant.get(index)
            if arrived is None:
                arrived = synapses((before if item.delay else now)[item.source], weights[index])
            drives.append(arrived)
        return torch.stack(drives).sum(0) if len(drives) > 1 else drives[0]

    def adopt(self, network: Network) -> None:
        """Take thresholds, resets, initial membranes and rails of another quantization of the same model."""
        self.network = network
        for name, neurons in zip(network.order, self.neurons, strict=True):
            neurons.load(network[name])

    def to_float(self, metadata: Mapping[str, Any] | None = None) -> FloatNetwork:
        """The model with what was trained, and its decays, on the grid of the integers used here."""
        connections = [
            replace(source, weights=synapses.integers() * np.asarray(synapses.scale))
            for source, synapses in zip(self.model.connections, self.synapses, strict=True)
        ]
        biases = {
            name: neurons.integers() * neurons.unit
            for name, neurons in zip(self.network.order, self.neurons, strict=True)
        }
        levels = {
            name: self.model[name].threshold if trained is None else trained * neurons.unit
            for name, neurons in zip(self.network.order, self.neurons, strict=True)
            for trained in [neurons.thresholds()]
        }
        populations = [
            replace(
                item,
                bias=biases[item.name],
                threshold=levels[item.name],
                decay=_fraction(self.network[item.name].decay),
                current_decay=_fraction(self.network[item.name].current_decay),
            )
            for item in self.model.populations
        ]
        return replace(
            self.model,
            connections=tuple(connections),
            populations=tuple(populations),
            metadata=self.model.metadata if metadata is None else metadata,
        )


def _fraction(decay: Decay | None) -> NDArray[np.float64] | None:
    return None if decay is None else decay.numerator / 2.0**decay.shift


def _unit(model: FloatNetwork, name: str) -> NDArray[np.float64]:
    """What the integer 1 of a membrane is worth, one or per channel."""
    if name not in model.scales:
        raise NetworkError(f"Population {name} must have a scale to be trained with integers")
    return np.asarray(model.scales[name]) * model.lsb_of(model.incoming(name)[0].source)


def _dtype(network: Network) -> torch.dtype:
    """float32 if it holds every sum whatever the weights become, else float64."""
    largest = max(_largest(network, name) for name in network.order)
    if largest > 1 << 52:
        raise UnsupportedError(f"Sums of up to {largest} do not fit float64; use narrower rails or fewer weight bits")
    return torch.float32 if largest <= _EXACT else torch.float64


def _largest(network: Network, name: str) -> int:
    """Bound of the magnitude of everything that a step of a population computes."""
    population = network[name]
    total = 0
    for item in network.incoming(name):
        values = network.value_range(item.source)
        taps = prod(item.weights.shape) // (1 if item.kind in ("max_pool", "identity") else item.weights.shape[0])
        taps = 1 if item.kind in ("max_pool", "identity") else taps
        total += taps * prod(item.pool) * max(-values.low, values.high) << (item.weight_bits - 1)
    amounts = [population.bias, population.reset_value, population.reset_amount, population.threshold]
    total += sum(int(np.abs(amount).max()) for amount in amounts if amount is not None)
    total += max(-population.state_min, population.state_max) + max(-population.current_min, population.current_max)
    decays = [item for item in (population.decay, population.current_decay) if item is not None]
    return max(total * int(item.numerator.max()) + item.half for item in decays) + total
