from random import Random

import numpy as np
import pytest
from streams import Resettable, Sink, Source, simulate

from hw.layout import Fields
from hw.plan import ReadoutPlan
from hw.readout import Readout
from quant.ranges import Range

TICK, LAST = "tick", "last"
BINARY = Range(0, 1)


def plan(kind, shape, steps, *, values=BINARY, reduce="last"):
    """Plan of a readout, with the scores that :mod:`hw.plan` gives it."""
    scores = Range(0, steps)
    if kind == "membrane":
        times = steps if reduce == "sum" else 1
        scores = Range(min(0, values.low) * times, max(0, values.high) * times)
    elif kind == "count":
        scores = Range(values.low * steps, values.high * steps)
    return ReadoutPlan(kind=kind, reduce=reduce, source="out", shape=shape, values=values, scores=scores, steps=steps)


def beat(item, shape):
    """Beat of a neuron and its value, of a tick, or of the tick that ends a sample."""
    if item in (TICK, LAST):
        # What a tick carries besides means nothing.
        address = (1 << Fields(shape).width) - 1
        return {"address": address, "value": 1, "tick": 1, "last": int(item == LAST)}
    neuron, value = item
    address = int(Fields(shape).encode(np.array(neuron)))
    return {"address": address, "value": value, "tick": 0, "last": neuron & 1}


def answer(plan, sample):
    """Scores and answer of a sample, given as the values by neuron of each step: the rule, word by word."""
    neurons = range(plan.classes)
    if plan.kind == "first_spike":
        earliest = next((index for index, step in enumerate(sample) if step), None)
        scores = [plan.steps if earliest is None or neuron not in sample[earliest] else earliest for neuron in neurons]
        return [*scores, scores.index(min(scores))]
    columns = [[step[neuron] for step in sample if neuron in step] for neuron in neurons]
    if plan.kind == "count" or plan.reduce == "sum":
        scores = [sum(column) for column in columns]
    else:
        scores = [max(column) if plan.reduce == "max" else column[-1] for column in columns]
    return [*scores, scores.index(max(scores))]


def items(sample, random=None):
    """Neurons with their values, and ticks, of a sample; those of a step rise, or are in a random order."""
    found = []
    for index, step in enumerate(sample):
        events = sorted(step.items())
        if random is not None:
            random.shuffle(events)
        found += [*events, LAST if index == len(sample) - 1 else TICK]
    return found


def binary(sample):
    """A sample of spikes that are all 1."""
    return [dict.fromkeys(step, 1) for step in sample]


def run(plan, samples, *, stall=0.0, pauses=0.0, random=None):
    """Words of the answers of samples that follow each other."""
    dut = Readout(plan)
    beats = [beat(item, plan.shape) for sample in samples for item in items(sample, random)]
    source = Source(port=dut.i, payloads=beats, stall=pauses, seed=5)
    words = plan.classes + 1
    sink = Sink(port=dut.o, count=words * len(samples), stall=stall)
    simulate(
        dut, source.run, sink.run, progress=lambda: {"beats": source.sent, "words": len(sink.received)}, cycles=30_000
    )
    found = sink.received
    assert [last for _, last in found] == ([0] * (words - 1) + [1]) * len(samples)
    return [[word for word, _ in found[at : at + words]] for at in range(0, len(found), words)]


def draw(plan, random, count):
    """Random samples: of spikes, some of fewer steps; of membranes, with a value of every neuron in every step."""
    values = [value for value in range(plan.values.low, plan.values.high + 1) if value or plan.kind == "membrane"]
    samples = []
    for _ in range(count):
        density = 1.0 if plan.kind == "membrane" else random.choice([0.0, 0.1, 0.3, 1.0])
        length = random.choice([plan.steps, plan.steps, 1, 2])
        drawn = random.choice([values, values[-1:], values[:1]])
        samples.append(
            [{n: random.choice(drawn) for n in range(plan.classes) if random.random() < density} for _ in range(length)]
        )
    return samples


KINDS = {
    "count": {},
    "signed count": {"values": Range(-1, 1)},
    "first_spike": {},
    "signed first_spike": {"values": Range(-1, 1)},
    "last": {"values": Range(-5, 9)},
    "sum": {"values": Range(-5, 9)},
    "max": {"values": Range(-5, 9)},
    "negative max": {"values": Range(-9, -2)},
    "positive max": {"values": Range(0, 6)},
    "negative sum": {"values": Range(-9, -2)},
    "binary last": {"values": BINARY},
    "binary sum": {"values": BINARY},
}


def planned(name, shape, steps):
    kind = name.split()[-1]
    if kind in ("count", "first_spike"):
        return plan(kind, shape, steps, **KINDS[name])
    return plan("membrane", shape, steps, reduce=kind, **KINDS[name])


SHAPES = [(1,), (2,), (5,), (2, 3, 3), (3, 3, 2), (1, 4, 2), (2, 1, 3), (2, 3, 1)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", KINDS)
def test_answers_samples_that_follow_each_other(name, shape):
    random, steps = Random(f"{name} {shape}"), 4
    stall, pauses = random.choice([(0.0, 0.0), (0.5, 0.0), (0.0, 0.3), (0.4, 0.2)])
    made = planned(name, shape, steps)
    samples = draw(made, random, 5)
    found = run(made, samples, stall=stall, pauses=pauses, random=random)
    assert found == [answer(made, sample) for sample in samples]


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
    made, sample = plan("count", (3,), 3), binary(sample)
    assert run(made, [sample, sample]) == [words, words]
    assert answer(made, sample) == words


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
    made, sample = plan("first_spike", (3,), 3), binary(sample)
    assert run(made, [sample, sample]) == [words, words]
    assert answer(made, sample) == words


@pytest.mark.parametrize(
    ("reduce", "sample", "words"),
    [
        # Below 0 alone: nothing of where a score starts is left.
        ("last", [[-3, -1, -2], [-4, -5, -4]], [-4, -5, -4, 0]),
        ("max", [[-3, -1, -2], [-4, -5, -2]], [-3, -1, -2, 1]),
        ("sum", [[-3, -1, -2], [-4, -5, -4]], [-7, -6, -6, 1]),
        # The rails; a tie of the last two.
        ("max", [[-8, -8, 7], [-8, 7, -8]], [-8, 7, 7, 1]),
        ("sum", [[-8, 7, 7], [-8, 7, 7]], [-16, 14, 14, 1]),
        ("last", [[7, 7, 7], [-8, 7, 7]], [-8, 7, 7, 1]),
        # The largest in the first step, and in the last.
        ("max", [[5, 1, 0], [0, 2, 6]], [5, 2, 6, 2]),
        ("last", [[5, 1, 0], [0, 2, 1]], [0, 2, 1, 1]),
        # A tie of all; one step.
        ("sum", [[1, 2, 0], [1, 0, 2]], [2, 2, 2, 0]),
        ("max", [[-8, -8, -8]], [-8, -8, -8, 0]),
    ],
)
def test_membrane(reduce, sample, words):
    made = plan("membrane", (3,), 2, values=Range(-8, 7), reduce=reduce)
    sample = [dict(enumerate(step)) for step in sample]
    assert run(made, [sample, sample]) == [words, words]
    assert answer(made, sample) == words


@pytest.mark.parametrize(
    ("kind", "sample", "words"),
    [
        ("count", [{0: -1, 1: -1}, {0: -1, 2: 1}, {0: -1, 2: -1}], [-3, -1, 0, 2]),
        ("count", [{0: -1, 1: -1, 2: -1}] * 3, [-3, -3, -3, 0]),
        ("count", [{1: 1}] * 3, [0, 3, 0, 1]),
        ("first_spike", [{}, {2: -1}, {0: 1, 1: 1}], [3, 3, 1, 2]),
        ("first_spike", [{1: 1, 2: -1}, {}, {0: 1}], [3, 0, 0, 1]),
    ],
)
def test_a_spike_of_minus_one_counts_down_and_is_a_spike(kind, sample, words):
    made = plan(kind, (3,), 3, values=Range(-1, 1))
    assert run(made, [sample, sample]) == [words, words]
    assert answer(made, sample) == words


@pytest.mark.parametrize("name", ["count", "first_spike", "sum", "max", "last"])
def test_what_is_not_valid_is_nothing(name):
    made = planned(name, (3,), 3)
    sample = [{0: 1, 2: 1}, {0: 1, 1: 1, 2: 1}, {1: 1}]
    dut = Readout(made)
    sink = Sink(port=dut.o, count=4)

    async def bench(ctx):
        for item in items(sample):
            for other in ((1, 1), (0, 1), LAST):
                ctx.set(dut.i.payload, beat(other, (3,)))
                await ctx.tick()
            ctx.set(dut.i.payload, beat(item, (3,)))
            ctx.set(dut.i.valid, 1)
            ready = False
            while not ready:
                *_, ready = await ctx.tick().sample(dut.i.ready)
            ctx.set(dut.i.valid, 0)

    simulate(dut, bench, sink.run, cycles=1000)
    assert [word for word, _ in sink.received] == answer(made, sample)


@pytest.mark.parametrize("kind", ["count", "first_spike"])
@pytest.mark.parametrize("reduce", ["sum", "max"])
def test_a_reduction_is_of_membranes_alone(kind, reduce):
    made = plan(kind, (2,), 2, values=Range(-1, 1), reduce=reduce)
    sample = [{1: -1}, {0: 1, 1: -1}]
    assert run(made, [sample, sample]) == [answer(made, sample)] * 2


def test_scores_are_sent_in_c_order():
    shape = (2, 3, 5)
    made = plan("membrane", shape, 1, values=Range(0, 31))
    values = np.random.default_rng(1).permutation(30)
    expected = [*(int(value) for value in values), int(values.argmax())]
    assert run(made, [[dict(enumerate(expected[:-1]))]]) == [expected]


def test_membranes_of_the_last_step_alone_are_the_scores():
    """The core of a linear readout sweeps once a sample."""
    made = plan("membrane", (2,), 4, values=Range(-4, 4))
    sample = [{}, {}, {}, {0: -2, 1: -3}]
    assert run(made, [sample, sample]) == [[-2, -3, 0]] * 2


def test_a_sample_of_fewer_steps_scores_silence_with_all_steps():
    assert run(plan("first_spike", (2,), 4), [[{}], [{1: 1}]]) == [[4, 4, 0], [4, 0, 1]]


def test_a_spike_after_the_last_step_scores_as_silence():
    assert run(plan("first_spike", (2,), 3), [[{}] * 4 + [{1: 1}], [{0: 1}]]) == [[3, 3, 0], [0, 3, 0]]


@pytest.mark.parametrize("name", ["count", "first_spike", "sum", "max"])
def test_a_reset_forgets_the_scores(name):
    """Cut off after so many cycles: while scores are set, while a sample comes in, while its answer goes out."""
    made, cuts = planned(name, (3, 1, 1), 4), range(1, 20, 2)
    dut = Readout(made)
    top = Resettable(dut)
    first, second = binary([{0, 2}, {2}]), binary([set(), {1}, {1, 2}])
    if made.kind == "membrane":
        first, second = [{0: 9, 1: 9, 2: 8}] * 2, [{0: -1, 1: -5, 2: 3}]
    found = []

    async def bench(ctx):
        for cut in cuts:
            await top.reset(ctx)
            ctx.set(dut.o.ready, 1)
            await top.cut_off(ctx, dut.i, [beat(item, made.shape) for item in items(first)], cut)
            ctx.set(dut.o.ready, 0)
            await Source(port=dut.i, payloads=[beat(item, made.shape) for item in items(second)]).run(ctx)
            sink = Sink(port=dut.o, count=4)
            await sink.run(ctx)
            found.append([word for word, _ in sink.received])

    simulate(top, bench, progress=lambda: {"cuts": len(found)}, cycles=5000)
    assert found == [answer(made, second)] * len(cuts)


@pytest.mark.parametrize("steps", [1, 15, 16])
def test_a_score_is_as_wide_as_the_steps(steps):
    assert run(plan("count", (2,), steps), [[{1: 1}] * steps]) == [[0, steps, 1]]
    assert run(plan("count", (2,), steps, values=Range(-1, 1)), [[{1: -1}] * steps]) == [[0, -steps, 0]]
    assert run(plan("first_spike", (2,), steps), [[{}] * steps]) == [[steps, steps, 0]]


def test_the_answer_may_be_wider_than_the_scores():
    assert run(plan("count", (20,), 1), [[{19: 1}]]) == [[0] * 19 + [1, 19]]


def levels(made, sequence):
    """``decided`` and ``finished`` in the cycle of each beat."""
    dut = Readout(made)
    seen = []

    async def bench(ctx):
        ctx.set(dut.o.ready, 1)
        for item in sequence:
            ctx.set(dut.i.payload, beat(item, made.shape))
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


@pytest.mark.parametrize("value", [1, -1])
def test_is_decided_from_the_first_spike_to_the_end_of_the_sample(value):
    sequence = [TICK, (1, value), TICK, (0, value), LAST, TICK, LAST, (0, value), LAST]
    decided = [0, 0, 1, 1, 1, 0, 0, 0, 1]
    finished = [0, 0, 0, 0, 1, 0, 1, 0, 1]
    made = plan("first_spike", (2,), 3, values=Range(-1, 1))
    assert levels(made, sequence) == list(zip(decided, finished, strict=True))


@pytest.mark.parametrize("made", [plan("count", (2,), 3), plan("membrane", (2,), 3, values=Range(-4, 4))])
def test_another_kind_is_never_decided(made):
    assert levels(made, [(1, 1), TICK, (1, 1), LAST]) == [(0, 0), (0, 0), (0, 0), (0, 1)]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("shape", [(3,), (2, 3, 3)], ids=str)
def test_an_event_takes_one_cycle_and_an_answer_one_per_word(name, shape):
    made = planned(name, shape, 9)
    sample = draw(made, Random(3), 1)[0]
    dut = Readout(made)
    source = Source(port=dut.i, payloads=[beat(item, shape) for item in items(sample) * 2])
    words = made.classes + 1
    sink = Sink(port=dut.o, count=2 * words)
    simulate(dut, source.run, sink.run)
    first, beats = sink.cycles[0], len(items(sample))
    # The scores are set in a cycle each; the answer's first word comes 2 cycles after the tick.
    assert first == made.classes + (made.classes > 1) + beats + 1
    between = words + beats + 1
    assert [cycle - first for cycle in sink.cycles] == [*range(words), *range(between, between + words)]
