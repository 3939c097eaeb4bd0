import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quant.errors import NetworkError
from quant.graph import Synapses, check_name, check_shape, frozen, topological_order


def synapses(kind="dense", weights=None, **fields):
    weights = np.ones((2, 3)) if weights is None else np.asarray(weights)
    return Synapses(**{"source": "a", "target": "b", **fields}, kind=kind, weights=weights)


def refuses(build, sentence):
    with pytest.raises(NetworkError, match=f"^{re.escape(sentence)}$"):
        build()


@pytest.mark.parametrize("name", ["a", "Layer_1", "x" * 63])
def test_names_that_are_verilog_identifiers(name):
    check_name(name, "Population")


@pytest.mark.parametrize("name", ["", "_a", "1a", "a b", "a-b", "ä", "a\n", "x" * 64, None, 3, b"a"])
def test_other_names_are_refused(name):
    refuses(
        lambda: check_name(name, "Population"),
        f"Population name must be a letter followed by at most 62 letters, digits or underscores, not {name!r}",
    )


@pytest.mark.parametrize("shape", [(1,), [3, 4, 5], np.array([2, 3, 4]), (1 << 24,)])
def test_shapes_of_one_or_three_axes(shape):
    assert check_shape(shape, "Input") == tuple(int(size) for size in shape)


@pytest.mark.parametrize("shape", [(), (1, 2), (1, 2, 3, 4), (0,), (3, -1, 2), ((1 << 24) + 1,), (1 << 12, 1 << 12, 2)])
def test_other_shapes_are_refused(shape):
    refuses(
        lambda: check_shape(shape, "Input"),
        f"Input: shape must be (N,) or (C, H, W) of 1 to 16777216 neurons, not {shape!r}",
    )


@pytest.mark.parametrize("shape", [None, 7, ("a",), ((1, 2),), (2.5,)])
def test_what_is_no_shape_is_refused(shape):
    refuses(lambda: check_shape(shape, "Input"), f"Input: shape must be (N,) or (C, H, W), not {shape!r}")


def test_frozen_copies_in_c_order():
    array = np.asfortranarray(np.arange(6).reshape(2, 3))
    copy = frozen(array)
    array[0, 0] = 9
    assert copy[0, 0] == 0
    assert copy.flags.c_contiguous
    assert not copy.flags.writeable


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"source": "a b"},
            "Connection source name must be a letter followed by at most 62 letters, digits or underscores, not 'a b'",
        ),
        (
            {"target": "0"},
            "Connection target name must be a letter followed by at most 62 letters, digits or underscores, not '0'",
        ),
        (
            {"kind": "conv1d"},
            "Connection a -> b: kind must be one of dense, conv2d, conv_transpose2d, max_pool, identity, not 'conv1d'",
        ),
        ({"delay": -1}, "Connection a -> b: delay must be 0 or 1 step, not -1"),
        ({"groups": 0}, "Connection a -> b: groups must be at least 1, not 0"),
        ({"groups": 1.5}, "Connection a -> b: groups must be at least 1, not 1.5"),
        ({"kernel": 2}, "Connection a -> b: kernel must be given for max_pool and for nothing else"),
        (
            {"kind": "max_pool", "weights": 1.0},
            "Connection a -> b: kernel must be given for max_pool and for nothing else",
        ),
        ({"kind": "max_pool", "weights": 1.0, "kernel": 0}, "Connection a -> b: kernel must be at least 1, not 0"),
        ({"stride": 0}, "Connection a -> b: stride must be at least 1, not 0"),
        ({"stride": (1, 2, 3)}, "Connection a -> b: stride must be one integer or two, not (1, 2, 3)"),
        ({"stride": "ab"}, "Connection a -> b: stride must be one integer or two, not 'ab'"),
        ({"stride": (1, 2.5)}, "Connection a -> b: stride must be one integer or two, not (1, 2.5)"),
        ({"padding": -1}, "Connection a -> b: padding must be at least 0, not -1"),
        ({"padding": None}, "Connection a -> b: padding must be one integer or two, not None"),
        ({"output_padding": (0, -1)}, "Connection a -> b: output_padding must be at least 0, not (0, -1)"),
        ({"pool": (1, 0)}, "Connection a -> b: pool must be at least 1, not (1, 0)"),
        ({"weights": np.ones(3)}, "Connection a -> b: weights of shape (3,) do not fit kind dense"),
        ({"weights": np.ones((0, 3))}, "Connection a -> b: weights of shape (0, 3) do not fit kind dense"),
        (
            {"kind": "conv2d", "weights": np.ones((2, 3))},
            "Connection a -> b: weights of shape (2, 3) do not fit kind conv2d",
        ),
        (
            {"kind": "identity", "weights": np.ones((2, 3))},
            "Connection a -> b: weights of shape (2, 3) do not fit kind identity",
        ),
        (
            {"kind": "max_pool", "kernel": 2, "weights": np.ones((2, 3, 4))},
            "Connection a -> b: weights of shape (2, 3, 4) do not fit kind max_pool",
        ),
    ],
)
def test_synapses_refuse(fields, sentence):
    refuses(lambda: synapses(**fields), sentence)


def test_one_integer_stands_for_two():
    item = synapses(kind="conv2d", weights=np.ones((2, 3, 1, 1)), stride=2, padding=np.int64(1), pool=3)
    assert (item.stride, item.padding, item.pool) == ((2, 2), (1, 1), (3, 3))


def test_stride_of_max_pool_is_its_kernel_unless_given():
    assert synapses(kind="max_pool", weights=1.0, kernel=(2, 3)).stride == (2, 3)
    assert synapses(kind="max_pool", weights=1.0, kernel=(2, 3), stride=1).stride == (1, 1)
    assert synapses().stride == (1, 1)


@pytest.mark.parametrize(
    ("fields", "source", "target"),
    [
        ({}, (3,), (2,)),
        ({}, (3, 1, 1), (2,)),
        ({"pool": 2}, (3, 2, 3), (2,)),
        ({"kind": "identity", "weights": 1.0}, (3, 2, 2), (3, 2, 2)),
        ({"kind": "identity", "weights": np.ones(3)}, (3, 2, 2), (3, 2, 2)),
        ({"kind": "identity", "weights": np.ones((3, 2, 2))}, (3, 2, 2), (3, 2, 2)),
        ({"kind": "identity", "weights": np.ones((3, 2, 2)), "pool": (1, 2)}, (3, 2, 5), (3, 2, 2)),
        ({"kind": "identity", "weights": np.ones(4)}, (4,), (4,)),
        ({"kind": "max_pool", "weights": 1.0, "kernel": 2}, (3, 4, 5), (3, 2, 2)),
        ({"kind": "max_pool", "weights": np.ones(3), "kernel": 3, "stride": 2, "padding": 1}, (3, 4, 5), (3, 2, 3)),
        ({"kind": "conv2d", "weights": np.ones((5, 3, 3, 2))}, (3, 4, 5), (5, 2, 4)),
        ({"kind": "conv2d", "weights": np.ones((4, 2, 3, 3)), "groups": 2, "padding": (1, 0)}, (4, 4, 5), (4, 4, 3)),
        ({"kind": "conv2d", "weights": np.ones((5, 3, 3, 3)), "stride": (2, 3), "pool": 2}, (3, 8, 12), (5, 1, 2)),
        ({"kind": "conv_transpose2d", "weights": np.ones((3, 5, 2, 2)), "stride": 2}, (3, 2, 3), (5, 4, 6)),
        (
            {"kind": "conv_transpose2d", "weights": np.ones((4, 3, 3, 3)), "groups": 2, "padding": 1}
            | {"output_padding": (1, 0), "stride": 2},
            (4, 3, 3),
            (6, 6, 5),
        ),
    ],
)
def test_target_shapes(fields, source, target):
    assert synapses(**fields).target_shape(source) == target


@pytest.mark.parametrize(
    ("fields", "source", "sentence"),
    [
        ({}, (4,), "Connection a -> b: weights take 3 inputs, but the source has 4"),
        ({"pool": 2}, (12,), "Connection a -> b: pool (2, 2) does not fit a source of shape (12,)"),
        ({"pool": (1, 4)}, (3, 3, 3), "Connection a -> b: pool (1, 4) does not fit a source of shape (3, 3, 3)"),
        (
            {"kind": "identity", "weights": np.ones(2)},
            (3, 2, 2),
            "Connection a -> b: weights of shape (2,) do not fit a source of shape (3, 2, 2)",
        ),
        (
            {"kind": "conv2d", "weights": np.ones((5, 3, 3, 3))},
            (27,),
            "Connection a -> b: conv2d needs a source of shape (C, H, W), not (27,)",
        ),
        (
            {"kind": "conv2d", "weights": np.ones((5, 3, 3, 3))},
            (2, 3, 3),
            "Connection a -> b: weights of shape (5, 3, 3, 3) in 1 groups do not fit 2 source channels",
        ),
        (
            {"kind": "conv2d", "weights": np.ones((5, 3, 3, 3)), "groups": 2},
            (6, 3, 3),
            "Connection a -> b: weights of shape (5, 3, 3, 3) in 2 groups do not fit 6 source channels",
        ),
        (
            {"kind": "conv_transpose2d", "weights": np.ones((4, 3, 2, 2)), "groups": 3},
            (4, 3, 3),
            "Connection a -> b: weights of shape (4, 3, 2, 2) in 3 groups do not fit 4 source channels",
        ),
        (
            {"kind": "max_pool", "weights": np.ones(2), "kernel": 2},
            (3, 3, 3),
            "Connection a -> b: weights of shape (2,) in 1 groups do not fit 3 source channels",
        ),
        (
            {"kind": "conv2d", "weights": np.ones((5, 3, 3, 3))},
            (3, 2, 9),
            "Connection a -> b: nothing is left of a map of 2 x 9",
        ),
        (
            {"kind": "conv_transpose2d", "weights": np.ones((3, 5, 2, 2)), "padding": 1},
            (3, 1, 1),
            "Connection a -> b: nothing is left of a map of 1 x 1",
        ),
    ],
)
def test_sources_that_do_not_fit(fields, source, sentence):
    refuses(lambda: synapses(**fields).target_shape(source), sentence)


@settings(derandomize=True, deadline=None)
@given(
    size=st.integers(1, 12),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    padding=st.integers(0, 3),
    transposed=st.booleans(),
)
def test_maps_are_as_large_as_the_windows_that_fit(size, kernel, stride, padding, transposed):
    if transposed:
        touched = {y * stride + k - padding for y in range(size) for k in range(kernel)}
        expected = max(touched) + 1 - padding
    else:
        expected = len([y for y in range(-padding, size + padding - kernel + 1) if (y + padding) % stride == 0])
    item = synapses(
        kind="conv_transpose2d" if transposed else "conv2d",
        weights=np.ones((1, 1, kernel, 1)),
        stride=(stride, 1),
        padding=(padding, 0),
    )
    if expected < 1:
        with pytest.raises(NetworkError, match="nothing is left"):
            item.target_shape((1, size, 1))
    else:
        assert item.target_shape((1, size, 1)) == (1, expected, 1)


def joined(*pairs, delay=0):
    return [synapses(source=source, target=target, delay=delay) for source, target in pairs]


def test_order_keeps_what_is_given_where_it_can():
    assert topological_order("abc", []) == ("a", "b", "c")
    assert topological_order("cba", joined(("input", "a"), ("a", "b"))) == ("c", "a", "b")
    assert topological_order("abcd", joined(("d", "a"), ("c", "d"))) == ("b", "c", "d", "a")


def test_delayed_connections_may_lead_back():
    edges = [*joined(("a", "b")), *joined(("b", "a"), ("a", "a"), delay=1)]
    assert topological_order("ab", edges) == ("a", "b")


def test_a_loop_is_named():
    refuses(
        lambda: topological_order("abcd", joined(("a", "b"), ("b", "c"), ("c", "b"), ("c", "d"))),
        "Connections of delay 0 must not form a loop, but they do among b, c, d; give the one that leads back delay 1",
    )
