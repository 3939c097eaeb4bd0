"""Networks that are more than a row: the same spikes in torch, in the float network, in golden and in the twin."""

import numpy as np
import pytest
import torch

from quant.calibrate import with_scales
from quant.errors import NetworkError, UnsupportedError
from quant.model import FloatInput
from quant.quantize import quantize
from quant.simulate import run_float
from sim import golden
from snn.export import to_float
from snn.integrator import Integrator
from snn.layers import AvgPool2d, BatchNorm, Conv2d, ConvTranspose2d, Dropout, Flatten, Linear, MaxPool2d, Vote
from snn.loss import logits_of
from snn.network import Link, SpikingNetwork
from snn.neurons import IF, KLIF, LIF, TTFS
from snn.qat import IntegerTwin

torch.set_num_threads(1)

STEPS, SAMPLES = 5, 6


def conv(inputs, outputs, kernel=3, padding=1, **options):
    return Conv2d(inputs, outputs, kernel, padding=padding, **options)


def network(layers, *links, shape=(2, 6, 6), kind="events", **options):
    high = 1 if kind == "events" else 7
    source = FloatInput(shape=shape, kind=kind, high=high, lsb=1.0 if kind == "events" else 0.25)
    return SpikingNetwork(layers, input=source, steps=STEPS, links=links, **options)


def soft(**options):
    return IF(reset="subtract", **options)


NETWORKS = {
    "max pool": lambda: network([conv(2, 4), IF(), MaxPool2d(2), conv(4, 3), soft()]),
    "max pool before a linear layer": lambda: network([conv(2, 4), IF(), MaxPool2d(2), Flatten(), Linear(36, 5), IF()]),
    "transposed convolution": lambda: network(
        [conv(2, 4, stride=2), IF(), ConvTranspose2d(4, 3, 3, stride=2, padding=1, output_padding=1), IF()]
    ),
    "one dimension": lambda: network(
        [conv(2, 4, (1, 3), (0, 1)), IF(), AvgPool2d((1, 2)), conv(4, 3, (1, 3), (0, 1)), IF()], shape=(2, 1, 12)
    ),
    "residual": lambda: network(
        [conv(2, 4), IF(), conv(4, 4), soft(), conv(4, 4), IF()], Link(0, 1), Link(0, 2, conv(4, 4, 1, 0))
    ),
    "residual, flat": lambda: network([Flatten(), Linear(72, 9), IF(), Linear(9, 9), soft(threshold=2.5)], Link(0, 1)),
    "residual of maps into flat neurons": lambda: network(
        [conv(2, 3), IF(), Flatten(), Linear(108, 108), IF(threshold=3.0), Linear(108, 4), IF()], Link(0, 1, Flatten())
    ),
    "self loop": lambda: network([conv(2, 4), soft(), conv(4, 2), IF()], Link(0, 0, conv(4, 4), delay=1)),
    "feedback": lambda: network(
        [conv(2, 4), soft(), conv(4, 4, stride=2), IF(), Flatten(), Linear(36, 5), IF()],
        Link(1, 0, ConvTranspose2d(4, 4, 2, stride=2), delay=1),
        Link(2, 1, Linear(5, 36), Unflatten(), delay=1),
        Link(0, 2, AvgPool2d(3), Flatten(), Linear(16, 5), delay=1),
    ),
    "feedback through neurons": lambda: network(
        [Linear(8, 8), IF(), Linear(8, 8), soft(), Linear(8, 8), IF(), Linear(8, 4), IF()],
        Link(2, 1, Linear(8, 8), delay=1),
        Link(1, 2, delay=1),
        Link(0, 3, Linear(8, 4), delay=1),
        Link(0, 2),
        shape=(8,),
    ),
    "constant input": lambda: network(
        [Linear(8, 8), KLIF(), Linear(8, 8), TTFS()], Link(1, 0, delay=1), shape=(8,), kind="current"
    ),
    "recurrent in a loop": lambda: network(
        [Linear(8, 8), soft(recurrent=Linear(8, 8)), Linear(8, 4), IF()], Link(1, 0, Linear(4, 8), delay=1), shape=(8,)
    ),
    "leaks": lambda: network([Linear(8, 8), LIF(tau=2.0), Linear(8, 8), LIF(tau=1.5)], Link(0, 1), shape=(8,)),
    "norms": lambda: network(
        [conv(2, 4), BatchNorm(4), IF(), conv(4, 4), BatchNorm(4), IF()], Link(0, 1, conv(4, 4), BatchNorm(4))
    ),
}


class Unflatten(torch.nn.Module):
    """Made to fit: flat currents to maps. It cannot be exported."""

    def forward(self, x):
        return x.unflatten(2, (4, 3, 3))


def inputs_of(net, seed=0):
    shape = (SAMPLES, STEPS, net.input.size) if net.input.kind == "events" else (SAMPLES, net.input.size)
    return np.random.default_rng(seed).integers(0, net.input.high + 1, shape)


def dyadic(net, seed=0):
    """The network with weights of few bits, and neurons that spike now and then: all sums are exact."""
    torch.manual_seed(seed)
    for module in net.modules():
        for name, values in module.named_parameters(recurse=False):
            with torch.no_grad():
                if name == "weight":
                    bound = 2.5 / values[0].numel() ** 0.5 if values.ndim > 1 else 0.5
                    values.uniform_(-0.6 * bound, bound)
                    values.copy_((values * 16).round() / 16)
                elif name == "bias":
                    values.copy_((torch.rand_like(values) * 4).round() / 16)
    for norm in (module.inner for module in net.modules() if isinstance(module, BatchNorm)):
        torch.nn.init.uniform_(norm.running_var, 0.5, 1.5)
        torch.nn.init.uniform_(norm.running_mean, -0.3, 0.3)
    return net.double().eval()


def torch_spikes(net, inputs):
    with torch.no_grad():
        return [item.movedim(0, 1).flatten(2).numpy() for item in net.spikes(torch.from_numpy(inputs))]


def of_neurons(model, spikes):
    """Spikes of the populations that are neurons of the network, not relays."""
    return [spikes[name] for name in (item.name for item in model.populations) if not name.endswith("_pool")]


EXPORTED = [name for name in NETWORKS if name != "feedback"]


@pytest.mark.parametrize("name", EXPORTED)
def test_torch_float_golden_and_twin_agree(name):
    net = dyadic(NETWORKS[name]())
    inputs = inputs_of(net)
    expected = torch_spikes(net, inputs)
    model = to_float(net, name="net")
    for found, wanted in zip(
        of_neurons(model, run_float(model, inputs, record=["spikes"]).spikes), expected, strict=True
    ):
        assert 0.01 < wanted.mean() < 0.999
        np.testing.assert_array_equal(found, wanted)

    scaled = with_scales(model, weight_bits=8)
    integers, _ = quantize(scaled, weight_bits=8, decay_bits=6, inputs=inputs)
    truth = golden.run(integers, inputs, record=["spikes"]).spikes
    twin = IntegerTwin(scaled, integers).train()
    for population, found in zip(integers.order, twin(torch.from_numpy(inputs)), strict=True):
        np.testing.assert_array_equal(found.detach().movedim(0, 1).numpy(), truth[population])
    if name not in ("leaks", "norms", "constant input"):
        # 4-bit numbers and decays of a half: the integers are the numbers.
        for found, wanted in zip(of_neurons(model, truth), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
    sum(found.sum() for found in twin(torch.from_numpy(inputs))).backward()
    assert all(item.weights.grad.abs().sum() > 0 for item in twin.synapses)


def stepwise(net, inputs):
    """The network by its definition: every neuron a step, in a row, all links read afresh."""
    from snn.neurons import Stepper

    steppers = [Stepper(neuron) for neuron in net.neurons]
    frames = torch.from_numpy(inputs).to(torch.float64) * net.input.lsb
    frames = frames[None].expand(STEPS, *frames.shape) if net.input.kind == "current" else frames.movedim(1, 0)
    before = [torch.zeros(1, SAMPLES, *shape, dtype=torch.float64) for shape in net.shapes()]
    for frame in frames:
        now = []
        for number, row in enumerate(net.rows):
            x = now[-1] if now else frame.reshape(1, SAMPLES, *net.input.shape)
            for layer in row:
                x = layer(x)
            for link in net.links_to(number):
                x = x + link((before if link.delay else now)[link.source])
            now.append(steppers[number](x[0])[None])
        before = now
    return [stepper.spikes() for stepper in steppers]


@pytest.mark.parametrize("name", NETWORKS)
def test_loops_and_shifts_are_the_definition(name):
    net = dyadic(NETWORKS[name]())
    inputs = inputs_of(net)
    gradients = []
    for run in (lambda: net.spikes(torch.from_numpy(inputs)), lambda: stepwise(net, inputs)):
        net.zero_grad()
        spikes = run()
        torch.manual_seed(0)
        sum((item * torch.rand_like(item)).sum() for item in spikes).backward()
        gradients.append((spikes, {key: item.grad for key, item in net.named_parameters()}))
    (spikes, found), (expected, wanted) = gradients
    for one, other in zip(spikes, expected, strict=True):
        assert torch.equal(one, other)
    for key, gradient in wanted.items():
        torch.testing.assert_close(found[key], gradient, rtol=1e-9, atol=1e-9, msg=key)


def test_a_link_by_hand():
    # Neuron 0 passes its input on; neuron 1 hears it a step later, over twice the threshold with the spike of now.
    net = network([Linear(1, 1, bias=False), IF(), Linear(1, 1, bias=False), IF()], Link(0, 1, delay=1), shape=(1,))
    with torch.no_grad():
        net.layers[0].weight.fill_(1.0)
        net.layers[2].weight.fill_(0.5)
    spikes = net.spikes(torch.tensor([[[1], [0], [1], [1], [0]]]))
    assert spikes[0].flatten().tolist() == [1, 0, 1, 1, 0]
    assert spikes[1].flatten().tolist() == [0, 1, 0, 1, 1]


def test_only_what_is_in_a_loop_goes_step_by_step():
    net = NETWORKS["feedback through neurons"]()
    assert [net._loop_end(number) for number in (0, 1, 3)] == [None, 2, None]


def test_dropout_in_a_loop_drops_the_same_in_every_step():
    torch.manual_seed(0)
    net = network([Linear(9, 30), IF(), Dropout(0.5), Linear(30, 30), IF()], Link(1, 0, delay=1), shape=(9,))
    with torch.no_grad():
        net.layers[0].weight.fill_(1.0)
        net.layers[3].weight.copy_(2 * torch.eye(30))
        net.layers[3].bias.zero_()
    spikes = net.train().spikes(torch.ones(1, STEPS, 9))[1][:, 0]
    assert 5 < spikes[0].sum() < 25
    assert torch.equal(spikes, spikes[:1].expand(STEPS, 30))
    assert not torch.equal(spikes, net.spikes(torch.ones(1, STEPS, 9))[1][:, 0])


@pytest.mark.parametrize("reduce", ["last", "sum", "max"])
def test_membranes_that_are_read(reduce):
    net = dyadic(network([Linear(8, 9), IF(), Linear(9, 4), Integrator(tau=2.0)], shape=(8,)))
    inputs = inputs_of(net)
    model = to_float(net, name="net", readout="membrane", reduce=reduce)
    decoder = {"last": "membrane", "sum": "membrane_sum", "max": "membrane_max"}[reduce]
    with torch.no_grad():
        expected = logits_of(net.spikes(torch.from_numpy(inputs))[-1], decoder, gain=1.0).numpy()
    assert len(np.unique(expected)) > 4
    np.testing.assert_allclose(run_float(model, inputs).scores, expected, rtol=1e-12)


@pytest.mark.parametrize("readout", ["vote", "linear"])
def test_rates_that_are_read(readout):
    torch.manual_seed(0)
    layer = Vote(3) if readout == "vote" else Linear(12, 4)
    net = dyadic(network([Linear(8, 9), IF(), Linear(9, 12), IF()], shape=(8,), readout=layer))
    inputs = inputs_of(net)
    model = to_float(net, name="net", readout="linear")
    with torch.no_grad():
        spikes = net.spikes(torch.from_numpy(inputs))[-1]
        expected = logits_of(spikes, "rates", gain=1.0, readout=net.readout).numpy()
    assert expected.shape == (SAMPLES, 4)
    np.testing.assert_allclose(run_float(model, inputs).scores, expected, rtol=1e-12)
    if readout == "vote":
        assert expected[0, 1] == pytest.approx(spikes[:, 0, 3:6].mean().item())


@pytest.mark.parametrize(
    ("links", "message"),
    [
        ([Link(0, 2)], "Link 0: target must be a neuron from 0 to 1, not 2"),
        ([Link(0, 1), Link(-1, 0)], "Link 1: source must be a neuron from 0 to 1, not -1"),
        ([Link(0, 1, delay=2)], "Link 0: delay must be 0 or 1 step, not 2"),
        ([Link(1, 0)], "Link 0: delay must be 1 to lead back from 1 to 0, not 0"),
        ([Link(0, 0)], "Link 0: delay must be 1 to lead back from 0 to 0, not 0"),
        ([Link(1, 0, delay=1)], "Link 0: source must be a neuron that fires, not 1, an Integrator"),
    ],
)
def test_wrong_links(links, message):
    with pytest.raises(NetworkError) as caught:
        network([Linear(8, 4), IF(), Linear(4, 4), Integrator()], *links, shape=(8,))
    assert str(caught.value) == message


def test_what_cannot_be_exported():
    with pytest.raises(UnsupportedError, match=r"^Link 1, layer 1 \(Unflatten\) cannot be exported"):
        to_float(NETWORKS["feedback"](), name="net")
    net = network([Linear(8, 4), IF()], shape=(8,))
    with pytest.raises(UnsupportedError, match=r"^Readout must be Vote or Linear to be exported, not NoneType$"):
        to_float(net, name="net", readout="linear")
    net.readout = Vote(3)
    with pytest.raises(UnsupportedError, match=r"^Readout \(Vote\) of 3 must divide the 4 neurons it reads$"):
        to_float(net, name="net", readout="linear")
