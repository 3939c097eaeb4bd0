"""Losses of a spiking classifier, from its output spikes (T, B, classes).

A decoder makes logits (B, classes) of the spikes, ``gain`` times the sum of what each is worth in its step t, 0 to
T - 1::

    count           1
    linear          (T - t) / T       temporal weighting (Che et al., 2024)
    exponential     base**-t          the same

and ``membrane`` takes H of the last step.
"""

import torch
from torch import Tensor
from torch.nn import functional

from quant.errors import NetworkError

__all__ = ["DECODERS", "excess_rate", "logits_of", "loss_of"]

DECODERS = ("count", "linear", "exponential", "membrane")


def logits_of(spikes: Tensor, decoder: str, *, gain: float, base: float = 2.0) -> Tensor:
    """Logits (B, classes) of output spikes (T, B, classes), or of H if the decoder is ``membrane``.

    Raises
    ------
    NetworkError
        If there is no such decoder.
    """
    steps = torch.arange(len(spikes), dtype=spikes.dtype)
    if decoder == "membrane":
        return gain * spikes[-1]
    if decoder == "count":
        return gain * spikes.sum(0)
    if decoder == "linear":
        worth = 1 - steps / len(spikes)
    elif decoder == "exponential":
        worth = base**-steps
    else:
        raise NetworkError(f"Decoder must be one of {', '.join(DECODERS)}, not {decoder!r}")
    return gain * torch.einsum("t,tbc->bc", worth, spikes)


def excess_rate(spikes: Tensor, rate: float) -> Tensor:
    """Squared excess, summed over the batch's samples, of the mean firing rate over ``rate``."""
    return functional.relu(spikes.flatten(2).mean((0, 2)) - rate).square().mean()


def loss_of(
    spikes: list[Tensor],
    labels: Tensor,
    *,
    decoder: str,
    gain: float,
    base: float = 2.0,
    rate: float,
    sparsity: float,
    smoothing: float = 0.0,
) -> Tensor:
    """Cross entropy of the logits, plus ``sparsity`` times the excess rates of the hidden layers.

    Of each label, ``smoothing`` is spread over all classes.
    """
    logits = logits_of(spikes[-1], decoder, gain=gain, base=base)
    loss = functional.cross_entropy(logits, labels, label_smoothing=smoothing)
    for hidden in spikes[:-1] if sparsity else ():
        loss = loss + sparsity * excess_rate(hidden, rate)
    return loss
