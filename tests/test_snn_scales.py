from dataclasses import replace

import numpy as np
import pytest

from quant.graph import Synapses
from quant.model import FloatInput, FloatNetwork, FloatPopulation, FloatReadout
from quant.quantize import quantize
from snn.scales import with_active_scales


def network(weights, *, kind="current", more=()):
    weights = np.asarray(weights, np.float64)
    first = Synapses(source="input", target="output", kind="dense", weights=weights)
    return FloatNetwork(
        name="net",
        steps=2,
        input=FloatInput(shape=(weights.shape[1],), kind=kind, high=15),
        populations=(FloatPopulation(name="output", shape=weights.shape[:1], threshold=1.0),),
        connections=(first, *more),
        readout=FloatReadout(population="output"),
    )


def test_weights_of_inputs_that_never_move_do_not_count():
    random = np.random.default_rng(0)
    weights = random.normal(0, 0.1, (3, 40))
    inputs = random.integers(0, 16, (50, 40))
    inputs[:, 20:] = 0
    quiet = network(weights)
    loud = network(np.hstack([weights[:, :20], 7 * weights[:, 20:]]))
    scale = with_active_scales(quiet, inputs, weight_bits=4).scales["output"]
    other = with_active_scales(loud, inputs, weight_bits=4).scales["output"]

    def error(scale):
        rounded = np.clip(np.rint(weights[:, :20] / scale[:, None]), -8, 7) * scale[:, None]
        return ((rounded - weights[:, :20]) ** 2).sum()

    assert error(other) < 1.3 * error(scale)
    assert error(7 * scale) > 5 * error(scale)


@pytest.mark.parametrize("bits", [3, 4, 8])
def test_currents_err_less_than_with_the_widest_grid(bits):
    random = np.random.default_rng(1)
    weights = random.standard_t(3, (6, 100))
    inputs = (random.integers(0, 16, (200, 100)) * (np.arange(100) % 3 == 0)).astype(np.int64)
    model = with_active_scales(network(weights), inputs, weight_bits=bits)

    def error(scale):
        scale = np.asarray(scale)[:, None]
        rounded = np.clip(np.rint(weights / scale), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1) * scale
        return (((rounded - weights) @ inputs.T) ** 2).sum(1)

    widest = np.abs(weights).max(1) / (2 ** (bits - 1) - 1)
    assert error(model.scales["output"]).sum() < (0.9 if bits < 8 else 1.01) * error(widest).sum()


def test_scales_times_weights_are_exact_in_half_precision():
    random = np.random.default_rng(2)
    model = with_active_scales(
        network(random.normal(0, 0.1, (30, 40))), random.integers(0, 16, (20, 40)), weight_bits=4
    )
    products = np.arange(-8, 8) * np.asarray(model.scales["output"])[:, None]
    np.testing.assert_array_equal(products.astype(np.float16).astype(np.float64), products)


def test_no_channel_widens_the_membranes_of_all():
    random = np.random.default_rng(3)
    weights = random.normal(0, 0.1, (9, 40))
    weights[4] *= 1e-4
    scale = with_active_scales(network(weights), random.integers(0, 16, (20, 40)), weight_bits=4).scales["output"]
    assert scale.min() >= np.median(scale) / 16.2
    assert scale.argmin() == 4


def test_rows_and_sets_of_zeros_get_a_scale():
    weights = np.array([[0.5, -0.25, 0.3], [0, 0, 0]])
    for inputs in (np.ones((4, 3), np.int64), np.zeros((4, 3), np.int64)):
        scale = with_active_scales(network(weights), inputs, weight_bits=4).scales["output"]
        assert (scale > 0).all()


def test_a_second_connection_shares_the_scale_in_its_own_worth():
    random = np.random.default_rng(4)
    loop = Synapses(source="output", target="output", kind="dense", weights=random.normal(0, 0.005, (3, 3)), delay=1)
    model = network(random.normal(0, 0.1, (3, 20)), more=(loop,))
    model = replace(model, input=replace(model.input, lsb=1 / 16))
    inputs = random.integers(0, 16, (20, 20))
    scaled = with_active_scales(model, inputs, weight_bits=8)
    integers, _ = quantize(scaled, weight_bits=8, inputs=inputs)
    recurrent = integers.connections[1].weights * np.asarray(scaled.scales["output"])[:, None] / 16
    np.testing.assert_allclose(recurrent, loop.weights, atol=0.51 * scaled.scales["output"].max() / 16)
