"""Feedback networks: layers in a row, and a connection from the last back to the first.

They are written ``64C5s2-64C5s2-64C5`` and ``F64C3u2``: layers as in :mod:`snn.architecture`, and the feedback:

``FnCk``
    A convolution back to a first layer of n channels, of as many rows and columns as the last.
``FnCkuS``
    A transposed convolution back to a first layer S times as large.
``Fn``
    Dense, back to a first layer of n neurons.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod, sqrt

import torch
from torch import Tensor

from quant.graph import Shape

from ..architecture import ArchitectureError, Conv, Pool, parse
from .projection import Convolution, DenseProjection, Projection, TransposedConvolution

__all__ = ["FeedbackNetwork", "Layer", "build_network"]

_FEEDBACK = re.compile(r"F(?P<size>\d{1,5})(?:C(?P<kernel>\d{1,2})(?:u(?P<stride>\d{1,2}))?)?")

# Reset from threshold 1 to u_rest = -1.
_RESET = 2.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """Spiking neurons, and what leads to them from the layer before.

    Parameters
    ----------
    projection : Projection
    bias : Tensor
        One per channel, (C,).
    threshold, reset : Tensor
        Membrane that fires, and what a spike takes away: one, or per channel.
    """

    projection: Projection
    bias: Tensor
    threshold: Tensor
    reset: Tensor

    @property
    def shape(self) -> Shape:
        """Shape of the layer."""
        return self.projection.target

    def spread(self, values: Tensor) -> Tensor:
        """Values per channel, so that they meet maps (B, C, H, W) or neurons (B, N)."""
        return values.reshape(-1, *(1,) * (len(self.shape) - 1)) if values.ndim else values


@dataclass(frozen=True, kw_only=True, eq=False)
class FeedbackNetwork:
    """Layers in a row, a connection from the last to the first, and a linear readout of the last one's rates.

    Parameters
    ----------
    layers : tuple of Layer
    feedback : Projection, optional
    readout_weights, readout_bias : Tensor
        ``(classes, N)`` and ``(classes,)``.
    leak : float
        What a membrane keeps from step to step, after its reset; 1 of IF neurons.
    """

    layers: tuple[Layer, ...]
    feedback: Projection | None
    readout_weights: Tensor
    readout_bias: Tensor
    leak: float = 1.0

    def tensors(self) -> dict[str, Tensor]:
        """What is learned, by name."""
        named = {"readout_weights": self.readout_weights, "readout_bias": self.readout_bias}
        for index, layer in enumerate(self.layers):
            named |= {f"weights{index}": layer.projection.weights, f"bias{index}": layer.bias}
        return named if self.feedback is None else named | {"feedback": self.feedback.weights}

    def with_tensors(self, named: Mapping[str, Tensor]) -> "FeedbackNetwork":
        """The same network with others for its :meth:`tensors`."""
        layers = tuple(
            replace(
                layer,
                projection=_with_weights(layer.projection, named[f"weights{index}"]),
                bias=named[f"bias{index}"],
            )
            for index, layer in enumerate(self.layers)
        )
        return replace(
            self,
            layers=layers,
            feedback=None if self.feedback is None else _with_weights(self.feedback, named["feedback"]),
            readout_weights=named["readout_weights"],
            readout_bias=named["readout_bias"],
        )

    def scores(self, rates: Tensor) -> Tensor:
        """Scores (B, classes) of the last layer's rates."""
        return torch.addmm(self.readout_bias, rates.flatten(1), self.readout_weights.t())


def _with_weights(projection: Projection, weights: Tensor) -> Projection:
    return replace(projection, weights=weights)


def build_network(
    layers: str, feedback: str, *, shape: Shape, classes: int, leak: float = 1.0, seed: int = 0
) -> FeedbackNetwork:
    """A network with random weights, of standard deviation sqrt(2 / inputs).

    Parameters
    ----------
    layers, feedback : str
        See :mod:`snn.spide.network`; no feedback if empty.
    shape : tuple of int
        Of the input, ``(channels, rows, columns)``; a first dense layer sees it flattened.
    classes : int
    leak : float
    seed : int

    Raises
    ------
    ArchitectureError
        Naming the layer that cannot stand where it does.
    """
    random = torch.Generator().manual_seed(seed)
    built: list[Layer] = []
    source, pool = shape, 1
    for layer in parse(layers):
        if isinstance(layer, Pool):
            if layer.maximum or not built or pool > 1:
                raise ArchitectureError(
                    f"Pooling of {layers!r} must be one average after a layer of neurons: not MP, first, or twice"
                )
            pool = layer.kernel
            continue
        projection: Projection
        if isinstance(layer, Conv):
            projection = _convolution(layer, source, pool, random)
        else:
            inputs = _pooled_size(source, pool)
            weights = _normal((layer.neurons, inputs), inputs, random)
            if not built:
                source = (inputs,)
            projection = DenseProjection(weights=weights, source=source, target=(layer.neurons,), pool=pool)
        bias = torch.zeros(projection.target[0])
        built.append(Layer(projection=projection, bias=bias, threshold=torch.tensor(1.0), reset=torch.tensor(_RESET)))
        source, pool = projection.target, 1
    if not built or pool > 1:
        raise ArchitectureError(f"Layers {layers!r} must end in a layer of neurons")
    bound = 1 / sqrt(prod(source))
    return FeedbackNetwork(
        layers=tuple(built),
        feedback=_feedback(feedback, built[-1].shape, built[0].shape, random) if feedback else None,
        readout_weights=torch.empty(classes, prod(source)).uniform_(-bound, bound, generator=random),
        readout_bias=torch.zeros(classes),
        leak=leak,
    )


def _normal(shape: tuple[int, ...], inputs: int, random: torch.Generator) -> Tensor:
    return torch.empty(shape).normal_(0, sqrt(2 / inputs), generator=random)


def _pooled_size(source: Shape, pool: int) -> int:
    return prod(source) if pool == 1 else source[0] * (source[1] // pool) * (source[2] // pool)


def _convolution(layer: Conv, source: Shape, pool: int, random: torch.Generator) -> Convolution:
    channels, *sides = source
    if channels % layer.groups or layer.channels % layer.groups:
        raise ArchitectureError(f"Groups must divide {channels} and {layer.channels} channels, not be {layer.groups}")
    sizes = [(side // pool + 2 * layer.padding - layer.kernel) // layer.stride + 1 for side in sides]
    if min(sizes) < 1:
        raise ArchitectureError(f"Convolution of kernel {layer.kernel} must fit a map of {sides[0]} x {sides[1]}")
    shape = layer.channels, channels // layer.groups, layer.kernel, layer.kernel
    return Convolution(
        weights=_normal(shape, prod(shape[1:]), random),
        source=source,
        target=(layer.channels, sizes[0], sizes[1]),
        pool=pool,
        stride=layer.stride,
        padding=layer.padding,
        groups=layer.groups,
    )


def _feedback(text: str, source: Shape, target: Shape, random: torch.Generator) -> Projection:
    match = _FEEDBACK.fullmatch(text)
    if match is None:
        raise ArchitectureError(f"Feedback must be written as F400, F64C3 or F64C3u2, not {text!r}")
    size, wanted = int(match["size"]), target[0] if match["kernel"] else prod(target)
    if size != wanted:
        raise ArchitectureError(f"Feedback {text!r} must lead to the first layer's {wanted}, not {size}")
    if match["kernel"] is None:
        weights = _normal((size, prod(source)), prod(source), random)
        return DenseProjection(weights=weights, source=source, target=target)
    if len(source) != 3 or len(target) != 3:
        raise ArchitectureError(f"Feedback {text!r} must lead from a map to a map; write F{prod(target)} instead")
    kernel, stride = int(match["kernel"]), int(match["stride"] or 1)
    back = [(side + stride - 1) // stride for side in target[1:]]
    if match["stride"] is None:
        projection: Projection = Convolution(
            weights=_normal((size, source[0], kernel, kernel), source[0] * kernel**2, random),
            source=source,
            target=target,
            padding=kernel // 2,
        )
    else:
        projection = TransposedConvolution(
            weights=_normal((source[0], size, kernel, kernel), source[0] * kernel**2, random),
            source=source,
            target=target,
            stride=stride,
            padding=kernel // 2,
        )
    if kernel % 2 == 0 or list(source[1:]) != back:
        raise ArchitectureError(
            f"Feedback {text!r} must have an odd kernel and lead from {back[0]} x {back[1]} "
            f"to {target[1]} x {target[2]}, not from {source[1]} x {source[2]}"
        )
    return projection
