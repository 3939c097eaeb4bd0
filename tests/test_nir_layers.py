"""Layers between the neurons of NIR graphs."""

import nir
import numpy as np
import pytest
from nirs import DT, correlated, dyadic, euler, events, graph, lif, spikes_of

from quant.importers.nir import load_nir
from quant.importers.options import ImportOptions
from quant.simulate import run_float


def padded(maps, top, bottom, left, right):
    return np.pad(maps, ((0, 0), (0, 0), (top, bottom), (left, right)))


@pytest.mark.parametrize(
    ("kernel", "fields", "pads"),
    [
        ((3, 3), {"stride": 1, "padding": 0, "dilation": 1}, (0, 0, 0, 0)),
        ((3, 2), {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 1)}, (1, 1, 0, 0)),
        ((3, 3), {"stride": 1, "padding": "same", "dilation": 1}, (1, 1, 1, 1)),
        ((2, 3), {"stride": 1, "padding": "same", "dilation": 1}, (0, 1, 1, 1)),
        ((2, 4), {"stride": 1, "padding": "same", "dilation": (1, 1)}, (0, 1, 1, 2)),
        ((2, 2), {"stride": 1, "padding": "same", "dilation": (2, 3)}, (1, 1, 1, 2)),
        ((3, 3), {"stride": (1, 2), "padding": "valid", "dilation": (2, 1)}, (0, 0, 0, 0)),
    ],
)
def test_conv2d(kernel, fields, pads, tmp_path):
    rng = np.random.default_rng(9)
    weights, bias = dyadic(rng, 3, 2, *kernel), dyadic(rng, 3)
    inputs = events(rng, 4, 2, 6, 7)
    maps = padded(inputs.reshape(-1, 2, 6, 7), *pads)
    pair = {name: value if isinstance(value, tuple) else (value, value) for name, value in fields.items()}
    currents = correlated(maps, weights, pair["stride"], pair["dilation"]) + bias[:, None, None]
    size = currents.shape[1:]
    conv = nir.Conv2d(input_shape=(6, 7), weight=weights, groups=1, bias=bias, **fields)
    made = graph({"conv": conv, "lif": lif(size, keep=0.5)}, shape=(2, 6, 7), output=size)
    expected = euler(currents.reshape(6, 4, -1), keep=0.5)
    assert expected.any()
    nir.write(tmp_path / "conv.nir", made)
    model = load_nir(tmp_path / "conv.nir", ImportOptions(dt=DT, steps=4))
    assert model["lif"].shape == size
    np.testing.assert_array_equal(run_float(model, inputs, record=["spikes"]).spikes["lif"], expected)


@pytest.mark.parametrize(("padding", "pads"), [(1, (1, 1)), ("same", (0, 1)), ("valid", (0, 0))])
def test_conv1d(padding, pads):
    rng = np.random.default_rng(10)
    weights, inputs = dyadic(rng, 3, 2, 2), events(rng, 4, 2, 9)
    conv = nir.Conv1d(input_shape=9, weight=weights, stride=1, padding=padding, dilation=1, groups=1, bias=np.zeros(3))
    maps = padded(inputs.reshape(-1, 2, 1, 9), 0, 0, *pads)
    currents = correlated(maps, weights[:, :, None, :])
    size = (3, currents.shape[3])
    made = graph({"conv": conv, "lif": lif(size, keep=0.5)}, shape=(2, 9), output=size)
    expected = euler(currents.reshape(6, 4, -1), keep=0.5)
    assert expected.any()
    np.testing.assert_array_equal(spikes_of(made, inputs, "lif", ImportOptions(dt=DT, steps=4)), expected)


@pytest.mark.parametrize("kind", [nir.SumPool2d, nir.AvgPool2d])
@pytest.mark.parametrize("stride", [(2, 2), 2, (1, 2)])
def test_pooling(kind, stride):
    rng = np.random.default_rng(11)
    inputs, pair = events(rng, 4, 2, 5, 6), stride if isinstance(stride, tuple) else (stride, stride)
    weights = np.zeros((2, 2, 2, 2))
    weights[0, 0] = weights[1, 1] = 1.0 if kind is nir.SumPool2d else 0.25
    currents = correlated(inputs.reshape(-1, 2, 5, 6), weights, pair)
    size = currents.shape[1:]
    pool = kind(kernel_size=np.array([2, 2]), stride=np.array(stride), padding=np.array([0, 0]))
    made = graph({"pool": pool, "lif": lif(size, keep=0.5)}, shape=(2, 5, 6), output=size)
    expected = euler(currents.reshape(6, 4, -1), keep=0.5)
    assert expected.any()
    np.testing.assert_array_equal(spikes_of(made, inputs, "lif", ImportOptions(dt=DT, steps=4)), expected)


@pytest.mark.parametrize("dims", [(0, -1), (1, -1), (0, 1)])
def test_flatten_keeps_the_order(dims):
    rng = np.random.default_rng(12)
    inputs, weights = events(rng, 6, 2, 2, 3), dyadic(rng, 4, 12)
    flat = nir.Flatten(np.array([2, 2, 3]), *dims)
    made = graph({"flat": flat, "fc": nir.Linear(weights), "lif": lif(4)}, shape=(2, 2, 3))
    expected = euler(inputs @ weights.T, keep=0.75)
    assert expected.any()
    np.testing.assert_array_equal(spikes_of(made, inputs, "lif", ImportOptions(dt=DT, steps=6)), expected)


def test_a_part_flattened_is_a_line_to_the_next_convolution():
    rng = np.random.default_rng(13)
    inputs, weights = events(rng, 6, 2, 2, 3), dyadic(rng, 3, 2, 2)
    conv = nir.Conv1d(input_shape=6, weight=weights, stride=1, padding=0, dilation=1, groups=1, bias=np.zeros(3))
    made = graph(
        {"flat": nir.Flatten(np.array([2, 2, 3]), 1, 2), "conv": conv, "lif": lif((3, 5), keep=0.5)}, shape=(2, 2, 3)
    )
    currents = correlated(inputs.reshape(-1, 2, 1, 6), weights[:, :, None, :])
    expected = euler(currents.reshape(6, 6, -1), keep=0.5)
    np.testing.assert_array_equal(spikes_of(made, inputs, "lif", ImportOptions(dt=DT, steps=6)), expected)


def test_scale_and_layers_without_neurons_between_multiply():
    rng = np.random.default_rng(14)
    first, second, scale, inputs = dyadic(rng, 5, 4), dyadic(rng, 3, 5), dyadic(rng, 5), events(rng, 12, 4)
    nodes = {"a": nir.Affine(first, scale), "s": nir.Scale(scale), "b": nir.Affine(second, scale[:3]), "lif": lif(3)}
    expected = euler(((inputs @ first.T + scale) * scale) @ second.T + scale[:3], keep=0.75)
    np.testing.assert_array_equal(spikes_of(graph(nodes), inputs, "lif", ImportOptions(dt=DT, steps=12)), expected)


# Graphs.


def test_names_in_any_order():
    rng = np.random.default_rng(15)
    first, second, inputs = dyadic(rng, 5, 4), dyadic(rng, 3, 5), events(rng, 12, 4)
    nodes = {"2": nir.Linear(second), "10": lif(3), "1": lif(5), "0": nir.Linear(first)}
    edges = [("1", "2"), ("10", "output"), ("input", "0"), ("2", "10"), ("0", "1")]
    hidden = euler(inputs @ first.T, keep=0.75)
    expected = euler(hidden @ second.T, keep=0.75)
    assert expected.any()
    made = graph(nodes, edges)
    np.testing.assert_array_equal(spikes_of(made, inputs, "layer10", ImportOptions(dt=DT, steps=12)), expected)
