from dataclasses import replace

import numpy as np
import pytest

from quant.errors import NetworkError
from quant.model import FloatPopulation
from quant.quantize import quantize as quantize_model
from snn.datasets import load
from spikeloom import pipeline
from spikeloom.samples import dataset_samples, random_samples
from spikeloom.source import find_source
from spikeloom.workspace import Workspace, read_report
from tests.conftest import float_network


def unbounded(*, steps, **changes):
    """A network whose membranes nothing but its steps bounds: no leak, and weights below 0."""
    model = float_network(**changes)
    hidden = FloatPopulation(name="hidden", shape=(6,), threshold=1.0, decay=1.0, reset="subtract")
    return replace(model, populations=(hidden, model.populations[1]), steps=steps)


def test_rails_that_can_be_proven_need_no_samples():
    scales = {"hidden": 0.1, "output": 0.2}
    network, report = pipeline.quantized(float_network(scales=scales, metadata={}))
    assert all(item.rails_origin.startswith("proven") for item in report.populations)
    with_samples, _ = pipeline.quantized(float_network(scales=scales))
    assert with_samples.digest == network.digest


def test_rails_that_cannot_are_measured_on_training_samples():
    model = replace(unbounded(steps=1000), scales={"hidden": 0.1, "output": 0.2})
    network, report = pipeline.quantized(model)
    assert not report.populations[0].rails_origin.startswith("proven")
    inputs = load("digits").train_x[:500].astype(np.int64)
    wanted, _ = quantize_model(model, weight_bits=4, decay_bits=8, state_bits=16, inputs=inputs)
    assert network.digest == wanted.digest


def test_rails_that_cannot_be_proven_nor_measured_are_refused():
    with pytest.raises(NetworkError, match=r"cannot be proven within 24 bits; give calibration samples"):
        pipeline.quantized(unbounded(steps=60000, metadata={}))


def test_wide_rails_are_taken_if_there_are_no_samples():
    _, report = pipeline.quantized(unbounded(steps=1000, metadata={}))
    assert 16 < report.populations[0].state_width <= 24


def test_bits_that_were_asked_for_come_first():
    model = float_network(metadata={"weight_bits": 6, "decay_bits": 2})
    assert pipeline.quantized(model)[0].connections[0].weight_bits == 6
    assert pipeline.quantized(model, weight_bits=3)[0].connections[0].weight_bits == 3
    assert pipeline.quantized(float_network(metadata={"weight_bits": "six"}))[0].connections[0].weight_bits == 4
    with pytest.raises(NetworkError):
        pipeline.quantized(model, weight_bits=17)


def test_a_named_network_is_the_shipped_one():
    source = find_source("digits-klif")
    assert (source.argument, source.folder.name, source.network) == ("digits-klif", "digits-klif", None)
    assert source.reference is not None
    assert source.reference.scales == {}
    assert source.model.metadata["recipe"] == "digits-klif"


def test_the_report_is_of_one_network(tmp_path):
    workspace = Workspace(folder=tmp_path)
    first, second = (pipeline.quantized(float_network(), weight_bits=bits)[0] for bits in (3, 4))
    workspace.record(first, "a", {"x": 1})
    workspace.record(first, "b", {"x": 2})
    workspace.record(first, "a", {"x": 3})
    assert read_report(workspace.report) == {"network": "tiny", "digest": first.digest, "a": {"x": 3}, "b": {"x": 2}}
    workspace.record(second, "b", {"x": 4})
    assert read_report(workspace.report) == {"network": "tiny", "digest": second.digest, "b": {"x": 4}}


def test_rates_are_those_of_the_samples(tmp_path):
    network, _ = pipeline.quantized(float_network())
    samples = dataset_samples(network.metadata, network.steps)
    found = pipeline.evaluate(network, samples, Workspace(folder=tmp_path), reference=float_network())
    assert found.comparison is not None
    assert found.rates == {item.name: pytest.approx(item.rate) for item in found.comparison.firing}
    assert found.as_dict()["accuracy"] == found.accuracy


@pytest.mark.parametrize("kind", ["events", "current"])
def test_random_samples_fill_the_range(kind):
    source = replace(float_network().input, kind=kind, low=-2, high=3)
    samples = random_samples(source, 5, count=40, seed=1)
    assert samples.inputs.shape == ((40, 5, 64) if kind == "events" else (40, 64))
    assert (samples.inputs.min(), samples.inputs.max()) == (-2, 3)
    np.testing.assert_array_equal(samples.inputs, random_samples(source, 5, count=40, seed=1).inputs)
    assert not np.array_equal(samples.inputs, random_samples(source, 5, count=40, seed=2).inputs)
