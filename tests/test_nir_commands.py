import json

import nir
import numpy as np
import pytest

from quant.ir import Connection, Decay, Input, Network, Population, Readout
from quant.model import load_model
from spikeloom.check import account, check

SENTENCES = {
    "loop": "has no neuron in it",
    "dead": "is dead: all weights into it are 0",
    "shapes": "must take all 3 neurons, not 2",
    "nan": "weight must be finite, but 1 of 12 are NaN or infinite",
}


def written(path, case=""):
    weights, second, one = np.ones((3, 4)) / 2, np.ones((2, 2 if case == "shapes" else 3)), np.ones(3)
    if case == "nan":
        weights[0, 0] = np.nan
    neuron = nir.LIF(tau=4e-4 * one, r=4 * one, v_leak=0 * one, v_threshold=one)
    last = nir.IF(r=one[:2] * 1e4, v_threshold=one[:2])
    nodes = {
        "input": nir.Input(np.array([4])),
        "fc1": nir.Linear(weights * (case != "dead")),
        "lif1": neuron,
        "fc2": nir.Linear(second),
        "if2": last,
        "output": nir.Output(np.array([2])),
    }
    edges = [("input", "fc1"), ("fc1", "lif1"), ("lif1", "fc2"), ("fc2", "if2"), ("if2", "output")]
    if case == "loop":
        nodes["mix"] = nir.Linear(np.eye(3))
        edges += [("fc1", "mix"), ("mix", "mix"), ("mix", "lif1")]
    nir.write(path, nir.NIRGraph(nodes, edges, type_check=False))
    return path


def test_check_lists_every_layer_and_every_assumption(spikeloom, tmp_path):
    path = written(tmp_path / "small.nir")
    found = spikeloom("check", path, "--json")
    assert found.code == 0, found.err
    assert [row[0] for row in found.json["source"]] == ["input", "fc1", "lif1", "fc2", "if2", "output"]
    assert any("time step: 0.0001" in item for item in found.json["assumptions"])
    words = spikeloom("check", path)
    for part in ("Layers of the source", "fc2", "Assumed, since the source does not say:", "if2: the most spikes"):
        assert part in words.out
    assert [item.name for item in tmp_path.iterdir()] == ["small.nir"]


@pytest.mark.parametrize("case", SENTENCES)
@pytest.mark.parametrize("verb", ["check", "quantize"])
def test_a_network_that_cannot_be(spikeloom, tmp_path, case, verb):
    found = spikeloom(verb, written(tmp_path / "bad.nir", case))
    assert (found.code, found.out) == (2, "")
    assert SENTENCES[case] in found.err
    assert found.err.count("\n") == 1
    assert [item.name for item in tmp_path.iterdir()] == ["bad.nir"]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_file_cut_short(spikeloom, tmp_path, share):
    path = written(tmp_path / "cut.nir")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    found = spikeloom("check", path)
    assert (found.code, found.out, found.err.count("\n")) == (2, "", 1)
    assert found.err.startswith(f"File {path} ")


def test_a_file_that_is_not_there(spikeloom):
    assert spikeloom("check", "none.nir").err == "File none.nir does not exist\n"


def test_quantize_a_nir_file(spikeloom, tmp_path):
    found = spikeloom("quantize", written(tmp_path / "small.nir"), "--json")
    assert found.code == 0, found.err
    assert (tmp_path / "build" / "small" / "network.npz").is_file()


def test_export_and_check_what_was_exported(spikeloom, tiny, tmp_path):
    found = spikeloom("export", tiny, "--nir", "out/tiny.nir", "--json")
    assert found.code == 0, found.err
    assert found.json == {"network": "tiny", "nir": "out/tiny.nir", "populations": ["hidden", "output"]}
    again = spikeloom("check", tmp_path / "out" / "tiny.nir", "--json")
    assert again.code == 0, again.err
    assert again.json["assumptions"] == []
    first = spikeloom("check", tiny, "--json").json
    assert [item["becomes"] for item in again.json["layers"]] == [item["becomes"] for item in first["layers"]]
    metadata = json.loads(nir.read(tmp_path / "out" / "tiny.nir").metadata["model"])
    assert metadata["dataset"] == load_model(tiny).metadata["dataset"] == "digits"


def test_integers_are_not_exported(spikeloom, tiny):
    assert spikeloom("quantize", tiny).code == 0
    found = spikeloom("export", "build/tiny/network.npz", "--nir", "x.nir")
    assert (found.code, found.err) == (
        2,
        "Model must be a recipe or a float network, and build/tiny/network.npz is already in integers\n",
    )


def unusual_network():
    """A network with everything that the hardware cannot generate yet."""
    first = Population(name="first", shape=(2,), threshold=3, ternary=True, state_min=-4, state_max=4)
    last = Population(name="last", shape=(2,), threshold=None, reset="none", decay=Decay(), state_min=-9, state_max=9)
    weights = np.ones((2, 2), int)
    return Network(
        name="refused",
        steps=2,
        input=Input(shape=(2,), kind="rate"),
        populations=(first, last),
        connections=(
            Connection(source="input", target="first", kind="dense", weights=weights, weight_bits=2),
            Connection(source="first", target="first", kind="dense", weights=weights, weight_bits=2, delay=1),
            Connection(source="first", target="last", kind="identity", weights=np.array(1), weight_bits=2),
        ),
        readout=Readout(population="last", kind="membrane"),
        metadata={"layers": [["a", "b", "c"], "wrong", ["d"]], "assumptions": 3},
    )


def test_everything_of_the_contract_becomes_hardware():
    first, last = check(unusual_network()).layers
    assert "ternary" in first.becomes
    assert first.connections[1] == "dense from first: 2x2 of 2 bits, a step later"
    assert (last.becomes, last.threshold) == ("no reset", "none")
    assert (first.rows, first.sweeps, last.rows, last.sweeps) == (1, 2, 1, 2)


def test_an_account_that_a_file_has_bent():
    found = account(unusual_network().metadata)
    assert (found.layers, found.assumptions) == ((("a", "b", "c"),), ())


def test_options_leave_nothing_to_assume(spikeloom, tmp_path):
    given = ("--dt", 1e-4, "--reset", "subtract", "--reset-delay", "--compare", ">", "--steps", 5)
    found = spikeloom(
        "check",
        written(tmp_path / "small.nir"),
        *given,
        "--input-kind",
        "current",
        "--readout",
        "first_spike",
        "--json",
    )
    assert found.code == 0, found.err
    assert (found.json["assumptions"], found.json["steps"]) == ([], 5)
    assert (found.json["input"], found.json["readout"]) == ("4 values of kind current, 0 to 1", "first_spike of if2")
