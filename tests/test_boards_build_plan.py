"""Plans of builds: what the tools get, what its digest depends on, and which networks are refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from boards.activity import assumed
from boards.board import BOARDS, BoardError
from boards.build import FitError, plan_build
from boards.clocks import ClockError
from boards.planner import choose
from hw.uart import BaudError
from tests.links import small_network
from tests.plans import large_network, plan_fixture  # noqa: F401


def test_plan_is_the_same_each_time(plan):
    again = plan_build(small_network(), BOARDS["icebreaker"])
    assert again.build_hash == plan.build_hash
    assert dict(again.files) == dict(plan.files)
    assert len(bytes.fromhex(plan.build_hash)) == 16


def test_plan_holds_what_the_tools_need(plan):
    assert [command[0] for command in plan.commands] == ["yosys", "nextpnr-ice40", "icepack"]
    assert "set_io uart_0__rx__io 6" in plan.files["top.pcf"]
    assert "set_frequency clk12_0__io 12.0" in plan.files["top.pcf"]
    assert "SB_PLL40_PAD" in plan.files["top.il"]
    assert r"rename -hide w:*\[*" in plan.files["top.ys"]
    assert str(Path(__file__).parents[1]) not in plan.files["top.il"], (
        "paths of this machine would make the digest differ elsewhere"
    )


@pytest.mark.parametrize(
    "options",
    [{"seed": 2}, {"clock_hz": 30e6}, {"clock_hz": 12e6}, {"baud": 500_000}, {"lanes": 2}, {"lanes": {"first": 1}}],
    ids=str,
)
def test_plan_changes_with_the_options(plan, options):
    other = plan_build(small_network(), "icebreaker", **options)
    assert other.build_hash != plan.build_hash


def test_plan_changes_with_the_network_and_the_board(plan):
    network = small_network()
    weights = np.array(network.connections[0].weights)
    weights[0, 0] += 1 if weights[0, 0] < 7 else -1
    changed = replace(network, connections=(replace(network.connections[0], weights=weights), network.connections[1]))
    assert plan_build(changed, "icebreaker").build_hash != plan.build_hash
    assert plan_build(network, "ulx3s-25f").build_hash != plan_build(network, "ulx3s-85f").build_hash


def test_plan_skips_what_rests_if_it_is_told_to():
    network = small_network()
    for skips in (False, True):
        cores = plan_build(network, "icebreaker", lanes=1, skips=skips).choice.plan.cores
        assert any(core.skips for core in cores) == skips


def test_clock_without_the_pll():
    plan = plan_build(small_network(), "icebreaker", clock_hz=12e6)
    assert plan.clock_hz == 12e6
    assert "SB_PLL40" not in plan.files["top.il"]


def test_clock_of_ecp5():
    plan = plan_build(small_network(), "ulx3s-85f")
    assert plan.clock_hz == 62.5e6
    assert "EHXPLLL" in plan.files["top.il"]
    assert 'FREQUENCY PORT "clk25_0__io" 25000000.0 HZ' in plan.files["top.lpf"]


def test_lanes_are_planned_unless_they_are_given():
    network = large_network(neurons=64, inputs=4)
    board = BOARDS["icebreaker"]
    planned = choose(network, board, assumed(network))
    assert plan_build(network, "icebreaker").choice.as_dict() == planned.as_dict()
    assert plan_build(network, "icebreaker", lanes=4).plan.cores[0].lanes == 4
    assert plan_build(network, board, choice=choose(network, board, assumed(network), lanes=2)).plan.cores[0].lanes == 2


def test_network_that_can_never_fit_is_refused_before_anything_runs():
    with pytest.raises(FitError) as caught:
        plan_build(large_network(neurons=512, inputs=784), "icebreaker", lanes=8)
    assert str(caught.value) == (
        "Network large does not fit iCEBreaker: its weights are 3211264 bits, and all memories of the chip hold 207360"
        "; fewer weight bits, fewer neurons or a larger board would help"
    )


@pytest.mark.parametrize(
    ("board", "options", "error", "message"),
    [
        ("icebraker", {}, BoardError, "Board must be one of icebreaker, not 'icebraker'"),
        ("icebreaker", {"clock_hz": 1e6}, ClockError, "Clock must be between 16.125 and 270 MHz"),
        ("icebreaker", {"baud": 10_000_000}, BaudError, "Baud rate must be between 1 and 6000000 at 24000000 Hz"),
    ],
)
def test_plan_refuses(board, options, error, message):
    with pytest.raises(error, match=f"^{message}"):
        plan_build(small_network(), board, **options)
