import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from boards.messages import Answer, LinkError
from quant.errors import CheckError
from quant.ir import Readout
from sim import golden
from sim.tools import available
from spikeloom.board import bitstream_place, built_hash, run_board
from spikeloom.samples import Samples
from spikeloom.source import UsageError
from spikeloom.workspace import Workspace
from tests.handmade import INPUTS, NETWORK
from tests.tools import needs_netlists


class FakeLink:
    """A board that answers as the golden model does, but for ``altered`` answers by sample."""

    port = "/dev/fake"

    def __init__(self, network, altered=None):
        self.network, self.altered, self.sent, self.checked = network, altered or {}, 0, []

    def info(self):
        return SimpleNamespace(build_hash="ab" * 16, clock_hz=24_000_000)

    def check(self, network, build_hash, weights):
        self.checked.append((network.name, build_hash, list(weights)))

    def run(self, sample):
        result = golden.run(self.network, sample[np.newaxis])
        answer = Answer(
            answer=int(result.answers[0]),
            scores=tuple(result.scores[0].tolist()),
            cycles=10 + self.sent,
            spikes=tuple(int(result.totals[name][0]) for name in self.network.order),
        )
        self.sent += 1
        return replace(answer, **self.altered.get(self.sent - 1, {}))


SAMPLES = Samples(origin="here", inputs=INPUTS, labels=golden.run(NETWORK, INPUTS).answers)


def test_a_board_that_answers_as_it_should():
    link, done = FakeLink(NETWORK), []
    run = run_board(NETWORK, SAMPLES, link, build_hash="ab" * 16, weights=[7], progress=done.append)
    assert (run.samples, run.mismatches, run.first_difference, run.accuracy) == (12, 0, "", 1.0)
    assert run.cycles == tuple(range(10, 22))
    assert link.checked == [("handmade", "ab" * 16, [7])]
    assert done == list(range(1, 13))
    run.check()
    assert json.loads(json.dumps(run.as_dict()))["clock_hz"] == 24_000_000


@pytest.mark.parametrize(
    ("altered", "words"),
    [
        ({"answer": 7}, "sample 5, answer: golden 0, board 7"),
        ({"scores": (99, 99)}, "sample 5, score of class 0: golden 0, board 99"),
        ({"spikes": (99, 0)}, "sample 5, spikes of population 'hidden': golden 0, board 99"),
    ],
)
def test_a_difference_is_told(altered, words):
    expected = golden.run(NETWORK, INPUTS)
    known = words.replace("answer: golden 0", f"answer: golden {expected.answers[5]}")
    known = known.replace("class 0: golden 0", f"class 0: golden {expected.scores[5, 0]}")
    known = known.replace("'hidden': golden 0", f"'hidden': golden {expected.totals['hidden'][5]}")
    run = run_board(NETWORK, SAMPLES, FakeLink(NETWORK, {5: altered, 8: {"answer": 9}}))
    assert run.mismatches == 2
    assert run.first_difference == known
    with pytest.raises(CheckError, match=r"^2 of 12 samples differ on the board; sample 5, ") as caught:
        run.check()
    assert caught.value.exit_code == 1


def test_spike_counts_of_a_network_that_stops_early_are_not_compared():
    network = replace(NETWORK, readout=Readout(population="out", kind="first_spike"))
    samples = Samples(origin="here", inputs=INPUTS)
    run = run_board(network, samples, FakeLink(network, {3: {"spikes": (0, 0)}}))
    assert (run.mismatches, run.accuracy) == (0, None)


def test_a_board_with_something_else_is_refused():
    link = FakeLink(NETWORK)
    link.check = lambda *_: (_ for _ in ()).throw(LinkError("Board must hold build x"))
    with pytest.raises(LinkError, match=r"^Board must hold build x$"):
        run_board(NETWORK, SAMPLES, link)
    assert link.sent == 0


@pytest.fixture
def workspace(tmp_path):
    return Workspace(folder=tmp_path / "made")


def test_the_hash_is_that_of_the_build(workspace):
    assert built_hash(NETWORK, workspace, None) is None
    workspace.record(NETWORK, "build icebreaker", {"build_hash": "12"})
    assert built_hash(NETWORK, workspace, None) == "12"
    workspace.record(NETWORK, "build ulx3s-25f", {"build_hash": "34"})
    assert built_hash(NETWORK, workspace, None) is None
    assert built_hash(NETWORK, workspace, "ulx3s-25f") == "34"
    with pytest.raises(UsageError, match=r"must be built for ulx3s-85f; in .* it is only for icebreaker, ulx3s-25f$"):
        built_hash(NETWORK, workspace, "ulx3s-85f")


def test_the_hash_of_another_network_is_not_taken(workspace):
    workspace.record(replace(NETWORK, steps=5), "build icebreaker", {"build_hash": "12"})
    assert built_hash(NETWORK, workspace, None) is None
    with pytest.raises(UsageError, match=r"it is for no board$"):
        built_hash(NETWORK, workspace, "icebreaker")


def test_the_only_bitstream_is_taken(tmp_path):
    with pytest.raises(UsageError, match=r"must be built for first: see `spikeloom build`$"):
        bitstream_place(str(tmp_path), None)
    (tmp_path / "icebreaker").mkdir()
    (tmp_path / "icebreaker" / "report.json").write_text("{}")
    assert bitstream_place(str(tmp_path), None) == tmp_path / "icebreaker"
    assert bitstream_place(str(tmp_path / "icebreaker"), None) == tmp_path / "icebreaker"
    assert bitstream_place("some.bit", None).name == "some.bit"


needs_verilator = pytest.mark.skipif(not available("verilator"), reason="needs Verilator")


@needs_verilator
@pytest.mark.parametrize(
    "options", [(), pytest.param(("--netlist", "--board", "icebreaker"), marks=[pytest.mark.slow, needs_netlists])]
)
def test_run_on_a_simulated_board(spikeloom, network, options):
    found = spikeloom("run", network, "--simulate", *options, "--samples", 3, "--json")
    assert found.code == 0, found.err
    report = json.loads(found.out)
    assert (report["samples"], report["mismatches"]) == (3, 0)
    assert report["accuracy"] is not None
