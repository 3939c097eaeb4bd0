import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from handmade import INPUTS, NETWORK, WAVE_INPUTS, WAVES, Handmade, Waves

import sim.cosim
from quant.errors import FileError, NetworkError, SpikeloomError
from sim.cosim import CosimTimeout, cosimulate_design
from sim.shards import _operations, digest_of, shard_size, split
from sim.tools import SIMULATORS, available

icarus = pytest.mark.skipif(not available("icarus"), reason="needs iverilog in PATH")

FAULT = ("o0 = u[0] >= 3", "o0 = u[0] > 3")
QUIET = np.zeros_like(INPUTS)
LATE = np.concatenate([QUIET, INPUTS])[5:17]  # the first seven do nothing


def simulate(inputs=INPUTS, old="", new="", **options):
    options = {"simulator": "icarus", "patience": 500, "shard": 6, **options}
    return cosimulate_design(NETWORK, Handmade(old=old, new=new), inputs, **options)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Folder of temporary folders."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


# Which samples.


@pytest.mark.parametrize(
    ("samples", "done", "size", "shards"),
    [
        (12, [], 5, [(0, 5), (5, 10), (10, 12)]),
        (10, [], 5, [(0, 5), (5, 10)]),
        (3, [], 5, [(0, 3)]),
        (12, [(5, 10)], 5, [(0, 5), (10, 12)]),
        (12, [(10, 12), (0, 5)], 5, [(5, 10)]),
        (12, [(0, 4), (4, 6)], 5, [(6, 11), (11, 12)]),
        (12, [(0, 12)], 5, []),
    ],
)
def test_what_is_not_done_is_split(samples, done, size, shards):
    found = split(samples, [range(*edges) for edges in done], size)
    assert [(shard.start, shard.stop) for shard in found] == shards


@pytest.mark.parametrize(
    ("neurons", "steps", "size"), [([100, 10], 25, 250), ([16 * 784, 3000], 4, 67), ([1 << 20], 64, 1)]
)
def test_large_networks_have_small_shards(neurons, steps, size):
    populations = [SimpleNamespace(size=count) for count in neurons]
    assert shard_size(SimpleNamespace(steps=steps, network=SimpleNamespace(populations=populations))) == size


@pytest.mark.parametrize(
    ("inputs", "kind", "weights", "count"),
    [
        ((40,), "dense", (30, 40), 1200),
        ((3, 5, 4), "dense", (30, 60), 1800),
        ((3, 5, 4), "conv2d", (8, 3, 3, 3), 3 * 5 * 4 * 8 * 9),
        ((6, 5, 4), "conv2d", (8, 3, 3, 3), 6 * 5 * 4 * 4 * 9),  # of two groups
        ((3, 5, 4), "conv_transpose2d", (3, 8, 2, 2), 3 * 5 * 4 * 8 * 4),
        ((3, 5, 4), "identity", (), 3 * 5 * 4),
    ],
)
def test_patience_is_that_of_all_synapses(inputs, kind, weights, count):
    connection = SimpleNamespace(source="input", kind=kind, weights=np.ones(weights, int))
    network = SimpleNamespace(shape_of=lambda name: inputs)
    assert _operations(connection, network) == count


def test_the_digest_is_of_the_numbers():
    values = np.arange(12).reshape(3, 4)
    assert digest_of(values) == digest_of(values.astype(np.uint8)) == digest_of(np.asfortranarray(values))
    assert len({digest_of(other) for other in (values, values.T, values + 1, values[:2], values.reshape(4, 3))}) == 5


# Shards and the whole.


@icarus
def test_the_report_adds_up(temporary):
    whole, sharded = (simulate(isolate=True, shard=shard, jobs=2) for shard in (12, 6))
    same = (
        "samples",
        "spikes",
        "membranes",
        "currents",
        "mismatches",
        "first_difference",
        "cycles",
        "cycles_predicted",
    )
    assert [getattr(whole, name) for name in same] == [getattr(sharded, name) for name in same]
    assert sharded.mismatches == 0
    assert sharded.cycles == sharded.cycles_predicted
    assert (whole.jobs, sharded.jobs) == (1, 2)
    assert sharded.total_cycles > sum(sharded.cycles)
    assert not any(temporary.iterdir())


@icarus
def test_currents_add_up():
    report = cosimulate_design(WAVES, Waves(), WAVE_INPUTS, simulator="icarus", stall=0.5, shard=6, jobs=2)
    assert report.mismatches == 0
    assert (report.membranes, report.currents) == (12 * 4 * 6, 12 * 4 * 4)


@icarus
def test_a_difference_has_its_number_among_all_samples():
    whole, sharded = (simulate(LATE, *FAULT, shard=shard, jobs=2) for shard in (12, 6))
    assert re.match(r"sample 7, step 1, population 'out', neuron 0: golden 1, rtl 0; ", sharded.first_difference)
    assert sharded.first_difference == whole.first_difference
    assert sharded.spike_mismatches == whole.spike_mismatches > 1


@icarus
def test_the_first_of_several_differences_is_told():
    report = simulate(np.concatenate([LATE, LATE]), *FAULT, shard=12, jobs=2)
    assert report.first_difference.startswith("sample 7, step 1, ")


@icarus
def test_shards_stall_differently_and_again_the_same():
    twice = np.concatenate([INPUTS[:4], INPUTS[:4]])
    first, second = (simulate(twice, shard=4, stall=0.5, seed=3, jobs=jobs).cycles for jobs in (1, 2))
    assert first == second
    assert first[:4] != first[4:]


@icarus
def test_a_shard_that_hangs_ends_the_run(temporary):
    hang = ("s_axis_tready = state == TAKE", "s_axis_tready = state == TAKE && count[0] != 2")
    words = (
        r"^Simulation of samples 6 to 11 answered \d of 6 samples in \d+ cycles, then nothing moved for 500; sample "
    )
    with pytest.raises(CosimTimeout, match=words):
        simulate(LATE, *hang, jobs=2)
    assert not any(temporary.iterdir())


@icarus
def test_progress_is_of_all_samples():
    seen = []
    simulate(progress=lambda *values: seen.append(values), jobs=2)
    done = [done for stage, done, total in seen if stage == "simulate" and total == 12]
    assert (done[0], done[-1]) == (0, 12)
    assert sorted(done) == done


@icarus
def test_a_wrong_input_is_refused_at_once(monkeypatch):
    monkeypatch.setattr(sim.cosim, "compile_model", lambda *_, **__: pytest.fail("compiled"))
    inputs = INPUTS.copy()
    inputs[11, 3, 2] = 3
    with pytest.raises(NetworkError, match=r"not 3$"):
        simulate(inputs)


@pytest.mark.parametrize(("option", "words"), [("jobs", "Jobs"), ("shard", "Samples of a shard")])
def test_refuses_less_than_one(option, words):
    with pytest.raises(SpikeloomError, match=rf"^{words} must be at least 1, not 0$"):
        simulate(**{option: 0})


# Records.


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@icarus
def test_a_shard_alone_needs_no_record(tmp_path):
    simulate(shard=12, record=tmp_path / "record")
    assert not any(tmp_path.iterdir())


@icarus
def test_a_run_that_was_cut_off_goes_on(tmp_path):
    path = tmp_path / "record"
    whole = simulate(isolate=True, record=path, jobs=2)
    kept = path.read_text().splitlines(keepends=True)
    assert sorted((line["start"], line["stop"]) for line in lines(path)) == [(0, 6), (6, 12)]
    path.write_text(kept[1])
    seen = []
    report = simulate(isolate=True, record=path, resume=True, progress=lambda *values: seen.append(values))
    assert replace(report, resumed=0, seconds=0.0, jobs=1) == replace(whole, seconds=0.0, jobs=1)
    assert report.resumed == 6
    assert ("resume", 6, 12) in seen
    assert min(count for stage, count, _ in seen if stage == "simulate") == 6
    assert len(lines(path)) == 2


@icarus
def test_a_run_that_is_done_is_only_read(tmp_path, monkeypatch):
    path = tmp_path / "record"
    whole = simulate(LATE, *FAULT, record=path)
    monkeypatch.setattr(sim.cosim, "compile_model", lambda *_, **__: pytest.fail("compiled"))
    again = simulate(LATE, *FAULT, record=path, resume=True)
    assert again.resumed == 12
    assert again.mismatches == whole.mismatches > 0
    assert again.first_difference == whole.first_difference


@icarus
def test_more_samples_go_on_with_fewer(tmp_path):
    path = tmp_path / "record"
    simulate(INPUTS[:8], record=path)
    report = simulate(INPUTS, record=path, resume=True)
    assert (report.samples, report.resumed, report.mismatches) == (12, 8, 0)
    assert report.membranes == 12 * 4 * 5


@icarus
def test_a_foreign_record_is_refused_or_started_anew(tmp_path):
    path = tmp_path / "record"
    simulate(LATE, *FAULT, record=path)
    before = path.read_bytes()
    for options in ({"old": "", "new": ""}, {"old": FAULT[0], "new": FAULT[1], "stall": 0.1}):
        with pytest.raises(FileError, match=r"; start anew, without resuming it$"):
            simulate(LATE, record=path, resume=True, **options)
    with pytest.raises(FileError, match="of other samples, from "):
        simulate(INPUTS, *FAULT, record=path, resume=True)
    assert path.read_bytes() == before
    report = simulate(LATE, record=path)
    assert (report.mismatches, report.resumed) == (0, 0)
    assert simulate(LATE, record=path, resume=True).resumed == 12


@icarus
def test_what_an_interrupted_run_has_done_is_kept(tmp_path, temporary):
    path = tmp_path / "record"

    def interrupt(stage, done, total):
        if lines(path):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(record=path, shard=3, jobs=1, progress=interrupt)
    assert 1 <= len(lines(path)) < 4
    assert not any(temporary.iterdir())
    report = simulate(record=path, shard=3, resume=True)
    assert report.mismatches == 0
    assert report.membranes == 12 * 4 * 5


both = pytest.mark.parametrize(
    "simulator",
    [
        pytest.param(name, marks=pytest.mark.skipif(not available(name), reason=f"needs the simulator {name}"))
        for name in SIMULATORS
    ],
)


@both
def test_no_simulator_stays_when_a_run_is_interrupted(simulator, temporary):
    """Not even one that waits for ever: here for answers of a beat more."""

    def interrupt(stage, done, total):
        if stage == "simulate" and done > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cosimulate_design(
            *(NETWORK, Handmade(classes=3), INPUTS), simulator=simulator, patience=10**12, jobs=1, progress=interrupt
        )
    assert not any(temporary.iterdir())


_PROCESS = """
import sys
from pathlib import Path
import numpy as np
from handmade import INPUTS, NETWORK, Handmade
from sim.cosim import cosimulate_design
inputs = np.tile(INPUTS, (10, 1, 1))
cosimulate_design(
    NETWORK, Handmade(), inputs, simulator="icarus", stall=0.9, jobs=2, shard=20, record=Path(sys.argv[1])
)
"""


@icarus
def test_a_run_that_was_killed_goes_on(tmp_path):
    path = tmp_path / "record"
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(temporary)}
    process = subprocess.Popen([sys.executable, "-c", _PROCESS, str(path)], env=environment)
    while not path.exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = lines(path)
    assert 1 <= len(kept) < 6
    inputs = np.tile(INPUTS, (10, 1, 1))
    report = simulate(inputs, stall=0.9, shard=20, record=path, resume=True, patience=None)
    assert report.resumed == 20 * len(kept)
    assert report.mismatches == 0
    assert report.membranes == len(inputs) * 4 * 5
    # Nor do the simulators stay: they look for who has started them.
    folders = [str(folder) for folder in temporary.rglob("samples-*")]
    deadline = time.monotonic() + 30
    while any(_works_in(folder) for folder in folders):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _works_in(folder):
    """Whether a process runs there."""
    for process in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if os.readlink(process) == folder:
                return True
        except OSError:
            continue
    return False
