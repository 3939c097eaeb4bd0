"""Weights B over a design that was made for weights A, on the top level that goes onto a board, and in parts of it."""

import numpy as np
import pytest

from boards.link import Link, LinkError
from hw.image import weight_image
from hw.plan import plan_network
from quant.ir import Network
from sim import golden
from sim.board import simulated_board
from sim.tools import available
from tests.links import same_as_golden, small_network

INPUTS = np.random.default_rng(5).integers(0, 2, (6, 3, 6))
BEFORE, AFTER = small_network(), small_network(seed=16)
SIMULATORS = [
    pytest.param(name, marks=pytest.mark.skipif(not available(name), reason=f"needs {name}"))
    for name in ("verilator", "icarus")
]


def image_of(network: Network, storage: str = "ram"):
    return weight_image(plan_network(network, storage=storage))


def test_the_networks_of_these_tests_answer_differently():
    here, there = (golden.run(network, INPUTS) for network in (BEFORE, AFTER))
    assert (here.scores != there.scores).any()


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("storage", ["ram", "spram"])
def test_a_board_takes_other_weights(simulator, storage):
    with (
        simulated_board(BEFORE, storage=storage, simulator=simulator) as board,
        Link(board.port, timeout_s=5.0) as link,
    ):
        assert link.info().loaded == (storage == "ram")
        if storage == "ram":
            link.check(BEFORE, weights=[image_of(BEFORE).crc])
            same_as_golden(link, BEFORE, INPUTS)
        else:
            with pytest.raises(LinkError, match=r"must be loaded first: see `spikeloom load`$"):
                link.check(BEFORE)
            with pytest.raises(LinkError, match=r"refused the frame: its weights are not loaded: see"):
                link.run(INPUTS[0])
        for network in (AFTER, BEFORE):
            link.load(image_of(network, storage))
            link.check(network, board.build_hash, [image_of(network, storage).crc])
            same_as_golden(link, network, INPUTS)
        with pytest.raises(LinkError, match=r"must be those of small, of checksum [0-9a-f]{8}, not [0-9a-f]{8}: see"):
            link.check(AFTER, weights=[image_of(AFTER, storage).crc])
