import inspect

import numpy as np
import pytest
from test_boards_skipping import maps, specks

from hw.plan import plan_network
from quant.file import load_network, save_network
from quant.quantize import quantize
from spikeloom.planning import PlanOptions, design_options, planning
from spikeloom.screen import Screen
from spikeloom.source import find_source

OPTIONS = ["lanes", "smallest", "target_latency", "reloadable", "spram", "skip_resting", "calibration"]


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


def test_a_plan_is_made_on_the_samples_of_a_file(spikeloom, tmp_path):
    """A map in which little happens: so its sweeps skip what rests, unless they must not."""
    save_network(tmp_path / "maps.npz", maps())
    np.save(tmp_path / "few.npy", specks(maps(), 30, 0.003))
    command = ("generate", "maps.npz", "--board", "ulx3s-85f", "--json")
    assumed = spikeloom(*command)
    assert assumed.code == 0
    assert assumed.json["plan"]["activity"].endswith("--calibration FILE measures it")
    assert [core["skip_groups"] for core in assumed.json["cores"]] == [0, 0]
    found = spikeloom(*command, "--calibration", "few.npy")
    assert found.json["plan"]["activity"] == "measured on 30 samples"
    assert found.json["cores"][0]["skip_groups"] > 1
    assert "Sweeps that skip: map\n" in found.err
    assert found.json["plan"]["interval_cycles"] < 0.5 * assumed.json["plan"]["interval_cycles"]
    whole = spikeloom(*command, "--calibration", "few.npy", "--no-skip-resting")
    assert [core["skip_groups"] for core in whole.json["cores"]] == [0, 0]
    assert "Sweeps that skip" not in whole.err


def test_samples_of_a_file_calibrate_a_float_network_too(spikeloom, tiny, tmp_path):
    """Its weights and thresholds are rounded by what these samples show."""
    np.save(tmp_path / "some.npy", np.random.default_rng(0).integers(0, 17, (20, 64)))
    plain, planned, quantized = (tmp_path / name for name in ("plain", "planned", "quantized"))
    samples = ("--calibration", "some.npy")
    assert spikeloom("generate", tiny, "--out", plain).code == 0
    assert spikeloom("generate", tiny, "--out", planned, *samples).code == 0
    assert spikeloom("quantize", tiny, "--out", quantized, *samples).code == 0
    digests = [load_network(folder / "network.npz").digest for folder in (plain, planned, quantized)]
    assert digests[1] == digests[2] != digests[0]


def test_samples_that_nothing_is_made_of_are_refused(spikeloom, network, tmp_path):
    np.save(tmp_path / "some.npy", np.zeros((2, 64), np.uint8))
    for verb in ("generate", "cosim"):
        found = spikeloom(verb, network, "--calibration", "some.npy", *(("--random",) if verb == "cosim" else ()))
        assert found.code == 2
        assert found.err.endswith(
            f"Option --calibration must be given with a float network or with --board, not with {network} alone\n"
        )
    found = spikeloom("generate", network, "--board", "icebreaker", "--calibration", "none.npy")
    assert (found.code, found.err.endswith("File none.npy does not exist\n")) == (2, True)


def test_a_folder_of_data_without_a_data_set_is_refused(spikeloom, tmp_path):
    save_network(tmp_path / "maps.npz", maps())
    found = spikeloom("generate", "maps.npz", "--board", "ulx3s-85f", "--data", "somewhere")
    words = "Network names no dataset in its metadata; give samples with --calibration FILE\n"
    assert (found.code, found.err.endswith(words)) == (2, True)
