"""Networks of snnTorch, imported, spike as snnTorch itself does: every neuron, every step."""

from itertools import pairwise

import pytest
import torch
from torch import nn

snn = pytest.importorskip("snntorch")

from live import STEPS, assert_same_spikes, dyadic, inputs_of  # noqa: E402

from quant.importers.options import ImportOptions  # noqa: E402
from quant.importers.torch_module import import_module  # noqa: E402
from quant.simulate import run_float  # noqa: E402


def run_steps(module, inputs):
    """A step a call, from states of 0."""
    for part in module.modules():
        if isinstance(part, snn.SpikingNeuron):
            for name in ("mem", "syn", "spk"):
                if hasattr(part, name):
                    setattr(part, name, torch.zeros(0))
    dtype = next(module.parameters()).dtype
    for step in range(inputs.shape[1]):
        module(torch.from_numpy(inputs[:, step]).to(dtype))


def sequential(make, sizes=(12, 16, 6)):
    torch.manual_seed(0)
    layers = []
    for count, (inputs, outputs) in enumerate(pairwise(sizes)):
        layers += [nn.Linear(inputs, outputs), make(outputs, count == len(sizes) - 2)]
    return dyadic(nn.Sequential(*layers))


def leaky(**options):
    beta = options.pop("beta", 0.5)
    return lambda size, last: snn.Leaky(
        beta=beta(size) if callable(beta) else beta,
        **{key: value(size) if callable(value) else value for key, value in options.items()},
        init_hidden=True,
        output=last,
    )


def each(*values):
    return lambda size: torch.tensor(values).repeat(size)[:size]


LEAKY = {
    "default": leaky(),
    "subtract at once": leaky(reset_delay=False),
    "subtract at once, low threshold": leaky(reset_delay=False, threshold=0.25),
    "zero": leaky(reset_mechanism="zero"),
    "zero at once": leaky(reset_mechanism="zero", reset_delay=False),
    "none": leaky(reset_mechanism="none"),
    "none, no delay": leaky(reset_mechanism="none", reset_delay=False),
    "beta 1": leaky(beta=1.0, threshold=2.0),
    "beta above 1": leaky(beta=1.5, threshold=2.0),
    "beta below 0": leaky(beta=-0.5, reset_mechanism="zero"),
    "beta 0": leaky(beta=0.0),
    "beta 0, at once": leaky(beta=0.0, reset_delay=False, threshold=0.25),
    "beta 0, zero": leaky(beta=0.0, reset_mechanism="zero"),
    "betas": leaky(beta=each(0.5, 0.25, 1.0)),
    "betas, some 0": leaky(beta=each(0.5, 0.0, 1.0)),
    "betas, at once": leaky(beta=each(0.5, 0.25, 1.0), reset_delay=False, threshold=0.5),
    "learned": leaky(beta=each(0.5, 0.75), threshold=each(0.5, 1.0, 2.0), learn_beta=True, learn_threshold=True),
    "threshold 0": leaky(threshold=0.0, reset_mechanism="zero"),
    "graded": leaky(graded_spikes_factor=0.5, learn_graded_spikes_factor=True),
    "graded by neuron": leaky(graded_spikes_factor=each(0.5, 2.0, 1.0), reset_delay=False),
}


@pytest.mark.parametrize("name", LEAKY)
def test_leaky(name):
    module = sequential(LEAKY[name])
    inputs = inputs_of((12,))
    assert_same_spikes(module, lambda net: run_steps(net, inputs), inputs)


def rleaky(**options):
    beta = options.pop("beta", 0.5)

    def make(size, last):
        given = {key: value(size) if callable(value) else value for key, value in options.items()}
        if given.get("all_to_all", True):
            given["linear_features"] = size
        return snn.RLeaky(beta=beta, **given, init_hidden=True, output=last)

    return make


RECURRENT = {
    "default": rleaky(),
    "at once": rleaky(reset_delay=False, threshold=0.5),
    "zero": rleaky(reset_mechanism="zero"),
    "zero at once": rleaky(reset_mechanism="zero", reset_delay=False),
    "none": rleaky(reset_mechanism="none"),
    "one to one": rleaky(all_to_all=False, V=-0.5),
    "one to one, each its own": rleaky(all_to_all=False, V=each(-0.5, 0.75, 0.25), reset_mechanism="zero"),
    "beta 0": rleaky(beta=0.0),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_rleaky(name):
    inputs = inputs_of((12,))
    assert_same_spikes(sequential(RECURRENT[name]), lambda net: run_steps(net, inputs), inputs)


class Maps(nn.Module):
    """Recurrent through a convolution, thresholds of each column, in the step style, from a sequence of batches."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, padding=1)
        self.lif = snn.RLeaky(beta=0.5, conv2d_channels=3, kernel_size=3, threshold=each(1.0, 2.0)(5), init_hidden=True)
        self.pool, self.fc = nn.AvgPool2d(2), nn.Linear(12, 4)
        self.out = snn.Leaky(beta=0.5, threshold=0.25, init_hidden=True)

    def forward(self, x):
        return self.out(self.fc(torch.flatten(self.pool(self.lif(self.conv(x))), 1)))


def test_recurrent_maps():
    module, inputs = dyadic(Maps(), drift=-0.1), inputs_of((2, 5, 5))
    model = assert_same_spikes(module, lambda net: run_steps(net, inputs), inputs, {"input_shape": (2, 5, 5)})
    assert [(item.kind, item.delay) for item in model.incoming("lif")] == [("conv2d", 0), ("conv2d", 1)]
    assert model.incoming("out")[0].pool == (2, 2)


def synaptic(**options):
    return lambda size, last: snn.Synaptic(
        **{key: value(size) if callable(value) else value for key, value in options.items()},
        init_hidden=True,
        output=last,
    )


SYNAPTIC = {
    "default": synaptic(alpha=0.5, beta=0.75, threshold=2.0),
    "at once": synaptic(alpha=0.5, beta=0.75, reset_delay=False),
    "zero": synaptic(alpha=0.5, beta=0.75, reset_mechanism="zero"),
    "zero at once": synaptic(alpha=0.5, beta=0.75, reset_mechanism="zero", reset_delay=False),
    "none": synaptic(alpha=0.5, beta=0.5, threshold=2.0, reset_mechanism="none"),
    "alpha 0": synaptic(alpha=0.0, beta=0.5),
    "alphas": synaptic(alpha=each(0.5, 0.25, 0.0), beta=each(0.75, 0.5), threshold=2.0),
    "alpha above 1": synaptic(alpha=1.5, beta=0.5, threshold=4.0),
    "beta 0, at once": synaptic(alpha=0.5, beta=0.0, reset_delay=False),
    "beta 0, none": synaptic(alpha=0.5, beta=0.0, threshold=2.0, reset_mechanism="none"),
    "alphas and betas, some both 0": synaptic(alpha=each(0.5, 0.0), beta=each(0.75, 0.0), threshold=2.0),
}


@pytest.mark.parametrize("name", SYNAPTIC)
def test_synaptic(name):
    inputs = inputs_of((12,), rate=0.3)
    assert_same_spikes(sequential(SYNAPTIC[name]), lambda net: run_steps(net, inputs), inputs)


class Explicit(nn.Module):
    """As the tutorials write it: the loop over the steps within, membranes handed on."""

    def __init__(self, *, static, steps=STEPS):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(12, 16), snn.Leaky(beta=0.5)
        self.fc2, self.lif2 = nn.Linear(16, 6), snn.Leaky(beta=0.75, reset_mechanism="zero")
        self.static, self.steps = static, steps

    def forward(self, x):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        spikes, membranes = [], []
        for step in range(self.steps if self.static else x.size(0)):
            cur1 = self.fc1(x if self.static else x[step])
            spk1, mem1 = self.lif1(cur1, mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spikes.append(spk2)
            membranes.append(mem2)
        return torch.stack(spikes, dim=0), torch.stack(membranes, dim=0)


def test_loop_over_one_input():
    module, inputs = dyadic(Explicit(static=True)), inputs_of((12,), kind="current")
    model = assert_same_spikes(
        module,
        lambda net: net(torch.from_numpy(inputs).float() / 4),
        inputs,
        {"input_lsb": 0.25, "input_high": 4},
    )
    assert (model.input.kind, model.steps, model.readout.kind) == ("current", STEPS, "count")


@pytest.mark.parametrize("dtype", [torch.float32])
def test_loop_over_a_sequence(dtype):
    module, inputs = dyadic(Explicit(static=False)).to(dtype), inputs_of((12,))
    model = assert_same_spikes(module, lambda net: net(torch.from_numpy(inputs).to(dtype).transpose(0, 1)), inputs)
    assert (model.input.kind, model.readout.population) == ("events", "lif2")


class Second(nn.Module):
    """Time second, one Leaky for two layers, feedback, a residual, constants, functions of torch."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.back = nn.Linear(12, 10), nn.Linear(10, 10), nn.Linear(10, 10, bias=False)
        self.lif = snn.Leaky(beta=0.5)
        self.recurrent = snn.RLeaky(beta=0.5, linear_features=10)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        mem1 = mem2 = torch.zeros(x.shape[0], 10, dtype=x.dtype)
        spk3, mem3 = self.recurrent.init_rleaky()
        last = torch.zeros(x.shape[0], 10, dtype=x.dtype)
        out = []
        for step in range(x.shape[1]):
            spk1, mem1 = self.lif(self.fc1(x[:, step]) + 0.25 + self.back(last), mem1)
            spk1 = self.drop(spk1.to(x.dtype))
            spk2, mem2 = self.lif(self.fc2(spk1) * 0.5 - spk1 / 2, mem2)
            spk2 = spk2.to(x.dtype)
            spk3, mem3 = self.recurrent((spk2 + spk1) * 1.5, spk3.to(x.dtype), mem3)
            last = spk2
            out.append(spk3)
        return torch.stack(out)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_graph(dtype):
    module, inputs = dyadic(Second(), gain=0.5).to(dtype), inputs_of((12,))
    with torch.no_grad():
        out = module(torch.from_numpy(inputs).to(dtype)).transpose(0, 1).numpy()
    model = import_module(module, ImportOptions(steps=STEPS))
    result = run_float(model, inputs, record=["spikes"])
    assert 0.05 < out.mean() < 0.9
    assert (result.spikes["recurrent"] == out).all()
    assert [item.name for item in model.populations] == ["lif", "lif_2", "recurrent"]
    assert sorted((item.source, item.delay) for item in model.incoming("lif")) == [("input", 0), ("lif_2", 1)]


class Conv(nn.Module):
    def __init__(self, pool):
        super().__init__()
        self.conv1, self.norm, self.lif1 = nn.Conv2d(2, 4, 3, padding="same"), nn.BatchNorm2d(4), snn.Leaky(beta=0.5)
        self.pool = pool
        self.conv2, self.lif2 = nn.Conv2d(4, 3, 3, bias=False), snn.Leaky(beta=each(0.5, 0.25)(3)[:, None, None])
        self.fc, self.lif3 = nn.Linear(12, 5), snn.Leaky(beta=0.5, reset_mechanism="zero")

    def forward(self, x):
        mem1, mem2, mem3 = (lif.init_leaky() for lif in (self.lif1, self.lif2, self.lif3))
        out = []
        for frame in x:
            spk1, mem1 = self.lif1(self.norm(self.conv1(frame)), mem1)
            spk2, mem2 = self.lif2(self.conv2(self.pool(spk1)), mem2)
            spk3, mem3 = self.lif3(self.fc(spk2.view(spk2.size(0), -1)), mem3)
            out.append(spk3)
        return torch.stack(out).sum(0)


@pytest.mark.parametrize(
    "pool",
    [
        nn.AvgPool2d(2),
        nn.MaxPool2d(2),
        nn.AvgPool2d(4, 1, count_include_pad=False),
        nn.AdaptiveAvgPool2d(4),
        lambda x: nn.functional.max_pool2d(x, 2),
        lambda x: nn.functional.avg_pool2d(x, 2),
    ],
    ids=["average", "maximum", "overlapping", "adaptive", "maximum by function", "average by function"],
)
def test_convolutions(pool):
    shape = (2, 7, 7) if getattr(pool, "stride", None) == 1 else (2, 8, 8)
    module, inputs = dyadic(Conv(pool), gain=1.5), inputs_of(shape)
    model = assert_same_spikes(
        module,
        lambda net: net(torch.from_numpy(inputs).float().transpose(0, 1)),
        inputs,
        {"input_shape": shape},
    )
    assert model["lif1"].shape == (4, *shape[1:])


class Borders(nn.Module):
    """Windows of several sizes, with biases, flattened before the neurons."""

    def __init__(self):
        super().__init__()
        self.conv, self.lif = nn.Conv2d(2, 3, 3, padding=1), snn.Leaky(beta=0.5, init_hidden=True)
        self.pool, self.norm = nn.AvgPool2d(2, padding=1, count_include_pad=False), nn.BatchNorm2d(3)
        self.out = snn.Leaky(beta=0.5, threshold=0.25, init_hidden=True)

    def forward(self, x):
        return self.out(torch.flatten(self.norm(self.pool(self.lif(self.conv(x)))), 1))


def test_averages_at_borders():
    module, inputs = dyadic(Borders(), drift=0.1), inputs_of((2, 6, 6))
    assert_same_spikes(module, lambda net: run_steps(net, inputs), inputs, {"input_shape": (2, 6, 6)})


def test_the_module_is_left_as_it_was():
    net = sequential(leaky(beta=0.5)).train()
    with torch.no_grad():
        net(torch.ones(3, 12))
    before = net[1].mem.clone()
    import_module(net, ImportOptions(steps=4))
    assert net.training
    assert net[1].training
    assert (net[1].mem == before).all()
    assert not net._forward_hooks


def test_flat_input_that_becomes_maps():
    net = nn.Sequential(
        nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 2, 3), snn.Leaky(beta=0.5, init_hidden=True, output=True)
    )
    module, inputs = dyadic(net), inputs_of((16,))
    model = assert_same_spikes(module, lambda net: run_steps(net, inputs), inputs, {"input_shape": (16,)})
    assert (model.input.shape, model.connections[0].kind) == ((1, 4, 4), "conv2d")


def test_bias_of_a_second_order_neuron_comes_from_a_clock():
    model = import_module(sequential(SYNAPTIC["default"]), ImportOptions(steps=4))
    assert [item.name for item in model.populations] == ["layer1_clock", "layer1", "layer3_clock", "layer3"]
