"""Cosimulation of designs that are wrong, or hang: every fault is found and told."""

import re

import pytest
from cosimulation import icarus, icarus_there, needs, simulate, simulate_waves  # noqa: F401

from quant.errors import CheckError
from sim.cosim import CosimTimeout


def difference(*args, **options):
    """First difference, or how far a run came that hangs."""
    try:
        return simulate(*args, **options).first_difference
    except CosimTimeout as error:
        return str(error)


# Designs that are wrong: (text, its replacement, what the first difference must say).

HIDDEN_ACCEPT = "if (s_axis_tuser) begin state <= HIDDEN;"
WRONG = {
    "threshold > instead of >=": (
        "o0 = u[0] >= 3",
        "o0 = u[0] > 3",
        r"^sample 0, step 1, population 'out', neuron 0: golden 1, rtl 0; "
        r"first membrane difference at step 1 \(neuron 0: golden 0, rtl 3\)$",
    ),
    "threshold of the hidden neurons": (
        "wire s0 = h0 >= 5",
        "wire s0 = h0 > 5",
        r"population 'hidden', neuron [02]: golden 1, rtl 0",
    ),
    "high rail off by one": ("d > 6 ? 6 : d", "d > 7 ? 7 : d", r"population 'hidden', .*membrane golden 6, rtl 7$"),
    "low rail off by one": (
        "d < -4 ? -4",
        "d < -5 ? -5",
        r"first membrane difference at step \d \(neuron \d: golden -4, rtl -5\)$",
    ),
    "half dropped": ("* 3 + 2) >>> 2", "* 3) >>> 2", r"population 'hidden', neuron \d: membrane golden -1, rtl -2$"),
    "membrane not cleared between samples": (
        "for (k = 0; k < 4; k = k + 1) v[k] <= 0;\n          for",
        "for (k = 0; k < 3; k = k + 2) v[k] <= 0;\n          for",
        r"^sample 1, step 0, population 'hidden', neuron 1: ",
    ),
    "lost event": (
        "else for (k = 0; k < 3",
        "else if (address != 2 || value != -1) for (k = 0; k < 3",
        r"^sample \d+, step \d, population 'hidden', neuron ",
    ),
    "repeated event": (
        "sum[k] <= sum[k] + weight(k, address) * value",
        "sum[k] <= sum[k] + weight(k, address) * (value == 2 ? 4 : value)",
        r"^sample 0, step \d, population 'hidden', neuron ",
    ),
    "lost spike between layers": (
        "(row ? 0 : s0 + 2 * s1)",
        "(row ? 0 : s0 && s1 ? 1 : s0 + 2 * s1)",
        r"population 'out', neuron 0: golden 1, rtl 0; ",
    ),
    "repeated spike between layers": (
        "(row ? 3 * s0 : 2 * s0)",
        "(row ? 3 * s0 : 4 * s0)",
        r"population 'out', neuron 1: golden 0, rtl 1; ",
    ),
    "lost tick": (
        HIDDEN_ACCEPT,
        f"if (s_axis_tuser && !s_axis_tlast && sum[1] == 3) ; else {HIDDEN_ACCEPT}",
        r"^sample \d+, step \d, population 'hidden'",
    ),
    "repeated word": (
        "trace_hidden_valid = state == HIDDEN && !pause[0]",
        "trace_hidden_valid = state == HIDDEN && !pause[0] || state == OUT && last",
        r"^sample 1, step 0, population 'hidden': word 1 of 2 expected, word 0 came$",
    ),
    "lost word": (
        "trace_hidden_valid = state == HIDDEN && !pause[0]",
        "trace_hidden_valid = state == HIDDEN && !pause[0] && !(row && last)",
        r"^sample 0, step 3, population 'hidden': word 1 of 2 expected, word 0 came$",
    ),
    "words after the last answer": (
        "trace_out_valid = state == OUT && !pause[1]",
        "trace_out_valid = state == OUT && !pause[1] || state == TAKE && !s_axis_tvalid && last === 1",
        r"^sample 12, step 0, population 'out': a step came after the last sample$",
    ),
    "wrong answer": ("count[1] > count[0]", "count[1] >= count[0]", r"^sample \d+, answer: golden 0, rtl 1$"),
    "wrong score": (
        "state == SCORE0 ? count[0]",
        "state == SCORE0 ? count[0] - 1",
        r"^sample 0, score of class 0: golden 2, rtl 1$",
    ),
    "answer not marked": (
        "m_axis_tlast = state == ANSWER",
        "m_axis_tlast = state >= SCORE1",
        r"^sample 0, tlast of output beat 1: expected 0, rtl 1$",
    ),
    "answer twice": (
        "state <= TAKE;\n          for (k = 0; k < 4",
        "state <= count[0] == 2 ? ANSWER : TAKE;\n          for (k = 0; k < 4",
        r"^sample 1, ",
    ),
    "unknown membrane": (
        "u[k] <= 0; count[k] <= 0; end\n    end else",
        "count[k] <= 0; end\n    end else",
        r"^sample 0, step 0, population 'out', neuron 0: .*rtl x",
    ),
    "unknown state": ("state <= TAKE; row <= 0;", "row <= 0;", r"^signal s_axis_tready is unknown \(x\) in cycle 0$"),
}


WAVES_WRONG = {
    "sign of a spike lost": (
        "trace_wave_spikes = {s1[1:0], s0[1:0]}",
        "trace_wave_spikes = {s1[1:0], 1'b0, s0[0]}",
        r"^sample \d, step \d, population 'wave', neuron [01]: golden -1, rtl 1$",
    ),
    "no negative spike": (
        "h <= -4 ? -1 : 0",
        "0",
        r"population 'wave', neuron \d: golden -1, rtl 0; first membrane difference ",
    ),
    "threshold of the negative spike": (
        "h <= -4 ? -1",
        "h < -4 ? -1",
        r"population 'wave', neuron \d: golden -1, rtl 0; first membrane difference ",
    ),
    "lanes of the spikes exchanged": (
        "trace_wave_spikes = {s1[1:0], s0[1:0]}",
        "trace_wave_spikes = {s0[1:0], s1[1:0]}",
        r"^sample \d, step \d, population 'wave', neuron [01]: golden -?\d, rtl -?\d$",
    ),
    "words by channel instead of by place": (
        "wire [1:0] n0 = {1'b0, row}, n1 = {1'b1, row};",
        "wire [1:0] n0 = {row, 1'b0}, n1 = {row, 1'b1};",
        r"^sample 0, step \d, population 'wave', neuron [12]: ",
    ),
    "current not kept": (
        "i[n0] <= c0; i[n1] <= c1;",
        "i[n0] <= c0; i[n1] <= 0;",
        r"; first current difference at step \d \(neuron [23]: golden -?\d, rtl ",
    ),
    "half of the current's decay dropped": (
        "c0 = clip((j0 + 1) >>> 1, 5)",
        "c0 = clip(j0 >>> 1, 5)",
        r"first current difference at step \d \(neuron [01]: golden (-?\d), rtl (?!\1)",
    ),
    "rail of the current off by one": (
        "c1 = clip((j1 + 1) >>> 1, 5)",
        "c1 = clip((j1 + 1) >>> 1, 6)",
        r"current (difference at step \d \(neuron [23]: )?golden (5, rtl 6|-5, rtl -6)",
    ),
    "current shown alone is wrong": (
        "trace_wave_currents = {c1[3:0], c0[3:0]}",
        "trace_wave_currents = {c1[3:0], c0[3:1], c0[0] && !last}",
        r"^sample \d, step 3, population 'wave', neuron [01]: current golden -?\d, rtl -?\d$",
    ),
    "current not cleared between samples": (
        "begin v[k] <= 0; i[k] <= 0; end\n          for",
        "v[k] <= 0;\n          for",
        r"^sample 1, step 0, population 'wave', neuron ",
    ),
    "unknown current": (
        "sum[k] <= 0; v[k] <= 0; i[k] <= 0; end",
        "sum[k] <= 0; v[k] <= 0; end",
        r"^sample 0, step 0, population 'wave', neuron 0: golden 0, rtl x; .*; first current difference .*, rtl x\)$",
    ),
    "a population that never fires fires": (
        "trace_out_spikes = 0",
        "trace_out_spikes = {1'b0, u[0] > 4}",
        r"^sample \d, step \d, population 'out', neuron 0: golden 0, rtl 1$",
    ),
    "score after the rails": (
        "h[0] <= u[0]; h[1]",
        "h[0] <= r0; h[1]",
        r"^sample \d+, score of class 0: golden -?\d+, ",
    ),
}


@icarus
@pytest.mark.parametrize("fault", WAVES_WRONG)
def test_wrong_signs_and_currents_are_found(fault):
    old, new, words = WAVES_WRONG[fault]
    report = simulate_waves(old, new)
    assert report.mismatches > 0
    assert re.search(words, report.first_difference), report.first_difference


@icarus
def test_a_core_that_is_no_population_stalls_too():
    report = simulate_waves("WAVE: if (!pause[0]) begin", "WAVE: if (!pause[2]) begin", stall=0.5)
    assert report.stream_mismatches > 0


@icarus
@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_design_is_found(fault):
    old, new, words = WRONG[fault]
    report = simulate(old, new)
    assert report.mismatches > 0
    with pytest.raises(CheckError, match=r"mismatches on icarus; "):
        report.check()
    assert re.search(words, report.first_difference), report.first_difference


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        WRONG["threshold > instead of >="],
        # No X in Verilator: what is not initialised is random.
        (*WRONG["unknown membrane"][:2], r"^sample 0, step 0, population 'out', neuron 0: "),
    ],
)
@needs("verilator")
def test_verilator_finds_it_too(old, new, words):
    difference = simulate(old, new, simulator="verilator").first_difference
    assert re.search(words, difference), difference


@icarus
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("default: if (m_axis_tready) begin", "default: begin"),  # an output beat that does not wait
        ("HIDDEN: if (!pause[0]) begin", "HIDDEN: begin"),
        ("OUT: if (!pause[1]) begin", "OUT: begin"),
        (  # waits for the next beat of a step, but not idly
            "TAKE: if (s_axis_tvalid) begin",
            "TAKE: if (!s_axis_tvalid) begin if (sum[0] != 0) count[0] <= 7; end else begin",
        ),
    ],
)
def test_only_stalls_find_a_stream_that_does_not_wait(old, new):
    assert difference(old, new) == ""
    assert re.search(r"sample \d+", difference(old, new, stall=0.5))


# Runs that do not end.


@icarus
def test_a_design_that_hangs_is_given_up():
    hang = ("s_axis_tready = state == TAKE", "s_axis_tready = state == TAKE && count[0] != 2")
    with pytest.raises(TimeoutError) as error:
        simulate(*hang, patience=200)
    assert str(error.value).startswith("Simulation answered 0 of 12 samples in 2")
    assert "then nothing moved for 200; sample 0, step 3, population 'hidden': no more words came" in str(error.value)
    assert error.value.exit_code == 1


@icarus
def test_a_design_that_loses_a_last_tick_hangs_after_the_samples_before():
    lost = (HIDDEN_ACCEPT, f"if (s_axis_tuser && s_axis_tlast && count[0] == 2) ; else {HIDDEN_ACCEPT}")
    with pytest.raises(CosimTimeout, match=r"^Simulation answered \d+ of 12 samples in \d+ cycles, then nothing moved"):
        simulate(*lost)


@icarus
def test_a_design_that_answers_for_ever_is_stopped():
    report = simulate("state <= TAKE;\n          for (k = 0; k < 4", "state <= SCORE0;\n          for (k = 0; k < 4")
    assert report.mismatches > 0
