import re
from dataclasses import replace

import numpy as np
import pytest

from quant.errors import NetworkError
from quant.ir import Connection, Decay, Input, Network, Population, Readout, lfsr_thresholds
from quant.ranges import Range


def population(name="p", shape=(2,), threshold=4, **fields):
    return Population(name=name, shape=shape, threshold=threshold, **{"state_min": -8, "state_max": 7, **fields})


def connection(source="input", target="p", weights=((1, 2, 3), (-4, 5, -6)), weight_bits=4, **fields):
    return Connection(
        source=source, target=target, kind="dense", weights=np.array(weights), weight_bits=weight_bits, **fields
    )


def network(**fields):
    return Network(
        **{
            "name": "net",
            "steps": 3,
            "input": Input(shape=(3,)),
            "populations": (population(),),
            "connections": (connection(),),
            "readout": Readout(population="p"),
            **fields,
        }
    )


def refuses(build, sentence):
    with pytest.raises(NetworkError, match=f"^{re.escape(sentence)}$"):
        build()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"name": "1p"},
            "Population name must be a letter followed by at most 62 letters, digits or underscores, not '1p'",
        ),
        ({"name": "input"}, "Population name must not be 'input', which is the network's input"),
        ({"shape": (2, 2)}, "Population p: shape must be (N,) or (C, H, W) of 1 to 16777216 neurons, not (2, 2)"),
        ({"shape": (0,)}, "Population p: shape must be (N,) or (C, H, W) of 1 to 16777216 neurons, not (0,)"),
        ({"shape": 5}, "Population p: shape must be (N,) or (C, H, W), not 5"),
        ({"reset": "soft"}, "Population p: reset must be one of zero, subtract, none, latch, not 'soft'"),
        ({"rectify": 1}, "Population p: rectify must be true or false, not 1"),
        ({"ternary": None}, "Population p: ternary must be true or false, not None"),
        ({"state_min": 1}, "Population p: state_min must be between -2147483648 and 0, not 1"),
        ({"state_max": -1}, "Population p: state_max must be between 0 and 2147483647, not -1"),
        ({"state_max": 7.0}, "Population p: state_max must be integers, not 7.0"),
        ({"state_max": True}, "Population p: state_max must be one integer, not True"),
        ({"state_max": [7]}, "Population p: state_max must be one integer, not [7]"),
        ({"current_max": 5}, "Population p: current_min and current_max must be 0 without a current_decay"),
        ({"current_min": -5}, "Population p: current_min and current_max must be 0 without a current_decay"),
        ({"decay": 0.5}, "Population p: decay must be a Decay, not 0.5"),
        ({"decay": None}, "Population p: decay must be a Decay, not None"),
        ({"current_decay": 1}, "Population p: current_decay must be a Decay, not 1"),
        ({"threshold": 0}, "Population p: threshold must be between 1 and 2147483647, not 0"),
        ({"threshold": 1 << 31}, "Population p: threshold must be between 1 and 2147483647, not 2147483648"),
        ({"threshold": 1.5}, "Population p: threshold must be integers, not 1.5"),
        (
            {"threshold": np.array([1, 2, 3])},
            "Population p: threshold of shape (3,) must be one, per channel or per neuron of (2,)",
        ),
        (
            {"decay": Decay(numerator=np.array([1, 2, 3]))},
            "Population p: decay of shape (3,) must be one, per channel or per neuron of (2,)",
        ),
        (
            {"threshold": None},
            "Population p: without a threshold, reset must be 'none' and ternary false",
        ),
        (
            {"threshold": None, "reset": "none", "ternary": True},
            "Population p: without a threshold, reset must be 'none' and ternary false",
        ),
        (
            {"threshold": None, "reset": "none", "reset_amount": 3},
            "Population p: without a threshold, reset must be 'none' and ternary false",
        ),
        ({"reset_amount": 3}, "Population p: reset_amount must be given with reset 'subtract' only"),
        (
            {"reset": "subtract", "reset_amount": -1 << 32},
            "Population p: reset_amount must be between -2147483648 and 2147483647, not -4294967296",
        ),
        ({"bias": "1"}, "Population p: bias must be integers, not '1'"),
        ({"bias": np.zeros(0, int)}, "Population p: bias must be integers, not array([], dtype=int64)"),
        ({"reset_value": 0.5}, "Population p: reset_value must be integers, not 0.5"),
        ({"initial": 8}, "Population p: initial must be between -8 and 7, not 8"),
        ({"initial": -9}, "Population p: initial must be between -8 and 7, not -9"),
    ],
)
def test_population_refuses(fields, sentence):
    refuses(lambda: population(**fields), sentence)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"numerator": -1}, "Decay numerator must be between 0 and 2147483647, not -1"),
        ({"numerator": 0.5}, "Decay numerator must be integers, not 0.5"),
        ({"shift": 25}, "Decay shift must be between 0 and 24, not 25"),
        ({"shift": -1}, "Decay shift must be between 0 and 24, not -1"),
        ({"shift": True}, "Decay shift must be one integer, not True"),
    ],
)
def test_decay_refuses(fields, sentence):
    refuses(lambda: Decay(**fields), sentence)


@pytest.mark.parametrize(("shift", "half"), [(0, 0), (1, 1), (2, 2), (3, 4), (24, 1 << 23)])
def test_half_is_half_of_the_divisor_and_0_without_a_shift(shift, half):
    assert Decay(numerator=1, shift=shift).half == half


def test_decay_of_one_is_recognised():
    assert Decay().is_one
    assert Decay(numerator=np.array([8, 8]), shift=3).is_one
    assert not Decay(numerator=np.array([8, 7]), shift=3).is_one


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"weight_bits": 0}, "Connection input -> p: weight_bits must be between 1 and 16, not 0"),
        ({"weight_bits": 17}, "Connection input -> p: weight_bits must be between 1 and 16, not 17"),
        ({"weights": ((8, 0, 0), (0, 0, 0))}, "Connection input -> p: weights must be between -8 and 7, not 8"),
        ({"weights": ((-9, 0, 0), (0, 0, 0))}, "Connection input -> p: weights must be between -8 and 7, not -9"),
        ({"delay": 2}, "Connection input -> p: delay must be 0 or 1 step, not 2"),
    ],
)
def test_connection_refuses(fields, sentence):
    refuses(lambda: connection(**fields), sentence)


def test_connection_refuses_weights_that_are_not_integers():
    with pytest.raises(NetworkError, match=r"^Connection input -> p: weights must be integers, not array"):
        connection(weights=((0.5, 0.0, 0.0),))


@pytest.mark.parametrize(("bits", "low", "high"), [(1, -1, 0), (2, -2, 1), (8, -128, 127), (16, -32768, 32767)])
def test_weights_use_their_whole_width(bits, low, high):
    weights = connection(weights=((low, high, 0), (0, 0, 0)), weight_bits=bits).weights
    assert (weights.min(), weights.max()) == (low, high)
    for wrong in (low - 1, high + 1):
        with pytest.raises(NetworkError):
            connection(weights=((wrong, 0, 0), (0, 0, 0)), weight_bits=bits)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"kind": "image"}, "Input kind must be one of events, current, rate, latency, not 'image'"),
        ({"low": 1}, "Input low must be between -32768 and 0, not 1"),
        ({"high": 0}, "Input high must be between 1 and 65535, not 0"),
        ({"high": 65536}, "Input high must be between 1 and 65535, not 65536"),
        ({"seed": 0}, "Input seed must be between 1 and 65535, not 0"),
        ({"kind": "rate", "high": 100}, "Input of kind rate must have pixels of 0 to 2**bits - 1, not 0 to 100"),
        (
            {"kind": "latency", "low": -1, "high": 255},
            "Input of kind latency must have pixels of 0 to 2**bits - 1, not -1 to 255",
        ),
        ({"shape": (1, 2, 3, 4)}, "Input: shape must be (N,) or (C, H, W) of 1 to 16777216 neurons, not (1, 2, 3, 4)"),
    ],
)
def test_input_refuses(fields, sentence):
    refuses(lambda: Input(**{"shape": (3,), **fields}), sentence)


def test_coded_inputs_send_single_spikes():
    assert Input(shape=(3,), kind="rate", high=255).value_range == Range(0, 1)
    assert Input(shape=(3,), kind="current", low=-2, high=255).value_range == Range(-2, 255)


def test_lfsr_worked_by_hand():
    # States, a number every 4 shifts: 1 2 4 8 (17) 34 68 136 (273) 546 1092 2184 (4369) 8739 17478 34957 (4378).
    assert lfsr_thresholds(seed=1, bits=4, count=4).tolist() == [1, 1, 1, 10]
    assert lfsr_thresholds(seed=4369, bits=1, count=4).tolist() == [1, 0, 1, 0]


def test_lfsr_visits_every_state_but_0():
    assert np.unique(lfsr_thresholds(seed=0xACE1, bits=16, count=1 << 16)).size == (1 << 16) - 1


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"kind": "vote"}, "Readout kind must be one of count, first_spike, membrane, linear, not 'vote'"),
        ({"reduce": "mean"}, "Readout reduce must be one of last, sum, max, not 'mean'"),
        ({"weights": np.eye(2, dtype=int)}, "Readout weights and bias must be given with kind 'linear' only"),
        ({"bias": np.zeros(2, int)}, "Readout weights and bias must be given with kind 'linear' only"),
        ({"kind": "linear"}, "Readout weights must be integers, not None"),
        ({"kind": "linear", "weights": np.eye(2)}, None),
        (
            {"kind": "linear", "weights": np.eye(2, dtype=int), "bias": np.zeros(3, int)},
            "Readout weights and bias must have shapes (classes, N) and (classes,), not (2, 2) and (3,)",
        ),
        (
            {"kind": "linear", "weights": np.zeros(2, int)},
            "Readout weights and bias must have shapes (classes, N) and (classes,), not (2,) and (2,)",
        ),
        ({"population": "a b"}, None),
    ],
)
def test_readout_refuses(fields, sentence):
    with pytest.raises(NetworkError, match=None if sentence is None else f"^{re.escape(sentence)}$"):
        Readout(**{"population": "p", **fields})


def test_readout_without_bias_has_zeros():
    assert Readout(population="p", kind="linear", weights=np.eye(2, dtype=int)).bias.tolist() == [0, 0]


def test_a_single_linear_weight_is_refused_in_words():
    with pytest.raises(NetworkError, match="Readout weights"):
        Readout(population="p", kind="linear", weights=3)


SECOND = population("q")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"name": "a-b"},
            "Network name must be a letter followed by at most 62 letters, digits or underscores, not 'a-b'",
        ),
        ({"steps": 0}, "Network steps must be between 1 and 65536, not 0"),
        ({"steps": 65537}, "Network steps must be between 1 and 65536, not 65537"),
        (
            {"metadata": {"a": {1, 2}}},
            "Network metadata must be JSON values: Object of type set is not JSON serializable",
        ),
        ({"populations": ()}, "Network must have at least one population"),
        (
            {"populations": (population(), population())},
            "Population name must be unique, but 'p' stands 2 times",
        ),
        (
            {"connections": (connection(source="q"),)},
            "Connection q -> p: 'q' must be one of input, p",
        ),
        (
            {"connections": (connection(), connection(target="q"))},
            "Connection input -> q: 'q' must be one of p",
        ),
        (
            {"populations": (population(), SECOND)},
            "Population q must have at least one incoming connection",
        ),
        (
            {"connections": (connection(weights=np.ones((3, 3), int)),)},
            "Connection input -> p: gives shape (3,), but the target has (2,)",
        ),
        (
            {"connections": (connection(weights=np.ones((2, 4), int)),)},
            "Connection input -> p: weights take 4 inputs, but the source has 3",
        ),
        (
            {"connections": (connection(), connection(source="p", weights=np.eye(2, dtype=int)))},
            "Connections of delay 0 must not form a loop, but they do among p; give the one that leads back delay 1",
        ),
        (
            {"input": Input(shape=(3,), kind="current"), "connections": (connection(delay=1),)},
            "Connection input -> p: an input of kind current must have delay 0",
        ),
        ({"readout": Readout(population="q")}, "Readout population must be one of p, not 'q'"),
        (
            {"readout": Readout(population="p", kind="membrane")},
            "Readout membrane must read a population without a threshold, not p",
        ),
        (
            {"populations": (population(threshold=None, reset="none"),)},
            "Readout count must read a population with a threshold, not p",
        ),
        (
            {"readout": Readout(population="p", kind="linear", weights=np.ones((4, 3), int))},
            "Readout weights take 3 counts, not 2",
        ),
        (
            {
                "populations": (
                    population(reset="none", decay=Decay(numerator=(1 << 31) - 1, shift=24), state_max=(1 << 31) - 1),
                )
            },
            "Population p: the membrane times its decay must fit 60 bits, not 64; "
            "use narrower rails, fewer weight bits or a smaller decay shift",
        ),
    ],
)
def test_network_refuses(fields, sentence):
    refuses(lambda: network(**fields), sentence)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_metadata_must_be_finite(value):
    with pytest.raises(NetworkError, match=r"^Network metadata must be JSON values: "):
        network(metadata={"a": value})


def test_network_refuses_a_source_that_never_fires():
    silent = population("p", threshold=None, reset="none")
    refuses(
        lambda: network(
            populations=(silent, SECOND),
            connections=(connection(), connection(source="p", target="q", weights=np.eye(2, dtype=int))),
        ),
        "Connection p -> q: the source must have a threshold, or it never fires",
    )


def test_network_refuses_max_pool_of_counts():
    pool = Connection(source="input", target="p", kind="max_pool", weights=np.array(1), kernel=2, weight_bits=2)
    refuses(
        lambda: network(
            input=Input(shape=(1, 2, 2), high=3), populations=(population(shape=(1, 1, 1)),), connections=(pool,)
        ),
        "Connection input -> p: max_pool needs a source of binary spikes",
    )


def test_dense_targets_may_be_maps():
    assert network(populations=(population(shape=(2, 1, 1)),)).shape_of("p") == (2, 1, 1)


def test_a_latch_of_one_channel_takes_per_channel_fields_in_both_shapes():
    for shape in ((2,), (2, 1, 1)):
        item = population(shape=(2, 1, 2), bias=np.array([3, 5]).reshape(shape))
        assert item.per_neuron(item.bias).tolist() == [3, 3, 5, 5]


def test_reset_amount_is_the_threshold_unless_given():
    assert population(reset="subtract").reset_amount == 4
    assert population(reset="subtract", reset_amount=-3).reset_amount == -3
    assert population().reset_amount is None


def test_arrays_are_copied_and_read_only():
    weights = np.ones((2, 3), int)
    item = connection(weights=weights)
    weights[0, 0] = 5
    assert item.weights[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        item.weights[0, 0] = 5


def test_order_follows_the_connections_of_delay_0_and_ties_keep_the_given_order():
    square = np.eye(2, dtype=int)
    net = network(
        populations=(population("c"), population("b"), population("a"), population("p")),
        connections=(
            connection(target="a"),
            connection(target="p"),
            connection(source="a", target="b", weights=square),
            connection(source="b", target="c", weights=square),
            connection(source="c", target="a", weights=square, delay=1),
        ),
    )
    assert net.order == ("a", "b", "c", "p")
    assert [item.target for item in net.outgoing("input")] == ["a", "p"]
    assert [item.source for item in net.incoming("a")] == ["input", "c"]
    assert net.value_range("a") == Range(0, 1)


def test_digest_is_of_what_computes_and_not_of_the_metadata():
    net = network()
    assert net.digest == network().digest == replace(net, metadata={"accuracy": 1}).digest
    changed = [
        replace(net, name="other"),
        replace(net, steps=4),
        replace(net, input=Input(shape=(3,), high=2)),
        replace(net, populations=(population(bias=1),)),
        replace(net, populations=(population(bias=np.array([0, 1])),)),
        replace(net, connections=(connection(weights=((1, 2, 3), (-4, 5, -5))),)),
        replace(net, connections=(connection(weight_bits=5),)),
        replace(net, readout=Readout(population="p", kind="first_spike")),
    ]
    assert len({item.digest for item in [net, *changed]}) == len(changed) + 1


def test_digest_does_not_depend_on_the_way_through_a_file(tmp_path):
    from quant.file import load_network, save_network

    net = network(populations=(population(bias=np.array([100, -3])),))
    save_network(tmp_path / "net", net)
    assert load_network(tmp_path / "net").digest == net.digest
