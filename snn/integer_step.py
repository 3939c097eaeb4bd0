"""One step of integer neurons as one function: the rule of :mod:`snn.integers`, with its gradient written out.

Autograd would write and read a few dozen maps a step. Binary neurons are done here; the rest goes step by step.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .surrogate import Surrogate

__all__ = ["Numbers", "advance"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Numbers:
    """The integers of a population, each (N,), and its options; the names are those of :class:`quant.ir.Population`.

    ``keeps``: the decay is one.

    The threshold is given to :func:`advance`, for it can be trained.
    """

    reset: str
    reset_value: Tensor
    reset_amount: Tensor | None
    rectify: bool
    numerator: Tensor
    shift: int
    half: int
    keeps: bool
    low: int
    high: int
    surrogate: Surrogate

    def kept(self, total: Tensor, spike: Tensor) -> Tensor:
        """V' before its decay: a new tensor."""
        kept = torch.relu(total) if self.rectify else total.clone()
        if self.reset == "zero":
            return kept.addcmul_(kept - self.reset_value, spike, value=-1)
        if self.reset == "subtract" and self.reset_amount is not None:
            return kept.addcmul_(spike, self.reset_amount, value=-1)
        return kept

    def shifted(self, kept: Tensor) -> Tensor:
        """The decayed V' without its rails, in the place of ``kept``."""
        if self.keeps:
            return kept
        return kept.mul_(self.numerator).add_(self.half).div_(1 << self.shift).floor_()


def advance(
    membrane: Tensor, drive: Tensor, bias: Tensor, threshold: Tensor, fired: Tensor | None, numbers: Numbers
) -> tuple[Tensor, ...]:
    """H, spikes, the next membrane and, of a latch, who has fired; each (B, N). Bias and threshold are (N,)."""
    result: tuple[Tensor, ...] = _Advance.apply(membrane, drive, bias, threshold, fired, numbers)
    return result


class _Advance(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        membrane: Tensor,
        drive: Tensor,
        bias: Tensor,
        threshold: Tensor,
        fired: Tensor | None,
        numbers: Numbers,
    ) -> Any:
        total = (membrane + drive).add_(bias)
        spike = (total >= threshold).to(total.dtype)
        later = None
        if fired is not None:
            spike.mul_(1 - fired)
            later = fired + spike
        stored = numbers.shifted(numbers.kept(total, spike)).clamp_(numbers.low, numbers.high)
        ctx.save_for_backward(total, spike, threshold, fired)
        ctx.numbers = numbers
        ctx.set_materialize_grads(False)
        return (total, spike, stored) if later is None else (total, spike, stored, later)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *given: Tensor | None) -> tuple[Tensor | None, ...]:
        total, spike, threshold, fired = ctx.saved_tensors
        numbers: Numbers = ctx.numbers
        of_total, of_spike, of_stored, of_later = (*given, None)[:4]
        wanted = torch.zeros_like(total) if of_total is None else of_total.clone()
        sparked = torch.zeros_like(total) if of_spike is None else of_spike.clone()
        of_fired = None
        if fired is not None:
            if of_later is not None:
                sparked.add_(of_later)
            crossed = (total >= threshold).to(total.dtype)
            of_fired = -sparked * crossed if of_later is None else of_later - sparked * crossed
            sparked.mul_(1 - fired)
        if of_stored is not None:
            kept = numbers.kept(total, spike)
            shifted = numbers.shifted(kept)
            inside = (shifted >= numbers.low) & (shifted <= numbers.high)
            of_kept = of_stored * inside
            if not numbers.keeps:
                of_kept.mul_(numbers.numerator / (1 << numbers.shift))
            if numbers.reset == "zero":
                before = torch.relu(total) if numbers.rectify else total
                sparked.addcmul_(of_kept, before - numbers.reset_value, value=-1)
                of_kept.addcmul_(of_kept, spike, value=-1)
            elif numbers.reset == "subtract" and numbers.reset_amount is not None:
                sparked.addcmul_(of_kept, numbers.reset_amount, value=-1)
            wanted.add_(of_kept.mul_(total > 0) if numbers.rectify else of_kept)
        sparked.mul_(numbers.surrogate.slope((total - threshold).div_(threshold))).div_(threshold)
        wanted.add_(sparked)
        of_threshold = -sparked.mul_(total).sum(0) / threshold if ctx.needs_input_grad[3] else None
        return wanted, wanted, wanted.sum(0), of_threshold, of_fired, None
