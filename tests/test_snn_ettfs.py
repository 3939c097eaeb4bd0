"""ETTFS: its parts by hand, and that networks of it leave torch unchanged."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from quant.errors import NetworkError
from quant.model import FloatInput
from quant.quantize import quantize
from quant.simulate import run_float
from sim import golden
from snn.build import build
from snn.datasets import load
from snn.encode import Encoder
from snn.ettfs import Affine, normalize_weights, temporal_init
from snn.export import to_float
from snn.layers import AvgPool2d, BatchNorm, Conv2d, Flatten, Linear, MaxPool2d
from snn.network import SpikingNetwork
from snn.neurons import TTFS
from snn.recipes import TtfsRecipe
from snn.recipes.study import STUDY
from snn.train import fit, samples_of

torch.set_num_threads(1)


def test_temporal_init_has_variance_of_steps_over_inputs():
    torch.manual_seed(0)
    weights = torch.empty(300, 400)
    temporal_init(weights, fan_in=400, steps=8)
    assert math.sqrt(3 * 8 / 400) * 0.99 < weights.abs().max().item() <= math.sqrt(3 * 8 / 400)
    assert weights.var().item() == pytest.approx(8 / 400, rel=0.02)


@pytest.mark.parametrize("part", [temporal_init, None])
def test_currents_of_single_spikes_have_variance_one_in_every_step(part):
    torch.manual_seed(0)
    steps, inputs = 8, 500
    when = torch.randint(steps, (64, inputs))
    spikes = (torch.arange(steps)[:, None, None] == when).float()
    layer = Linear(inputs, 100, bias=False)
    if part is None:
        normalize_weights(layer, steps=steps)
    else:
        part(layer.weight, fan_in=inputs, steps=steps)
    assert layer(spikes).var((1, 2)).tolist() == pytest.approx([1.0] * steps, abs=0.15)


def test_normalized_weights_by_hand():
    layer = Linear(4, 2).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 3, 5, 7], [0, 0, 0, 4]]))
    normalize_weights(layer, steps=16)
    # Means 4 and 1, standard deviations sqrt(5) and sqrt(3), sigma 2.
    expected = [[-3, -1, 1, 3], [-1, -1, -1, 3]]
    expected = [[2 * value / math.sqrt(n) for value in row] for row, n in zip(expected, (5, 3), strict=True)]
    assert layer.weight.tolist() == [pytest.approx(row) for row in expected]


def test_normalized_kernels_have_the_deviation_of_their_inputs():
    torch.manual_seed(0)
    layer = Conv2d(6, 4, 3, groups=2)
    normalize_weights(layer.inner, steps=3)
    weights = layer.inner.weight.flatten(1)
    torch.testing.assert_close(weights.mean(1), torch.zeros(4), atol=1e-6, rtol=0)
    torch.testing.assert_close(weights.std(1, correction=0), torch.full((4,), math.sqrt(3 / 27)))


def test_no_gradient_moves_mean_or_size_of_normalized_weights():
    torch.manual_seed(0)
    layer = Linear(9, 3).double()
    normalize_weights(layer, steps=4)
    layer(torch.randn(5, 9).double()).square().sum().backward()
    behind = layer.parametrizations.weight.original
    assert behind.grad.abs().max() > 0.01
    torch.testing.assert_close(behind.grad.sum(1), torch.zeros(3).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close((behind.grad * behind).sum(1), torch.zeros(3).double(), atol=1e-12, rtol=0)


def test_equal_weights_become_0_not_nan():
    layer = Linear(4, 1, bias=False)
    torch.nn.init.constant_(layer.weight, 0.5)
    normalize_weights(layer, steps=4)
    layer(torch.ones(1, 4)).sum().backward()
    assert layer.weight.tolist() == [[0, 0, 0, 0]]
    assert layer.parametrizations.weight.original.grad.isfinite().all()


def test_one_input_cannot_be_normalized():
    with pytest.raises(
        NetworkError, match=r"^Layer must have at least 2 inputs for its weights to be normalised, not 1$"
    ):
        normalize_weights(Linear(1, 3), steps=4)


def test_affine_by_hand():
    layer = Affine(2, beta=0.5)
    with torch.no_grad():
        layer.gamma.copy_(torch.tensor([2.0, -1.0]))
    x = torch.arange(8.0).reshape(1, 1, 2, 2, 2)
    assert layer(x).flatten().tolist() == [0.5, 2.5, 4.5, 6.5, -3.5, -4.5, -5.5, -6.5]
    assert layer(x[..., 0, 0]).flatten().tolist() == [0.5, -3.5]
    with pytest.raises(NetworkError, match=r"^Affine must be given \(T, B, 2, \.\.\.\), not \(1, 2\)$"):
        layer(torch.zeros(1, 2))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Linear(6, 4), (2, 3, 6)),
        (Linear(6, 4, bias=False), (2, 3, 6)),
        (Conv2d(2, 4, 3, stride=2, padding=1, groups=2), (2, 3, 2, 5, 5)),
        (Conv2d(2, 4, (1, 2), bias=False), (2, 3, 2, 1, 5)),
    ],
)
def test_affine_behind_a_layer_is_folded_into_it(layer, shape):
    torch.manual_seed(0)
    affine, x = Affine(4, gamma=0.4, beta=0.2), torch.randn(shape)
    with torch.no_grad():
        affine.gamma += torch.randn(4)
    torch.testing.assert_close(affine.behind(layer, x), affine(layer(x)))
    network = SpikingNetwork([layer, affine, TTFS()], input=FloatInput(shape=shape[2:], kind="events"), steps=2)
    torch.testing.assert_close(
        network.spikes((x > 0).float().movedim(0, 1).flatten(2))[0], TTFS()(affine(layer((x > 0).float())))
    )


STEPS, SAMPLES = 4, 40


def _signs(layer, *, steps, random):
    """Weights of which every output has as many of -1 as of +1, normalised: with N inputs +-sqrt(T/N), exactly."""
    weights = np.sign(np.arange(layer.weight[0].numel()) % 2 - 0.5) + np.zeros((len(layer.weight), 1))
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(random.permuted(weights, axis=1)).reshape(layer.weight.shape))
    normalize_weights(layer, steps=steps)


def dyadic():
    """Convolutions, average pooling, weight normalization and affine in numbers that are sums of powers of 2."""
    random = np.random.default_rng(5)
    layers = [
        *(Conv2d(1, 4, 2, bias=False), Affine(4), TTFS()),
        *(AvgPool2d(2), Conv2d(4, 4, 2, bias=False), Affine(4), TTFS()),
        *(Flatten(), Linear(16, 6, bias=False), Affine(6), TTFS()),
    ]
    source = FloatInput(shape=(1, 7, 7), kind="current", high=15, lsb=1 / 8)
    network = SpikingNetwork(layers, input=source, steps=STEPS).double()
    linear = [
        layer.inner if isinstance(layer, Conv2d) else layer for layer in layers if isinstance(layer, (Conv2d, Linear))
    ]
    for index, layer in enumerate(linear):
        _signs(layer, steps=STEPS if index else 1, random=random)
        assert set(layer.weight.detach().flatten().tolist()) == {-0.5, 0.5}
    for layer in layers:
        if isinstance(layer, Affine):
            with torch.no_grad():
                layer.gamma.copy_(torch.from_numpy(random.choice([0.5, 1.0, 1.5, 2.0], len(layer.gamma))))
                layer.beta.copy_(torch.from_numpy(random.integers(0, 3, len(layer.beta)) / 8))
    return network.eval(), random.integers(0, 16, (SAMPLES, 49))


def test_export_spikes_as_torch_at_every_neuron_ties_included():
    network, inputs = dyadic()
    for neuron in network.neurons:
        neuron.record = True
    model = to_float(network, name="net", readout="first_spike")
    result = run_float(model, inputs, record=["spikes"])
    with torch.no_grad():
        spikes = network.spikes(torch.from_numpy(inputs))
    assert len(spikes) == len(model.populations) == 3
    for population, expected in zip(model.populations, spikes, strict=True):
        flat = expected.movedim(0, 1).flatten(2).numpy()
        assert 0.1 < flat.sum(1).mean() < 0.9
        assert len({*flat.argmax(1)[flat.any(1)].tolist()}) >= 3
        np.testing.assert_array_equal(result.spikes[population.name], flat)
    higher = replace(model.populations[1], threshold=1 + 2**-20)
    moved = run_float(
        replace(model, populations=(model.populations[0], higher, model.populations[2])), inputs, record=["spikes"]
    )
    assert (moved.spikes["hidden2"] != result.spikes["hidden2"]).any()


def test_integers_spike_as_torch_at_every_neuron():
    """Average pooling is a count with a quarter in the weights: nothing is rounded."""
    network, inputs = dyadic()
    model = to_float(network, name="net", readout="first_spike")
    scales = {item.name: 2.0**-5 for item in model.populations}
    integers, _ = quantize(replace(model, scales=scales), weight_bits=7)
    assert integers.connections[1].pool == (2, 2)
    result = golden.run(integers, inputs, record=["spikes"])
    with torch.no_grad():
        spikes = network.spikes(torch.from_numpy(inputs))
    for population, expected in zip(model.populations, spikes, strict=True):
        np.testing.assert_array_equal(result.spikes[population.name], expected.movedim(0, 1).flatten(2).numpy())


def test_rows_of_a_model_name_the_layer_not_its_parametrization():
    network, _ = dyadic()
    assert [row[1] for row in to_float(network, name="net").metadata["layers"]][-3:] == ["Linear", "Affine", "TTFS"]


RECIPE = TtfsRecipe(
    name="small",
    summary="",
    dataset="digits",
    encoder="direct",
    layers="4C3-AP2-6C3-8",
    steps=6,
    output_bias=0.25,
    epochs=1,
    qat_epochs=1,
)


def made(**options):
    torch.manual_seed(0)
    return list(build(replace(RECIPE, **options), load("digits")).layers)


def kinds(layers):
    return [nn.utils.parametrize.type_before_parametrizations(layer) for layer in layers]


def linear(layers):
    found = [layer.inner if isinstance(layer, Conv2d) else layer for layer in layers]
    return [layer for layer in found if isinstance(layer, (nn.Conv2d, nn.Linear))]


def test_temporal_init_draws_layers_behind_spikes():
    on, off = linear(made()), linear(made(temporal_init=False))
    assert (on[0].weight == off[0].weight).all()
    for layer, other in zip(on[1:], off[1:], strict=True):
        assert layer.weight.std().item() == pytest.approx(math.sqrt(6 / layer.weight[0].numel()), rel=0.2)
        assert layer.weight.std() > 3 * other.weight.std()
    assert not on[1].bias.any()
    assert on[-1].bias.tolist() == off[-1].bias.tolist() == [0.25] * 10


def test_events_are_spikes_at_the_first_layer():
    first = linear(made(encoder="rate/16"))[0]
    assert first.weight.std().item() == pytest.approx(math.sqrt(6 / 9), rel=0.3)
    first = linear(made(encoder="rate/16", weight_norm=True))[0]
    assert first.weight.std(correction=0).item() == pytest.approx(math.sqrt(6 / 9))


def test_weight_norm_holds_every_layer():
    layers = linear(made(weight_norm=True))
    # An input of 1 is 16 levels of 1/16.
    square = float(np.square(load("digits").train_x[:1000] / 16).mean())
    assert 0.1 < square < 0.3
    for layer, steps in zip(layers, (1 / square, 6, 6, 6), strict=True):
        weights = layer.weight.flatten(1)
        torch.testing.assert_close(
            weights.std(1, correction=0), torch.full((len(weights),), (steps / weights.shape[1]) ** 0.5)
        )
    assert not any(nn.utils.parametrize.is_parametrized(layer) for layer in linear(made()))


def test_affine_takes_the_place_of_biases():
    layers = made(affine=True)
    assert kinds(layers) == [
        *(Conv2d, Affine, TTFS, AvgPool2d, Conv2d, Affine, TTFS),
        *(Flatten, Linear, Affine, TTFS, Linear, Affine, TTFS),
    ]
    assert all(layer.bias is None for layer in linear(layers))
    assert [layer.beta.tolist() for layer in layers if isinstance(layer, Affine)] == [
        [0.0] * 4,
        [0.0] * 6,
        [0.0] * 8,
        [0.25] * 10,
    ]
    assert Affine not in kinds(made())


def test_norm_and_pools_stand_where_the_recipe_says():
    assert kinds(made(norm=True))[:3] == [Conv2d, BatchNorm, TTFS]
    assert MaxPool2d in kinds(made(layers="4C3-MP2-8"))


def test_the_share_that_is_reported_of_first_crossings_is_that_of_the_spikes():
    torch.manual_seed(1)
    options = {"weight_norm": True, "affine": True, "output_gain": 2.0, "output_bias": 0.0, "batch": 100}
    recipe = replace(RECIPE, decoder="first_crossing", loss_gain=4.0, **options)
    data = load("digits")
    network = build(recipe, data)
    assert network.layers[-1].distances
    assert not any(neuron.distances for neuron in network.neurons[:-1])
    reported = []

    def report(*words):
        reported.append(words[-1])

    samples = samples_of(recipe, data)
    fit(network.spikes, network, samples, recipe, stage="float", epochs=1, lr=0.0, seed=0, report=report)
    model = to_float(network, name="net", readout="first_spike")
    result = run_float(model, Encoder.parse(recipe.encoder)(data.train_x, recipe.steps), dtype=np.float32)
    assert 0.05 < result.accuracy(data.train_y) < 0.5
    assert reported == [pytest.approx(result.accuracy(data.train_y), abs=1e-3)]


def test_first_crossings_are_of_neurons_that_fire_once():
    recipe = replace(STUDY[0], name="r", dataset="digits", decoder="first_crossing")
    with pytest.raises(NetworkError, match=r"^Decoder first_crossing of recipe r must be of ttfs, not lif$"):
        build(recipe, load("digits"))
