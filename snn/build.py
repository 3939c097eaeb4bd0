"""Recipes to networks of torch."""

from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from quant.errors import NetworkError
from quant.model import FloatInput

from .architecture import ArchitectureError, Conv, Dense, Pool, parse
from .datasets import Dataset
from .encode import Encoder
from .ettfs import Affine, normalize_weights, temporal_init
from .integrator import Integrator
from .layers import AvgPool2d, BatchNorm, Conv2d, Dropout, Flatten, Linear, MaxPool2d
from .loss import OF_DISTANCES
from .network import SpikingNetwork
from .neurons import IF, KLIF, LIF, TTFS, Neuron
from .recipes import SurrogateRecipe, TtfsRecipe
from .surrogate import SURROGATES, Surrogate

__all__ = ["build", "surrogate_of"]

_FEW = 1000


def build(recipe: SurrogateRecipe, data: Dataset) -> SpikingNetwork:
    """The network of a recipe, not trained.

    Raises
    ------
    ArchitectureError
        Naming the layer of the recipe that does not fit the map before it.
    """
    if recipe.decoder in OF_DISTANCES and not isinstance(recipe, TtfsRecipe):
        raise NetworkError(f"Decoder {recipe.decoder} of recipe {recipe.name} must be of ttfs, not {recipe.neuron}")
    encoder = Encoder.parse(recipe.encoder)
    low, high = encoder.input_low(data.low), encoder.input_high(data.high)
    maps = encoder.shape(data.shape)
    parts = [*parse(recipe.layers), Dense(neurons=data.classes)]
    # Dense layers on their own take the input flat.
    shape: tuple[int, ...] = (prod(maps),) if isinstance(parts[0], Dense) else maps
    lsb = 1 / (1 << (max(high, -low) - 1).bit_length())
    source = FloatInput(shape=shape, kind=encoder.kind, low=low, high=high, lsb=lsb)
    layers: list[nn.Module] = []
    square = _square(encoder, recipe, data) * source.lsb**2 if encoder.kind == "current" else None
    for index, part in enumerate(parts):
        if isinstance(part, Pool):
            layers.append((MaxPool2d if part.maximum else AvgPool2d)(part.kernel))
            shape = (shape[0], shape[1] // part.kernel, shape[2] // part.kernel)
        elif isinstance(part, Conv):
            layers += _convolution(part, shape[0], recipe, square=square)
            shape = (part.channels, *((side + 2 * part.padding - part.kernel) // part.stride + 1 for side in shape[1:]))
        else:
            layers += _dense(part, shape, recipe, square=square, first=index == 0, last=index == len(parts) - 1)
            shape = (part.neurons,)
        square = square if isinstance(part, Pool) else None
        if min(shape) < 1:
            raise ArchitectureError(f"Layer {index + 1} of {recipe.layers!r} must leave something of its map")
    return SpikingNetwork(layers, input=source, steps=recipe.steps)


def _square(encoder: Encoder, recipe: SurrogateRecipe, data: Dataset) -> float:
    """Mean square of a current's inputs, of a few training samples."""
    inputs = encoder(data.train_x[:_FEW], recipe.steps).astype(float)
    return float((inputs**2).mean()) or 1.0


def surrogate_of(recipe: SurrogateRecipe) -> Surrogate:
    """The surrogate gradient of a recipe."""
    width = "width" if recipe.surrogate == "triangle" else "alpha"
    return SURROGATES[recipe.surrogate](**{width: recipe.alpha})


def _convolution(part: Conv, channels: int, recipe: SurrogateRecipe, *, square: float | None) -> list[nn.Module]:
    try:
        layer = Conv2d(
            channels,
            part.channels,
            part.kernel,
            stride=part.stride,
            padding=part.padding,
            groups=part.groups,
            bias=recipe.bias,
        )
    except ValueError as error:
        raise ArchitectureError(f"Convolution to {part.channels} channels of {channels}: {error}") from None
    return [layer, *_normed(layer.inner, recipe, square=square), _neuron(recipe)]


def _dense(
    part: Dense, shape: tuple[int, ...], recipe: SurrogateRecipe, *, square: float | None, first: bool, last: bool
) -> list[nn.Module]:
    dropped = [] if first or len(shape) > 1 or not recipe.dropout else [Dropout(recipe.dropout)]
    flat = [Flatten()] if len(shape) > 1 else []
    linear = Linear(prod(shape), part.neurons, bias=last or recipe.bias)
    neuron = (
        Integrator(tau=recipe.output_tau)
        if last and recipe.decoder == "membrane"
        else _neuron(recipe, None if last else part.neurons, last=last)
    )
    return [*dropped, *flat, linear, *_normed(linear, recipe, square=square, last=last), neuron]


def _normed(
    layer: nn.Linear | nn.Conv2d, recipe: SurrogateRecipe, *, square: float | None, last: bool = False
) -> list[nn.Module]:
    """Prepare the weights of a layer by the recipe; what comes behind it.

    ``square``: mean square of the inputs if they are there in every step, None if they are spikes.
    """
    channels, beta = len(layer.weight), recipe.output_bias if last else 0.0
    after: list[nn.Module] = [BatchNorm(channels)] if recipe.norm and not last else []
    if not last:
        _spread(layer.weight, recipe)
    if isinstance(recipe, TtfsRecipe):
        if square is None and recipe.temporal_init:
            temporal_init(layer.weight, fan_in=layer.weight[0].numel(), steps=recipe.steps)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        if recipe.weight_norm:
            normalize_weights(layer, steps=recipe.steps if square is None else 1 / square)
        if recipe.affine:
            layer.register_parameter("bias", None)
            return [*after, Affine(channels, gamma=recipe.output_gain if last else 1.0, beta=beta)]
    if beta and layer.bias is not None:
        nn.init.constant_(layer.bias, beta)
    return after


def _neuron(recipe: SurrogateRecipe, flat: int | None = None, *, last: bool = False) -> Neuron:
    """Neurons of a layer; of a hidden dense one, which can be recurrent, ``flat`` of them."""
    surrogate = surrogate_of(recipe)
    if isinstance(recipe, TtfsRecipe):
        neuron = TTFS(threshold=recipe.threshold, surrogate=surrogate)
        neuron.distances = last and recipe.decoder in OF_DISTANCES
        return neuron
    if recipe.neuron not in ("if", "lif", "klif"):
        raise NetworkError(f"Neuron of recipe {recipe.name} must be if, lif or klif, not {recipe.neuron!r}")
    shared: dict[str, Any] = {
        "reset": recipe.reset,
        "threshold": recipe.threshold,
        "surrogate": surrogate,
        "recurrent": _recurrent(flat, recipe) if flat and recipe.recurrent else None,
    }
    if recipe.neuron == "if":
        return IF(**shared)
    kind = KLIF if recipe.neuron == "klif" else LIF
    return kind(tau=recipe.tau, decay_input=recipe.decay_input, learn_leak=recipe.learn_leak, **shared)


def _recurrent(neurons: int, recipe: SurrogateRecipe) -> Linear:
    layer = Linear(neurons, neurons, bias=False)
    _spread(layer.weight, recipe)
    return layer


def _spread(weights: Tensor, recipe: SurrogateRecipe) -> None:
    with torch.no_grad():
        weights *= recipe.spread
