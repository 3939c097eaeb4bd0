"""Networks with weights and states as integers: what is rounded, what is refused, what is reported."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from quant.errors import NetworkError
from quant.graph import Synapses
from quant.ir import Decay
from quant.model import FloatInput, FloatNetwork, FloatPopulation, FloatReadout, load_model, save_model
from quant.quantize import quantize
from quant.ranges import Range
from quant.simulate import run_float
from sim import golden
from tests.floats import model


def population(net, **options):
    return quantize(net, **options)[0]["p"]


def test_a_network_worked_by_hand():
    net = model(
        [[0.5, -1.0], [1.5, 0.25]],
        lsb=0.5,
        kind="current",
        high=16,
        scales={"p": [0.5, 0.25]},
        threshold=[1.1, 1.0],
        reset="subtract",
        reset_amount=0.8,
        bias=[0.3, -0.2],
        initial=0.4,
        decay=0.9,
    )
    network, _ = quantize(net, decay_bits=4)
    item = network["p"]
    # Units: 0.25 and 0.125.
    assert network.connections[0].weights.tolist() == [[1, -2], [6, 1]]
    assert network.connections[0].weight_bits == 4
    assert item.threshold.tolist() == [5, 8]
    assert item.reset_amount.tolist() == [3, 6]
    assert item.bias.tolist() == [1, -2]
    assert item.initial.tolist() == [2, 3]
    assert (int(item.decay.numerator), item.decay.shift) == (7, 3)
    assert (network.input.kind, network.input.high, network.steps) == ("current", 16, 4)
    assert network.metadata == {"dataset": "digits"}
    assert network.readout.kind == "count"
    assert type(network.input).__name__ == "Input"


def test_what_is_the_same_for_all_is_one_number():
    item = population(model(np.full((3, 2), 0.3), bias=[0.3, 0.3, 0.3], decay=[0.5, 0.5, 0.5]))
    assert item.threshold.shape == item.bias.shape == item.decay.numerator.shape == ()


@pytest.mark.parametrize(("strict", "threshold"), [(False, 4), (True, 5)])
def test_strict_thresholds_are_one_higher_where_they_can_be_met(strict, threshold):
    scales = {"p": 0.25}
    assert population(model(strict=strict, scales=scales)).threshold == threshold
    assert population(model(strict=strict, scales=scales, threshold=1.1)).threshold == 5


def trained(seed=0, hidden=40, **fields):
    """A float network of two layers that tells apart ten noisy patterns, weights fitted by ridge regression."""
    rng = np.random.default_rng(seed)
    patterns = rng.integers(0, 17, (10, 30)) * (rng.random((10, 30)) < 0.5)
    labels = rng.integers(0, 10, 400)
    inputs = np.clip(patterns[labels] + rng.integers(-9, 10, (400, 30)), 0, 16)
    first = rng.normal(size=(hidden, 30)) * 0.3
    drive = np.maximum(inputs / 16 @ first.T, 0)
    ridge = drive.T @ drive + 10 * np.eye(hidden)
    second = np.linalg.solve(ridge, drive.T @ np.eye(10)[labels]).T
    net = FloatNetwork(
        name="trained",
        steps=16,
        input=FloatInput(shape=(30,), kind="current", high=16, lsb=1 / 16),
        populations=(
            FloatPopulation(name="hidden", shape=(hidden,), threshold=1.0, reset="subtract", **fields),
            FloatPopulation(name="output", shape=(10,), threshold=0.5, reset="subtract"),
        ),
        connections=(
            Synapses(source="input", target="hidden", kind="dense", weights=first),
            Synapses(source="hidden", target="output", kind="dense", weights=second),
        ),
        readout=FloatReadout(population="output"),
    )
    return net, inputs, labels


@pytest.mark.parametrize(("bits", "loss"), [(8, 0.01), (6, 0.02), (4, 0.05)])
def test_accuracy_survives(bits, loss):
    net, inputs, labels = trained()
    network, _ = quantize(net, weight_bits=bits, inputs=inputs[:100])
    exact = run_float(net, inputs).accuracy(labels)
    assert exact > 0.9
    assert golden.run(network, inputs).accuracy(labels) >= exact - loss


def test_bits_may_differ_by_population():
    network, report = quantize(trained()[0], weight_bits={"hidden": 3, "output": 6})
    assert [item.weight_bits for item in network.connections] == [3, 6]
    assert [item.connections[0].bits for item in report.populations] == [3, 6]


def test_scales_of_training_are_used_as_they_are():
    net, *_ = trained()
    scales = {"hidden": np.linspace(0.05, 0.2, 40), "output": 0.07}
    network, report = quantize(replace(net, scales=scales))
    expected = np.clip(np.rint(net.connections[0].weights / scales["hidden"][:, None]), -8, 7)
    np.testing.assert_array_equal(network.connections[0].weights, expected)
    np.testing.assert_array_equal(
        network.connections[1].weights, np.clip(np.rint(net.connections[1].weights / 0.07), -8, 7)
    )
    np.testing.assert_array_equal(network["hidden"].threshold, np.ceil(1 / (scales["hidden"] / 16)))
    assert [item.scale_origin for item in report.populations] == ["trained", "trained"]
    report = quantize(replace(net, scales={"output": 0.07}))[1]
    assert [item.scale_origin for item in report.populations] == ["calibrated", "trained"]


def test_a_model_gives_the_same_integers_after_its_file(tmp_path):
    net, *_ = trained(decay=0.9)
    save_model(tmp_path / "model", net)
    assert quantize(load_model(tmp_path / "model"))[0].digest == quantize(net)[0].digest


def test_rails_are_proven_without_samples_where_they_are_finite():
    network, report = quantize(model(np.eye(2) * 0.5, decay=0.5, scales={"p": 0.5}))
    assert (network["p"].state_min, network["p"].state_max) == (0, 1)
    assert report.populations[0].rails_origin == "proven"
    assert report.populations[0].state_width == 1


def test_rails_beyond_the_bits_are_measured():
    net = model([[0.5, -1.0], [1.5, 0.25]], steps=4, kind="current", high=255, scales={"p": 0.25})
    inputs = np.array([[1, 3], [2, 2]])
    network, report = quantize(net, inputs=inputs, state_bits=8)
    # Least membrane: 4 times 2 * 1 - 4 * 3 = -40, doubled -80, so that 8 bits do.
    assert (network["p"].state_min, network["p"].state_max) == (-128, 3)
    assert report.populations[0].rails_origin == "state_min measured, margin 2"
    assert quantize(net, state_bits=8)[0]["p"].state_min == -4 * 255 * 4
    assert quantize(net, state_bits=8)[1].populations[0].rails_origin == "proven for 4 steps"


def test_rails_that_cannot_be_proven_ask_for_samples():
    net = model([[0.5, -1.0]], steps=60000, scales={"p": 0.25}, kind="current", high=255)
    with pytest.raises(
        NetworkError, match=r"^Population p: current_max and .*state_min cannot be proven within 24 bits; "
    ):
        quantize(net)


def test_readouts_keep_their_answers():
    rng = np.random.default_rng(0)
    weights, bias = rng.normal(size=(5, 20)), rng.normal(size=5)
    net = model(rng.normal(size=(20, 10)), readout_kind="linear", readout_weights=weights, readout_bias=bias)
    readout = quantize(net)[0].readout
    counts = rng.integers(0, 9, (500, 20))
    exact, rounded = counts @ weights.T + bias, counts @ readout.weights.T + readout.bias
    assert np.mean(exact.argmax(axis=1) == rounded.argmax(axis=1)) > 0.995
    assert np.abs(readout.weights).max() == (1 << 15) - 1
    ratio = np.abs(readout.weights).max() / np.abs(weights).max()
    np.testing.assert_allclose(readout.bias, bias * ratio, atol=0.5)


@pytest.mark.parametrize("kind", ["rate", "latency"])
def test_coded_inputs_keep_their_pixels(kind):
    network, _ = quantize(model(kind=kind, high=255))
    assert (network.input.kind, network.input.high, network.value_range("input")) == (kind, 255, Range(0, 1))


def refuses(net, sentence, **options):
    with pytest.raises(NetworkError, match=f"^{sentence}$"):
        quantize(net, **options)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"weight_bits": 17}, "Population p: weights must be of 2 to 16 bits, or ternary, not 17"),
        ({"decay_bits": 25}, "Decay bits must be between 0 and 24, not 25"),
        ({"decay_bits": -1}, "Decay bits must be between 0 and 24, not -1"),
        ({"state_bits": 3}, "State bits must be between 4 and 31, not 3"),
        ({"state_bits": 32}, "State bits must be between 4 and 31, not 32"),
        ({"margin": 0.5}, r"Margin must be between 1 and 1000, not 0\.5"),
        ({"margin": float("nan")}, "Margin must be between 1 and 1000, not nan"),
        ({"method": "kl"}, "Calibration method must be one of mse, max, percentile, active, not 'kl'"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, sentence):
    refuses(model(), sentence, **options)


BEYOND = r"must be between -?\d+ and 2147483647 membrane LSB, not .*; its weights are too small or too large beside it"


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"threshold": 1e12}, "threshold"),
        ({"bias": 1e12}, "bias"),
        ({"initial": -1e12}, "initial"),
        ({"reset_value": 1e12}, "reset_value"),
        ({"reset": "subtract", "reset_amount": 1e12}, "reset_amount"),
    ],
)
def test_numbers_beyond_32_bits_are_refused_by_name(fields, name):
    refuses(model(scales={"p": 0.25}, **fields), f"Population p: {name} {BEYOND}")


def test_decays_beyond_32_bits_are_refused_by_name():
    refuses(model(decay=2.0**24), "Population p: decay must be between 0 and 2147483647 .*")


def test_scales_of_compared_membranes_must_be_one():
    sentence = re.escape("Population p: scale must be one for all channels, for the readout compares their membranes")
    fields = {"threshold": None, "reset": "none", "readout_kind": "membrane"}
    refuses(model(scales={"p": [0.5, 0.25]}, **fields), sentence)
    assert population(model(scales={"p": [0.5, 0.5]}, **fields)).threshold is None


def test_inputs_that_do_not_fit_are_refused():
    net = model(kind="current", high=255, steps=1000, scales={"p": 0.25})
    refuses(net, r"Inputs of kind current must be of shape \(samples, 2\), not \(1, 3\)", inputs=np.zeros((1, 3), int))


def test_a_channel_without_weights_is_kept_and_reported():
    network, report = quantize(model([[0.3, -0.7], [0.0, 0.0]], bias=[0.0, 0.25]))
    assert network.connections[0].weights[1].tolist() == [0, 0]
    assert network["p"].per_neuron(network["p"].bias)[1] > 0
    assert report.populations[0].connections[0].zero == 0.5
    assert report.warnings == ()


def test_the_report_says_what_was_rounded():
    net = model([[0.5, -1.0], [1.6, 0.25]], scales={"p": 0.25}, threshold=1.05, bias=0.1, decay=0.9)
    _, report = quantize(net, decay_bits=4)
    (item,) = report.populations
    (connection,) = item.connections
    assert connection.max_error == pytest.approx(0.1 / 1.6)
    assert connection.rms_error == pytest.approx(0.1 / np.sqrt(0.25 + 1 + 1.6**2 + 0.0625))
    assert (connection.clipped, connection.zero, connection.label) == (0, 0, "input -> p")
    assert item.threshold == (5, 5)
    assert item.threshold_error == pytest.approx(0.2 / 1.05)
    assert item.amount_error == pytest.approx(0.1 / 1.05)
    assert item.decay == "7 / 8"
    assert item.decay_error == pytest.approx(0.025)
    assert item.rails_origin.startswith("proven")
    assert report.warnings == ("Population p: a threshold moved by 19%; use more weight bits",)
    assert json.loads(json.dumps(report.as_dict()))["populations"][0]["decay"] == "7 / 8"


@pytest.mark.parametrize(
    ("fields", "warning"),
    [
        ({"decay": 0.999}, "decay 0.999 became 1, so that nothing leaks; use more decay bits"),
        ({"decay": [0.5, 0.001]}, "decay 0.001 became 0, so that nothing is kept; use more decay bits"),
        ({"scales": {"p": 0.1}}, "50% of the weights of input -> p were clipped"),
        ({"scales": {"p": 4.0}}, "all weights of input -> p are 0"),
    ],
)
def test_the_report_warns(fields, warning):
    _, report = quantize(model([[0.5, -1.0], [1.5, 0.25]], **fields), inputs=np.ones((1, 4, 2), int))
    assert f"Population p: {warning}" in report.warnings


def test_fractions_of_many_decays_are_told_by_their_ends():
    _, report = quantize(model(decay=[0.5, 0.75]))
    assert report.populations[0].decay == "2 to 3 / 4"
    assert quantize(model())[1].populations[0].decay == "1"
    _, report = quantize(model(current_decay=0.5))
    assert report.populations[0].decay == "1, 1 / 2"


def test_decays_of_the_contract_are_used():
    assert isinstance(population(model()).decay, Decay)
