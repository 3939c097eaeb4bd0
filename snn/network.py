"""A network to train: layers and neurons in a row."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from quant.errors import NetworkError
from quant.model import FloatInput

from .neurons import Neuron

__all__ = ["SpikingNetwork"]


class SpikingNetwork(nn.Module):
    """Layers of :mod:`snn.layers` and neurons of :mod:`snn.neurons` in a row; the last is a neuron.

    Parameters
    ----------
    layers : iterable of module
    input : FloatInput
        Of kind ``events`` or ``current``. What comes before the first neuron is computed once a sample if ``current``.
    steps : int
        Time steps of a sample.
    """

    def __init__(self, layers: Iterable[nn.Module], *, input: FloatInput, steps: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.input = input
        self.steps = steps
        if not len(self.layers) or not isinstance(self.layers[-1], Neuron):
            raise NetworkError("Last layer of a spiking network must be a neuron")
        if input.kind not in ("events", "current"):
            raise NetworkError(f"Input of a spiking network must be of kind events or current, not {input.kind}")
        if steps < 1:
            raise NetworkError(f"Steps must be at least 1, not {steps}")

    @property
    def neurons(self) -> tuple[Neuron, ...]:
        """The neurons, in order."""
        return tuple(layer for layer in self.layers if isinstance(layer, Neuron))

    def forward(self, inputs: Tensor) -> Tensor:
        """Spikes of the last neuron, (T, B, N), of the integer inputs: (B, N) of kind current, else (B, T, N)."""
        return self.spikes(inputs)[-1]

    def spikes(self, inputs: Tensor) -> list[Tensor]:
        """Spikes of every neuron, each (T, B, ...)."""
        frames = inputs[None] if self.input.kind == "current" else inputs.movedim(1, 0)
        x = frames.reshape(*frames.shape[:2], *self.input.shape).to(self._dtype) * self.input.lsb
        spikes: list[Tensor] = []
        for layer in self.layers:
            if not isinstance(layer, Neuron):
                x = layer(x)
                continue
            if self.input.kind == "current" and not spikes:
                x = x.expand(self.steps, *x.shape[1:])
            x = layer(x)
            spikes.append(x)
        return spikes

    @property
    def _dtype(self) -> torch.dtype:
        return next((parameter.dtype for parameter in self.parameters()), torch.get_default_dtype())
