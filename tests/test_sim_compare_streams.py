"""Words and answers that are lost, repeated, cut off or wrong: what a comparison says of them."""

from dataclasses import replace

import numpy as np
import pytest
from recordings import ALL_SPIKES, SAMPLES, SCORES, SPIKES, STEPS, check, counts, edit, recording, spike, word


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
