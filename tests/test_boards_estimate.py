import numpy as np
import pytest

from boards.board import BOARDS
from boards.costs import COSTS
from boards.estimate import Estimate, core_parts, estimate, shared_parts
from boards.estimate import total as total_of
from hw.plan import plan_network
from quant.ir import Connection, Decay, Input, Network, Population, Readout
from tests.links import small_network

FAMILIES = ("ice40", "ecp5")


def layer(shape=(64,), *, inputs=64, lanes=8, bits=4, port=None, steps=4, **fields):
    """Plan of one dense population."""
    random = np.random.default_rng(0)
    neurons = int(np.prod(shape))
    values = {"threshold": 20, "state_min": -512, "state_max": 511, **fields}
    network = Network(
        name="layer",
        steps=steps,
        input=port or Input(shape=(inputs,)),
        populations=(Population(name="a", shape=shape, **values),),
        connections=(
            Connection(
                source="input",
                target="a",
                kind="dense",
                weights=random.integers(-7, 8, (neurons, inputs)),
                weight_bits=bits,
            ),
        ),
        readout=Readout(population="a"),
    )
    return plan_network(network, lanes=lanes)


def blocks(plan, family="ice40"):
    return [core_parts(core, family)["block_rams"] for core in plan.cores]


def test_block_rams_of_a_core_worked_by_hand():
    plan = layer()
    core = plan.cores[0]
    assert (core.lanes, core.units, core.rows, core.sweeps) == (8, 8, 8, 8)
    # Weights: 512 words of 32 bits, in 4 of 512 x 8. Sums: 8 words of 8 x 9 bits, in 5 of 256 x 16.
    assert core.drive(held=False).width == 9
    # Membranes: 8 words of 8 x 10 bits, in 5. Spikes: 15 words of 8 + 3 + 2 bits, in 1.
    assert blocks(plan) == [4 + 5 + 5 + 1]
    assert shared_parts(plan, "ice40")["block_rams"] == 1 + 1, "bytes of the link, and 64 scores of 3 bits"
    # All but the weights is distributed, in tables of 4 bits.
    assert blocks(plan, "ecp5") == [1]
    assert core_parts(core, "ecp5")["tables"] == 18 + 20 + 4


def test_parameters_of_each_neuron_are_memories():
    plain = layer((256,), lanes=1)
    # 256 words of 5 differing bits: 20, 21, ... 51.
    varied = layer((256,), lanes=1, threshold=32 + np.arange(256) % 32)
    assert (plain.cores[0].units, blocks(varied)[0] - blocks(plain)[0]) == (1, 1)
    assert core_parts(varied.cores[0], "ice40")["kept_bits"] == core_parts(plain.cores[0], "ice40")["kept_bits"] + 10


def test_parameters_of_channels_are_constants_where_a_place_is_a_word():
    shape, threshold = (4, 8, 8), np.arange(1, 5)
    parts = [core_parts(layer(shape, lanes=4, threshold=item).cores[0], "ice40") for item in (4, threshold)]
    assert parts[0] == parts[1]
    half = [core_parts(layer(shape, lanes=2, threshold=item).cores[0], "ice40") for item in (4, threshold)]
    # Two words of two units, of the three bits of 1 to 4.
    assert half[1]["rom_bits"] - half[0]["rom_bits"] == 2 * 2 * 3


def test_multipliers():
    wide = Input(shape=(64,), kind="current", high=15)
    sign = Input(shape=(64,), low=-1, high=1)
    assert core_parts(layer(port=wide).cores[0], "ecp5")["dsps"] == 8
    assert core_parts(layer(port=wide).cores[0], "ice40")["product_bits"] == 8 * 4 * 4
    assert core_parts(layer(port=sign).cores[0], "ecp5")["dsps"] == 0
    assert core_parts(layer().cores[0], "ecp5")["dsps"] == 0
    # Factors that are not the same in all neurons, one for each unit; 18 bits at most in one.
    factors = Decay(numerator=np.arange(64) + 3, shift=8)
    assert core_parts(layer(decay=factors).cores[0], "ecp5")["dsps"] == 8
    far = layer(decay=factors, threshold=1 << 20, state_min=-(1 << 18), state_max=1 << 18)
    assert core_parts(far.cores[0], "ecp5")["dsps"] == 16


def test_membranes_that_are_always_0_are_not_stored():
    none = layer(threshold=1, decay=Decay(numerator=0), state_min=0, state_max=0)
    assert blocks(none) == [blocks(layer())[0] - 5]


def test_pixels_are_kept():
    coded = Input(shape=(1024,), kind="rate", high=255)
    plain = shared_parts(layer(inputs=1024), "ice40")
    # 64 words of 16 pixels of 8 bits: 8 of 256 x 16. Spikes wait in 5 words of 16 + 6 + 2 bits, too few for two more.
    found = shared_parts(layer(inputs=1024, port=coded), "ice40")
    assert found["encoder_bits"] == 128
    assert found["block_rams"] - plain["block_rams"] == 8
    assert found["ram_bits"] - plain["ram_bits"] == 5 * 24


@pytest.mark.parametrize("family", FAMILIES)
def test_more_is_never_less(family):
    cells = [estimate(layer(lanes=lanes), family).logic_cells for lanes in (1, 2, 4, 8, 16, 32, 64)]
    assert cells == sorted(cells)
    base = estimate(layer(), family).logic_cells
    assert estimate(layer(bits=8), family).logic_cells > base
    assert estimate(layer(bias=3), family).logic_cells > base
    second = {"current_decay": Decay(numerator=1, shift=1), "current_min": -99, "current_max": 99}
    assert estimate(layer(**second), family).logic_cells > base


@pytest.mark.parametrize("family", FAMILIES)
def test_the_whole_is_the_sum_of_its_parts(family):
    plan = plan_network(small_network())
    parts = [shared_parts(plan, family), *(core_parts(core, family) for core in plan.cores)]
    assert estimate(plan, family) == total_of(parts, family)
    assert {board.family for board in BOARDS.values()} == set(COSTS) == set(FAMILIES)
    for part in parts:
        assert set(part) <= set(COSTS[family]) | {"block_rams", "dsps", "sprams", "tables"}
    expected = {"logic_cells": 1, "block_rams": 2, "dsps": 3, "sprams": 0}
    assert Estimate(logic_cells=1, block_rams=2, dsps=3).as_dict() == expected
