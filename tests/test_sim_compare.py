from dataclasses import replace

import numpy as np
import pytest

from quant.ranges import Range
from quant.result import Result
from sim.compare import compare
from sim.testbench import Probe, Testbench
from sim.traces import Field, Recording, Words

SAMPLES, STEPS = 3, 4
BENCH = Testbench(
    module="m",
    data_width=8,
    answer_width=8,
    classes=2,
    binary=True,
    cores=2,
    probes=(
        Probe(
            name="hidden",
            neurons=np.array([[2, 0], [-1, 1]]),
            values={"spikes": Range(-1, 1), "membranes": Range(-8, 7), "currents": Range(-4, 3)},
            index_width=1,
        ),
        Probe(
            name="out",
            neurons=np.array([[0, 1]]),
            values={"spikes": Range(0, 1), "membranes": Range(-8, 7)},
            index_width=0,
        ),
    ),
)
rng = np.random.default_rng(0)


def drawn(kind):
    return {
        probe.name: rng.integers(probe.values[kind].low, probe.values[kind].high + 1, (SAMPLES, STEPS, probe.size))
        for probe in BENCH.probes
        if kind in probe.values
    }


SPIKES = {name: values.astype(np.int8) for name, values in drawn("spikes").items()}
MEMBRANES, CURRENTS = drawn("membranes"), drawn("currents")
SCORES = SPIKES["out"].sum(axis=1).astype(np.int64)
GOLDEN = Result(
    answers=SCORES.argmax(axis=1),
    scores=SCORES,
    counts={},
    totals={},
    spikes=SPIKES,
    membranes=MEMBRANES,
    currents=CURRENTS,
)
ALL_SPIKES = sum(int(np.abs(spikes).sum()) for spikes in SPIKES.values())


def words(probe, steps=(STEPS,) * SAMPLES):
    """What the hardware must send; of sample s the first ``steps[s]`` steps. Lanes without a neuron send anything."""
    values = {}
    for kind in probe.values:
        golden = getattr(GOLDEN, kind)[probe.name]
        sent = np.concatenate([golden[sample, :count] for sample, count in enumerate(steps)])
        lanes = np.where(probe.neurons < 0, 1, sent[:, probe.neurons]).reshape(-1, probe.units)
        values[kind] = Field(values=lanes, unknown=np.zeros(lanes.shape, bool))
    last = np.concatenate([np.arange(count) == count - 1 for count in steps])
    return Words(
        last=np.repeat(last, probe.sweeps).astype(np.int64),
        index=np.arange(len(last) * probe.sweeps) % probe.sweeps,
        values=values,
    )


def recording(**steps):
    answers = np.column_stack([SCORES, GOLDEN.answers]).reshape(-1)
    return Recording(
        words=tuple(words(probe, steps.get(probe.name, (STEPS,) * SAMPLES)) for probe in BENCH.probes),
        answer_cycle=np.arange(len(answers)),
        first_cycle=np.arange(len(answers)),
        answer_last=np.arange(len(answers)) % 3 // 2,
        answer_data=answers,
        answer_known=np.ones(len(answers), bool),
        cycles=100,
        accepted=10,
        answered=SAMPLES,
        timed_out=False,
        overflow=False,
        unknown="",
        unknown_cycle=0,
    )


def check(seen, decided=None, start=0):
    return compare(BENCH, seen, GOLDEN, decided=decided, start=start)


def counts(result):
    """Mismatches of spikes, membranes, currents, answers and streams."""
    neurons = result.spike_mismatches, result.membrane_mismatches, result.current_mismatches
    return (*neurons, result.answer_mismatches, result.stream_mismatches)


def word(probe, sample, step, index=0):
    return (sample * STEPS + step) * BENCH.probes[probe].sweeps + index


def lane(probe, sample, step, neuron):
    """Where a neuron's values are among the words."""
    index, number = np.argwhere(BENCH.probes[probe].neurons == neuron)[0]
    return word(probe, sample, step, index), number


def put(seen, kind, probe, sample, step, neuron, value):
    seen.words[probe].values[kind].values[lane(probe, sample, step, neuron)] = value


def spike(seen, probe, sample, step, neuron):
    """Another spike; its value."""
    golden = SPIKES[BENCH.probes[probe].name][sample, step, neuron]
    put(seen, "spikes", probe, sample, step, neuron, 1 - abs(golden))
    return 1 - abs(golden)


def membrane(seen, probe, sample, step, neuron, value):
    put(seen, "membranes", probe, sample, step, neuron, value)


def edit(seen, probe, change):
    """``change`` applied to every array of a population's words."""
    words = seen.words[probe]
    values = {
        kind: Field(values=change(field.values), unknown=change(field.unknown)) for kind, field in words.values.items()
    }
    edited = Words(last=change(words.last), index=change(words.index), values=values)
    return replace(seen, words=tuple(edited if k == probe else w for k, w in enumerate(seen.words)))


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


def test_a_lost_word():
    seen = edit(recording(), 0, lambda array: np.delete(array, word(0, 1, 2, 1), axis=0))
    result = check(seen)
    missing = 3 * (SAMPLES * STEPS - 6)
    assert counts(result) == (missing, missing, missing, 0, 1)
    assert result.first_difference == ("sample 1, step 2, population 'hidden': word 1 of 2 expected, word 0 came")


def test_a_repeated_word():
    at = word(0, 1, 2, 0)
    seen = edit(recording(), 0, lambda array: np.insert(array, at, array[at], axis=0))
    assert check(seen).first_difference == "sample 1, step 2, population 'hidden': word 1 of 2 expected, word 0 came"


def test_a_word_of_unknown_index():
    seen = recording()
    seen.words[0].index[word(0, 1, 2, 1)] = -1
    assert check(seen).first_difference.endswith("word 1 of 2 expected, a word of unknown index came")


def test_a_lost_step_makes_the_sample_short():
    seen = edit(recording(), 1, lambda array: np.delete(array, word(1, 1, 3) - 1, axis=0))
    result = check(seen)
    assert result.stream_mismatches == 1
    assert result.mismatches > 4
    assert check(recording(out=(4, 3, 4))).first_difference == (
        "sample 1, step 3, population 'out': the sample ended after 3 of 4 steps"
    )


def test_a_sample_that_is_cut_off():
    seen = edit(recording(), 1, lambda array: array[: word(1, 2, 2)])
    result = check(seen)
    assert counts(result) == (4, 4, 0, 0, 1)
    assert result.first_difference == "sample 2, step 2, population 'out': no more words came after 2 of 4 steps"


def test_half_a_step_is_no_step():
    seen = edit(recording(), 0, lambda array: array[:-1])
    result = check(seen)
    assert counts(result) == (3, 3, 3, 0, 1)
    assert result.first_difference == "sample 2, step 3, population 'hidden': no more words came after 3 of 4 steps"


def test_nothing_came():
    seen = recording()
    for probe in range(2):
        seen = edit(seen, probe, lambda array: array[:0])
    empty = {f"answer_{name}": getattr(seen, f"answer_{name}")[:0] for name in ("cycle", "last", "data", "known")}
    result = check(replace(seen, **empty))
    assert counts(result) == (60, 60, 36, 3, 2)
    assert result.first_difference == "sample 0, step 0, population 'hidden': no more words came after 0 of 4 steps"


def test_a_sample_that_does_not_end():
    seen = recording()
    seen.words[1].last[-1] = 0
    result = check(seen)
    assert counts(result) == (0, 0, 0, 0, 1)
    assert result.first_difference == "sample 2, step 4, population 'out': the sample was not ended"


def test_the_last_word_of_a_step_says_whether_the_sample_ends():
    seen = recording()
    seen.words[0].last[::2] = 0
    assert check(seen).mismatches == 0
    seen.words[0].last[0] = 1
    assert check(seen).mismatches == 0
    seen.words[0].last[1] = 1
    assert check(seen).mismatches > 0


def test_a_step_too_many():
    seen = edit(recording(), 1, lambda array: np.insert(array, word(1, 0, 3), array[word(1, 0, 2)], axis=0))
    result = check(seen)
    assert result.stream_mismatches == 1
    assert "sample 0, step 3, population 'out', neuron" in result.first_difference or (
        result.first_difference == "sample 0, step 4, population 'out': a step came after the last step of the sample"
    )


def test_a_sample_too_many():
    seen = edit(recording(), 1, lambda array: np.concatenate([array, array[-STEPS:]]))
    result = check(seen)
    assert counts(result) == (8, 8, 0, 0, 1)
    assert result.first_difference == "sample 3, step 0, population 'out': a step came after the last sample"


def test_a_decided_sample_may_stop_after_its_step():
    decided = np.array([1, 3, 0])
    result = check(recording(hidden=(2, 4, 4), out=(2, 4, 1)), decided)
    assert result.mismatches == 0
    assert result.membranes == 3 * 10 + 2 * 7
    assert result.spikes == ALL_SPIKES - sum(
        int(np.abs(spikes).sum()) for spikes in (SPIKES["hidden"][0, 2:], SPIKES["out"][0, 2:], SPIKES["out"][2, 1:])
    )
    assert check(recording(), decided).mismatches == 0


def test_a_decided_sample_must_not_stop_before_its_step():
    result = check(recording(out=(1, 4, 4)), np.array([1, 3, 0]))
    assert counts(result) == (2, 2, 0, 0, 1)
    assert result.first_difference == "sample 0, step 1, population 'out': the sample ended after 1 of 4 steps"


def test_what_comes_after_the_decision_is_compared_too():
    seen = recording(hidden=(3, 4, 4), out=(3, 4, 1))
    seen.words[1].values["spikes"].values[2, 0] ^= 1
    assert check(seen, np.array([1, 3, 0])).spike_mismatches == 1


def test_an_undecided_sample_has_all_steps():
    silent = np.array([STEPS, STEPS, STEPS])
    assert check(recording(), silent).mismatches == 0
    assert check(recording(out=(4, 4, 3)), silent).mismatches > 0


@pytest.mark.parametrize(
    ("beat", "words"),
    [
        (3, f"sample 1, score of class 0: golden {SCORES[1, 0]}, rtl 99"),
        (4, f"sample 1, score of class 1: golden {SCORES[1, 1]}, rtl 99"),
        (5, f"sample 1, answer: golden {SCORES[1].argmax()}, rtl 99"),
    ],
)
def test_an_answer(beat, words):
    seen = recording()
    seen.answer_data[beat] = 99
    result = check(seen)
    assert counts(result) == (0, 0, 0, 1, 0)
    assert result.first_difference == words


def test_an_unknown_answer():
    seen = recording()
    seen.answer_known[5] = False
    assert check(seen).first_difference.endswith("rtl x")


@pytest.mark.parametrize(
    ("beat", "value", "words"),
    [(4, 1, "beat 1: expected 0, rtl 1"), (5, 0, "beat 2: expected 1, rtl 0"), (5, -1, "beat 2: expected 1, rtl x")],
)
def test_the_last_beat_of_an_answer_is_marked(beat, value, words):
    seen = recording()
    seen.answer_last[beat] = value
    result = check(seen)
    assert counts(result) == (0, 0, 0, 1, 0)
    assert result.first_difference == f"sample 1, tlast of output {words}"


def test_missing_answers():
    seen = recording()
    cut = {f"answer_{name}": getattr(seen, f"answer_{name}")[:4] for name in ("cycle", "last", "data", "known")}
    result = check(replace(seen, **cut))
    assert counts(result) == (0, 0, 0, 2, 0)
    assert result.first_difference == "sample 1, 1 of 3 output beats came"


def test_answers_too_many():
    seen = recording()
    more = {
        f"answer_{name}": np.append(getattr(seen, f"answer_{name}"), getattr(seen, f"answer_{name}")[-1:])
        for name in ("cycle", "last", "data", "known")
    }
    result = check(replace(seen, **more))
    assert counts(result) == (0, 0, 0, 1, 0)
    assert result.first_difference == "1 output beats came after the last answer"


def test_a_spike_comes_before_the_answer_that_it_spoils():
    seen = recording()
    seen.answer_data[3] = 99
    spike(seen, 1, 1, 3, 0)
    result = check(seen)
    assert counts(result) == (1, 0, 0, 1, 0)
    assert result.first_difference.startswith("sample 1, step 3, population 'out', neuron 0: golden")


def test_an_unknown_control_signal_is_named():
    result = check(replace(recording(), unknown="01x0", unknown_cycle=17))
    assert counts(result) == (0, 0, 0, 0, 1)
    assert result.first_difference == "signal trace_hidden_valid is unknown (x) in cycle 17"
