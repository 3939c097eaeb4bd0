"""The checkpoints that come with the package reach what their metadata say, without torch."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from quant.model import load_model
from quant.quantize import quantize
from quant.rounding import channel_scale
from quant.simulate import run_float
from sim import golden
from snn.architecture import Pool, parse
from snn.datasets import DatasetError, load
from snn.encode import encode
from snn.recipes import RECIPES

FOLDER = Path(__file__).resolve().parent.parent / "snn" / "checkpoints"
DIGITS = ["digits-lif", "digits-klif", "digits-ttfs"]
SHIPPED = [name for name in RECIPES if (FOLDER / f"{name}.npz").is_file()]


def inputs_and_labels(model):
    data = load(model.metadata["dataset"])
    return encode(model.metadata["encoder"], data.test_x, model.steps), data.test_y


def test_every_file_is_of_a_recipe():
    expected = {f"{name}{end}.npz" for name in SHIPPED for end in ("", f"-w{RECIPES[name].weight_bits}")}
    assert {path.name for path in FOLDER.glob("*.npz")} == expected


def integers(model):
    return quantize(model, weight_bits=model.metadata["weight_bits"], decay_bits=model.metadata["decay_bits"])[0]


@pytest.mark.parametrize("name", SHIPPED)
def test_files_are_of_their_recipe(name):
    recipe = RECIPES[name]
    for path in (FOLDER / f"{name}.npz", FOLDER / f"{name}-w{recipe.weight_bits}.npz"):
        model = load_model(path)
        assert model.metadata["recipe"] == name
        assert model.metadata["encoder"] == recipe.encoder
        assert model.metadata["dataset"] == recipe.dataset
        assert model.metadata["command"].startswith(f"spikeloom train {name} --seed {model.metadata['seed']}")
        assert model.steps == recipe.steps
        layers = [part for part in parse(recipe.layers) if not isinstance(part, Pool)]
        # A linear readout stands for the last layer.
        assert len(model.populations) == len(layers) + (recipe.readout != "linear")
        assert model.readout.kind == recipe.readout
        assert f"`{model.metadata['command']}" in (FOLDER / "README.md").read_text()
        trained = {
            key: tuple(value) if isinstance(value, list) else value for key, value in model.metadata["training"].items()
        }
        assert all(getattr(recipe, key) == value for key, value in trained.items())
        assert path.stat().st_size < 1_600_000


@pytest.mark.parametrize("name", DIGITS)
def test_digits_reach_their_accuracy(name):
    model, quantized = load_model(FOLDER / f"{name}.npz"), load_model(FOLDER / f"{name}-w4.npz")
    inputs, labels = inputs_and_labels(model)
    float_accuracy = run_float(model, inputs).accuracy(labels)
    result = golden.run(integers(quantized), inputs)
    accuracy = result.accuracy(labels)
    assert float_accuracy == model.metadata["accuracy"] == quantized.metadata["float_accuracy"]
    assert accuracy == quantized.metadata["accuracy"]
    assert accuracy >= 0.965
    assert accuracy >= float_accuracy - 0.01
    for population, rate in quantized.metadata["rates"].items():
        assert 0.01 < rate < 0.3
        assert (result.counts[population].sum(0) > 0).mean() > 0.7


@pytest.mark.parametrize("name", SHIPPED)
def test_quantization_rounds_nothing_of_a_trained_grid(name):
    model = load_model(FOLDER / f"{name}-w4.npz")
    network = integers(model)
    for connection, trained in zip(network.connections, model.connections, strict=True):
        first, own = (model.lsb_of(item.source) for item in (model.incoming(trained.target)[0], trained))
        scale = np.asarray(model.scales[trained.target]) * (first / own)
        scale = channel_scale(trained, network[trained.target].shape, scale)
        np.testing.assert_array_equal(connection.weights * scale, trained.weights)
    for population in network.populations:
        np.testing.assert_array_equal(
            population.decay.numerator / 2**population.decay.shift, model[population.name].decay
        )


@pytest.mark.slow
def test_fashion_reaches_its_accuracy():
    model, quantized = load_model(FOLDER / "fashion-klif.npz"), load_model(FOLDER / "fashion-klif-w4.npz")
    try:
        inputs, labels = inputs_and_labels(model)
    except DatasetError as error:
        pytest.skip(str(error))
    accuracy = golden.run(integers(quantized), inputs).accuracy(labels)
    assert accuracy == quantized.metadata["accuracy"]
    assert accuracy >= 0.87
    assert accuracy >= run_float(model, inputs).accuracy(labels) - 0.005


def test_they_load_without_torch():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path; from quant.model import load_model\n"
        f"for path in Path({str(FOLDER)!r}).glob('*.npz'): load_model(path)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
