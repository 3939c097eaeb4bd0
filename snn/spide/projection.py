"""Connections as learning needs them: there, back, and the product of what both ends did.

``back`` is the adjoint of ``there``: ``sum(there(x) * y) == sum(x * back(y))``. ``correlate(y, x)`` is the gradient of
that sum by the weights, a product of local rates. None of them records a graph.
"""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.nn import functional
from torch.nn.grad import conv2d_weight

from quant.graph import Shape, Synapses

__all__ = ["Convolution", "DenseProjection", "Projection", "TransposedConvolution"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Projection:
    """A connection between layers of shapes ``source`` and ``target``.

    Parameters
    ----------
    weights : Tensor
        As of :class:`quant.graph.Synapses`.
    source, target : tuple of int
        ``(N,)`` or ``(C, H, W)``.
    pool : int
        Windows of pool x pool source neurons are averaged first; what is beyond the last whole window is not seen.
    """

    weights: Tensor
    source: Shape
    target: Shape
    pool: int = 1
    kind: str = field(default="", init=False)

    def there(self, values: Tensor) -> Tensor:
        """What arrives at the targets (B, *target) of the sources' ``values`` (B, *source)."""
        raise NotImplementedError

    def back(self, values: Tensor) -> Tensor:
        """What arrives at the sources (B, *source) of the targets' ``values`` (B, *target), the weights transposed."""
        raise NotImplementedError

    def correlate(self, post: Tensor, pre: Tensor) -> Tensor:
        """For each weight, the sum over the batch of its target's ``post`` times its source's ``pre``."""
        raise NotImplementedError

    def add_there(self, into: Tensor, values: Tensor) -> None:
        """Add :meth:`there` to ``into``."""
        into.add_(self.there(values))

    def add_back(self, into: Tensor, values: Tensor) -> None:
        """Add :meth:`back` to ``into``."""
        into.add_(self.back(values))

    def synapses(self, source: str, target: str, *, delay: int = 0) -> Synapses:
        """The connection of a float network; the worth of an average goes into the weights."""
        weights = self.weights.numpy().astype("float64") / self.pool**2
        return Synapses(
            source=source,
            target=target,
            kind=self.kind,
            weights=weights,
            pool=(self.pool, self.pool),
            delay=delay,
            **self._geometry(),
        )

    def _geometry(self) -> dict[str, Any]:
        return {}

    @property
    def _pooled_shape(self) -> Shape:
        if self.pool == 1:
            return self.source
        channels, height, width = self.source
        return channels, height // self.pool, width // self.pool

    def _pooled(self, values: Tensor) -> Tensor:
        return values if self.pool == 1 else functional.avg_pool2d(values, self.pool)

    def _unpooled(self, values: Tensor) -> Tensor:
        """Adjoint of :meth:`_pooled`."""
        if self.pool == 1:
            return values.reshape(-1, *self.source)
        maps = values.reshape(-1, *self._pooled_shape) / self.pool**2
        spread = maps.repeat_interleave(self.pool, 2).repeat_interleave(self.pool, 3)
        rows, columns = (whole - part for whole, part in zip(self.source[1:], spread.shape[2:], strict=True))
        return functional.pad(spread, (0, columns, 0, rows))


@dataclass(frozen=True, kw_only=True, eq=False)
class DenseProjection(Projection):
    """Every source to every target."""

    kind: str = field(default="dense", init=False)

    def there(self, values: Tensor) -> Tensor:
        return functional.linear(self._pooled(values).flatten(1), self.weights).reshape(-1, *self.target)

    def back(self, values: Tensor) -> Tensor:
        return self._unpooled(values.flatten(1) @ self.weights)

    def correlate(self, post: Tensor, pre: Tensor) -> Tensor:
        return post.flatten(1).t() @ self._pooled(pre).flatten(1)

    def add_there(self, into: Tensor, values: Tensor) -> None:
        into.view(len(into), -1).addmm_(self._pooled(values).flatten(1), self.weights.t())

    def add_back(self, into: Tensor, values: Tensor) -> None:
        if self.pool > 1:
            into.add_(self.back(values))
        else:
            into.view(len(into), -1).addmm_(values.flatten(1), self.weights)


@dataclass(frozen=True, kw_only=True, eq=False)
class Convolution(Projection):
    """Cross-correlation with zero padding."""

    stride: int = 1
    padding: int = 0
    groups: int = 1
    kind: str = field(default="conv2d", init=False)

    def there(self, values: Tensor) -> Tensor:
        return functional.conv2d(
            self._pooled(values), self.weights, None, self.stride, self.padding, groups=self.groups
        )

    def back(self, values: Tensor) -> Tensor:
        kernel, sizes = self.weights.shape[2], zip(self._pooled_shape[1:], self.target[1:], strict=True)
        left = [n - ((m - 1) * self.stride + kernel - 2 * self.padding) for n, m in sizes]
        maps = functional.conv_transpose2d(values, self.weights, None, self.stride, self.padding, left, self.groups)
        return self._unpooled(maps)

    def correlate(self, post: Tensor, pre: Tensor) -> Tensor:
        result: Tensor = conv2d_weight(
            self._pooled(pre), self.weights.shape, post, self.stride, self.padding, groups=self.groups
        )
        return result

    def _geometry(self) -> dict[str, Any]:
        pairs = {"stride": (self.stride, self.stride), "padding": (self.padding, self.padding)}
        return {**pairs, "groups": self.groups}


@dataclass(frozen=True, kw_only=True, eq=False)
class TransposedConvolution(Projection):
    """Transposed convolution: the map grows ``stride`` times. Weights are (C_in, C_out, k, k)."""

    stride: int = 1
    padding: int = 0
    kind: str = field(default="conv_transpose2d", init=False)

    @property
    def output_padding(self) -> tuple[int, ...]:
        """Rows and columns that make up for what the stride of the way there dropped."""
        kernel, sizes = self.weights.shape[2], zip(self.target[1:], self.source[1:], strict=True)
        return tuple(n - ((m - 1) * self.stride + kernel - 2 * self.padding) for n, m in sizes)

    def there(self, values: Tensor) -> Tensor:
        return functional.conv_transpose2d(values, self.weights, None, self.stride, self.padding, self.output_padding)

    def back(self, values: Tensor) -> Tensor:
        return functional.conv2d(values, self.weights, None, self.stride, self.padding)

    def correlate(self, post: Tensor, pre: Tensor) -> Tensor:
        result: Tensor = conv2d_weight(post, self.weights.shape, pre, self.stride, self.padding)
        return result

    def _geometry(self) -> dict[str, Any]:
        pairs = {"stride": (self.stride, self.stride), "padding": (self.padding, self.padding)}
        return {**pairs, "output_padding": self.output_padding}
