import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from shutil import which

import numpy as np
import pytest

from quant.file import load_network, load_parts, save_network, save_parts
from quant.model import load_model, save_model
from snn.datasets import DATASETS
from snn.recipes import RECIPES
from tests.conftest import float_network

needs_icarus = pytest.mark.skipif(which("iverilog") is None, reason="needs iverilog on PATH")
VERBS = (
    "demo",
    "recipes",
    "train",
    "check",
    "quantize",
    "evaluate",
    "generate",
    "cosim",
    "build",
    "flash",
    "run",
    "report",
)


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def network(spikeloom, tiny):
    assert spikeloom("quantize", tiny).code == 0
    return tiny.parent / "build" / "tiny" / "network.npz"


# What every verb does.


def test_help_names_every_verb(spikeloom):
    words = spikeloom("--help")
    assert words.code == 0
    assert all(f"\n  {verb} " in words.out for verb in (*VERBS, "boards"))


def test_the_version_is_that_of_the_package(spikeloom):
    from spikeloom import __version__

    assert spikeloom("--version").out == f"spikeloom {__version__}\n"


def test_recipes_are_listed(spikeloom):
    names = [row["name"] for row in spikeloom("recipes", "--json").json["recipes"]]
    assert {"digits-lif", "digits-klif", "digits-ttfs", "fashion-klif"} <= set(names)
    assert all(name in spikeloom("recipes").out for name in names)


def test_boards_are_listed(spikeloom):
    rows = {row["name"]: row for row in spikeloom("boards", "--json").json["boards"]}
    assert {"icebreaker", "ulx3s-25f", "ulx3s-85f"} <= set(rows)
    assert rows["icebreaker"]["logic_cells"] == 5280
    assert "iCE40UP5K" in spikeloom("boards").out


def test_check_lists_every_layer_and_writes_nothing(spikeloom, tiny):
    found = spikeloom("check", tiny, "--json")
    assert found.code == 0
    assert [layer["name"] for layer in found.json["layers"]] == ["hidden", "output"]
    hidden = found.json["layers"][0]
    assert hidden["connections"] == ["dense from input: 6x64 of 4 bits"]
    assert (hidden["weights"], hidden["neurons"], hidden["decay"], hidden["lanes"]) == (384, 6, "1 / 2", 6)
    assert "reset to zero" in spikeloom("check", tiny).out
    assert files(tiny.parent) == ["tiny.npz"]


def test_check_of_an_integer_network_is_that_of_its_float_network(spikeloom, tiny, network):
    of_integers, of_floats = (spikeloom("check", path, "--json").json for path in (network, tiny))
    assert of_integers == {**of_floats, "warnings": []}
    assert of_floats["warnings"] == ["Population output: a threshold moved by 17%; use more weight bits"]


def test_quantize_writes_the_network_and_what_was_rounded(spikeloom, tiny):
    found = spikeloom("quantize", tiny, "--weight-bits", 5, "--out", "made", "--json")
    assert found.code == 0
    assert files(tiny.parent) == ["made/network.npz", "made/report.json", "tiny.npz"]
    made = load_network(tiny.parent / "made" / "network.npz")
    assert found.json["digest"] == made.digest
    assert [item.weight_bits for item in made.connections] == [5, 5]
    assert found.json["populations"][0]["connections"][0]["bits"] == 5


def test_bits_are_those_of_the_training(spikeloom, tiny):
    save_model(tiny, float_network(metadata={"weight_bits": 6, "decay_bits": 0}))
    spikeloom("quantize", tiny)
    made = load_network(tiny.parent / "build" / "tiny" / "network.npz")
    assert made.connections[0].weight_bits == 6
    assert made.populations[0].decay.shift == 0


def test_evaluate_sets_float_and_integer_side_by_side(spikeloom, tiny):
    found = spikeloom("evaluate", tiny, "--json")
    assert found.code == 0
    assert found.json["samples"] == 359
    assert 0 <= found.json["accuracy"] <= 1
    assert 0 <= found.json["float_accuracy"] <= 1
    assert [item["name"] for item in found.json["firing"]] == ["hidden", "output"]
    assert "359 samples" in spikeloom("evaluate", tiny).out


def test_evaluate_of_an_integer_network_has_its_own_accuracy(spikeloom, tiny, network):
    both = spikeloom("evaluate", tiny, "--json").json
    alone = spikeloom("evaluate", network, "--json").json
    against = spikeloom("evaluate", network, "--against", tiny, "--json").json
    assert alone["accuracy"] == both["accuracy"]
    assert "float_accuracy" not in alone
    assert against["float_accuracy"] == both["float_accuracy"]


def test_evaluate_runs_samples_of_a_file(spikeloom, network, tmp_path):
    inputs = np.random.default_rng(0).integers(0, 17, (5, 64))
    np.savez(tmp_path / "samples.npz", inputs=inputs, labels=np.arange(5))
    np.save(tmp_path / "inputs.npy", inputs)
    labelled = spikeloom("evaluate", network, "--inputs", "samples.npz", "--json").json
    assert (labelled["samples"], labelled["origin"]) == (5, "samples.npz")
    assert labelled["accuracy"] is not None
    assert spikeloom("evaluate", network, "--inputs", "inputs.npy", "--samples", 2, "--json").json["accuracy"] is None


def test_generate_writes_verilog_beside_the_network(spikeloom, network):
    found = spikeloom("generate", network, "--lanes", "hidden=2,output=10", "--json")
    assert found.code == 0
    assert found.json["module"] == "spikeloom_tiny"
    assert [core["lanes"] for core in found.json["cores"]] == [2, 10]
    assert "module spikeloom_tiny(" in (network.parent / "network.v").read_text()
    assert files(network.parent) == ["network.npz", "network.v", "report.json"]


def test_generate_takes_the_lanes_of_a_build_for_a_board(spikeloom):
    found = spikeloom("generate", "digits-klif", "--board", "icebreaker", "--json")
    parts = {part["name"]: part for part in found.json["plan"]["parts"]}
    assert list(parts) == ["input", "hidden", "output", "answer"]
    planned = [parts[name]["lanes"] for name in ("hidden", "output")]
    assert [core["lanes"] for core in found.json["cores"]] == planned
    assert parts["hidden"]["share"] == 1.0
    assert planned[0] > 4
    assert found.json["plan"]["limit"].startswith("hidden takes longest, and with 16 lanes there are ")
    interval = found.json["plan"]["interval_cycles"]
    assert f"; {interval:.0f} cycles between samples: hidden takes longest" in found.err
    refused = spikeloom("generate", "digits-klif", "--board", "icebraker")
    assert refused.code == 2
    assert "not 'icebraker'" in refused.err


def test_generate_shows_the_plan(spikeloom, network):
    found = spikeloom("generate", network, "--board", "icebreaker")
    assert found.out.startswith("Plan for icebreaker: ")
    assert "Limit: " in found.out
    assert "Estimate: " in found.out


@pytest.mark.parametrize(
    ("options", "lanes"),
    [
        (("--smallest",), [1, 1]),
        (("--lanes", "hidden=3"), [3, 10]),
        (("--lanes", "hidden=3", "--smallest"), [3, 1]),
        (("--lanes", "2"), [2, 2]),
        (("--target-latency", "10ms"), [1, 1]),
        (("--target-latency", "1000000 cycles"), [1, 1]),
    ],
    ids=str,
)
def test_a_plan_is_steered(spikeloom, network, options, lanes):
    found = spikeloom("generate", network, "--board", "icebreaker", *options, "--json")
    assert found.code == 0, found.err
    assert [core["lanes"] for core in found.json["cores"]] == lanes


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--target-latency", "5us"), "Plan must be for a board, with --board, to take --target-latency"),
        (("--smallest",), "Plan must be for a board, with --board, to take --smallest"),
        (("-b", "icebreaker", "--target-latency", "5"), "Latency must be a time such as 1ms or 500us, or 2000cycles"),
        (("-b", "icebreaker", "--target-latency", "0ms"), "Latency must be a time such as 1ms or 500us, or 2000cycles"),
        (("-b", "icebreaker", "--target-latency", "1us"), "Latency of tiny on iCEBreaker must be at least "),
        (("-b", "icebreaker", "--target-latency", "1s", "--smallest"), "Plan must be steered by --smallest or by "),
        (("-b", "icebreaker", "--lanes", "middle=3"), "Lanes must name one of hidden, output, not 'middle'"),
    ],
    ids=str,
)
def test_plans_that_cannot_be(spikeloom, network, options, words):
    found = spikeloom("generate", network, *options)
    assert (found.code, found.out) == (2, "")
    assert found.err.splitlines()[-1].startswith(words)


@needs_icarus
def test_cosim_compares_every_spike_and_membrane(spikeloom, tiny):
    found = spikeloom("cosim", tiny, "--simulator", "icarus", "--samples", 2, "--stall", 0.2, "--json")
    assert found.code == 0, found.err
    assert (found.json["samples"], found.json["mismatches"]) == (2, 0)
    assert found.json["membranes"] == 2 * 3 * 16
    assert files(tiny.parent) == ["build/tiny/network.npz", "build/tiny/report.json", "tiny.npz"]


@needs_icarus
def test_cosim_runs_random_samples_of_a_network_without_data(spikeloom, tmp_path):
    save_model(tmp_path / "bare.npz", float_network(metadata={}))
    refused = spikeloom("cosim", "bare.npz", "-s", "icarus")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == "Network names no dataset in its metadata; give samples with --inputs FILE\n"
    found = spikeloom("cosim", "bare.npz", "-s", "icarus", "--random", "--samples", 3, "--isolate", "--json")
    assert (found.code, found.json["samples"]) == (0, 3)
    assert found.json["cycles"] == found.json["cycles_predicted"]


@needs_icarus
def test_cosim_goes_on_where_it_stopped(spikeloom, tiny):
    options = (tiny, "-s", "icarus", "--random", "--samples", 6, "--shard", 3, "--json")
    first = spikeloom("cosim", *options)
    assert (first.code, first.json["resumed"]) == (0, 0)
    record = tiny.parent / "build" / "tiny" / "cosim-icarus.jsonl"
    record.write_text(record.read_text().splitlines(keepends=True)[0])
    again = spikeloom("cosim", *options, "--resume", "--jobs", 1)
    assert (again.code, again.json["resumed"], again.json["jobs"]) == (0, 3, 1)
    assert "Going on after 3 of 6 samples ..." in again.err
    different = {"resumed", "seconds", "jobs"}
    assert [again.json[key] for key in again.json if key not in different] == [
        first.json[key] for key in first.json if key not in different
    ]
    refused = spikeloom("cosim", *options, "--resume", "--stall", 0.5)
    assert refused.code == 2
    assert refused.err.endswith("is of other options: stall 0.0, not 0.5; start anew, without resuming it\n")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--samples", "some"), "Samples must be a number or all, not 'some'"),
        (("--samples", "all", "--random"), "Samples must be a number, not 'all'"),
    ],
)
def test_cosim_refuses_what_is_no_number_of_samples(spikeloom, tiny, options, words):
    refused(spikeloom("cosim", tiny, *options), words)


def test_a_difference_ends_with_1_and_is_told(spikeloom, network, monkeypatch):
    import sim.cosim
    from sim.cosim import CosimReport

    counts = dict.fromkeys(("spikes", "membranes", "answer_mismatches", "stream_mismatches"), 0)
    report = CosimReport(
        **counts,
        network="tiny",
        samples=1,
        populations=("hidden", "output"),
        spike_mismatches=1,
        membrane_mismatches=0,
        first_difference="sample 0, step 1, population 'hidden', neuron 2: golden 1, rtl 0",
        cycles=(1,),
        cycles_predicted=(1,),
        total_cycles=1,
        simulator="icarus",
        version="0",
        isolate=False,
        stall=0.0,
        seed=0,
        seconds=0.0,
    )
    monkeypatch.setattr(sim.cosim, "cosimulate", lambda *arguments, **options: report)
    found = spikeloom("cosim", network, "--json")
    assert found.code == 1
    assert found.json["mismatches"] == 1
    assert found.err.endswith(
        "1 mismatches on icarus; sample 0, step 1, population 'hidden', neuron 2: golden 1, rtl 0\n"
    )


def test_report_gathers_the_steps_of_one_network(spikeloom, tiny, network):
    spikeloom("evaluate", network, "--samples", 10)
    found = spikeloom("report", network.parent, "--json").json
    assert set(found) == {"network", "digest", "quantize", "evaluate"}
    assert found["evaluate"]["samples"] == 10
    assert "samples: 10" in spikeloom("report", network.parent).out
    spikeloom("quantize", tiny, "--weight-bits", 3)
    assert set(spikeloom("report", network.parent, "--json").json) == {"network", "digest", "quantize"}


# Wrong use.


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in ("demo", "recipes")])
def test_a_missing_argument_ends_with_2(spikeloom, verb):
    found = spikeloom(verb)
    assert found.code == 2
    assert "Missing argument" in found.err


def test_an_unknown_verb_ends_with_2(spikeloom):
    assert spikeloom("frobnicate").code == 2


def refused(outcome, words):
    assert outcome.code == 2
    assert outcome.out == ""
    *stages, last = outcome.err.splitlines()
    assert last == words
    assert all(stage.endswith(" ...") for stage in stages)


@pytest.mark.parametrize("verb", ["check", "quantize", "evaluate", "generate", "cosim", "build"])
def test_a_model_that_is_not_there(spikeloom, tmp_path, verb):
    near = "digits-klif, digits-lif, digits-ttfs"
    refused(spikeloom(verb, "digits-kif"), f"Model must be a file, or a recipe such as {near}, not 'digits-kif'")
    refused(
        spikeloom(verb, "nothing.npz"),
        "Model must be a file, or a recipe such as digits-lif, digits-klif, digits-ttfs, fashion-klif, "
        "not 'nothing.npz'",
    )
    assert files(tmp_path) == []


@pytest.mark.parametrize("verb", ["check", "evaluate", "generate", "cosim", "build"])
def test_a_network_file_that_is_truncated_altered_or_of_another_version(spikeloom, network, verb):
    data, folder = network.read_bytes(), files(network.parent)
    network.write_bytes(data[: len(data) // 2])
    whole = "is not a whole Spikeloom file: it is truncated, altered or of another kind"
    refused(spikeloom(verb, network), f"File {network} {whole}")
    altered = bytearray(data)
    altered[data.index(b"PK\x03\x04", 4) - 5] ^= 0xFF  # within the first of the zipped files
    network.write_bytes(altered)
    found = spikeloom(verb, network)
    assert (found.code, found.out, found.err.count("\n")) == (2, "", 1)
    assert found.err.startswith(f"File {network} ")
    header, arrays = load_parts(save(network, data), "network")
    save_parts(network, "network", {**header, "steps": 0}, arrays)
    refused(
        spikeloom(verb, network), f"File {network} is inconsistent. Network steps must be between 1 and 65536, not 0"
    )
    assert files(network.parent) == folder


def save(path, data):
    path.write_bytes(data)
    return path


def test_a_file_of_another_version(spikeloom, network, monkeypatch):
    import quant.file

    made = load_network(network)
    monkeypatch.setattr(quant.file, "VERSION", 7)
    save_network(network, made)
    monkeypatch.undo()
    refused(spikeloom("check", network), f"File {network} must have format version 1, not 7")


@pytest.mark.parametrize("suffix", [".pt", ".onnx"])
def test_files_that_cannot_be_imported(spikeloom, tmp_path, suffix):
    (tmp_path / f"model{suffix}").write_bytes(b"PK\x03\x04")
    found = spikeloom("check", f"model{suffix}")
    assert (found.code, found.out, found.err.count("\n")) == (2, "", 1)
    assert found.err.startswith(f"File model{suffix} of ")
    assert "does not say what the network is; " in found.err


def test_weights_with_nan(spikeloom, tiny):
    header, arrays = load_parts(tiny, "model")
    weights = np.array(arrays["connections.0.weights"])
    weights[2, 3] = np.nan
    save_parts(tiny, "model", header, {**arrays, "connections.0.weights": weights})
    found = spikeloom("quantize", tiny)
    assert (found.code, found.out, found.err.count("\n")) == (2, "", 1)
    assert found.err.endswith("weights must be finite, but 1 of 384 are NaN or infinite\n")
    assert files(tiny.parent) == ["tiny.npz"]


def test_a_layer_of_ternary_spikes_is_generated(spikeloom, tiny):
    model = float_network()
    hidden = replace(model.populations[0], ternary=True, threshold=5.0)
    save_model(tiny, replace(model, populations=(hidden, model.populations[1])))
    checked = spikeloom("check", tiny, "--json")
    assert checked.code == 0
    assert checked.json["layers"][0]["becomes"] == "reset to zero, ternary, biased"
    assert spikeloom("generate", tiny).code == 0
    assert (tiny.parent / "build" / "tiny" / "network.v").exists()


def test_a_data_set_that_is_not_there(spikeloom, tmp_path):
    model = float_network(metadata={"dataset": "fashion-mnist", "encoder": "direct"})
    save_model(tmp_path / "fashion.npz", model)
    (tmp_path / "empty").mkdir()
    found = spikeloom("evaluate", "fashion.npz", "--data", "empty")
    assert (found.code, found.out, found.err.count("\n")) == (2, "", 1)
    assert found.err.startswith("Data set fashion-mnist is not in empty; ")
    assert files(tmp_path) == ["fashion.npz"]


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"dataset": "digits"}, "Network names no encoder in its metadata; give samples with --inputs FILE"),
        ({"dataset": "../x", "encoder": "direct"}, f"Data set must be one of {', '.join(DATASETS)}, not '../x'"),
        (
            {"dataset": "digits", "encoder": ["direct"]},
            "Encoder must be direct, direct>>BITS, rate/HIGH or latency/HIGH of images, frames/HOW of events, "
            "spikes or level/DELTA of sequences, not \"['direct']\"",
        ),
    ],
)
def test_metadata_that_name_no_samples(spikeloom, tmp_path, metadata, words):
    save_model(tmp_path / "odd.npz", float_network(metadata=metadata))
    refused(spikeloom("evaluate", "odd.npz"), words)


@pytest.mark.parametrize("recipe", [["digits-klif"], "../../up", 3])
def test_metadata_do_not_choose_the_folder(spikeloom, tiny, recipe):
    save_model(tiny, float_network(metadata={"recipe": recipe}))
    assert spikeloom("quantize", tiny).code == 0
    assert files(tiny.parent) == ["build/tiny/network.npz", "build/tiny/report.json", "tiny.npz"]


@pytest.mark.parametrize("verb", ["build", "demo"])
def test_a_board_that_is_misspelt(spikeloom, tiny, verb):
    arguments = [tiny] if verb == "build" else []
    found = spikeloom(verb, *arguments, "--board", "icebraker")
    assert (found.code, found.out) == (2, "")
    assert found.err.endswith("Board must be one of icebreaker, not 'icebraker'\n")


def test_a_missing_simulator(spikeloom, network, monkeypatch):
    monkeypatch.setenv("PATH", "")
    found = spikeloom("cosim", network, "-s", "icarus", "--samples", 1)
    assert (found.code, found.out) == (2, "")
    assert found.err.endswith("Icarus Verilog (iverilog and vvp) is not on PATH: apt install iverilog\n")
    found = spikeloom("cosim", network, "-s", "modelsim", "--samples", 1)
    assert found.err.endswith("Simulator must be one of verilator, icarus, not 'modelsim'\n")
    assert files(network.parent) == ["network.npz", "report.json"]


def test_a_missing_build_tool(spikeloom, network, monkeypatch):
    monkeypatch.setenv("YOSYS", "/nowhere/yosys")
    found = spikeloom("build", network)
    assert (found.code, found.out) == (2, "")
    assert found.err.endswith("Tool yosys must be at /nowhere/yosys, as YOSYS says, but no program is there\n")
    assert files(network.parent) == ["network.npz", "report.json"]


def test_a_network_that_does_not_fit(spikeloom, tmp_path):
    model = float_network()
    wide = np.random.default_rng(0).normal(0, 0.1, (5000, 64))
    hidden = replace(model.populations[0], shape=(5000,))
    connections = (
        replace(model.connections[0], weights=wide),
        replace(model.connections[1], weights=np.random.default_rng(1).normal(0, 0.1, (10, 5000))),
    )
    large = replace(model, populations=(hidden, model.populations[1]), connections=connections)
    save_model(tmp_path / "large.npz", large)
    found = spikeloom("build", "large.npz")
    assert (found.code, found.out) == (2, "")
    lack = found.err.splitlines()[-1]
    assert lack.startswith("Network tiny does not fit iCEBreaker, whatever its lanes: ")
    assert " block RAMs too few (" in lack
    assert lack.endswith(", by the estimate; board ulx3s-85f would do")
    found = spikeloom("build", "large.npz", "--lanes", 8)
    assert "Network tiny does not fit iCEBreaker: its weights are 1520000 bits" in found.err
    assert not (tmp_path / "build" / "tiny" / "icebreaker").exists()


def test_a_port_that_does_not_exist(spikeloom, network):
    found = spikeloom("run", network, "--port", "/dev/ttyNONE")
    assert (found.code, found.out) == (2, "")
    assert found.err.startswith("Port /dev/ttyNONE does not exist; ")
    assert found.err.count("\n") == 1


@pytest.fixture
def built(network):
    """A network of which two bitstreams were made, as far as files tell."""
    for name, suffix, head in (("icebreaker", "bin", b"\x7e\xaa\x99\x7e"), ("ulx3s-25f", "bit", b"\xff\xff\xbd\xb3")):
        folder = network.parent / name
        folder.mkdir()
        (folder / f"tiny.{suffix}").write_bytes(bytes(8) + head)
        report = {"bitstream": f"{folder}/tiny.{suffix}", "board": name}
        (folder / "report.json").write_text(json.dumps(report))
    return network


@pytest.mark.parametrize("place", ["network.npz", ".", "icebreaker", "icebreaker/tiny.bin"])
def test_flash_says_what_it_would_run(spikeloom, built, place):
    found = spikeloom("flash", built.parent / place, "--board", "icebreaker", "--dry-run", "--json")
    assert found.code == 0, found.err
    assert found.json["command"][1:] == [str(built.parent / "icebreaker" / "tiny.bin")]
    assert (found.json["board"], found.json["done"]) == ("icebreaker", False)


def test_flash_of_several_boards_or_none(spikeloom, tiny, built):
    folder = built.parent
    words = f"Board of {folder} must be one of icebreaker, ulx3s-25f"
    refused(spikeloom("flash", built, "--dry-run"), words)
    refused(spikeloom("flash", built, "--board", "ulx3s-85f", "--dry-run"), f"{words}, not ulx3s-85f")
    refused(spikeloom("flash", tiny.parent), f"Board of {tiny.parent} must be built for first: see `spikeloom build`")


def test_flash_for_another_board(spikeloom, built):
    found = spikeloom("flash", built.parent / "icebreaker", "--board", "ulx3s-25f", "--dry-run")
    assert (found.code, found.out) == (2, "")
    assert "must be for icebreaker, not for ulx3s-25f" in found.err or "must be for ulx3s-25f" in found.err


def test_flash_without_a_programmer(spikeloom, built, monkeypatch):
    monkeypatch.setenv("PATH", "")
    found = spikeloom("flash", built, "--board", "icebreaker")
    assert (found.code, found.out) == (2, "")
    assert "Programmer of iCEBreaker is not installed: iceprog (apt install fpga-icestorm" in found.err


def test_a_run_needs_one_board(spikeloom, network):
    words = "Board must be given by --port, or else --simulate"
    refused(spikeloom("run", network), words)
    refused(spikeloom("run", network, "--simulate", "--port", "x"), words)


def test_a_run_needs_what_was_built(spikeloom, network):
    found = spikeloom("run", network, "--port", "/dev/ttyNONE", "--board", "icebreaker")
    refused(found, f"Network tiny must be built for icebreaker; in {network.parent} it is for no board")


@pytest.mark.parametrize("text", ["x", "hidden=", "hidden=2,output", "2.5", "=", ""])
def test_lanes_that_are_no_numbers(spikeloom, network, text):
    words = f"Lanes must be a number, or population=number with commas between, not {text!r}"
    found = spikeloom("generate", network, "--lanes", text)
    assert (found.code, found.out) == (2, "")
    assert found.err.endswith(f"{words}\n")


@pytest.mark.parametrize(
    ("lanes", "words"),
    [
        ("0", "Lanes of hidden must be at least 1, not 0"),
        ("hiden=2", "Lanes must name one of hidden, output, not 'hiden'"),
    ],
)
def test_lanes_that_cannot_be(spikeloom, network, lanes, words):
    refused(spikeloom("generate", network, "--lanes", lanes), words)


@pytest.mark.parametrize("count", [0, -1, 360])
def test_samples_that_are_not_there(spikeloom, network, count):
    words = f"Samples must be between 1 and the 359 of digits's test set, not {count}"
    refused(spikeloom("evaluate", network, "--samples", count), words)


def test_inputs_that_are_none(spikeloom, network, tmp_path):
    refused(spikeloom("evaluate", network, "--inputs", "none.npy"), "File none.npy does not exist")
    (tmp_path / "text.npy").write_text("hello")
    found = spikeloom("evaluate", network, "--inputs", "text.npy")
    assert found.err.startswith("File text.npy must hold inputs as .npy or .npz: ")
    np.savez(tmp_path / "other.npz", pixels=np.zeros(3))
    found = spikeloom("evaluate", network, "--inputs", "other.npz")
    refused(found, "File other.npz must hold an array called inputs, not pixels")
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    assert spikeloom("evaluate", network, "--inputs", "objects.npy").code == 2
    np.save(tmp_path / "wide.npy", np.full((2, 64), 17))
    refused(spikeloom("evaluate", network, "--inputs", "wide.npy"), "Inputs must be between 0 and 16, not 17")
    np.savez(tmp_path / "labels.npz", inputs=np.zeros((2, 64), int), labels=np.zeros(3, int))
    found = spikeloom("evaluate", network, "--inputs", "labels.npz")
    refused(found, "File labels.npz must hold 2 integer labels, not int64 (3,)")
    np.save(tmp_path / "nothing.npy", np.zeros((0, 64), int))
    found = spikeloom("evaluate", network, "--inputs", "nothing.npy")
    refused(found, "File nothing.npy must hold at least one sample, not an array of shape (0, 64)")


def test_a_folder_that_cannot_be_written(spikeloom, tiny):
    found = spikeloom("quantize", tiny, "--out", tiny / "below")
    assert (found.code, found.out) == (2, "")
    assert "cannot be written: Not a directory" in found.err
    found = spikeloom("train", "digits-lif", "--out", tiny / "below")
    assert (found.code, found.err) == (2, f"Folder {tiny / 'below'} cannot be made: Not a directory\n")


def test_quantizing_integers(spikeloom, network):
    words = f"Model must be a recipe or a float network, and {network} is already in integers"
    found = spikeloom("quantize", network)
    assert (found.code, found.out) == (2, "")
    assert found.err.endswith(f"{words}\n")


def test_training_what_is_no_recipe(spikeloom, tmp_path):
    found = spikeloom("train", "digits")
    assert (found.code, found.out) == (2, "")
    assert found.err.endswith(f"Recipe must be one of {', '.join(RECIPES)}, not 'digits'\n")
    assert files(tmp_path) == []


def test_training_without_torch(spikeloom, monkeypatch):
    monkeypatch.setitem(sys.modules, "snn.train", None)
    found = spikeloom("train", "digits-lif")
    assert found.code == 2
    assert "which is not installed: pip install 'spikeloom[torch]'" in found.err


def test_digits_without_scikit_learn(spikeloom, network, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    refused(spikeloom("evaluate", network), "Data set digits needs scikit-learn; install spikeloom[data]")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"digest": 3}'])
def test_a_report_that_is_none(spikeloom, tmp_path, text):
    (tmp_path / "report.json").write_text(text)
    refused(spikeloom("report", "."), "File report.json is not a report of Spikeloom's; remove it")


def test_a_report_that_is_not_there(spikeloom, tmp_path):
    words = "File report.json does not exist; steps such as evaluate, cosim and build write it"
    refused(spikeloom("report", "."), words)


# How it ends otherwise.


def test_an_interruption_ends_with_130(spikeloom, tiny, monkeypatch):
    import spikeloom.pipeline as pipeline

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "quantize_model", interrupted)
    found = spikeloom("quantize", tiny)
    assert (found.code, found.out) == (130, "")
    assert "Traceback" not in found.err
    assert files(tiny.parent) == ["tiny.npz"]


def test_an_error_of_the_system_is_one_sentence(spikeloom, tiny, monkeypatch):
    import spikeloom.pipeline as pipeline

    def full(*arguments, **options):
        raise OSError(28, "No space left on device", "/somewhere")

    monkeypatch.setattr(pipeline, "quantize_model", full)
    found = spikeloom("quantize", tiny)
    assert (found.code, found.out) == (2, "")
    assert found.err.endswith("/somewhere: No space left on device\n")


def test_a_reader_that_leaves_is_no_error(tiny):
    program = f"{sys.executable} -m spikeloom check {tiny} | true"
    done = subprocess.run(program, shell=True, capture_output=True, text=True, check=False, env=os.environ)
    assert done.stderr == ""


def test_a_process_ends_with_the_code(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "spikeloom", "check", "none"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Model must be a file")
    assert done.stdout == ""


def test_a_saved_model_is_the_one_that_was_made(tiny):
    assert load_model(tiny).order == float_network().order


@pytest.mark.parametrize("delay", [0.5, 3.0])
def test_an_interrupted_process_leaves_nothing(tmp_path, tiny, delay):
    process = subprocess.Popen(
        [sys.executable, "-m", "spikeloom", "cosim", tiny, "--random", "--samples", "500", "-s", "icarus"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    # Until the command line is there, an interruption is Python's own.
    assert "Integer network: " in process.stderr.readline()
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("it was faster")
    assert (process.returncode, out) == (130, "")
    assert err.endswith("Interrupted\n")
    assert "Traceback" not in err
    # A shard that was done may be kept.
    assert [name for name in files(tmp_path) if not name.endswith("cosim-icarus.jsonl")] == [
        *("build/tiny/network.npz", "build/tiny/report.json", "tiny.npz"),
    ]
