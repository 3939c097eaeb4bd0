import json
from dataclasses import replace

import numpy as np
import pytest

from boards import planner
from boards import shortage as shortages
from boards.activity import Activity, assumed
from boards.board import BOARDS
from boards.estimate import Estimate, estimate
from boards.planner import TargetError, choose
from boards.shortage import LOGIC_SHARE, shortage
from boards.usage import FitError
from hw.plan import plan_network
from hw.port import BLOCK_RAMS
from quant.errors import NetworkError
from quant.ir import Connection, Input, Network, Population, Readout

ICEBREAKER, ULX3S = BOARDS["icebreaker"], BOARDS["ulx3s-85f"]
STEPS = 4


def network(*sizes, bits=4, steps=STEPS, back=False, readout="count"):
    """Dense layers l0, l1, ...; ``back``: the last of them also sends to the first, a step later."""
    random = np.random.default_rng(0)
    names = [f"l{index}" for index in range(len(sizes) - 1)]
    ends = [*zip(["input", *names], names, sizes, sizes[1:], strict=False)]
    connections = [
        Connection(
            source=source, target=name, kind="dense", weights=random.integers(-7, 8, (targets, fan)), weight_bits=bits
        )
        for source, name, fan, targets in ends
    ]
    if back:
        weights = random.integers(-7, 8, (sizes[1], sizes[-1]))
        connections.append(
            Connection(source=names[-1], target="l0", kind="dense", weights=weights, weight_bits=bits, delay=1)
        )
    weights = random.integers(-9, 10, (10, sizes[-1])) if readout == "linear" else None
    return Network(
        name="hand",
        steps=steps,
        input=Input(shape=sizes[:1]),
        populations=tuple(
            Population(name=name, shape=(size,), threshold=20, state_min=-100, state_max=100)
            for name, size in zip(names, sizes[1:], strict=True)
        ),
        connections=tuple(connections),
        readout=Readout(population=names[-1], kind=readout, weights=weights),
    )


def activity(model, **events):
    """So many events of each population in every step, spread over its neurons; of ten samples."""
    made = {}
    for name, number in events.items():
        made[name] = np.zeros((model.steps, int(np.prod(model.shape_of(name)))), np.int64)
        made[name][:, :number] = 10
    return Activity(events=made, values=10 * model.input.size, running=np.full(model.steps, 10), samples=10)


def cores(choice):
    return {core.name: (core.lanes, core.rows) for core in choice.plan.cores}


def test_the_busiest_core_gets_the_lanes():
    model = network(64, 64, 64)
    busy = choose(model, ULX3S, activity(model, input=60, l0=1, l1=1))
    calm = choose(model, ULX3S, activity(model, input=1, l0=60, l1=1))
    assert busy.lanes["l0"] > 4 * busy.lanes["l1"]
    assert calm.lanes["l1"] > 4 * calm.lanes["l0"]


def test_a_plan_ends_with_a_full_row(monkeypatch):
    # For the throughput alone: no latency is worth more lanes.
    monkeypatch.setattr(planner, "_WORTH", 1)
    model = network(16, 8, 4)
    choice = choose(model, ICEBREAKER, activity(model, input=16, l0=1, l1=1))
    assert cores(choice)["l0"] == (8, 1)
    assert choice.reason == "l0 takes longest, and has a lane for every channel of a place"


def test_a_plan_ends_with_the_input():
    # 200 pixels, then 25 words of 8 in each step, and a cycle between two samples.
    model = replace(network(200, 2, 2), input=Input(shape=(200,), kind="rate", high=255))
    choice = choose(model, ULX3S, activity(model, input=3, l0=0, l1=0))
    assert choice.reason == "the input takes longest, 301 cycles: its events enter one a cycle"
    assert choice.interval == 301


def test_a_plan_ends_with_the_answer():
    # Every neuron fires and is scored: 60 events and a tick a step, then 60 scores and the answer.
    model = network(2, 60)
    choice = choose(model, ULX3S, activity(model, input=0, l0=60))
    assert choice.reason == "the answer takes longest, 307 cycles: events and scores leave one a cycle"


def test_a_plan_ends_with_the_board():
    model = network(256, 256, 10)
    choice = choose(model, ICEBREAKER, activity(model, input=200, l0=3, l1=1), lanes=None) if fits(model) else None
    assert choice is None, "its weights are more than the chip's block RAMs"
    model = network(96, 96, 10)
    choice = choose(model, ICEBREAKER, activity(model, input=90, l0=3, l1=1))
    assert choice.reason.startswith("l0 takes longest, and with ")
    assert " too few (" in choice.reason
    expected = choice.expected
    assert expected.logic_cells <= LOGIC_SHARE["ice40"] * ICEBREAKER.logic_cells
    assert expected.block_rams <= ICEBREAKER.block_rams
    assert choice.lanes["l0"] > choice.lanes["l1"] or cores(choice)["l1"][1] == 1


def fits(model):
    made = plan_network(model, lanes=1, overlap=False, block_ram=BLOCK_RAMS["ice40"])
    return not shortage(estimate(made, "ice40"), ICEBREAKER)


def test_other_cores_get_lanes_as_long_as_a_sample_is_answered_sooner():
    model = network(60, 40, 40)
    events = activity(model, input=40, l0=5, l1=1)
    choice = choose(model, ULX3S, events)
    assert cores(choice)["l0"] == (40, 1)
    narrow = choose(model, ULX3S, events, lanes={"l0": 40, "l1": 10})
    assert choice.lanes["l1"] > 10
    assert choice.interval == narrow.interval
    assert choice.latency < narrow.latency


def test_cores_of_a_loop_grow_together():
    model = network(8, 64, 64, back=True)
    choice = choose(model, ULX3S, activity(model, input=1, l0=20, l1=25))
    assert choice.lanes == {"l0": 64, "l1": 64}
    # Each waits for the other in every step: no part is busy all the time.
    assert choice.interval > 1.3 * max(load.cycles for load in choice.loads)
    assert choice.reason.startswith("cores of a loop wait for each other; l")
    assert choice.reason.endswith(" takes longest, and its spikes leave one a cycle")


def test_the_smallest():
    model = network(64, 64, 10, readout="linear")
    choice = choose(model, ULX3S, assumed(model), smallest=True)
    assert choice.lanes == {"l0": 1, "l1": 1, "scores": 1}
    assert [core.lanes for core in choice.plan.cores] == [1, 1, 1]
    assert choice.reason == "the smallest was asked for"


def test_a_target_takes_no_more_lanes_than_it_needs():
    model = network(64, 64, 10)
    events = activity(model, input=30, l0=20, l1=1)
    slow, fast = choose(model, ULX3S, events, smallest=True), choose(model, ULX3S, events)
    target = (slow.latency + fast.latency) / 2
    choice = choose(model, ULX3S, events, target_cycles=target)
    assert fast.latency < choice.latency <= target
    assert choice.expected.logic_cells < fast.expected.logic_cells
    assert choose(model, ULX3S, events, target_cycles=slow.latency).lanes == slow.lanes
    assert choice.reason == f"no more than {target:,.0f} cycles a sample were asked for"


def test_a_target_that_cannot_be_reached():
    model = network(64, 64, 10)
    fast = choose(model, ULX3S, assumed(model))
    with pytest.raises(
        TargetError, match=r"^Latency of hand on ULX3S 85F must be at least \d+ cycles, not 3: "
    ) as caught:
        choose(model, ULX3S, assumed(model), target_cycles=3)
    assert float(str(caught.value).split()[10].replace(",", "")) == round(fast.latency)
    assert caught.value.exit_code == 2


def test_lanes_that_are_given_stay():
    model = network(64, 64, 10)
    events = activity(model, input=60, l0=1, l1=1)
    choice = choose(model, ULX3S, events, lanes={"l0": 3})
    assert choice.lanes["l0"] == 3
    assert choice.reason == "l0 takes longest, and its lanes were given"
    assert choose(model, ULX3S, events, lanes=5).lanes == {"l0": 5, "l1": 5}
    with pytest.raises(NetworkError, match=r"^Lanes must name one of l0, l1, not 'l2'$"):
        choose(model, ULX3S, events, lanes={"l2": 3})


def test_the_same_every_time_and_again_from_its_lanes():
    model = network(96, 96, 10)
    first, second = (choose(model, ICEBREAKER, assumed(model)) for _ in range(2))
    assert first.as_dict() == second.as_dict()
    again = choose(model, ICEBREAKER, assumed(model), lanes=first.lanes, units=first.units)
    assert (again.expected, again.interval, again.latency) == (first.expected, first.interval, first.latency)
    made = plan_network(model, **first.options)
    assert [(core.lanes, core.units) for core in made.cores] == [(core.lanes, core.units) for core in first.plan.cores]
    json.dumps(first.as_dict(), allow_nan=False)


def test_a_plan_tells_its_parts():
    model = network(16, 8, 4)
    found = choose(model, ULX3S, activity(model, input=16, l0=2, l1=1), lanes=2).as_dict()
    assert [part["name"] for part in found["parts"]] == ["input", "l0", "l1", "answer"]
    first = found["parts"][1]
    # 16 events of 4 rows, 8 words; every step.
    assert (first["events"], first["accumulate"], first["rows"]) == (64, 4 * 64, 4)
    assert (first["lanes"], first["units"], first["sweeps"], first["sweep"]) == (2, 1, 8, 32)
    assert first["cycles"] == found["interval_cycles"] == 4 * 64 + 32
    assert [part["share"] for part in found["parts"][:2]] == [round(68 / 288, 4), 1.0]
    assert found["activity"] == "measured on 10 samples"


def test_what_is_short_and_what_would_help():
    model = network(256, 64, 10, bits=10)
    board = replace(ICEBREAKER, sprams=0)
    with pytest.raises(FitError) as caught:
        choose(model, board, assumed(model))
    blocks = int(str(caught.value).split(" of 30)")[0].split("(")[-1])
    assert blocks == estimate(plan_network(model, lanes=1, block_ram=BLOCK_RAMS["ice40"]), "ice40").block_rams
    bits = next(bits for bits in range(9, 1, -1) if fits(narrowed(model, bits)))
    assert str(caught.value) == (
        f"Network hand does not fit iCEBreaker, whatever its lanes: {blocks - 30} block RAMs too few "
        f"({blocks} of 30), by the estimate; {bits} weight bits would fit or board ulx3s-12f would do"
    )


def test_weights_go_into_spram_where_block_ram_has_no_room():
    model = network(256, 64, 10, bits=10)
    choice = choose(model, ICEBREAKER, assumed(model))
    assert choice.storage == {"l0": "spram", "l1": "rom"}
    assert choice.plan.sprams == choice.expected.sprams <= ICEBREAKER.sprams
    assert choice.expected.block_rams <= 30
    assert choose(model, ULX3S, assumed(model)).storage == {"l0": "rom", "l1": "rom"}


def test_weights_go_into_spram_with_lanes_that_are_given():
    model = network(256, 64, 10, bits=10)
    choice = choose(model, ICEBREAKER, assumed(model), lanes=4)
    assert choice.lanes == {"l0": 4, "l1": 4}
    assert choice.storage == {"l0": "spram", "l1": "rom"}


def test_only_a_share_of_the_multipliers_of_an_ecp5_is_planned_with():
    full = Estimate(logic_cells=0, block_rams=0, dsps=70)
    assert shortage(full, ULX3S) == ""
    assert shortage(replace(full, dsps=71), ULX3S) == "1 DSPs too few (71 of 70, 45% of the chip's)"


def test_units_are_given_with_lanes():
    model = network(64, 64, 10)
    choice = choose(model, ULX3S, assumed(model), lanes={"l0": 16}, units={"l0": 2})
    assert next((core.lanes, core.units) for core in choice.plan.cores) == (16, 2)
    with pytest.raises(NetworkError, match=r"^Units must be of cores whose lanes are given, not of l1$"):
        choose(model, ULX3S, assumed(model), lanes={"l0": 16}, units={"l1": 2})


def test_registers_are_spent_on_sums_set_aside_where_they_are_cheap():
    model = network(64, 64, 10)
    for board, aside in ((ICEBREAKER, False), (ULX3S, True)):
        choice = choose(model, board, assumed(model), lanes=64)
        assert choice.plan.cores[0].aside == choice.sizes["overlap"] == aside


def narrowed(model, bits):
    half = 1 << (bits - 1)
    made = [
        replace(item, weights=np.clip(item.weights, -half, half - 1), weight_bits=bits) for item in model.connections
    ]
    return replace(model, connections=tuple(made))


def test_a_network_that_fits_nowhere():
    model = network(4000, 700, 10, bits=16)
    with pytest.raises(FitError, match=r"; fewer neurons would help; no board that is known is large enough$"):
        choose(model, ICEBREAKER, assumed(model))


def test_all_that_is_short_is_told(monkeypatch):
    monkeypatch.setattr(shortages, "LOGIC_SHARE", {"ice40": 0.5})
    full = Estimate(logic_cells=2640, block_rams=30, dsps=8)
    assert shortage(full, ICEBREAKER) == ""
    assert (
        shortage(replace(full, logic_cells=2641), ICEBREAKER)
        == "1 logic cells too few (2,641 of 2,640, 50% of the chip's)"
    )
    assert shortage(replace(full, block_rams=31, dsps=10), ICEBREAKER) == (
        "1 block RAMs too few (31 of 30) and 2 DSPs too few (10 of 8)"
    )
