# amaranth: UnusedElaboratable=no
"""The encoder's spikes are those of the golden model, whatever its pixels, and where its words lie."""

from random import Random

import numpy as np
import pytest
from pixels import entry, everything, golden, images, known, leaving, port
from streams import Sink, Source, simulate

from hw.encoder import Encoder, PixelTiling
from hw.layout import Fields

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
    samples = images(source, 3)
    assert run(source, samples, steps) == everything(source, samples, steps)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 6, 7, 8, 16])
@pytest.mark.parametrize("kind", ["rate", "latency"])
def test_pixels_of_every_width_under_stalls(kind, bits):
    shape, steps = [((21,), 3), ((2, 2, 5), 4), ((9,), 6)][bits % 3]
    source = port(shape, kind, bits, seed=bits + 1)
    samples = images(source, 4, seed=bits)
    found = run(source, samples, steps, stall=0.2 * (bits % 4), pauses=0.3 * (bits % 2), seed=bits)
    assert found == everything(source, samples, steps)


@pytest.mark.parametrize("seed", [1, 0x8000, 0xFFFF])
def test_the_sequence_starts_at_the_seed(seed):
    source = port((9,), "rate", 8, seed=seed)
    samples = images(source, 3)
    assert run(source, samples, 9) == everything(source, samples, 9)


@pytest.mark.parametrize("steps", [1, 2, 7, 10, 25, 64])
def test_every_pixel_has_its_step(steps):
    source = port((32,), "latency", 5)
    samples = np.arange(32)[np.newaxis]
    assert run(source, samples, steps) == everything(source, samples, steps)


def test_pixels_that_are_zero_may_come_too():
    source = port((5,), "latency", 3)
    dut = Encoder(source, 2)
    payloads = [{"address": n, "value": value, "tick": 0, "last": 0} for n, value in enumerate([0, 7, 0, 1, 0])]
    sender = Source(port=dut.i, payloads=[*payloads, *entry(source, np.zeros(5, int))])
    sink = Sink(port=dut.o, count=4)
    simulate(dut, sender.run, sink.run)
    assert known(sink.received) == [(1, 1, 0, 0), (None, None, 1, 0), (3, 1, 0, 1), (None, None, 1, 1)]


@pytest.mark.parametrize("kind", ["rate", "latency"])
def test_what_is_not_valid_is_nothing(kind):
    source, steps = port((9,), kind, 2), 3
    dut, samples = Encoder(source, steps), np.stack([np.arange(9) % 4, np.arange(9) % 3])
    sink = Sink(port=dut.o, count=len(everything(source, samples, steps)))

    async def bench(ctx):
        for beat in (beat for pixels in samples for beat in entry(source, pixels)):
            for other in ({"address": 4, "value": 3, "tick": 0, "last": 0}, {"tick": 1, "last": 1}):
                ctx.set(dut.i.payload, other)
                await ctx.tick()
            ctx.set(dut.i.payload, beat)
            ctx.set(dut.i.valid, 1)
            ready = False
            while not ready:
                *_, ready = await ctx.tick().sample(dut.i.ready)
            ctx.set(dut.i.valid, 0)

    simulate(dut, bench, sink.run, cycles=1000)
    assert known(sink.received) == everything(source, samples, steps)


@pytest.mark.parametrize(
    ("shape", "units", "words"),
    [
        ((1,), 1, 1),
        ((2,), 2, 1),
        ((3,), 4, 1),
        ((4,), 4, 1),
        ((6,), 8, 1),
        ((16,), 16, 1),
        ((17,), 4, 5),
        ((784,), 16, 49),
        ((1, 28, 28), 4, 196),
        ((3, 32, 32), 16, 192),
        ((1, 8, 8), 16, 4),
        ((2, 34, 34), 4, 612),
        ((2, 5, 31), 16, 20),
        ((2, 3, 2), 8, 2),
        ((7, 1, 1), 8, 1),
    ],
)
def test_words_leave_few_lanes_without_a_pixel(shape, units, words):
    tiling = PixelTiling(shape)
    assert (tiling.units, tiling.words) == (units, words)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_pixel_is_in_the_word_of_its_address(shape):
    tiling, addresses = PixelTiling(shape), Fields(shape).encode(np.arange(np.prod(shape)))
    words, lanes = np.nonzero(tiling.neurons >= 0)
    assert tiling.neurons.shape == (tiling.words, tiling.units)
    np.testing.assert_array_equal(tiling.neurons[words, lanes], np.arange(len(addresses)))
    np.testing.assert_array_equal(tiling.fields.encode(words) << tiling.lane_bits | lanes, addresses)
