from dataclasses import replace

import numpy as np
import pytest

from boards.activity import Activity, assumed, measured
from boards.loads import Load, core_load, input_load, interval, latency, loads
from hw.cycles import predict_cycles
from hw.plan import plan_network
from quant.ir import Connection, Input, Network, Population, Readout
from sim import golden


def network(*sizes, steps=4, readout="count", kind="events", high=1, back=False):
    random = np.random.default_rng(1)
    names = [f"l{index}" for index in range(len(sizes) - 1)]
    connections = [
        Connection(
            source=source, target=name, kind="dense", weights=random.integers(-4, 8, (targets, fan)), weight_bits=4
        )
        for source, name, fan, targets in zip(["input", *names], names, sizes, sizes[1:], strict=False)
    ]
    if back:
        weights = random.integers(-7, 4, (sizes[1], sizes[-1]))
        connections.append(
            Connection(source=names[-1], target="l0", kind="dense", weights=weights, weight_bits=4, delay=1)
        )
    return Network(
        name="hand",
        steps=steps,
        input=Input(shape=sizes[:1], kind=kind, high=high),
        populations=tuple(
            Population(name=name, shape=(size,), threshold=12, state_min=-100, state_max=100)
            for name, size in zip(names, sizes[1:], strict=True)
        ),
        connections=tuple(connections),
        readout=Readout(population=names[-1], kind=readout),
    )


def samples(model, count=20):
    random, port = np.random.default_rng(2), model.input
    shape = (count, model.steps, port.size) if port.kind == "events" else (count, port.size)
    return random.integers(0, port.high + 1, shape) * (random.random(shape) < 0.4)


def test_events_are_those_of_the_golden_model():
    model, inputs = network(8, 6, 4), None
    inputs = samples(model, 70)
    found = measured(model, inputs)
    spikes = golden.run(model, inputs, record=("spikes",)).spikes
    np.testing.assert_array_equal(found.events["input"], inputs.sum(axis=0))
    np.testing.assert_array_equal(found.events["l0"], spikes["l0"].sum(axis=0))
    np.testing.assert_array_equal(found.running, [70] * 4)
    assert (found.samples, found.weight, found.origin) == (70, 70, "measured on 70 samples")


def test_samples_of_fewer_steps():
    model = network(8, 6, 4)
    found = measured(model, samples(model)[:, :3])
    assert found.running.tolist() == [20, 20, 20, 0]
    assert not found.events["input"][3].any()


@pytest.mark.parametrize("kind", ["current", "rate", "latency"])
def test_what_enters_the_cores_of_pixels(kind):
    model = network(8, 6, 4, kind=kind, high=15)
    inputs = samples(model)
    entering = measured(model, inputs).events["input"]
    assert entering.shape == (4, 8)
    assert measured(model, inputs).values == (inputs != 0).sum()
    if kind == "current":
        np.testing.assert_array_equal(entering, [(inputs != 0).sum(axis=0), *np.zeros((3, 8), int)])
    if kind == "latency":
        np.testing.assert_array_equal(entering.sum(axis=0), (inputs != 0).sum(axis=0))
    if kind == "rate":
        assert 0 < entering.sum() < 4 * (inputs != 0).sum()


def test_a_sample_that_is_decided_ends_after_the_steps_on_their_way():
    model = network(8, 6, 4, steps=6, readout="first_spike")
    inputs = samples(model)
    fired = golden.run(model, inputs, record=("spikes",)).spikes["l1"].any(axis=2)
    first = np.where(fired.any(axis=1), fired.argmax(axis=1), 5)
    assert first.min() < 3, "else nothing is stopped"
    expected = [(first + 1 >= step).sum() for step in range(6)]
    assert measured(model, inputs).running.tolist() == expected
    assert measured(model, inputs, early_stop=False).running.tolist() == [20] * 6


def test_what_is_assumed():
    model = network(8, 6, 4)
    found = assumed(model)
    assert (found.events["l0"].sum() / found.weight, found.samples, found.values) == (2.4, 0, 80)
    constant = assumed(network(8, 6, 4, kind="current", high=15))
    assert constant.events["input"].sum() / constant.weight == 8
    assert constant.events["input"][0].all()


def busy(model, **events):
    made = {name: np.zeros((model.steps, int(np.prod(model.shape_of(name)))), np.int64) for name in events}
    for name, number in events.items():
        made[name][:, :number] = 2
    return Activity(events=made, values=2 * model.input.size, running=np.full(model.steps, 2), samples=2)


def test_cycles_of_a_core_worked_by_hand():
    model = network(8, 6, 4)
    plan = plan_network(model, lanes=2, overlap=False)
    activity = busy(model, input=3, l0=5, l1=1)
    # l0: 3 events of 3 rows, 6 words; then 1 more cycle until the next sweep may begin, which the events fill.
    assert core_load(plan.cores[0], activity) == Load(name="l0", events=12, accumulate=36, sweep=24, wait=0, send=4 * 6)
    # l1: 5 events of 2 rows, 4 words; 3 cycles that its events fill.
    assert core_load(plan.cores[1], activity) == Load(name="l1", events=20, accumulate=40, sweep=16, wait=0, send=8)
    calm = core_load(plan.cores[1], busy(model, input=3, l0=1, l1=0))
    assert (calm.accumulate, calm.sweep, calm.wait) == (8, 16, 4)
    assert plan.cores[1].cooldown == 3


def test_cycles_of_a_core_that_sets_its_sums_aside():
    model = network(8, 6, 4)
    core = plan_network(model, lanes=2).cores[1]
    assert (core.aside, core.rows, core.sweeps, core.cooldown) == (True, 2, 4, 3)
    # 5 events of 2 rows and the tick: longer than 4 words, 3 cycles to wait, and the tick.
    load = core_load(core, busy(model, input=3, l0=5, l1=1))
    assert (load.accumulate, load.sweep, load.wait, load.cycles) == (44, 0, 0, 44)
    calm = core_load(core, busy(model, input=3, l0=1, l1=0))
    assert (calm.accumulate, calm.sweep, calm.wait, calm.cycles) == (12, 20, 0, 4 * (4 + 3 + 1))
    # 16 words: the tick is in the cycle of the last.
    long = plan_network(network(8, 16, 4), lanes=16, units=1).cores[0]
    assert (long.aside, long.sweeps, long.cooldown) == (True, 16, 0)
    assert core_load(long, busy(network(8, 16, 4), input=2, l0=0, l1=0)).cycles == 4 * 16


def test_a_population_that_is_heard_a_step_later():
    model = network(8, 6, 4, back=True)
    plan = plan_network(model, lanes=2)
    load = core_load(plan.cores[0], busy(model, input=3, l0=5, l1=2))
    # The last step is heard by nobody: 2 events of 3 rows in 3 steps.
    assert (load.events, load.accumulate) == (12 + 6, 36 + 18)


def test_the_input_and_the_answer():
    model = network(8, 6, 4)
    activity = busy(model, input=3, l0=5, l1=1)
    found = loads(plan_network(model, lanes=2), activity)
    assert [load.name for load in found] == ["input", "l0", "l1", "answer"]
    assert (found[0].events, found[0].cycles) == (12, 16)
    # An event and a tick a step, four scores and the answer.
    assert (found[-1].accumulate, found[-1].sweep) == (8, 5)
    coded = network(20, 6, 4, kind="rate", high=15)
    # 20 pixels, then 5 words of 4 a step.
    assert input_load(plan_network(coded), busy(coded, input=3)).cycles == 20 + 4 * 5 + 1


def test_what_leaves_may_take_longest():
    load = Load(name="a", events=1, accumulate=3, sweep=4, wait=1, send=9)
    assert (load.cycles, load.sending) == (9, True)
    assert replace(load, wait=2).sending
    assert (replace(load, wait=3).sending, replace(load, wait=3).cycles) == (False, 10)


@pytest.mark.parametrize("lanes", [1, 3, 16])
@pytest.mark.parametrize(
    "options",
    [{}, {"kind": "current", "high": 15}, {"kind": "rate", "high": 15}, {"back": True}],
    ids=str,
)
def test_the_latency_is_near_that_of_the_cycle_model(options, lanes):
    model = network(30, 24, 10, steps=6, **options)
    inputs = samples(model)
    plan = plan_network(model, lanes=lanes)
    spikes = golden.run(model, inputs, record=("spikes",)).spikes
    cycles = predict_cycles(plan, inputs, spikes).mean()
    assert latency(plan, measured(model, inputs)) == pytest.approx(cycles, rel=0.12)


@pytest.mark.parametrize("steps", [6, 3])
def test_a_core_that_sweeps_at_the_end_does_so_after_the_last_step_of_a_sample(steps):
    """Scores of a linear readout, so many that most cycles are of their way out."""
    model = network(30, 24, steps=6)
    weights = np.random.default_rng(3).integers(-9, 10, (90, 24))
    model = replace(model, readout=Readout(population="l0", kind="linear", weights=weights))
    inputs = samples(model)[:, :steps]
    plan = plan_network(model, lanes={"l0": 24, "scores": 90}, units={"l0": 16, "scores": 1})
    spikes = golden.run(model, inputs, record=("spikes",)).spikes
    cycles = predict_cycles(plan, inputs, spikes).mean()
    found = measured(model, inputs)
    assert found.steps == steps
    assert core_load(plan.cores[1], found).sweep == 90
    assert np.flatnonzero(found.sweeps(plan.cores[1])).tolist() == [steps - 1]
    assert latency(plan, found) == pytest.approx(cycles, rel=0.03)


def test_the_interval_is_that_of_the_busiest_or_of_a_loop():
    model = network(30, 24, 10)
    plan, activity = plan_network(model, lanes=2), measured(model, samples(model))
    assert interval(plan, activity) == max(load.cycles for load in loads(plan, activity))
    looped = network(30, 24, 24, back=True)
    plan = plan_network(looped, lanes=2)
    events = busy(looped, input=2, l0=12, l1=12)
    assert interval(plan, events) > 1.6 * max(load.cycles for load in loads(plan, events))
    assert latency(plan, events) > interval(plan, events)
