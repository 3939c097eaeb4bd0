"""An output that never fires: torch, float network, integer twin and golden agree on what it has added up."""

import numpy as np
import pytest
import torch
from torch import nn

from quant.calibrate import with_scales
from quant.errors import NetworkError
from quant.model import FloatInput
from quant.quantize import quantize
from quant.simulate import run_float
from sim import golden
from snn.export import to_float
from snn.integrator import Integrator
from snn.layers import Linear
from snn.network import SpikingNetwork
from snn.neurons import IF
from snn.qat import IntegerTwin


def network():
    hidden, output = Linear(4, 6), Linear(6, 3)
    torch.manual_seed(1)
    for layer in (hidden, output):
        nn.init.uniform_(layer.weight, -8, 8)
        layer.weight.data = layer.weight.data.round() / 8
        nn.init.constant_(layer.bias, 0.25)
    source = FloatInput(shape=(4,), kind="current", high=15, lsb=1 / 16)
    return SpikingNetwork([hidden, IF(reset="subtract"), output, Integrator()], input=source, steps=4)


def test_adds_up():
    currents = torch.tensor([[[1.0]], [[-3.0]], [[0.5]]])
    integrator = Integrator()
    integrator.record = True
    assert integrator(currents).flatten().tolist() == [1.0, -2.0, -1.5]
    assert integrator.membranes.flatten().tolist() == [1.0, -2.0, -1.5]


def test_everywhere_the_same():
    net, inputs = network(), np.random.default_rng(0).integers(0, 16, (40, 4))
    model = to_float(net, name="net", readout="membrane")
    with torch.no_grad():
        totals = net(torch.from_numpy(inputs).float())[-1].numpy()
    np.testing.assert_array_equal(run_float(model, inputs).scores, totals)
    assert len(np.unique(totals)) > 20

    integer, _ = quantize(model, weight_bits=4, inputs=inputs)
    scaled = with_scales(model, weight_bits=4)
    twin = IntegerTwin(scaled, integer)
    worth = twin(torch.from_numpy(inputs))[-1][-1]
    result = golden.run(integer, inputs)
    np.testing.assert_array_equal(result.answers, worth.argmax(1).numpy())
    unit = float(scaled.scales["output"])
    np.testing.assert_allclose(result.scores * unit, worth.detach().numpy(), rtol=1e-6)
    worth.sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in twin.parameters())


def test_leaky_integrator_by_hand():
    currents = torch.tensor([1.0, 2.0, -1.0, 0.0])[:, None, None]
    assert Integrator(tau=2.0)(currents).flatten().tolist() == [1.0, 2.5, 0.25, 0.125]
    assert Integrator(tau=1.0)(currents).flatten().tolist() == [1.0, 2.0, -1.0, 0.0]
    with pytest.raises(NetworkError, match=r"at least 1 step, not 0\.5"):
        Integrator(tau=0.5)
