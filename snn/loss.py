"""Losses of a spiking classifier, from its output spikes (T, B, classes).

A decoder makes logits (B, classes) of the spikes, ``gain`` times the sum of what each is worth in its step t, 0 to
T - 1::

    count           1
    linear          (T - t) / T       temporal weighting (Che et al., 2024)
    exponential     base**-t          the same
    first_spike     (T - t) / T       of the first spike of each neuron, 0 of the others

``rates`` gives the number of spikes a step to a readout (:class:`snn.layers.Vote`, ``Linear``). Of neurons that never
fire, ``membrane`` takes H of the last step, ``membrane_sum`` its sum over the steps, ``membrane_max`` its maximum.

``first_crossing`` takes the distances (H - theta) / theta of neurons that fire once. A noisy neuron has fired by step t
with probability F[t] = sigmoid(gain * the largest distance until then), and a logit is the logarithm of the probability
that its class answers: that it fires in some step, classes before it not until then and those behind it not before.
Its gradient does not fade with the distance, as that of a spike does.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from quant.errors import NetworkError

__all__ = ["DECODERS", "OF_DISTANCES", "excess_rate", "logits_of", "loss_of"]

DECODERS = (
    "count",
    "linear",
    "exponential",
    "first_spike",
    "rates",
    "membrane",
    "membrane_sum",
    "membrane_max",
    "first_crossing",
)
# Of their decisions what counts is how far from the threshold they were.
OF_DISTANCES = ("first_crossing",)

# So small that no probability feels it; of 0 there is no logarithm.
_LEAST = 1e-30
Readout = Callable[[Tensor], Tensor]


def logits_of(
    spikes: Tensor, decoder: str, *, gain: float, base: float = 2.0, readout: Readout | None = None
) -> Tensor:
    """Logits (B, classes) of output spikes (T, B, classes), or of what else the decoder takes.

    Raises
    ------
    NetworkError
        If there is no such decoder.
    """
    if decoder in _REDUCTIONS:
        return gain * _REDUCTIONS[decoder](spikes)
    if decoder == "first_crossing":
        return _first_crossing(gain * spikes)
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


def _first_crossing(distances: Tensor) -> Tensor:
    """Logarithm of the probability that a class answers, (B, classes); of the lowest, also that none of them fires."""
    distances = distances.cummax(0).values
    fired = torch.sigmoid(distances)
    silent = functional.logsigmoid(-distances)
    zeros = torch.zeros_like(fired[:1])
    firing = fired - torch.cat([zeros, fired[:-1]])
    before = torch.cat([zeros, silent[:-1]])
    others = silent.cumsum(2) - silent + before.flip(2).cumsum(2).flip(2) - before
    answering = ((firing + _LEAST).log() + others).logsumexp(0)
    none = silent[-1].sum(1, keepdim=True)
    return torch.cat([torch.logaddexp(answering[:, :1], none), answering[:, 1:]], 1)


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
