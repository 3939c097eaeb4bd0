import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import boards.build
import sim.cosim
from quant.errors import CheckError
from sim.cosim import CosimReport
from spikeloom.demo import DemoResult, demo, demo_table

KEYS = [
    *("float_accuracy", "accuracy", "samples", "spikes", "mismatches", "cycles_predicted", "cycles_measured"),
    *("board", "fmax_mhz", "clock_mhz", "timing_met", "resources", "bitstream"),
]

RESULT = DemoResult(
    recipe="digits-klif",
    float_accuracy=0.98,
    accuracy=0.97,
    test_samples=359,
    samples=2,
    spikes=30,
    membranes=400,
    mismatches=0,
    stalled_mismatches=0,
    first_difference="",
    cycles_predicted=(100, 101),
    cycles_measured=(100, 101),
    board="icebreaker",
    fmax_mhz=26.5,
    clock_mhz=24.0,
    timing_met=True,
    resources={"logic_cells": {"used": 4000, "available": 5280}},
    plan={
        "parts": [{"name": "input"}, {"name": "hidden", "lanes": 8}, {"name": "output", "lanes": 10}],
        "limit": "hidden takes longest",
        "estimate": {"logic_cells": 3900, "block_rams": 20},
    },
    estimate_off={"logic_cells": -0.025},
    bitstream=Path("build/digits-klif/icebreaker/digits_klif.bin"),
)


def test_the_json_is_what_was_agreed():
    found = RESULT.as_dict()
    assert list(found) == KEYS
    assert (found["cycles_predicted"], found["cycles_measured"]) == (100.5, 100.5)
    assert found["bitstream"] == "build/digits-klif/icebreaker/digits_klif.bin"


def test_mismatches_of_both_runs_count():
    assert replace(RESULT, mismatches=2, stalled_mismatches=3).as_dict()["mismatches"] == 5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mismatches": 1, "first_difference": "sample 0"}, r"^1 mismatches; sample 0$"),
        ({"stalled_mismatches": 2, "first_difference": "sample 1"}, r"^2 mismatches; sample 1$"),
        ({"cycles_measured": (101, 100)}, r"^Cycles are not those that were predicted$"),
        ({"timing_met": False}, r"^Timing must be met at 24 MHz, but 26\.50 MHz was reached$"),
    ],
)
def test_what_fails_is_told(changes, words):
    with pytest.raises(CheckError, match=words) as caught:
        replace(RESULT, **changes).check()
    assert caught.value.exit_code == 1


def test_what_holds_passes():
    RESULT.check()
    table = demo_table(RESULT)
    rows = dict(zip(table.columns[0].cells, table.columns[1].cells, strict=True))
    assert len(rows) == 15
    assert rows["lanes"] == "hidden 8, output 10; hidden takes longest"
    assert rows["estimated before"] == "3900 logic_cells (-2.5%), 20 block_rams"


@pytest.fixture
def steps(monkeypatch):
    """Options of the simulations and of the build, which are not run."""
    made = []

    def cosimulate(network, inputs, *, progress, **options):
        made.append(options)
        counts = ("spike_mismatches", "membrane_mismatches", "answer_mismatches", "stream_mismatches", "total_cycles")
        return CosimReport(
            **dict.fromkeys(counts, 0),
            network=network.name,
            samples=len(inputs),
            populations=network.order,
            spikes=7,
            membranes=8,
            first_difference="",
            cycles=(5,) * len(inputs),
            cycles_predicted=(5,) * len(inputs),
            simulator="verilator",
            version="5",
            isolate=options.get("isolate", False),
            stall=options.get("stall", 0.0),
            seed=0,
            seconds=0.0,
        )

    def build(plan, out, *, progress, use_cache):
        made.append({"out": out, "lanes": [core.lanes for core in plan.plan.cores]})
        values = {"board": "icebreaker", "fmax_mhz": 30.0, "clock_mhz": 24.0, "timing_met": True, "resources": {}}
        bitstream = out / f"{plan.plan.network.name}.bin"
        others = {"plan": plan.choice.as_dict(), "estimate_off": {}}
        return SimpleNamespace(**values, **others, bitstream=bitstream, as_dict=lambda: values)

    monkeypatch.setattr(sim.cosim, "cosimulate", cosimulate)
    monkeypatch.setattr(boards.build, "build", build)
    return made


def test_everything_is_of_the_same_network(spikeloom, steps, tmp_path):
    found = spikeloom("demo", "--samples", 3, "--lanes", 8, "--json")
    assert found.code == 0, found.err
    assert list(found.json) == KEYS
    assert found.json["samples"] == 3
    stalled, alone, built = steps
    assert (stalled["lanes"], stalled["stall"] > 0) == ({"hidden": 8, "output": 8}, True)
    assert (alone["lanes"], alone["isolate"], alone.get("stall", 0.0)) == (stalled["lanes"], True, 0.0)
    assert built["lanes"][0] == 8
    assert sorted(path.name for path in (tmp_path / "build" / "digits-klif").iterdir()) == [
        *("network.npz", "network.v", "report.json"),
    ]


def test_what_is_simulated_is_what_is_built(steps, tmp_path):
    demo("digits-klif", samples=1, folder=tmp_path)
    stalled, alone, built = steps
    for name in ("lanes", "units", "overlap", "storage", "block_ram"):
        assert stalled[name] == alone[name]
    made = json.loads((tmp_path / "report.json").read_text())["generate"]["cores"]
    assert [core["lanes"] for core in made] == built["lanes"]


def test_the_digits_are_told_apart(steps, tmp_path):
    result = demo("digits-klif", samples=2, folder=tmp_path)
    assert result.test_samples == 359
    assert result.accuracy >= 0.965
    assert result.float_accuracy - result.accuracy <= 0.01
