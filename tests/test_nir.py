from itertools import pairwise

import nir
import numpy as np
import pytest

from quant.errors import NetworkError, SpikeloomError, UnsupportedError
from quant.importers.nir import from_nir, load_nir
from quant.importers.options import ImportOptions
from quant.simulate import run_float

DT = 2.0**-10


def ones(*shape):
    return np.ones(shape)


def lif(size, *, keep=0.75, gain=1.0, threshold=1.0, v_leak=0.0, v_reset=0.0, dt=DT):
    """A LIF node whose membranes keep ``keep`` of a step, as shapes or arrays of numbers."""
    one, leak = np.ones(size), 1 - np.asarray(keep)
    return nir.LIF(
        tau=dt / leak * one,
        r=gain / leak * one,
        v_leak=v_leak * one,
        v_threshold=threshold * one,
        v_reset=v_reset * one,
    )


def integrate(size, *, r=1 / DT, threshold=1.0, v_reset=0.0):
    one = np.ones(size)
    return nir.IF(r=r * one, v_threshold=threshold * one, v_reset=v_reset * one)


def graph(nodes, edges=None, *, metadata=None, shape=(4,), output=None):
    """A chain of nodes, or what the edges say, between an input and an output."""
    last = nir.Output({"output": None if output is None else np.array(output)})
    every = {"input": nir.Input(np.array(shape)), **nodes, "output": last}
    names = list(every)
    edges = list(pairwise(names)) if edges is None else edges
    return nir.NIRGraph(every, edges, metadata=metadata or {}, type_check=False)


def dyadic(rng, *shape):
    return rng.integers(-8, 9, shape) / 8


def events(rng, steps, *shape, samples=6):
    return (rng.random((samples, steps, int(np.prod(shape)))) < 0.5).astype(np.int64)


def spikes_of(made, inputs, name, options=None):
    model = from_nir(made, options or ImportOptions(steps=inputs.shape[1]))
    return run_float(model, inputs, record=["spikes"]).spikes[name]


def euler(currents, *, keep, gain=1.0, threshold=1.0, v_leak=0.0, v_reset=0.0, start=None, reset="zero", above=True):
    """NIR's equation in steps, spelled out: spikes of ``currents``, both (samples, steps, neurons)."""
    v = np.full_like(currents[:, 0], v_leak if start is None else start)
    spikes = np.zeros(currents.shape, int)
    for step in range(currents.shape[1]):
        v = keep * v + (1 - keep) * v_leak + gain * currents[:, step]
        fired = v > threshold if above else v >= threshold
        spikes[:, step] = fired
        v = np.where(fired, v_reset, v) if reset == "zero" else v - fired * threshold if reset == "subtract" else v
    return spikes


# Neurons.


@pytest.mark.parametrize("above", [True, False])
@pytest.mark.parametrize("reset", ["zero", "subtract", "none"])
@pytest.mark.parametrize(
    "numbers",
    [
        {"keep": 0.75},
        {"keep": 0.5, "gain": 0.5},
        {"keep": 0.5, "v_leak": 0.25},
        {"keep": 0.75, "v_reset": -0.5},
        {"keep": 0.0},
        {"keep": 0.5, "v_leak": 0.5, "v_reset": 0.25, "threshold": 1.5, "gain": 2.0},
    ],
)
def test_lif_is_its_equation(numbers, reset, above):
    rng = np.random.default_rng(1)
    weights, inputs = dyadic(rng, 5, 4), events(rng, 20, 4)
    options = ImportOptions(dt=DT, steps=20, reset=reset, compare=">" if above else ">=")
    made = graph({"fc": nir.Linear(weights), "lif": lif(5, **numbers)})
    expected = euler(inputs @ weights.T, **numbers, reset=reset, above=above)
    assert expected.any()
    np.testing.assert_array_equal(spikes_of(made, inputs, "lif", options), expected)


def test_each_neuron_has_its_own_numbers():
    rng = np.random.default_rng(2)
    keep, gain = np.array([0.5, 0.75, 0.0]), np.array([1.0, 0.5, 2.0])
    threshold, v_leak, v_reset = np.array([1.0, 0.5, 0.75]), np.array([0.0, 0.25, 0.0]), np.array([0.0, -1.0, 0.25])
    weights, inputs = 2 * dyadic(rng, 3, 4) + 0.25, events(rng, 20, 4)
    numbers = {"keep": keep, "gain": gain, "threshold": threshold, "v_leak": v_leak, "v_reset": v_reset}
    made = graph({"fc": nir.Linear(weights), "lif": lif(3, **numbers)})
    expected = euler(inputs @ weights.T, **numbers)
    assert expected.any(axis=(0, 1)).all()
    np.testing.assert_array_equal(spikes_of(made, inputs, "lif", ImportOptions(dt=DT, steps=20)), expected)


def test_volts_below_zero_are_counted_from_the_reset():
    rng = np.random.default_rng(3)
    weights, inputs = 8 * dyadic(rng, 5, 4), events(rng, 20, 4)
    numbers = {"keep": 0.75, "threshold": -50.0, "v_leak": -60.0, "v_reset": -64.0}
    made = graph({"fc": nir.Linear(weights), "lif": lif(5, **numbers)})
    expected = euler(inputs @ weights.T, **numbers)
    assert expected.any()
    np.testing.assert_array_equal(spikes_of(made, inputs, "lif", ImportOptions(dt=DT, steps=20)), expected)


@pytest.mark.parametrize(("r", "options"), [(1 / DT, {}), (1.0, {}), (4 / DT, {"dt": DT})])
def test_if_integrates(r, options):
    rng = np.random.default_rng(4)
    weights, inputs = dyadic(rng, 5, 4), events(rng, 20, 4)
    made = graph({"fc": nir.Linear(weights), "if": integrate(5, r=r, threshold=2.0, v_reset=0.5)})
    expected = euler(inputs @ weights.T, keep=1.0, gain=4.0 if options else 1.0, threshold=2.0, v_reset=0.5, start=0.5)
    assert expected.any()
    np.testing.assert_array_equal(spikes_of(made, inputs, "if", ImportOptions(steps=20, **options)), expected)


def test_threshold_has_no_memory():
    rng = np.random.default_rng(5)
    weights, inputs = dyadic(rng, 5, 4), events(rng, 20, 4)
    made = graph({"fc": nir.Linear(weights), "fire": nir.Threshold(np.full(5, 0.5))})
    np.testing.assert_array_equal(spikes_of(made, inputs, "fire"), (inputs @ weights.T > 0.5).astype(int))


@pytest.mark.parametrize("bias", [False, True])
def test_cuba_has_a_current_that_biases_go_through(bias):
    rng = np.random.default_rng(6)
    weights, inputs = dyadic(rng, 5, 4), events(rng, 20, 4)
    added = dyadic(rng, 5) / 4 if bias else np.zeros(5)
    one = np.ones(5)
    node = nir.CubaLIF(
        tau_syn=DT / 0.5 * one, tau_mem=DT / 0.25 * one, r=2 * one, w_in=3 * one, v_leak=0 * one, v_threshold=one
    )
    linear = nir.Affine(weights, added) if bias else nir.Linear(weights)
    found = spikes_of(graph({"fc": linear, "cuba": node}), inputs, "cuba", ImportOptions(dt=DT, steps=20))
    current, v = np.zeros((6, 5)), np.zeros((6, 5))
    expected = np.zeros(found.shape)
    for step in range(20):
        current = 0.5 * current + inputs[:, step] @ weights.T + added
        v = 0.75 * v + 0.5 * 1.5 * current
        expected[:, step] = v > 1
        v = np.where(v > 1, 0, v)
    assert expected.any()
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", ["LI", "I"])
@pytest.mark.parametrize("reduce", ["last", "sum", "max"])
def test_the_last_membranes_are_read(kind, reduce):
    rng = np.random.default_rng(7)
    weights, inputs = dyadic(rng, 3, 4), events(rng, 8, 4)
    one, keep = np.ones(3), 0.5 if kind == "LI" else 1.0
    node = nir.LI(tau=2 * DT * one, r=2 * one, v_leak=0 * one) if kind == "LI" else nir.I(r=one / DT)
    made = graph({"fc": nir.Linear(weights), "last": node})
    result = run_float(from_nir(made, ImportOptions(dt=DT, steps=8, reduce=reduce)), inputs)
    v, every = np.zeros((6, 3)), []
    for step in range(8):
        v = keep * v + inputs[:, step] @ weights.T
        every.append(v)
    expected = {"last": every[-1], "sum": sum(every), "max": np.max(every, axis=0)}[reduce]
    np.testing.assert_array_equal(result.scores, expected)


def test_a_late_reset_does_not_decay():
    rng = np.random.default_rng(8)
    weights, inputs = dyadic(rng, 5, 4), events(rng, 20, 4)
    made = graph({"fc": nir.Linear(weights), "lif": lif(5, keep=0.5)})
    found = spikes_of(made, inputs, "lif", ImportOptions(dt=DT, steps=20, reset="subtract", reset_delay=True))
    v, spikes = np.zeros((6, 5)), np.zeros((6, 5))
    for step in range(20):
        v = 0.5 * v + inputs[:, step] @ weights.T - spikes
        spikes = (v > 1).astype(int)
        np.testing.assert_array_equal(found[:, step], spikes)
    assert found.any()


# What the file does not say.


def told(made, options=None):
    return "\n".join(from_nir(made, options or ImportOptions()).metadata["assumptions"])


def test_what_is_assumed_is_told():
    words = told(graph({"fc": nir.Linear(ones(2, 4)), "lif": lif(2, dt=1e-4)}))
    for part in (
        "time step: 0.0001, which Node lif (LIF) is written for",
        "reset: to v_reset",
        "comparison: fires above its threshold",
        "16 steps a sample",
        "events of 0 or 1",
        "the most spikes are the answer",
    ):
        assert part in words


def test_metadata_leave_nothing_to_assume():
    metadata = {"dt": DT, "reset": "subtract", "compare": ">=", "reset_delay": 0, "steps": 3, "readout": "count"}
    made = graph({"fc": nir.Linear(ones(2, 4)), "lif": lif(2)}, metadata={**metadata, "input_kind": "current"})
    model = from_nir(made)
    assert model.metadata["assumptions"] == []
    assert (model.steps, model.input.kind) == (3, "current")
    assert (model["lif"].reset, model["lif"].strict) == ("subtract", False)


def test_metadata_of_a_node_come_first():
    made = graph({"fc": nir.Linear(ones(2, 4)), "lif": lif(2)}, metadata={"dt": DT, "reset": "subtract"})
    made.nodes["lif"].metadata["reset"] = "none"
    assert from_nir(made)["lif"].reset == "none"


def test_an_option_against_the_metadata_is_refused():
    made = graph({"fc": nir.Linear(ones(2, 4)), "lif": lif(2)}, metadata={"dt": DT, "reset": "subtract"})
    with pytest.raises(
        NetworkError, match="Option --reset must be left out or subtract, which the file says, not zero"
    ):
        from_nir(made, ImportOptions(reset="zero"))
    assert from_nir(made, ImportOptions(reset="subtract"))["lif"].reset == "subtract"


def step_of(*nodes, **options):
    names = {}
    for index, node in enumerate(nodes):
        names |= {f"fc{index}": nir.Linear(ones(2, 4 if index == 0 else 2)), f"n{index}": node}
    return from_nir(graph(names), ImportOptions(**options)).metadata["dt"]


def slow(tau, r=1.0):
    return nir.LIF(tau=np.full(2, tau), r=np.full(2, r), v_leak=np.zeros(2), v_threshold=ones(2))


def test_the_time_step_is_inferred():
    assert step_of(integrate(2, r=1.0)) == 1.0
    assert step_of(integrate(2, r=1e4)) == 1e-4
    assert step_of(slow(2e-4), integrate(2, r=1e4)) == 1e-4
    assert step_of(slow(5e-3, r=5.0)) == 1e-3
    assert step_of(slow(20.0)) == 1.0
    assert step_of(slow(0.02)) == 1e-4
    assert step_of(slow(0.02), dt=1e-3) == 1e-3


def test_single_precision_comes_back_as_it_was():
    tau = np.float32(1e-4) / (1 - np.float32([0.75, 0.9375]))
    node = nir.LIF(tau=tau, r=tau / np.float32(1e-4), v_leak=0 * tau, v_threshold=0 * tau + 1)
    model = from_nir(graph({"fc": nir.Linear(ones(2, 4)), "lif": node}))
    assert model.metadata["dt"] == 1e-4
    np.testing.assert_array_equal(model["lif"].decay, [0.75, 0.9375])
    np.testing.assert_array_equal(model.connections[0].weights, ones(2, 4))


def test_time_steps_that_contradict_are_refused():
    with pytest.raises(UnsupportedError, match=r"Node n0 \(LIF\) is written for a time step of 0.001 .* --dt"):
        step_of(slow(5e-3, r=5.0), integrate(2, r=1e4))


def test_a_step_longer_than_tau_is_refused():
    with pytest.raises(UnsupportedError, match=r"Node n0 \(LIF\) has a tau of 0.001 s, less than .* at most 0.001 s"):
        step_of(slow(1e-3), dt=2e-3)
    assert step_of(slow(2e-3), dt=2e-3) == 2e-3


# Linear nodes.


def padded(maps, top, bottom, left, right):
    return np.pad(maps, ((0, 0), (0, 0), (top, bottom), (left, right)))


def correlated(maps, weights, stride=(1, 1), dilation=(1, 1)):
    """Cross-correlation, one output at a time."""
    kh, kw = ((side - 1) * step + 1 for side, step in zip(weights.shape[2:], dilation, strict=True))
    rows = range(0, maps.shape[2] - kh + 1, stride[0])
    columns = range(0, maps.shape[3] - kw + 1, stride[1])
    out = np.zeros((len(maps), len(weights), len(rows), len(columns)))
    for i, y in enumerate(rows):
        for j, x in enumerate(columns):
            window = maps[:, :, y : y + kh : dilation[0], x : x + kw : dilation[1]]
            out[:, :, i, j] = np.einsum("bcij,ocij->bo", window, weights)
    return out


@pytest.mark.parametrize(
    ("kernel", "fields", "pads"),
    [
        ((3, 3), {"stride": 1, "padding": 0, "dilation": 1}, (0, 0, 0, 0)),
        ((3, 2), {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 1)}, (1, 1, 0, 0)),
        ((3, 3), {"stride": 1, "padding": "same", "dilation": 1}, (1, 1, 1, 1)),
        ((2, 3), {"stride": 1, "padding": "same", "dilation": 1}, (0, 1, 1, 1)),
        ((2, 4), {"stride": 1, "padding": "same", "dilation": (1, 1)}, (0, 1, 1, 2)),
        ((2, 2), {"stride": 1, "padding": "same", "dilation": (2, 3)}, (1, 1, 1, 2)),
        ((3, 3), {"stride": (1, 2), "padding": "valid", "dilation": (2, 1)}, (0, 0, 0, 0)),
    ],
)
def test_conv2d(kernel, fields, pads, tmp_path):
    rng = np.random.default_rng(9)
    weights, bias = dyadic(rng, 3, 2, *kernel), dyadic(rng, 3)
    inputs = events(rng, 4, 2, 6, 7)
    maps = padded(inputs.reshape(-1, 2, 6, 7), *pads)
    pair = {name: value if isinstance(value, tuple) else (value, value) for name, value in fields.items()}
    currents = correlated(maps, weights, pair["stride"], pair["dilation"]) + bias[:, None, None]
    size = currents.shape[1:]
    conv = nir.Conv2d(input_shape=(6, 7), weight=weights, groups=1, bias=bias, **fields)
    made = graph({"conv": conv, "lif": lif(size, keep=0.5)}, shape=(2, 6, 7), output=size)
    expected = euler(currents.reshape(6, 4, -1), keep=0.5)
    assert expected.any()
    nir.write(tmp_path / "conv.nir", made)
    model = load_nir(tmp_path / "conv.nir", ImportOptions(dt=DT, steps=4))
    assert model["lif"].shape == size
    np.testing.assert_array_equal(run_float(model, inputs, record=["spikes"]).spikes["lif"], expected)


@pytest.mark.parametrize(("padding", "pads"), [(1, (1, 1)), ("same", (0, 1)), ("valid", (0, 0))])
def test_conv1d(padding, pads):
    rng = np.random.default_rng(10)
    weights, inputs = dyadic(rng, 3, 2, 2), events(rng, 4, 2, 9)
    conv = nir.Conv1d(input_shape=9, weight=weights, stride=1, padding=padding, dilation=1, groups=1, bias=np.zeros(3))
    maps = padded(inputs.reshape(-1, 2, 1, 9), 0, 0, *pads)
    currents = correlated(maps, weights[:, :, None, :])
    size = (3, currents.shape[3])
    made = graph({"conv": conv, "lif": lif(size, keep=0.5)}, shape=(2, 9), output=size)
    expected = euler(currents.reshape(6, 4, -1), keep=0.5)
    assert expected.any()
    np.testing.assert_array_equal(spikes_of(made, inputs, "lif", ImportOptions(dt=DT, steps=4)), expected)


@pytest.mark.parametrize("kind", [nir.SumPool2d, nir.AvgPool2d])
@pytest.mark.parametrize("stride", [(2, 2), 2, (1, 2)])
def test_pooling(kind, stride):
    rng = np.random.default_rng(11)
    inputs, pair = events(rng, 4, 2, 5, 6), stride if isinstance(stride, tuple) else (stride, stride)
    weights = np.zeros((2, 2, 2, 2))
    weights[0, 0] = weights[1, 1] = 1.0 if kind is nir.SumPool2d else 0.25
    currents = correlated(inputs.reshape(-1, 2, 5, 6), weights, pair)
    size = currents.shape[1:]
    pool = kind(kernel_size=np.array([2, 2]), stride=np.array(stride), padding=np.array([0, 0]))
    made = graph({"pool": pool, "lif": lif(size, keep=0.5)}, shape=(2, 5, 6), output=size)
    expected = euler(currents.reshape(6, 4, -1), keep=0.5)
    assert expected.any()
    np.testing.assert_array_equal(spikes_of(made, inputs, "lif", ImportOptions(dt=DT, steps=4)), expected)


@pytest.mark.parametrize("dims", [(0, -1), (1, -1), (0, 1)])
def test_flatten_keeps_the_order(dims):
    rng = np.random.default_rng(12)
    inputs, weights = events(rng, 6, 2, 2, 3), dyadic(rng, 4, 12)
    flat = nir.Flatten(np.array([2, 2, 3]), *dims)
    made = graph({"flat": flat, "fc": nir.Linear(weights), "lif": lif(4)}, shape=(2, 2, 3))
    expected = euler(inputs @ weights.T, keep=0.75)
    assert expected.any()
    np.testing.assert_array_equal(spikes_of(made, inputs, "lif", ImportOptions(dt=DT, steps=6)), expected)


def test_a_part_flattened_is_a_line_to_the_next_convolution():
    rng = np.random.default_rng(13)
    inputs, weights = events(rng, 6, 2, 2, 3), dyadic(rng, 3, 2, 2)
    conv = nir.Conv1d(input_shape=6, weight=weights, stride=1, padding=0, dilation=1, groups=1, bias=np.zeros(3))
    made = graph(
        {"flat": nir.Flatten(np.array([2, 2, 3]), 1, 2), "conv": conv, "lif": lif((3, 5), keep=0.5)}, shape=(2, 2, 3)
    )
    currents = correlated(inputs.reshape(-1, 2, 1, 6), weights[:, :, None, :])
    expected = euler(currents.reshape(6, 6, -1), keep=0.5)
    np.testing.assert_array_equal(spikes_of(made, inputs, "lif", ImportOptions(dt=DT, steps=6)), expected)


def test_scale_and_layers_without_neurons_between_multiply():
    rng = np.random.default_rng(14)
    first, second, scale, inputs = dyadic(rng, 5, 4), dyadic(rng, 3, 5), dyadic(rng, 5), events(rng, 12, 4)
    nodes = {"a": nir.Affine(first, scale), "s": nir.Scale(scale), "b": nir.Affine(second, scale[:3]), "lif": lif(3)}
    expected = euler(((inputs @ first.T + scale) * scale) @ second.T + scale[:3], keep=0.75)
    np.testing.assert_array_equal(spikes_of(graph(nodes), inputs, "lif", ImportOptions(dt=DT, steps=12)), expected)


# Graphs.


def test_names_in_any_order():
    rng = np.random.default_rng(15)
    first, second, inputs = dyadic(rng, 5, 4), dyadic(rng, 3, 5), events(rng, 12, 4)
    nodes = {"2": nir.Linear(second), "10": lif(3), "1": lif(5), "0": nir.Linear(first)}
    edges = [("1", "2"), ("10", "output"), ("input", "0"), ("2", "10"), ("0", "1")]
    hidden = euler(inputs @ first.T, keep=0.75)
    expected = euler(hidden @ second.T, keep=0.75)
    assert expected.any()
    made = graph(nodes, edges)
    np.testing.assert_array_equal(spikes_of(made, inputs, "layer10", ImportOptions(dt=DT, steps=12)), expected)


def recurrent(weights, loop, inputs, bias=0.0):
    """Spikes of LIF neurons that hear their own spikes of the step before."""
    v, before = np.zeros((len(inputs), len(loop))), np.zeros((len(inputs), len(loop)))
    spikes = np.zeros((*inputs.shape[:2], len(loop)))
    for step in range(inputs.shape[1]):
        v = 0.75 * v + inputs[:, step] @ weights.T + before @ loop.T + bias
        before = spikes[:, step] = v > 1
        v = np.where(before, 0, v)
    return spikes


LOOP = [("input", "fc"), ("fc", "lif"), ("lif", "loop"), ("loop", "lif"), ("lif", "output")]


@pytest.mark.parametrize("edges", [LOOP, LOOP[::-1]])
@pytest.mark.parametrize("late", ["loop", "metadata", "Delay"])
def test_a_loop_comes_a_step_later(edges, late):
    rng = np.random.default_rng(16)
    weights, loop, bias, inputs = dyadic(rng, 5, 4), dyadic(rng, 5, 5), dyadic(rng, 5), events(rng, 16, 4)
    nodes = {"fc": nir.Linear(weights), "lif": lif(5), "loop": nir.Affine(loop, bias)}
    if late == "metadata":
        nodes["loop"].metadata["delay"] = 1
    if late == "Delay":
        nodes["wait"] = nir.Delay(np.full(5, DT))
        edges = [*(edge for edge in edges if edge != ("loop", "lif")), ("loop", "wait"), ("wait", "lif")]
    made = graph(nodes, edges)
    expected = recurrent(weights, loop, inputs, bias)
    assert expected.any()
    np.testing.assert_array_equal(spikes_of(made, inputs, "lif", ImportOptions(dt=DT, steps=16)), expected)
    assert ("loop: closes a loop" in told(made)) == (late == "loop")


def test_a_graph_within_the_graph(tmp_path):
    rng = np.random.default_rng(17)
    weights, loop, inputs = dyadic(rng, 5, 4), dyadic(rng, 5, 5), events(rng, 16, 4)
    inner = nir.NIRGraph(
        {"input": nir.Input(np.array([5])), "lif": lif(5), "w": nir.Linear(loop), "output": nir.Output(np.array([5]))},
        [("input", "lif"), ("lif", "w"), ("w", "lif"), ("lif", "output")],
    )
    nir.write(tmp_path / "nested.nir", graph({"fc": nir.Linear(weights), "rnn": inner}, output=(5,)))
    model = load_nir(tmp_path / "nested.nir", ImportOptions(dt=DT, steps=16))
    found = run_float(model, inputs, record=["spikes"]).spikes["rnn_lif"]
    np.testing.assert_array_equal(found, recurrent(weights, loop, inputs))
    assert [row[:2] for row in model.metadata["layers"]][-2] == ["rnn.lif", "LIF"]


def test_edges_that_meet_add():
    rng = np.random.default_rng(18)
    first, second, bias, inputs = dyadic(rng, 5, 4), dyadic(rng, 5, 5), dyadic(rng, 5), events(rng, 12, 4)
    nodes = {
        "a": nir.Affine(first, bias),
        "one": lif(5),
        "b": nir.Affine(second, bias),
        "sum": nir.Affine(2 * np.eye(5), bias),
        "two": lif(5),
    }
    edges = [
        ("input", "a"),
        ("a", "one"),
        ("one", "b"),
        ("b", "sum"),
        ("one", "sum"),
        ("sum", "two"),
        ("two", "output"),
    ]
    one = euler(inputs @ first.T + bias, keep=0.75)
    expected = euler(2 * (one @ second.T + bias + one) + bias, keep=0.75)
    assert expected.any()
    np.testing.assert_array_equal(
        spikes_of(graph(nodes, edges), inputs, "two", ImportOptions(dt=DT, steps=12)), expected
    )


def test_maps_and_a_dense_layer_meet_in_maps():
    rng = np.random.default_rng(20)
    kernel, weights, inputs = dyadic(rng, 2, 1, 2, 2), dyadic(rng, 8, 9), events(rng, 8, 1, 3, 3)
    conv = nir.Conv2d((3, 3), kernel, 1, 0, 1, 1, np.zeros(2))
    nodes = {"fc": nir.Linear(weights), "conv": conv, "lif": lif(8)}
    edges = [("input", "fc"), ("input", "conv"), ("fc", "lif"), ("conv", "lif"), ("lif", "output")]
    model = from_nir(graph(nodes, edges, shape=(1, 3, 3)), ImportOptions(dt=DT, steps=8))
    maps = correlated(inputs.reshape(-1, 1, 3, 3), kernel).reshape(6, 8, 8)
    expected = euler(inputs @ weights.T + maps, keep=0.75)
    assert (model["lif"].shape, expected.any()) == ((2, 2, 2), True)
    np.testing.assert_array_equal(run_float(model, inputs, record=["spikes"]).spikes["lif"], expected)


def test_a_last_layer_without_neurons_is_read():
    rng = np.random.default_rng(19)
    first, second, bias, inputs = dyadic(rng, 5, 4), dyadic(rng, 3, 5), dyadic(rng, 3), events(rng, 12, 4)
    made = graph({"a": nir.Linear(first), "lif": lif(5), "b": nir.Affine(second, bias)})
    result = run_float(from_nir(made, ImportOptions(dt=DT, steps=12)), inputs)
    spikes = euler(inputs @ first.T, keep=0.75)
    np.testing.assert_array_equal(result.scores, (spikes @ second.T + bias).sum(axis=1))


@pytest.mark.parametrize(("shape", "found"), [((1, 4), (4,)), ((1, 1, 2, 2), (1, 2, 2)), ((4,), (4,))])
def test_a_batch_in_the_shape_is_left_out(shape, found):
    made = graph({"fc": nir.Linear(ones(2, 4)), "lif": lif(2)}, shape=shape)
    assert from_nir(made).input.shape == found
    assert ("of a batch" in told(made)) == (len(shape) % 2 == 0)


def test_an_input_of_another_shape_is_an_option():
    made = graph({"fc": nir.Linear(ones(2, 4)), "lif": lif(2)}, shape=(7, 9, 1, 4))
    with pytest.raises(NetworkError, match=r"Node input \(Input\) must have a shape .*; give one, --input-shape"):
        from_nir(made)
    assert from_nir(made, ImportOptions(input_shape=(1, 2, 2))).input.shape == (1, 2, 2)


def test_what_leads_nowhere_is_left_out_and_told():
    nodes = {"fc": nir.Linear(ones(2, 4)), "lif": lif(2), "probe": nir.Scale(ones(2))}
    edges = [("input", "fc"), ("fc", "lif"), ("lif", "output"), ("lif", "probe"), ("fc", "lif")]
    model = from_nir(graph(nodes, edges))
    assert ["probe", "Scale", "left out, since it is not between the input and the output"] in model.metadata["layers"]
    assert "edge fc -> lif stands in the file more than once" in model.metadata["assumptions"][0]


# What cannot be.

FC = {"fc": nir.Linear(np.ones((2, 4)))}
CHAIN = [("input", "fc"), ("fc", "lif"), ("lif", "output")]


def nan(value):
    weights = np.ones((2, 4))
    weights[1, 2] = value
    return {"fc": nir.Linear(weights)}


@pytest.mark.parametrize(
    ("nodes", "edges", "words"),
    [
        (
            {"fc": nir.Linear(np.ones((4, 4))), "mix": nir.Linear(np.eye(4)), "lif": lif(4)},
            [("input", "fc"), ("fc", "mix"), ("mix", "fc"), ("mix", "lif"), ("lif", "output")],
            "Loop fc -> mix -> fc has no neuron in it, so that its sum never settles",
        ),
        ({**FC, "lif": lif(3)}, None, r"Node lif \(LIF\) has 3 neurons, but what leads into it makes 2"),
        (
            {**FC, "lif": lif(2), "fc2": nir.Linear(np.ones((2, 3))), "lif2": lif(2)},
            None,
            r"Node fc2 \(Linear\) must take all 2 neurons, not 3",
        ),
        ({**FC, "lif": lif(2)}, [*CHAIN, ("lif", "lost")], "Edge lif -> lost must join nodes of the graph, .* 'lost'"),
        ({**FC, "lif": lif(2)}, CHAIN[1:], r"Node fc \(Linear\) must have an edge that leads into it; it has none"),
        (
            {**FC, "lif": lif(2), "loop": nir.Linear(np.eye(2))},
            [("input", "fc"), ("lif", "loop"), ("loop", "lif"), ("lif", "output")],
            r"Node input \(Input\) must lead to node output",
        ),
        ({**FC, "lif": lif(2)}, CHAIN[:2], r"Node output \(Output\) must have an edge that leads into it; it has none"),
        (FC, None, "Graph must have neurons between its input and its output, but it has none"),
        ({**nan(np.nan), "lif": lif(2)}, None, r"Node fc \(Linear\): weight must be finite, but 1 of 8 are NaN"),
        ({**nan(np.inf), "lif": lif(2)}, None, r"Node fc \(Linear\): weight must be finite, but 1 of 8 are NaN"),
        ({**FC, "lif": lif(2, threshold=np.nan)}, None, r"Node lif \(LIF\): v_threshold must be finite"),
        ({"fc": nir.Linear(np.zeros((2, 4))), "lif": lif(2)}, None, r"Node lif \(LIF\) is dead: all weights into it"),
        ({**FC, "lif": lif(2, threshold=-1.0)}, None, r"Node lif \(LIF\) has a threshold below its reset value"),
        ({**FC, "lif": slow(-1.0)}, None, r"Node lif \(LIF\): tau must be positive, not -1"),
        (
            {**FC, "wait": nir.Delay(np.full(2, 3 * DT)), "lif": lif(2)},
            None,
            r"Node wait \(Delay\) delays by 3 to 3 steps .* only a delay of one step",
        ),
        (
            {**FC, "wait": nir.Delay(np.full(2, DT)), "more": nir.Delay(np.full(2, DT)), "lif": lif(2)},
            None,
            "Way input -> fc -> wait -> more -> lif is 2 steps long, and only one can be kept",
        ),
        (
            {**FC, "li": nir.LI(tau=ones(2) * 2 * DT, r=ones(2), v_leak=0 * ones(2)), "fc2": FC["fc"], "lif": lif(2)},
            None,
            r"Node fc2 \(Linear\) must take all 2 neurons, not 4",
        ),
        (
            {**FC, "li": nir.LI(tau=ones(2) * 2 * DT, r=ones(2), v_leak=0 * ones(2)), "lif": lif(2)},
            None,
            r"Node li \(LI\) sends its membranes to lif, and only spikes can be sent",
        ),
        (
            {**FC, "lif": lif(2), "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))},
            None,
            r"Node pool \(SumPool2d\) must be given maps",
        ),
        (
            {**FC, "lif": lif(2), "two": lif(2)},
            [*CHAIN, ("fc", "two"), ("two", "output")],
            "Output must read one layer",
        ),
        (
            {"conv": nir.Conv2d((2, 2), np.ones((1, 1, 2, 2)), 2, "same", 1, 1, np.zeros(1)), "lif": lif((1, 1, 1))},
            None,
            r"Node conv \(Conv2d\) with padding 'same' must have stride 1",
        ),
        (
            {"conv": nir.Conv2d(None, np.ones((1, 1, 2, 2)), 0, 0, 1, 1, np.zeros(1)), "lif": lif((1, 1, 1))},
            None,
            r"Node conv \(Conv2d\): stride must be one integer or two of 1 to 65536, not \(0, 0\)",
        ),
        (
            {"conv": nir.Conv2d((5, 4), np.ones((1, 1, 2, 2)), 1, 0, 1, 1, np.zeros(1)), "lif": lif((1, 1, 1))},
            None,
            r"Node conv \(Conv2d\) is written for maps of 5 by 4, but .* makes 2 by 2; .* --input-shape",
        ),
        ({"in2": nir.Input(np.array([4])), **FC, "lif": lif(2)}, None, "Graph must have one Input node, but it has 2"),
    ],
)
def test_what_cannot_be_is_refused_by_name(nodes, edges, words):
    shape = (1, 2, 2) if "conv" in nodes else (4,)
    with pytest.raises(SpikeloomError, match=words):
        from_nir(graph(nodes, edges, shape=shape, metadata={"dt": DT}))


def test_an_output_of_another_size():
    made = graph({**FC, "lif": lif(2)}, output=(3,))
    with pytest.raises(SpikeloomError, match=r"^Node output \(Output\) has a shape \(3,\), but .* makes 2$"):
        from_nir(made)
    for nodes in (
        {**FC, "lif": lif(2)},
        {"fc": nir.Linear(np.ones((3, 4))), "lif": lif(3), "out": nir.Linear(np.ones((2, 3)))},
    ):
        from_nir(graph(nodes, output=(1, 2)))


@pytest.mark.parametrize(("size", "words"), [(np.nan, "must be finite"), (2.5, "must be an integer, not 2.5")])
def test_an_input_of_no_size(size, words):
    made = graph({"fc": nir.Linear(np.ones((2, 4))), "lif": lif(2)}, shape=(size,))
    with pytest.raises(SpikeloomError, match=rf"^Node input \(Input\): shape {words}"):
        from_nir(made)


@pytest.mark.parametrize("name", ["steps", "input_high"])
def test_metadata_of_no_whole_number(name):
    made = graph({**FC, "lif": lif(2)}, metadata={name: 2.5})
    with pytest.raises(SpikeloomError, match=f"^Metadata {name} must be an integer, not 2.5"):
        from_nir(made)


def test_a_late_reset_needs_a_memory():
    made = graph({**FC, "lif": lif(2, keep=0.0)}, metadata={"dt": DT, "reset": "subtract", "reset_delay": 1})
    with pytest.raises(UnsupportedError, match=r"Node lif \(LIF\) forgets its membrane within a step"):
        from_nir(made)


def test_too_many_ways_are_refused():
    nodes, edges, last = {}, [], ["input"]
    for level in range(8):
        names = [f"s{level}_{index}" for index in range(2)]
        nodes |= {name: nir.Scale(ones(4)) for name in names}
        edges += [(source, name) for source in last for name in names]
        last = names
    nodes["lif"] = lif(4)
    edges += [(name, "lif") for name in last] + [("lif", "output")]
    with pytest.raises(UnsupportedError, match="must be reached in at most 64 ways"):
        from_nir(graph(nodes, edges))
