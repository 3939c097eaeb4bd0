from dataclasses import replace

import numpy as np
import pytest

from quant.activity import by_channel
from quant.calibrate import (
    as_float,
    bits_of,
    exact_scale,
    fitted_scale,
    measured_ranges,
    population_scale,
    with_scales,
)
from quant.errors import NetworkError
from quant.graph import Synapses
from quant.model import FloatInput, FloatNetwork, FloatPopulation, FloatReadout, load_model, save_model
from quant.ranges import Range
from quant.rounding import channel_scale, round_weights, weight_limits
from quant.simulate import run_float
from tests.whole import random_connection, random_inputs, random_network


def square_error(rows, scale, bits):
    low, high = weight_limits(bits)
    return ((rows - np.clip(np.rint(rows / scale[:, None]), low, high) * scale[:, None]) ** 2).sum(axis=1)


def model(weights, *, lsb=1.0, readout="count", connections=(), **fields):
    weights = np.asarray(weights, float)
    population = {"name": "p", "shape": weights.shape[:1], "threshold": 1.0}
    return FloatNetwork(
        name="net",
        steps=4,
        input=FloatInput(shape=weights.shape[1:], low=-8, high=8, lsb=lsb),
        populations=(FloatPopulation(**population | fields),),
        connections=(Synapses(source="input", target="p", kind="dense", weights=weights), *connections),
        readout=FloatReadout(population="p", kind=readout),
    )


@pytest.mark.parametrize("seed", range(40))
def test_rows_hold_the_weights_of_their_channel_and_no_others(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 5, 3))
    connection = random_connection(rng, "input", "p", shape, binary=True)
    target = connection.target_shape(shape)
    scale = np.arange(1.0, target[0] + 1)
    weights = connection.weights if connection.weights.ndim else np.full(target[0], connection.weights)
    fields = {key: value for key, value in vars(connection).items() if key != "weight_bits"}
    spread = Synapses(**fields | {"weights": weights})
    scaled = replace(spread, weights=weights * channel_scale(spread, target, scale))
    np.testing.assert_allclose(by_channel(scaled, target), by_channel(connection, target) * scale[:, None])
    assert by_channel(connection, target).size == max(connection.weights.size, target[0])


def test_rows_of_a_transposed_convolution_worked_by_hand():
    weights = np.arange(12).reshape(4, 3, 1, 1)
    connection = Synapses(source="a", target="b", kind="conv_transpose2d", weights=weights, groups=2)
    assert by_channel(connection, (6, 1, 1)).tolist() == [[0, 3], [1, 4], [2, 5], [6, 9], [7, 10], [8, 11]]


def test_amounts_are_measured_in_the_worth_of_an_input():
    # The unit is scale * 4: a bias of 1 asks for a scale of 0.25, and a bias of 2 for one of 0.5.
    assert population_scale(model([[0.5, 1.0]], lsb=4.0, bias=1.0), "p", 4) == [0.25]
    assert population_scale(model([[0.5, 1.0]], lsb=4.0, bias=2.0), "p", 4) == [0.5]


def test_the_largest_weight_just_fits_either_end():
    rows = np.array([[0.7, -0.7], [0.7, -0.8], [0.1, -0.8], [0.0, 0.0]])
    np.testing.assert_allclose(fitted_scale(rows, 4, "max"), [0.1, 0.1, 0.1, 0.0])


def test_percentiles_clip_outliers_and_never_widen():
    rows = np.concatenate([np.linspace(-0.7, 0.7, 10_001), [50.0]])[None]
    assert fitted_scale(rows, 4, "max")[0] == pytest.approx(50 / 7)
    assert fitted_scale(rows, 4, "percentile")[0] == pytest.approx(0.1, rel=1e-2)
    assert fitted_scale(np.array([[-0.8, 0.1]]), 4, "percentile")[0] == pytest.approx(0.1)
    sparse = np.zeros((1, 10_000))
    sparse[0, 0] = 0.7
    assert fitted_scale(sparse, 4, "percentile")[0] == pytest.approx(0.1)


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_the_mean_square_error_is_least(bits):
    rows = np.random.default_rng(0).normal(size=(20, 300)) * np.logspace(-3, 3, 20)[:, None]
    scale = fitted_scale(rows, bits, "mse")
    best = square_error(rows, scale, bits)
    assert (best <= square_error(rows, fitted_scale(rows, bits, "max"), bits)).all()
    assert (best <= square_error(rows, fitted_scale(rows, bits, "percentile"), bits) * 1.01).all()
    for factor in (0.95, 1.05):
        assert (best <= square_error(rows, scale * factor, bits) * 1.01).all()


def test_another_method_is_refused():
    with pytest.raises(
        NetworkError, match=r"^Calibration method must be one of mse, max, percentile, active, not 'kl'$"
    ):
        fitted_scale(np.ones((1, 2)), 4, "kl")


@pytest.mark.parametrize(
    ("rows", "amounts", "bits", "fine", "scale"),
    [
        ([[0.5, -1.5]], [[0.0]], 4, False, 0.5),
        ([[0.5, -1.5]], [[0.25]], 4, False, 0.25),
        ([[0.5, -1.5]], [[0.2]], 4, False, 0.25),
        ([[0.5, -1.5]], [[0.0]], 4, True, 0.25),
        ([[0.5, -1.5]], [[0.125]], 5, True, 0.125),
        ([[0.5, -1.5]], [[0.0]], 2, False, 0.0),
        ([[7.0, 1.0]], [[0.0]], 4, False, 1.0),
        ([[-8.0, 1.0]], [[0.0]], 4, False, 1.0),
        ([[8.0, 1.0]], [[0.0]], 4, False, 0.0),
        ([[-9.0, 1.0]], [[0.0]], 4, False, 0.0),
        ([[3.0, 6.0]], [[0.0]], 4, False, 3.0),
        ([[3.0, 6.0]], [[1.0]], 4, False, 1.0),
        ([[0.3, -0.7, 0.1]], [[0.4]], 4, False, 0.1),
        ([[0.3, -0.7, 0.123]], [[0.0]], 4, False, 0.0),
        ([[0.0, 0.0]], [[0.0]], 4, False, 0.0),
        ([[0.0, 0.0]], [[0.0]], 4, True, 0.0),
    ],
)
def test_exact_scales_worked_by_hand(rows, amounts, bits, fine, scale):
    assert exact_scale(np.array(rows), np.array(amounts), bits, fine=fine)[0] == pytest.approx(scale)


def test_dyadic_weights_of_any_width_come_out_exactly():
    rng = np.random.default_rng(0)
    for bits in (2, 3, 4, 5, 6, 7, 8, 11, 16):
        low, high = weight_limits(bits)
        for fine in (False, True):
            integers = rng.integers(low, high + 1, (50, 20))
            units = 2.0 ** rng.integers(-20, 20, (50, 1))
            scale = exact_scale(integers * units, np.zeros((50, 1)), bits, fine=fine)[:, None]
            np.testing.assert_array_equal(round_weights(integers * units, scale, bits) * scale, integers * units)


def test_weights_of_float32_on_a_decimal_grid_are_recognised():
    integers = np.random.default_rng(0).integers(-8, 8, (5, 40))
    rows = (integers.astype(np.float32) * np.float32(0.1)).astype(float)
    scale = exact_scale(rows, np.zeros((5, 1)), 4, fine=False)
    np.testing.assert_allclose(scale, 0.1, rtol=1e-6)
    np.testing.assert_array_equal(round_weights(rows, scale[:, None], 4), integers)


def test_scales_are_per_channel_and_fit():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(6, 50)) * np.array([[1.0], [2.0], [3.0], [0.5], [1.0], [4.0]])
    scale = population_scale(model(weights), "p", 4)
    np.testing.assert_allclose(scale, fitted_scale(weights, 4))


def test_a_population_read_by_its_membranes_has_one_scale():
    weights = np.random.default_rng(0).normal(size=(6, 50)) * np.arange(1.0, 7)[:, None]
    scale = population_scale(model(weights, threshold=None, reset="none", readout="membrane"), "p", 4)
    np.testing.assert_allclose(scale, fitted_scale(weights.reshape(1, -1), 4)[0])


def test_exact_weights_stay_exact_beside_others():
    weights = np.random.default_rng(0).normal(size=(2, 50))
    weights[1] = np.random.default_rng(1).integers(-8, 8, 50) * 0.25
    scale = population_scale(model(weights), "p", 4)
    assert scale[1] == 0.25


def test_a_leak_asks_for_the_finest_scale():
    weights = [[1.0, -3.0], [1.0, -3.0]]
    assert population_scale(model(weights), "p", 4).tolist() == [1.0, 1.0]
    assert population_scale(model(weights, decay=0.5), "p", 4).tolist() == [0.5, 0.5]
    assert population_scale(model(weights, current_decay=0.5), "p", 4).tolist() == [0.5, 0.5]
    assert population_scale(model(weights, decay=0.0), "p", 4).tolist() == [1.0, 1.0]


def test_a_channel_without_weights_takes_a_scale_for_its_bias():
    weights = np.array([[0.3, -0.123, 0.7], [0.0, 0.0, 0.0], [0.2, 0.111, 0.5]])
    scale = population_scale(model(weights, bias=[0.1, 0.25, 0.0]), "p", 4)
    assert scale[1] == 0.25
    scale = population_scale(model(weights), "p", 4)
    assert scale[1] == scale.max()
    assert scale[1] in scale[[0, 2]]
    assert population_scale(model(np.zeros((2, 3))), "p", 4).tolist() == [1.0, 1.0]
    assert population_scale(model(np.zeros((2, 3)), threshold=0.0, strict=True), "p", 4).tolist() == [1.0, 1.0]


def test_a_weak_channel_does_not_widen_all_membranes():
    weights = np.random.default_rng(0).normal(size=(5, 30))
    weights[4] *= 1e-6
    scale = population_scale(model(weights), "p", 4)
    assert (1 / scale).max() == pytest.approx(32 * np.median(1 / fitted_scale(weights, 4)))


def test_all_connections_of_a_population_share_one_unit():
    loop = Synapses(source="p", target="p", kind="dense", weights=np.array([[4.0, 8.0], [2.0, 0.0]]), delay=1)
    net = model([[2.0, 4.0], [1.0, 2.0]], lsb=4.0, connections=(loop,))
    # In worth of the input's events, the loop's weights are a quarter of what they are for spikes.
    assert population_scale(net, "p", 4).tolist() == [1.0, 0.5]
    turned = replace(net, connections=net.connections[::-1])
    assert population_scale(turned, "p", 4).tolist() == [4.0, 2.0]


def test_scales_that_the_model_has_are_kept():
    net = replace(model(np.random.default_rng(0).normal(size=(2, 9))), scales={"p": [0.3, 0.4]})
    assert with_scales(net).scales["p"].tolist() == [0.3, 0.4]
    assert with_scales(replace(net, scales={})).scales["p"].shape == (2,)


@pytest.mark.parametrize(
    ("bits", "sentence"),
    [
        (1, "Population p: weights must be of 2 to 16 bits, or ternary, not 1"),
        (17, "Population p: weights must be of 2 to 16 bits, or ternary, not 17"),
        (4.0, r"Population p: weights must be of 2 to 16 bits, or ternary, not 4\.0"),
        ("binary", "Population p: weights must be of 2 to 16 bits, or ternary, not 'binary'"),
        (True, "Population p: weights must be of 2 to 16 bits, or ternary, not True"),
        ({"q": 4}, "Weight bits must be given for p, not for q"),
        ({"p": 4, "q": 4}, "Weight bits must be given for p, not for p, q"),
        ({}, "Weight bits must be given for p, not for "),
    ],
)
def test_weight_bits_that_do_not_fit_are_refused(bits, sentence):
    with pytest.raises(NetworkError, match=f"^{sentence}$"):
        bits_of(model(np.eye(2)), bits)


def test_weight_bits_may_differ_by_population():
    assert bits_of(model(np.eye(2)), {"p": np.int64(3)}) == {"p": 3}
    assert bits_of(model(np.eye(2)), 5) == {"p": 5}


def test_the_float_twin_of_an_integer_network_can_be_saved(tmp_path):
    rng = np.random.default_rng(0)
    network = random_network(rng)
    inputs = random_inputs(rng, network, 5)
    twin = as_float(network)
    save_model(tmp_path / "twin", twin)
    again = load_model(tmp_path / "twin")
    np.testing.assert_array_equal(run_float(again, inputs).scores, run_float(twin, inputs).scores)


def test_ranges_are_those_of_the_stored_membranes_and_currents():
    net = model(np.eye(2), threshold=100.0, decay=0.5, current_decay=0.25)
    inputs = np.array([[[8, -8], [0, 0]], [[3, 0], [3, 1]]])
    # Neuron 0: I' = 8, 2; I = 2, .5; H = 8, 6; V = 4, 3. Neuron 1 its mirror.
    assert measured_ranges(net, inputs) == {"p": (Range(-4, 4), Range(-2, 2))}
    first_order = model(np.eye(2), threshold=100.0, decay=0.3)
    assert measured_ranges(first_order, inputs) == {"p": (Range(-3, 3), Range(0, 0))}


def test_ternary_weights_are_of_one_unit_either_way():
    rows = np.array([[0.5, -0.5, 0.1, 0.0]])
    assert fitted_scale(rows, "ternary", "max")[0] == 0.5
    assert bits_of(model(np.eye(2)), "ternary") == {"p": "ternary"}
    assert exact_scale(np.array([[0.5, 0.0, -0.5]]), np.zeros((1, 1)), "ternary", fine=True)[0] == 0.5
    assert exact_scale(np.array([[0.5, 0.25, -0.5]]), np.zeros((1, 1)), "ternary", fine=False)[0] == 0


def test_active_scales_follow_the_weights_whose_inputs_move():
    weights = np.random.default_rng(0).normal(size=(3, 40))
    weights[:, 20:] *= 3
    inputs = np.random.default_rng(1).integers(-8, 9, (30, 4, 40))
    inputs[..., 20:] = 0
    net = model(weights)
    active = with_scales(net, weight_bits=4, method="active", inputs=inputs).scales["p"]
    alone = with_scales(model(weights[:, :20]), weight_bits=4, method="active", inputs=inputs[..., :20]).scales["p"]
    np.testing.assert_allclose(active, alone, rtol=0.3)
    assert (active < 0.7 * with_scales(net, weight_bits=4).scales["p"]).all()


def test_active_calibration_needs_samples():
    with pytest.raises(NetworkError, match=r"^Calibration method active needs calibration samples; give them, or use"):
        with_scales(model(np.eye(2)), method="active")
