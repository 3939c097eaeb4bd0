"""NIR files that snnTorch and SpikingJelly write, against these frameworks themselves: every spike of every neuron."""

import warnings

import nir
import numpy as np
import pytest

from quant.importers.nir import load_nir
from quant.importers.options import ImportOptions
from quant.simulate import run_float

torch = pytest.importorskip("torch")
nn = torch.nn

STEPS, SAMPLES = 16, 6

pytestmark = pytest.mark.filterwarnings("ignore")


def dyadic(module, rng):
    """Weights and biases in eighths, so that sums are exact in any order."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.tensor(rng.integers(-8, 9, tuple(parameter.shape)) / 8))


def written(graph, folder):
    nir.write(folder / "model.nir", graph)
    return folder / "model.nir"


def events(rng, *shape):
    return (rng.random((SAMPLES, STEPS, *shape)) < 0.5).astype(np.int64)


def spikes_of(net, layers, inputs):
    """Spikes of every layer of neurons as the framework computes them."""
    heard = {name: [] for name in layers}
    hooks = [
        dict(net.named_modules())[name].register_forward_hook(
            lambda module, given, out, name=name: heard[name].append(out[0] if isinstance(out, tuple) else out)
        )
        for name in layers
    ]
    dtype = next(net.parameters()).dtype
    with torch.no_grad():
        for step in range(STEPS):
            net(torch.tensor(inputs[:, step]).to(dtype))
    for hook in hooks:
        hook.remove()
    return {name: torch.stack(every, 1).flatten(2).numpy() for name, every in heard.items()}


def check_same(expected, path, inputs, options):
    """Populations in the order of the layers spike as these do; every layer must spike."""
    model = load_nir(path, ImportOptions(steps=STEPS, **options))
    found = run_float(model, inputs.reshape(SAMPLES, STEPS, -1), record=["spikes"]).spikes
    names = [name for name in model.order if not name.endswith("_clock")]
    assert len(names) == len(expected)
    for name, (layer, spikes) in zip(names, expected.items(), strict=True):
        assert spikes.any(), layer
        np.testing.assert_array_equal(found[name], spikes, err_msg=layer)


# snnTorch.


@pytest.fixture(scope="module")
def snn():
    with warnings.catch_warnings(action="ignore"):
        found = pytest.importorskip("snntorch")
        pytest.importorskip("nirtorch")
        pytest.importorskip("snntorch.export_nir")
    return found


def full(size, value):
    return torch.full((size,), value)


def snntorch_path(net, shape, folder):
    from snntorch.export_nir import export_to_nir

    return written(export_to_nir(net, torch.zeros(1, *shape), ignore_dims=[0]), folder)


def snntorch_layers(net):
    return [name for name, module in net.named_modules() if type(module).__name__ in ("Leaky", "RLeaky", "Synaptic")]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("mechanism", "delay", "beta"),
    [
        ("subtract", True, 0.5),
        ("zero", True, 0.75),
        ("zero", False, 0.75),
        ("none", True, 0.75),
        ("subtract", True, [0.5, 0.25, 0.5, 0.25, 0.5, 0.25]),
    ],
)
def test_leaky(snn, mechanism, delay, beta, seed, tmp_path):
    rng = np.random.default_rng(seed)
    keep = torch.tensor(beta) if isinstance(beta, list) else full(6, beta)
    fields = {"init_hidden": True, "reset_mechanism": mechanism, "reset_delay": delay}
    net = nn.Sequential(
        nn.Linear(8, 6),
        snn.Leaky(keep, threshold=full(6, 1.0), **fields),
        nn.Linear(6, 5, bias=False),
        snn.Leaky(full(5, 0.5), threshold=torch.tensor([0.5, 1.0, 0.75, 1.0, 2.0]), **fields),
    )
    dyadic(net, rng)
    inputs = events(rng, 8)
    path = snntorch_path(net, (8,), tmp_path)
    expected = spikes_of(net, snntorch_layers(net), inputs)
    check_same(expected, path, inputs, {"reset": mechanism, "reset_delay": delay})


def test_leaky_with_a_reset_at_once(snn, tmp_path):
    """As NIR has it, as long as nothing is above twice the threshold, where snnTorch does not reset fully."""
    rng = np.random.default_rng(3)
    net = nn.Sequential(
        nn.Linear(8, 6),
        snn.Leaky(full(6, 0.75), threshold=full(6, 4.0), init_hidden=True, reset_delay=False),
    )
    dyadic(net, rng)
    inputs = events(rng, 8)
    path = snntorch_path(net, (8,), tmp_path)
    expected = spikes_of(net, ["1"], inputs)
    check_same(expected, path, inputs, {"reset": "subtract", "reset_delay": False})


@pytest.mark.parametrize("mechanism", ["subtract", "zero"])
@pytest.mark.parametrize("everyone", [True, False])
def test_recurrent_leaky(snn, everyone, mechanism, tmp_path):
    rng = np.random.default_rng(4)
    wiring = {"linear_features": 6} if everyone else {"all_to_all": False, "V": full(6, 0.5)}
    # A late reset to zero also drops what arrives in that step, which NIR has no word for.
    fields = {"init_hidden": True, "reset_mechanism": mechanism, "reset_delay": mechanism == "subtract"}
    loop = snn.RLeaky(full(6, 0.5), threshold=full(6, 1.0), **fields, **wiring)
    net = nn.Sequential(
        nn.Linear(8, 6),
        loop,
        nn.Linear(6, 4),
        snn.Leaky(full(4, 0.5), init_hidden=True, threshold=full(4, 1.0), reset_mechanism=mechanism),
    )
    dyadic(net, rng)
    with torch.no_grad():
        net[2].weight.abs_()
        net[2].bias.abs_()
    inputs = events(rng, 8)
    path = snntorch_path(net, (8,), tmp_path)
    expected = spikes_of(net, snntorch_layers(net), inputs)
    check_same(expected, path, inputs, {"reset": mechanism, "reset_delay": True})


@pytest.mark.parametrize("bias", [True, False])
def test_synaptic(snn, bias, tmp_path):
    rng = np.random.default_rng(5)
    cell = snn.Synaptic(full(6, 0.75), full(6, 0.5), threshold=full(6, 1.0), init_hidden=True)
    net = nn.Sequential(nn.Linear(8, 6, bias=bias), cell)
    dyadic(net, rng)
    inputs = events(rng, 8)
    path = snntorch_path(net, (8,), tmp_path)
    check_same(spikes_of(net, ["1"], inputs), path, inputs, {"reset": "subtract", "reset_delay": True})


def test_a_convolution_of_snntorch(snn, tmp_path):
    rng = np.random.default_rng(6)
    shape = (3, 3, 3)
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3, stride=2, padding=1),
        snn.Leaky(torch.full(shape, 0.5), threshold=torch.full(shape, 1.0), init_hidden=True),
        nn.Flatten(),
        nn.Linear(27, 4),
        snn.Leaky(full(4, 0.5), threshold=full(4, 1.0), init_hidden=True),
    )
    dyadic(net, rng)
    inputs = events(rng, 1, 6, 6)
    path = snntorch_path(net, (1, 6, 6), tmp_path)
    expected = spikes_of(net, snntorch_layers(net), inputs)
    check_same(expected, path, inputs, {"reset": "subtract", "reset_delay": True})


# SpikingJelly.


@pytest.fixture(scope="module")
def jelly():
    with warnings.catch_warnings(action="ignore"):
        pytest.importorskip("nirtorch")
        pytest.importorskip("spikingjelly.activation_based.nir_exchange")
        from spikingjelly.activation_based import layer, neuron
    return neuron, layer


def jelly_path(net, shape, folder):
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    return written(export_to_nir(net, torch.zeros(1, *shape)), folder)


def reset_jelly(net):
    from spikingjelly.activation_based import functional

    functional.reset_net(net)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("IFNode", {}),
        ("IFNode", {"v_reset": 0.25, "v_threshold": 1.5}),
        ("LIFNode", {"tau": 2.0}),
        ("LIFNode", {"tau": 4.0, "decay_input": False}),
        ("LIFNode", {"tau": 2.0, "v_reset": -0.5}),
        ("LIFNode", {"tau": 4.0, "v_reset": 0.25, "decay_input": False}),
        ("ParametricLIFNode", {"init_tau": 2.0}),
        ("CUBALIFNode", {}),
    ],
)
def test_neurons_of_spikingjelly(jelly, kind, fields, seed, tmp_path):
    neuron, _ = jelly
    rng = np.random.default_rng(seed)
    one, two = (getattr(neuron, kind)(**fields) for _ in range(2))
    net = nn.Sequential(nn.Linear(8, 6, bias=kind != "CUBALIFNode"), one, nn.Linear(6, 5, bias=False), two)
    for index in (0, 2):
        dyadic(net[index], rng)
    with torch.no_grad():
        net[2].weight.abs_().mul_(8)
    path = jelly_path(net, (8,), tmp_path)
    inputs = events(rng, 8)
    reset_jelly(net)
    net.double()
    check_same(spikes_of(net, ["1", "3"], inputs), path, inputs, {"compare": ">="})


def test_a_convolution_of_spikingjelly(jelly, tmp_path):
    neuron, layer = jelly
    rng = np.random.default_rng(7)
    net = nn.Sequential(
        layer.Conv2d(1, 3, 3, padding="same"),
        neuron.LIFNode(tau=2.0),
        layer.AvgPool2d(2),
        layer.Conv2d(3, 2, 2, stride=1, padding=1),
        neuron.IFNode(),
        layer.Flatten(),
        layer.Linear(32, 4),
        neuron.LIFNode(tau=2.0, decay_input=False),
    )
    dyadic(net, rng)
    path = jelly_path(net, (1, 6, 6), tmp_path)
    inputs = events(rng, 1, 6, 6)
    reset_jelly(net)
    net.double()
    check_same(spikes_of(net, ["1", "4", "7"], inputs), path, inputs, {"compare": ">="})


def test_a_time_step_of_spikingjelly_is_found(jelly, tmp_path):
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    neuron, _ = jelly
    net = nn.Sequential(nn.Linear(4, 3), neuron.LIFNode(tau=2.0), nn.Linear(3, 2), neuron.IFNode())
    path = written(export_to_nir(net, torch.zeros(1, 4), dt=1e-3), tmp_path)
    assert load_nir(path).metadata["dt"] == 1e-3


# Conventions of the others, by hand.


def test_sinabs_counts_in_steps(tmp_path):
    """tau in steps, r = 1, v_reset without meaning: reset by subtraction, fires from the threshold."""
    rng = np.random.default_rng(8)
    weights, one = rng.integers(-8, 9, (5, 8)) / 8, np.ones(5)
    nodes = {
        "0": nir.Linear(weights),
        "1": nir.IF(r=one, v_threshold=one, v_reset=0 * one),
        "2": nir.Linear(np.eye(5)),
        "3": nir.LIF(tau=4 * one, r=4 * one, v_leak=0 * one, v_threshold=one, v_reset=0 * one),
    }
    inputs = events(rng, 8)
    one_v, two_v, expected = np.zeros((SAMPLES, 5)), np.zeros((SAMPLES, 5)), {"1": [], "3": []}
    for step in range(STEPS):
        one_v = one_v + inputs[:, step] @ weights.T
        one_s = (one_v >= 1).astype(int)
        one_v = one_v - one_s
        two_v = 0.75 * two_v + one_s
        two_s = (two_v >= 1).astype(int)
        two_v = two_v - two_s
        expected["1"].append(one_s)
        expected["3"].append(two_s)
    path = written(nir.NIRGraph.from_list(*nodes.values()), tmp_path)
    expected = {name: np.stack(every, 1) for name, every in expected.items()}
    options = {"reset": "subtract", "reset_delay": False, "compare": ">="}
    check_same(expected, path, inputs, options)


def test_norse_tells_no_step(tmp_path):
    """tau in seconds, r = 1: the step is the user's, 1e-3 s unless they chose another."""
    rng = np.random.default_rng(9)
    weights, one = rng.integers(-8, 9, (5, 8)), np.ones(5)
    graph = nir.NIRGraph.from_list(
        nir.Affine(weights.astype(float), np.ones(5) * 0.5),
        nir.LIF(tau=4e-3 * one, r=one, v_leak=0.5 * one, v_threshold=1.5 * one, v_reset=0 * one),
    )
    inputs, v, every = events(rng, 8), np.full((SAMPLES, 5), 0.5), []
    for step in range(STEPS):
        v = v + 0.25 * (0.5 - v + inputs[:, step] @ weights.T + 0.5)
        every.append(v > 1.5)
        v = np.where(v > 1.5, 0, v)
    expected = {"lif": np.stack(every, 1).astype(int)}
    check_same(expected, written(graph, tmp_path), inputs, {"dt": 1e-3, "reset": "zero", "compare": ">"})
