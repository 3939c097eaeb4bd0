from dataclasses import replace

import numpy as np
import pytest

from quant.correction import bias_corrected
from quant.errors import NetworkError
from quant.graph import Synapses
from quant.model import FloatInput, FloatNetwork, FloatPopulation, FloatReadout
from quant.quantize import quantize
from quant.simulate import run_float


def network(*, kind="current", lsb=1.0):
    """Two inputs to two maps of three places, each of which sends to one of two outputs, and back a step later."""
    return FloatNetwork(
        name="n",
        steps=2,
        input=FloatInput(shape=(1, 1, 3), kind=kind, high=7, lsb=lsb),
        populations=(
            FloatPopulation(name="maps", shape=(2, 1, 3), threshold=2.0, decay=0.0),
            FloatPopulation(name="output", shape=(2,), threshold=1.0, decay=0.0, bias=[0.25, 0.0]),
        ),
        connections=(
            Synapses(source="input", target="maps", kind="conv2d", weights=np.array([1.0, 2.0]).reshape(2, 1, 1, 1)),
            Synapses(source="maps", target="output", kind="dense", weights=np.full((2, 6), 0.5)),
        ),
        readout=FloatReadout(population="output"),
    )


def rounded(model, name, *weights):
    pairs = zip(model.incoming(name), weights, strict=True)
    return {name: tuple(replace(item, weights=np.array(values, float)) for item, values in pairs)}


def test_a_channels_bias_takes_the_mean_of_its_neurons():
    # Mean inputs 1, 2, 6. Weights 1 and 2 became 1.5 and 2: currents grew by 0.5, 1 and 3, on average by 1.5.
    inputs = np.array([[0, 4, 6], [2, 0, 6]])
    weights = np.array([1.5, 2.0]).reshape(2, 1, 1, 1)
    model = network()
    corrected = bias_corrected(model, rounded(model, "maps", weights), inputs)
    np.testing.assert_allclose(corrected["maps"].bias.reshape(-1), [-1.5, 0.0])
    assert corrected["output"].bias.tolist() == [0.25, 0.0]
    np.testing.assert_array_equal(corrected.connections[0].weights, model.connections[0].weights)


def test_a_current_is_counted_in_its_worth():
    model = network(lsb=0.5)
    weights = np.array([1.5, 2.0]).reshape(2, 1, 1, 1)
    corrected = bias_corrected(model, rounded(model, "maps", weights), np.array([[1, 2, 6]]))
    np.testing.assert_allclose(corrected["maps"].bias.reshape(-1), [-0.75, 0.0])


def test_later_layers_make_up_for_what_is_left_of_earlier_ones():
    # Inputs 1, 2, 2: two of the first map's neurons fire, and all of the second's. With weights of 0 and their mean
    # current, 5/3, as a bias, none of the first map's fire any more: the outputs lack two spikes of 0.5 each.
    inputs = np.array([[1, 2, 2]])
    model = network()
    both = rounded(model, "maps", np.array([0.0, 2.0]).reshape(2, 1, 1, 1)) | rounded(
        model, "output", np.full((2, 6), 0.5)
    )
    corrected = bias_corrected(model, both, inputs)
    np.testing.assert_allclose(corrected["maps"].bias.reshape(-1), [5 / 3, 0.0])
    np.testing.assert_allclose(corrected["output"].bias, [0.25 + 1, 1.0])


@pytest.mark.parametrize("kind", ["rate", "latency"])
def test_a_coded_input_counts_as_its_spikes(kind):
    model, inputs = network(kind=kind), np.random.default_rng(0).integers(0, 8, (50, 3))
    weights = np.array([2.0, 2.0]).reshape(2, 1, 1, 1)
    corrected = bias_corrected(model, rounded(model, "maps", weights), inputs)
    spikes = run_float(model, inputs).totals["input"].mean() / (2 * 3)
    np.testing.assert_allclose(corrected["maps"].bias.reshape(-1), [-spikes, 0.0])


def test_rounded_networks_keep_their_mean_currents():
    random = np.random.default_rng(0)
    weights = random.normal(0.05, 0.1, (20, 50))
    model = FloatNetwork(
        name="n",
        steps=1,
        input=FloatInput(shape=(50,), kind="current", high=7),
        populations=(FloatPopulation(name="p", shape=(20,), threshold=1e3, reset="none"),),
        connections=(Synapses(source="input", target="p", kind="dense", weights=weights),),
        readout=FloatReadout(population="p"),
    )
    inputs = random.integers(0, 8, (400, 50))

    def drift(**options):
        integers, _ = quantize(model, weight_bits=3, method="active", inputs=inputs, state_bits=31, **options)
        unit = 1e3 / integers["p"].per_neuron(integers["p"].threshold)
        current = inputs.mean(0) @ integers.connections[0].weights.T + integers["p"].per_neuron(integers["p"].bias)
        return np.abs(current * unit - inputs.mean(0) @ weights.T).max()

    assert drift(correct=True) < 0.05
    assert drift() > 10 * drift(correct=True)


def test_trained_scales_are_left_alone():
    model = replace(network(), scales={"maps": 1.0, "output": 0.5})
    inputs = np.array([[1, 2, 6]])
    integers, _ = quantize(model, correct=True, inputs=inputs)
    assert integers["maps"].bias == 0


def test_correction_needs_samples():
    with pytest.raises(NetworkError, match=r"^Bias correction needs calibration samples$"):
        quantize(network(), correct=True)
