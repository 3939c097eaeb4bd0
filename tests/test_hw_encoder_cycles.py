# amaranth: UnusedElaboratable=no
"""Cycles of the encoder: how long a word takes, what waits, what stops a sample and what a reset leaves."""

from random import Random

import numpy as np
import pytest
from pixels import entry, everything, golden, images, known, leaving, port
from streams import Resettable, Source, simulate

from hw.encoder import ENCODER_QUEUE, Encoder


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
