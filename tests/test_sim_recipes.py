"""The recipes' networks, from their checkpoints, in hardware, on real samples."""

import pytest

from sim.cosim import cosimulate
from sim.tools import SIMULATORS, available
from spikeloom import pipeline
from spikeloom.samples import dataset_samples
from spikeloom.source import find_source
from spikeloom.workspace import Workspace

SAMPLES = {"verilator": 100, "icarus": 3}


@pytest.fixture(params=[name if available(name) else pytest.param(name, marks=pytest.mark.skip) for name in SIMULATORS])
def simulator(request):
    return request.param


@pytest.mark.parametrize(
    ("recipe", "early_stop"),
    [("digits-lif", True), ("digits-klif", True), ("digits-ttfs", True), ("digits-ttfs", False)],
)
def test_a_recipe_in_hardware(recipe, simulator, early_stop, tmp_path):
    network, _ = pipeline.quantize(find_source(recipe), Workspace(folder=tmp_path))
    samples = dataset_samples(network.metadata, network.steps).first(SAMPLES[simulator])
    options = {"simulator": simulator, "early_stop": early_stop}

    stalled = cosimulate(network, samples.inputs, stall=0.3, seed=1, **options)
    assert stalled.first_difference == ""
    assert stalled.mismatches == 0
    assert stalled.spikes > 10 * stalled.samples

    alone = cosimulate(network, samples.inputs, isolate=True, **options)
    assert alone.first_difference == ""
    assert alone.cycles == alone.cycles_predicted
