"""Netlists: what Yosys makes of a top level, simulated cell by cell."""

from functools import partial

import numpy as np
import pytest

from boards.board import BOARDS
from boards.link import Link
from boards.netlist import synthesise
from boards.tools import ToolError, find_tool
from sim import golden
from sim.board import simulated_board
from sim.tools import available
from tests.links import small_network
from tests.whole import random_inputs, random_network

ICE40, ECP5 = BOARDS["icebreaker"], BOARDS["ulx3s-25f"]
FAMILIES = pytest.mark.parametrize("board", [ICE40, ECP5], ids=["ice40", "ecp5"])


def _has_yosys():
    try:
        find_tool("yosys")
    except ToolError:
        return False
    return True


needs_tools = pytest.mark.skipif(not (available("icarus") and _has_yosys()), reason="needs yosys and icarus")


def assert_answers(network, inputs, board, **hardware):
    result = golden.run(network, inputs)
    simulated = simulated_board(network, simulator="icarus", sources=partial(synthesise, board=board), **hardware)
    with simulated as found, Link(found.port, timeout_s=300.0) as link:
        if link.info().image_bytes:
            link.load(found.image)
        for index, sample in enumerate(inputs):
            answer = link.run(sample)
            assert (answer.answer, list(answer.scores)) == (result.answers[index], list(result.scores[index]))
            if network.readout.kind != "first_spike":
                assert list(answer.spikes) == [result.totals[name][index] for name in network.order]


@needs_tools
@FAMILIES
def test_a_netlist_answers_as_the_golden_model(board):
    assert_answers(small_network(), np.random.default_rng(5).integers(0, 2, (4, 3, 6)), board)


@needs_tools
@pytest.mark.slow
@FAMILIES
def test_a_netlist_takes_weights(board):
    storage = {"first": "spram" if board is ICE40 else "ram", "second": "ram"}
    assert_answers(small_network(), np.random.default_rng(6).integers(0, 2, (4, 3, 6)), board, storage=storage)


@needs_tools
@pytest.mark.slow
@FAMILIES
@pytest.mark.parametrize("seed", range(3))
def test_netlists_of_random_networks_answer_as_the_golden_model(board, seed):
    rng = np.random.default_rng(9000 + seed)
    network = random_network(rng, neurons=40)
    assert_answers(network, random_inputs(rng, network, 3), board, lanes=int(rng.integers(1, 5)))
