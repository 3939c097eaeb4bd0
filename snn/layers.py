"""Layers between neurons, over many steps: every one takes and gives (T, B, ...)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from quant.errors import NetworkError

__all__ = ["AvgPool2d", "BatchNorm", "Conv2d", "ConvTranspose2d", "Dropout", "Flatten", "Linear", "MaxPool2d", "Vote"]

Pair = int | tuple[int, int]


class Linear(nn.Linear):
    """``weight @ x + bias`` of the last axis.

    Parameters
    ----------
    inputs, outputs : int
    bias : bool
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, bias=bias)


class _Framewise(nn.Module):
    """A layer of PyTorch's that knows no time: all steps of all samples are one batch."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.inner(x.flatten(0, 1))
        return result.unflatten(0, x.shape[:2])


class Conv2d(_Framewise):
    """Cross-correlation of maps (T, B, C, H, W), as :class:`torch.nn.Conv2d` with zero padding.

    Maps of one dimension have H = 1, and a kernel of (1, k).
    """

    inner: nn.Conv2d

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Pair,
        *,
        stride: Pair = 1,
        padding: Pair = 0,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        inner = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=bias)
        # Channels last in memory: nearly twice as fast on a CPU; neurons and pools keep the order they are given.
        super().__init__(inner.to(memory_format=torch.channels_last))  # type: ignore[call-overload]


class ConvTranspose2d(_Framewise):
    """Transposed convolution of maps (T, B, C, H, W), as :class:`torch.nn.ConvTranspose2d`."""

    inner: nn.ConvTranspose2d

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Pair,
        *,
        stride: Pair = 1,
        padding: Pair = 0,
        output_padding: Pair = 0,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(
            nn.ConvTranspose2d(inputs, outputs, kernel, stride, padding, output_padding, groups=groups, bias=bias)
        )


class AvgPool2d(nn.Module):
    """Average of windows of ``kernel`` x ``kernel`` that do not overlap; what is left at the border is dropped."""

    def __init__(self, kernel: Pair) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = _Averages.apply(x.flatten(0, 1), self.kernel)
        return result.unflatten(0, x.shape[:2])


class _Averages(torch.autograd.Function):
    """PyTorch's own, whose gradient fills, scatters and copies, takes three times as long to train with."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Pair) -> Tensor:
        ctx.like, ctx.windows = x, _windows(kernel, x.shape[2:])
        total = sum((x[window] for window in ctx.windows[1:]), x[ctx.windows[0]])
        return total / len(ctx.windows)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        part = gradients[0] / len(ctx.windows)
        whole = part.numel() * len(ctx.windows) == ctx.like.numel()
        result = torch.empty_like(ctx.like) if whole else torch.zeros_like(ctx.like)
        for window in ctx.windows:
            result[window] = part
        return result, None


def _windows(kernel: Pair, sides: Sequence[int]) -> list[tuple[Any, ...]]:
    """Of each place in a window, the pixels that lie there."""
    high, wide = (kernel, kernel) if isinstance(kernel, int) else kernel
    ends = (sides[0] // high * high, sides[1] // wide * wide)
    return [
        (..., slice(row, ends[0], high), slice(column, ends[1], wide)) for row in range(high) for column in range(wide)
    ]


class MaxPool2d(_Framewise):
    """Maximum of windows of ``kernel`` x ``kernel`` that do not overlap: of spikes, their OR."""

    def __init__(self, kernel: Pair) -> None:
        super().__init__(nn.MaxPool2d(kernel))
        self.kernel = kernel


class BatchNorm(nn.Module):
    """Normalisation per channel over samples, steps and positions; it folds into the layer before it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.BatchNorm1d(channels)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < 3:
            raise NetworkError(f"BatchNorm must be given (T, B, channels, ...), not {tuple(x.shape)}")
        norm = self.inner
        if self.training and norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
        # The function takes maps of any number of axes, in any order in memory.
        result = functional.batch_norm(
            x.flatten(0, 1),
            norm.running_mean,
            norm.running_var,
            norm.weight,
            norm.bias,
            self.training,
            norm.momentum or 0.0,
            norm.eps,
        )
        return result.unflatten(0, x.shape[:2])


class Dropout(nn.Module):
    """Dropout that drops the same neurons in every step of a sample."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.inner = nn.Dropout(p)
        self._holds = False
        self._mask: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        mask: Tensor = self.inner(torch.ones_like(x[:1])) if self._mask is None else self._mask
        self._mask = mask if self._holds else None
        return x * mask

    def hold(self) -> None:
        """Drop the same until :meth:`release`: the steps of a sample come one by one."""
        self._holds = True

    def release(self) -> None:
        """Draw anew in every pass."""
        self._holds, self._mask = False, None


class Flatten(nn.Module):
    """(T, B, C, H, W) to (T, B, C*H*W)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2)


class Vote(nn.Module):
    """Mean over the ``voters`` neurons that stand for each class, one class after another: (B, N) to (B, classes)."""

    def __init__(self, voters: int) -> None:
        super().__init__()
        if voters < 1:
            raise NetworkError(f"Voters must be at least 1, not {voters}")
        self.voters = voters

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] % self.voters:
            raise NetworkError(f"Voters must divide the {x.shape[-1]} neurons, not be {self.voters}")
        return x.unflatten(-1, (-1, self.voters)).mean(-1)
