"""Connections of feedback networks: what they bring, their adjoints, and their local gradients."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from quant.ops import Operator
from snn.architecture import ArchitectureError
from snn.spide.network import build_network
from snn.spide.projection import Convolution, DenseProjection, TransposedConvolution

SOURCE, TARGET = (3, 7, 6), (4, 3, 3)


def numbers(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


PROJECTIONS = {
    "dense": DenseProjection(weights=numbers(5, 8), source=(8,), target=(5,)),
    "dense to a map": DenseProjection(weights=numbers(36, 8), source=(8,), target=TARGET),
    "dense of a pooled map": DenseProjection(weights=numbers(5, 27), source=SOURCE, target=(5,), pool=2),
    "convolution": Convolution(weights=numbers(4, 3, 3, 3), source=SOURCE, target=(4, 7, 6), padding=1),
    "convolution, stride 2": Convolution(
        weights=numbers(4, 3, 5, 5), source=SOURCE, target=(4, 4, 3), stride=2, padding=2
    ),
    "convolution of a pooled map": Convolution(
        weights=numbers(4, 3, 3, 3), source=SOURCE, target=TARGET, pool=2, padding=1
    ),
    "convolution in groups": Convolution(
        weights=numbers(6, 1, 3, 3), source=SOURCE, target=(6, 4, 3), stride=2, padding=1, groups=3
    ),
    "transposed convolution": TransposedConvolution(
        weights=numbers(3, 4, 3, 3), source=SOURCE, target=(4, 14, 12), stride=2, padding=1
    ),
    "transposed convolution to odd sides": TransposedConvolution(
        weights=numbers(3, 2, 5, 5), source=SOURCE, target=(2, 19, 17), stride=3, padding=2
    ),
}


@pytest.fixture(params=PROJECTIONS)
def projection(request):
    return PROJECTIONS[request.param]


def test_there_is_what_the_network_will_do(projection):
    values = numbers(2, *projection.source, seed=1)
    synapses = projection.synapses("a", "b")
    wanted = Operator(synapses, projection.source, np.float64)(values.flatten(1).numpy())
    there = projection.there(values)
    assert there.shape == (2, *projection.target)
    np.testing.assert_allclose(there.flatten(1).numpy(), wanted, atol=1e-12)


def test_back_is_the_adjoint(projection):
    values, errors = numbers(2, *projection.source, seed=1), numbers(2, *projection.target, seed=2)
    back = projection.back(errors)
    assert back.shape == values.shape
    assert float((projection.there(values) * errors).sum()) == pytest.approx(float((values * back).sum()))


def test_correlate_is_the_gradient(projection):
    values, errors = numbers(2, *projection.source, seed=1), numbers(2, *projection.target, seed=2)
    moved = replace(projection, weights=projection.weights.clone().requires_grad_())
    (moved.there(values) * errors).sum().backward()
    torch.testing.assert_close(projection.correlate(errors, values), moved.weights.grad)


def test_adding_in_place_adds(projection):
    values, errors = numbers(2, *projection.source, seed=1), numbers(2, *projection.target, seed=2)
    targets, sources = errors.clone(), values.clone()
    projection.add_there(targets, values)
    projection.add_back(sources, errors)
    torch.testing.assert_close(targets, errors + projection.there(values))
    torch.testing.assert_close(sources, values + projection.back(errors))


def build(layers, feedback="", shape=(1, 8, 8)):
    return build_network(layers, feedback, shape=shape, classes=3)


def test_networks_as_papers_write_them():
    network = build("4C3s2-6C3s2", "F4C3u2", (2, 9, 8))
    assert [layer.shape for layer in network.layers] == [(4, 5, 4), (6, 3, 2)]
    assert network.feedback.weights.shape == (6, 4, 3, 3)
    assert network.feedback.output_padding == (0, 1)
    assert network.readout_weights.shape == (3, 36)
    assert [layer.shape for layer in build("4C5-AP2-6C3-AP4-5", "F256").layers] == [(4, 8, 8), (6, 4, 4), (5,)]
    assert build("4C5-AP2-6C3-AP4-5").layers[2].projection.weights.shape == (5, 6)
    assert build("7-5", "F7").layers[0].projection.source == (64,)
    assert build("4C3-4C5", "F4C3").feedback.kind == "conv2d"
    assert build("7").feedback is None


@pytest.mark.parametrize(
    ("layers", "feedback", "said"),
    [
        ("", "", "must end in a layer"),
        ("4C3-AP2", "", "must end in a layer"),
        ("AP2-4C3", "", "one average after a layer"),
        ("4C3-MP2-5", "", "one average after a layer"),
        ("4C3-AP2-AP2-5", "", "one average after a layer"),
        ("4C11p0", "", "must fit a map of 8 x 8"),
        ("4C3g3", "", "must divide 1 and 4 channels"),
        ("7-5", "64C3", "written as F400"),
        ("7-5", "F5", "first layer's 7, not 5"),
        ("7-5", "F7C3", "from a map to a map; write F7"),
        ("4C3-5", "F4C3", "from a map to a map; write F256"),
        ("4C3-6C3", "F6C3", "first layer's 4, not 6"),
        ("4C3-6C3s2", "F4C3", "lead from 8 x 8 to 8 x 8, not from 4 x 4"),
        ("4C3-6C3s2", "F4C3u4", "lead from 2 x 2 to 8 x 8, not from 4 x 4"),
        ("4C3-6C3", "F4C2", "odd kernel"),
    ],
)
def test_networks_that_cannot_be(layers, feedback, said):
    with pytest.raises(ArchitectureError, match=said):
        build(layers, feedback)
