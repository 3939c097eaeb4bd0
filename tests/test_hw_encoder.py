# amaranth: UnusedElaboratable=no
from random import Random

import numpy as np
import pytest
from streams import Resettable, Sink, Source, simulate

from hw.encoder import ENCODER_QUEUE, Encoder, PixelTiling
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


def everything(port, samples, steps):
    """Beats of samples that follow each other."""
    return [beat for spikes in golden(port, samples, steps) for beat in leaving(port, spikes)]


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


# Cycles.


async def load(ctx, dut, source, pixels):
    """Sends a sample; returns in the cycle after that of its tick."""
    for beat in entry(source, pixels):
        ctx.set(dut.i.payload, beat)
        ctx.set(dut.i.valid, 1)
        ready = False
        while not ready:
            *_, ready = await ctx.tick().sample(dut.i.ready)
        ctx.set(dut.i.valid, 0)


def recorder(dut, seen):
    """A bench that keeps what leaves, and whether it was ``finished``, by cycle."""

    async def bench(ctx):
        while True:
            *_, valid, ready, payload, finished = await ctx.tick().sample(
                dut.o.valid, dut.o.ready, dut.o.payload, dut.finished
            )
            beat = None
            if valid and ready:
                plain = tuple(payload[name] for name in ("address", "value", "tick", "last"))
                beat = known([plain])[0]
            seen.append((beat, finished))

    return bench


def kept(seen):
    return [beat for beat, _ in seen if beat is not None]


async def until_finished(ctx, seen, samples):
    while sum(finished for _, finished in seen) < samples:
        await ctx.tick()


TRANSIT = 6
"""Cycles from the issue of a word to its first beat, if nothing waits."""


@pytest.mark.parametrize("shape", [(1,), (3,), (37,), (2, 2, 5)], ids=str)
@pytest.mark.parametrize("kind", ["rate", "latency"])
def test_a_word_takes_one_cycle_and_steps_follow_each_other(kind, shape):
    """Of a sample without pixels: the ticks are as far apart as the words of a step."""
    source, steps, seen = port(shape, kind, 4), 5, []
    dut = Encoder(source, steps)
    words = dut.tiling.words

    async def bench(ctx):
        ctx.set(dut.o.ready, 1)
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.i.payload, entry(source, np.zeros(source.size, int))[0])
        taken = []
        for cycle in range(words * (2 * steps + 4) + 2 * (TRANSIT + words + 8)):
            *_, ready = await ctx.tick().sample(dut.i.ready)
            if ready:
                taken.append(cycle)
        # All words are set after a reset; then the sample of one tick; the next is taken 2 cycles after its last word.
        assert taken[0] == words + 1
        assert taken[1] == taken[0] + words * steps + 2
        ends = [cycle for cycle, (beat, _) in enumerate(seen) if beat is not None]
        assert ends[:steps] == [taken[0] + words * (step + 1) + TRANSIT for step in range(steps)]
        # The next sample waits until the last tick has left.
        second = ends[steps - 1] + 1
        assert ends[steps : 2 * steps] == [second + words * (step + 1) - 1 + TRANSIT for step in range(steps)]
        assert [cycle for cycle, (_, finished) in enumerate(seen) if finished][:2] == ends[
            steps - 1 : 2 * steps : steps
        ]

    simulate(dut, bench, background=[recorder(dut, seen)])


@pytest.mark.parametrize("shape", [(3,), (13,)], ids=str)
@pytest.mark.parametrize("kind", ["rate", "latency"])
def test_a_sample_that_came_whole_waits_until_the_last_tick_has_left(kind, shape):
    """While it waits, ``stop`` is still about the sample before."""
    source, steps, seen = port(shape, kind, 3), 3, []
    dut = Encoder(source, steps)
    samples = images(source, 3, seed=2)[[1, 2, 0]]

    async def bench(ctx):
        for pixels in samples[:2]:
            await load(ctx, dut, source, pixels)
        ctx.set(dut.stop, 1)
        for _ in range(100):
            await ctx.tick()
        ctx.set(dut.o.ready, 1)
        finished = False
        while not finished:
            *_, finished = await ctx.tick().sample(dut.finished)
        ctx.set(dut.stop, 0)
        await until_finished(ctx, seen, 2)

    simulate(dut, bench, background=[recorder(dut, seen)])
    assert kept(seen) == everything(source, samples[:2], steps)


@pytest.mark.parametrize("kind", ["rate", "latency"])
def test_a_stopped_target_loses_nothing(kind):
    source, steps, seen = port((100,), kind, 2), 4, []
    dut = Encoder(source, steps)
    samples = np.stack([np.full(100, 3), np.arange(100) % 4])

    async def bench(ctx):
        for count, pixels in enumerate(samples):
            await load(ctx, dut, source, pixels)
            for _ in range(60):
                await ctx.tick()
            ctx.set(dut.o.ready, 1)
            await until_finished(ctx, seen, count + 1)
            ctx.set(dut.o.ready, 0)

    simulate(dut, bench, background=[recorder(dut, seen)])
    assert kept(seen) == everything(source, samples, steps)


@pytest.mark.parametrize(("more", "through"), [(2, 1), (3, 0)])
def test_words_fill_the_queue(more, through):
    """With nothing taken, a tick is in the output register, one is before it, and the others are in the queue."""
    source = port((3,), "latency", 2)
    dut = Encoder(source, ENCODER_QUEUE + more)

    async def bench(ctx):
        await load(ctx, dut, source, np.zeros(3, int))
        for _ in range(100):
            *_, ready = await ctx.tick().sample(dut.i.ready)
        assert ready == through

    simulate(dut, bench)


@pytest.mark.parametrize("shape", [(3,), (13,)], ids=str)
@pytest.mark.parametrize("kind", ["rate", "latency"])
def test_stop_at_the_first_word_of_a_step_makes_it_the_last(kind, shape):
    """A pulse of one cycle, in every cycle of a sample; after each, a sample as ever."""
    source, steps, seen = port(shape, kind, 3, seed=77), 4, []
    dut = Encoder(source, steps)
    samples = images(source, 3, seed=5)[[0, 2]]
    first, second = golden(source, samples, steps)
    pulses = range(dut.tiling.words * steps + 3)

    async def bench(ctx):
        ctx.set(dut.o.ready, 1)
        for pulse in pulses:
            await load(ctx, dut, source, samples[0])
            # Now it is cycle 1, that of the first word.
            for cycle in range(1, len(pulses)):
                ctx.set(dut.stop, cycle == pulse)
                await ctx.tick()
            ctx.set(dut.stop, 0)
            await until_finished(ctx, seen, 2 * pulse + 1)
            await load(ctx, dut, source, samples[1])
            await until_finished(ctx, seen, 2 * pulse + 2)

    simulate(dut, bench, background=[recorder(dut, seen)])
    expected = []
    for pulse in pulses:
        step, word = divmod(pulse - 1, dut.tiling.words)
        length = step + 1 if word == 0 and 0 <= step < steps else steps
        expected += leaving(source, first[:length]) + leaving(source, second)
    assert kept(seen) == expected
    assert {beat for beat, finished in seen if finished} == {(None, None, 1, 1)}


@pytest.mark.parametrize("shape", [(2,), (2, 3, 6)], ids=str)
@pytest.mark.parametrize("kind", ["rate", "latency"])
def test_stopped_anywhere_a_sample_is_whole_steps_and_the_next_as_ever(kind, shape):
    source, steps, seen = port(shape, kind, 4), 6, []
    dut = Encoder(source, steps)
    samples = images(source, 8, seed=3)
    spikes = golden(source, samples, steps)
    sender = Source(port=dut.i, payloads=[beat for pixels in samples for beat in entry(source, pixels)], stall=0.2)

    async def bench(ctx):
        random = Random(4)
        while sum(finished for _, finished in seen) < len(samples):
            ctx.set(dut.o.ready, random.random() < 0.6)
            ctx.set(dut.stop, random.random() < 0.15)
            await ctx.tick()

    simulate(dut, sender.run, bench, background=[recorder(dut, seen)], cycles=20_000)
    beats, lengths = kept(seen), []
    for expected in spikes:
        end = next(index for index, beat in enumerate(beats) if beat[2] and beat[3]) + 1
        lengths.append(sum(beat[2] for beat in beats[:end]))
        assert beats[:end] == leaving(source, expected[: lengths[-1]])
        beats = beats[end:]
    assert not beats
    assert len(set(lengths)) > 2


@pytest.mark.parametrize("kind", ["rate", "latency"])
def test_a_reset_forgets_the_sample(kind):
    """Cut off after so many cycles: while the words are set, while the pixels come, in any step."""
    source, steps, seen = port((11,), kind, 3, seed=9), 4, []
    dut = Encoder(source, steps)
    top = Resettable(dut)
    first, second = np.full(11, 7), np.array([0, 1, 0, 2, 0, 0, 6, 0, 0, 0, 5])
    assert dut.tiling.words == 3
    found = []

    async def bench(ctx):
        ctx.set(dut.o.ready, 1)
        for cut in range(1, 34):
            await top.cut_off(ctx, dut.i, entry(source, first), cut)
            await ctx.tick()
            seen.clear()
            await load(ctx, dut, source, second)
            await until_finished(ctx, seen, 1)
            found.append(kept(seen))

    simulate(top, bench, background=[recorder(dut, seen)])
    expected = everything(source, second[np.newaxis], steps)
    assert [cut for cut, beats in enumerate(found, 1) if beats != expected] == []
