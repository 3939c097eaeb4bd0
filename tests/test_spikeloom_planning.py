import inspect

import pytest

from hw.plan import plan_network
from quant.quantize import quantize
from spikeloom.planning import PlanOptions, design_options, planning
from spikeloom.screen import Screen
from spikeloom.source import find_source

OPTIONS = ["lanes", "smallest", "target_latency", "reloadable", "spram", "skip_resting"]


def command(model: str, *, wanted: PlanOptions, early_stop: bool = True) -> None:
    """Whatever."""
    command.found = (model, wanted, early_stop)


def test_a_command_is_given_what_its_options_say():
    values = {
        **dict.fromkeys(OPTIONS),
        "smallest": True,
        "reloadable": False,
        "skip_resting": False,
        "lanes": "hidden=3",
    }
    planning(command)(model="a", early_stop=False, **values)
    assert command.found == ("a", PlanOptions(lanes="hidden=3", smallest=True), False)


def test_options_stand_where_the_parameter_stood():
    parameters = inspect.signature(planning(command)).parameters
    assert list(parameters) == ["model", *OPTIONS, "early_stop"]
    defaults = PlanOptions()
    assert all(parameters[name].default == getattr(defaults, name) for name in OPTIONS)
    assert planning(command).__doc__ == "Whatever."


@pytest.mark.parametrize("board", [None, "ulx3s-85f"])
def test_a_plan_skips_what_rests_if_it_is_told_to(board):
    network, _ = quantize(find_source("digits-spide").model, weight_bits=4)
    for wanted in (False, True):
        options, _ = design_options(network, board, Screen(as_json=True), PlanOptions(lanes="4", skip_resting=wanted))
        assert any(core.skips for core in plan_network(network, **options).cores) == wanted
