"""All steps at once are the steps one by one: their spikes exactly, their gradients but for rounding."""

import pytest
import torch

from snn.neurons import IF, KLIF, LIF, TTFS, Neuron
from snn.scan import _BLOCK
from snn.surrogate import Atan, Sigmoid, Triangle

torch.set_num_threads(1)

RESETS = {
    "zero": {},
    "value": {"reset_value": -0.3},
    "value above": {"reset_value": 0.2},
    "subtract": {"reset": "subtract"},
    "none": {"reset": "none"},
}
NEURONS = {
    "if": IF,
    "lif": lambda **options: LIF(tau=3.0, **options),
    "no memory": lambda **options: LIF(tau=1.0, **options),
    "lif, input decays": lambda **options: LIF(tau=1.7, decay_input=True, threshold=0.4, **options),
    "learned leak": lambda **options: LIF(tau=3.0, learn_leak=True, **options),
    "learned leaks, input decays": lambda **options: LIF(
        tau=1.7, learn_leak=True, leaks=3, decay_input=True, **options
    ),
    "klif": lambda **options: KLIF(k=1.3, **options),
    "klif, negative k": lambda **options: KLIF(k=-1.3, **options),
    "klif, whole input": lambda **options: KLIF(k=0.7, tau=3.0, decay_input=False, **options),
    "klif as published": lambda **options: KLIF(k=1.3, dead_learn=False, **options),
    "klif, scaled reset": lambda **options: KLIF(k=1.3, scale_reset=True, **options),
    "klif, scaled reset, learned leaks": lambda **options: KLIF(
        k=0.8, scale_reset=True, learn_leak=True, leaks=3, threshold=torch.tensor([0.4, 0.5, 0.6]), **options
    ),
}


def gradients(neuron, run, currents, weights):
    """Spikes, and gradients of the currents and of everything that learns."""
    neuron.zero_grad()
    x = currents.clone().requires_grad_()
    spikes = run(x)
    (spikes * weights).sum().backward()
    return spikes.detach(), [x.grad, *(item.grad for item in neuron.parameters())]


def assert_same(neuron, shape, dtype=torch.float64, tolerance=1e-11):
    torch.manual_seed(0)
    neuron = neuron.to(dtype)
    currents = 0.3 + torch.randn(shape, dtype=dtype)
    weights = torch.randn(shape, dtype=dtype)
    assert type(neuron).at_once is not Neuron.at_once
    spikes, found = gradients(neuron, neuron, currents, weights)
    expected, wanted = gradients(neuron, neuron.step_by_step, currents, weights)
    assert torch.equal(spikes, expected)
    assert 0.02 < spikes.mean() < 0.98
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance * theirs.abs().max().item())


@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("name", NEURONS)
def test_leaky_neurons(name, reset, detach):
    assert_same(NEURONS[name](detach_reset=detach, **RESETS[reset]), (6, 5, 3, 4, 2))


@pytest.mark.parametrize("surrogate", [Atan(alpha=3.0), Triangle(width=0.6), Sigmoid(alpha=2.0)])
@pytest.mark.parametrize("make", [LIF, KLIF, TTFS])
def test_surrogates_and_flat_layers(make, surrogate):
    assert_same(make(surrogate=surrogate), (5, 7, 3))


@pytest.mark.parametrize("threshold", [1.0, 2.5, torch.tensor([0.5, 1.0, 2.0])])
def test_latch(threshold):
    assert_same(TTFS(threshold=threshold), (8, 5, 3, 4, 2))


@pytest.mark.parametrize("neuron", [LIF(tau=3.0), KLIF(k=1.3), TTFS(), LIF(learn_leak=True, decay_input=True)])
def test_in_float32_over_several_blocks(neuron):
    assert_same(neuron, (4, 9, 3, _BLOCK // 6), torch.float32, 1e-4)


def test_one_step():
    assert_same(KLIF(scale_reset=True), (1, 40, 3))
    assert_same(TTFS(), (1, 40, 3))


@pytest.mark.parametrize("neuron", [LIF(), KLIF(), TTFS()])
def test_currents_that_are_the_same_in_every_step_or_lie_channels_last(neuron):
    torch.manual_seed(0)
    neuron = neuron.double()
    x = torch.randn(1, 4, 3, 6, 6, dtype=torch.float64) * 0.7
    for currents in (x.expand(5, -1, -1, -1, -1), x.movedim(2, 4).contiguous().movedim(4, 2).repeat(5, 1, 1, 1, 1)):
        plain = currents.contiguous()
        assert torch.equal(neuron(currents), neuron.step_by_step(plain))
        one, other = (item.clone().requires_grad_() for item in (currents, plain))
        weights = torch.randn_like(plain)
        (neuron(one) * weights).sum().backward()
        (neuron.step_by_step(other) * weights).sum().backward()
        torch.testing.assert_close(one.grad, other.grad)


def test_a_slope_of_zero_still_learns():
    neuron = KLIF(k=0.0).double()
    neuron(torch.ones(3, 1, 1, dtype=torch.float64)).sum().backward()
    assert neuron.k.grad.item() > 0


def test_a_rule_of_ones_own_is_followed():
    class Stubborn(LIF):
        def step(self, current, state):
            return torch.ones_like(current), state

    assert Stubborn()(torch.zeros(3, 2, 1)).all()
