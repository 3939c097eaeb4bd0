import os
import signal
import subprocess
import sys
import time
from shutil import which

import numpy as np
import pytest

from quant.file import load_network
from quant.model import load_model, save_model
from tests.conftest import float_network
from tests.verbs import VERBS, files, refused

needs_icarus = pytest.mark.skipif(which("iverilog") is None, reason="needs iverilog on PATH")
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
