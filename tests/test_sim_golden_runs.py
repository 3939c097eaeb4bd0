"""Runs of the golden model: against a slow interpreter, in chunks, at the bounds of every sum."""

import subprocess
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import reference
import whole
from hypothesis import given, settings
from hypothesis import strategies as st
from small import EVERYTHING, WIDE, link, network, population

from quant.errors import NetworkError
from quant.ir import Decay, Input, Population, Readout
from sim import golden
from sim.golden import engine


@pytest.mark.parametrize("seed", range(200))
def test_equals_a_slow_interpreter_of_the_contract(seed):
    rng = np.random.default_rng(seed)
    model = whole.random_network(rng)
    inputs = whole.random_inputs(rng, model, 3)
    reference.assert_equal(golden.run(model, inputs, record=EVERYTHING), reference.run(model, inputs))


def test_the_random_networks_hold_everything_of_the_contract():
    models = [whole.random_network(np.random.default_rng(seed)) for seed in range(200)]
    seen = Counter(model.readout.kind for model in models) + Counter(model.input.kind for model in models)
    for neurons in (neurons for model in models for neurons in model.populations):
        seen.update([neurons.reset, f"{len(neurons.shape)}d"])
        seen.update(name for name in ("rectify", "ternary", "current_decay") if getattr(neurons, name))
    for connection in (connection for model in models for connection in model.connections):
        seen.update([connection.kind, f"delay {connection.delay}", "loop" * (connection.source == connection.target)])
        seen.update(["pool"] if connection.pool != (1, 1) else [])
    seen.update(model.readout.reduce for model in models if model.readout.kind == "membrane")
    assert len(seen) == 4 + 4 + 4 + 2 + 3 + 5 + 2 + 2 + 1 + 3
    assert min(seen.values()) >= 10


@pytest.fixture
def tiny_chunks(monkeypatch):
    """Chunks of a few samples, on two threads, in blocks of two steps, with products of one sample."""
    monkeypatch.setattr(engine, "_LEAST_CHUNK_BYTES", 1)
    monkeypatch.setattr(engine, "_CHUNK_BYTES", 1000)
    monkeypatch.setattr(engine, "_BLOCK_STEPS", 2)
    monkeypatch.setattr(engine, "_workers", lambda: 2)
    monkeypatch.setattr("sim.golden.drive._BLOCK_BYTES", 16)


@pytest.mark.parametrize("seed", range(60))
def test_chunks_and_blocks_change_nothing(seed, tiny_chunks):
    rng = np.random.default_rng(seed)
    model = whole.random_network(rng)
    inputs = whole.random_inputs(rng, model, 5)
    reference.assert_equal(golden.run(model, inputs, record=EVERYTHING), reference.run(model, inputs))


@pytest.mark.usefixtures("tiny_chunks")
def test_an_error_in_a_chunk_is_the_error_of_the_run():
    with pytest.raises(NetworkError, match=r"^Inputs must be between -1000 and 1000, not 1001$"):
        golden.run(network(population()), np.array([0, 0, 0, 0, 1001]).reshape(5, 1, 1))


def test_a_long_run_counts_every_spike():
    model = network(population(threshold=1), steps=1000)
    result = golden.run(model, np.ones((2, 1000, 1), np.int8))
    assert result.counts["p"].tolist() == [[1000], [1000]]
    assert result.totals["p"].tolist() == [1000, 1000]


def test_a_wide_population_counts_every_spike():
    model = network(population(size=300, threshold=1))
    assert golden.run(model, np.ones((1, 20, 300), np.int8)).totals["p"].tolist() == [6000]


def wide(sources, targets, *, bits, rng):
    """A dense network of the largest and smallest weights alone, which its inputs drive to both bounds of every sum."""
    weights = rng.choice([-(1 << (bits - 1)), (1 << (bits - 1)) - 1], (targets, sources))
    weights[[0, -1]], weights[[1, -2]] = weights.min(), weights.max()
    readout = Readout(population="p", kind="membrane", reduce="sum")
    neurons = population(size=targets, threshold=None, reset="none", state_min=-(1 << 31), state_max=(1 << 31) - 1)
    return weights, neurons, link(kind="dense", weights=weights, weight_bits=bits), readout


@pytest.mark.parametrize(
    ("sources", "targets", "bits", "high", "dtype"),
    [
        (50, 31, 4, 1, np.float32),
        (700, 65, 4, 1, np.float32),
        (514, 40, 8, 255, np.float32),
        (515, 40, 8, 255, np.float64),
        (40, 40, 16, 65535, np.float64),
    ],
)
def test_sums_are_exact_at_their_bounds(sources, targets, bits, high, dtype):
    rng = np.random.default_rng(0)
    weights, neurons, connection, readout = wide(sources, targets, bits=bits, rng=rng)
    model = network(neurons, connections=(connection,), port=Input(shape=(sources,), high=high), readout=readout)
    assert engine._Engine(model).drives[connection]._operator.dtype == dtype
    inputs = rng.integers(0, high + 1, (8, 1, sources))
    inputs[0], inputs[1], inputs[2] = 0, high, np.where(weights[targets // 2] > 0, high, 0)
    inputs[3] = np.where(weights[targets // 2] > 0, 0, high)
    np.testing.assert_array_equal(golden.run(model, inputs).scores, inputs[:, 0] @ weights.T)


def test_floats_are_widened_before_a_sum_could_be_rounded():
    port = Input(shape=(2,), kind="current", high=65535)
    neurons = population(threshold=None, reset="none", state_min=-(1 << 31), state_max=(1 << 31) - 1)
    model = network(
        neurons,
        connections=(link(kind="dense", weights=[[256, 1]], weight_bits=10),),
        port=port,
        readout=Readout(population="p", kind="membrane"),
        steps=1,
    )
    assert golden.run(model, [[65535, 257]]).scores.tolist() == [[(1 << 24) + 1]]


def test_a_large_pooled_window_is_not_taken_for_an_empty_one():
    port = Input(shape=(1, 256, 256))
    pooled = link(kind="max_pool", pool=256, kernel=1, weights=3)
    neurons = Population(name="p", shape=(1, 1, 1), threshold=3, **WIDE)
    model = network(neurons, port=port, connections=(pooled,))
    assert golden.run(model, np.ones((1, 1, 256 * 256), np.int8)).scores.tolist() == [[1]]


@pytest.mark.parametrize("seed", range(20))
def test_integers_do_where_no_float_is_exact(seed, monkeypatch):
    monkeypatch.setattr("sim.golden.drive._MANTISSA", {np.float32: 2, np.float64: 3})
    rng = np.random.default_rng(seed)
    model = whole.random_network(rng)
    inputs = whole.random_inputs(rng, model, 3)
    reference.assert_equal(golden.run(model, inputs, record=EVERYTHING), reference.run(model, inputs))


@pytest.mark.parametrize(
    ("low", "high", "initial", "drive", "stored"),
    [(-1, 11, 10, 11, 10), (-1, 10, 10, 10, 10), (-12, 1, -10, -12, -10), (-11, 1, -10, -11, -10)],
)
def test_rails_hold_what_would_pass_them_by_one(low, high, initial, drive, stored):
    neurons = population(state_min=-10, state_max=10, initial=initial, decay=Decay(numerator=1, shift=1))
    result = golden.run(network(neurons, port=Input(shape=(1,), low=low, high=high)), [[[drive]]], record=EVERYTHING)
    assert result.membranes["p"].ravel().tolist() == [stored]


@pytest.mark.parametrize("lowest", [-32768, -32767])
def test_the_lowest_sum_fits_too(lowest):
    port = Input(shape=(1,), low=-1, high=1)
    neurons = population(threshold=None, reset="none", state_min=lowest, state_max=7, initial=lowest)
    model = network(neurons, port=port, readout=Readout(population="p", kind="membrane"))
    assert golden.run(model, [[[-1]]]).scores.tolist() == [[lowest - 1]]


@pytest.mark.parametrize("rail", [32765, 32766, 32767, 32768, 2**31 - 2, 2**31 - 1])
@pytest.mark.parametrize("drive", [1, 2])
def test_membranes_are_as_wide_as_their_sums(rail, drive):
    fields = {"state_min": -rail, "state_max": rail, "reset": "none"}
    readout = Readout(population="p", kind="membrane")
    port = Input(shape=(2,), low=-2, high=2)
    neurons = population(size=2, initial=np.array([rail, -rail]), threshold=None, **fields)
    model = network(neurons, port=port, readout=readout)
    assert golden.run(model, [[[drive, -drive]]]).scores.tolist() == [[rail + drive, -rail - drive]]
    firing = population(size=2, initial=np.array([rail - 1, -rail]), threshold=rail, ternary=True, **fields)
    result = golden.run(network(firing, port=port), [[[drive, -drive]]], record=EVERYTHING)
    assert result.spikes["p"].ravel().tolist() == [1, -1]
    assert result.membranes["p"].ravel().tolist() == [rail, -rail]


def test_products_with_the_decay_are_as_wide_as_they_need_be():
    decay = Decay(numerator=(1 << 24) - 1, shift=24)
    values = [(1 << 31) - 1, -(1 << 31), 12345678]
    neurons = population(size=3, initial=np.array(values), decay=decay, state_min=-(1 << 31), state_max=(1 << 31) - 1)
    model = network(replace(neurons, threshold=(1 << 31) - 1))
    result = golden.run(model, [[[-5, 5, 0]]], record=EVERYTHING)
    kept = [value + drive for value, drive in zip(values, [-5, 5, 0], strict=True)]
    assert result.membranes["p"].ravel().tolist() == [(v * ((1 << 24) - 1) + (1 << 23)) // (1 << 24) for v in kept]


seeds = st.integers(0, 2**32 - 1)
quick = settings(deadline=None, max_examples=40)


@given(seeds)
@quick
def test_a_batch_equals_its_samples_one_by_one(seed):
    rng = np.random.default_rng(seed)
    model = whole.random_network(rng)
    inputs = whole.random_inputs(rng, model, 4)
    batch = golden.run(model, inputs, record=EVERYTHING)
    for index in range(4):
        alone = golden.run(model, inputs[index : index + 1], record=EVERYTHING)
        np.testing.assert_array_equal(alone.scores[0], batch.scores[index])
        for name in batch.spikes:
            np.testing.assert_array_equal(alone.spikes[name][0], batch.spikes[name][index])
            np.testing.assert_array_equal(alone.membranes[name][0], batch.membranes[name][index])


@given(seeds)
@quick
def test_recording_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    model = whole.random_network(rng)
    inputs = whole.random_inputs(rng, model, 3)
    full, bare = golden.run(model, inputs, record=EVERYTHING), golden.run(model, inputs)
    assert bare.spikes == bare.membranes == bare.currents == {}
    np.testing.assert_array_equal(full.scores, bare.scores)
    np.testing.assert_array_equal(full.answers, bare.answers)
    for name, spikes in full.spikes.items():
        np.testing.assert_array_equal(bare.counts[name], spikes.sum(axis=1))
        np.testing.assert_array_equal(bare.totals[name], np.count_nonzero(spikes, axis=(1, 2)))


def chain(weights, order):
    """Input, a hidden layer in the given order, and an output, all dense, with a loop at the hidden layer."""
    into, out, back, thresholds = weights
    hidden = population("hidden", len(order), threshold=thresholds[order], reset="subtract")
    connections = (
        link(target="hidden", kind="dense", weights=into[order]),
        link("hidden", "hidden", kind="dense", weights=back[order][:, order], delay=1),
        link("hidden", "out", kind="dense", weights=out[:, order]),
    )
    port = Input(shape=(into.shape[1],))
    return network(hidden, population("out", len(out), threshold=3), connections=connections, port=port)


@given(seeds)
@quick
def test_the_order_of_neurons_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    inputs, hidden = int(rng.integers(1, 9)), int(rng.integers(1, 50))
    weights = (
        rng.integers(-8, 8, (hidden, inputs)),
        rng.integers(-8, 8, (4, hidden)),
        rng.integers(-8, 8, (hidden, hidden)),
        rng.integers(1, 9, hidden),
    )
    events = rng.integers(0, 2, (3, 6, inputs))
    order = rng.permutation(hidden)
    plain = golden.run(chain(weights, np.arange(hidden)), events, record=EVERYTHING)
    mixed = golden.run(chain(weights, order), events, record=EVERYTHING)
    np.testing.assert_array_equal(mixed.spikes["hidden"], plain.spikes["hidden"][:, :, order])
    np.testing.assert_array_equal(mixed.membranes["out"], plain.membranes["out"])
    np.testing.assert_array_equal(mixed.scores, plain.scores)


def test_needs_neither_torch_nor_hardware():
    code = "import sys, sim.golden; assert not {'torch', 'amaranth', 'cocotb', 'hw'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64])
@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 63), (0, 64), (0, 255), (-128, 127)])
def test_windows_are_summed_whatever_the_type_of_the_inputs(dtype, low, high):
    """Four times 64 does not fit the byte that 64 comes in."""
    if low < np.iinfo(dtype).min:
        pytest.skip("a type without a sign")
    port = Input(shape=(1, 2, 2), low=low, high=high, kind="current" if high > 1 else "events")
    pooled = link(kind="dense", pool=(2, 2), weights=[[1]], weight_bits=2)
    neurons = population(reset="none", state_min=-2000, state_max=2000)
    model = network(neurons, port=port, connections=(pooled,), steps=1)
    for value in (low, high):
        inputs = np.full((1, 1, 4) if high == 1 else (1, 4), value, dtype)
        result = golden.run(model, inputs, record=EVERYTHING)
        assert result.membranes["p"].tolist() == [[[4 * value]]]
        assert result.totals["input"].tolist() == [4 * (value != 0)]
