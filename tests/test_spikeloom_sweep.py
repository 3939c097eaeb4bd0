import json

import numpy as np
import pytest

from quant.file import load_network, save_network
from quant.model import load_model, save_model
from spikeloom import pipeline
from spikeloom.samples import search_samples
from spikeloom.source import UsageError
from tests.conftest import float_network

METADATA = {"dataset": "digits", "encoder": "direct"}


def test_samples_to_choose_with_are_no_test_samples_and_not_those_to_calibrate_on():
    from snn.datasets import load

    data = load("digits")
    chosen, calibration = search_samples(METADATA, 3, count=300)
    np.testing.assert_array_equal(calibration, data.train_x[:500])
    np.testing.assert_array_equal(chosen.inputs, data.train_x[500:800])
    np.testing.assert_array_equal(chosen.labels, data.train_y[500:800])


def test_a_small_data_set_is_shared():
    # 1438 training samples.
    chosen, calibration = search_samples(METADATA, 3, count=5000)
    assert (len(chosen), len(calibration)) == (1078, 360)
    with pytest.raises(UsageError, match=r"^Samples must be at least 1, not 0$"):
        search_samples(METADATA, 3, count=0)


def test_a_sweep_leaves_its_files_and_applies_what_it_chose(spikeloom, tiny):
    found = spikeloom(
        "quantize", tiny, "--sweep", "--bits", "3,6", "--samples", 100, "--within", 2, "--apply", "--json"
    )
    assert found.code == 0, found.err
    folder = tiny.parent / "build" / "tiny"
    assert {path.name for path in folder.iterdir()} == {
        "sweep.json",
        "sweep.svg",
        "sweep.png",
        "network.npz",
        "report.json",
    }
    assert json.loads((folder / "sweep.json").read_text()) == found.json
    values = found.json
    assert [trial["weight_bits"] for trial in values["uniform"]] == [{"hidden": b, "output": b} for b in (3, 6)]
    network = load_network(folder / "network.npz")
    assert {item.target: item.weight_bits for item in network.connections} == values["chosen"]["weight_bits"]
    assert values["test"]["samples"] == 359
    assert values["searched_with"] == "100 training samples of digits"
    assert values["within"] == 0.02
    assert (folder / "sweep.png").read_bytes()[:4] == b"\x89PNG"


def test_a_sweep_saves_no_network_unless_it_is_to(spikeloom, tiny):
    found = spikeloom("quantize", tiny, "--sweep", "--bits", "4", "--samples", 50)
    assert found.code == 0
    assert "│ 4 bits" in found.out
    assert "Chosen, on all 359 test samples: " in found.out
    assert not (tiny.parent / "build" / "tiny" / "network.npz").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--bits", "4,x"), "Width of weights must be a number of bits or ternary, not 'x'"),
        (("--bits", ""), "Width of weights must be a number of bits or ternary, not ''"),
        (("--bits", "1"), "Population hidden: weights must be of 2 to 16 bits, or ternary, not 1"),
        (("--within", "-1"), "Loss must be at least 0 and less than 100 points, not -1"),
        (("--samples", "0"), "Samples must be at least 1, not 0"),
        (("--inputs", "nowhere.npz"), "File nowhere.npz does not exist"),
        (("--weight-bits", "4"), "Options --weight-bits and --method must not be given with --sweep, which finds "),
    ],
)
def test_a_sweep_that_cannot_be_is_refused(arguments, sentence, spikeloom, tiny):
    found = spikeloom("quantize", tiny, "--sweep", *arguments)
    assert found.code == 2
    assert found.err.splitlines()[-1].startswith(sentence)
    assert not (tiny.parent / "build").exists()


def test_widths_by_population_leave_the_others_as_they_are(spikeloom, tiny):
    save_model(tiny, float_network(metadata={**METADATA, "weight_bits": 5}))
    assert spikeloom("quantize", tiny, "--weight-bits", "output=ternary", "--method", "mse").code == 0
    network = load_network(tiny.parent / "build" / "tiny" / "network.npz")
    assert [item.weight_bits for item in network.connections] == [5, 2]
    assert set(np.unique(network.connections[1].weights)) <= {-1, 0, 1}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("hidden=4,outputs=2", "Weight bits must be given for hidden, output, not for hidden, output, outputs"),
        ("four", "Width of weights must be a number of bits or ternary, not 'four'"),
        ("hidden=4,hidden=5", "Widths must be given once for each population, not 'hidden=4,hidden=5'"),
        ("hidden=", "Width of weights must be a number of bits or ternary, not ''"),
        ("9" * 5000, "Width of weights must be a number of bits or ternary, not '999"),
    ],
)
def test_widths_that_are_none_are_refused(text, sentence, spikeloom, tiny):
    found = spikeloom("quantize", tiny, "--weight-bits", text)
    assert found.code == 2
    assert found.err.splitlines()[-1].startswith(sentence)


@pytest.mark.parametrize("option", [("--bits", "4"), ("--within", 1), ("--samples", 9), ("--apply",)])
def test_options_of_a_sweep_are_refused_without_one(option, spikeloom, tiny):
    found = spikeloom("quantize", tiny, *option)
    assert (found.code, found.err.splitlines()[-1]) == (2, f"Option {option[0]} must be given with --sweep alone")
    assert not (tiny.parent / "build").exists()


def test_a_method_that_is_none_is_refused_even_where_training_has_chosen(spikeloom):
    found = spikeloom("quantize", "digits-klif", "--method", "least")
    assert found.code == 2
    assert found.err.endswith("Calibration must be one of mse, max, percentile, active, not 'least'\n")


def test_samples_of_the_user_are_calibrated_on(spikeloom, tiny, tmp_path):
    from spikeloom.samples import calibration_inputs

    model = load_model(tiny)
    inputs = calibration_inputs(METADATA, model.steps)[:60]
    np.save(tmp_path / "some.npy", inputs)
    assert spikeloom("quantize", tiny, "--inputs", tmp_path / "some.npy").code == 0
    wanted, _ = pipeline.quantized(model, inputs=inputs)
    assert load_network(tiny.parent / "build" / "tiny" / "network.npz").digest == wanted.digest
    np.save(tmp_path / "narrow.npy", inputs[:, :3])
    found = spikeloom("quantize", tiny, "--inputs", tmp_path / "narrow.npy")
    assert (found.code, found.err.splitlines()[-1][:35]) == (2, "Inputs of kind current must be of s")


def test_check_and_evaluate_calibrate_on_the_same_samples(spikeloom, tiny, tmp_path):
    from spikeloom.samples import calibration_inputs

    inputs = calibration_inputs(METADATA, load_model(tiny).steps)[:3]
    np.save(tmp_path / "some.npy", inputs)
    some = ("--calibration", tmp_path / "some.npy")
    network = tiny.parent / "build" / "tiny" / "network.npz"
    wanted = spikeloom("quantize", tiny, *some, "--json").json
    assert wanted["digest"] != pipeline.quantized(load_model(tiny))[0].digest
    warnings = spikeloom("check", tiny, *some, "--json").json["warnings"]
    assert warnings == wanted["warnings"]
    assert warnings != spikeloom("check", tiny, "--json").json["warnings"]
    network.unlink()
    assert spikeloom("evaluate", tiny, *some, "--samples", 5, "--json").code == 0
    assert load_network(network).digest == wanted["digest"]


@pytest.mark.parametrize("verb", ["check", "evaluate"])
def test_integers_are_not_calibrated(verb, spikeloom, tiny, tmp_path):
    save_network(tmp_path / "network.npz", pipeline.quantized(load_model(tiny))[0])
    np.save(tmp_path / "some.npy", np.zeros((2, 64), int))
    found = spikeloom(verb, "network.npz", "--calibration", "some.npy")
    assert (found.code, found.out) == (2, "")
    assert found.err == "Option --calibration must be given with a float network, not with network.npz\n"


def test_samples_of_the_user_are_searched_with(spikeloom, tiny, tmp_path):
    chosen, _ = search_samples(METADATA, load_model(tiny).steps, count=80)
    np.savez(tmp_path / "some.npz", inputs=chosen.inputs, labels=chosen.labels)
    found = spikeloom("quantize", tiny, "--sweep", "--bits", "4", "--inputs", tmp_path / "some.npz", "--json")
    assert found.code == 0, found.err
    assert found.json["searched_with"] == f"60 samples of {tmp_path / 'some.npz'}"
    assert found.json["test"] is None
    np.save(tmp_path / "some.npy", chosen.inputs)
    found = spikeloom("quantize", tiny, "--sweep", "--inputs", tmp_path / "some.npy")
    assert found.code == 2
    assert found.err.endswith("must be at least 2, with labels, to choose widths with\n")


def test_float_networks_are_calibrated_by_activity_and_corrected(tiny):
    from quant.quantize import quantize
    from spikeloom.samples import calibration_inputs

    model = load_model(tiny)
    inputs = calibration_inputs(METADATA, model.steps)
    wanted, _ = quantize(model, weight_bits=4, method="active", correct=True, inputs=inputs)
    assert pipeline.quantized(model)[0].digest == wanted.digest
    plain, _ = quantize(model, weight_bits=4, method="max", inputs=inputs)
    assert pipeline.quantized(model, method="max")[0].digest == plain.digest


def test_without_samples_scales_are_of_the_weights_alone():
    network, report = pipeline.quantized(float_network(metadata={}))
    assert report.warnings[0] == "Calibrated without samples, for the network names no data set"
    away = float_network(metadata={"dataset": "n-mnist", "encoder": "direct"})
    other, report = pipeline.quantized(away)
    assert report.warnings[0].startswith("Calibrated without samples: Data set n-mnist is not in ")
    for one, two in zip(network.connections, other.connections, strict=True):
        np.testing.assert_array_equal(one.weights, two.weights)
