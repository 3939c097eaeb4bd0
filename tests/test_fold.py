"""Folds bring what torch's own layers bring, on dyadic numbers, exactly."""

import numpy as np
import pytest
import torch
from torch import nn

from quant.assembly import Assembly
from quant.errors import NetworkError, UnsupportedError
from quant.fold import Fold
from quant.model import FloatInput, FloatReadout
from quant.ops import apply
from quant.simulate import run_float

torch.set_num_threads(1)
SHAPE = (4, 9, 8)


def dyadic(tensor, step=4):
    return (tensor * step).round() / step


def values(tensor):
    return tensor.detach().double().numpy()


def grow(fold, layer, what="Layer x"):
    """What an importer does with a layer of torch's."""
    if isinstance(layer, nn.Linear):
        fold.linear(values(layer.weight), values(layer.bias), what=what)
    elif isinstance(layer, nn.Conv2d):
        sizes = {key: getattr(layer, key) for key in ("stride", "padding", "dilation", "groups")}
        fold.conv2d(values(layer.weight), values(layer.bias), **sizes, what=what)
    elif isinstance(layer, nn.ConvTranspose2d):
        sizes = {key: getattr(layer, key) for key in ("stride", "padding", "output_padding", "groups")}
        fold.conv_transpose2d(values(layer.weight), values(layer.bias), **sizes, what=what)
    elif isinstance(layer, nn.AvgPool2d):
        fold.avg_pool(layer.kernel_size, layer.stride, padding=layer.padding, what=what)
    elif isinstance(layer, nn.MaxPool2d):
        fold.max_pool(layer.kernel_size, layer.stride, padding=layer.padding, what=what)
    elif isinstance(layer, nn.Flatten):
        fold.flatten(what=what)
    elif isinstance(layer, nn.Unflatten):
        fold.reshape(layer.unflattened_size, what=what)
    else:
        mean, variance = values(layer.running_mean), values(layer.running_var)
        fold.norm(mean, variance, values(layer.weight), values(layer.bias), layer.eps, what=what)


def layers_of(make):
    torch.manual_seed(0)
    layers = nn.Sequential(*make()).double().eval()
    for layer in layers:
        for parameter in layer.parameters():
            parameter.data = dyadic(torch.rand_like(parameter) * 2 - 1)
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            # 1 / sqrt of it is a power of 2.
            layer.running_var.copy_(4.0 ** torch.randint(-1, 2, layer.running_var.shape))
            layer.running_mean.copy_(dyadic(torch.randn_like(layer.running_mean)))
            layer.eps = 0.0
    return layers


def conv(*arguments, **options):
    return nn.Conv2d(*arguments, **options)


CASES = {
    "nothing": (lambda: [], "identity"),
    "linear": (lambda: [nn.Flatten(), nn.Linear(288, 5)], "dense"),
    "linear twice": (lambda: [nn.Flatten(), nn.Linear(288, 7), nn.Linear(7, 5)], "dense"),
    "norm, linear, norm": (
        lambda: [nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(288, 5), nn.BatchNorm1d(5)],
        "dense",
    ),
    "norm per neuron": (lambda: [nn.Flatten(), nn.BatchNorm1d(288)], "identity"),
    "norm per neuron of a convolution": (lambda: [conv(4, 2, 3), nn.Flatten(), nn.BatchNorm1d(84)], "dense"),
    "pool": (lambda: [nn.AvgPool2d(2)], "identity"),
    "pool, norm, pool": (lambda: [nn.AvgPool2d((2, 4)), nn.BatchNorm2d(4), nn.AvgPool2d(2)], "identity"),
    "norm of each neuron, pool": (
        lambda: [nn.Flatten(), nn.BatchNorm1d(288), nn.Unflatten(1, SHAPE), nn.AvgPool2d(2)],
        "dense",
    ),
    "pool into linear": (lambda: [nn.AvgPool2d(4), nn.Flatten(), nn.Linear(16, 5)], "dense"),
    "overlapping pool": (lambda: [nn.AvgPool2d(4, 2, padding=1)], "conv2d"),
    "pool of the whole map, narrower": (lambda: [nn.AvgPool2d((8, 8))], "identity"),
    "conv": (lambda: [conv(4, 6, (3, 2), stride=(2, 1), padding=(1, 0))], "conv2d"),
    "conv, groups, norm before and after": (
        lambda: [nn.BatchNorm2d(4), conv(4, 6, 3, groups=2, padding=1), nn.BatchNorm2d(6)],
        "conv2d",
    ),
    "dilated": (lambda: [conv(4, 3, 3, dilation=(2, 1), padding=2)], "conv2d"),
    "conv, pool": (lambda: [conv(4, 3, 3, stride=2, padding=1), nn.BatchNorm2d(3), nn.AvgPool2d(2)], "conv2d"),
    "grouped conv, pool": (lambda: [conv(4, 6, 3, groups=2), nn.AvgPool2d(2, 1)], "conv2d"),
    "conv, conv": (lambda: [conv(4, 6, 3, groups=2, stride=2, padding=1), conv(6, 4, 2, stride=2)], "conv2d"),
    "depthwise, pointwise": (lambda: [conv(4, 8, 3, groups=4, padding=1), conv(8, 3, 1)], "conv2d"),
    "groups of four, then of two": (lambda: [conv(4, 8, 2, groups=4), conv(8, 6, 2, groups=2)], "conv2d"),
    "conv, padded conv": (lambda: [conv(4, 3, 3, padding=1), conv(3, 2, 3, padding=1)], "dense"),
    "conv, linear": (lambda: [conv(4, 3, 3), nn.Flatten(), nn.Linear(126, 5)], "dense"),
    "linear, conv": (
        lambda: [nn.Flatten(), nn.Linear(288, 24), nn.Unflatten(1, (2, 4, 3)), conv(2, 3, 2)],
        "dense",
    ),
    "pool, conv, pool": (lambda: [nn.AvgPool2d(2), conv(4, 3, 2), nn.AvgPool2d(2)], "conv2d"),
    "transposed": (
        lambda: [nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2), nn.BatchNorm2d(6)],
        "conv_transpose2d",
    ),
    "transposed, conv": (lambda: [nn.ConvTranspose2d(4, 2, 2, 2), conv(2, 1, 2)], "dense"),
    "reshaped": (lambda: [nn.Flatten(), nn.Unflatten(1, (8, 4, 9)), conv(8, 2, 2)], "dense"),
}


@pytest.mark.parametrize("name", CASES)
def test_brings_what_torch_brings(name):
    make, kind = CASES[name]
    layers = layers_of(make)
    fold = Fold("input", SHAPE)
    for layer in layers:
        grow(fold, layer)
    connection, bias = fold.connection("out")
    assert connection.kind == kind
    inputs = np.random.default_rng(0).integers(0, 4, (5, *SHAPE))
    with torch.no_grad():
        expected = layers(torch.from_numpy(inputs).double()).flatten(1).numpy()
    brought = apply(connection, SHAPE, inputs.reshape(5, -1), dtype=np.float64)
    spread = bias.reshape(-1, 1, 1) if bias.ndim == 1 and len(fold.target_shape) == 3 else bias
    full = np.broadcast_to(spread, fold.target_shape).reshape(-1)
    np.testing.assert_array_equal(brought + full, expected)
    assert fold.shape == tuple(layers(torch.zeros(2, *SHAPE).double()).shape[1:])


def test_gain_multiplies_weights_and_bias():
    fold = Fold("input", (3,))
    fold.linear([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [1.0, -1.0], what="Layer x")
    connection, bias = fold.connection("out", [2.0, 0.5], delay=1)
    np.testing.assert_array_equal(connection.weights, [[2, 4, 6], [2, 2.5, 3]])
    np.testing.assert_array_equal(bias, [2, -0.5])
    assert connection.delay == 1
    np.testing.assert_array_equal(fold.connection("out")[0].weights[1], [4, 5, 6])


def test_no_layer_is_one_weight():
    connection, bias = Fold("hidden", SHAPE).connection("out")
    assert (connection.kind, connection.weights.shape, float(bias)) == ("identity", (), 0.0)


def test_copies_grow_apart():
    fold = Fold("input", SHAPE)
    twin = fold.copy()
    twin.avg_pool(2, what="Layer x")
    twin.flatten()
    assert (fold.shape, twin.shape) == (SHAPE, (64,))


def test_a_product_of_layers_is_flat_with_its_biases():
    """Where the neurons after it are in a row, be the biases one, per channel or each."""
    for bias in ([0.5, -1.0], None):
        fold = Fold("input", (2, 4, 4))
        fold.avg_pool(2, padding=1, what="Layer a")
        fold.conv2d(np.ones((2, 2, 3, 3)), bias, padding=1, what="Layer b")
        if bias is None:
            fold.scale(1.0, np.arange(18.0).reshape(2, 3, 3), what="Layer c")
        assembly = Assembly()
        name = assembly.population("out", layer="out", kind="x", folds=[(fold, 0)], shape=(18,), threshold=1.0)
        network = assembly.network(
            name="flat", steps=1, input=FloatInput(shape=(2, 4, 4)), readout=FloatReadout(population=name)
        )
        expected = np.arange(18.0) if bias is None else np.repeat(bias, 9)
        np.testing.assert_array_equal(network["out"].per_neuron(network["out"].bias), expected)


MAXIMA = {
    "alone": lambda: [nn.MaxPool2d(3, 2, padding=1)],
    "scaled by channel": lambda: [nn.MaxPool2d(2), nn.BatchNorm2d(4)],
    "scaled by neuron": lambda: [nn.MaxPool2d(2), nn.Flatten(), nn.BatchNorm1d(64)],
    "into conv": lambda: [nn.MaxPool2d(2), conv(4, 3, 2, padding=1)],
    "twice, into linear": lambda: [nn.MaxPool2d(2), nn.MaxPool2d(2, 1), nn.Flatten(), nn.Linear(36, 5)],
    "norm before": lambda: [nn.BatchNorm2d(4), nn.MaxPool2d(2), nn.AvgPool2d(2)],
}


@pytest.mark.parametrize("name", MAXIMA)
def test_maxima_of_spikes(name):
    """A pooling that a connection cannot hold gets a relay, which passes spikes on within the step."""
    layers = layers_of(MAXIMA[name])
    for layer in layers:
        if isinstance(layer, nn.BatchNorm2d):
            layer.weight.data = layer.weight.data.abs()
    fold = Fold("input", SHAPE)
    for layer in layers:
        grow(fold, layer)
    assembly = Assembly()
    fields = {"threshold": None, "reset": "none", "decay": 0.0}
    assembly.population("out", layer="out", kind="Read", folds=[(fold, 0)], **fields)
    network = assembly.network(
        name="net",
        steps=3,
        input=FloatInput(shape=SHAPE, kind="events"),
        readout=FloatReadout(population="out", kind="membrane"),
    )
    inputs = (np.random.default_rng(0).random((5, 3, *SHAPE)) < 0.2).astype(np.int64)
    with torch.no_grad():
        expected = layers(torch.from_numpy(inputs).double().flatten(0, 1)).unflatten(0, (5, 3)).flatten(2)
    scores = run_float(network, inputs.reshape(5, 3, -1)).scores
    np.testing.assert_array_equal(scores, expected[:, -1].numpy())


def test_branches_share_a_relay():
    fold = Fold("input", SHAPE)
    fold.max_pool(2, what="Layer x")
    twin = fold.copy()
    for branch in (fold, twin):
        branch.flatten()
        branch.linear(np.ones((3, 64)), what="Layer y")
    assembly = Assembly()
    assembly.population("out", layer="out", kind="IF", folds=[(fold, 0), (fold.copy(), 0)], threshold=1.0)
    network = assembly.network(
        name="net", steps=1, input=FloatInput(shape=SHAPE, kind="events"), readout=FloatReadout(population="out")
    )
    assert [item.name for item in network.populations] == ["out_pool", "out"]


class TestAssembly:
    def network(self, assembly, readout="out"):
        return assembly.network(
            name="net",
            steps=2,
            input=FloatInput(shape=(2, 2, 2), kind="events"),
            readout=FloatReadout(population=readout),
            metadata={"recipe": "x"},
        )

    def test_sums_of_several(self):
        """A convolution, a flat dense layer and a loop lead into maps; their biases add, times the gain."""
        assembly = Assembly()
        name = assembly.reserve("out")
        one, other, loop = Fold("input", (2, 2, 2)), Fold("input", (2, 2, 2)), Fold(name, (3, 2, 2))
        one.conv2d(np.ones((3, 2, 1, 1)), [1.0, 2.0, 3.0], what="Layer a")
        other.flatten()
        other.linear(np.ones((12, 8)), np.arange(12.0), what="Layer b")
        folds = [(one, 0), (other, 0), (loop, 1)]
        assembly.population(
            name, layer="n", kind="IF", folds=folds, gain=[1.0, 2.0, 4.0], threshold=np.arange(1.0, 13), bias=0.5
        )
        network = self.network(assembly)
        population = network["out"]
        assert population.shape == (3, 2, 2)
        expected = (np.arange(12.0).reshape(3, 4) + np.array([[1], [2], [3]])) * [[1], [2], [4]] + 0.5
        np.testing.assert_array_equal(population.per_neuron(population.bias), expected.reshape(-1))
        np.testing.assert_array_equal(population.per_neuron(population.threshold), np.arange(1.0, 13))
        kinds = [(item.kind, item.delay, item.source) for item in network.incoming("out")]
        assert kinds == [("conv2d", 0, "input"), ("dense", 0, "input"), ("identity", 1, "out")]
        np.testing.assert_array_equal(network.incoming("out")[2].weights, [1, 2, 4])
        np.testing.assert_array_equal(network.incoming("out")[1].weights[:, 0], np.repeat([1, 2, 4], 4))

    def test_account(self):
        assembly = Assembly()
        assembly.note("fc", "Linear", "weights")
        assembly.assume("lif", "dt is 0.1 ms")
        assembly.assume("", "events")
        assembly.population("1.lif", layer="lif", kind="LIF", folds=[(Fold("input", (2, 2, 2)), 0)], threshold=1.0)
        metadata = self.network(assembly, "layer1_lif").metadata
        assert metadata["recipe"] == "x"
        assert metadata["assumptions"] == ["lif: dt is 0.1 ms", "events"]
        words = "first order, reset to a value, fires from its threshold: population layer1_lif of 8"
        assert metadata["layers"] == [["fc", "Linear", "weights"], ["lif", "LIF", words]]

    def test_names_are_identifiers_and_unique(self):
        assembly = Assembly()
        wanted = ["input", "a.b", "a b", "1", "", "a_b"]
        assert [assembly.reserve(name) for name in wanted] == ["input_2", "a_b", "a_b_2", "layer1", "layer", "a_b_3"]

    def test_one_number_is_kept_as_one(self):
        assembly = Assembly()
        fields = {"threshold": np.ones((2, 2, 2)), "decay": np.repeat([0.5, 0.25], 4).reshape(2, 2, 2)}
        assembly.population("out", layer="n", kind="LIF", folds=[(Fold("input", (2, 2, 2)), 0)], **fields)
        population = self.network(assembly)["out"]
        assert population.threshold.shape == ()
        np.testing.assert_array_equal(population.decay, [0.5, 0.25])

    @pytest.mark.parametrize(
        ("folds", "fields", "message"),
        [
            ([], {}, r"^Layer n \(IF\) must have something that leads into it"),
            (
                [(Fold("input", (2, 2, 2)), 0), (Fold("input", (2, 1, 2)), 0)],
                {},
                r"^Layer n \(IF\) must be given sums of one shape, not of \(2, 1, 2\) and \(2, 2, 2\)$",
            ),
            (
                [(Fold("input", (2, 2, 2)), 0)],
                {"decay": [0.1, 0.2, 0.3]},
                r"^Layer n \(IF\): decay of shape \(3,\) must be one, per channel or per neuron of \(2, 2, 2\)$",
            ),
        ],
    )
    def test_refusals(self, folds, fields, message):
        with pytest.raises((NetworkError, UnsupportedError), match=message):
            Assembly().population("out", layer="n", kind="IF", folds=folds, threshold=1.0, **fields)


REFUSALS = {
    "nan": (
        lambda fold: fold.conv2d(np.full((1, 4, 1, 1), np.nan), what="Layer x"),
        "must have finite numbers, but 4 of 4",
    ),
    "infinite": (lambda fold: fold.scale([1, 2, 3, np.inf], what="Layer x"), "must have finite numbers, but 1 of 4"),
    "text": (lambda fold: fold.scale("a", what="Layer x"), "must have numbers, not 'a'"),
    "inputs": (lambda fold: fold.linear(np.ones((2, 3)), what="Layer x"), "must take all 288 neurons, not 3"),
    "channels": (lambda fold: fold.conv2d(np.ones((2, 3, 1, 1)), what="Layer x"), "do not fit 4 source channels"),
    "kernel": (lambda fold: fold.avg_pool(10, what="Layer x"), "nothing is left of a map"),
    "flat": (lambda fold: (fold.flatten(), fold.max_pool(2, what="Layer x")), "must be given maps"),
    "per channel": (lambda fold: fold.scale([1, 2, 3], what="Layer x"), "must be one, per channel or per neuron"),
    "bias": (
        lambda fold: fold.conv2d(np.ones((2, 4, 1, 1)), [1, 2, 3], what="Layer x"),
        "must be one, per channel or per neuron",
    ),
    "variance": (lambda fold: fold.norm(0.0, -1.0, what="Layer x"), "must have a positive variance, not -1"),
    "neurons": (lambda fold: fold.reshape((4, 9, 9), what="Layer x"), "must keep all 288 neurons, not 324"),
    "maximum of averages": (
        lambda fold: (fold.avg_pool(2, what="Layer x"), fold.max_pool(2, what="Layer x")),
        "takes the maximum of sums, not of spikes; put the neurons before it",
    ),
    "maximum of sums": (
        lambda fold: (fold.conv2d(np.ones((2, 4, 1, 1)), what="Layer x"), fold.max_pool(2, what="Layer x")),
        "takes the maximum of sums",
    ),
    "maximum of the negative": (
        lambda fold: (fold.scale(-1.0, what="Layer x"), fold.max_pool(2, what="Layer x")),
        "takes the maximum of sums",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name):
    layer, message = REFUSALS[name]
    with pytest.raises((NetworkError, UnsupportedError), match=f"^Layer x.*{message}"):
        layer(Fold("input", SHAPE))


def test_products_that_are_too_large_are_refused():
    fold = Fold("input", (16, 32, 32))
    fold.conv2d(np.ones((16, 16, 3, 3)), padding=1, what="Layer a")
    with pytest.raises(UnsupportedError, match=r"^Layer b follows another layer with weights, and the product of both"):
        fold.conv2d(np.ones((16, 16, 3, 3)), padding=1, what="Layer b")
