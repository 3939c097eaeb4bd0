"""Cosimulation of designs that are right: by hand and generated; and what it refuses."""

import json

import numpy as np
import pytest
from cosimulation import icarus, icarus_there, needs, simulate, simulate_waves  # noqa: F401
from handmade import INPUTS, NETWORK, WAVE_INPUTS, WAVES, Handmade
from networks import random_inputs, random_network

from quant.errors import NetworkError, SpikeloomError
from sim import golden
from sim.cosim import CosimReport, cosimulate, cosimulate_design
from sim.tools import SIMULATORS, ToolError, available

both = pytest.mark.parametrize("simulator", [pytest.param(name, marks=needs(name)) for name in SIMULATORS])


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
