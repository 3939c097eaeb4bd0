"""Sweeps that skip, in loads and plans: what they visit, worked by hand, and when the planner chooses them."""

from dataclasses import replace

import numpy as np
import pytest

from boards import activity as activities
from boards.activity import assumed, measured
from boards.board import BOARDS
from boards.estimate import estimate
from boards.loads import core_load, interval, latency
from boards.planner import choose
from hw.cycles import predict_cycles
from hw.plan import plan_network
from quant.ir import Connection, Decay, Input, Network, Population, Readout
from sim import golden

NEURONS = 32
BOARD = BOARDS["ulx3s-85f"]


def row(*, steps=6, weight=7, threshold=100, readout="count", **fields):
    """A row of neurons that hear an input each."""
    fields = {"state_min": -120, "state_max": 120, **fields}
    return Network(
        name="row",
        steps=steps,
        input=Input(shape=(NEURONS,)),
        populations=(Population(name="a", shape=(NEURONS,), threshold=threshold, **fields),),
        connections=(Connection(source="input", target="a", kind="identity", weights=weight, weight_bits=5),),
        readout=Readout(population="a", kind=readout),
    )


def samples(model, *places, steps=None):
    """Samples of events, each of a step and a neuron."""
    values = np.zeros((len(places), steps or model.steps, NEURONS), np.int64)
    for number, events in enumerate(places):
        for step, neuron in events:
            values[number, step, neuron] = 1
    return values


def skipping(model, **options):
    return plan_network(model, lanes=1, skips=True, **options).cores[0]


def test_words_that_sweeps_visit():
    """The last in every step; a neuron in the step of its event, the one after it, and the sample's last."""
    model = row()
    core, found = skipping(model), measured(model, samples(model, [(1, 5)], [(1, 7), (3, 9)], []))
    words = [1 + 1 + 1, 2 + 2 + 1, 2 + 2 + 1, 1 + 2 + 1, 1 + 2 + 1, 2 + 3 + 1]
    assert found.sweeps(core).tolist() == [number + 3 * 3 for number in words]
    load = core_load(core, found)
    # The events fill one of the cycles from a sweep to the next.
    waits = 3 * 6 * core.cooldown - 3
    assert (load.accumulate, load.sweep, load.wait) == (1, (sum(words) + 3 * 18) / 3, waits / 3)


def test_sweeps_are_whole_where_nobody_has_measured_or_none_skips():
    model = row()
    whole = plan_network(model, lanes=1).cores[0]
    found = measured(model, samples(model, [(1, 5)]))
    assert (whole.lead, skipping(model).lead) == (0, 3)
    assert found.sweeps(whole).tolist() == [NEURONS] * 6
    assert assumed(model).sweeps(skipping(model)).tolist() == [10 * NEURONS] * 6


def test_a_sample_of_fewer_steps_closes_with_its_last():
    model = row()
    found = measured(model, samples(model, [(0, 5)], steps=4))
    assert found.sweeps(skipping(model)).tolist() == [3 + 2, 3 + 2, 3 + 1, 3 + 2, 0, 0]


def test_a_sample_that_is_decided_closes_with_its_last():
    """It fires in step 1, and two steps are on their way."""
    model = row(threshold=5, readout="first_spike")
    found = measured(model, samples(model, [(1, 5)]))
    assert found.running.tolist() == [1, 1, 1, 0, 0, 0]
    assert found.sweeps(skipping(model)).tolist() == [3 + 1, 3 + 2, 3 + 2, 0, 0, 0]
    whole = measured(model, samples(model, [(1, 5)]), early_stop=False)
    assert whole.sweeps(skipping(model)).tolist() == [3 + 1, 3 + 2, 3 + 2, 3 + 1, 3 + 1, 3 + 2]


def test_a_current_is_a_change_too():
    """Decay 3/4 of 7: 5, 4, 3, 2, 2; the membrane stays 0."""
    model = row(
        steps=7,
        decay=Decay(numerator=0),
        current_decay=Decay(numerator=3, shift=2),
        current_min=-99,
        current_max=99,
    )
    found = measured(model, samples(model, [(0, 5)]))
    assert found.sweeps(skipping(model)).tolist() == [5, 5, 5, 5, 5, 4, 5]


def test_what_is_heard_a_step_later_is_visited_then():
    """It fires in step 1, and hears of it in step 2, with a weight of 0."""
    model = row(threshold=5, reset="zero")
    back = Connection(source="a", target="a", kind="identity", weights=0, weight_bits=2, delay=1)
    model = replace(model, connections=(*model.connections, back))
    found = measured(model, samples(model, [(1, 5)]))
    assert found.sweeps(skipping(model)).tolist() == [3 + 1, 3 + 2, 3 + 2, 3 + 2, 3 + 1, 3 + 2]


def test_some_samples_are_traced_for_all(monkeypatch):
    """Two of three: what they visit is taken for the third, in proportion."""
    model = row()
    monkeypatch.setattr(activities, "_TRACED", 2 * 6 * 2 * NEURONS)
    monkeypatch.setattr(activities, "_TRACED_BATCH", 1)
    values = samples(model, [(1, 5)], [], [(0, 1), (0, 2), (0, 3)])
    found = measured(model, values)
    assert found.trace.running.shape == (2, 6)
    assert (found.samples, found.events["input"].sum()) == (3, 4)
    words = np.array([2, 3, 3, 2, 2, 3])
    np.testing.assert_allclose(found.sweeps(skipping(model)), words * 3 / 2 + 3 * 3)


def test_what_is_traced_is_what_all_together_show(monkeypatch):
    """However samples are put into batches."""
    model = maps()
    values = specks(model, 25)
    before = measured(model, values)
    monkeypatch.setattr(activities, "_TRACED_BATCH", 4)
    after = measured(model, values)
    assert before.running.tolist() == after.running.tolist()
    for name, events in before.events.items():
        np.testing.assert_array_equal(events, after.events[name])
        np.testing.assert_array_equal(before.trace.sent[name].sum(axis=0), events)
    for name, stirs in before.trace.stirs.items():
        np.testing.assert_array_equal(stirs, after.trace.stirs[name])


def maps(*, kind="events", steps=10, threshold=12):
    """A convolution of 6 channels of 12x12, then 4 neurons."""
    random = np.random.default_rng(0)
    common = {"threshold": threshold, "state_min": -100, "state_max": 100, "decay": Decay(numerator=3, shift=2)}
    return Network(
        name="maps",
        steps=steps,
        input=Input(shape=(1, 12, 12), kind=kind, high=1),
        populations=(
            Population(name="map", shape=(6, 12, 12), **common),
            Population(name="out", shape=(4,), **common),
        ),
        connections=(
            Connection(
                source="input",
                target="map",
                kind="conv2d",
                weights=random.integers(-7, 8, (6, 1, 3, 3)),
                padding=1,
                weight_bits=4,
            ),
            Connection(
                source="map", target="out", kind="dense", weights=random.integers(-7, 8, (4, 864)), weight_bits=4
            ),
        ),
        readout=Readout(population="out"),
    )


def specks(model, count, share=0.01):
    return (np.random.default_rng(1).random((count, model.steps, 144)) < share).astype(np.int64)


@pytest.mark.parametrize("lanes", [1, 2, 6])
@pytest.mark.parametrize("share", [0.003, 0.03])
def test_the_latency_is_near_that_of_the_cycle_model(lanes, share):
    model = maps()
    values = specks(model, 20, share)
    plan = plan_network(model, lanes=lanes, overlap=False, skips={"map": True})
    found = golden.run(model, values, record=("spikes", "membranes", "currents"))
    cycles = predict_cycles(plan, values, found.spikes, (found.membranes, found.currents)).mean()
    assert latency(plan, measured(model, values)) == pytest.approx(cycles, rel=0.08)
    assert latency(replace_skips(plan, False), measured(model, values)) > 1.1 * cycles


def replace_skips(plan, skips):
    return replace(plan, cores=tuple(replace(core, skip=skips) for core in plan.cores))


def test_sweeps_that_skip_are_chosen_where_little_happens():
    model = maps()
    seen = measured(model, specks(model, 20, 0.003))
    found, whole = choose(model, BOARD, seen), choose(model, BOARD, seen, skips=False)
    assert found.skips == {"map": True, "out": False}
    assert not any(whole.skips.values())
    assert found.interval < 0.5 * whole.interval
    assert found.latency < 0.5 * whole.latency
    assert [core.skips for core in plan_network(model, **found.options).cores] == [True, False]
    assert interval(found.plan, seen) == found.interval
    assert found.expected.logic_cells > estimate(replace_skips(found.plan, False), BOARD.family).logic_cells


def test_sweeps_stay_whole_where_they_gain_nothing():
    model = maps()
    assert not any(choose(model, BOARD, measured(model, specks(model, 20, 0.3))).skips.values())
    assert not any(choose(model, BOARD, assumed(model)).skips.values())


def test_sweeps_stay_whole_where_they_were_not_to_be_chosen():
    model = maps()
    seen = measured(model, specks(model, 20, 0.003))
    assert not any(choose(model, BOARD, seen, lanes=2).skips.values())
    assert not any(choose(model, BOARD, seen, smallest=True).skips.values())
    assert choose(model, BOARD, seen, lanes=2, skips=True).skips["map"]
    assert choose(model, BOARD, seen, smallest=True, skips=True).skips["map"]


def test_a_target_is_reached_by_skipping():
    model = maps()
    seen = measured(model, specks(model, 20, 0.003))
    whole = choose(model, BOARD, seen, skips=False)
    assert choose(model, BOARD, seen, target_cycles=0.6 * whole.latency).skips["map"]


def test_no_room_for_skipping_is_told():
    """A board with room for whole sweeps alone; and one with room for skipping, but not for more neuron units then."""
    model = maps()
    seen = measured(model, specks(model, 20, 0.003))
    lanes, units = {"map": 6, "out": 4}, {"map": 4, "out": 4}
    whole = choose(model, BOARD, seen, lanes=lanes, units=units)
    more = choose(model, BOARD, seen, lanes=lanes, units=units, skips=True)
    assert more.expected.logic_cells > whole.expected.logic_cells
    for room, skips, what in ((1, False, "sweeps that skip"), (400, True, "4 neuron units")):
        tight = replace(BOARD, logic_cells=round(whole.expected.logic_cells / 0.85) + room)
        found = choose(model, tight, seen, lanes={"out": 4}, units={"out": 4})
        assert found.skips == {"map": skips, "out": False}
        assert found.reason.startswith(f"map takes longest, and with {what} there are "), found.reason
        assert " logic cells too few (" in found.reason
