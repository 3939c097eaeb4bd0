from dataclasses import replace

import numpy as np
import pytest

from quant.calibrate import as_float
from quant.errors import NetworkError
from quant.graph import Synapses
from quant.ir import Decay
from quant.model import FloatInput, FloatNetwork, FloatPopulation, FloatReadout
from quant.simulate import run_float
from sim import golden
from tests.whole import random_inputs, random_network

WIDE = {"state_min": -(1 << 30), "state_max": 1 << 30}


def neuron(currents, *, readout="count", reduce="last", weights=None, lsb=1.0, steps=None, **fields):
    """One neuron, or a few alike, behind an input of weight 1: B = 1."""
    values = np.asarray(currents)
    values = values.reshape(1, len(values), -1)
    size = values.shape[2]
    model = FloatNetwork(
        name="one",
        steps=steps or values.shape[1],
        input=FloatInput(shape=(size,), low=-1000, high=1000, lsb=lsb),
        populations=(FloatPopulation(**{"name": "n", "shape": (size,), "threshold": 5.0, **fields}),),
        connections=(Synapses(source="input", target="n", kind="dense", weights=np.eye(size)),),
        readout=FloatReadout(population="n", kind=readout, reduce=reduce, weights=weights),
    )
    return run_float(model, values, record=("spikes", "membranes", "currents"))


def trace(result):
    return result.spikes["n"].reshape(-1).tolist(), result.membranes["n"].reshape(-1).tolist()


@pytest.mark.parametrize(
    ("fields", "currents", "spikes", "membranes"),
    [
        ({}, [4, 1, 4], [0, 1, 0], [4, 0, 4]),
        ({"strict": True}, [4, 1, 4], [0, 0, 1], [4, 5, 0]),
        ({"reset_value": -1.5}, [5, 6, 7], [1, 0, 1], [-1.5, 4.5, -1.5]),
        ({"reset_value": 2.0, "decay": 0.5}, [5, 3, 5], [1, 0, 1], [1, 2, 1]),
        ({"reset": "subtract"}, [7, 3, -9], [1, 1, 0], [2, 0, -9]),
        ({"reset": "subtract", "reset_amount": 0.5}, [5, 0, 1], [1, 0, 1], [4.5, 4.5, 5]),
        ({"reset": "none"}, [4, 1, 1], [0, 1, 1], [4, 5, 6]),
        ({"reset": "latch"}, [4, 1, 9], [0, 1, 0], [4, 0, 0]),
        ({"decay": 0.75}, [4, 1, 2], [0, 0, 1], [3, 3, 0]),
        ({"decay": 0.75}, [-4, -1, 0], [0, 0, 0], [-3, -3, -2.25]),
        ({"decay": 0}, [4, 4, 5], [0, 0, 1], [0, 0, 0]),
        ({"decay": 1.5}, [2, 1, 1], [0, 0, 1], [3, 6, 0]),
        ({"rectify": True}, [-4, 4, 1], [0, 0, 1], [0, 4, 0]),
        ({"rectify": True, "reset": "none", "threshold": None, "readout": "membrane"}, [-4, 4, -5], [0] * 3, [0, 4, 0]),
        ({"ternary": True}, [-4, -1, 5], [0, -1, 1], [-4, 0, 0]),
        ({"ternary": True, "strict": True}, [-5, -1, 5], [0, -1, 0], [-5, 0, 5]),
        ({"ternary": True, "reset": "subtract"}, [-7, -3, 1], [-1, -1, 0], [-2, 0, 1]),
        ({"ternary": True, "reset": "latch"}, [-7, 9, 9], [-1, 0, 0], [0, 0, 0]),
        ({"ternary": True, "rectify": True}, [-7, 2, 3], [0, 0, 1], [0, 2, 0]),
        ({"bias": 1.5}, [1, 0, 0], [0, 0, 1], [2.5, 4, 0]),
        ({"initial": 4.5}, [0, 1, 0], [0, 1, 0], [4.5, 0, 0]),
        ({"lsb": 0.5}, [9, 1, 0], [0, 1, 0], [4.5, 0, 0]),
    ],
)
def test_one_neuron_worked_by_hand(fields, currents, spikes, membranes):
    result = neuron(currents, **fields)
    assert trace(result) == (spikes, membranes)


def test_a_neuron_of_second_order_worked_by_hand():
    result = neuron([4, 0, 1, 0], current_decay=0.5, decay=0.5, bias=0.5)
    # I' = 4, 2, 2, 1; H = 4.5, 4.75, 4.875, 3.9375
    assert result.currents["n"].reshape(-1).tolist() == [2, 1, 1, 0.5]
    assert trace(result) == ([0, 0, 0, 0], [2.25, 2.375, 2.4375, 1.96875])


@pytest.mark.parametrize(("reduce", "scores"), [("last", [-0.25, -2.75]), ("sum", [2.25, -1.25]), ("max", [5.0, 3.0])])
def test_membrane_scores_are_of_h_before_the_decay(reduce, scores):
    result = neuron(
        [[5, 3], [-5, -3], [1, -2]], threshold=None, reset="none", decay=0.5, readout="membrane", reduce=reduce
    )
    assert result.scores.tolist() == [scores]


def test_a_largest_membrane_may_be_negative():
    result = neuron([[-5, -3], [-4, -9]], threshold=None, reset="none", decay=0, readout="membrane", reduce="max")
    assert result.scores.tolist() == [[-4, -3]]
    assert result.answers.tolist() == [1]


@pytest.mark.parametrize(
    ("currents", "scores", "answer"),
    [
        ([[0, 0, 0], [0, 5, 5], [5, 5, 5]], [4, 1, 1], 1),
        ([[0, 0, 0], [0, 0, 0], [0, 0, 0]], [4, 4, 4], 0),
        ([[0, 0, 5], [5, 0, 5], [5, 5, 5]], [4, 4, 0], 2),
        ([[0, 0, 0], [0, 0, 0], [0, 5, 0]], [4, 2, 4], 1),
    ],
)
def test_first_spikes_of_the_earliest_step_alone(currents, scores, answer):
    result = neuron(currents, readout="first_spike", steps=4)
    assert result.scores.tolist() == [scores]
    assert result.answers.tolist() == [answer]


def test_counts_totals_and_linear_scores():
    weights = np.array([[0.5, 1.0], [2.0, -0.25]])
    result = neuron([[5, 0], [-5, 5], [5, 5]], ternary=True, readout="linear", weights=weights)
    assert result.counts["n"].tolist() == [[1, 2]]
    assert result.totals["n"].tolist() == [5]
    assert result.totals["input"].tolist() == [5]
    assert result.scores.tolist() == [[2.5, 1.5]]


def test_an_input_current_is_counted_once_and_seen_in_every_step():
    model = FloatNetwork(
        name="one",
        steps=3,
        input=FloatInput(shape=(2,), kind="current", high=255, lsb=0.25),
        populations=(FloatPopulation(name="n", shape=(1,), threshold=100.0),),
        connections=(Synapses(source="input", target="n", kind="dense", weights=np.array([[1.0, 0.5]])),),
        readout=FloatReadout(population="n"),
    )
    result = run_float(model, [[8, 4], [0, 255]], record=("membranes",))
    assert result.membranes["n"][0].tolist() == [[2.5], [5.0], [7.5]]
    assert result.totals["input"].tolist() == [2, 1]
    assert result.spikes == {}


def exact_network(rng):
    """A random integer network without leaks and out of reach of its rails, and inputs for it."""
    network = random_network(rng)

    def decay(old):
        return None if old is None else Decay(numerator=(old.numerator > old.half).astype(int))

    populations = []
    for item in network.populations:
        second = {} if item.current_decay is None else {"current_min": -(1 << 30), "current_max": 1 << 30}
        changed = {"decay": decay(item.decay), "current_decay": decay(item.current_decay), **WIDE, **second}
        populations.append(replace(item, **changed))
    return replace(network, populations=tuple(populations)), random_inputs(rng, network, 4)


@pytest.mark.parametrize("seed", range(120))
def test_integers_run_as_the_golden_model_runs_them(seed):
    network, inputs = exact_network(np.random.default_rng(seed))
    expected = golden.run(network, inputs, record=("spikes", "membranes", "currents"))
    result = run_float(as_float(network), inputs, record=("spikes", "membranes", "currents"))
    np.testing.assert_array_equal(result.answers, expected.answers)
    np.testing.assert_array_equal(result.scores, expected.scores)
    for field in ("counts", "totals", "spikes", "membranes", "currents"):
        got, wanted = getattr(result, field), getattr(expected, field)
        assert set(got) == set(wanted)
        for name in wanted:
            np.testing.assert_array_equal(got[name], wanted[name], err_msg=f"{field} of {name}")


def test_float32_is_exact_where_it_holds_the_numbers():
    network, inputs = exact_network(np.random.default_rng(5))
    double, single = (run_float(as_float(network), inputs, record=("membranes",), dtype=d) for d in (float, np.float32))
    for name, membranes in single.membranes.items():
        assert membranes.dtype == np.float32
        np.testing.assert_array_equal(membranes, double.membranes[name])


def test_samples_do_not_see_each_other_nor_the_batches_they_run_in():
    network, _ = exact_network(np.random.default_rng(3))
    inputs = random_inputs(np.random.default_rng(0), network, 1100)
    whole = run_float(as_float(network), inputs, record=("spikes",))
    for sample in (0, 511, 512, 1099):
        alone = run_float(as_float(network), inputs[sample : sample + 1], record=("spikes",))
        assert alone.answers[0] == whole.answers[sample]
        for name, spikes in alone.spikes.items():
            np.testing.assert_array_equal(spikes[0], whole.spikes[name][sample])


def test_a_watcher_sees_every_step_of_every_population():
    seen = []
    network, inputs = exact_network(np.random.default_rng(1))
    model = as_float(network)
    result = run_float(
        model, inputs, record=("membranes",), watch=lambda name, v, i: seen.append((name, v.copy(), i is not None))
    )
    steps = next(iter(result.membranes.values())).shape[1]
    assert [name for name, *_ in seen] == list(model.order) * steps
    for index, (name, membranes, second) in enumerate(seen):
        np.testing.assert_array_equal(membranes, result.membranes[name][:, index // len(model.order)])
        assert second == (model[name].current_decay is not None)


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        (np.zeros((1, 3, 2)), "Inputs must be integers, not float64"),
        (np.zeros((1, 3, 3), int), r"Inputs of kind events must be of shape \(samples, steps, 2\), not \(1, 3, 3\)"),
        (np.zeros((1, 2), int), r"Inputs of kind events must be of shape \(samples, steps, 2\), not \(1, 2\)"),
        (np.zeros((0, 3, 2), int), r"Inputs of kind events must be of shape \(samples, steps, 2\), not \(0, 3, 2\)"),
        (np.zeros((1, 4, 2), int), "Inputs must have at most the network's 3 steps, not 4"),
        (np.full((1, 3, 2), 2), "Inputs must be between 0 and 1, not 2 to 2"),
        (np.full((1, 3, 2), -1), "Inputs must be between 0 and 1, not -1 to -1"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(inputs, sentence):
    model = FloatNetwork(
        name="one",
        steps=3,
        input=FloatInput(shape=(2,)),
        populations=(FloatPopulation(name="n", shape=(2,), threshold=1.0),),
        connections=(Synapses(source="input", target="n", kind="dense", weights=np.eye(2)),),
        readout=FloatReadout(population="n"),
    )
    with pytest.raises(NetworkError, match=f"^{sentence}$"):
        run_float(model, inputs)


def test_records_of_another_name_are_refused():
    with pytest.raises(NetworkError, match=r"^Record must be of spikes, membranes, currents, not 'spike'$"):
        run_float(as_float(exact_network(np.random.default_rng(0))[0]), np.zeros((1, 1), int), record=("spike",))
