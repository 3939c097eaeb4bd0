"""Networks whose numbers are integers of some scale already: nothing is lost when they are quantized."""

from dataclasses import replace

import numpy as np
import pytest

from quant.calibrate import as_float, with_scales
from quant.graph import INPUT
from quant.model import FloatInput
from quant.quantize import quantize
from quant.rounding import channel_scale
from quant.simulate import run_float
from sim import golden
from tests.floats import model
from tests.whole import random_inputs, random_network


def dyadic_model(seed):
    """A random model of the whole contract whose numbers are dyadic, out of a random integer network, and inputs."""
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    model = as_float(network)
    strict = {item.name: bool(rng.random() < 0.5) for item in network.populations}
    lsb = 2.0 ** -int(rng.integers(0, 4))
    units = {item.name: 2.0 ** rng.integers(-6, 3, item.shape[0]) for item in network.populations}
    if network.readout.kind == "membrane":
        name = network.readout.population
        units[name] = np.full_like(units[name], 0.25)
    populations = []
    for item in model.populations:
        unit = units[item.name].reshape(-1, *(1,) * (len(item.shape) - 1))
        changed = {
            name: value.reshape(-1, *(1,) * (len(item.shape) - 1)) * unit if value.ndim == 1 else value * unit
            for name in ("threshold", "bias", "initial", "reset_value", "reset_amount")
            if (value := getattr(item, name)) is not None
        }
        if "threshold" in changed:
            # The same integers fire from anywhere between two of them.
            changed["threshold"] = changed["threshold"] - unit * (
                0.25 * int(rng.integers(0, 3)) + 0.5 * strict[item.name]
            )
        decays = {
            name: np.float64(np.rint(value.max()).clip(0, 1))
            for name in ("decay", "current_decay")
            if (value := getattr(item, name)) is not None
        }
        populations.append(replace(item, strict=strict[item.name], **changed, **decays))
    connections = []
    for item in model.connections:
        target = network[item.target].shape
        weights = item.weights if item.weights.ndim else np.full(target[0], item.weights)
        spread = replace(item, weights=weights)
        worth = lsb if item.source == INPUT else 1.0
        connections.append(replace(spread, weights=weights * channel_scale(spread, target, units[item.target]) / worth))
    result = replace(
        model,
        input=FloatInput(**vars(network.input) | {"lsb": lsb}),
        populations=tuple(populations),
        connections=tuple(connections),
    )
    return result, random_inputs(rng, network, 5)


@pytest.mark.parametrize("seed", range(150))
def test_dyadic_models_spike_as_their_integers_do(seed):
    net, inputs = dyadic_model(seed)
    network, report = quantize(net, weight_bits=8 if seed % 2 else 4, inputs=inputs)
    expected = run_float(net, inputs, record=("spikes", "membranes", "currents"))
    result = golden.run(network, inputs, record=("spikes", "membranes", "currents"))
    np.testing.assert_array_equal(result.answers, expected.answers)
    for name in network.order:
        np.testing.assert_array_equal(result.spikes[name], expected.spikes[name])
    scaled = with_scales(net, weight_bits=8 if seed % 2 else 4)
    for field in ("membranes", "currents"):
        for name, values in getattr(result, field).items():
            unit = net[name].per_neuron(scaled.scales[name] * net.lsb_of(net.incoming(name)[0].source))
            np.testing.assert_array_equal(values * unit, getattr(expected, field)[name])
    for item in report.populations:
        assert item.amount_error == item.decay_error == 0
        assert all(connection.max_error == 0 for connection in item.connections)


def test_leaks_are_exact_while_the_membranes_stay_whole():
    rng = np.random.default_rng(0)
    weights = rng.integers(-7, 8, (6, 5)) * 16.0
    net = model(weights, steps=4, decay=0.5, threshold=70.0, reset="subtract", reset_amount=48.0, kind="events", high=1)
    inputs = rng.integers(0, 2, (50, 4, 5))
    network, _ = quantize(net, weight_bits=8)
    expected = run_float(net, inputs, record=("spikes", "membranes"))
    result = golden.run(network, inputs, record=("spikes", "membranes"))
    assert expected.totals["p"].sum() > 20
    np.testing.assert_array_equal(result.spikes["p"], expected.spikes["p"])
    unit = with_scales(net, weight_bits=8).scales["p"]
    np.testing.assert_array_equal(result.membranes["p"] * unit, expected.membranes["p"])


def test_a_quantized_network_quantizes_to_itself():
    rng = np.random.default_rng(0)
    for _ in range(30):
        network = random_network(rng)
        inputs = random_inputs(rng, network, 4)
        scaled = replace(as_float(network), scales={item.name: 1.0 for item in network.populations})
        again, _ = quantize(scaled, weight_bits=8, decay_bits=24, inputs=inputs)
        for old, new in zip(network.connections, again.connections, strict=True):
            np.testing.assert_array_equal(*np.broadcast_arrays(old.weights, new.weights))
        for old, new in zip(network.populations, again.populations, strict=True):
            for name in ("threshold", "bias", "initial", "reset_value", "reset_amount"):
                if getattr(old, name) is not None:
                    np.testing.assert_array_equal(
                        old.per_neuron(getattr(old, name)), new.per_neuron(getattr(new, name))
                    )
            for name in ("decay", "current_decay"):
                if getattr(old, name) is not None:
                    decays = [getattr(item, name) for item in (old, new)]
                    a, b = (
                        item.per_neuron(d.numerator) / 2.0**d.shift for item, d in zip((old, new), decays, strict=True)
                    )
                    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("weights", "bias", "scores"),
    [
        ([[0.5, 0.25], [1.0, -0.75]], [0.25, 0.0], [[2, 1], [4, -3]]),
        ([[3.0, 6.0], [9.0, -3.0]], [12.0, 0.0], [[1, 2], [3, -1]]),
        ([[0.0, 0.0], [0.0, 0.0]], [0.0, 0.0], [[0, 0], [0, 0]]),
    ],
)
def test_dyadic_readouts_are_exact_and_as_small_as_they_can_be(weights, bias, scores):
    net = model(readout_kind="linear", readout_weights=weights, readout_bias=bias)
    assert quantize(net)[0].readout.weights.tolist() == scores
