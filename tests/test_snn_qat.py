"""The twin computes the integers of the golden model, before and after training."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from quant.calibrate import with_scales
from quant.errors import NetworkError, UnsupportedError
from quant.graph import Synapses
from quant.model import FloatInput, FloatNetwork, FloatPopulation, FloatReadout
from quant.quantize import quantize
from sim import golden
from snn.qat import IntegerTwin
from snn.surrogate import Sigmoid

torch.set_num_threads(1)

STEPS, SAMPLES = 6, 40


def dense(source, target, shape, random, **options):
    return Synapses(source=source, target=target, kind="dense", weights=random.normal(0.15, 0.3, shape), **options)


def flat(random, **options):
    """Eight inputs, twelve neurons of the kind asked for, five outputs."""
    kind = options.pop("kind", "events")
    bias = random.normal(0.05, 0.1, 12)
    hidden = FloatPopulation(name="hidden", shape=(12,), **{"threshold": 1.0, "decay": 0.8, "bias": bias, **options})
    output = FloatPopulation(name="output", shape=(5,), threshold=0.8, reset="subtract", decay=1.0)
    return FloatNetwork(
        name="net",
        steps=STEPS,
        input=FloatInput(
            shape=(8,), kind=kind, high=1 if kind == "events" else 15, lsb=1.0 if kind == "events" else 1 / 16
        ),
        populations=(hidden, output),
        connections=(dense("input", "hidden", (12, 8), random), dense("hidden", "output", (5, 12), random)),
        readout=FloatReadout(population="output"),
    )


def recurrent(random):
    model = flat(random)
    loop = dense("hidden", "hidden", (12, 12), random, delay=1)
    skip = dense("input", "output", (5, 8), random)
    back = dense("output", "hidden", (12, 5), random, delay=1)
    return replace(model, connections=(*model.connections, loop, skip, back))


def mapped(random):
    """Every kind of connection, on maps, from a constant input whose LSB differs from that of spikes."""

    def synapses(source, target, kind, shape, **options):
        return Synapses(source=source, target=target, kind=kind, weights=random.normal(0.1, 0.3, shape), **options)

    populations = (
        FloatPopulation(name="a", shape=(4, 6, 6), threshold=1.0, decay=0.5, bias=random.normal(0.2, 0.1, 4)),
        FloatPopulation(name="b", shape=(4, 6, 6), threshold=0.5, rectify=True, bias=random.normal(0, 0.1, (4, 6, 6))),
        FloatPopulation(name="c", shape=(4, 3, 3), threshold=0.3, reset="subtract", bias=0.05),
        FloatPopulation(name="d", shape=(2, 7, 7), threshold=0.6, reset="none", decay=0.25),
        FloatPopulation(name="e", shape=(5,), threshold=0.5, reset="latch"),
    )
    connections = (
        synapses("input", "a", "conv2d", (4, 2, 3, 3), padding=1, stride=2),
        synapses("a", "b", "conv2d", (4, 2, 3, 3), padding=1, groups=2),
        synapses("a", "b", "identity", (4,)),
        synapses("b", "b", "identity", (4, 6, 6), delay=1),
        synapses("b", "c", "max_pool", (4,), kernel=2),
        synapses("c", "d", "conv_transpose2d", (4, 2, 3, 3), stride=2),
        synapses("d", "e", "dense", (5, 18), pool=2),
        synapses("c", "e", "dense", (5, 36)),
    )
    return FloatNetwork(
        name="net",
        steps=STEPS,
        input=FloatInput(shape=(2, 12, 12), kind="current", high=7, lsb=1 / 8),
        populations=populations,
        connections=connections,
        readout=FloatReadout(population="e", kind="first_spike"),
    )


NETWORKS = {
    "reset to zero": lambda random: flat(random),
    "reset to a value": lambda random: flat(random, reset_value=-0.4, initial=0.2),
    "reset by subtraction": lambda random: flat(random, reset="subtract", reset_amount=0.7),
    "no reset": lambda random: flat(random, reset="none", decay=0.5),
    "latch": lambda random: flat(random, reset="latch", decay=1.0),
    "leaking latch": lambda random: flat(random, reset="latch"),
    "rectified, decay above one": lambda random: flat(random, rectify=True, decay=1.3),
    "rectified, reset below zero": lambda random: flat(random, rectify=True, reset_value=-0.8, decay=1.0),
    "decay of each neuron": lambda random: flat(random, decay=np.linspace(0, 1.1, 12)),
    "ternary": lambda random: flat(random, ternary=True, reset="subtract", threshold=0.4),
    "ternary latch": lambda random: flat(random, ternary=True, reset="latch", threshold=0.4),
    "strict": lambda random: flat(random, strict=True, threshold=0.5),
    "second order": lambda random: flat(random, current_decay=0.6),
    "constant input": lambda random: flat(random, kind="current"),
    "recurrent": recurrent,
    "maps": mapped,
}


def samples(model, random):
    shape = (SAMPLES, model.steps, model.input.size) if model.input.kind == "events" else (SAMPLES, model.input.size)
    return random.integers(0, model.input.high + 1, shape)


def twin_and_network(model, inputs, bits=4):
    scaled = with_scales(model, weight_bits=bits)
    network, _ = quantize(scaled, weight_bits=bits, decay_bits=4, inputs=inputs)
    return IntegerTwin(scaled, network, surrogate=Sigmoid(alpha=2.0), thresholds=True).eval(), network


def assert_equal_to_golden(twin, network, inputs):
    twin.record = True
    with torch.no_grad():
        spikes = twin(torch.from_numpy(inputs))
    result = golden.run(network, inputs, record=["spikes", "membranes"])
    for name, found in zip(network.order, spikes, strict=True):
        assert result.spikes[name].any()
        np.testing.assert_array_equal(found.movedim(0, 1).numpy(), result.spikes[name])
        np.testing.assert_array_equal(twin.membranes[name].movedim(0, 1).numpy(), result.membranes[name])


def train(twin, inputs, steps=12, lr=0.02):
    """Move the rate of every neuron to one drawn at random."""
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(twin.parameters(), lr=lr)
    targets = [0.2 + 0.4 * torch.rand(twin.network[name].size) for name in twin.network.order]
    twin.train()
    for _ in range(steps):
        rates = [spikes.mean((0, 1)) for spikes in twin(inputs)]
        loss = sum((rate - target).square().sum() for rate, target in zip(rates, targets, strict=True))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    twin.eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_twin_equals_golden_before_and_after_training(name):
    random = np.random.default_rng(5)
    model = NETWORKS[name](random)
    inputs = samples(model, random)
    twin, network = twin_and_network(model, inputs)
    assert_equal_to_golden(twin, network, inputs)

    train(twin, torch.from_numpy(inputs))
    trained = twin.to_float({"accuracy": 0.5})
    after, _ = quantize(trained, weight_bits=4, decay_bits=4, inputs=inputs)
    changed = [
        not np.array_equal(a.weights, b.weights) for a, b in zip(network.connections, after.connections, strict=True)
    ]
    assert any(changed)
    twin.adopt(after)
    assert_equal_to_golden(twin, after, inputs)
    assert after.metadata == {"accuracy": 0.5}


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_other_widths(bits):
    random = np.random.default_rng(6)
    model = flat(random, kind="current")
    inputs = samples(model, random)
    twin, network = twin_and_network(model, inputs, bits)
    assert_equal_to_golden(twin, network, inputs)


def test_rails_are_the_networks():
    random = np.random.default_rng(7)
    model = flat(random)
    inputs = samples(model, random)
    twin, network = twin_and_network(model, inputs)
    tight = [replace(item, state_min=-3, state_max=4) for item in network.populations]
    network = replace(network, populations=tuple(tight))
    before = twin(torch.from_numpy(inputs))[0]
    twin.adopt(network)
    assert not torch.equal(before, twin(torch.from_numpy(inputs))[0])
    assert_equal_to_golden(twin, network, inputs)


def test_sums_beyond_float32_are_computed_in_float64():
    random = np.random.default_rng(8)
    model = flat(random, decay=0.97, reset="none", kind="current")
    model = replace(model, input=replace(model.input, high=65535, lsb=2.0**-16))
    inputs = samples(model, random)
    scaled = with_scales(model, weight_bits=8)
    network, _ = quantize(scaled, weight_bits=8, decay_bits=20, state_bits=31, inputs=inputs)
    twin = IntegerTwin(scaled, network).eval()
    assert twin.dtype == torch.float64
    assert_equal_to_golden(twin, network, inputs)


def one_neuron(weight, *, bias=0.0, reset="zero", decay=1.0, steps=1):
    model = FloatNetwork(
        name="net",
        steps=steps,
        input=FloatInput(shape=(1,), kind="current", high=15),
        populations=(FloatPopulation(name="output", shape=(1,), threshold=1.0, bias=bias, reset=reset, decay=decay),),
        connections=(Synapses(source="input", target="output", kind="dense", weights=np.array([[weight]])),),
        readout=FloatReadout(population="output"),
        scales={"output": 0.125},
    )
    network, _ = quantize(model, weight_bits=4, decay_bits=4)
    return IntegerTwin(model, network, surrogate=Sigmoid(alpha=4.0))


def test_gradient_of_one_step():
    # 0.3 is 2 LSB and H = 3 * 2 + round(0.1 / 0.125) = 7, one below the threshold of 8; a unit is 1/8.
    twin = one_neuron(0.3, bias=0.1)
    spike = twin(torch.tensor([[3]]))[0]
    assert spike.item() == 0
    spike.sum().backward()
    s = 1 / (1 + math.exp(4 / 8))
    slope = 4 * s * (1 - s) / 8 / 0.125
    assert twin.synapses[0].weights.grad.item() == pytest.approx(3 * slope, rel=1e-5)
    assert twin.neurons[0].bias.grad.item() == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize(
    ("weight", "integer", "learns"), [(0.93, 7, True), (0.94, 7, False), (-1.06, -8, True), (-1.07, -8, False)]
)
def test_clipped_weights_have_no_gradient(weight, integer, learns):
    twin = one_neuron(weight)
    twin(torch.tensor([[1]]))[0].sum().backward()
    assert twin.synapses[0].integers().item() == integer
    assert (twin.synapses[0].weights.grad.item() != 0) == learns


def test_gradient_goes_through_the_decay():
    # V = (4 * 3 + 2) >> 2 = 3 of H = 4 and decay 3/4; backward it is multiplied by 3/4.
    twin = one_neuron(0.5, decay=0.75, reset="none", steps=2)
    twin.record = True
    spikes = twin(torch.tensor([[1]]))[0]
    assert twin.membranes["output"].flatten().tolist() == [3, 5]
    spikes[1].sum().backward()
    s = 1 / (1 + math.exp(4 / 8))
    assert twin.synapses[0].weights.grad.item() == pytest.approx(1.75 * 4 * s * (1 - s) / 8 / 0.125, rel=1e-5)


def test_dropout_silences_while_training_only():
    random = np.random.default_rng(9)
    model = flat(random)
    inputs = samples(model, random)
    _, network = twin_and_network(model, inputs)
    twin = IntegerTwin(with_scales(model, weight_bits=4), network, dropout=0.5)
    values = torch.from_numpy(inputs)
    torch.manual_seed(0)
    dropped, again = twin(values)[1], twin(values)[1]
    assert not torch.equal(dropped, again)
    assert_equal_to_golden(twin.eval(), network, inputs)


def test_wrong_use():
    random = np.random.default_rng(10)
    model = flat(random)
    inputs = samples(model, random)
    network, _ = quantize(model, inputs=inputs)
    with pytest.raises(NetworkError, match=r"^Population hidden must have a scale to be trained with integers$"):
        IntegerTwin(model, network)
    coded = replace(network, input=replace(network.input, kind="rate"))
    with pytest.raises(UnsupportedError, match=r"^Input of kind rate cannot be trained with; use events or current$"):
        IntegerTwin(model, coded)


def test_distances_of_the_last_population_cross_where_it_spikes():
    random = np.random.default_rng(5)
    model = mapped(random)
    inputs = samples(model, random)
    _, network = twin_and_network(model, inputs)
    twin = IntegerTwin(with_scales(model, weight_bits=4), network, distances=True).eval()
    *_, before, distances = twin(torch.from_numpy(inputs))
    found, result = (
        distances.detach().movedim(0, 1).numpy(),
        golden.run(network, inputs, record=["spikes", "membranes"]),
    )
    np.testing.assert_array_equal(before.detach().movedim(0, 1).numpy(), result.spikes["d"])
    spikes = result.spikes["e"]
    assert spikes.any((1, 2)).sum() > 10
    crossed = np.maximum.accumulate(found, 1) >= 0
    np.testing.assert_array_equal(crossed, np.maximum.accumulate(spikes, 1) > 0)
    silent = ~crossed
    assert silent.any()
    expected = result.membranes["e"] / network["e"].threshold - 1
    np.testing.assert_allclose(found[silent], expected[silent], rtol=1e-6)
    distances.sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in twin.parts[-1].parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_thresholds_are_trained_but_of_three_kinds_of_neurons(name):
    random = np.random.default_rng(11)
    model = NETWORKS[name](random)
    twin, network = twin_and_network(model, samples(model, random))
    for neurons, item in zip(twin.neurons, (model[name] for name in network.order), strict=True):
        stays = item.reset == "subtract" or item.strict or item.ternary
        assert (neurons.level is None) == stays
    assert all(neurons.level is None for neurons in IntegerTwin(with_scales(model, weight_bits=4), network).neurons)
    assert {"reset by subtraction", "strict", "ternary"} <= set(NETWORKS)
