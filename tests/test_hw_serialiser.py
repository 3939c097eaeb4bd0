# amaranth: UnusedElaboratable=no
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from streams import Sink, simulate

from hw.layout import Fields, Tiling
from hw.serialiser import PlaceLayout, Serialiser
from quant.ranges import Range

BINARY, TERNARY = Range(0, 1), Range(-1, 1)


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word of fired lanes."""

    low: int = 0
    high: int = 0
    fired: int = 0
    values: tuple[int, ...] = ()
    end: int = 0
    last: int = 0


@dataclass(kw_only=True)
class Sender:
    """Sends words as a core does: only while it counts a free place; at each it pauses with probability ``stall``.

    While it pauses it shows another word, which must not count.
    """

    dut: Serialiser
    words: list[Word]
    stall: float = 0.0
    seed: int = 2
    patience: int = 0
    sent: int = 0
    places: int = field(init=False)

    def __post_init__(self) -> None:
        self.places = self.dut.depth

    async def run(self, ctx: Any) -> None:
        random = Random(self.seed)
        noise = Word(fired=1, end=1, last=1)
        for word in self.words:
            while not self.places or random.random() < self.stall:
                await self._cycle(ctx, noise, push=0)
            await self._cycle(ctx, word, push=1)
            self.sent += 1
        for _ in range(max(1, self.patience)):
            await self._cycle(ctx, noise, push=0)

    async def _cycle(self, ctx: Any, word: Word, *, push: int) -> None:
        show(ctx, self.dut, word, push=push)
        *_, dropped, released = await ctx.tick().sample(self.dut.dropped, self.dut.released)
        self.places += dropped + released - push
        assert 0 <= self.places <= self.dut.depth


def show(ctx, dut, word, *, push):
    """Sets the word of this cycle."""
    ctx.set(dut.push, push)
    ctx.set(dut.place, {"low": word.low, "high": word.high})
    for name in ("fired", "end", "last"):
        ctx.set(getattr(dut, name), getattr(word, name))
    for lane, value in enumerate(word.values):
        ctx.set(dut.values[lane], value)


def serialiser(shape=(8,), units=4, *, depth=4, values=BINARY):
    return Serialiser(shape=shape, units=units, depth=depth, place=PlaceLayout.of(shape, units), values=values)


def beats(dut, words):
    """Events and ticks that words become: address, value, tick, last."""
    low_width, lane_width = len(dut.place.low), (dut.units - 1).bit_length()
    sent = []
    for word in words:
        for lane in range(dut.units):
            if word.fired >> lane & 1:
                address = word.low + (lane << low_width) + (word.high << (low_width + lane_width))
                sent.append((address, word.values[lane] if word.values else 1, 0, word.last))
        if word.end:
            sent.append((None, None, 1, word.last))
    return sent


def known(payloads):
    """Payloads without what means nothing: address and value of a tick."""
    return [
        (None, None, tick, last) if tick else (address, value, tick, last) for address, value, tick, last in payloads
    ]


def serialise(dut, words, *, stall=0.0, pauses=0.0, seed=1):
    sender = Sender(dut=dut, words=words, stall=pauses, seed=seed + 10, patience=20_000)
    sink = Sink(port=dut.o, count=len(beats(dut, words)), stall=stall, seed=seed, quiet=40)
    simulate(
        dut,
        sink.run,
        background=[sender.run],
        progress=lambda: {"words": sender.sent, "beats": len(sink.received)},
        cycles=20_000,
    )
    assert sender.places == dut.depth, "every place must come back"
    return known(sink.received)


def random_words(random, *, shape, units, values, steps, density):
    """Words of whole sweeps, step after step, and the neurons that fire in each step."""
    neurons = Tiling(shape, units).neurons
    low_width = PlaceLayout.of(shape, units)["low"].width
    words, fired = [], []
    for step in range(steps):
        for index, row in enumerate(neurons):
            lanes = [lane for lane in range(units) if row[lane] >= 0 and random.random() < density]
            first = int(Fields(shape).encode(row[0]))
            fired += [int(row[lane]) for lane in lanes]
            words.append(
                Word(
                    low=first & ((1 << low_width) - 1),
                    high=first >> low_width >> (units - 1).bit_length(),
                    fired=sum(1 << lane for lane in lanes),
                    # What does not fire has a value too, which must not matter.
                    values=tuple(random.randint(values.low, values.high) for _ in range(units))
                    if values != BINARY
                    else (),
                    end=int(index == len(neurons) - 1),
                    last=int(step % 3 == 2),
                )
            )
    return words, fired


SHAPES = {
    "one neuron": ((1,), 1),
    "one unit": ((5,), 1),
    "one word": ((4,), 4),
    "words": ((13,), 4),
    "wide words": ((40,), 16),
    "map": ((3, 2, 3), 2),
    "map of one word a place": ((4, 3, 1), 4),
    "map of one channel": ((1, 3, 5), 1),
}


@pytest.mark.parametrize("values", [BINARY, TERNARY, Range(-100, 57)], ids=["binary", "ternary", "membranes"])
@pytest.mark.parametrize(("stall", "pauses"), [(0.0, 0.0), (0.4, 0.6), (0.9, 0.0)])
@pytest.mark.parametrize("case", SHAPES)
def test_no_event_is_lost_or_repeated(case, stall, pauses, values):
    shape, units = SHAPES[case]
    random = Random(shape[0] + units)
    for density in (0.05, 0.5, 1.0):
        words, fired = random_words(random, shape=shape, units=units, values=values, steps=6, density=density)
        dut = serialiser(shape, units, values=values)
        received = serialise(dut, words, stall=stall, pauses=pauses)
        assert received == beats(dut, words)
        assert [address for address, _, tick, _ in received if not tick] == Fields(shape).encode(fired).tolist()


def test_events_come_in_the_order_of_the_lanes_then_the_tick():
    words = [Word(fired=0b1010), Word(high=1), Word(high=2, fired=0b0101, end=1), Word(high=2, end=1, last=1)]
    assert serialise(serialiser((12,)), words) == [
        (1, 1, 0, 0),
        (3, 1, 0, 0),
        (8, 1, 0, 0),
        (10, 1, 0, 0),
        (None, None, 1, 0),
        (None, None, 1, 1),
    ]


def test_an_address_has_the_lane_between_the_parts_of_the_place():
    """Channels 5 and 6 of a map of eight, at column 2, row 1 of four by two: 0b101 and 0b110, then 0b1, 0b10."""
    words = [Word(low=0b1_10, high=0b1, fired=0b0110, end=1)]
    assert serialise(serialiser((8, 2, 4), 4), words) == [
        (0b101_1_10, 1, 0, 0),
        (0b110_1_10, 1, 0, 0),
        (None, None, 1, 0),
    ]


def test_an_event_has_the_value_of_its_lane():
    words = [Word(fired=0b1011, values=(-1, 1, -1, 1)), Word(high=1, fired=0b0100, values=(1, 1, -1, 1), end=1)]
    assert serialise(serialiser((8,), 4, values=TERNARY), words) == [
        (0, -1, 0, 0),
        (1, 1, 0, 0),
        (3, 1, 0, 0),
        (6, -1, 0, 0),
        (None, None, 1, 0),
    ]


def test_a_value_may_be_0_or_a_rail():
    words = [Word(high=n, fired=1, values=(v,), end=int(n == 3)) for n, v in enumerate([0, -300, 255, -1])]
    received = serialise(serialiser((4,), 1, values=Range(-300, 255)), words)
    assert received == [(0, 0, 0, 0), (1, -300, 0, 0), (2, 255, 0, 0), (3, -1, 0, 0), (None, None, 1, 0)]


def test_a_step_without_spikes_is_its_tick_alone():
    words = [Word(), Word(high=1, end=1)] * 3
    assert serialise(serialiser((2,), 1), words) == [(None, None, 1, 0)] * 3


def test_events_of_the_last_step_say_so_and_others_do_not():
    words = [
        Word(fired=1),
        Word(high=1, fired=2, end=1),
        Word(last=1),
        Word(high=1, fired=3, last=1),
        Word(high=2, end=1, last=1),
        Word(fired=1, end=1),
    ]
    assert serialise(serialiser((12,)), words) == [
        (0, 1, 0, 0),
        (5, 1, 0, 0),
        (None, None, 1, 0),
        (4, 1, 0, 1),
        (5, 1, 0, 1),
        (None, None, 1, 1),
        (0, 1, 0, 0),
        (None, None, 1, 0),
    ]


def flags(words, *, depth=4):
    """Dropped and released, cycle by cycle, while words are pushed one after the other, and nobody takes events."""
    dut = serialiser(depth=depth)
    seen = []

    async def bench(ctx):
        for word in words:
            show(ctx, dut, word, push=1)
            *_, dropped, released = await ctx.tick().sample(dut.dropped, dut.released)
            seen.append((dropped, released))

    simulate(dut, bench)
    return seen


def test_only_a_word_that_says_nothing_is_dropped():
    seen = flags([Word(), Word(fired=1), Word(high=1, end=1), Word(last=1), Word()])
    assert [dropped for dropped, _ in seen] == [1, 0, 0, 1, 1]


def test_nothing_is_dropped_when_nothing_is_pushed():
    dut = serialiser((4,))

    async def bench(ctx):
        for _ in range(5):
            *_, dropped, released = await ctx.tick().sample(dut.dropped, dut.released)
            assert (dropped, released) == (0, 0)

    simulate(dut, bench)


@pytest.mark.parametrize("values", [BINARY, TERNARY], ids=["binary", "ternary"])
def test_times_of_a_word_and_of_its_place(values):
    """Pushed in cycle 0, it is at work three cycles later, and its first event is offered four cycles later."""
    dut = serialiser(values=values)
    seen = []

    async def bench(ctx):
        for cycle in range(12):
            word = Word(fired=0b1001, end=1, values=(1,) * 4 if values == TERNARY else ())
            show(ctx, dut, word, push=cycle == 0)
            ctx.set(dut.o.ready, 1)
            *_, released, valid = await ctx.tick().sample(dut.released, dut.o.valid)
            seen.append((released, valid))

    simulate(dut, bench)
    assert [cycle for cycle, (released, _) in enumerate(seen) if released] == [2]
    assert [cycle for cycle, (_, valid) in enumerate(seen) if valid] == [4, 5, 6]


@pytest.mark.parametrize(("fired", "beside"), [(0b0001, 2), (0b0011, 1)])
@pytest.mark.parametrize("depth", [3, 4, 16])
def test_a_full_queue_holds_as_many_words_as_it_says(depth, fired, beside):
    """Nobody takes an event. Beside the queue there are the word at work and the event in the register."""
    dut = serialiser(depth=depth)
    words = [Word(high=number % 2, fired=fired) for number in range(depth + beside)]
    sender = Sender(dut=dut, words=words, patience=50)
    simulate(dut, sender.run, progress=lambda: {"words": sender.sent})
    assert sender.places == 0

    dut = serialiser(depth=depth)
    sender = Sender(dut=dut, words=[*words, Word(fired=1)], patience=50)
    with pytest.raises(TimeoutError, match=f"words {depth + beside}$"):
        simulate(dut, sender.run, progress=lambda: {"words": sender.sent}, cycles=500)


@pytest.mark.parametrize("depth", [3, 4, 16])
def test_a_full_queue_drains_without_loss(depth):
    dut = serialiser(depth=depth)
    words = [Word(high=number % 2, fired=1 + number % 15, end=number % 2) for number in range(5 * depth)]
    sender = Sender(dut=dut, words=words, patience=200)
    sink = Sink(port=dut.o, count=len(beats(dut, words)), quiet=40)

    async def late(ctx):
        for _ in range(10 * depth):
            await ctx.tick()
        assert sender.places == 0
        await sink.run(ctx)

    simulate(dut, sender.run, late, progress=lambda: {"words": sender.sent, "beats": len(sink.received)})
    assert known(sink.received) == beats(dut, words)
    assert sender.places == depth


@pytest.mark.parametrize(("fired", "end"), [(0b0001, 0), (0b1111, 0), (0b0100, 1), (0, 1)])
def test_without_stalls_every_cycle_has_a_beat(fired, end):
    dut = serialiser(depth=16)
    words = [Word(high=1, fired=fired, end=end)] * 12
    sink = Sink(port=dut.o, count=len(beats(dut, words)))
    simulate(dut, Sender(dut=dut, words=words).run, sink.run)
    assert sink.cycles == list(range(sink.cycles[0], sink.cycles[0] + sink.count))


def test_refuses_a_queue_that_would_lose_words():
    with pytest.raises(ValueError, match=r"^Queue depth must be at least 3 words, not 2$"):
        serialiser(depth=2)
