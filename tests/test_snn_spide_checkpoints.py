"""The checkpoints of SPIDE: feedback networks that reach what their metadata say."""

from pathlib import Path

import numpy as np
import pytest

from quant.model import load_model
from quant.quantize import quantize
from quant.rounding import channel_scale
from quant.simulate import run_float
from sim import golden
from snn.datasets import DatasetError, load
from snn.encode import encode
from snn.recipes.spide import SPIDE

FOLDER = Path(__file__).resolve().parent.parent / "snn" / "checkpoints"
NAMES = [recipe.name for recipe in SPIDE]
BARS = {"digits-spide": 0.965, "mnist-spide": 0.98, "fashion-spide": 0.86}


def pair(name):
    return load_model(FOLDER / f"{name}.npz"), load_model(FOLDER / f"{name}-w4.npz")


def integers(model):
    return quantize(model, weight_bits=model.metadata["weight_bits"], decay_bits=model.metadata["decay_bits"])[0]


@pytest.mark.parametrize("name", NAMES)
def test_they_are_on_their_grid(name):
    model = pair(name)[1]
    network = integers(model)
    assert [item.delay for item in network.connections] == [0, 1, *(0,) * (len(network.populations) - 1)]
    assert network.connections[1].target == network.order[0]
    assert network.connections[1].source == network.order[-1]
    for connection, trained in zip(network.connections, model.connections, strict=True):
        first = model.incoming(connection.target)[0].source
        scale = model.scales[connection.target] * model.lsb_of(first) / model.lsb_of(connection.source)
        lsb = channel_scale(connection, model[connection.target].shape, scale)
        np.testing.assert_array_equal(connection.weights * lsb, trained.weights.astype(np.float64))
        assert np.abs(connection.weights).max() > 3


@pytest.mark.parametrize(
    "name", [name if name.startswith("digits") else pytest.param(name, marks=pytest.mark.slow) for name in NAMES]
)
def test_they_reach_their_accuracy(name):
    model, quantized = pair(name)
    try:
        data = load(model.metadata["dataset"])
    except DatasetError as error:
        pytest.skip(str(error))
    inputs = encode(model.metadata["encoder"], data.test_x, model.steps)
    result = golden.run(integers(quantized), inputs)
    accuracy = result.accuracy(data.test_y)
    assert accuracy == quantized.metadata["accuracy"]
    assert accuracy >= BARS[name]
    float_accuracy = run_float(model, inputs, dtype=np.float32).accuracy(data.test_y)
    assert float_accuracy == pytest.approx(model.metadata["accuracy"], abs=5e-4)
    assert accuracy >= float_accuracy - 0.005
    for population, rate in quantized.metadata["rates"].items():
        assert result.counts[population].mean() / model.steps == pytest.approx(rate, abs=1e-4)
        assert rate < 0.3
