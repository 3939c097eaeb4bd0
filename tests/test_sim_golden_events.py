"""The golden model event by event: the same integers as by products of matrices, and as the slow interpreter's."""

import os
import subprocess
import sys

import numpy as np
import pytest
import reference
import whole
from small import EVERYTHING, network

from quant.ir import Connection, Input, Population, Readout
from quant.ops import apply
from quant.ranges import Range, fan_in
from sim import golden
from sim.golden import drive, engine
from sim.golden.drive import Drive
from sim.golden.events import EventSums, adds_up, kernels


@pytest.fixture
def by_events(monkeypatch):
    """Adding up event by event wherever it can be done."""
    monkeypatch.setattr(engine, "_WORTH_COMPILING", 0)
    monkeypatch.setattr(drive, "_FEW", 1.0)


@pytest.fixture
def never_multiplied(by_events, monkeypatch):
    def refuse(self, values, result):
        raise AssertionError(f"{self.connection.label} must be added up event by event")

    monkeypatch.setattr(Drive, "_multiply", refuse)


@pytest.mark.parametrize("seed", range(150))
@pytest.mark.usefixtures("by_events")
def test_random_networks_are_those_of_the_contract(seed):
    rng = np.random.default_rng(seed)
    model = whole.random_network(rng)
    inputs = whole.random_inputs(rng, model, 3)
    reference.assert_equal(golden.run(model, inputs, record=EVERYTHING), reference.run(model, inputs))


def summed(connection, source, values, result):
    return EventSums(connection, source, Range(-(1 << 20), 1 << 20))(kernels(), values, result)


def random_connection(rng, kind):
    """A connection, and the shape of its source."""
    channels, height, width = (int(n) for n in rng.integers((1, 3, 3), (4, 8, 8)))
    pool = tuple(int(n) for n in rng.integers(1, 3, 2))
    groups, fields = int(rng.integers(1, 3)), {}
    source = (groups * channels, height * pool[0] + int(rng.integers(0, pool[0])), width * pool[1])
    targets, taps = int(rng.integers(1, 4)), tuple(int(n) for n in rng.integers(1, 4, 2))
    if kind == "dense":
        shape = (targets, groups * channels * height * width)
    else:
        fields = {"groups": groups, "stride": tuple(int(n) for n in rng.integers(1, 4, 2))}
        fields["padding"] = tuple(int(rng.integers(0, n)) for n in taps)
        first = (groups * targets, channels) if kind == "conv2d" else (groups * channels, targets)
        shape = (*first, *taps)
    if kind == "conv_transpose2d":
        fields["output_padding"] = tuple(int(rng.integers(0, n)) for n in fields["stride"])
    weights = rng.integers(-8, 8, shape)
    return Connection(
        source="input", target="p", kind=kind, weights=weights, weight_bits=4, pool=pool, **fields
    ), source


@pytest.mark.parametrize("seed", range(100))
@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        ("dense", 0, 1),
        *((kind, low, high) for kind in ("conv2d", "conv_transpose2d") for low, high in ((0, 1), (-1, 1), (-500, 500))),
    ],
)
def test_connections_bring_what_a_product_brings(kind, seed, low, high):
    rng = np.random.default_rng(seed)
    connection, source = random_connection(rng, kind)
    values = rng.integers(low, high + 1, (4, np.prod(source))) * (rng.random((4, np.prod(source))) < 0.3)
    wanted = apply(connection, source, values)
    for held in (np.int64, np.int8) if high == 1 else (np.int64,):
        result = np.full((2, 2, wanted.shape[1]), 77, np.int32)
        counts = summed(connection, source, values.astype(held).reshape(2, 2, -1), result)
        np.testing.assert_array_equal(counts.ravel(), np.count_nonzero(values, axis=1))
        np.testing.assert_array_equal(result.reshape(wanted.shape), wanted)


def conv(weights, **fields):
    return Connection(source="input", target="p", kind="conv2d", weights=np.array(weights), weight_bits=8, **fields)


@pytest.mark.parametrize(
    ("connection", "source", "events", "wanted"),
    [
        pytest.param(
            conv([[[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]], padding=(1, 1)),
            (1, 3, 3),
            {4: 1},
            [9, 8, 7, 6, 5, 4, 3, 2, 1],
            id="a kernel is seen upside down",
        ),
        pytest.param(
            conv([[[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]], padding=(1, 1)),
            (1, 3, 3),
            {0: 1},
            [5, 4, 0, 2, 1, 0, 0, 0, 0],
            id="what lies outside the map is lost",
        ),
        pytest.param(
            conv([[[[1, 2, 3]]]], stride=(1, 2)), (1, 1, 5), {2: 1}, [3, 1], id="even columns meet two taps of a stride"
        ),
        pytest.param(conv([[[[1, 2, 3]]]], stride=(1, 2)), (1, 1, 5), {1: 1}, [2, 0], id="odd columns meet one"),
        pytest.param(conv([[[[1]]]], stride=(1, 3)), (1, 1, 4), {1: 1, 3: 2}, [0, 2], id="a stride skips columns"),
        pytest.param(
            conv([[[[2]]], [[[5]]]], groups=2), (2, 1, 2), {0: 1, 3: 1}, [2, 0, 0, 5], id="groups see their channels"
        ),
        pytest.param(conv([[[[1]]], [[[3]]]]), (1, 1, 2), {1: -4}, [0, -4, 0, -12], id="values multiply"),
        pytest.param(
            conv([[[[7]]]], pool=(1, 2)), (1, 1, 5), {0: 1, 1: 1, 4: 1}, [14, 0], id="pooling adds, and drops the rest"
        ),
        pytest.param(
            Connection(
                source="input", target="p", kind="dense", weights=np.array([[1, 10]]), weight_bits=8, pool=(2, 1)
            ),
            (1, 5, 1),
            {1: 1, 2: 1, 3: 1, 4: 1},
            [21],
            id="dense after pooling",
        ),
        pytest.param(
            Connection(
                source="input",
                target="p",
                kind="conv_transpose2d",
                weights=np.array([[[[1, 2, 3]]]]),
                weight_bits=8,
                stride=(1, 2),
                padding=(0, 1),
                output_padding=(0, 1),
            ),
            (1, 1, 2),
            {0: 1, 1: 10},
            [2, 13, 20, 30],
            id="transposed",
        ),
    ],
)
def test_events_worked_out_by_hand(connection, source, events, wanted):
    values = np.zeros((1, 1, np.prod(source)), np.int64)
    for address, value in events.items():
        values[0, 0, address] = value
    result = np.full((1, 1, len(wanted)), 77, np.int32)
    summed(connection, source, values, result)
    assert result[0, 0].tolist() == wanted


def read_out(connection, port):
    """A network that shows what a connection brings to one neuron."""
    shape = (1,) if connection.kind == "dense" else (1, 1, 1)
    rails = {"state_min": -(1 << 20), "state_max": 1 << 20}
    neurons = Population(name="p", shape=shape, threshold=None, reset="none", **rails)
    readout = Readout(population="p", kind="membrane")
    return network(neurons, connections=(connection,), port=port, readout=readout, steps=1)


@pytest.mark.usefixtures("never_multiplied")
@pytest.mark.parametrize("weight", [31, 32, -32, -33, 8191, 8192, -8192, -8193])
def test_four_rows_at_a_time_fit_their_type(weight):
    weights = np.full((1, 7), weight)
    connection = Connection(source="input", target="p", kind="dense", weights=weights, weight_bits=16)
    spikes = np.tri(8, 7, -1, dtype=np.uint8)[:, np.newaxis]
    assert golden.run(read_out(connection, Input(shape=(7,))), spikes).scores.ravel().tolist() == [
        count * weight for count in range(8)
    ]


@pytest.mark.usefixtures("never_multiplied")
@pytest.mark.parametrize("low", [-32768, -32769])
def test_sums_are_as_wide_as_their_bounds(low):
    weights = np.array([[-128] * 256 + [low + 32768]])
    connection = Connection(source="input", target="p", kind="dense", weights=weights, weight_bits=8)
    model = read_out(connection, Input(shape=(257,)))
    assert fan_in(connection, (257,), Range(0, 1)) == Range(low, 0)
    assert golden.run(model, np.ones((1, 1, 257), np.uint8)).scores.tolist() == [[low]]


@pytest.mark.usefixtures("never_multiplied")
@pytest.mark.parametrize(("low", "high", "dtype"), [(0, 127, "u1"), (0, 128, "u1"), (-128, 1, "i1"), (-129, 1, "i2")])
def test_values_are_as_wide_as_their_range(low, high, dtype):
    model = read_out(conv([[[[3]]]]), Input(shape=(1, 1, 1), low=low, high=high))
    assert golden.run(model, np.array([[[low]], [[high]]], dtype)).scores.tolist() == [[3 * low], [3 * high]]


@pytest.mark.parametrize(
    ("kind", "products"), [("dense", 2 * 6), ("conv2d", 6 * 2 * 3), ("conv_transpose2d", 6 * 4 * 5)]
)
def test_products_are_those_of_all_sources(kind, products):
    shapes = {
        "dense": ((2, 6), (1, 2, 3)),
        "conv2d": ((1, 1, 2, 3), (1, 3, 5)),
        "conv_transpose2d": ((1, 1, 2, 3), (1, 4, 5)),
    }
    weights, source = shapes[kind]
    connection = Connection(source="input", target="p", kind=kind, weights=np.ones(weights, int), weight_bits=4)
    assert Drive(connection, source, Range(0, 1), np.int32).products == products


def two_layers():
    rng = np.random.default_rng(0)

    def connection(source, target, shape):
        weights = rng.integers(-7, 8, shape)
        return Connection(source=source, target=target, kind="dense", weights=weights, weight_bits=4)

    rails = {"threshold": 9, "state_min": -99, "state_max": 99}
    populations = Population(name="a", shape=(10,), **rails), Population(name="b", shape=(3,), **rails)
    connections = connection("input", "a", (10, 20)), connection("a", "b", (3, 10))
    return network(*populations, connections=connections, port=Input(shape=(20,)), steps=4)


@pytest.mark.parametrize(("low", "high", "added"), [(0, 1, True), (-1, 1, False), (0, 2, False)])
def test_dense_rows_are_added_for_spikes_alone(low, high, added):
    connection = Connection(source="input", target="p", kind="dense", weights=np.ones((2, 3), int), weight_bits=4)
    assert adds_up(connection, Range(low, high)) == added


def test_few_events_are_added_up_and_many_multiplied(monkeypatch):
    monkeypatch.setattr(engine, "_WORTH_COMPILING", 0)
    multiplied = []
    multiply = Drive._multiply

    def watched(self, values, result):
        multiplied.append(self.connection.source)
        multiply(self, values, result)

    monkeypatch.setattr(Drive, "_multiply", watched)
    few, many = np.zeros((8, 4, 20), np.uint8), np.zeros((8, 4, 20), np.uint8)
    few[:, :, :5], many[:, :, :6] = 1, 1
    golden.run(two_layers(), few)
    assert "input" not in multiplied
    golden.run(two_layers(), many)
    assert "input" in multiplied


def test_events_are_counted_in_blocks_of_either_way(monkeypatch):
    monkeypatch.setattr(engine, "_WORTH_COMPILING", 0)
    monkeypatch.setattr(engine, "_BLOCK_STEPS", 2)
    inputs = np.zeros((2, 4, 20), np.uint8)
    inputs[0, :2, :3], inputs[1, 1, 7], inputs[:, 2:, :15] = 1, 1, 1
    assert golden.run(two_layers(), inputs).totals["input"].tolist() == [6 + 30, 1 + 30]


def test_work_is_counted_before_anything_is_compiled(monkeypatch):
    asked = []
    monkeypatch.setattr(engine, "kernels", lambda: asked.append(True))
    monkeypatch.setattr(engine, "_WORTH_COMPILING", 3 * 4 * (200 + 30))
    model = two_layers()
    golden.run(model, np.zeros((2, 4, 20), np.uint8))
    golden.run(two_layers(), np.zeros((2, 4, 20), np.uint8))
    assert not asked
    golden.run(model, np.zeros((1, 4, 20), np.uint8))
    assert asked


def run_python(words, **environment):
    return subprocess.run(
        [sys.executable, "-c", words], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def test_little_work_does_not_load_numba():
    ended = run_python(
        "import sys; from small import network, population; from sim import golden\n"
        "golden.run(network(population(), steps=1), [[[1]]]); sys.exit('numba' in sys.modules)",
        PYTHONPATH=os.pathsep.join(sys.path),
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("before", "environment", "compiled"),
    [
        ("", {}, True),
        ("sys.modules['numba'] = None", {}, False),
        ("", {"NUMBA_DISABLE_JIT": "1"}, False),
    ],
    ids=["with numba", "without numba", "numba that does not compile"],
)
def test_without_compiled_loops_all_is_multiplied(before, environment, compiled):
    ended = run_python(
        f"import sys\n{before}\nfrom sim.golden.events import kernels\nprint(kernels() is not None)", **environment
    )
    assert ended.stdout.strip() == str(compiled), ended.stderr
