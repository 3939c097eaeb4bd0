"""Builds of bitstreams, with stubs of the tools and with the tools: their reports, their cache, their failures."""

import json
import stat

import pytest

from boards import build as build_module
from boards import steps
from boards.board import BOARDS
from boards.build import BuildError, FitError, build, plan_build
from boards.cache import Cache
from boards.tools import ToolError
from quant.errors import CheckError
from tests.links import small_network
from tests.plans import large_network, plan_fixture  # noqa: F401

REPORT = {
    "fmax": {"clk": {"achieved": 31.25, "constraint": 24.0}},
    "utilization": {
        "ICESTORM_LC": {"used": 1200, "available": 5280},
        "ICESTORM_RAM": {"used": 7, "available": 30},
        "SB_IO": {"used": 5, "available": 39},
    },
}

NEXTPNR_LOG = """Info: Packing...
Info: Device utilisation:
Info: \t         ICESTORM_LC:    {cells}/   5280   105%
Info: \t        ICESTORM_RAM:      {rams}/     30   130%
Info: \t               SB_IO:       5/     39    12%
Info: \t        ICESTORM_PLL:       1/      1   100%
Info: \t        ICESTORM_DSP:       0/      0     0%
Info: Placed 9 cells based on constraints.
{error}
"""


class Tools:
    """Stubs of the three tools, in a folder of their own, that count their runs."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.report = REPORT
        self.write("YOSYS", "yosys", "echo synthesised > top.json; echo log of yosys > top.rpt")
        self.write("ICEPACK", "icepack", "cp top.asc top.bin")
        self.write_nextpnr()
        for variable in ("YOSYS", "NEXTPNR_ICE40", "ICEPACK"):
            monkeypatch.setenv(variable, str(folder / variable))

    def write(self, variable, name, script, version="0.99"):
        path = self.folder / variable
        path.write_text(
            f'#!/bin/sh\nif [ "$1" = --version ]; then echo "Yosys {version} (stub)"; exit 0; fi\n'
            f'echo {name} >> {self.folder}/runs\necho "$@" >> {self.folder}/arguments\n{script}\n'
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def write_nextpnr(self, script="", **report):
        text = json.dumps({**REPORT, **report})
        body = f"cat > top.report.json <<'EOT'\n{text}\nEOT\nsha256sum < top.il > top.asc; echo log > top.tim"
        self.write("NEXTPNR_ICE40", "nextpnr", script or body)

    @property
    def runs(self):
        path = self.folder / "runs"
        return path.read_text().split() if path.exists() else []


@pytest.fixture
def tools(tmp_path, monkeypatch):
    from boards.tools import _version_of

    _version_of.cache_clear()
    (tmp_path / "tools").mkdir()
    yield Tools(tmp_path / "tools", monkeypatch)
    _version_of.cache_clear()


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


def test_key_changes_with_the_tools(plan, tools):
    first = plan.key(build_module.find_tools(plan.board.tools))
    build_module.find_tools.__globals__["_version_of"].cache_clear()
    tools.write("YOSYS", "yosys", "", version="1.0")
    assert plan.key(build_module.find_tools(plan.board.tools)) != first


def test_build(plan, tools, cache, tmp_path):
    stages = []
    report = build(plan, tmp_path / "out", cache=cache, progress=lambda stage, line: stages.append(stage))
    assert list(dict.fromkeys(stages)) == ["synthesis", "place and route", "bitstream"]
    assert tools.runs == ["yosys", "nextpnr", "icepack"]
    arguments = (tools.folder / "arguments").read_text()
    assert "--seed 1" in arguments
    assert "--report top.report.json" in arguments
    assert report.bitstream == tmp_path / "out" / "small.bin"
    assert report.bitstream.read_text().endswith("-\n")
    assert (report.fmax_mhz, report.clock_mhz, report.timing_met, report.cached) == (31.25, 24.0, True, False)
    assert report.resources == {
        "logic_cells": {"used": 1200, "available": 5280},
        "block_rams": {"used": 7, "available": 30},
    }
    assert report.build_hash == plan.build_hash
    assert report.plan == plan.choice.as_dict()
    estimate = plan.choice.expected
    assert report.estimate_off == {
        "logic_cells": round(estimate.logic_cells / 1200 - 1, 4),
        "block_rams": round(estimate.block_rams / 7 - 1, 4),
    }
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report.as_dict()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "place-and-route.log",
        "report.json",
        "small.bin",
        "synthesis.log",
    ]
    assert (tmp_path / "out" / "synthesis.log").read_text() == "log of yosys\n"
    report.check()


def test_second_build_comes_from_the_cache(plan, tools, cache, tmp_path):
    first = build(plan, tmp_path / "one", cache=cache)
    second = build(plan, tmp_path / "two", cache=cache)
    assert tools.runs == ["yosys", "nextpnr", "icepack"]
    assert (first.cached, second.cached) == (False, True)
    assert second.bitstream.read_bytes() == first.bitstream.read_bytes()
    assert build(plan, tmp_path / "three", cache=cache, use_cache=False).cached is False
    assert len(tools.runs) == 6


def test_altered_cache_is_built_anew(plan, tools, cache, tmp_path):
    build(plan, tmp_path / "one", cache=cache)
    (stored,) = cache.root.glob("builds/*/top.bin")
    good = stored.read_bytes()
    stored.write_bytes(b"altered")
    report = build(plan, tmp_path / "two", cache=cache)
    assert not report.cached
    assert report.bitstream.read_bytes() == good
    assert stored.read_bytes() == good
    assert build(plan, tmp_path / "three", cache=cache).cached


def test_cache_that_cannot_be_written_is_no_error(plan, tools, tmp_path):
    (tmp_path / "file").touch()
    told = []
    report = build(
        plan, tmp_path / "out", cache=Cache(tmp_path / "file"), progress=lambda stage, line: told.append((stage, line))
    )
    assert report.bitstream.exists()
    assert told[-1][0] == "cache"
    assert told[-1][1].startswith("not kept: ")


def test_cache_is_where_the_variable_says(monkeypatch, tmp_path):
    monkeypatch.setenv("SPIKELOOM_CACHE", str(tmp_path / "elsewhere"))
    assert Cache().root == tmp_path / "elsewhere"
    monkeypatch.delenv("SPIKELOOM_CACHE")
    assert Cache().root.name == "spikeloom"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}', "null"])
def test_broken_manifest_is_as_no_manifest(cache, text):
    cache.store("key", {"a": b"1"})
    assert cache.load("key") == {"a": b"1"}
    (cache.root / "builds" / "key" / "manifest.json").write_text(text)
    assert cache.load("key") is None
    cache.store("key", {"a": b"2"})
    assert cache.load("key") == {"a": b"2"}
    assert [path.name for path in (cache.root / "builds").iterdir()] == ["key"]


def test_timing_that_is_not_met(plan, tools, cache, tmp_path):
    tools.write_nextpnr(fmax={"clk": {"achieved": 23.99, "constraint": 24.0}})
    report = build(plan, tmp_path / "out", cache=cache)
    assert not report.timing_met
    assert report.bitstream.exists()
    with pytest.raises(CheckError, match=r"^Clock must be at most 23\.99 MHz for small on icebreaker, not 24: build"):
        report.check()


def test_slowest_clock_counts(plan, tools, cache, tmp_path):
    fmax = {
        "clk": {"achieved": 40.0, "constraint": 24.0},
        "other": {"achieved": 30.0, "constraint": 24.0},
        "pin": {"achieved": 11.0, "constraint": 12.0},
    }
    tools.write_nextpnr(fmax=fmax)
    report = build(plan, tmp_path / "out", cache=cache)
    assert (report.fmax_mhz, report.timing_met) == (30.0, False)


@pytest.mark.parametrize("fmax", [{}, {"clk": {"achieved": 40.0, "constraint": 12.0}}])
def test_clock_without_its_constraint_is_a_failed_build(plan, tools, cache, tmp_path, fmax):
    tools.write_nextpnr(fmax=fmax)
    with pytest.raises(BuildError, match=r"^Place and route must constrain a clock to 24 MHz"):
        build(plan, tmp_path / "out", cache=cache)
    assert not (tmp_path / "out" / "small.bin").exists()


def failing_nextpnr(tools, *, cells, rams, error):
    log = NEXTPNR_LOG.format(cells=cells, rams=rams, error=error)
    tools.write_nextpnr(f"cat > top.tim <<'EOT'\n{log}EOT\necho '{error}' >&2; exit 1")


@pytest.mark.parametrize(
    ("cells", "rams", "error", "message"),
    [
        (
            5581,
            39,
            "ERROR: Unable to place cell 'x', no BELs remaining to implement cell type 'ICESTORM_RAM'",
            "logic cells 5581 of 5280 (301 too many), block rams 39 of 30 (9 too many)",
        ),
        (4000, 31, "ERROR: no BELs remaining", "block rams 31 of 30 (1 too many)"),
        (4000, 30, "ERROR: Unable to find legal placement", "block rams 30 of 30 (too full to place)"),
        (5270, 20, "ERROR: Unable to find legal placement", "logic cells 5270 of 5280 (too full to place)"),
    ],
)
def test_network_that_does_not_fit(plan, tools, cache, tmp_path, cells, rams, error, message):
    failing_nextpnr(tools, cells=cells, rams=rams, error=error)
    with pytest.raises(FitError) as caught:
        build(plan, tmp_path / "out", cache=cache)
    assert str(caught.value) == (
        f"Network small does not fit iCEBreaker: {message}; fewer lanes, fewer weight bits or fewer neurons, "
        "or a larger board (ulx3s-12f, ulx3s-25f, ulx3s-45f, ulx3s-85f), would help"
    )
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["failed-place-and-route.log"]
    assert not list(cache.root.glob("builds/*"))


def test_larger_boards_must_be_large_enough(plan, tools, cache, tmp_path):
    failing_nextpnr(tools, cells=50_000, rams=39, error="ERROR: no BELs remaining")
    with pytest.raises(FitError, match=r"or a larger board \(ulx3s-85f\), would help$"):
        build(plan, tmp_path / "out", cache=cache)
    failing_nextpnr(tools, cells=90_000, rams=39, error="ERROR: no BELs remaining")
    with pytest.raises(FitError, match=r"; fewer lanes, fewer weight bits or fewer neurons would help$"):
        build(plan, tmp_path / "out", cache=cache)


def test_tool_that_fails_otherwise(plan, tools, cache, tmp_path):
    tools.write("YOSYS", "yosys", "echo some log > top.rpt; echo 'ERROR: syntax' >&2; exit 1")
    with pytest.raises(BuildError, match=r"^Tool of synthesis failed: ERROR: syntax; see .*out/failed-synthesis.log$"):
        build(plan, tmp_path / "out", cache=cache)
    assert (tmp_path / "out" / "failed-synthesis.log").read_text() == "some log\n\nERROR: syntax\n"
    assert tools.runs == ["yosys"]


def test_a_tool_that_ends_without_a_word(plan, tools, cache, tmp_path):
    tools.write("YOSYS", "yosys", "exit 7")
    with pytest.raises(
        BuildError, match=r"^Tool of synthesis failed: it said nothing, and ended with code 7; see .*log$"
    ):
        build(plan, tmp_path / "out", cache=cache)


def test_failed_build_leaves_an_earlier_one_alone(plan, tools, cache, tmp_path):
    build(plan, tmp_path / "out", cache=cache)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    failing_nextpnr(tools, cells=5000, rams=40, error="ERROR: no BELs remaining")
    with pytest.raises(FitError):
        build(plan, tmp_path / "out", cache=cache, use_cache=False)
    after = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert after.pop("failed-place-and-route.log")
    assert after == before


def test_next_good_build_removes_the_log_of_the_failed_one(plan, tools, cache, tmp_path):
    failing_nextpnr(tools, cells=5000, rams=40, error="ERROR: no BELs remaining")
    with pytest.raises(FitError):
        build(plan, tmp_path / "out", cache=cache)
    tools.write_nextpnr()
    build(plan, tmp_path / "out", cache=cache)
    assert not list((tmp_path / "out").glob("failed-*"))


def test_missing_tool(plan, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("NEXTPNR_ICE40", "/nowhere/nextpnr")
    with pytest.raises(ToolError, match=r"^Tool nextpnr-ice40 must be at /nowhere/nextpnr"):
        build(plan, tmp_path / "out", cache=cache)
    assert not (tmp_path / "out").exists()


def test_interrupted_build_stops_its_tool(plan, tools, cache, tmp_path):
    tools.write("YOSYS", "yosys", f"echo line > top.rpt; sleep 30; touch {tmp_path}/survived")

    def interrupt(stage, line):
        if line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(plan, tmp_path / "out", cache=cache, progress=interrupt)
    assert not (tmp_path / "survived").exists()
    assert not (tmp_path / "out").exists()


def test_last_line_of_a_log(tmp_path):
    log = tmp_path / "log"
    assert steps.last_line(log) == ""
    log.write_bytes(b"one\n" + b"x" * 10_000 + b"\n two \n\xff\n\n")
    assert steps.last_line(log) == "\N{REPLACEMENT CHARACTER}"
    log.write_bytes(b"")
    assert steps.last_line(log) == ""


def need_tools(board):
    try:
        build_module.find_tools(BOARDS[board].tools)
    except ToolError as error:
        pytest.skip(str(error))


def test_real_tools_make_a_bitstream_of_a_small_network(plan, cache, tmp_path):
    need_tools("icebreaker")
    report = build(plan, tmp_path, cache=cache)
    assert report.timing_met
    assert report.fmax_mhz > report.clock_mhz == 24.0
    assert 100 < report.resources["logic_cells"]["used"] < 2500
    assert report.resources["plls"] == {"used": 1, "available": 1}
    assert b"\x7e\xaa\x99\x7e" in report.bitstream.read_bytes()[:256]
    assert report.bitstream.stat().st_size == 104_090


@pytest.mark.slow
def test_real_tools_make_a_bitstream_for_ecp5(cache, tmp_path):
    need_tools("ulx3s-25f")
    report = build(plan_build(small_network("current"), "ulx3s-25f"), tmp_path, cache=cache)
    assert report.timing_met
    assert report.fmax_mhz > report.clock_mhz == 62.5
    assert report.resources["plls"]["used"] == 1
    assert report.resources["logic_cells"]["available"] == BOARDS["ulx3s-25f"].logic_cells
    assert b"LFE5U-25F" in report.bitstream.read_bytes()[:256]


@pytest.mark.slow
def test_real_tools_say_that_a_network_does_not_fit(cache, tmp_path):
    need_tools("icebreaker")
    network = large_network(neurons=256, inputs=64, bits=4)
    with pytest.raises(
        FitError, match=r"^Network large does not fit iCEBreaker: .*block rams \d+ of 30 \(\d+ too many"
    ):
        build(plan_build(network, "icebreaker", lanes=32), tmp_path, cache=cache)
