import json
import re

import numpy as np
import pytest
from handmade import INPUTS, NETWORK, WAVE_INPUTS, WAVES, Handmade, Waves
from networks import random_inputs, random_network

from quant.errors import CheckError, NetworkError, SpikeloomError
from sim import golden
from sim.cosim import CosimReport, CosimTimeout, cosimulate, cosimulate_design
from sim.tools import SIMULATORS, ToolError, available


def needs(name):
    return pytest.mark.skipif(not available(name), reason=f"needs the simulator {name}")


both = pytest.mark.parametrize("simulator", [pytest.param(name, marks=needs(name)) for name in SIMULATORS])
icarus = pytest.mark.usefixtures("icarus_there")


@pytest.fixture
def icarus_there():
    if not available("icarus"):
        pytest.skip("needs iverilog in PATH")


def simulate(old="", new="", inputs=INPUTS, **options):
    options = {"simulator": "icarus", "patience": 500, **options}
    return cosimulate_design(NETWORK, Handmade(old=old, new=new), inputs, **options)


def simulate_waves(old="", new="", inputs=WAVE_INPUTS, **options):
    options = {"simulator": "icarus", "patience": 500, **options}
    return cosimulate_design(WAVES, Waves(old=old, new=new), inputs, **options)


def difference(*args, **options):
    """First difference, or how far a run came that hangs."""
    try:
        return simulate(*args, **options).first_difference
    except CosimTimeout as error:
        return str(error)


# A design that is right.


@both
@pytest.mark.parametrize("stall", [0.0, 0.5, 0.9])
def test_a_right_design_passes(simulator, stall):
    report = simulate(simulator=simulator, stall=stall, seed=1)
    report.check()
    assert report.mismatches == 0
    assert report.first_difference == ""
    expected = golden.run(NETWORK, INPUTS)
    assert report.spikes == sum(int(expected.totals[name].sum()) for name in NETWORK.order)
    assert report.membranes == len(INPUTS) * NETWORK.steps * 5


@both
@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_signs_and_currents_pass(simulator, stall):
    report = simulate_waves(simulator=simulator, stall=stall, seed=1)
    report.check()
    expected = golden.run(WAVES, WAVE_INPUTS, record=("spikes", "currents"))
    assert {-1, 1} < set(expected.spikes["wave"].flat)
    assert report.spikes == int(np.abs(expected.spikes["wave"]).sum())
    assert report.membranes == len(WAVE_INPUTS) * WAVES.steps * 6
    assert report.currents == len(WAVE_INPUTS) * WAVES.steps * 4


@both
def test_isolated_samples_take_the_predicted_cycles(simulator):
    report = simulate(simulator=simulator, isolate=True)
    assert report.cycles == report.cycles_predicted
    assert len(set(report.cycles)) > 1


@icarus
def test_nothing_is_predicted_of_samples_that_follow_each_other():
    class Slow(Handmade):
        def predict(self, result, inputs):
            pytest.fail("predicted")

    report = cosimulate_design(NETWORK, Slow(), INPUTS, simulator="icarus")
    assert report.cycles_predicted == ()
    assert len(report.cycles) == len(INPUTS)


@needs("verilator")
@pytest.mark.parametrize("seed", range(2, 8))
def test_nothing_runs_before_the_reset(seed):
    """Whatever is in the registers then, and on the inputs."""
    assert simulate(simulator="verilator", inputs=INPUTS[:3], seed=seed).mismatches == 0


@needs("verilator")
def test_a_run_is_longer_than_a_turn_of_the_clock():
    """Verilator's clock stops every 65536 cycles, and goes on."""
    report = simulate(simulator="verilator", inputs=np.tile(INPUTS, (200, 1, 1)), shard=2400)
    assert report.mismatches == 0
    assert report.total_cycles > 1 << 16


@icarus
def test_stalls_cost_cycles():
    free, stalled = simulate(isolate=True), simulate(isolate=True, stall=0.5)
    assert sum(stalled.cycles) > 1.5 * sum(free.cycles)


@pytest.mark.skipif(not all(map(available, SIMULATORS)), reason="needs both simulators")
def test_a_seed_gives_the_same_stalls_on_both_simulators():
    cycles = [simulate(simulator=name, stall=0.5, seed=7).cycles for name in SIMULATORS]
    assert cycles[0] == cycles[1]


@icarus
def test_seeds_give_different_stalls():
    cycles = {simulate(stall=0.5, seed=seed).cycles for seed in (0, 1, 0xFFFFFFFF)}
    assert len(cycles) == 3


@icarus
def test_a_sample_shorter_than_the_network():
    report = simulate(inputs=INPUTS[:, :2])
    assert report.mismatches == 0
    assert report.membranes == len(INPUTS) * 2 * 5


@icarus
def test_one_sample():
    assert simulate(inputs=INPUTS[:1]).mismatches == 0


@icarus
def test_report_is_plain():
    report = simulate(stall=0.25, seed=3)
    values = report.as_dict()
    assert json.loads(json.dumps(values)) == values
    assert values["network"] == "handmade"
    assert values["samples"] == len(INPUTS)
    assert values["populations"] == ["hidden", "out"]
    assert values["mismatches"] == 0
    assert (values["simulator"], values["stall"], values["seed"]) == ("icarus", 0.25, 3)
    assert values["total_cycles"] > max(values["cycles"])
    assert values["seconds"] > 0


@icarus
def test_build_dir_keeps_what_was_run(tmp_path):
    simulate(build_dir=tmp_path / "new" / "run")
    folder = tmp_path / "new" / "run"
    names = {path.name for path in folder.iterdir()}
    assert names == {"spikeloom_handmade.v", "spikeloom_handmade_testbench.v", "samples-0-11"}
    names = {path.name for path in (folder / "samples-0-11").iterdir()}
    assert {"stimulus.hex", "answers.txt", "trace_0.txt", "trace_1.txt", "simulation.log"} <= names
    (folder / "samples-0-11" / "stop").touch()  # as an interrupted run leaves it
    assert simulate(build_dir=folder).mismatches == 0


@icarus
def test_progress_goes_through_the_stages():
    seen = []
    simulate(progress=lambda stage, done, total: seen.append((stage, done, total)))
    assert list(dict.fromkeys(stage for stage, _, _ in seen)) == ["generate", "compile", "simulate"]
    assert all(0 <= done <= total for _, done, total in seen)
    assert ("simulate", 0, 12) in seen
    for stage in ("generate", "compile", "simulate"):
        done, total = [(done, total) for name, done, total in seen if name == stage][-1]
        assert done == total


@icarus
def test_nothing_is_printed(capfd):
    simulate()
    assert capfd.readouterr() == ("", "")


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


# Mistakes of the user.


@pytest.mark.parametrize("stall", [-0.1, 0.91, 1.0, float("nan")])
def test_refuses_a_stall_out_of_range(stall):
    with pytest.raises(SpikeloomError, match=r"^Stall must be between 0 and 0\.9, not "):
        simulate(stall=stall)


@pytest.mark.parametrize("seed", [-1, 1 << 32])
def test_refuses_a_seed_out_of_range(seed):
    with pytest.raises(SpikeloomError, match=r"^Seed must be between 0 and 4294967295, not "):
        simulate(seed=seed)


def test_refuses_an_unknown_simulator():
    with pytest.raises(ToolError, match="not 'modelsim'"):
        simulate(simulator="modelsim")


@icarus
@pytest.mark.parametrize("inputs", [np.zeros((2, 4, 2), int), np.full((2, 4, 3), 9), INPUTS[:0]])
def test_refuses_inputs_that_do_not_fit(inputs):
    with pytest.raises(NetworkError):
        simulate(inputs=inputs)


# Generated networks.


def random_run(number, simulator, **options):
    rng = np.random.default_rng(number)
    network = random_network(rng)
    inputs = random_inputs(network, rng, 6)
    lanes = [None, 1, int(rng.integers(1, 24))][number % 3]
    options |= {"lanes": lanes, "skips": number // 3 % 2 == 1}
    report = cosimulate(network, inputs, simulator=simulator, patience=5000, **options)
    assert isinstance(report, CosimReport)
    return report


@icarus
@pytest.mark.parametrize("seed", range(18))
def test_random_networks(seed):
    report = random_run(seed, "icarus", stall=[0.0, 0.3, 0.7][seed // 3 % 3], seed=seed)
    assert report.first_difference == ""
    assert report.mismatches == 0


@icarus
@pytest.mark.parametrize("seed", range(18, 24))
def test_random_networks_take_the_predicted_cycles(seed):
    report = random_run(seed, "icarus", isolate=True)
    assert report.first_difference == ""
    assert report.cycles == report.cycles_predicted


@needs("verilator")
@pytest.mark.parametrize("seed", [1, 4])
def test_random_networks_on_verilator(seed):
    report = random_run(seed, "verilator", stall=0.5, seed=seed)
    assert report.first_difference == ""
    assert report.mismatches == 0


@pytest.mark.slow
@both
@pytest.mark.parametrize("seed", range(100, 120))
def test_many_random_networks(seed, simulator):
    report = random_run(seed, simulator, stall=[0.0, 0.5, 0.9][seed % 3], seed=seed, isolate=seed % 2 == 0)
    assert report.first_difference == ""
    assert report.mismatches == 0
