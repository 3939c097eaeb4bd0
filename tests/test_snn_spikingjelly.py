"""KLIF, LIF and IF are SpikingJelly's own neurons: spikes, membranes and gradients.

In float64: SpikingJelly charges by v + (x - v) / tau, which rounds otherwise.
"""

import pytest
import torch

pytest.importorskip("spikingjelly")

from spikingjelly.activation_based import neuron, surrogate

from snn.neurons import IF, KLIF, LIF
from snn.surrogate import Atan, Sigmoid

torch.set_num_threads(1)

SURROGATES = {
    "sigmoid": (Sigmoid(alpha=4.0), surrogate.Sigmoid(alpha=4.0)),
    "atan": (Atan(alpha=2.0), surrogate.ATan(alpha=2.0)),
}
V_RESETS = {"zero": 0.0, "value": -0.25, "subtract": None}


def results(module, currents, weights, membranes):
    spikes = module(currents)
    (spikes * weights).sum().backward()
    parameters = [item.grad for item in module.parameters()]
    return spikes.detach(), membranes(module), currents.grad, *parameters


def assert_same(ours, theirs):
    torch.manual_seed(0)
    shape = (8, 6, 5)
    currents, weights = 0.5 + torch.randn(shape, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)
    theirs.step_mode, theirs.store_v_seq = "m", True
    wanted = results(theirs.double(), currents.clone().requires_grad_(), weights, lambda module: module.v_seq.detach())
    ours = ours.double()
    for record in (True, False):
        ours.zero_grad()
        ours.record = record
        found = results(ours, currents.clone().requires_grad_(), weights, lambda module: module.membranes)
        assert torch.equal(found[0], wanted[0])
        assert 0.03 < found[0].mean() < 0.8
        for one, other in list(zip(found, wanted, strict=True))[1 if record else 2 :]:
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


def options(reset, detach, shape):
    mine, jelly = SURROGATES[shape]
    v_reset = V_RESETS[reset]
    resetting = {"reset": "subtract"} if v_reset is None else {"reset_value": v_reset}
    return (
        {"detach_reset": detach, "surrogate": mine, "threshold": 0.8, **resetting},
        {"detach_reset": detach, "surrogate_function": jelly, "v_threshold": 0.8, "v_reset": v_reset},
    )


@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("reset", V_RESETS)
@pytest.mark.parametrize("scale_reset", [False, True])
@pytest.mark.parametrize("decay_input", [False, True])
def test_klif(decay_input, scale_reset, reset, detach):
    mine, jelly = options(reset, detach, "sigmoid")
    shared = {"tau": 2.5, "decay_input": decay_input, "scale_reset": scale_reset}
    theirs = neuron.KLIFNode(**shared, **jelly)
    with torch.no_grad():
        theirs.k.fill_(1.4)
    assert_same(KLIF(k=1.4, dead_learn=False, **shared, **mine), theirs)


@pytest.mark.parametrize("reset", V_RESETS)
@pytest.mark.parametrize("decay_input", [False, True])
def test_lif(decay_input, reset):
    mine, jelly = options(reset, False, "atan")
    shared = {"tau": 2.5, "decay_input": decay_input}
    assert_same(LIF(**shared, **mine), neuron.LIFNode(**shared, **jelly))


@pytest.mark.parametrize("reset", V_RESETS)
def test_if(reset):
    mine, jelly = options(reset, False, "atan")
    assert_same(IF(**mine), neuron.IFNode(**jelly))


@pytest.mark.parametrize("decay_input", [False, True])
def test_learned_leak(decay_input):
    # SpikingJelly learns w of 1/tau = sigmoid(w), so that its gradient is that of 1 - lam.
    mine, jelly = options("zero", False, "atan")
    theirs = neuron.ParametricLIFNode(init_tau=2.5, decay_input=decay_input, **jelly)
    ours = LIF(tau=2.5, learn_leak=True, decay_input=decay_input, **mine)
    theirs.w.register_hook(lambda gradient: -gradient)
    assert_same(ours, theirs)
