"""The float network spikes as the torch modules do, step by step."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from quant.errors import NetworkError, UnsupportedError
from quant.model import FloatInput, load_model, save_model
from quant.simulate import run_float
from snn.export import to_float
from snn.layers import AvgPool2d, BatchNorm, Conv2d, Dropout, Flatten, Linear
from snn.network import SpikingNetwork
from snn.neurons import IF, KLIF, LIF, TTFS

torch.set_num_threads(1)

STEPS, SAMPLES = 7, 16


def inputs_of(network, seed=0):
    random = np.random.default_rng(seed)
    shape = (SAMPLES, network.input.size)
    if network.input.kind == "events":
        shape = (SAMPLES, STEPS, network.input.size)
    return random.integers(0, network.input.high + 1, shape)


def assert_same_spikes(network, **options):
    """Torch and float spikes are equal, and neither silent nor saturated."""
    network = network.double().eval()
    model = to_float(network, name="net", **options)
    inputs = inputs_of(network)
    result = run_float(model, inputs, record=["spikes"])
    with torch.no_grad():
        spikes = network.spikes(torch.from_numpy(inputs))
    for population, expected in zip(model.populations, spikes, strict=True):
        expected = expected.movedim(0, 1).flatten(2).numpy()
        assert 0.02 < expected.mean() < 0.9
        np.testing.assert_array_equal(result.spikes[population.name], expected)
    return model


def learned(neuron):
    """The neuron with a leak that is no longer its time constant's."""
    with torch.no_grad():
        neuron.learned_leak += 0.4
    return neuron


NEURONS = {
    "if": IF,
    "if soft": lambda: IF(reset="subtract"),
    "lif": lambda: LIF(tau=3.0),
    "lif, reset value": lambda: LIF(tau=3.0, reset_value=-0.3),
    "lif, reset value above": lambda: LIF(tau=1.5, reset_value=0.2, decay_input=True),
    "lif soft, input decays": lambda: LIF(tau=3.0, reset="subtract", decay_input=True),
    "lif without reset": lambda: LIF(tau=3.0, reset="none"),
    "lif, other threshold": lambda: LIF(threshold=0.7),
    "lif, learned leak": lambda: learned(LIF(tau=3.0, learn_leak=True, decay_input=True, reset_value=-0.3)),
    "lif, no memory": lambda: LIF(tau=1.0, reset="none"),
    "klif": lambda: KLIF(k=1.7),
    "klif, learned leak": lambda: learned(KLIF(k=1.3, tau=3.0, learn_leak=True)),
    "klif, small k": lambda: KLIF(k=0.6),
    "klif, whole input": lambda: KLIF(k=1.3, tau=3.0, decay_input=False),
    "klif soft": lambda: KLIF(k=1.4, reset="subtract"),
    "klif, reset value": lambda: KLIF(k=1.4, reset_value=-0.3),
    "klif, reset value above": lambda: KLIF(k=1.4, reset_value=0.3),
    "klif, scaled reset": lambda: KLIF(k=1.7, scale_reset=True),
    "klif soft, scaled reset": lambda: KLIF(k=1.7, scale_reset=True, reset="subtract"),
    "klif, scaled reset to a value": lambda: KLIF(k=1.7, scale_reset=True, reset_value=-0.2),
    "ttfs": TTFS,
    "ttfs, other threshold": lambda: TTFS(threshold=0.7),
}


def dense(make, *, kind="events", recurrent=False):
    torch.manual_seed(1)
    source = FloatInput(
        shape=(12,), kind=kind, high=1 if kind == "events" else 15, lsb=1.0 if kind == "events" else 0.1
    )
    sizes = (12, 20, 6)
    layers = []
    for inputs, outputs in pairwise(sizes):
        linear = Linear(inputs, outputs)
        neuron = make()
        neuron.recurrent = Linear(outputs, outputs) if recurrent else None
        layers += [linear, neuron]
    return livened(SpikingNetwork(layers, input=source, steps=STEPS))


def livened(network):
    """The network with each layer's weights moved until its neurons neither sleep nor spike all the time."""
    inputs = torch.from_numpy(inputs_of(network))
    for index, layer in enumerate(layer for layer in network.layers if isinstance(layer, (Linear, Conv2d))):
        for _ in range(100):
            with torch.no_grad():
                rate = network.eval().spikes(inputs)[index].mean().item()
                weight = layer.weight if isinstance(layer, Linear) else layer.inner.weight
                if 0.1 < rate < 0.6:
                    break
                weight += 0.1 * weight.abs().mean() * (1 if rate < 0.3 else -1)
    return network


@pytest.mark.parametrize("kind", ["events", "current"])
@pytest.mark.parametrize("name", NEURONS)
def test_neuron(name, kind):
    assert_same_spikes(dense(NEURONS[name], kind=kind))


@pytest.mark.parametrize("name", ["lif soft, input decays", "klif"])
def test_recurrence(name):
    model = assert_same_spikes(dense(NEURONS[name], recurrent=True))
    assert [item.delay for item in model.connections] == [0, 1, 0, 1]


def test_leaks_and_thresholds_of_each_neuron():
    def make():
        count = sizes.pop(0)
        thresholds = torch.linspace(0.5, 1.5, count)
        neuron = LIF(tau=3.0, learn_leak=True, leaks=count, threshold=thresholds, decay_input=True)
        with torch.no_grad():
            neuron.learned_leak += torch.linspace(-1, 1, count)
        return neuron

    sizes = [20, 6]
    model = assert_same_spikes(dense(make))
    assert model["hidden"].decay.shape == model["hidden"].threshold.shape == (20,)


def test_leaks_of_each_channel():
    torch.manual_seed(3)
    neuron = KLIF(tau=2.0, k=1.2, learn_leak=True, leaks=4, threshold=torch.tensor([0.5, 0.7, 0.9, 1.1]))
    with torch.no_grad():
        neuron.learned_leak += torch.linspace(-1, 1, 4)
    model = assert_same_spikes(livened(images([Conv2d(2, 4, 3), neuron])))
    assert model["output"].decay.shape == (4,)


def test_dyadic_ties_come_out_exactly():
    network = dense(lambda: LIF(tau=4.0, reset="subtract"))
    with torch.no_grad():
        for layer in network.layers:
            if isinstance(layer, Linear):
                layer.weight.copy_((layer.weight * 4).round() / 4)
                layer.bias.copy_((layer.bias * 4).round() / 4)
    assert_same_spikes(network)


def images(layers, shape=(2, 9, 8)):
    torch.manual_seed(2)
    network = SpikingNetwork(layers, input=FloatInput(shape=shape, kind="current", high=15, lsb=1 / 8), steps=STEPS)
    for norm in (layer.inner for layer in network.layers if isinstance(layer, BatchNorm)):
        for values in (norm.weight, norm.running_var):
            nn.init.uniform_(values, 0.5, 1.5)
        for values in (norm.bias, norm.running_mean):
            nn.init.uniform_(values, -0.5, 0.5)
    return network


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("conv", lambda: [Conv2d(2, 4, 3, padding=1), IF(), Conv2d(4, 3, 3, stride=2, groups=1), IF()]),
        ("groups", lambda: [Conv2d(2, 4, 3, groups=2), IF(), Flatten(), Linear(4 * 7 * 6, 5), IF()]),
        (
            "norm",
            lambda: [Conv2d(2, 4, 3, bias=False), BatchNorm(4), LIF(), Flatten(), Linear(168, 5), BatchNorm(5), IF()],
        ),
        (
            "pool of spikes",
            lambda: [Conv2d(2, 4, 2), IF(), AvgPool2d(2), Conv2d(4, 3, 2), KLIF(k=2.0, decay_input=False)],
        ),
        ("pool into a linear layer", lambda: [Conv2d(2, 4, 2), IF(), AvgPool2d(3), Flatten(), Linear(16, 5), IF()]),
        ("pool of the input, twice", lambda: [AvgPool2d(2), AvgPool2d(2), Flatten(), Linear(8, 5), IF()]),
        ("pool of a convolution", lambda: [Conv2d(2, 4, 3, padding=1), BatchNorm(4), AvgPool2d(2), IF()]),
        ("pool of a strided one", lambda: [Conv2d(2, 4, 3, stride=2, padding=2), AvgPool2d(2), BatchNorm(4), IF()]),
        ("norm of the input", lambda: [Flatten(), BatchNorm(144), Linear(144, 5), IF()]),
        ("no layer", lambda: [IF(threshold=3.0), Flatten(), LIF(tau=8.0, threshold=1.5)]),
        ("flat before the neuron", lambda: [Conv2d(2, 4, 3), Flatten(), IF(), Dropout(0.5), Linear(168, 5), IF()]),
    ],
)
def test_layers(name, layers):
    torch.manual_seed(3)
    assert_same_spikes(livened(images(layers())))


def test_linear_layers_without_a_neuron_between():
    torch.manual_seed(3)
    layers = [Flatten(), Linear(144, 20), BatchNorm(20), Linear(20, 5), IF()]
    model = assert_same_spikes(images(layers))
    assert [item.weights.shape for item in model.connections] == [(5, 144)]


def test_names_readout_and_metadata():
    torch.manual_seed(0)
    source = FloatInput(shape=(4,), kind="current", high=15, lsb=0.5)
    layers = [Linear(4, 4), TTFS(), Linear(4, 4), TTFS(), Linear(4, 2), TTFS()]
    network = SpikingNetwork(layers, input=source, steps=3)
    model = to_float(network, name="net", readout="first_spike", metadata={"recipe": "x"})
    assert [item.name for item in model.populations] == ["hidden1", "hidden2", "output"]
    assert (model.readout.kind, model.readout.population, model.steps, model.input.lsb) == (
        "first_spike",
        "output",
        3,
        0.5,
    )
    assert model.metadata["recipe"] == "x"
    assert model.metadata["layers"][:2] == [
        ["0", "Linear", "weights"],
        ["1", "TTFS", "first order, one spike, fires from its threshold: population hidden1 of 4"],
    ]
    assert [item.name for item in to_float(dense(IF), name="net").populations] == ["hidden", "output"]


def test_file_holds_the_same(tmp_path):
    network = dense(NEURONS["klif"])
    model = to_float(network, name="net")
    save_model(tmp_path / "net.npz", model)
    inputs = inputs_of(network)
    loaded = run_float(load_model(tmp_path / "net.npz"), inputs, record=["spikes"])
    expected = run_float(model, inputs, record=["spikes"])
    np.testing.assert_array_equal(loaded.spikes["output"], expected.spikes["output"])


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (lambda: [nn.Linear(144, 3), IF()], r"^Layer 0 \(Linear\) cannot be exported; use the layers of snn\.layers"),
        (
            lambda: [Flatten(), Linear(144, 3), KLIF(k=-1.0)],
            r"^Layer 2 \(KLIF\) has learned k = -1; k must be positive",
        ),
        (
            lambda: [Flatten(), Linear(144, 4), AvgPool2d(2), IF()],
            r"^Layer 2 \(AvgPool2d\) must be given maps \(C, H, W\), not \(4,\)$",
        ),
        (lambda: [Linear(8, 3), IF()], r"^Layer 0 \(Linear\) must take all 144 neurons, not 8$"),
        (
            lambda: [Conv2d(2, 2, 3), IF(recurrent=Linear(6, 6))],
            r"^Layer 1 \(IF\) must be recurrent through a Linear layer",
        ),
    ],
)
def test_unsupported(layers, message):
    with pytest.raises((UnsupportedError, NetworkError), match=message):
        to_float(images(layers()), name="net")
