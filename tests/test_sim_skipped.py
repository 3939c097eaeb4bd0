"""Words that a sweep skips: as they were, for whoever compares; and whole networks on both simulators."""

import numpy as np
import pytest
from whole import random_inputs, random_network

from hw.design import generate
from quant.ranges import Range
from sim.cosim import cosimulate
from sim.testbench import Probe
from sim.traces import Field, Words, fill

PROBE = Probe(
    name="a",
    neurons=np.arange(3)[:, None],
    values={"spikes": Range(0, 1), "membranes": Range(-9, 9)},
    index_width=2,
    initial=np.array([[4], [5], [6]]),
)


def words(*lines):
    """Of last, index, spike and membrane."""
    last, index, spikes, membranes = np.array(lines).T
    values = {"spikes": Field(values=spikes[:, None]), "membranes": Field(values=membranes[:, None])}
    return Words(last=last, index=index, values=values)


def columns(found):
    return [
        found.last.tolist(),
        found.index.tolist(),
        *(found.values[name].values.reshape(-1, 3).tolist() for name in ("spikes", "membranes")),
    ]


def test_words_that_did_not_come_are_as_they_were():
    """In the step before, or at the start of the sample; and silent."""
    found = fill(PROBE, words((0, 1, 1, 7), (0, 2, 0, 8), (1, 2, 1, 9), (0, 0, 0, 3), (0, 2, 0, 2)))
    assert columns(found) == [
        [0, 0, 0, 1, 1, 1, 0, 0, 0],
        [0, 1, 2] * 3,
        [[0, 1, 0], [0, 0, 1], [0, 0, 0]],
        [[4, 7, 8], [4, 7, 9], [3, 5, 2]],
    ]


def test_words_out_of_order_are_as_they_came():
    found = fill(PROBE, words((0, 2, 0, 8), (0, 1, 0, 1), (0, 1, 0, 2), (0, 2, 0, 3)))
    assert found.index.tolist() == [0, 1, 2, 1, 1, 2]


@pytest.mark.parametrize(("simulator", "stall"), [("verilator", 0.0), ("icarus", 0.4)])
def test_sweeps_that_skip_are_golden(simulator, stall):
    """Every spike, membrane and current; alone and without stalls, in the cycles that were predicted."""
    rng = np.random.default_rng(4001)
    network = random_network(rng, steps=6, neurons=60)
    made = {"lanes": 2, "overlap": False, "skips": True}
    assert any(core.skips for core in generate(network, **made).cores)
    inputs = random_inputs(rng, network, 4)
    report = cosimulate(network, inputs, simulator=simulator, stall=stall, isolate=not stall, **made)
    assert (report.mismatches, report.first_difference) == (0, "")
    if not stall:
        assert report.cycles == report.cycles_predicted
