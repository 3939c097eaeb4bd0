# amaranth: UnusedElaboratable=no
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from streams import Sink, simulate

from hw.serialiser import Serialiser


@dataclass(kw_only=True)
class Sender:
    """Sends words as a core does: only while it counts a free place; at each it pauses with probability ``stall``."""

    dut: Serialiser
    words: list[tuple[int, int, int, int]]
    stall: float = 0.0
    seed: int = 2
    patience: int = 0
    sent: int = 0
    places: int = field(init=False)

    def __post_init__(self) -> None:
        self.places = self.dut.depth

    async def run(self, ctx: Any) -> None:
        random = Random(self.seed)
        for index, spikes, end, last in self.words:
            while not self.places or random.random() < self.stall:
                await self._cycle(ctx, push=0)
            await self._cycle(ctx, push=1, index=index, spikes=spikes, end=end, last=last)
            self.sent += 1
        ctx.set(self.dut.push, 0)
        for _ in range(self.patience):
            await self._cycle(ctx, push=0)

    async def _cycle(self, ctx: Any, **values: int) -> None:
        for name, value in values.items():
            ctx.set(getattr(self.dut, name), value)
        *_, dropped, released = await ctx.tick().sample(self.dut.dropped, self.dut.released)
        self.places += dropped + released - values["push"]
        assert 0 <= self.places <= self.dut.depth


def beats(units, words):
    """Events and ticks that words become."""
    sent = []
    for index, spikes, end, last in words:
        sent += [(index * units + lane, 1, 0, 0) for lane in range(units) if spikes >> lane & 1]
        if end:
            sent.append((None, None, 1, last))
    return sent


def known(payloads):
    """Payloads without what means nothing: address and value of a tick."""
    return [
        (None, None, tick, last) if tick else (address, value, tick, last) for address, value, tick, last in payloads
    ]


def serialise(words, *, neurons, units, depth=4, stall=0.0, pauses=0.0, seed=1):
    dut = Serialiser(neurons=neurons, units=units, depth=depth)
    sender = Sender(dut=dut, words=words, stall=pauses, seed=seed + 10, patience=20_000)
    sink = Sink(port=dut.o, count=len(beats(units, words)), stall=stall, seed=seed, quiet=40)
    simulate(
        dut,
        sink.run,
        background=[sender.run],
        progress=lambda: {"words": sender.sent, "beats": len(sink.received)},
        cycles=20_000,
    )
    assert sender.places == depth, "every place must come back"
    return known(sink.received)


def random_words(random, *, neurons, units, steps, density):
    """Words of whole sweeps, step after step."""
    sweeps = -(-neurons // units)
    words = []
    for step in range(steps):
        for index in range(sweeps):
            spikes = sum(
                1 << lane for lane in range(units) if index * units + lane < neurons and random.random() < density
            )
            end = int(index == sweeps - 1)
            words.append((index, spikes, end, int(end and step % 3 == 2)))
    return words


@pytest.mark.parametrize("pauses", [0.0, 0.6])
@pytest.mark.parametrize("stall", [0.0, 0.4, 0.9])
@pytest.mark.parametrize(("neurons", "units"), [(1, 1), (5, 1), (4, 4), (13, 4), (40, 16)])
def test_no_event_is_lost_or_repeated(neurons, units, stall, pauses):
    random = Random(neurons + units)
    for density in (0.05, 0.5, 1.0):
        words = random_words(random, neurons=neurons, units=units, steps=9, density=density)
        assert serialise(words, neurons=neurons, units=units, stall=stall, pauses=pauses) == beats(units, words)


def test_events_come_in_the_order_of_the_addresses_then_the_tick():
    words = [(0, 0b1010, 0, 0), (1, 0, 0, 0), (2, 0b0101, 1, 0), (2, 0, 1, 1)]
    assert serialise(words, neurons=12, units=4) == [
        (1, 1, 0, 0),
        (3, 1, 0, 0),
        (8, 1, 0, 0),
        (10, 1, 0, 0),
        (None, None, 1, 0),
        (None, None, 1, 1),
    ]


def test_a_step_without_spikes_is_its_tick_alone():
    assert serialise([(0, 0, 0, 0), (1, 0, 1, 0)] * 3, neurons=2, units=1) == [(None, None, 1, 0)] * 3


def test_an_event_never_ends_a_sample():
    assert serialise([(0, 1, 1, 1)], neurons=1, units=1) == [(0, 1, 0, 0), (None, None, 1, 1)]


def flags(words, *, depth=4):
    """Dropped and released, cycle by cycle, while words are pushed one after the other, and nobody takes events."""
    dut = Serialiser(neurons=8, units=4, depth=depth)
    seen = []

    async def bench(ctx):
        for index, spikes, end, last in words:
            for name, value in (("push", 1), ("index", index), ("spikes", spikes), ("end", end), ("last", last)):
                ctx.set(getattr(dut, name), value)
            *_, dropped, released = await ctx.tick().sample(dut.dropped, dut.released)
            seen.append((dropped, released))

    simulate(dut, bench)
    return seen


def test_only_a_word_that_says_nothing_is_dropped():
    seen = flags([(0, 0, 0, 0), (0, 1, 0, 0), (1, 0, 1, 0), (0, 0, 0, 0)])
    assert [dropped for dropped, _ in seen] == [1, 0, 0, 1]


def test_nothing_is_dropped_when_nothing_is_pushed():
    dut = Serialiser(neurons=4, units=4, depth=4)

    async def bench(ctx):
        for _ in range(5):
            *_, dropped, released = await ctx.tick().sample(dut.dropped, dut.released)
            assert (dropped, released) == (0, 0)

    simulate(dut, bench)


@pytest.mark.parametrize(("spikes", "beside"), [(0b0001, 2), (0b0011, 1)])
@pytest.mark.parametrize("depth", [3, 4, 16])
def test_a_full_queue_holds_as_many_words_as_it_says(depth, spikes, beside):
    """Nobody takes an event. Beside the queue there are the word at work and the event in the register."""
    dut = Serialiser(neurons=8, units=4, depth=depth)
    words = [(number % 2, spikes, 0, 0) for number in range(depth + beside)]
    sender = Sender(dut=dut, words=words, patience=50)
    simulate(dut, sender.run, progress=lambda: {"words": sender.sent})
    assert sender.places == 0

    dut = Serialiser(neurons=8, units=4, depth=depth)
    sender = Sender(dut=dut, words=[*words, (0, 1, 0, 0)], patience=50)
    with pytest.raises(TimeoutError, match=f"words {depth + beside}$"):
        simulate(dut, sender.run, progress=lambda: {"words": sender.sent}, cycles=500)


@pytest.mark.parametrize("depth", [3, 4, 16])
def test_a_full_queue_drains_without_loss(depth):
    dut = Serialiser(neurons=8, units=4, depth=depth)
    words = [(number % 2, 1 + number % 15, number % 2, 0) for number in range(5 * depth)]
    sender = Sender(dut=dut, words=words, patience=200)
    sink = Sink(port=dut.o, count=len(beats(4, words)), quiet=40)

    async def late(ctx):
        for _ in range(10 * depth):
            await ctx.tick()
        assert sender.places == 0
        await sink.run(ctx)

    simulate(dut, sender.run, late, progress=lambda: {"words": sender.sent, "beats": len(sink.received)})
    assert known(sink.received) == beats(4, words)
    assert sender.places == depth


@pytest.mark.parametrize(("spikes", "end"), [(0b0001, 0), (0b1111, 0), (0b0100, 1), (0, 1)])
def test_without_stalls_every_cycle_has_a_beat(spikes, end):
    dut = Serialiser(neurons=8, units=4, depth=16)
    words = [(1, spikes, end, 0)] * 12
    sink = Sink(port=dut.o, count=len(beats(4, words)))
    simulate(dut, Sender(dut=dut, words=words).run, sink.run)
    assert sink.cycles == list(range(sink.cycles[0], sink.cycles[0] + sink.count))


def test_refuses_a_queue_that_would_lose_words():
    with pytest.raises(ValueError, match=r"^Queue depth must be at least 3 words, not 2$"):
        Serialiser(neurons=8, units=4, depth=2)
