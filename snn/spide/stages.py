"""The two stages of SPIDE (Xiao et al., arXiv 2302.00232): equilibrium and its gradient, both by spikes alone.

Forward, ``steps`` steps, layers 1 to n in a row, the feedback one step old::

    u_1 += W_fb s_n[t-1] + W_1 x + b_1;   u_i += W_i s_(i-1)[t] + b_i
    s = 1 if u >= 1 else 0;   u -= 2 s;   u *= leak

The mean spikes a go to ``a_1 = clamp((W_fb a_n + W_1 x + b_1) / 2, 0, 1)`` and so on. Backward, the layers in reverse
order and the weights transposed, ``g = dL/da_n`` coming in at every step, m = 1 where 0 < a < 1::

    U_n += W_fb^T (m_1 e_1[t-1]) + 2 g;   U_i += W_(i+1)^T (m_(i+1) e_(i+1)[t])
    e = [U >= 1] - [U <= -1];   U -= 2 e;   U *= leak

U is twice the paper's membrane, so that both stages have threshold 1 and take 2 away: the same neuron, and e a couple
of two of them that inhibit one another. The mean m e is beta, with which ``dL/dW = beta_post a_pre / 2``.
With leak < 1 means are weighted by ``leak**(steps - 1 - t)``, and a and beta keep an error that does not vanish with
the steps.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .network import FeedbackNetwork

__all__ = ["Forward", "backward_stage", "forward_stage"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Forward:
    """What the forward stage leaves.

    Parameters
    ----------
    rates : tuple of Tensor
        a of each layer, (B, *shape), 0 to 1.
    counts : Tensor
        Spikes of the last layer's neurons, (B, *shape).
    spikes : tuple of Tensor
        Spikes of each layer, (T, B, *shape), if they were recorded.
    """

    rates: tuple[Tensor, ...]
    counts: Tensor
    spikes: tuple[Tensor, ...] = ()


class _Means:
    """Means of spikes, weighted by the leak, added up in place."""

    def __init__(self, like: list[Tensor], leak: float) -> None:
        self.sums, self.leak, self.worth = [torch.zeros_like(item) for item in like], leak, 0.0

    def add(self, layer: int, spikes: Tensor) -> None:
        if self.leak != 1:
            self.sums[layer].mul_(self.leak)
        self.sums[layer].add_(spikes)

    def results(self, steps: int) -> tuple[Tensor, ...]:
        worth = sum(self.leak**step for step in range(steps))
        return tuple(item.div_(worth) for item in self.sums)


@torch.no_grad()
def forward_stage(network: FeedbackNetwork, inputs: Tensor, *, steps: int, record: bool = False) -> Forward:
    """Run a network on constant ``inputs`` (B, *shape), x above, for ``steps`` steps."""
    layers, last = network.layers, len(network.layers) - 1
    drive = layers[0].projection.there(inputs) + layers[0].spread(layers[0].bias)
    membranes = [inputs.new_zeros(len(inputs), *layer.shape) for layer in layers]
    spikes = [torch.zeros_like(item) for item in membranes]
    counts = torch.zeros_like(membranes[-1])
    means = _Means(membranes, network.leak)
    kept: list[list[Tensor]] = [[] for _ in layers]
    for step in range(steps):
        for index, (layer, membrane, spike) in enumerate(zip(layers, membranes, spikes, strict=True)):
            if index == 0:
                membrane.add_(drive)
                if step and network.feedback is not None:
                    network.feedback.add_there(membrane, spikes[last])
            else:
                membrane.add_(layer.spread(layer.bias))
                layer.projection.add_there(membrane, spikes[index - 1])
            torch.ge(membrane, layer.spread(layer.threshold), out=spike)
            membrane.addcmul_(spike, layer.spread(layer.reset), value=-1)
            if network.leak != 1:
                membrane.mul_(network.leak)
            means.add(index, spike)
            if record:
                kept[index].append(spike.clone())
        counts.add_(spikes[last])
    return Forward(
        rates=means.results(steps), counts=counts, spikes=tuple(torch.stack(item) for item in kept) if record else ()
    )


@torch.no_grad()
def backward_stage(
    network: FeedbackNetwork, rates: tuple[Tensor, ...], gradient: Tensor, *, steps: int
) -> tuple[Tensor, ...]:
    """Masked beta of each layer, (B, *shape), of the ``gradient`` (B, *last shape) of a loss by the last rates."""
    layers, last = network.layers, len(network.layers) - 1
    masks = [((rate > 0) & (rate < 1)).to(rate.dtype) for rate in rates]
    drive = 2 * gradient
    membranes = [torch.zeros_like(rate) for rate in rates]
    errors, negative = ([torch.zeros_like(rate) for rate in rates] for _ in range(2))
    means = _Means(membranes, network.leak)
    for step in range(steps):
        for index in range(last, -1, -1):
            membrane, error = membranes[index], errors[index]
            if index < last:
                layers[index + 1].projection.add_back(membrane, errors[index + 1])
            else:
                membrane.add_(drive)
                if step and network.feedback is not None:
                    network.feedback.add_back(membrane, errors[0])
            torch.ge(membrane, 1, out=error)
            error.sub_(torch.le(membrane, -1, out=negative[index]))
            membrane.add_(error, alpha=-2)
            if network.leak != 1:
                membrane.mul_(network.leak)
            error.mul_(masks[index])
            means.add(index, error)
    return means.results(steps)
