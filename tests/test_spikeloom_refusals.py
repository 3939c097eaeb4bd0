"""How the command line refuses what it is given."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from quant.file import load_network, load_parts, save_network, save_parts
from quant.model import save_model
from snn.datasets import DATASETS
from snn.recipes import RECIPES
from tests.conftest import float_network
from tests.verbs import VERBS, files, refused


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in ("demo", "recipes")])
def test_a_missing_argument_ends_with_2(spikeloom, verb):
    found = spikeloom(verb)
    assert found.code == 2
    assert "Missing argument" in found.err


def test_an_unknown_verb_ends_with_2(spikeloom):
    assert spikeloom("frobnicate").code == 2


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
    words = "Netlist must be for a simulated board: give --simulate and --board, too"
    refused(spikeloom("run", network, "--simulate", "--netlist"), words)
    refused(spikeloom("run", network, "--port", "x", "--netlist", "--board", "icebreaker"), words)


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
