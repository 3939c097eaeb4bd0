import math

import pytest
import torch

from snn.surrogate import SURROGATES, Atan, Sigmoid, Triangle

torch.set_num_threads(1)

NAMES = sorted(SURROGATES)


@pytest.mark.parametrize("name", NAMES)
def test_steps_at_zero(name):
    x = torch.tensor([-1.0, -1e-7, -0.0, 0.0, 1e-7, 1.0])
    assert SURROGATES[name]()(x).tolist() == [0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("surrogate", "x", "slope"),
    [
        (Sigmoid(alpha=4.0), 0.0, 1.0),
        (Sigmoid(alpha=2.0), 1.0, 2 * math.exp(-2) / (1 + math.exp(-2)) ** 2),
        (Atan(alpha=2.0), 0.0, 1.0),
        (Atan(alpha=2.0), 1 / math.pi, 0.5),
        (Triangle(width=1.0), 0.0, 1.0),
        (Triangle(width=2.0), -1.0, 0.25),
        (Triangle(width=2.0), 2.5, 0.0),
    ],
)
def test_gradient_by_formula(surrogate, x, slope):
    value = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    (3 * surrogate(value)).backward()
    assert value.grad.item() == pytest.approx(3 * slope, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_that_of_a_step_of_one(name):
    x = torch.linspace(-2000, 2000, 4_000_001, dtype=torch.float64)
    assert torch.trapezoid(SURROGATES[name]().slope(x), x).item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_finite_far_away(name):
    slopes = SURROGATES[name]().slope(torch.tensor([-1e30, 1e30]))
    assert torch.isfinite(slopes).all()
