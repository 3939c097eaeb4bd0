"""Losses of a spiking classifier, from its output spikes (T, B, classes)."""

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["count_logits", "excess_rate", "first_spike_logits", "loss_of", "membrane_logits"]


def count_logits(spikes: Tensor, gain: float) -> Tensor:
    """``gain`` times the number of spikes, (B, classes)."""
    return gain * spikes.sum(0)


def first_spike_logits(spikes: Tensor, gain: float) -> Tensor:
    """Temporal weighting decoder (Che et al., 2024): a spike of step t is worth ``gain * (T - t) / T``."""
    steps = len(spikes)
    worth = torch.arange(steps, 0, -1, dtype=spikes.dtype) / steps
    return gain * torch.einsum("t,tbc->bc", worth, spikes)


def membrane_logits(totals: Tensor, gain: float) -> Tensor:
    """``gain`` times H of the last step, (B, classes)."""
    return gain * totals[-1]


_LOGITS = {"count": count_logits, "first_spike": first_spike_logits, "membrane": membrane_logits}


def excess_rate(spikes: Tensor, rate: float) -> Tensor:
    """Squared excess, summed over the batch's samples, of the mean firing rate over ``rate``."""
    return functional.relu(spikes.flatten(2).mean((0, 2)) - rate).square().mean()


def loss_of(
    spikes: list[Tensor],
    labels: Tensor,
    *,
    readout: str,
    gain: float,
    rate: float,
    sparsity: float,
    smoothing: float = 0.0,
) -> Tensor:
    """Cross entropy of the readout, plus ``sparsity`` times the excess rates of the hidden layers.

    Of each label, ``smoothing`` is spread over all classes.
    """
    logits = _LOGITS[readout](spikes[-1], gain)
    loss = functional.cross_entropy(logits, labels, label_smoothing=smoothing)
    for hidden in spikes[:-1]:
        loss = loss + sparsity * excess_rate(hidden, rate)
    return loss
