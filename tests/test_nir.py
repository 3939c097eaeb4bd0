"""Neurons of NIR graphs: their equations, what is assumed of them, their time step."""

import nir
import numpy as np
import pytest
from nirs import DT, dyadic, euler, events, graph, integrate, lif, ones, slow, spikes_of, told

from quant.errors import NetworkError, UnsupportedError
from quant.importers.nir import from_nir
from quant.importers.options import ImportOptions
from quant.simulate import run_float


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
