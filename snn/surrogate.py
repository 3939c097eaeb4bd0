"""Surrogate gradients: a step forward, something smooth backward.

Each is a function of x, the membrane's distance from its threshold: 1 where x >= 0, else 0. Its gradient is that of
a smooth step, given in the class.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["SURROGATES", "Atan", "Sigmoid", "Surrogate", "Triangle"]


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, surrogate: "Surrogate") -> Tensor:
        ctx.save_for_backward(x)
        ctx.surrogate = surrogate
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return gradients[0] * ctx.surrogate.slope(x), None


@dataclass(frozen=True, kw_only=True)
class Surrogate:
    """A step whose gradient is :meth:`slope`."""

    def __call__(self, x: Tensor) -> Tensor:
        result: Tensor = _Step.apply(x, self)
        return result

    def slope(self, x: Tensor) -> Tensor:
        """Gradient at ``x``, positive, largest at 0."""
        raise NotImplementedError

    def through(self, gradient: Tensor, x: Tensor, *, out: Tensor) -> Tensor:
        """``gradient`` of a spike times the slope at ``x``, which is overwritten."""
        return torch.mul(self.slope(x), gradient, out=out)


@dataclass(frozen=True, kw_only=True)
class Sigmoid(Surrogate):
    """``alpha * s * (1 - s)`` with ``s = 1 / (1 + exp(-alpha * x))``: alpha / 4 at 0."""

    alpha: float = 4.0

    def slope(self, x: Tensor) -> Tensor:
        s = torch.sigmoid(self.alpha * x)
        return self.alpha * s * (1 - s)

    def through(self, gradient: Tensor, x: Tensor, *, out: Tensor) -> Tensor:
        s = x.mul_(self.alpha).sigmoid_()
        return torch.mul(s.addcmul_(s, s, value=-1).mul_(self.alpha), gradient, out=out)


@dataclass(frozen=True, kw_only=True)
class Atan(Surrogate):
    """``alpha / 2 / (1 + (pi / 2 * alpha * x)**2)``: alpha / 2 at 0, heavy tails."""

    alpha: float = 2.0

    def slope(self, x: Tensor) -> Tensor:
        return self.alpha / 2 / (1 + (torch.pi / 2 * self.alpha * x) ** 2)


@dataclass(frozen=True, kw_only=True)
class Triangle(Surrogate):
    """``max(0, 1 - |x| / width) / width``: nothing beyond ``width`` of the threshold."""

    width: float = 1.0

    def slope(self, x: Tensor) -> Tensor:
        return (1 - x.abs() / self.width).clamp(min=0) / self.width


SURROGATES: dict[str, type[Surrogate]] = {"sigmoid": Sigmoid, "atan": Atan, "triangle": Triangle}
