from random import Random

import pytest
from streams import Resettable, Sink, Source, simulate

from hw.readout import Readout

TICK, LAST = "tick", "last"


def beat(item):
    """Beat of an address, of a tick, or of the tick that ends a sample."""
    tick = item in (TICK, LAST)
    return {"address": 0 if tick else item, "value": 1, "tick": int(tick), "last": int(item == LAST)}


def answer(kind, steps, neurons, sample):
    """Scores and answer of a sample, given as the set of firing neurons of each step: the rule, word by word."""
    if kind == "count":
        scores = [sum(neuron in step for step in sample) for neuron in range(neurons)]
        return [*scores, scores.index(max(scores))]
    earliest = next((index for index, step in enumerate(sample) if step), None)
    scores = [steps if earliest is None or neuron not in sample[earliest] else earliest for neuron in range(neurons)]
    return [*scores, scores.index(min(scores))]


def items(sample):
    """Addresses and ticks of a sample; as in the hardware, the addresses of a step rise."""
    found = []
    for index, step in enumerate(sample):
        found += [*sorted(step), LAST if index == len(sample) - 1 else TICK]
    return found


def run(kind, samples, *, neurons, steps, width=8, stall=0.0, pauses=0.0):
    """Words of the answers of samples that follow each other."""
    dut = Readout(kind=kind, neurons=neurons, steps=steps, width=width)
    source = Source(
        port=dut.i, payloads=[beat(item) for sample in samples for item in items(sample)], stall=pauses, seed=5
    )
    sink = Sink(port=dut.o, count=(neurons + 1) * len(samples), stall=stall)
    simulate(
        dut, source.run, sink.run, progress=lambda: {"beats": source.sent, "words": len(sink.received)}, cycles=30_000
    )
    words = sink.received
    assert [last for _, last in words] == ([0] * neurons + [1]) * len(samples)
    return [[word for word, _ in words[at : at + neurons + 1]] for at in range(0, len(words), neurons + 1)]


@pytest.mark.parametrize(("stall", "pauses"), [(0.0, 0.0), (0.5, 0.3)])
@pytest.mark.parametrize("neurons", [1, 2, 3, 4, 10])
@pytest.mark.parametrize("kind", ["count", "first_spike"])
def test_answers_samples_that_follow_each_other(kind, neurons, stall, pauses):
    random, steps = Random(neurons), 5
    samples = []
    for _ in range(12):
        density = random.choice([0.0, 0.1, 0.3, 1.0])
        length = random.choice([steps, steps, 1, 3])
        samples.append([{n for n in range(neurons) if random.random() < density} for _ in range(length)])
    found = run(kind, samples, neurons=neurons, steps=steps, stall=stall, pauses=pauses)
    assert found == [answer(kind, steps, neurons, sample) for sample in samples]


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        # Silence: all scores 0, the lowest index.
        ([set(), set(), set()], [0, 0, 0, 0]),
        # One spike; a tie, of the first two and of the last two.
        ([{2}, set(), set()], [0, 0, 1, 2]),
        ([{0, 1}, set(), {0, 1}], [2, 2, 0, 0]),
        ([{1}, {2}, set()], [0, 1, 1, 1]),
        # As many spikes as steps: the largest score.
        ([{1}, {1, 2}, {0, 1}], [1, 3, 1, 1]),
        # Spikes of the last step count.
        ([{0}, set(), {2}], [1, 0, 1, 0]),
        ([set(), set(), {2}], [0, 0, 1, 2]),
    ],
)
def test_count(sample, words):
    assert run("count", [sample, sample], neurons=3, steps=3) == [words, words]
    assert answer("count", 3, 3, sample) == words


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        # Silence: all scores are the number of steps, the lowest index.
        ([set(), set(), set()], [3, 3, 3, 0]),
        # The earliest step decides, whatever comes later, from others or again.
        ([{2}, {0}, {1}], [3, 3, 0, 2]),
        ([{2}, {2}, {0, 2}], [3, 3, 0, 2]),
        ([set(), {1}, {0, 2}], [3, 1, 3, 1]),
        # Of several in that step, all have its score, and the lowest index wins.
        ([set(), {1, 2}, {0}], [3, 1, 1, 1]),
        ([{0, 1, 2}, set(), set()], [0, 0, 0, 0]),
        # In the last step.
        ([set(), set(), {2}], [3, 3, 2, 2]),
    ],
)
def test_first_spike(sample, words):
    assert run("first_spike", [sample, sample], neurons=3, steps=3) == [words, words]
    assert answer("first_spike", 3, 3, sample) == words


def test_a_sample_of_fewer_steps_scores_silence_with_all_steps():
    assert run("first_spike", [[set()], [{1}]], neurons=2, steps=4) == [[4, 4, 0], [4, 0, 1]]


def test_a_spike_after_the_last_step_scores_as_silence():
    assert run("first_spike", [[set()] * 4 + [{1}], [{0}]], neurons=2, steps=3) == [[3, 3, 0], [0, 3, 0]]


@pytest.mark.parametrize("kind", ["count", "first_spike"])
@pytest.mark.parametrize("cut", range(12))
def test_a_reset_forgets_the_scores(kind, cut):
    """Cut off after so many cycles, while a sample comes in or while its answer goes out."""
    dut = Readout(kind=kind, neurons=3, steps=4, width=5)
    top = Resettable(dut)
    first, second = [{0, 2}, {2}], [set(), {1}, {1, 2}]
    source = Source(port=dut.i, payloads=[beat(item) for item in items(second)])
    sink = Sink(port=dut.o, count=4)

    async def bench(ctx):
        # Past the cycles in which the scores are set.
        for _ in range(6):
            await ctx.tick()
        ctx.set(dut.i.valid, 1)
        ctx.set(dut.o.ready, 1)
        sent = items(first)
        for _ in range(cut):
            ctx.set(dut.i.payload, beat(sent[0] if sent else 0))
            ctx.set(dut.i.valid, bool(sent))
            *_, ready = await ctx.tick().sample(dut.i.ready)
            sent = sent[1:] if ready else sent
        ctx.set(dut.i.valid, 0)
        ctx.set(top.rst, 1)
        await ctx.tick()
        ctx.set(top.rst, 0)
        await source.run(ctx)
        await sink.run(ctx)

    simulate(top, bench, progress=lambda: {"beats": source.sent, "words": len(sink.received)}, cycles=1000)
    assert [word for word, _ in sink.received] == answer(kind, 4, 3, second)


@pytest.mark.parametrize(("steps", "width"), [(1, 2), (255, 9), (256, 10)])
def test_a_score_is_as_wide_as_the_steps(steps, width):
    assert run("count", [[{1}] * steps], neurons=2, steps=steps, width=width) == [[0, steps, 1]]
    assert run("first_spike", [[set()] * steps], neurons=2, steps=steps, width=width) == [[steps, steps, 0]]


def test_the_answer_may_be_wider_than_the_scores():
    assert run("count", [[{19}]], neurons=20, steps=1, width=6) == [[0] * 19 + [1, 19]]


def levels(kind, sequence):
    """``decided`` and ``finished`` in the cycle of each beat."""
    dut = Readout(kind=kind, neurons=2, steps=3, width=4)
    seen = []

    async def bench(ctx):
        ctx.set(dut.o.ready, 1)
        for item in sequence:
            ctx.set(dut.i.payload, beat(item))
            ctx.set(dut.i.valid, 1)
            ready = 0
            while not ready:
                *_, ready, decided, finished = await ctx.tick().sample(dut.i.ready, dut.decided, dut.finished)
                assert ready or not finished
            seen.append((decided, finished))
        ctx.set(dut.i.valid, 0)
        for _ in range(5):
            *_, finished = await ctx.tick().sample(dut.finished)
            assert not finished

    simulate(dut, bench)
    return seen


def test_is_decided_from_the_first_spike_to_the_end_of_the_sample():
    sequence = [TICK, 1, TICK, 0, LAST, TICK, LAST, 0, LAST]
    decided = [0, 0, 1, 1, 1, 0, 0, 0, 1]
    finished = [0, 0, 0, 0, 1, 0, 1, 0, 1]
    assert levels("first_spike", sequence) == list(zip(decided, finished, strict=True))


def test_a_count_is_never_decided():
    assert levels("count", [1, TICK, 1, LAST]) == [(0, 0), (0, 0), (0, 0), (0, 1)]


def test_an_event_takes_one_cycle_and_an_answer_one_per_word():
    dut = Readout(kind="count", neurons=3, steps=9, width=5)
    sample = [{0, 1, 2}, {1}, {0, 2}]
    source = Source(port=dut.i, payloads=[beat(item) for item in items(sample) * 2])
    sink = Sink(port=dut.o, count=8)
    simulate(dut, source.run, sink.run)
    first = sink.cycles[0]
    beats = len(items(sample))
    assert [cycle - first for cycle in sink.cycles] == [0, 1, 2, 3, *(4 + beats + 1 + word for word in range(4))]
