import re

import numpy as np
import pytest
import reference
import whole
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.errors import NetworkError
from quant.graph import Synapses
from quant.ops import Operator, apply


def synapses(kind, weights, **options):
    return Synapses(source="a", target="b", kind=kind, weights=np.asarray(weights), **options)


def brought(connection, shape, values):
    return apply(connection, shape, np.asarray(values).reshape(1, -1))[0].tolist()


MAP = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


@pytest.mark.parametrize(
    ("connection", "shape", "values", "expected"),
    [
        (synapses("dense", [[1, 2, 3], [-4, 0, 5]]), (3,), [1, 10, 100], [321, 496]),
        (synapses("dense", [[1, 2]], pool=(1, 2)), (1, 1, 5), [1, 2, 3, 4, 100], [17]),
        (synapses("identity", 3), (3,), [1, -1, 0], [3, -3, 0]),
        (synapses("identity", [3, 5]), (2, 1, 2), [1, 2, 3, 4], [3, 6, 15, 20]),
        (synapses("identity", [[[1, 2], [3, 4]]]), (1, 2, 2), [1, 1, 2, 2], [1, 2, 6, 8]),
        (synapses("identity", 1, pool=(2, 2)), (1, 3, 3), MAP, [12]),
        (synapses("identity", 1, pool=(1, 3)), (1, 3, 3), MAP, [6, 15, 24]),
        (synapses("max_pool", 7, kernel=(2, 2)), (1, 2, 4), [0, 0, 0, 1, 0, 0, 1, 1], [0, 7]),
        (synapses("max_pool", [7, -2], kernel=(1, 2)), (2, 1, 2), [0, 1, 1, 1], [7, -2]),
        (
            synapses("max_pool", 1, kernel=(2, 2), stride=(1, 1), padding=(1, 0)),
            (1, 2, 3),
            [0, 0, 1, 0, 0, 0],
            [0, 1, 0, 1, 0, 0],
        ),
        (synapses("conv2d", [[[[1, 10], [100, 1000]]]]), (1, 3, 3), MAP, [5421, 6532, 8754, 9865]),
        (
            synapses("conv2d", [[[[1, 10], [100, 1000]]]], stride=(2, 2), padding=(1, 1)),
            (1, 3, 3),
            MAP,
            [1000, 3200, 7040, 9865],
        ),
        (synapses("conv2d", [[[[2]]], [[[3]]]], groups=2), (2, 1, 2), [1, 2, 3, 4], [2, 4, 9, 12]),
        (synapses("conv2d", [[[[2]], [[3]]]]), (2, 1, 2), [1, 2, 3, 4], [11, 16]),
        (synapses("conv_transpose2d", [[[[1, 10, 100]]]], stride=(1, 2)), (1, 1, 2), [1, 2], [1, 10, 102, 20, 200]),
        (synapses("conv_transpose2d", [[[[1, 10, 100]]]], padding=(0, 1)), (1, 1, 2), [1, 2], [12, 120]),
        (
            synapses("conv_transpose2d", [[[[1, 10]]]], stride=(1, 3), output_padding=(1, 2)),
            (1, 1, 2),
            [1, 2],
            [1, 10, 0, 2, 20, 0, 0] + [0] * 7,
        ),
        (synapses("conv_transpose2d", [[[[2]]], [[[3]]]], groups=2), (2, 1, 1), [5, 7], [10, 21]),
        (synapses("conv_transpose2d", [[[[2]], [[4]]], [[[3]], [[6]]]]), (2, 1, 1), [5, 7], [31, 62]),
    ],
)
def test_brings_what_was_worked_out_by_hand(connection, shape, values, expected):
    assert brought(connection, shape, values) == expected


@pytest.mark.parametrize("seed", range(150))
def test_equals_a_slow_loop_over_the_equations(seed):
    rng = np.random.default_rng(seed)
    shape = whole.random_shape(rng)
    binary = bool(rng.random() < 0.5)
    connection = whole.random_connection(rng, "a", "b", shape, binary=binary)
    values = rng.integers(0 if binary else -3, 2 if binary else 4, (3, int(np.prod(shape))))
    expected = [reference.bring(connection, shape, row) for row in values.tolist()]
    np.testing.assert_array_equal(apply(connection, shape, values), expected)
    np.testing.assert_array_equal(apply(connection, shape, values, dtype=np.float32), expected)


@pytest.mark.parametrize(
    ("values", "weights", "dtype", "expected"),
    [
        (np.int8, np.int64, None, np.int64),
        (np.bool_, np.int64, None, np.int64),
        (np.float64, np.float64, None, np.float64),
        (np.float32, np.float32, None, np.float32),
        (np.int8, np.float64, None, np.float64),
        (np.int8, np.int64, np.float32, np.float32),
    ],
)
@pytest.mark.parametrize("kind", ["dense", "conv2d", "conv_transpose2d", "max_pool", "identity"])
def test_has_the_type_that_values_and_weights_promote_to_unless_told(kind, values, weights, dtype, expected):
    shapes = {"dense": (2, 4), "conv2d": (1, 1, 1, 1), "conv_transpose2d": (1, 1, 1, 1), "max_pool": (), "identity": ()}
    kernel = (1, 1) if kind == "max_pool" else None
    connection = synapses(kind, np.ones(shapes[kind], weights), kernel=kernel)
    result = apply(connection, (1, 2, 2), np.ones((2, 4), values), dtype=dtype)
    assert result.dtype == expected
    assert (result == (4 if kind == "dense" else 1)).all()


def test_sums_of_small_values_do_not_wrap():
    connection = synapses("identity", np.array(1), pool=(16, 16))
    assert apply(connection, (1, 16, 16), np.full((1, 256), 127, np.int8)).tolist() == [[127 * 256]]


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=60)
def test_is_linear_but_for_max_pool(seed):
    rng = np.random.default_rng(seed)
    shape = whole.random_shape(rng)
    connection = whole.random_connection(rng, "a", "b", shape, binary=False)
    one, other = rng.integers(-9, 10, (2, 2, int(np.prod(shape))))
    together = apply(connection, shape, one + 2 * other)
    np.testing.assert_array_equal(together, apply(connection, shape, one) + 2 * apply(connection, shape, other))


def test_an_operator_is_made_once_and_used_often():
    operator = Operator(synapses("dense", [[1, 2]]), (2,), np.int32)
    assert operator(np.array([[1, 1], [2, 0]], np.int8)).tolist() == [[3], [2]]
    assert operator(np.array([[0, 5]])).tolist() == [[10]]


@pytest.mark.parametrize("shape", [(1, 3), (2,), (1, 1, 2)])
def test_refuses_values_of_another_shape(shape):
    message = f"Connection a -> b: values must be of shape (B, 2), not {shape}"
    with pytest.raises(NetworkError, match=f"^{re.escape(message)}$"):
        apply(synapses("dense", [[1, 2]]), (2,), np.zeros(shape))


@pytest.mark.parametrize("kind", ["dense", "conv2d", "conv_transpose2d", "max_pool", "identity"])
def test_an_empty_batch_brings_nothing(kind):
    shapes = {"dense": (2, 1), "conv2d": (1, 1, 1, 1), "conv_transpose2d": (1, 1, 1, 1), "max_pool": (), "identity": ()}
    kernel = (1, 1) if kind == "max_pool" else None
    connection = synapses(kind, np.ones(shapes[kind], int), kernel=kernel, pool=(2, 1))
    assert apply(connection, (1, 2, 1), np.zeros((0, 2))).shape == (0, 2 if kind == "dense" else 1)
