"""Pixels that come into the encoder, and the beats of the spikes that leave it."""

import numpy as np

from hw.layout import Fields
from quant.ir import Input
from sim.golden.inputs import Feed

__all__ = ["entry", "everything", "golden", "images", "known", "leaving", "port"]


def port(shape, kind, bits, seed=1):
    return Input(shape=shape, kind=kind, high=(1 << bits) - 1, seed=seed)


def images(port, count, seed=0):
    """Samples of every density, one of them empty, one all of the largest pixel."""
    rng = np.random.default_rng(seed)
    found = [np.zeros(port.size, np.int64), np.full(port.size, port.high)]
    for number in range(count - len(found)):
        pixels = rng.integers(0, port.high + 1, port.size)
        found.append(pixels if number % 2 else np.where(rng.random(port.size) < 0.3, pixels, 0))
    return np.stack(found)[rng.permutation(count)]


def entry(port, pixels, order=None):
    """Beats of a sample: its pixels in an order, then the tick."""
    addresses = Fields(port.shape).encode(np.arange(port.size))
    order = range(port.size) if order is None else order
    sent = [
        {"address": int(addresses[n]), "value": int(pixels[n]), "tick": 0, "last": 0} for n in order if pixels[n] != 0
    ]
    return [*sent, {"address": 0, "value": 0, "tick": 1, "last": 1}]


def leaving(port, spikes):
    """Beats of a sample's spikes, ``(steps, N)``, without what means nothing of a tick."""
    addresses, beats = Fields(port.shape).encode(np.arange(port.size)), []
    for index, step in enumerate(spikes):
        last = int(index == len(spikes) - 1)
        beats += [(int(addresses[n]), 1, 0, last) for n in np.flatnonzero(step)]
        beats.append((None, None, 1, last))
    return beats


def golden(port, samples, steps):
    """Spikes, ``(samples, steps, N)``."""
    return Feed(port, samples, steps).block(slice(None), slice(0, steps)).transpose(1, 0, 2)


def known(payloads):
    return [(None, None, 1, last) if tick else (address, value, tick, last) for address, value, tick, last in payloads]


def everything(port, samples, steps):
    """Beats of samples that follow each other."""
    return [beat for spikes in golden(port, samples, steps) for beat in leaving(port, spikes)]
