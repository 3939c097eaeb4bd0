"""Networks of SpikingJelly, imported, spike as SpikingJelly itself does: every neuron, every step."""

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("spikingjelly")

from live import STEPS, assert_same_spikes, dyadic, inputs_of, populations
from spikingjelly.activation_based import functional, layer, neuron

from quant.errors import UnsupportedError
from quant.importers.options import ImportOptions
from quant.importers.torch_module import import_module
from quant.simulate import run_float


def run(inputs, mode, dtype=torch.float32):
    """Once over all steps, or a step a call."""

    def go(module):
        functional.reset_net(module)
        values = torch.from_numpy(inputs).to(dtype).transpose(0, 1)
        if mode == "m":
            module(values)
        else:
            for frame in values:
                module(frame)
        functional.reset_net(module)

    return go


def klif(k, **options):
    def make():
        made = neuron.KLIFNode(**options)
        made.k.data.fill_(k)
        return made

    return make


NEURONS = {
    "if": neuron.IFNode,
    "if soft": lambda: neuron.IFNode(v_reset=None),
    "if to a value": lambda: neuron.IFNode(v_reset=-0.5, v_threshold=0.75),
    "lif": neuron.LIFNode,
    "lif soft": lambda: neuron.LIFNode(v_reset=None, v_threshold=0.5),
    "lif to a value": lambda: neuron.LIFNode(tau=4.0, v_reset=0.25, v_threshold=0.5),
    "lif below 0": lambda: neuron.LIFNode(tau=2.0, v_reset=-0.5, decay_input=False),
    "lif, whole input": lambda: neuron.LIFNode(tau=4.0, decay_input=False),
    "lif soft, whole input": lambda: neuron.LIFNode(tau=4.0, decay_input=False, v_reset=None),
    "plif": lambda: neuron.ParametricLIFNode(init_tau=2.0),
    "plif, whole input": lambda: neuron.ParametricLIFNode(init_tau=2.0, decay_input=False, v_reset=None),
    "plif to a value": lambda: neuron.ParametricLIFNode(init_tau=2.0, v_reset=0.5, v_threshold=0.75),
    "klif": klif(1.5),
    "klif, small k": klif(0.75, v_threshold=0.5),
    "klif soft": klif(1.25, v_reset=None),
    "klif to a value": klif(1.5, v_reset=-0.25),
    "klif, whole input": klif(1.5, tau=4.0, decay_input=False),
    "klif, scaled reset": klif(2.0, scale_reset=True),
    "klif soft, scaled reset": klif(2.0, scale_reset=True, v_reset=None),
    "klif to a value, scaled reset": klif(2.0, scale_reset=True, v_reset=0.25),
}


def dense(make, mode):
    net = nn.Sequential(layer.Flatten(), layer.Linear(12, 16), make(), layer.Dropout(0.3), layer.Linear(16, 6), make())
    functional.set_step_mode(net, mode)
    return dyadic(net, gain=2.0)


@pytest.mark.parametrize("mode", ["s", "m"])
@pytest.mark.parametrize("name", NEURONS)
def test_neuron(name, mode):
    module, inputs = dense(NEURONS[name], mode), inputs_of((12,))
    before = [parameter.clone() for parameter in module.parameters()]
    assert_same_spikes(module, run(inputs, mode), inputs, sequences=mode == "m")
    assert all((a == b).all() for a, b in zip(before, module.parameters(), strict=True))


@pytest.mark.parametrize("name", ["lif to a value", "klif soft", "plif, whole input"])
def test_neuron_in_float64(name):
    module, inputs = dense(NEURONS[name], "m").double(), inputs_of((12,))
    assert_same_spikes(module, run(inputs, "m", torch.float64), inputs, sequences=True)


def test_one_input_for_all_steps():
    module, inputs = dense(NEURONS["lif"], "m"), inputs_of((12,), kind="current")
    frames = np.repeat(inputs[:, None], STEPS, axis=1) / 4
    options = {"input_kind": "current", "input_lsb": 0.25, "input_high": 4}
    assert_same_spikes(module, run(frames, "m", torch.float32), inputs, options, sequences=True)


def images(*parts, drift=0.25):
    net = nn.Sequential(*parts)
    functional.set_step_mode(net, "m")
    return dyadic(net, gain=2.0, drift=drift)


IMAGES = {
    "norm and maxima": lambda: images(
        layer.Conv2d(2, 4, 3, padding=1, bias=False),
        layer.BatchNorm2d(4),
        neuron.IFNode(),
        layer.MaxPool2d(2),
        layer.Conv2d(4, 3, 3),
        layer.BatchNorm2d(3),
        neuron.LIFNode(),
        layer.Flatten(),
        layer.Linear(12, 5),
        neuron.IFNode(),
    ),
    "averages": lambda: images(
        layer.AvgPool2d(2),
        layer.Conv2d(2, 4, 2, groups=2),
        layer.AvgPool2d(3),
        neuron.IFNode(v_threshold=0.25),
        layer.Flatten(),
        layer.Linear(4, 5),
        neuron.IFNode(),
    ),
    "transposed": lambda: images(
        layer.Conv2d(2, 3, 2, stride=2),
        neuron.IFNode(),
        layer.ConvTranspose2d(3, 2, 3, stride=2, padding=1),
        neuron.IFNode(),
        layer.AdaptiveAvgPool2d((1, 1)),
        layer.Flatten(),
        neuron.IFNode(v_threshold=0.5),
    ),
    "containers": lambda: images(
        layer.SeqToANNContainer(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)),
        neuron.IFNode(),
        layer.MultiStepContainer(nn.Flatten(), nn.Linear(256, 5), neuron.IFNode()),
        drift=-0.05,
    ),
}


@pytest.mark.parametrize("name", IMAGES)
def test_images(name):
    module = IMAGES[name]()
    for part in module.modules():
        if isinstance(part, layer.MultiStepContainer):
            functional.set_step_mode(nn.ModuleList(part.children()), "s")
    inputs = inputs_of((2, 8, 8))
    sequences = name != "containers"
    if sequences:
        assert_same_spikes(module, run(inputs, "m"), inputs, {"input_shape": (2, 8, 8)}, sequences=True)
        return
    model = import_module(module, ImportOptions(steps=STEPS, input_shape=(2, 8, 8)))
    assert_final(model, module, inputs)


def assert_final(model, module, inputs):
    """Spikes of the last layer, which the module gives back."""
    functional.reset_net(module)
    with torch.no_grad():
        expected = module(torch.from_numpy(inputs).float().transpose(0, 1)).transpose(0, 1).flatten(2).numpy()
    result = run_float(model, inputs.reshape(len(inputs), STEPS, -1), record=["spikes"])
    last = list(populations(model).values())[-1]
    assert 0.02 < expected.mean() < 0.95
    np.testing.assert_array_equal(result.spikes[last], expected)


def test_one_dimension():
    module = images(
        layer.Conv1d(3, 4, 3, padding=1), neuron.IFNode(), layer.MaxPool1d(2), layer.Conv1d(4, 2, 2), neuron.IFNode()
    )
    inputs = inputs_of((3, 10))
    model = assert_same_spikes(module, run(inputs, "m"), inputs, {"input_shape": (3, 10)}, sequences=True)
    assert model.input.shape == (3, 1, 10)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.sn1 = layer.Conv2d(2, 4, 3, padding=1), neuron.IFNode()
        self.conv2, self.sn2 = layer.Conv2d(4, 4, 3, padding=1), neuron.IFNode()
        self.fc, self.sn3 = layer.Linear(256, 5), neuron.LIFNode()
        self.flatten = layer.Flatten()

    def forward(self, x):
        skip = self.sn1(self.conv1(x))
        out = self.sn2(skip + self.conv2(skip)) + skip
        return self.sn3(self.fc(self.flatten(out))).mean(0)


def test_residual():
    module, inputs = Residual(), inputs_of((2, 8, 8))
    functional.set_step_mode(module, "m")
    dyadic(module, gain=0.5, drift=-0.1)
    model = assert_same_spikes(module, run(inputs, "m"), inputs, {"input_shape": (2, 8, 8)}, sequences=True)
    assert [item.kind for item in model.incoming("sn2")] == ["identity", "conv2d"]


RECURRENT = {
    "elements": lambda: layer.ElementWiseRecurrentContainer(neuron.IFNode(), lambda x, y: x + y, step_mode="m"),
    "linear": lambda: layer.LinearRecurrentContainer(neuron.LIFNode(v_reset=None), 16, 16, step_mode="m"),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_containers(name):
    net = nn.Sequential(layer.Linear(12, 16, step_mode="m"), RECURRENT[name]())
    module, inputs = dyadic(net, gain=2.0), inputs_of((12,))
    model = import_module(module, ImportOptions(steps=STEPS))
    assert_final(model, module, inputs)
    assert sorted(item.delay for item in model.connections) == [0, 1]


def test_rounding_decides_on_ties():
    """A tie after neurons that almost fire, or almost do not."""
    net = nn.Sequential(
        layer.Linear(1, 3, bias=False),
        neuron.IFNode(),
        layer.Linear(3, 1, bias=False),
        neuron.IFNode(v_threshold=0.30000001),
    )
    functional.set_step_mode(net, "m")
    net[0].weight.data[:, 0] = torch.tensor([1.00005, 2.0, 0.99995])
    net[2].weight.data[0] = torch.tensor([0.1, 0.2, -1.0])
    with torch.no_grad():
        assert net(torch.ones(1, 1, 1)) == 1
    model = import_module(net, ImportOptions(steps=STEPS))
    assert not run_float(model, np.ones((1, 1, 1), np.int64)).counts["layer3"].any()


class TestReadout:
    def scores(self, module, inputs, **options):
        functional.reset_net(module)
        with torch.no_grad():
            out = module(torch.from_numpy(inputs).float().transpose(0, 1))
        model = import_module(module, ImportOptions(steps=STEPS, **options))
        result = run_float(model, inputs)
        return model, result.scores, out.numpy()

    def net(self, *last):
        net = nn.Sequential(layer.Linear(12, 20), neuron.IFNode(), *last)
        functional.set_step_mode(net, "m")
        return dyadic(net, gain=2.0)

    def test_votes_become_a_linear_readout(self):
        model, scores, out = self.scores(self.net(layer.VotingLayer(4)), inputs_of((12,)))
        np.testing.assert_array_equal(scores, out.sum(0))
        assert (model.readout.kind, model.readout.population) == ("linear", "layer1")

    def test_last_layer_without_neurons(self):
        model, scores, out = self.scores(self.net(layer.Linear(20, 5)), inputs_of((12,)))
        np.testing.assert_array_equal(scores, out.sum(0))
        assert model.readout.kind == "linear"

    def test_last_layer_as_membranes(self):
        model, scores, out = self.scores(self.net(layer.Linear(20, 5)), inputs_of((12,)), readout="membrane")
        np.testing.assert_array_equal(scores, out.sum(0))
        assert (model.readout.kind, model.readout.reduce) == ("membrane", "sum")

    def test_threshold_that_is_never_reached(self):
        net = self.net(layer.Linear(20, 5), neuron.LIFNode(v_threshold=float("inf"), decay_input=False))
        inputs = inputs_of((12,))
        model, scores, _ = self.scores(net, inputs)
        assert (model.readout.kind, model.readout.reduce) == ("membrane", "last")
        functional.reset_net(net)
        with torch.no_grad():
            net(torch.from_numpy(inputs).float().transpose(0, 1))
        np.testing.assert_array_equal(scores, net[-1].v.numpy())


REFUSALS = {
    "neuron": (
        lambda: neuron.QIFNode(),
        r"^Layer 1 \(QIFNode\) is a neuron that cannot be imported; use one of IFNode, LIFNode, .* not a subclass$",
    ),
    "subclass": (
        lambda: type("Mine", (neuron.IFNode,), {})(),
        r"^Layer 1 \(Mine\) is a neuron that cannot be imported",
    ),
    "k": (klif(-1.0), r"^Layer 1 \(KLIFNode\) has learned k = -1; k must be positive"),
    "group norm": (
        lambda: nn.Sequential(layer.GroupNorm(2, 6, step_mode="m"), neuron.IFNode(step_mode="m")),
        r"^Layer 1.0 \(GroupNorm\) computes group_norm, which no connection can; use layers of torch\.nn",
    ),
    "custom": (
        lambda: nn.Sequential(nn.SiLU(), neuron.IFNode(step_mode="m")),
        r"^Layer 1.0 \(SiLU\) computes silu, which no connection can",
    ),
    "filter": (
        lambda: nn.Sequential(layer.SynapseFilter(step_mode="m"), neuron.IFNode(step_mode="m")),
        r"^Layer 1",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name):
    make, message = REFUSALS[name]
    net = nn.Sequential(layer.Linear(12, 6), make())
    functional.set_step_mode(net, "m")
    with pytest.raises(UnsupportedError, match=message):
        import_module(net, ImportOptions(steps=4))
