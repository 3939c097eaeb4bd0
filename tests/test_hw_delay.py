from random import Random

import pytest
from streams import Sink, Source, simulate

from hw.delay import Delay, depth_of
from hw.layout import BeatLayout
from quant.ranges import Range

NAMES = ("address", "value", "tick", "last")
LAYOUT = BeatLayout((5,), Range(-2, 3))


def beats(samples, *, foretold):
    """Beats of samples, each a list of steps, each a list of (address, value)."""
    sent = []
    for sample in samples:
        for step, events in enumerate(sample):
            last = int(step == len(sample) - 1)
            sent += [(address, value, 0, last * foretold) for address, value in events]
            sent.append((0, 0, 1, last))
    return sent


def expected(samples):
    """A step without events, then all steps but the last; so for every sample, and the tick of the next to come."""
    received = []
    for sample in samples:
        received.append("tick")
        for events in sample[:-1]:
            received += [*events, "tick"]
    return [*received, "tick"]


def known(received):
    return ["tick" if tick else (address, value) for address, value, tick, _ in received]


def payloads(sequence):
    return [dict(zip(NAMES, beat, strict=True)) for beat in sequence]


def random_samples(random, layout, count, *, full=False):
    def events():
        chosen = [address for address in range(layout.senders) if full or random.random() < 0.6]
        random.shuffle(chosen)
        return [(address, random.randint(layout.values.low, layout.values.high)) for address in chosen]

    return [[events() for _ in range(random.randint(1, 4))] for _ in range(count)]


@pytest.mark.parametrize("foretold", [False, True])
@pytest.mark.parametrize(("senders", "full"), [(1, False), (3, True), (6, True)])
@pytest.mark.parametrize("stalls", [(0.0, 0.0), (0.0, 0.8), (0.6, 0.2)])
def test_steps_come_one_later_and_the_last_of_a_sample_never(stalls, senders, full, foretold):
    layout = BeatLayout((senders,), Range(-2, 3))
    samples = random_samples(Random(senders), layout, 6, full=full)
    dut = Delay(layout, foretold=foretold)
    source = Source(port=dut.i, payloads=payloads(beats(samples, foretold=foretold)), stall=stalls[0])
    sink = Sink(port=dut.o, count=len(expected(samples)), stall=stalls[1])
    simulate(dut, source.run, sink.run, progress=lambda: {"beats": source.sent, "out": len(sink.received)}, cycles=4000)
    assert known(sink.received) == expected(samples)


@pytest.mark.parametrize("senders", [1, 2, 3, 6, 7, 30])
def test_there_is_room_for_a_step_and_two_ticks(senders):
    assert senders + 2 <= depth_of(BeatLayout((senders,), Range(0, 1))) <= 2 * (senders + 2)


@pytest.mark.parametrize("taken", range(9))
def test_takes_what_it_has_room_for_and_no_more(taken):
    """Full at every place of the ring: then it waits until something is taken, and loses nothing."""
    foretold = bool(taken % 2)
    layout = BeatLayout((2,), Range(0, 1))
    dut = Delay(layout, foretold=foretold)
    steps = [[(0, 1)], [(1, 1)], [(0, 1), (1, 1)], [(1, 1), (0, 1)]] * 2
    sent = beats([[*steps, []]], foretold=foretold)
    source = Source(port=dut.i, payloads=payloads(sent))
    begun = expected([[*steps, []]])
    first = Sink(port=dut.o, count=taken, quiet=0)
    rest = Sink(port=dut.o, count=len(begun) - taken)
    held = []

    async def collect(ctx):
        if taken:
            await first.run(ctx)
        ctx.set(dut.o.ready, 0)
        await ctx.tick().repeat(40)
        held.append(source.sent)
        await rest.run(ctx)

    simulate(dut, source.run, collect, progress=lambda: {"beats": source.sent, "out": len(rest.received)}, cycles=2000)
    assert held == [depth_of(layout) - 1 + taken], "beside the tick that was there from the beginning"
    assert known(first.received + rest.received) == begun


def times(foretold, sequence, *, start=6):
    """Cycles in which beats go in, and in which any come out."""
    dut = Delay(LAYOUT, foretold=foretold)
    sent, received = [], []

    async def send(ctx):
        await ctx.tick().repeat(start)
        for cycle, payload in enumerate(payloads(sequence)):
            ctx.set(dut.i.valid, 1)
            ctx.set(dut.i.payload, payload)
            *_, ready = await ctx.tick().sample(dut.i.ready)
            assert ready
            sent.append(start + cycle)
        ctx.set(dut.i.valid, 0)
        await ctx.tick().repeat(8)

    async def watch(ctx):
        ctx.set(dut.o.ready, 1)
        cycle = 0
        while True:
            *_, valid = await ctx.tick().sample(dut.o.valid)
            received.extend([cycle] * valid)
            cycle += 1

    simulate(dut, send, background=[watch])
    return received


def test_the_first_tick_comes_by_itself():
    assert times(True, []) == [2]


def test_what_is_foretold_comes_two_cycles_later_and_one_a_cycle():
    sequence = beats([[[(1, 1), (2, 1)], [(3, 1)], [(4, 1), (0, 1)]], [[(1, 1)], []]], foretold=True)
    # In from cycle 6 on; the events of the last step, in cycles 11 and 12, leave no gap that anybody sees.
    assert times(True, sequence) == [2, 8, 9, 10, 11, 12, 15, 16, 17, 18]


def test_what_is_not_foretold_comes_two_cycles_after_its_tick():
    sequence = beats([[[(1, 1), (2, 1)], [(3, 1)], [(4, 1), (0, 1)]], [[(1, 1)], []]], foretold=False)
    assert times(False, sequence) == [2, 10, 11, 12, 13, 14, 15, 17, 18, 19]


@pytest.mark.parametrize("foretold", [False, True])
def test_a_sample_of_one_step_gives_one_without_events(foretold):
    sequence = beats([[[(1, 1), (2, 1)]], [[]], [[(3, 1)]]], foretold=foretold)
    dut = Delay(LAYOUT, foretold=foretold)
    source, sink = Source(port=dut.i, payloads=payloads(sequence)), Sink(port=dut.o, count=4)
    simulate(dut, source.run, sink.run)
    assert known(sink.received) == ["tick"] * 4
