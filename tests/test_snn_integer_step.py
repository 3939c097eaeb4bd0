"""The step of integer neurons as one function: the same integers and gradients as part by part."""

import numpy as np
import pytest
import torch

from quant.ir import Decay, Population
from snn.integers import IntegerNeurons
from snn.surrogate import Sigmoid


def neurons(reset, **options):
    if reset == "subtract":
        options["reset_amount"] = 9
    fields = {"threshold": np.array([6, 8, 9, 11]), "decay": Decay(numerator=5, shift=3), **options}
    population = Population(name="a", shape=(4,), reset=reset, state_min=-12, state_max=14, **fields)
    level = np.array([2.9, 4, 4.4, 5.3])
    return IntegerNeurons(population, np.zeros(4), np.float64(0.5), Sigmoid(alpha=2.0), torch.float64, threshold=level)


def run(item, method, drives, weights):
    drives = drives.clone().requires_grad_()
    item.bias.grad = item.level.grad = None
    item.start(drives.shape[1])
    bias, loss, seen = item.rounded(), torch.zeros((), dtype=torch.float64), []
    for drive, (of_spike, of_total, of_stored) in zip(drives, weights, strict=True):
        spike = getattr(item, method)(drive, bias)
        seen += [spike.detach(), item.total.detach(), item.membrane.detach()]
        loss = loss + (spike * of_spike + item.total * of_total + item.membrane * of_stored).sum()
    loss.backward()
    return torch.stack(seen), drives.grad, item.bias.grad, item.level.grad


@pytest.mark.parametrize("rectify", [False, True])
@pytest.mark.parametrize("reset", ["zero", "subtract", "none", "latch"])
def test_the_same_as_part_by_part(reset, rectify):
    generator = torch.Generator().manual_seed(3)
    item = neurons(reset, rectify=rectify, **({"reset_value": -3} if reset == "zero" and not rectify else {}))
    drives = torch.randint(-14, 22, (6, 50, 4), generator=generator).double()
    weights = torch.randn(6, 3, 50, 4, generator=generator, dtype=torch.float64)
    (seen, *gradients), expected = (run(item, method, drives, weights) for method in ("step", "advanced"))
    assert torch.equal(seen, expected[0])
    assert 0.05 < seen[::3].mean() < 0.9
    # A reset by 9 takes a rectified membrane of 6 to 8 below 0: (-3 * 5 + 4) >> 3 = -2.
    lowest = 0 if reset != "subtract" else -2
    assert seen[2::3].min() == (lowest if rectify else -12)
    assert reset in ("zero", "subtract") or seen[2::3].max() == 14
    for found, wanted in zip(gradients, expected[1:], strict=True):
        assert wanted.abs().min() > 0 or wanted.ndim > 1
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_a_threshold_is_rounded_up_and_never_below_one():
    item = neurons("zero")
    assert item.thresholds().tolist() == [6, 8, 9, 11]
    with torch.no_grad():
        item.level.copy_(torch.tensor([0.1, -3.0, 4.51, 5.5]))
    item.start(1)
    assert item.thresholds().tolist() == item.threshold.tolist() == [1, 1, 10, 11]


def test_by_hand():
    item = neurons("zero")
    item.start(1)
    bias = torch.zeros(4, dtype=torch.float64)
    drive = torch.tensor([[6.0, 7, 8, -20]], dtype=torch.float64)
    # 6 reaches 6; 7 * 5 = 35, 35 + 4 = 39, 39 >> 3 = 4; 8: 44 >> 3 = 5; -20: -96 >> 3 = -12, its rail.
    assert item.step(drive, bias).tolist() == [[1, 0, 0, 0]]
    assert item.membrane.tolist() == [[0, 4, 5, -12]]


@pytest.mark.parametrize("reset", ["zero", "subtract", "none", "latch"])
def test_what_is_kept_whole_has_the_same_gradients_too(reset):
    generator = torch.Generator().manual_seed(4)
    item = neurons(reset, decay=Decay())
    drives = torch.randint(-14, 22, (6, 50, 4), generator=generator).double()
    weights = torch.randn(6, 3, 50, 4, generator=generator, dtype=torch.float64)
    found, expected = (run(item, method, drives, weights) for method in ("step", "advanced"))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
