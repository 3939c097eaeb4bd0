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


@pytest.mark.parametrize("board", [None, "ulx3s-85f"])
@pytest.mark.parametrize(
    ("recipe", "lanes", "words"),
    [("digits-spide", "4", "Sweeps that skip: "), ("digits-lif", "96", "Sweeps that skip: none; ")],
)
def test_it_says_which_sweeps_skip(board, recipe, lanes, words, capsys):
    network, _ = quantize(find_source(recipe).model, weight_bits=4)
    options, choice = design_options(network, board, Screen(as_json=True), PlanOptions(lanes=lanes, skip_resting=True))
    cores = plan_network(network, **options).cores
    names = ", ".join(core.name for core in cores if core.skips)
    said = capsys.readouterr().err
    assert f"{words}{names}" in said
    assert bool(names) == (recipe == "digits-spide")
    groups = {core.name: core.groups if core.skips else 0 for core in cores}
    assert {core.name: core.as_dict()["skip_groups"] for core in cores} == groups
    if choice is not None:
        parts = {part["name"]: part.get("skip_groups") for part in choice.as_dict()["parts"]}
        assert {name: parts[name] for name in groups} == groups
