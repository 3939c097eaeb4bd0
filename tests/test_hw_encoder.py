from random import Random

import numpy as np
import pytest
from streams import Resettable, Sink, Source, simulate

from hw.encoder import Encoder
from hw.layout import Fields
from quant.ir import Input
from sim.golden.inputs import Feed

SHAPES = [
    # Flat: one word and less, full words, a word that is not.
    (1,),
    (2,),
    (3,),
    (4,),
    (16,),
    (17,),
    (32,),
    (37,),
    # Maps: rows of full words, of words that are not, of one that is not; rows that follow each other; gaps.
    (1, 3, 12),
    (2, 3, 7),
    (2, 2, 3),
    (3, 8, 8),
    (3, 4, 2),
    (2, 3, 2),
    (3, 3, 1),
    (5, 1, 1),
    (2, 5, 9),
    (3, 3, 21),
]


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
    """Beats of a sample's spikes, ``(steps, N)``: ``(address, value, tick, last)``, of a tick ``(None, None, 1, last)``."""
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


def run(port, samples, steps, *, stall=0.0, pauses=0.0, seed=0):
    """Beats that leave."""
    dut, random, beats = Encoder(port, steps), Random(seed), []
    for pixels in samples:
        order = list(range(port.size))
        random.shuffle(order)
        beats += entry(port, pixels, order)
    expected = sum(len(leaving(port, spikes)) for spikes in golden(port, samples, steps))
    source = Source(port=dut.i, payloads=beats, stall=pauses, seed=seed)
    sink = Sink(port=dut.o, count=expected, stall=stall, seed=seed + 1)
    simulate(
        dut, source.run, sink.run, progress=lambda: {"beats": source.sent, "out": len(sink.received)}, cycles=50_000
    )
    return known(sink.received)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("kind", "bits", "steps"), [("rate", 5, 4), ("latency", 4, 5)])
def test_spikes_are_those_of_the_golden_model(shape, kind, bits, steps):
    source = port(shape, kind, bits, seed=0xACE1)
    samples = images(source, 4)
    found = run(source, samples, steps)
    assert found == [beat for spikes in golden(source, samples, steps) for beat in leaving(source, spikes)]
