from dataclasses import replace

import numpy as np
import pytest

from quant.calibrate import as_float
from quant.errors import NetworkError
from quant.graph import Synapses
from quant.ir import Connection, Decay, Input, Network, Population, Readout
from quant.operations import count_operations, fan_out
from quant.ops import apply
from quant.simulate import run_float
from sim import golden


def synapses(kind, shape, rng, **options):
    weights = rng.integers(-1, 2, shape)
    return Synapses(source="a", target="b", kind=kind, weights=weights, **options)


CASES = {
    "dense": ("dense", (5, 7), (7,), {}),
    "dense of a map": ("dense", (5, 12), (3, 2, 2), {}),
    "dense of a pooled map": ("dense", (5, 12), (3, 7, 5), {"pool": (3, 2)}),
    "conv": ("conv2d", (4, 2, 3, 3), (2, 5, 6), {"padding": 1}),
    "conv without padding": ("conv2d", (4, 2, 3, 2), (2, 5, 6), {}),
    "conv with strides that leave places out": ("conv2d", (4, 2, 2, 1), (2, 7, 6), {"stride": (3, 2)}),
    "conv with stride and padding": ("conv2d", (3, 1, 5, 3), (1, 8, 7), {"stride": (2, 3), "padding": (2, 1)}),
    "conv in groups": ("conv2d", (6, 2, 3, 3), (4, 4, 4), {"groups": 2, "padding": 1}),
    "conv of a pooled map": ("conv2d", (3, 2, 3, 3), (2, 7, 9), {"pool": 2, "padding": 1}),
    "transposed": ("conv_transpose2d", (2, 3, 3, 3), (2, 4, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
    "transposed in groups": ("conv_transpose2d", (4, 2, 2, 3), (4, 3, 3), {"groups": 2, "padding": (0, 2)}),
    "max pool": ("max_pool", (), (2, 5, 7), {"kernel": 2}),
    "max pool that overlaps": ("max_pool", (3,), (3, 6, 5), {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 0)}),
    "identity": ("identity", (2, 3, 4), (2, 3, 4), {}),
    "identity by channel": ("identity", (2,), (2, 3, 4), {}),
    "identity of neurons": ("identity", (4,), (4,), {}),
    "identity of a pooled map": ("identity", (2,), (2, 5, 4), {"pool": 2}),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("useful", [False, True])
def test_fan_out_is_what_a_single_event_reaches(name, useful):
    kind, shape, source, options = CASES[name]
    connection = synapses(kind, shape, np.random.default_rng(len(name)), **options)
    weighed = connection if useful else replace(connection, weights=np.ones_like(connection.weights))
    reached = np.count_nonzero(apply(weighed, source, np.eye(np.prod(source), dtype=np.int64)), axis=1)

    np.testing.assert_array_equal(fan_out(connection, source, useful=useful), reached)


def test_fan_out_at_a_border_by_hand():
    connection = Synapses(source="a", target="b", kind="conv2d", weights=np.ones((2, 1, 3, 3)), padding=1)
    assert fan_out(connection, (1, 3, 3)).tolist() == [8, 12, 8, 12, 18, 12, 8, 12, 8]


def network(kind="events", *, low=0, delay=1, ternary=False, steps=3):
    """Three inputs to two neurons that copy the first two, which go to themselves crosswise and to one output."""
    forget = Decay(numerator=0)
    return Network(
        name="n",
        steps=steps,
        input=Input(shape=(3,), kind=kind, low=low, high=1 if kind == "events" else 7),
        populations=(
            Population(name="copy", shape=(2,), threshold=2, ternary=ternary, decay=forget, state_min=0, state_max=0),
            Population(name="out", shape=(1,), threshold=9, decay=forget, state_min=0, state_max=0),
        ),
        connections=(
            Connection(
                source="input", target="copy", kind="dense", weights=np.array([[2, 0, 0], [0, 2, 0]]), weight_bits=4
            ),
            Connection(
                source="copy",
                target="copy",
                kind="dense",
                weights=np.array([[0, 1], [1, 0]]),
                weight_bits=4,
                delay=delay,
            ),
            Connection(source="copy", target="out", kind="dense", weights=np.array([[1, 0]]), weight_bits=4),
        ),
        readout=Readout(population="out"),
    )


def counted(net, inputs):
    inputs = np.array(inputs)
    return count_operations(net, inputs, golden.run(net, inputs, record=("spikes",)))


def test_events_by_hand():
    # Input events: 1 + 1 + 2. Neuron 0 fires in steps 0 and 2, neuron 1 in step 2.
    # Input: 4 events of 2 synapses, of which the third input's is of weight 0 and the others' 1 each.
    # Recurrent: what fires in the last step never arrives, so 1 event of 2 synapses, 1 of them useful.
    # Output: 3 events of 1 synapse, useful from neuron 0.
    found = counted(network(), [[[1, 0, 0], [0, 0, 1], [1, 1, 0]]])
    assert found.operations.tolist() == [4 * 2 + 1 * 2 + 3]
    assert found.useful.tolist() == [3 + 1 + 2]
    assert found.macs == 0


def test_a_value_is_one_event_whatever_its_size_and_sign():
    net = network(low=-1, ternary=True)
    assert counted(net, [[[-1, 0, 0], [0, 0, 0], [0, 0, 0]]]).operations.tolist() == [2 + 2 + 1]


def test_constant_input_is_multiplied_once():
    found = counted(network("current"), [[0, 0, 0], [7, 7, 7]])
    assert found.macs == 6
    # Both neurons fire in each of 3 steps: 2 synapses each from the first two, and one to the output in all.
    assert found.operations.tolist() == [0, 2 * 2 * 2 + 3 * 2]


@pytest.mark.parametrize("kind", ["rate", "latency"])
def test_coded_inputs_are_the_golden_models(kind):
    net = network(kind, steps=5)
    inputs = np.random.default_rng(0).integers(0, 8, (20, 3))
    result = golden.run(net, inputs, record=("spikes",))
    quiet = replace(net, populations=[replace(item, threshold=99) for item in net.populations])
    silent = golden.run(quiet, inputs, record=("spikes",))

    assert count_operations(quiet, inputs, silent).operations.tolist() == (2 * result.totals["input"]).tolist()


def test_float_results_count_too():
    net, inputs = network(), np.random.default_rng(1).integers(0, 2, (6, 3, 3))
    result = run_float(as_float(net), inputs, record=("spikes",))
    assert count_operations(net, inputs, result).operations.tolist() == counted(net, inputs).operations.tolist()


def test_spikes_must_be_recorded():
    net, inputs = network(), np.zeros((2, 3, 3), np.int64)
    with pytest.raises(NetworkError, match=r"^Synaptic operations need the recorded spikes of 2 samples, but copy's"):
        count_operations(net, inputs, golden.run(net, inputs))
    with pytest.raises(NetworkError, match=r"^Synaptic operations need .* of 2 samples, not of 1$"):
        count_operations(net, inputs, golden.run(net, inputs[:1], record=("spikes",)))
