"""ETTFS: what keeps networks of one spike a neuron trainable when they are deep (Che et al., 2024).

An input that spikes once, at any of T steps alike, is there in a step with probability 1/T. N of them under weights of
variance s**2 are a current of variance N * s**2 / T a step, so that with s = sqrt(T / N) it is 1 in every step and
layer; the usual initialisation leaves 1/T of it. Weights are drawn so (:func:`temporal_init`), are kept so while they
train (:func:`normalize_weights`), and what freedom they lose an :class:`Affine` of the current gives back. Instead of
1/T, an input that is there in every step has a mean square. All three fold into weights and biases.

The fourth part is the temporal weighting decoder, see :mod:`snn.loss`; the fifth, that pools average: a maximum of
windows spikes once for each of its neurons.
"""

from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from quant.errors import NetworkError

from .layers import Conv2d, Linear

__all__ = ["Affine", "NormalizedWeights", "normalize_weights", "temporal_init"]

_SMALLEST = 1e-12


def temporal_init(weights: Tensor, *, fan_in: int, steps: int) -> None:
    """Draw ``weights`` from U(-sqrt(3T/N), +sqrt(3T/N)), in place: of variance T/N."""
    bound = sqrt(3 * steps / fan_in)
    with torch.no_grad():
        weights.uniform_(-bound, bound)


class NormalizedWeights(nn.Module):
    """``(W - mean) / std * sigma``, mean and standard deviation over all inputs of an output.

    Parameters
    ----------
    sigma : float
        Standard deviation of the weights of every output, positive.
    """

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, weights: Tensor) -> Tensor:
        # Sums one after the other: torch.var_mean rounds in another way on another processor.
        inputs = tuple(range(1, weights.ndim))
        centred = weights - weights.mean(inputs, keepdim=True)
        variance = centred.square().mean(inputs, keepdim=True)
        return centred * (self.sigma / variance.clamp(min=_SMALLEST).sqrt())


def normalize_weights(layer: nn.Linear | nn.Conv2d, *, steps: float) -> None:
    """Have the weights of ``layer`` normalised from now on, with sigma = sqrt(T/N), N being the inputs of an output.

    What is trained lies behind: the layer's ``weight`` is computed from it.

    Parameters
    ----------
    layer : Linear or Conv2d
    steps : float
        T of inputs that spike once; of others, 1 by their mean square in a step.
    """
    inputs = layer.weight[0].numel()
    if inputs < 2:
        raise NetworkError("Layer must have at least 2 inputs for its weights to be normalised, not 1")
    parametrize.register_parametrization(layer, "weight", NormalizedWeights(sqrt(steps / inputs)))


class Affine(nn.Module):
    """``gamma * x + beta`` of currents (T, B, channels, ...), both learned, one a channel.

    Parameters
    ----------
    channels : int
    gamma, beta : float
        Where they start.
    """

    def __init__(self, channels: int, *, gamma: float = 1.0, beta: float = 0.0) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((channels,), float(gamma)))
        self.beta = nn.Parameter(torch.full((channels,), float(beta)))

    def behind(self, layer: Linear | Conv2d, x: Tensor) -> Tensor:
        """``self(layer(x))``, worked out as it folds: gamma in the weights, which are fewer than the currents."""
        inner = layer.inner if isinstance(layer, Conv2d) else layer
        weight = inner.weight  # Worked out at every look.
        weight = weight * self.gamma.reshape(-1, *(1,) * (weight.ndim - 1))
        bias = self.beta if inner.bias is None else self.beta + self.gamma * inner.bias
        if isinstance(inner, nn.Linear):
            return functional.linear(x, weight, bias)
        frames = functional.conv2d(
            x.flatten(0, 1), weight, bias, inner.stride, inner.padding, inner.dilation, inner.groups
        )
        return frames.unflatten(0, x.shape[:2])

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < 3 or x.shape[2] != len(self.gamma):
            raise NetworkError(f"Affine must be given (T, B, {len(self.gamma)}, ...), not {tuple(x.shape)}")
        shape = (-1, *(1,) * (x.ndim - 3))
        return x * self.gamma.reshape(shape) + self.beta.reshape(shape)
