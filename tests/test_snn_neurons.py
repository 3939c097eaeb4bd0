"""Neurons against steps worked by hand, in numbers that floats hold exactly."""

import pytest
import torch
from torch import nn

from quant.errors import NetworkError
from snn.neurons import IF, KLIF, LIF, TTFS
from snn.surrogate import Sigmoid

torch.set_num_threads(1)


def trace(neuron, currents):
    """Spikes and membranes of one neuron."""
    neuron.record = True
    spikes = neuron(torch.tensor(currents, dtype=torch.float64)[:, None, None])
    return spikes.flatten().tolist(), neuron.membranes.flatten().tolist()


@pytest.mark.parametrize(
    ("neuron", "currents", "spikes", "membranes"),
    [
        # Fires at the threshold exactly.
        (IF(), [0.5, 0.5, 0.25], [0, 1, 0], [0.5, 0, 0.25]),
        (IF(threshold=2.0), [1, 0.75, 0.25], [0, 0, 1], [1, 1.75, 0]),
        (IF(), [-0.5, 1.5, 0], [0, 1, 0], [-0.5, 0, 0]),
        # Hard reset forgets what was too much, soft reset keeps it.
        (IF(), [1.75, 0.25], [1, 0], [0, 0.25]),
        (IF(reset="subtract"), [1.75, 0.25], [1, 1], [0.75, 0]),
        (IF(reset="subtract", threshold=0.5), [1.75, 0], [1, 1], [1.25, 0.75]),
        (IF(reset="none"), [1.5, 0, -1], [1, 1, 0], [1.5, 1.5, 0.5]),
        # Leak, with the current whole or divided by tau.
        (LIF(tau=2.0), [0.5, 0.5, 0.25, 1], [0, 0, 0, 1], [0.5, 0.75, 0.625, 0]),
        (LIF(tau=2.0, decay_input=True), [1, 1, 1.5], [0, 0, 1], [0.5, 0.75, 0]),
        (LIF(tau=4.0), [-1, 0], [0, 0], [-1, -0.75]),
        (LIF(tau=1.0), [0.75, 0.75], [0, 0], [0.75, 0.75]),
        (LIF(tau=2.0, reset="subtract"), [1.5, 0.75], [1, 1], [0.5, 0]),
        # A learned leak starts at that of tau.
        (LIF(tau=2.0, learn_leak=True), [0.5, 0.5, 0.25, 1], [0, 0, 0, 1], [0.5, 0.75, 0.625, 0]),
        (LIF(tau=2.0, learn_leak=True, decay_input=True), [1, 1, 1.5], [0, 0, 1], [0.5, 0.75, 0]),
        (LIF(tau=2.0, learn_leak=True, reset_value=-1.0), [0, 2, 0], [0, 1, 0], [-1, -1, -1]),
        # Membranes rest at the reset value and start there.
        (LIF(tau=2.0, reset_value=-1.0), [0, 2, 0], [0, 1, 0], [-1, -1, -1]),
        (LIF(tau=2.0, reset_value=-1.0), [1, 0], [0, 0], [0, -0.5]),
        (IF(reset_value=0.5), [0.25, 0.25, 0.25], [0, 1, 0], [0.75, 0.5, 0.75]),
        # KLIF: k scales, then the membrane is rectified, and k times itself is carried on.
        (KLIF(tau=2.0, k=1.0), [-4, 1], [0, 0], [0, 0.5]),
        (KLIF(tau=2.0, k=1.5), [1, 0.5], [0, 0], [0.75, 0.9375]),
        (KLIF(tau=2.0, k=2.0), [1, 0], [1, 0], [0, 0]),
        (KLIF(tau=2.0, k=1.5, decay_input=False), [0.5, 0.5], [0, 1], [0.75, 0]),
        (KLIF(tau=2.0, k=2.0, reset="subtract"), [1.5, 0.25], [1, 0], [0.5, 0.75]),
        (KLIF(tau=2.0, k=1.0, reset_value=-0.5), [2, 2], [0, 1], [0.5, -0.5]),
        (KLIF(tau=2.0, k=1.0, reset_value=-0.5), [3, 0], [1, 0], [-0.5, 0]),
        # With scale_reset the membrane that is carried on was not scaled, only rectified.
        (KLIF(tau=2.0, k=2.0, scale_reset=True), [0.5, 0.5, 0.5], [0, 0, 0], [0.25, 0.375, 0.4375]),
        (KLIF(tau=2.0, k=2.0, scale_reset=True), [0.5, 0.75, 0.5], [0, 1, 0], [0.25, 0, 0.25]),
        (KLIF(tau=2.0, k=2.0, scale_reset=True, reset="subtract"), [1.5, 0.25], [1, 0], [0.25, 0.25]),
        (KLIF(tau=2.0, k=2.0, scale_reset=True), [-1, 0.5], [0, 0], [0, 0.25]),
        # TTFS: one spike a sample, then a membrane of 0.
        (TTFS(), [0.5, 0.5, 4, 4], [0, 1, 0, 0], [0.5, 0, 0, 0]),
        (TTFS(threshold=2.0), [-1, 2.75, 0.25], [0, 0, 1], [-1, 1.75, 0]),
    ],
)
def test_steps_by_hand(neuron, currents, spikes, membranes):
    neuron = neuron.double()
    assert trace(neuron, currents) == (spikes, membranes)


def test_thresholds_and_leaks_of_each_channel():
    neuron = LIF(tau=2.0, threshold=torch.tensor([1.0, 2.0]), learn_leak=True, leaks=2, reset="none")
    with torch.no_grad():
        neuron.learned_leak[1] = torch.tensor(3.0).log()
    neuron.record = True
    for shape in ((2,), (2, 3, 1)):
        currents = torch.ones(3, 1, *shape)
        spikes = neuron(currents)[:, 0].flatten(1)
        first, last = spikes[:, 0], spikes[:, -1]
        assert (first.tolist(), last.tolist()) == ([1, 1, 1], [0, 0, 1])
        assert neuron.membranes[:, 0].flatten(1)[:, -1].tolist() == pytest.approx([1, 1.75, 2.3125])
        assert neuron.membranes[:, 0].flatten(1)[:, 0].tolist() == pytest.approx([1, 1.5, 1.75])


def test_just_below_the_threshold_is_silent():
    for neuron in (IF(), LIF(), KLIF(decay_input=False), TTFS()):
        assert trace(neuron.double(), [1 - 2**-40])[0] == [0]


def test_recurrence_sees_the_spikes_of_the_step_before():
    loop = nn.Linear(1, 1)
    nn.init.constant_(loop.weight, -0.5)
    nn.init.constant_(loop.bias, 0.125)
    neuron = IF(recurrent=loop).double()
    assert trace(neuron, [1, 1, 1]) == ([1, 0, 1], [0, 0.625, 0])


def test_samples_start_anew():
    neuron = LIF()
    currents = torch.full((3, 2, 4), 0.6)
    assert torch.equal(neuron(currents), neuron(currents))


def test_membranes_are_kept_only_when_asked():
    neuron = LIF()
    neuron(torch.zeros(3, 1, 1))
    assert neuron.membranes is None
    neuron.record = True
    neuron(torch.zeros(3, 2, 5))
    assert neuron.membranes.shape == (3, 2, 5)


SIGMOID = Sigmoid(alpha=4.0)


@pytest.mark.parametrize("current", [0.75, 1.5])
def test_gradient_of_one_step_of_lif(current):
    x = torch.tensor([[[current]]], dtype=torch.float64, requires_grad=True)
    LIF(tau=2.0, decay_input=True, surrogate=SIGMOID)(x).sum().backward()
    expected = 0.5 * SIGMOID.slope(torch.tensor(current / 2 - 1, dtype=torch.float64))
    assert x.grad.item() == pytest.approx(expected.item(), rel=1e-12)


def test_gradient_of_one_step_of_klif():
    x = torch.tensor([[[1.0]]], dtype=torch.float64, requires_grad=True)
    neuron = KLIF(tau=2.0, k=1.5, surrogate=SIGMOID).double()
    neuron(x).sum().backward()
    slope = SIGMOID.slope(torch.tensor(0.75 - 1, dtype=torch.float64)).item()
    assert x.grad.item() == pytest.approx(1.5 * 0.5 * slope, rel=1e-12)
    assert neuron.k.grad.item() == pytest.approx(0.5 * slope, rel=1e-12)


def test_dead_klif_still_learns():
    x = torch.tensor([[[-1.0]]], requires_grad=True)
    KLIF()(x).sum().backward()
    assert x.grad.item() > 0


def test_gradient_through_a_soft_reset():
    # V1 = x1 - S1 and S2 depends on V1: dS2/dx1 = g(h2) * (1 - g(h1)), or g(h2) if the reset is detached.
    for detach in (False, True):
        x = torch.tensor([0.5, 0.25], dtype=torch.float64, requires_grad=True)
        spikes = IF(reset="subtract", detach_reset=detach, surrogate=SIGMOID)(x[:, None, None])
        spikes[1].sum().backward()
        first, second = SIGMOID.slope(torch.tensor([0.5 - 1, 0.75 - 1], dtype=torch.float64)).tolist()
        assert x.grad.tolist() == pytest.approx([second * (1 if detach else 1 - first), second], rel=1e-12)


def test_gradient_through_the_latch():
    # S2 = step(h2) * (1 - S1), and the membrane of h2 went on: an earlier spike takes the later away.
    x = torch.tensor([1.5, 0.25], dtype=torch.float64, requires_grad=True)
    spikes = TTFS(surrogate=SIGMOID)(x[:, None, None])
    assert spikes.flatten().tolist() == [1, 0]
    spikes[1].sum().backward()
    expected = -SIGMOID.slope(torch.tensor(0.5, dtype=torch.float64)).item()
    assert x.grad.tolist() == pytest.approx([expected, 0], rel=1e-12)


@pytest.mark.parametrize("neuron", [IF(), LIF(), KLIF(), KLIF(scale_reset=True), TTFS(), LIF(reset="subtract")])
def test_gradients_are_finite(neuron):
    torch.manual_seed(0)
    x = (10 * torch.randn(20, 4, 30)).requires_grad_()
    (neuron(x) * torch.randn(20, 4, 30)).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: IF(threshold=0.0), "Threshold must be positive, not 0.0"),
        (lambda: TTFS(threshold=float("nan")), "Threshold must be positive, not nan"),
        (lambda: LIF(tau=0.5), "Time constant tau must be at least 1 step, not 0.5"),
        (lambda: LIF(tau=float("nan")), "Time constant tau must be at least 1 step, not nan"),
        (
            lambda: LIF(tau=1.0, learn_leak=True),
            "Time constant tau must be above 1 and finite for a learned leak, not 1.0",
        ),
        (lambda: LIF(threshold=torch.tensor([1.0, 0.0])), "Threshold must be positive, not 0.0"),
        (lambda: LIF(reset="hard"), "Reset must be one of zero, subtract, none, not 'hard'"),
        (lambda: LIF(reset="subtract", reset_value=1.0), "Reset value must be 0 with reset 'subtract', not 1.0"),
    ],
)
def test_wrong_use(make, message):
    with pytest.raises(NetworkError) as caught:
        make()
    assert str(caught.value) == message
