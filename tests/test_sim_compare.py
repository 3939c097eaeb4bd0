"""Spikes, membranes and currents that differ: each is found, and the first is told."""

import numpy as np
import pytest
from recordings import (
    ALL_SPIKES,
    BENCH,
    CURRENTS,
    MEMBRANES,
    SAMPLES,
    SPIKES,
    STEPS,
    check,
    counts,
    edit,
    lane,
    membrane,
    put,
    recording,
    spike,
    word,
)


def test_equal():
    result = check(recording())
    assert counts(result) == (0, 0, 0, 0, 0)
    assert result.mismatches == 0
    assert result.first_difference == ""
    assert result.spikes == ALL_SPIKES
    assert result.membranes == SAMPLES * STEPS * 5
    assert result.currents == SAMPLES * STEPS * 3


def test_lanes_beyond_the_population_are_not_compared():
    seen = recording()
    for field in seen.words[0].values.values():
        field.values[1::2, 0] = -1
        field.unknown[1::2, 0] = True
    assert check(seen).mismatches == 0


def test_one_spike():
    seen = recording()
    rtl = spike(seen, 0, 1, 2, 2)
    golden = SPIKES["hidden"][1, 2, 2]
    result = check(seen)
    assert counts(result) == (1, 0, 0, 0, 0)
    assert result.first_difference == f"sample 1, step 2, population 'hidden', neuron 2: golden {golden}, rtl {rtl}"


@pytest.mark.parametrize("golden", [-1, 1])
def test_a_spike_of_the_other_sign(golden):
    seen = recording()
    sample, step, neuron = np.argwhere(SPIKES["hidden"] == golden)[0]
    put(seen, "spikes", 0, sample, step, neuron, -golden)
    result = check(seen)
    assert counts(result) == (1, 0, 0, 0, 0)
    assert result.first_difference == (
        f"sample {sample}, step {step}, population 'hidden', neuron {neuron}: golden {golden}, rtl {-golden}"
    )


def test_every_wrong_value_is_found():
    """Whichever the neuron, and whatever is wrong with it."""
    for probe, item in enumerate(BENCH.probes):
        for place, kind in enumerate(item.values):
            for sample, step, neuron in np.ndindex(1, STEPS, item.size):
                seen = recording()
                values = seen.words[probe].values[kind].values
                values[lane(probe, sample, step, neuron)] += 1
                result = check(seen)
                assert counts(result)[place] == result.mismatches == 1
                where = f"sample {sample}, step {step}, population {item.name!r}, neuron {neuron}: "
                assert result.first_difference.startswith(where)


def test_two_lanes_exchanged():
    seen = recording()
    spikes = seen.words[0].values["membranes"].values
    spikes[::2] = spikes[::2, ::-1]
    expected = MEMBRANES["hidden"]
    assert counts(check(seen)) == (0, 2 * int((expected[..., 0] != expected[..., 2]).sum()), 0, 0, 0)


def test_one_membrane():
    seen = recording()
    membrane(seen, 1, 2, 0, 1, 9)
    result = check(seen)
    assert counts(result) == (0, 1, 0, 0, 0)
    golden = MEMBRANES["out"][2, 0, 1]
    assert result.first_difference == f"sample 2, step 0, population 'out', neuron 1: membrane golden {golden}, rtl 9"


def test_a_spike_with_the_membrane_before_it():
    seen = recording()
    spike(seen, 0, 1, 2, 2)
    membrane(seen, 0, 1, 1, 2, 9)
    membrane(seen, 0, 1, 2, 2, 10)
    result = check(seen)
    assert counts(result) == (1, 2, 0, 0, 0)
    assert result.first_difference.startswith("sample 1, step 2, population 'hidden', neuron 2: golden ")
    assert result.first_difference.endswith(
        f"; first membrane difference at step 1 (neuron 2: golden {MEMBRANES['hidden'][1, 1, 2]}, rtl 9)"
    )


def test_one_current():
    seen = recording()
    put(seen, "currents", 0, 2, 1, 0, 9)
    result = check(seen)
    assert counts(result) == (0, 0, 1, 0, 0)
    golden = CURRENTS["hidden"][2, 1, 0]
    assert result.first_difference == f"sample 2, step 1, population 'hidden', neuron 0: current golden {golden}, rtl 9"


def test_a_membrane_with_the_current_before_it():
    seen = recording()
    put(seen, "currents", 0, 1, 0, 1, 9)
    membrane(seen, 0, 1, 1, 1, 10)
    result = check(seen)
    assert counts(result) == (0, 1, 1, 0, 0)
    golden = MEMBRANES["hidden"][1, 1, 1], CURRENTS["hidden"][1, 0, 1]
    assert result.first_difference == (
        f"sample 1, step 1, population 'hidden', neuron 1: membrane golden {golden[0]}, rtl 10; "
        f"first current difference at step 0 (neuron 1: golden {golden[1]}, rtl 9)"
    )


def test_a_spike_with_membrane_and_current_before_it():
    seen = recording()
    put(seen, "currents", 0, 1, 0, 1, 9)
    membrane(seen, 0, 1, 1, 1, 10)
    spike(seen, 1, 1, 3, 0)
    found = check(seen).first_difference
    assert found.startswith("sample 1, step 3, population 'out', neuron 0: golden ")
    assert "; first membrane difference at step 1 (population 'hidden', neuron 1: golden " in found
    assert "; first current difference at step 0 (population 'hidden', neuron 1: golden " in found


def test_samples_are_numbered_from_the_first():
    seen = recording()
    membrane(seen, 0, 1, 1, 2, 9)
    seen.answer_data[3] = 99
    assert check(seen, start=500).first_difference.startswith("sample 501, step 1, population 'hidden', neuron 2: ")
    lost = edit(recording(), 0, lambda array: np.delete(array, word(0, 1, 2, 1), axis=0))
    assert check(lost, start=500).first_difference.startswith("sample 501, step 2, population 'hidden': word 1 of 2")
    wrong = recording()
    wrong.answer_data[3] = 99
    assert check(wrong, start=500).first_difference.startswith("sample 501, score of class 0: ")


def test_a_membrane_of_another_population_is_named():
    seen = recording()
    spike(seen, 1, 1, 2, 0)
    membrane(seen, 0, 1, 1, 2, 9)
    assert (
        "; first membrane difference at step 1 (population 'hidden', neuron 2: golden" in check(seen).first_difference
    )


def test_a_membrane_of_an_earlier_sample_comes_first():
    seen = recording()
    spike(seen, 0, 1, 2, 2)
    membrane(seen, 0, 0, 3, 2, 9)
    assert check(seen).first_difference.startswith("sample 0, step 3, population 'hidden', neuron 2: membrane golden")


def test_a_membrane_of_a_later_sample_is_not_the_reason():
    seen = recording()
    spike(seen, 0, 1, 2, 2)
    membrane(seen, 0, 2, 0, 2, 9)
    assert "membrane" not in check(seen).first_difference


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((0, 0, 3, 0), (0, 1, 0, 0)),  # sample before step
        ((1, 1, 1, 0), (0, 1, 2, 0)),  # step before population
        ((0, 1, 1, 2), (1, 1, 1, 0)),  # population before neuron
        ((0, 1, 1, 0), (0, 1, 1, 2)),
    ],
)
def test_time_order(first, second):
    seen = recording()
    for place in (first, second):
        spike(seen, *place)
    probe, sample, step, neuron = first
    name = BENCH.probes[probe].name
    assert check(seen).first_difference.startswith(
        f"sample {sample}, step {step}, population {name!r}, neuron {neuron}: "
    )


def test_an_unknown_spike_differs_from_both():
    seen = recording()
    seen.words[1].values["spikes"].unknown[lane(1, 0, 0, 1)] = True
    result = check(seen)
    assert counts(result) == (1, 0, 0, 0, 0)
    assert result.first_difference.endswith("rtl x")


def test_an_unknown_membrane_differs():
    seen = recording()
    seen.words[1].values["membranes"].unknown[lane(1, 0, 0, 1)] = True
    result = check(seen)
    assert counts(result) == (0, 1, 0, 0, 0)
    assert result.first_difference.endswith("rtl x")
