"""Loops, graphs within graphs, and edges of NIR graphs."""

import nir
import numpy as np
import pytest
from nirs import DT, correlated, dyadic, euler, events, graph, lif, ones, spikes_of, told

from quant.errors import NetworkError
from quant.importers.nir import from_nir, load_nir
from quant.importers.options import ImportOptions
from quant.simulate import run_float


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
