"""ETTFS: its parts by hand, and that networks of it leave torch unchanged."""

import math

import pytest
import torch

from quant.errors import NetworkError
from snn.ettfs import Affine, normalize_weights, temporal_init
from snn.layers import Conv2d, Linear

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
