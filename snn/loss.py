"""Losses of a spiking classifier, from its output spikes (T, B, classes).

A decoder makes logits (B, classes) of the spikes, ``gain`` times the sum of what each is worth in its step t, 0 to
T - 1::

    count           1
    linear          (T - t) / T       temporal weighting (Che et al., 2024)
    exponential     base**-t          the same
    first_spike     (T - t) / T       of the first spike of each neuron, 0 of the others

``rates`` gives the number of spikes a step to a readout (:class:`snn.layers.Vote`, ``Linear``). Of neurons that never
fire, ``membrane`` takes H of the last step, ``membrane_sum`` its sum over the steps, ``membrane_max`` its maximum.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from quant.errors import NetworkError

__all__ = ["DECODERS", "excess_rate", "logits_of", "loss_of"]

DECODERS = (
    "count",
    "linear",
    "exponential",
    "first_spike",
    "rates",
    "membrane",
    "membrane_sum",
    "membrane_max",
)

Readout = Callable[[Tensor], Tensor]


def logits_of(
    spikes: Tensor, decoder: str, *, gain: float, base: float = 2.0, readout: Readout | None = None
) -> Tensor:
    """Logits (B, classes) of output spikes (T, B, classes), or of H if the decoder is of membranes.

    Raises
    ------
    NetworkError
        If there is no such decoder.
    """
    if decoder in _REDUCTIONS:
        return gain * _REDUCTIONS[decoder](spikes)
    if decoder == "rates":
        rates = spikes.mean(0)
        return gain * (rates if readout is None else readout(rates))
    steps = torch.arange(len(spikes), dtype=spikes.dtype)
    if decoder == "exponential":
        worth = base**-steps
    elif decoder in ("linear", "first_spike"):
        worth = 1 - steps / len(spikes)
    else:
        raise NetworkError(f"Decoder must be one of {', '.join(DECODERS)}, not {decoder!r}")
    if decoder == "first_spike":
        silent = (1 - spikes).cumprod(0)
        spikes = spikes * torch.cat([torch.ones_like(silent[:1]), silent[:-1]])
    return gain * torch.einsum("t,tbc->bc", worth, spikes)


_REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "count": lambda spikes: spikes.sum(0),
    "membrane": lambda totals: totals[-1],
    "membrane_sum": lambda totals: totals.sum(0),
    "membrane_max": lambda totals: totals.amax(0),
}


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
    readout: Readout | None = None,
    rate: float,
    sparsity: float,
    smoothing: float = 0.0,
) -> Tensor:
    """Cross entropy of the logits, plus ``sparsity`` times the excess rates of the hidden layers.

    Of each label, ``smoothing`` is spread over all classes.
    """
    logits = logits_of(spikes[-1], decoder, gain=gain, base=base, readout=readout)
    loss = functional.cross_entropy(logits, labels, label_smoothing=smoothing)
    for hidden in spikes[:-1] if sparsity else ():
        loss = loss + sparsity * excess_rate(hidden, rate)
    return loss
