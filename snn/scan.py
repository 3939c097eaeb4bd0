"""All steps of a layer of neurons at once: the rules of :mod:`snn.neurons`, with their gradients written out.

Step by step, autograd would write and read a dozen maps a step. Neurons of a layer do not see each other, so that here
a few samples at a time run through all steps within the caches, in place, and only H and S are kept. The spikes are
those of the steps one by one, bit for bit; the gradients are theirs but for rounding.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .surrogate import Surrogate

__all__ = ["Rule", "latched", "leaky"]

# Numbers of a step that are worked on together: fewer cost more in calls, more leave the caches.
_BLOCK = 1 << 16

Number = float | Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Rule:
    """What leaky neurons do, but for what they learn; the names are those of :class:`snn.neurons.KLIF`."""

    threshold: Number
    decay_input: bool
    reset: str
    reset_value: float
    detach_reset: bool
    scale_reset: bool
    dead_learn: bool
    surrogate: Surrogate

    def keep(self, total: Tensor, spike: Tensor, k: Number | None, amount: Number, *, out: Tensor) -> Tensor:
        """V of the next step, from H before it is rectified, and S."""
        if k is None:
            out.copy_(total)
        else:
            torch.clamp_min(total, 0, out=out)
            if self.scale_reset:
                out.div_(k)
        if self.reset == "zero":
            out.addcmul_(out, spike, value=-1)
            if self.reset_value:
                out.add_(spike, alpha=self.reset_value)
        elif self.reset == "subtract":
            _subtract(out, spike, amount)
        return out


def leaky(currents: Tensor, leak: Number, loss: Number, k: Tensor | None, rule: Rule) -> Tensor:
    """Spikes of leaky neurons, both (T, B, ...), rectified if they have a slope ``k``.

    ``leak`` is lam and ``loss`` 1 - lam. Tensors among them learn.
    """
    learned = leak if isinstance(leak, Tensor) else None
    result: Tensor = _Leaky.apply(currents, learned, k, (_plain(leak), _plain(loss), _plain(k)), rule)
    return result


def latched(currents: Tensor, threshold: Number, surrogate: Surrogate) -> Tensor:
    """Spikes of neurons that integrate and fire once, both (T, B, ...)."""
    result: Tensor = _Latched.apply(currents, threshold, surrogate)
    return result


def _blocks(currents: Tensor) -> Iterator[slice]:
    samples = currents.shape[1]
    size = max(1, _BLOCK * samples // max(1, currents[0].numel()))
    return (slice(start, start + size) for start in range(0, samples, size))


def _plain(value: Number | None) -> Any:
    """A tensor without its gradient; one number as a float, which torch multiplies by faster."""
    if not isinstance(value, Tensor):
        return value
    return value.item() if value.ndim == 0 else value.detach()


def _subtract(values: Tensor, spike: Tensor, amount: Number) -> None:
    if isinstance(amount, Tensor):
        values.addcmul_(spike, amount, value=-1)
    else:
        values.sub_(spike, alpha=amount)


class _Leaky(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, currents: Tensor, learned: Tensor | None, slope: Tensor | None, plain: Any, rule: Rule
    ) -> Tensor:
        leak, loss, k = plain
        amount = _plain(rule.threshold / slope) if rule.scale_reset and slope is not None else rule.threshold
        totals, spikes = torch.empty_like(currents), torch.empty_like(currents)
        for block in _blocks(currents):
            membrane = torch.full_like(currents[0, block], rule.reset_value)
            for current, total, spike in zip(currents[:, block], totals[:, block], spikes[:, block], strict=True):
                membrane.mul_(leak)
                if rule.decay_input:
                    torch.mul(current, loss, out=total).add_(membrane)
                else:
                    torch.add(membrane, current, out=total)
                if rule.reset_value:
                    total.add_(rule.reset_value * loss)
                if k is not None:
                    total.mul_(k)
                torch.ge(total, rule.threshold, out=spike)
                rule.keep(total, spike, k, amount, out=membrane)
        needs_current = learned is not None and rule.decay_input
        ctx.save_for_backward(totals, spikes, learned, slope, currents if needs_current else None)
        ctx.numbers = leak, loss, k, amount, rule
        return spikes

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        totals, spikes, learned, slope, currents = ctx.saved_tensors
        leak, loss, k, amount, rule = ctx.numbers
        given, wanted = gradients[0], torch.empty_like(totals)
        of_leak = torch.zeros_like(learned) if learned is not None else None
        of_k = torch.zeros_like(slope) if slope is not None else None
        for block in _blocks(totals):
            later = torch.empty_like(totals[0, block])  # Gradient of V, of the step after.
            held = torch.empty_like(later)
            for step in range(len(totals) - 1, -1, -1):
                total, spike, result = totals[step, block], spikes[step, block], wanted[step, block]
                of_spike = given[step, block]
                if step < len(totals) - 1:
                    if k is not None:
                        torch.clamp_min(total, 0, out=held)
                    if rule.reset == "zero":
                        if not rule.detach_reset:
                            carried = total if k is None else held / k if rule.scale_reset else held
                            carried = carried - rule.reset_value if rule.reset_value else carried
                            of_spike = torch.addcmul(of_spike, later, carried, value=-1)
                        later.addcmul_(later, spike, value=-1)
                    elif rule.reset == "subtract" and not rule.detach_reset:
                        of_spike = of_spike - later * amount
                    if of_k is not None:
                        if rule.scale_reset:
                            if rule.reset == "subtract":
                                held.addcmul_(spike, _as(held, rule.threshold), value=-1)
                            of_k -= (later * held).sum() / k**2
                            later.div_(k)
                        later.mul_(total > 0)
                torch.mul(rule.surrogate.slope(total - rule.threshold), of_spike, out=result)
                if not rule.dead_learn:
                    result.mul_(total > 0)
                if step < len(totals) - 1:
                    result.add_(later)
                if of_k is not None:
                    of_k += (result * total).sum() / k
                    result.mul_(k)
                if of_leak is not None:
                    part = -result * currents[step, block] if currents is not None else torch.zeros_like(result)
                    if step:
                        before, fired = totals[step - 1, block], spikes[step - 1, block]
                        rule.keep(before, fired, k, amount, out=held)
                        part.addcmul_(result, held - rule.reset_value)
                    of_leak += part.sum_to_size(of_leak.shape)
                torch.mul(result, leak, out=later)
                if rule.decay_input:
                    result.mul_(loss)
        return wanted, of_leak, of_k, None, None


def _as(like: Tensor, value: Number) -> Tensor:
    return value if isinstance(value, Tensor) else like.new_full((), value)


class _Latched(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, currents: Tensor, threshold: Number, surrogate: Surrogate) -> Tensor:
        totals, spikes = torch.empty_like(currents), torch.empty_like(currents)
        for block in _blocks(currents):
            membrane = torch.zeros_like(currents[0, block])
            waiting = torch.ones_like(membrane)
            for current, total, spike in zip(currents[:, block], totals[:, block], spikes[:, block], strict=True):
                torch.add(membrane, current, out=total)
                membrane = total
                torch.ge(total, threshold, out=spike).mul_(waiting)
                waiting.sub_(spike)
        ctx.save_for_backward(totals, spikes)
        ctx.numbers = threshold, surrogate
        return spikes

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        totals, spikes = ctx.saved_tensors
        threshold, surrogate = ctx.numbers
        given, wanted = gradients[0], torch.empty_like(totals)
        for block in _blocks(totals):
            waiting = 1 - spikes[:, block].sum(0)
            of_total = torch.zeros_like(waiting)
            of_fired = torch.zeros_like(waiting)
            distance, of_spike, there = (torch.empty_like(waiting) for _ in range(3))
            for step in range(len(totals) - 1, -1, -1):
                total, result = totals[step, block], wanted[step, block]
                waiting.add_(spikes[step, block])
                torch.add(given[step, block], of_fired, out=of_spike)
                torch.sub(total, threshold, out=distance)
                if step:
                    of_fired.addcmul_(of_spike, torch.ge(distance, 0, out=there), value=-1)
                surrogate.through(of_spike, distance, out=result).mul_(waiting)
                if step < len(totals) - 1:
                    result.add_(of_total)
                of_total = result
        return wanted, None, None
